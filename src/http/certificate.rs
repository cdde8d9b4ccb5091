//! The certificate that a client has shown, and what apps are told about it.
//!
//! It belongs to a connection and not to a session, so it is read when the connection's first request is forwarded,
//! and never again. Made by `server::connection`, read by `proxy::introduce`.

use std::sync::OnceLock;

use super::lines::Lines;

/// A client's certificate, which an authority in `client_ca` has signed.
#[derive(Debug)]
pub struct ClientCertificate {
    der: Box<[u8]>,
    told: OnceLock<Lines>,
}

impl ClientCertificate {
    /// A certificate that was verified, in DER.
    pub fn verified(der: &[u8]) -> Self {
        Self { der: der.into(), told: OnceLock::new() }
    }

    /// What apps are told about it, which `render` writes when it is asked for first.
    pub fn told(&self, render: impl FnOnce(&[u8]) -> Lines) -> &Lines {
        self.told.get_or_init(|| render(&self.der))
    }
}
