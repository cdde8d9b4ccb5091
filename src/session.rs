//! Sessions (skeleton).
pub mod cookie;
use std::time::Duration;

/// How long sessions last and how many are kept.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A session ends this long after sign-in, whatever happens. Default 8 h.
    pub lifetime: Duration,
    /// A session ends when unused for this long. Default 1 h.
    pub idle: Duration,
    /// At most this many sessions are kept; the longest unused goes first. Default 100,000.
    pub capacity: u64,
    /// How long a person may take at the identity provider. Default 10 min.
    pub login_timeout: Duration,
}
