//! Which certificate is shown: by the name that the client asks for (SNI, RFC 6066 section 3).
//!
//! Whoever names nobody, or somebody whom no certificate covers, is shown the first: a browser then says plainly
//! whose certificate it was shown, health checks by address go on, and HTTP answers such a host with 421 anyway.
//! One name may have several certificates, of different kinds of keys; the first that the client can verify is
//! taken. Also knows which hosts may be asked for over a connection, since certificates are chosen before requests
//! come (RFC 9110 section 7.4). Called by rustls in every handshake and by `server::tls`.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::Pair;
use crate::http::Shown;

/// The certificates at one time.
#[derive(Debug)]
pub(super) struct Choice {
    pairs: Vec<Arc<Pair>>,
    /// By `wiki.example.com` and `*.example.com`.
    by_name: HashMap<String, Vec<usize>>,
    /// By certificate, then by host.
    fits: Vec<Vec<bool>>,
}

impl Choice {
    /// Between `pairs`, the first of which is the default, for the public `hosts`.
    pub(super) fn new(pairs: Vec<Arc<Pair>>, hosts: &[String]) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, pair) in pairs.iter().enumerate() {
            for name in pair.names() {
                by_name.entry(name.clone()).or_default().push(place);
            }
        }
        let mut choice = Self { pairs, by_name, fits: Vec::new() };
        // A host that no certificate covers is reached by the one that is shown for it all the same.
        let fits = |place: usize, pair: &Pair, host: &str| choice.first(host) == place || pair.covers(host);
        let row = |(place, pair): (usize, &Arc<Pair>)| hosts.iter().map(|host| fits(place, pair, host)).collect();
        choice.fits = choice.pairs.iter().enumerate().map(row).collect();
        choice
    }

    fn candidates(&self, name: &str) -> &[usize] {
        let exact = self.by_name.get(name);
        let found = exact.or_else(|| self.by_name.get(&format!("*.{}", name.split_once('.')?.1)));
        found.map_or(&[0], Vec::as_slice)
    }

    fn first(&self, name: &str) -> usize {
        self.candidates(name).first().copied().unwrap_or_default()
    }

    /// Which certificate belongs to a connection that asked for `name`.
    pub(super) fn shown(&self, name: Option<&str>) -> Shown {
        Shown(name.map_or(0, |name| self.first(name)))
    }

    /// Whether the host at that place of the list may be asked for over a connection with that certificate.
    pub(super) fn fits(&self, shown: Shown, host: usize) -> bool {
        self.fits.get(shown.0).and_then(|row| row.get(host)).copied().unwrap_or_default()
    }

    pub(super) fn pairs(&self) -> &[Arc<Pair>] {
        &self.pairs
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let places = hello.server_name().map_or(&[0][..], |name| self.candidates(name));
        let mut keys = places.iter().filter_map(|&place| self.pairs.get(place)).map(|pair| &pair.key);
        let first = keys.clone().next();
        let schemes = hello.signature_schemes();
        keys.find(|key| key.key.choose_scheme(schemes).is_some()).or(first).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{made_for, write};
    use super::*;

    fn choice(certificates: &[&[&str]], hosts: &[&str]) -> Choice {
        let folder = tempfile::tempdir().unwrap();
        let pair = |names: &&[&str]| {
            let (certificate, key) = made_for(names);
            Arc::new(write(folder.path(), "a", &certificate, &key).load().unwrap())
        };
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        Choice::new(certificates.iter().map(pair).collect(), &hosts)
    }

    #[test]
    fn a_name_goes_before_a_wildcard_and_both_before_the_default() {
        let choice = choice(&[&["wiki.example.com"], &["*.example.com"], &["ci.example.com", "a.b.example.com"]], &[]);
        for (name, place) in [
            (Some("wiki.example.com"), 0),
            (Some("grafana.example.com"), 1),
            (Some("ci.example.com"), 2),
            (Some("a.b.example.com"), 2),
            (Some("b.b.example.com"), 0),
            (Some("example.com"), 0),
            (Some("*.example.com"), 1),
            (Some("com"), 0),
            (Some(""), 0),
            (None, 0),
        ] {
            assert_eq!(choice.shown(name), Shown(place), "{name:?}");
        }
    }

    #[test]
    fn a_connection_reaches_the_hosts_that_its_certificate_was_made_for() {
        let hosts = ["wiki.example.com", "ci.example.com", "grafana.example.com", "nobodys.example.org"];
        let choice =
            choice(&[&["wiki.example.com", "ci.example.com"], &["ci.example.com"], &["grafana.example.com"]], &hosts);
        let row = |place| (0..hosts.len()).map(|host| choice.fits(Shown(place), host)).collect::<Vec<_>>();
        assert_eq!(row(0), [true, true, false, true]);
        assert_eq!(row(1), [false, true, false, false]);
        assert_eq!(row(2), [false, false, true, false]);
        assert_eq!(row(3), [false; 4]);
        assert!(!choice.fits(Shown(0), 4));
    }
}
