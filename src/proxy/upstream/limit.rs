//! A limit towards an app, and the key of the configuration that says it.
//!
//! When one is reached, whoever reads the log has to know which of many it was: the key is named as it would be
//! written for this route alone, and so is the place that it comes from. Filled by `config`, told by
//! `proxy::upstream::fault`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A limit of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit<T> {
    /// The limit.
    pub value: T,
    route: Arc<str>,
    key: &'static str,
    source: Source,
}

/// Where a limit is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// By the route itself.
    Route,
    /// For all routes.
    Common,
}

impl<T> Limit<T> {
    /// What `key` says for the route called `route`.
    pub fn new(value: T, route: &str, key: &'static str, source: Source) -> Self {
        Self { value, route: route.into(), key, source }
    }

    /// `route.NAME.KEY`; a name that TOML would not take as it is stands in quotes.
    fn write_key(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        match self.route.chars().all(bare) {
            true => write!(f, "route.{}.{}", self.route, self.key),
            false => write!(f, "route.{:?}.{}", self.route, self.key),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route => Ok(()),
            Self::Common => f.write_str(", of [upstream]"),
        }
    }
}

impl fmt::Display for Limit<Duration> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_key(f)?;
        write!(f, " ({}{})", humantime::format_duration(self.value), self.source)
    }
}

impl fmt::Display for Limit<usize> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_key(f)?;
        write!(f, " ({}{})", self.value, self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_names_its_key_and_where_it_is_written() {
        let span = Duration::from_millis(1500);
        let own = Limit::new(span, "grafana", "connect_timeout", Source::Route);
        assert_eq!(own.to_string(), "route.grafana.connect_timeout (1s 500ms)");
        let common = Limit::new(1000_usize, "wiki.example.com/a b", "connections", Source::Common);
        assert_eq!(common.to_string(), "route.\"wiki.example.com/a b\".connections (1000, of [upstream])");
    }
}
