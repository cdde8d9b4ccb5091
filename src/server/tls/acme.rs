//! Certificates that are ordered from an authority and renewed before they end (ACME, RFC 8555).
//!
//! What is ordered is kept as a file in a folder, and [`super::Reloader`] takes it from there like any other
//! certificate that was changed: one way in, whether an operator or an authority wrote it. That a host is ours is
//! proved within a TLS handshake (RFC 8737), so that no other door has to be open, or where the operator would rather
//! have it so, to plain HTTP (RFC 8555 section 8.3). When something is done, `gateway`
//! decides, which keeps the time; here is how. Called by `gateway`, `config` and `cli check`.

mod board;
mod challenge;
mod fault;
mod folder;
mod order;
mod schedule;
mod token;
mod wire;

use std::path::PathBuf;

pub use challenge::Challenges;
pub use fault::{Cause, Fault, RetryAfter};
pub use folder::Folder;
pub use order::Orders;
pub use schedule::{Advice, Trouble, due};

/// What is ordered where, by somebody who has accepted the authority's terms of service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The address of the authority's directory; always https.
    pub directory: String,
    /// The mail addresses that the authority may write to.
    pub contact: Vec<String>,
    /// The hosts that each get a certificate of their own, so that one that fails keeps none of the others waiting.
    pub names: Vec<String>,
    /// Where the account's key and the certificates are kept.
    pub folder: PathBuf,
    /// PEM: who may have signed the directory's own certificate, beside those whom this machine trusts.
    pub ca: Option<PathBuf>,
    /// How it is proved that the hosts are ours.
    pub proof: Proof,
}

/// How an authority is convinced that a host is ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    /// `tls-alpn-01`, at the front door.
    #[default]
    Handshake,
    /// `http-01`, at the listener that sends people from http to https.
    Http,
}

impl Proof {
    /// What RFC 8555 and RFC 8737 call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Handshake => "tls-alpn-01",
            Self::Http => "http-01",
        }
    }
}
