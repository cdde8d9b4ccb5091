//! Files that are looked at while the gateway runs, so that what is renewed needs no restart.
//!
//! One look each few seconds is what file systems of every kind allow, and soon enough for a file that is renewed
//! weeks ahead. Called by `certificates` for the front door's files, and by `trust` for those of `[route.tls]`.

use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Timestamp;
use crate::server::tls::Occasion;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(2);

/// Looks at `files` on a beat, and at once whenever `asked` says so, and has every outcome told. Ends only when a look
/// ended in a panic.
pub(super) async fn watch<F, C>(
    mut files: F,
    asked: &Notify,
    look: impl Fn(&mut F, Occasion, Timestamp) -> C + Copy + Send + 'static,
    mut tell: impl FnMut(Occasion, C),
) where
    F: Send + 'static,
    C: Send + 'static,
{
    loop {
        let occasion = tokio::select! {
            () = asked.notified() => Occasion::Asked,
            () = tokio::time::sleep(LOOK) => Occasion::Time,
        };
        // Files may lie where reading takes its time.
        let looked = tokio::task::spawn_blocking(move || (look(&mut files, occasion, Timestamp::now()), files));
        let Ok((outcome, again)) = looked.await else { return };
        files = again;
        tell(occasion, outcome);
    }
}
