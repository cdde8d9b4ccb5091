//! The files of `[route.tls]` while the gateway runs: the authorities that an app's certificate is verified by, and the
//! certificate that we show to it. Looked at like those of the front door, and for the same reasons.
//!
//! What was taken up holds for new connections; those that are open stay, as they do at the front. Started by
//! `house`.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Notify;

use super::watch::watch;
use crate::clock::Timestamp;
use crate::proxy::group;
use crate::proxy::upstream::Connector;
use crate::proxy::upstream::tls::Problem;
use crate::server::tls::{Look, Occasion, Watched};
use crate::telemetry::Metrics;

/// The files of one route.
struct Trust {
    route: String,
    connector: Connector,
    files: Vec<PathBuf>,
    watched: Watched,
}

/// What became of them.
enum Outcome {
    Taken,
    Same,
    Kept(Problem),
}

/// The files of these routes, as they are now.
pub(super) struct Trusts(Vec<Trust>);

impl Trusts {
    /// Of routes by name, where their apps have any.
    pub(super) fn new<'a>(routes: impl Iterator<Item = (&'a str, &'a group::Settings)>) -> Self {
        let trust = |(route, app): (&str, &group::Settings)| {
            let connector = app.connector.clone()?;
            let files = connector.files();
            let watched = Watched::new(&files);
            (!files.is_empty()).then(|| Trust { route: route.to_owned(), connector, files, watched })
        };
        Self(routes.filter_map(trust).collect())
    }

    fn look(&mut self, occasion: Occasion, now: Timestamp) -> Vec<(String, Outcome)> {
        let look = |trust: &mut Trust| {
            let Trust { route, connector, files, watched } = trust;
            let outcome = match watched.look(occasion, files, || connector.read_again(now)) {
                Look::Nothing => return None,
                Look::Same => Outcome::Same,
                Look::Bad(problem) => Outcome::Kept(problem),
                Look::New(new) => {
                    connector.take_up(new);
                    Outcome::Taken
                }
            };
            Some((route.clone(), outcome))
        };
        self.0.iter_mut().filter_map(look).collect()
    }
}

/// Looks at the files until it is dropped; at once, and at all of them, whenever `asked` says so.
pub(super) async fn keep_fresh(trusts: Trusts, asked: Arc<Notify>, metrics: Arc<Metrics>) {
    if !trusts.0.is_empty() {
        let tell = |_, changes: Vec<(String, Outcome)>| {
            changes.iter().for_each(|(route, outcome)| tell(route, outcome, &metrics));
        };
        watch(trusts, &asked, Trusts::look, tell).await;
        tracing::error!("files of [route.tls] are no longer looked at: the look ended in a panic");
    }
    std::future::pending().await
}

fn tell(route: &str, outcome: &Outcome, metrics: &Metrics) {
    match outcome {
        Outcome::Taken => {
            metrics.certificate_reload("replaced");
            tracing::info!(route, "new connections to the app use the new files of [route.tls] from now on");
        }
        Outcome::Same => tracing::info!(route, "nothing has changed in the files of [route.tls]"),
        Outcome::Kept(problem) => {
            metrics.certificate_reload("refused");
            tracing::error!(route, %problem, "a file of [route.tls] was changed and cannot be used: what was read before stays");
        }
    }
}
