//! The end of service, in two steps: begin (finish what runs, start nothing) and cut (stop what still runs).
//!
//! hyper's graceful shutdown ends at a 101 and does not know the tunnel behind it, so tunnels and other long
//! work are spawned through here and counted. Called by `server`, by `proxy` for tunnels, and by `gateway`, who
//! decides when.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A shutdown that all parts of one service share.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    begun: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
}

impl Drain {
    /// One that has not begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins: doors close, idle connections end, running work goes on.
    pub fn begin(&self) {
        self.begun.cancel();
        self.tasks.close();
    }

    /// Ends what still runs, at once. Begins, too, when nobody did.
    pub fn cut(&self) {
        self.begin();
        self.cut.cancel();
    }

    /// Whether it has begun.
    pub fn is_draining(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until it begins.
    pub async fn cancelled(&self) {
        self.begun.cancelled().await;
    }

    /// Waits for the deadline: whoever streams or tunnels ends then.
    pub async fn cut_off(&self) {
        self.cut.cancelled().await;
    }

    /// Runs `work` beside its caller, counted, and dropped at the deadline if it is not done by then.
    pub fn spawn<F>(&self, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let cut = self.cut.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = cut.cancelled() => {}
            }
        });
    }

    /// What counts the tasks, for work that watches [`Self::cut_token`] by itself.
    pub fn tasks(&self) -> TaskTracker {
        self.tasks.clone()
    }

    /// Cancelled at the deadline.
    pub fn cut_token(&self) -> CancellationToken {
        self.cut.clone()
    }

    /// Waits until it has begun and everything that was spawned here is done.
    pub async fn finished(&self) {
        self.tasks.wait().await;
    }

    /// A part that ends with this whole and counts towards it, but has locks of its own.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { begun: self.begun.child_token(), cut: self.cut.child_token(), tasks: self.tasks.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_child_ends_with_the_whole_but_not_the_whole_with_a_child() {
        let whole = Drain::new();
        let (first, second) = (whole.child(), whole.child());
        first.begun.cancel();
        assert!(!whole.is_draining() && !second.is_draining());
        whole.begin();
        assert!(second.is_draining());
    }

    #[tokio::test]
    async fn what_was_spawned_in_a_child_is_waited_for_and_cut() {
        let whole = Drain::new();
        whole.child().spawn(std::future::pending());
        whole.begin();
        let early = tokio::time::timeout(Duration::from_millis(50), whole.finished()).await;
        assert!(early.is_err(), "it still runs");
        whole.cut();
        tokio::time::timeout(Duration::from_secs(20), whole.finished()).await.unwrap();
    }
}
