//! Who is at the other end of a connection, and which of them are believed about others.
//!
//! A client of a unix socket has no address: it is said so everywhere instead of inventing one, and it is trusted
//! only where the configuration names it (`"unix"`), never because 127.0.0.1 is. Called by `server`, who makes
//! peers, by `proxy`, who tells apps about them, and by `config`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use super::interim::Sender;
use super::{ClientCertificate, Scheme};

/// Who is at the other end of a connection, as the socket says it, or the PROXY protocol of a trusted balancer.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where the connection came from.
    pub remote: Remote,
    /// Whether the connection was encrypted when it reached us.
    pub scheme: Scheme,
    /// The certificate that it was shown, when it was encrypted.
    pub shown: Option<Shown>,
    /// The certificate that it has shown itself, when one was asked for.
    pub certificate: Option<Arc<ClientCertificate>>,
    /// How it hears of a request before the answer, where there is a way.
    pub interim: Option<Sender>,
}

impl Peer {
    /// Whoever came in plain text.
    pub fn plain(remote: Remote) -> Self {
        Self { remote, scheme: Scheme::Http, shown: None, certificate: None, interim: None }
    }

    /// Whoever was shown that certificate.
    pub fn encrypted(remote: Remote, shown: Shown) -> Self {
        Self { scheme: Scheme::Https, shown: Some(shown), ..Self::plain(remote) }
    }
}

/// One of a door's certificates, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown(pub usize);

/// Where a connection came from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Remote {
    /// From an address.
    Address(SocketAddr),
    /// Through a unix socket, whose clients have none.
    Unix,
}

impl Remote {
    /// The IP address, where there is one.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address.ip()),
            Self::Unix => None,
        }
    }

    /// The port, where there is one.
    pub fn port(self) -> Option<u16> {
        match self {
            Self::Address(address) => Some(address.port()),
            Self::Unix => None,
        }
    }
}

impl From<SocketAddr> for Remote {
    /// An IPv4 client of a dual-stack listener becomes IPv4: lists of trusted addresses are written that way.
    fn from(address: SocketAddr) -> Self {
        Self::Address(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One of those in front of us who are believed about their clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// Whoever has an address of this network.
    Network(IpNet),
    /// Whoever may connect to our unix sockets.
    Unix,
}

/// Those in front of us who are believed about their clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Neighbours(pub Vec<Neighbour>);

impl Neighbours {
    /// Whether a connection from there comes from one of them.
    pub fn hold(&self, remote: Remote) -> bool {
        match remote {
            Remote::Address(address) => self.hold_ip(address.ip()),
            Remote::Unix => self.0.contains(&Neighbour::Unix),
        }
    }

    /// Whether the address is one of theirs.
    pub fn hold_ip(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|neighbour| matches!(neighbour, Neighbour::Network(network) if network.contains(&address)))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<Neighbour>> for Neighbours {
    fn from(neighbours: Vec<Neighbour>) -> Self {
        Self(neighbours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Neighbour {
        Neighbour::Network(text.parse().unwrap())
    }

    fn remote(text: &str) -> Remote {
        Remote::from(text.parse::<SocketAddr>().unwrap())
    }

    #[test]
    fn an_ipv4_client_is_known_in_either_family() {
        let trusted = Neighbours(vec![network("10.0.0.0/8")]);
        assert!(trusted.hold(remote("[::ffff:10.1.2.3]:5")));
        assert_eq!(remote("[::ffff:10.1.2.3]:5").to_string(), "10.1.2.3:5");
        assert!(trusted.hold_ip("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!trusted.hold(remote("192.0.2.1:5")));
    }

    #[test]
    fn a_unix_client_is_trusted_by_name_alone() {
        let everybody = Neighbours(vec![network("0.0.0.0/1"), network("128.0.0.0/1"), network("::/1")]);
        assert!(!everybody.hold(Remote::Unix));
        assert!(Neighbours(vec![Neighbour::Unix]).hold(Remote::Unix));
        assert!(!Neighbours(vec![Neighbour::Unix]).hold(remote("127.0.0.1:5")));
        assert_eq!((Remote::Unix.ip(), Remote::Unix.to_string().as_str()), (None, "unix"));
    }
}
