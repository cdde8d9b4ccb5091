//! What happens at a door, told by name.
//!
//! Each limit has its own event, so that a closed connection can always be explained; `telemetry` counts them by
//! [`Event::name`] and the caller decides what to log. Raised by the whole `server` family.

use std::fmt;
use std::sync::Arc;

use super::tls::ClientFault;
use crate::http::Remote;

/// Receives the events of a door.
pub type Events = Arc<dyn Fn(Event) + Send + Sync>;

/// Something that happened at a door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A connection came in.
    Accepted,
    /// A connection, or the tunnel that it had become, ended.
    Closed,
    /// `accept` failed; the loop goes on.
    AcceptFailed {
        /// The system's words.
        cause: String,
    },
    /// `connections` are open already: turned away.
    TooManyConnections {
        /// Who came.
        peer: Remote,
    },
    /// One of those who must send a PROXY protocol header sent none that can be read.
    ProxyHeaderFailed {
        /// Who.
        peer: Remote,
        /// What is wrong with it.
        cause: String,
    },
    /// `connections_per_client` are open already: turned away.
    TooManyOfClient {
        /// Who came.
        peer: Remote,
    },
    /// `handshake_timeout` passed before a PROXY protocol header was complete.
    ProxyHeaderTimeout {
        /// From whom.
        peer: Remote,
    },
    /// `handshake_timeout` passed during a TLS handshake.
    HandshakeTimeout {
        /// With whom.
        peer: Remote,
    },
    /// A TLS handshake failed.
    HandshakeFailed {
        /// With whom.
        peer: Remote,
        /// In the words of rustls.
        cause: String,
    },
    /// An authority came for the proof that a host is ours, and was shown it.
    ProofShown {
        /// Who.
        peer: Remote,
    },
    /// A client spoke plain HTTP where TLS is spoken.
    PlainText {
        /// Who.
        peer: Remote,
    },
    /// A client was refused for its certificate, or for having none.
    ClientRefused {
        /// Who.
        peer: Remote,
        /// Why.
        fault: ClientFault,
        /// In the words of rustls.
        cause: String,
    },
    /// `header_timeout` passed before a connection's first request was complete.
    HeaderTimeout {
        /// Whose.
        peer: Remote,
    },
    /// `header_timeout` or `h2_idle_timeout` passed since the last request.
    IdleTimeout {
        /// Whose.
        peer: Remote,
    },
    /// A head beyond `header_size` or `headers`.
    HeadersTooLarge {
        /// Whose.
        peer: Remote,
    },
    /// No HTTP, or HTTP that cannot be read in one way only.
    Malformed {
        /// Whose.
        peer: Remote,
        /// What is wrong with it.
        cause: String,
    },
    /// `body_idle_timeout` passed within a request body.
    BodyTimeout {
        /// Whose.
        peer: Remote,
    },
    /// A request body brought less than `body_rate`.
    BodyTooSlow {
        /// Whose.
        peer: Remote,
    },
    /// The client took nothing of a response for a minute.
    WriteTimeout {
        /// Whose.
        peer: Remote,
    },
    /// `connection_age` passed: the connection was asked to end.
    TooOld {
        /// Whose.
        peer: Remote,
    },
    /// The drain's deadline ended a connection that was still at work.
    Cut {
        /// Whose.
        peer: Remote,
    },
}

impl Event {
    /// Its name in metrics and logs; never changes.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Closed => "closed",
            Self::AcceptFailed { .. } => "accept_failed",
            Self::TooManyConnections { .. } => "too_many_connections",
            Self::TooManyOfClient { .. } => "too_many_of_client",
            Self::ProxyHeaderFailed { .. } => "proxy_header_failed",
            Self::ProxyHeaderTimeout { .. } => "proxy_header_timeout",
            Self::HandshakeTimeout { .. } => "handshake_timeout",
            Self::HandshakeFailed { .. } => "handshake_failed",
            Self::ProofShown { .. } => "proof_shown",
            Self::PlainText { .. } => "plain_text",
            Self::ClientRefused { fault, .. } => fault.name(),
            Self::HeaderTimeout { .. } => "header_timeout",
            Self::IdleTimeout { .. } => "idle_timeout",
            Self::HeadersTooLarge { .. } => "headers_too_large",
            Self::Malformed { .. } => "malformed",
            Self::BodyTimeout { .. } => "body_timeout",
            Self::BodyTooSlow { .. } => "body_too_slow",
            Self::WriteTimeout { .. } => "write_timeout",
            Self::TooOld { .. } => "connection_age",
            Self::Cut { .. } => "cut",
        }
    }

    /// The client that it is about, when there is one.
    pub fn peer(&self) -> Option<Remote> {
        match self {
            Self::Accepted | Self::Closed | Self::AcceptFailed { .. } => None,
            Self::TooManyConnections { peer }
            | Self::TooManyOfClient { peer }
            | Self::ProxyHeaderFailed { peer, .. }
            | Self::ProxyHeaderTimeout { peer }
            | Self::HandshakeTimeout { peer }
            | Self::HandshakeFailed { peer, .. }
            | Self::ProofShown { peer }
            | Self::PlainText { peer }
            | Self::ClientRefused { peer, .. }
            | Self::HeaderTimeout { peer }
            | Self::IdleTimeout { peer }
            | Self::HeadersTooLarge { peer }
            | Self::Malformed { peer, .. }
            | Self::BodyTimeout { peer }
            | Self::BodyTooSlow { peer }
            | Self::WriteTimeout { peer }
            | Self::TooOld { peer }
            | Self::Cut { peer } => Some(*peer),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AcceptFailed { cause } => write!(f, "a connection could not be accepted: {cause}"),
            Self::HandshakeFailed { cause, .. } => write!(f, "a TLS handshake failed: {cause}"),
            Self::ProofShown { .. } => f.write_str("an authority was shown the proof that a host is ours"),
            Self::PlainText { .. } => f.write_str("plain HTTP came where TLS is spoken"),
            Self::ClientRefused { fault, cause, .. } => write!(f, "{} ({cause})", fault.words()),
            Self::Malformed { cause, .. } => write!(f, "a request could not be read: {cause}"),
            Self::Accepted => f.write_str("a connection came in"),
            Self::Closed => f.write_str("a connection ended"),
            Self::TooManyConnections { .. } => f.write_str("too many connections are open: one was turned away"),
            Self::TooManyOfClient { .. } => {
                f.write_str("one client has too many connections open: one was turned away")
            }
            Self::ProxyHeaderFailed { cause, .. } => write!(f, "a connection of a balancer was closed: {cause}"),
            Self::ProxyHeaderTimeout { .. } => f.write_str("a balancer's PROXY protocol header took too long"),
            Self::HandshakeTimeout { .. } => f.write_str("a TLS handshake took too long"),
            Self::HeaderTimeout { .. } => f.write_str("a request's head took too long"),
            Self::IdleTimeout { .. } => f.write_str("a connection without requests was closed"),
            Self::HeadersTooLarge { .. } => f.write_str("a request's head was too large"),
            Self::BodyTimeout { .. } => f.write_str("a request's body stalled"),
            Self::BodyTooSlow { .. } => f.write_str("a request's body trickled in too slowly"),
            Self::WriteTimeout { .. } => f.write_str("a client stopped taking its response"),
            Self::TooOld { .. } => f.write_str("a connection reached its age and was asked to end"),
            Self::Cut { .. } => f.write_str("the shutdown's deadline ended a connection at work"),
        }
    }
}
