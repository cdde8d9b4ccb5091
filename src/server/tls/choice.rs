//! Which certificate is shown: by the name that the client asks for (SNI, RFC 6066 section 3).
//!
//! Whoever names nobody, or somebody whom no certificate covers, is shown the first: a browser then says plainly
//! whose certificate it was shown, health checks by address go on, and HTTP answers such a host with 421 anyway.
//! One name may have several certificates, of different kinds of keys; the first that the client can verify is
//! taken. Whose certificate is still awaited is shown none, and the handshake fails: nothing else would be believed,
//! and a stranger's would teach people to click warnings away. Also knows which hosts may be asked for over a
//! connection, since certificates are chosen before requests come (RFC 9110 section 7.4). Called by rustls in every
//! handshake and by `server::tls`.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::pair::Pair;
use crate::http::Shown;

/// A certificate, or the name of the host that one is awaited for.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Taken(Arc<Pair>),
    Awaited(String),
}

impl Place {
    fn pair(&self) -> Option<&Arc<Pair>> {
        match self {
            Self::Taken(pair) => Some(pair),
            Self::Awaited(_) => None,
        }
    }
}

/// The certificates at one time.
#[derive(Debug)]
pub(super) struct Choice {
    places: Vec<Place>,
    /// By `wiki.example.com` and `*.example.com`.
    by_name: HashMap<String, Vec<usize>>,
    /// By certificate, then by host.
    fits: Vec<Vec<bool>>,
}

impl Choice {
    /// Between `places`, the first of which is the default, for the public `hosts`.
    pub(super) fn new(places: Vec<Place>, hosts: &[String]) -> Self {
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (number, pair) in places.iter().enumerate().filter_map(|(number, place)| Some((number, place.pair()?))) {
            for name in pair.names() {
                by_name.entry(name.clone()).or_default().push(number);
            }
        }
        let mut choice = Self { places, by_name, fits: Vec::new() };
        for (number, place) in choice.places.iter().enumerate() {
            // Until it comes, another that was made for the same name is better than none.
            if let Place::Awaited(name) = place
                && choice.named(name).is_none()
            {
                choice.by_name.insert(name.clone(), vec![number]);
            }
        }
        // A host that no certificate covers is reached by the one that is shown for it all the same.
        let fits = |number: usize, place: &Place, host: &str| {
            choice.first(host) == number || place.pair().is_some_and(|pair| pair.covers(host))
        };
        let row = |(number, place): (usize, &Place)| hosts.iter().map(|host| fits(number, place, host)).collect();
        choice.fits = choice.places.iter().enumerate().map(row).collect();
        choice
    }

    fn named(&self, name: &str) -> Option<&[usize]> {
        let exact = self.by_name.get(name);
        let found = exact.or_else(|| self.by_name.get(&format!("*.{}", name.split_once('.')?.1)));
        found.map(Vec::as_slice)
    }

    fn candidates(&self, name: &str) -> &[usize] {
        self.named(name).unwrap_or(&[0])
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

    /// The certificates by their places.
    pub(super) fn pairs(&self) -> Vec<Option<Arc<Pair>>> {
        self.places.iter().map(|place| place.pair().cloned()).collect()
    }
}

impl ResolvesServerCert for Choice {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let places = hello.server_name().map_or(&[0][..], |name| self.candidates(name));
        let mut keys = places.iter().filter_map(|&place| self.places.get(place)?.pair()).map(|pair| &pair.key);
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
            if let ["awaited", name] = names {
                return Place::Awaited((*name).to_owned());
            }
            let (certificate, key) = made_for(names);
            Place::Taken(Arc::new(write(folder.path(), "a", &certificate, &key).load().unwrap()))
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
    fn an_awaited_certificate_has_its_place_and_nothing_is_shown_there() {
        let some = choice(&[&["a.example.com"], &["awaited", "b.example.com"]], &["a.example.com", "b.example.com"]);
        assert_eq!((some.shown(Some("b.example.com")), some.shown(Some("c.example.com"))), (Shown(1), Shown(0)));
        assert!(some.pairs()[0].is_some() && some.pairs()[1].is_none());
        assert!(some.fits(Shown(1), 1) && !some.fits(Shown(1), 0) && !some.fits(Shown(0), 1));
        let all = choice(&[&["awaited", "a.example.com"], &["awaited", "b.example.com"]], &["a.example.com"]);
        assert_eq!((all.shown(Some("b.example.com")), all.shown(None)), (Shown(1), Shown(0)));
        // Another that covers it serves until then.
        let covered = choice(&[&["awaited", "a.example.com"], &["*.example.com"]], &["a.example.com"]);
        assert_eq!(covered.shown(Some("a.example.com")), Shown(1));
        assert!(covered.fits(Shown(1), 0));
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
