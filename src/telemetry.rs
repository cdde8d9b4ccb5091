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

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

pub use access::{AccessLog, AccessWriter};
pub use line::{AccessLine, Decision, write_address};
pub use metrics::{AddressMetrics, Direction, Metrics, Picks, RouteMetrics};
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
        /// Which part, and what may stand there.
        cause: String,
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
    let problem = |cause| StartProblem::Level { level: level.to_owned(), cause };
    // A lone misspelt word would be taken for a module's name: everything else would fall silent.
    let parts: Vec<_> = level.split(',').map(str::trim).collect();
    for part in parts.iter().filter(|part| !part.contains(['=', '['])) {
        if part.is_empty() || part.parse::<LevelFilter>().is_err() {
            return Err(problem(format!("{part:?} is none of off, error, warn, info, debug, trace")));
        }
    }
    EnvFilter::builder().parse(parts.join(",")).map_err(|cause| problem(cause.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_understood() {
        for level in ["info", "WARN", "off", "info,portcullis::login=debug", "warn, hyper=error"] {
            assert!(check_level(level).is_ok(), "{level}");
        }
    }

    #[test]
    fn a_misspelt_level_is_refused_rather_than_silent() {
        for level in ["inof", "info,debgu", "portcullis=loud", ""] {
            let problem = check_level(level).unwrap_err();
            assert!(problem.to_string().contains(&format!("{level:?}")), "{problem}");
        }
    }
}
