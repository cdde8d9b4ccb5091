//! What gets in, and what does not: each claim is a test, each attack is named after its class.

mod attacks;
mod checks;
mod logout;
mod mutants;
mod schedule;
mod sign_in;
mod vectors;
