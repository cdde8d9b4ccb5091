//! Points in time, as arguments.
//!
//! Nothing below `gateway` reads the wall clock: whoever judges an expiry is handed the moment to judge it
//! by, so that tests can move it. Called by every module that knows a lifetime.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment, in whole seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The wall clock's reading. Only `gateway`, `config`, `cli` and the emulator may ask for it.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// This moment, later by `span` (saturating; sub-second parts are dropped).
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span.as_secs()))
    }

    /// How long from `earlier` to this moment; zero when it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(self.0.saturating_sub(earlier.0))
    }
}

/// Of the wall clock's reading; whoever may not ask for it has none.
impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}
