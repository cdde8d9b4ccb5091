//! What one core has to one place of an app: how it is connected to, and the connections that are kept.
//!
//! By place and not by route: a thousand routes to the same app share its connections. Two routes share them only when
//! nothing of what a connection is differs between them: the address, everything that TLS demands and shows, the
//! protocols that are offered, and how long a connection is kept. Deadlines and limits are each route's own. Called
//! by `proxy::upstream`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::connection::Connection;
use super::dial::Stream;
use super::pool::Pool;
use super::shared::Shared;
use super::tls::{self, Connector};
use super::{Settings, lean};
use crate::route::{Address, Transport};

/// One core's connections to one place, and how more are made.
pub struct Line {
    pub(super) address: Address,
    pub(super) connector: Option<Connector>,
    idle_timeout: Duration,
    /// Those that hyper speaks on.
    pub(super) pool: Pool<Connection>,
    /// Those that plain requests go over.
    pub(super) lean: Pool<Box<lean::Connection<Stream>>>,
    pub(super) shared: Shared,
}

impl Line {
    /// Without a connection as yet.
    pub fn new(address: Address, connector: Option<Connector>, settings: &Settings) -> Arc<Self> {
        Arc::new(Self {
            address,
            connector,
            idle_timeout: settings.pool_idle_timeout.value,
            pool: Pool::default(),
            lean: Pool::default(),
            shared: Shared::default(),
        })
    }

    /// Closes connections that have been idle for too long.
    fn sweep(&self) {
        self.pool.sweep(self.idle_timeout);
        self.lean.sweep(self.idle_timeout);
        self.shared.sweep(self.idle_timeout);
    }
}

/// What makes a connection what it is.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    address: Address,
    /// Where it is encrypted.
    tls: Option<tls::Settings>,
    idle_timeout: Duration,
}

/// All lines of one core.
#[derive(Default)]
pub struct Lines(HashMap<Identity, Arc<Line>>);

impl Lines {
    /// The line to `address`, the same for all who ask for the same.
    pub fn to(&mut self, address: &Address, connector: Option<&Connector>, settings: &Settings) -> Arc<Line> {
        let connector = connector.filter(|_| address.transport == Transport::Https);
        let identity = Identity {
            address: address.clone(),
            tls: connector.map(|connector| connector.settings().clone()),
            idle_timeout: settings.pool_idle_timeout.value,
        };
        let line = self.0.entry(identity).or_insert_with(|| Line::new(address.clone(), connector.cloned(), settings));
        Arc::clone(line)
    }

    /// Closes connections that have been idle for too long; the gateway calls it now and then.
    pub fn sweep(&self) {
        self.0.values().for_each(|line| line.sweep());
    }
}

#[cfg(test)]
mod tests {
    use super::super::limit::{Limit, Source};
    use super::super::tls::{Http2, Verification};
    use super::*;
    use crate::route::Place;

    fn settings(idle: u64) -> Settings {
        let span = |key, seconds| Limit::new(Duration::from_secs(seconds), "wiki", key, Source::Common);
        Settings {
            connect_timeout: span("connect_timeout", 1),
            first_byte_timeout: span("first_byte_timeout", 1),
            idle_timeout: span("idle_timeout", 1),
            tunnel_idle_timeout: span("tunnel_idle_timeout", 1),
            pool_idle_timeout: span("pool_idle_timeout", idle),
            connections: Limit::new(10, "wiki", "connections", Source::Common),
        }
    }

    fn at(transport: Transport, host: &str, port: u16) -> Address {
        Address { transport, place: Place::Tcp { host: host.to_owned(), port } }
    }

    fn connector(change: impl FnOnce(&mut tls::Settings)) -> Connector {
        let mut settings = tls::Settings { verification: Verification::DangerousNone, ..tls::Settings::default() };
        change(&mut settings);
        Connector::load(settings, tls::system_authorities).unwrap()
    }

    #[test]
    fn whoever_asks_for_the_same_gets_the_same() {
        let mut lines = Lines::default();
        let plain = at(Transport::Http, "127.0.0.1", 80);
        let one = lines.to(&plain, None, &settings(4));
        let mut deadlines = settings(4);
        deadlines.connections = Limit::new(1, "grafana", "connections", Source::Route);
        deadlines.connect_timeout.value = Duration::from_secs(9);
        assert!(Arc::ptr_eq(&one, &lines.to(&plain, None, &deadlines)), "deadlines and limits are a route's own");
        assert!(Arc::ptr_eq(&one, &lines.to(&plain, Some(&connector(|_| ())), &settings(4))), "nothing is encrypted");
        let secret = at(Transport::Https, "127.0.0.1", 80);
        let other = lines.to(&secret, Some(&connector(|_| ())), &settings(4));
        assert!(Arc::ptr_eq(&other, &lines.to(&secret, Some(&connector(|_| ())), &settings(4))), "read twice");
        assert_eq!(lines.0.len(), 2);
    }

    #[test]
    fn nothing_that_a_connection_is_differs_among_those_who_share_it() {
        let mut lines = Lines::default();
        let identity = rcgen::generate_simple_self_signed(["us".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (certificate, private_key) = (folder.path().join("us.crt"), folder.path().join("us.key"));
        std::fs::write(&certificate, identity.cert.pem()).unwrap();
        std::fs::write(&private_key, identity.signing_key.serialize_pem()).unwrap();
        let ours = tls::Identity { certificate: certificate.clone(), private_key };
        let all = [
            lines.to(&at(Transport::Http, "a", 80), None, &settings(4)),
            lines.to(&at(Transport::Http, "a", 80), None, &settings(5)),
            lines.to(&at(Transport::Http, "a", 81), None, &settings(4)),
            lines.to(&at(Transport::Http, "b", 80), None, &settings(4)),
            lines.to(&at(Transport::H2c, "a", 80), None, &settings(4)),
            lines.to(&Address { transport: Transport::Http, place: Place::Unix("/a".into()) }, None, &settings(4)),
            lines.to(&Address { transport: Transport::Http, place: Place::Unix("/b".into()) }, None, &settings(4)),
            lines.to(&at(Transport::Https, "a", 80), Some(&connector(|_| ())), &settings(4)),
            lines.to(
                &at(Transport::Https, "a", 80),
                Some(&connector(|tls| tls.http2 = Http2::NotOffered)),
                &settings(4),
            ),
            lines.to(
                &at(Transport::Https, "a", 80),
                Some(&connector(|tls| tls.server_name = Some("b".try_into().unwrap()))),
                &settings(4),
            ),
            lines.to(&at(Transport::Https, "a", 80), Some(&connector(|tls| tls.identity = Some(ours))), &settings(4)),
            lines.to(
                &at(Transport::Https, "a", 80),
                Some(&connector(|tls| {
                    tls.verification = Verification::Full;
                    tls.authorities = vec![certificate];
                })),
                &settings(4),
            ),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(all.iter().skip(index + 1).all(|other| !Arc::ptr_eq(one, other)), "{index}");
        }
        assert_eq!(lines.0.len(), all.len());
    }
}
