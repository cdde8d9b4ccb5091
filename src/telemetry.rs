//! What the gateway tells about itself: diagnostics, one access line for each request, counters.
//!
//! Three ways, because they have three readers: diagnostics (`tracing`, standard error) for whoever repairs it,
//! the access log (standard output, `docs/log.md`) for whoever asks what happened, metrics for whoever watches.
//! Nothing here sees a secret: lines are made of named fields, never of headers, queries or cookies. Called by
//! `gateway`, `login`, `admin` and `cli`.

mod access;
mod line;
mod metrics;
mod request_id;

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

pub use access::{AccessLog, AccessWriter};
pub use line::{AccessLine, Decision};
pub use metrics::{Metrics, RouteMetrics};
pub use request_id::{NoRandomness, RequestId, RequestIds};

/// How the gateway logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// For people or for machines.
    pub format: Format,
    /// What diagnostics to show: a level such as `info`, or directives such as `info,portcullis::login=debug`.
    pub level: String,
    /// Whether each request leaves a line.
    pub access: Access,
}

impl Default for Settings {
    fn default() -> Self {
        Self { format: Format::Text, level: "info".to_owned(), access: Access::On }
    }
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One line of words.
    Text,
    /// One JSON object.
    Json,
}

/// Whether there is an access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A line for each request.
    On,
    /// None.
    Off,
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum StartProblem {
    /// `level` is neither a level nor a list of directives.
    #[error("the log level {level:?} is not understood: {cause}")]
    Level {
        /// As it was written.
        level: String,
        /// Which part.
        cause: tracing_subscriber::filter::ParseError,
    },
    /// Somebody has begun before.
    #[error("logging has already begun: {0}")]
    Twice(#[from] TryInitError),
}

/// Begins diagnostics on standard error, for the whole process. Only `cli` calls it, once.
///
/// # Errors
/// When the level cannot be read, or logging has already begun.
pub fn start(settings: &Settings) -> Result<(), StartProblem> {
    use tracing_subscriber::util::SubscriberInitExt as _;

    let filter = filter(&settings.level)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match settings.format {
        Format::Text => builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).finish().try_init()?,
        Format::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

/// Checks a level as [`start`] would: for `config`.
///
/// # Errors
/// [`StartProblem::Level`].
pub fn check_level(level: &str) -> Result<(), StartProblem> {
    filter(level).map(|_| ())
}

fn filter(level: &str) -> Result<EnvFilter, StartProblem> {
    EnvFilter::builder().parse(level).map_err(|cause| StartProblem::Level { level: level.to_owned(), cause })
}
