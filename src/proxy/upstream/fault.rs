//! Why an app gave no answer, in words for the operator.
//!
//! Each kind says whose fault it is and becomes a refusal of its own; what the app said is a cause and never
//! reaches a page. Made by `proxy::upstream`, read by `gateway`.

use crate::http::{BodyFault, Request};
use crate::route::Address;

/// Why an app gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamFault {
    /// It could not be connected to.
    #[error("cannot connect to {address}: {cause}")]
    Unreachable {
        /// Where.
        address: Address,
        /// Why.
        cause: std::io::Error,
    },
    /// Its certificate was not believed.
    #[error("the certificate of {address} is not believed: {cause}")]
    Certificate {
        /// Where.
        address: Address,
        /// Why, and what answers it.
        cause: String,
    },
    /// The TLS handshake failed for another reason.
    #[error("no TLS with {address}: {cause}")]
    Handshake {
        /// Where.
        address: Address,
        /// Why.
        cause: String,
    },
    /// It speaks neither HTTP/1.1 nor, where that was offered, HTTP/2 (ALPN, RFC 7301).
    #[error("{address} does not speak the HTTP that it was offered: {cause}")]
    NoProtocol {
        /// Where.
        address: Address,
        /// Why.
        cause: String,
    },
    /// Connecting took longer than `connect_timeout`.
    #[error("connecting to {address} took longer than {limit}")]
    ConnectTimeout {
        /// Where.
        address: Address,
        /// The key, how much it says and where that is written.
        limit: String,
    },
    /// Its answer took longer than `first_byte_timeout`.
    #[error("{address} sent no answer within {limit}")]
    FirstByteTimeout {
        /// Where.
        address: Address,
        /// The key, how much it says and where that is written.
        limit: String,
    },
    /// There was nothing left to connect with: descriptors, memory or ports of this machine.
    #[error("no connection to {address} could be made for want of means: {cause}")]
    Shortage {
        /// Where to.
        address: Address,
        /// Of what.
        cause: std::io::Error,
    },
    /// It ended the connection before its answer began.
    #[error("{address} ended the connection before it answered: {cause}")]
    Ended {
        /// Where.
        address: Address,
        /// Why.
        cause: String,
    },
    /// The same, with the request's body not taken to its end: it may have been for what was sent.
    #[error("{address} ended the connection while it was sent a body, without an answer: {cause}")]
    HungUp {
        /// Where.
        address: Address,
        /// Why.
        cause: String,
    },
    /// It ended the connection without an answer, having been told that the client had ended its own: for the app that
    /// client is gone. Nobody is at fault, and nobody to be told.
    #[error("{address} ended the connection of a client that had ended its side")]
    Left {
        /// Where.
        address: Address,
    },
    /// It answered something that is not HTTP, or broke off within the head.
    #[error("{address} broke off or did not speak HTTP: {cause}")]
    Misbehaved {
        /// Where.
        address: Address,
        /// Why.
        cause: String,
    },
    /// A tunnel was asked for, and it speaks HTTP/2 without a way for it.
    #[error("{address} speaks HTTP/2, and {cause}")]
    NoTunnel {
        /// Where.
        address: Address,
        /// Why there is no way.
        cause: &'static str,
    },
    /// The client's handshake for a WebSocket cannot be translated.
    #[error("{0}")]
    BadHandshake(&'static str),
    /// `connections` are in use.
    #[error("{address} has as many requests under way as allowed by {limit}")]
    Busy {
        /// Where.
        address: Address,
        /// The key, how much it says and where that is written.
        limit: String,
    },
    /// A route without an address, which the configuration does not let happen.
    #[error("the route has no address")]
    NoAddress,
    /// The client's body broke off or stalled while it was sent on.
    #[error("the client's body broke off: {cause}")]
    ClientBody {
        /// Why.
        cause: BodyFault,
    },
}

/// A request without an answer.
#[derive(Debug)]
pub struct Unanswered {
    /// Why there is none.
    pub fault: UpstreamFault,
    /// The request, whole, when not a byte of it was sent: somebody else may be asked.
    pub unsent: Option<Box<Request>>,
}

impl From<UpstreamFault> for Unanswered {
    fn from(fault: UpstreamFault) -> Self {
        Self { fault, unsent: None }
    }
}

impl UpstreamFault {
    /// This fault of a request that was not sent.
    pub(super) fn before(self, request: Request) -> Unanswered {
        Unanswered { fault: self, unsent: Some(Box::new(request)) }
    }
}
