//! What is compared.

use std::fmt;

use serde::Serialize;

use crate::options::{Peer, counted};

/// One of what is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Variant {
    /// The app alone.
    Direct,
    /// Another proxy.
    Peer(Peer),
    /// The gateway, with sessions checked and identity headers injected.
    Gateway,
    /// Another build of it.
    Before,
    /// The app, a peer or the gateway under more or less of something.
    At(Whose, Scale),
}

/// Whose cost grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Whose {
    /// Another proxy's.
    Peer(Peer),
    /// The gateway's.
    Gateway,
}

/// With what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scale {
    /// Signed in.
    pub(crate) sessions: usize,
    /// In the configuration.
    pub(crate) routes: usize,
    /// At a time.
    pub(crate) connections: usize,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.pad("direct"),
            Self::Peer(peer) => f.pad(peer.as_str()),
            Self::Gateway => f.pad("portcullis"),
            Self::Before => f.pad("portcullis before"),
            Self::At(whose, Scale { sessions, routes, connections }) => {
                let connections = counted(*connections, "connection");
                f.pad(&match whose {
                    Whose::Peer(peer) => format!("{}, {connections}", peer.as_str()),
                    Whose::Gateway => {
                        let (sessions, routes) = (counted(*sessions, "session"), counted(*routes, "route"));
                        format!("portcullis, {sessions}, {routes}, {connections}")
                    }
                })
            }
        }
    }
}

impl Serialize for Variant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
