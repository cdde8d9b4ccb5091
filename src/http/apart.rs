//! Futures that few need, made out of the way of those that everybody does.
//!
//! A function has room on its stack for all that it may ever do, and so has one into which a boxed future was inlined:
//! with the code of hyper, of a sign-in and of dialling in them, the functions that a plain request goes through took
//! 43 KB of stack, of which each turn touched a line here and a line there. Called by `gateway`, `proxy` and `server`.

use std::future::Future;
use std::pin::Pin;

/// The future that `make` makes: in a box, so that whoever awaits it has no room for it; behind a pointer, so that it is
/// not polled inline; and made in here, so that it is not put together on another's stack.
#[inline(never)]
pub fn apart<'a, F>(make: impl FnOnce() -> F) -> Pin<Box<dyn Future<Output = F::Output> + Send + 'a>>
where
    F: Future + Send + 'a,
{
    Box::pin(make())
}
