//! Where an app listens, and how it is spoken to.
//!
//! Transport and place apart, because every transport can be had at every place: what a connection speaks is
//! decided by the configuration alone, never found out from what the other side sends. Read by `config`, dialled
//! by `proxy::upstream`.

use std::fmt;
use std::path::PathBuf;

/// One address of an app; shown as it is written in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// How it is spoken to.
    pub transport: Transport,
    /// Where it listens.
    pub place: Place,
}

/// How an app is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// HTTP/1.1 in plain text.
    Http,
    /// TLS, and within it what both sides know.
    Https,
    /// HTTP/2 in plain text, with prior knowledge (RFC 9113 section 3.3).
    H2c,
}

/// Where an app listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A host and a port.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket of this machine's file system.
    Unix(PathBuf),
}

impl Transport {
    /// The scheme that it is written with.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.transport, &self.place) {
            (transport, place @ Place::Tcp { .. }) => write!(f, "{}://{place}", transport.as_str()),
            (Transport::Http, place @ Place::Unix(_)) => write!(f, "unix:{place}"),
            (transport, place @ Place::Unix(_)) => write!(f, "{}+unix:{place}", transport.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_as_it_is_written() {
        let tcp = |host: &str| Place::Tcp { host: host.to_owned(), port: 8080 };
        for (transport, place, shown) in [
            (Transport::Http, tcp("127.0.0.1"), "http://127.0.0.1:8080"),
            (Transport::Https, tcp("wiki.internal"), "https://wiki.internal:8080"),
            (Transport::H2c, tcp("::1"), "h2c://[::1]:8080"),
            (Transport::Http, Place::Unix("/run/app.sock".into()), "unix:/run/app.sock"),
            (Transport::H2c, Place::Unix("/run/app.sock".into()), "h2c+unix:/run/app.sock"),
        ] {
            assert_eq!(Address { transport, place }.to_string(), shown);
        }
    }
}
