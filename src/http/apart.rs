//! Futures that few need, made out of the way of those that everybody does.
//!
//! A function has room on its stack for all that it may ever do, rare or not: with the code of a sign-in and of hyper
//! in it, each turn of a plain request took 40 KB of stack, a line here and a line there. What is made here has a stack
//! of its own, and a box, so that it takes no room in the future that waits for it either. Called by `gateway`, `proxy`
//! and `server`.

use std::future::Future;
use std::pin::Pin;

/// What [`apart`] makes.
pub type Apart<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The future that `make` makes.
#[inline(never)]
pub fn apart<'a, F>(make: impl FnOnce() -> F) -> Apart<'a, F::Output>
where
    F: Future + Send + 'a,
{
    Box::pin(make())
}
