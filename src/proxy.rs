//! Proxy (skeleton).
pub mod inject;
pub mod upstream;

/// How requests are forwarded.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Peers whose `X-Forwarded-*` and `Forwarded` are believed. Default: nobody.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Deadlines and limits towards the app.
    pub upstream: upstream::Settings,
}
