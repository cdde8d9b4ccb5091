//! Upstream (skeleton).
use std::time::Duration;

/// Where an app listens: `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Host and port to connect to: `127.0.0.1:8080`, `[::1]:8080`, `wiki.internal:80`.
    pub authority: String,
}

/// Deadlines and limits towards an app.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name look-up and connection. Default 5 s.
    pub connect_timeout: Duration,
    /// From the request's head to the response's. Default 60 s.
    pub first_byte_timeout: Duration,
    /// Between two pieces of a response's body. Default 5 min.
    pub idle_timeout: Duration,
    /// Between two pieces through a tunnel, either way. Default 1 h.
    pub tunnel_idle_timeout: Duration,
    /// How long an unused connection is kept; below the app's own keep-alive time. Default 4 s.
    pub pool_idle_timeout: Duration,
    /// Connections to one app at a time, over all cores. Default 1,000.
    pub connections: usize,
}
