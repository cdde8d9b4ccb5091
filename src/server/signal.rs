//! What happens to a connection beside its requests: it gets old, it idles, the doors close.
//!
//! Called by `server::http1` and `server::http2`, which wait for it beside the requests.

use std::time::Duration;

use tokio::time::Instant;

use super::Drain;
use super::streams::Activity;

/// What a connection still waits for.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    /// When it is old enough to be asked to end.
    pub(super) old: Option<Instant>,
    /// How long it may be without a request.
    pub(super) idle: Option<Duration>,
    /// Whether it still takes requests.
    pub(super) open: bool,
}

/// A reason to do something about it.
pub(super) enum Signal {
    /// The shutdown begins.
    Drain,
    /// Its deadline has passed.
    Cut,
    /// The connection is old enough to end.
    Old,
    /// Nothing was asked for too long.
    Idle,
}

/// The next reason to do something about a connection that nobody on it gives.
pub(super) async fn next_signal(drain: &Drain, activity: &Activity, stage: Stage) -> Signal {
    let begun = async { if stage.open { drain.cancelled().await } else { std::future::pending().await } };
    tokio::select! {
        biased;
        () = drain.cut_off() => Signal::Cut,
        () = begun => Signal::Drain,
        signal = next_moment(activity, stage) => signal,
    }
}

/// The signals that time gives: one timer for all of them.
async fn next_moment(activity: &Activity, stage: Stage) -> Signal {
    let begun = Instant::now();
    loop {
        let idle = stage.idle.map(|limit| {
            let known = activity.idle_deadline(limit);
            // A goodbye counts from now, not from the end of the last request.
            if stage.open { known } else { known.max(begun + limit) }
        });
        let moments = [(stage.old, Signal::Old), (idle, Signal::Idle)];
        let next = moments.into_iter().filter_map(|(at, signal)| Some((at?, signal))).min_by_key(|(at, _)| *at);
        match next {
            None => std::future::pending().await,
            Some((at, signal)) if at <= Instant::now() => return signal,
            Some((at, _)) => tokio::time::sleep_until(at).await,
        }
    }
}
