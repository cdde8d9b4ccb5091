//! The integration tests: one binary, for link time. Real sockets, the real `start(config)`, the pretend org.

mod app;
mod browser;
mod world;

mod first_visit;
mod sign_in;
