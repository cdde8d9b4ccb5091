//! What a connection passes before anything is read of it: whose word about the client counts, and how many
//! connections one client may have.
//!
//! A client that is told by a balancer is counted as itself; those who speak for many, and clients of unix sockets,
//! are not counted at all. The count is over all cores and touched when a connection comes and goes, never for a
//! request. Called by `server::connection`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::event::{Event, Events};
use super::preamble;
use super::socket::Socket;
use crate::http::{Neighbours, Remote};

/// What a door asks of those who come.
#[derive(Clone, Default)]
pub struct Entry {
    /// Who tells the client's address by the PROXY protocol, and has to.
    pub proxied: Neighbours,
    /// Counts the connections of each client, where that is limited.
    pub census: Option<Arc<Census>>,
}

/// Why nobody came in; the event has been raised.
pub(super) enum Refused {
    /// There is nobody to answer.
    Silently,
    /// The client has too many connections.
    Crowded,
}

impl Entry {
    /// Whether there is anything to ask.
    pub(super) fn asks(&self) -> bool {
        !self.proxied.is_empty() || self.census.is_some()
    }

    /// Where the client behind `socket` came from, and its seat.
    pub(super) async fn receive(
        &self,
        socket: &mut Socket,
        remote: Remote,
        limit: Duration,
        events: &Events,
    ) -> Result<(Remote, Option<Seat>), Refused> {
        let mut client = remote;
        if self.proxied.hold(remote) {
            match tokio::time::timeout(limit, preamble::receive(socket, remote)).await {
                Ok(Ok(told)) => client = told,
                Ok(Err(fault)) => {
                    events(Event::ProxyHeaderFailed { peer: remote, cause: fault.to_string() });
                    return Err(Refused::Silently);
                }
                Err(_) => {
                    events(Event::ProxyHeaderTimeout { peer: remote });
                    return Err(Refused::Silently);
                }
            }
        }
        match &self.census {
            // A balancer that speaks for itself is no client.
            Some(census) if !self.proxied.hold(client) => match census.seat(client) {
                Ok(seat) => Ok((client, seat)),
                Err(Crowded) => {
                    events(Event::TooManyOfClient { peer: client });
                    Err(Refused::Crowded)
                }
            },
            _ => Ok((client, None)),
        }
    }
}

/// The client has as many connections as one may have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Crowded;

/// How many connections each client has, over all cores.
#[derive(Debug)]
pub struct Census {
    limit: usize,
    exempt: Neighbours,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Census {
    /// Up to `limit` for each client, but for `exempt`, who speak for many.
    pub fn new(limit: usize, exempt: Neighbours) -> Self {
        Self { limit, exempt, open: Mutex::default() }
    }

    /// A seat for one more connection; none is needed by whoever is not counted.
    fn seat(self: &Arc<Self>, remote: Remote) -> Result<Option<Seat>, Crowded> {
        let Some(client) = remote.ip().filter(|_| !self.exempt.hold(remote)).map(household) else { return Ok(None) };
        let mut open = self.lock();
        let count = open.entry(client).or_default();
        if *count >= self.limit {
            return Err(Crowded);
        }
        *count += 1;
        drop(open);
        Ok(Some(Seat { census: Arc::clone(self), client }))
    }

    /// A panic elsewhere leaves counts that are still counts.
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who shares a count: an IPv4 address, or the IPv6 network of 64 bits that one household is given.
fn household(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
    }
}

/// A counted connection.
#[derive(Debug)]
pub(super) struct Seat {
    census: Arc<Census>,
    client: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.census.lock();
        if let Some(count) = open.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Neighbour;

    fn remote(ip: &str) -> Remote {
        std::net::SocketAddr::new(ip.parse().unwrap(), 5).into()
    }

    #[test]
    fn each_client_has_so_many_and_gets_them_back() {
        let census = Arc::new(Census::new(2, Neighbours::default()));
        let first = census.seat(remote("192.0.2.1")).unwrap();
        let _second = census.seat(remote("::ffff:192.0.2.1")).unwrap();
        assert_eq!(census.seat(remote("192.0.2.1")).unwrap_err(), Crowded);
        assert!(census.seat(remote("192.0.2.2")).unwrap().is_some());
        drop(first);
        assert!(census.seat(remote("192.0.2.1")).unwrap().is_some());
    }

    #[test]
    fn a_household_of_ipv6_is_one_client() {
        let census = Arc::new(Census::new(1, Neighbours::default()));
        let _one = census.seat(remote("2001:db8::1")).unwrap();
        assert_eq!(census.seat(remote("2001:db8::ffff:2")).unwrap_err(), Crowded);
        assert!(census.seat(remote("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn who_speaks_for_many_is_not_counted() {
        let network = Neighbour::Network("10.0.0.0/8".parse().unwrap());
        let census = Arc::new(Census::new(1, Neighbours(vec![network])));
        for _ in 0..5 {
            assert!(census.seat(remote("10.1.1.1")).unwrap().is_none());
            assert!(census.seat(Remote::Unix).unwrap().is_none());
        }
    }

    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let census = Arc::new(Census::new(1, Neighbours::default()));
        drop(census.seat(remote("192.0.2.1")).unwrap());
        assert!(census.lock().is_empty());
    }
}
