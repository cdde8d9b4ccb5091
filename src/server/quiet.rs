//! Waiting beside a busy connection without being asked at each of its polls.
//!
//! A connection is polled several times for each request, and everything `select!`ed beside it as well: two
//! cancellation tokens and a timer, each behind a lock. `Quiet` polls its future only when that future itself
//! was woken, which turns the rest into one atomic load. Called by `server::connection`.

use std::pin::Pin;
use std::task::{Context, Poll};

use crate::http::bell::Bell;

/// A pinned future that is polled only after it was woken.
pub(super) struct Quiet<'a, F> {
    future: Pin<&'a mut F>,
    bell: Bell,
}

impl<'a, F: Future> Quiet<'a, F> {
    /// Wraps a future that has not been polled.
    pub(super) fn new(future: Pin<&'a mut F>) -> Self {
        Self { future, bell: Bell::default() }
    }

    /// Replaces the future, after it is done.
    pub(super) fn set(&mut self, future: F) {
        self.future.set(future);
        self.bell = Bell::default();
    }
}

impl<F: Future> Future for Quiet<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        if !this.bell.has_rung(cx) {
            return Poll::Pending;
        }
        this.future.as_mut().poll(&mut this.bell.context(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn only_its_own_wake_up_polls_it() {
        let polls = AtomicUsize::new(0);
        let (tell, told) = oneshot::channel::<u8>();
        let mut told = told;
        let counted = std::future::poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut told).poll(cx)
        });
        let counted = std::pin::pin!(counted);
        let mut quiet = Quiet::new(counted);
        for _ in 0..5 {
            tokio::select! {
                biased;
                _ = &mut quiet => unreachable!("nothing was told yet"),
                () = tokio::task::yield_now() => {}
            }
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1, "the noise beside it did not poll it");
        tell.send(7).unwrap();
        assert_eq!(quiet.await, Ok(7));
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }
}
