//! Addresses that a head names in full, in the words of either side.
//!
//! The app is told the public host, but is spoken to in plain text where TLS ends here: one that knows nothing of
//! `X-Forwarded-Proto` calls itself `http://` and that host. Followed, its `Location` would lead to a door that does not
//! exist, so it is told with `https`; and WebDAV's `Destination` (RFC 4918 section 10.3), which such an app compares
//! with what it calls itself, can be told with `http`. Nothing else of either is touched. Called by `proxy`.

use hyper::header::{Entry, HeaderName, HeaderValue, LOCATION};
use hyper::{HeaderMap, StatusCode};

use crate::http::Scheme;
use crate::http::arrival::Outline;
use crate::route::{Address, Transport};

/// Where WebDAV's COPY and MOVE lead.
pub const DESTINATION: HeaderName = HeaderName::from_static("destination");

/// How far below its target a request of WebDAV goes (RFC 4918 section 10.2).
pub const DEPTH: HeaderName = HeaderName::from_static("depth");

/// By which frameworks are told of another method.
const OVERRIDES: [&[u8]; 3] = [b"x-http-method-override", b"x-http-method", b"x-method-override"];

/// Whether an app may take what this field says for the request's method. Some take `_`, `.` and others for `-` in a name.
pub fn is_override(name: &[u8]) -> bool {
    let is = |ours: &&[u8]| {
        let same = |(theirs, ours): (&u8, &u8)| {
            theirs.eq_ignore_ascii_case(ours) || (*ours == b'-' && !theirs.is_ascii_alphanumeric())
        };
        name.len() == ours.len() && name.iter().zip(*ours).all(same)
    };
    OVERRIDES.iter().any(is)
}

/// With which scheme an app reads WebDAV's `Destination`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationScheme {
    /// The public one, as clients send it.
    Public,
    /// The one that the app is reached by.
    App,
}

/// Whether an app at this address sees `http` where people see `https`.
pub fn is_stripped(public: Scheme, address: &Address) -> bool {
    public == Scheme::Https && matches!(address.transport, Transport::Http | Transport::H2c)
}

/// Has an answer's `Location` say `https` where it says `http` and `host`.
pub(super) fn publish(head: &mut Outline, host: &HeaderValue) {
    // Nearly all answers are these, and where they would lead nobody asks (RFC 9110 section 10.2.2).
    if matches!(head.status, StatusCode::OK | StatusCode::NOT_MODIFIED) {
        return;
    }
    let leads = |value: &[u8]| swap(value, Scheme::Http, Scheme::Https, host.as_bytes()).is_some();
    if head.fields().values(&LOCATION).any(leads) {
        rewrite(&mut head.parts().headers, LOCATION, (Scheme::Http, Scheme::Https), host);
    }
}

/// Has a request's `Destination` say `http` where it says `https` and `host`.
pub(super) fn strip(headers: &mut HeaderMap, host: &HeaderValue) {
    rewrite(headers, DESTINATION, (Scheme::Https, Scheme::Http), host);
}

fn rewrite(headers: &mut HeaderMap, name: HeaderName, (from, to): (Scheme, Scheme), host: &HeaderValue) {
    let Entry::Occupied(mut lines) = headers.entry(name) else { return };
    for line in lines.iter_mut() {
        let swapped = swap(line.as_bytes(), from, to, host.as_bytes());
        if let Some(value) = swapped.and_then(|value| HeaderValue::from_bytes(&value).ok()) {
            *line = value;
        }
    }
}

/// `address` with the scheme `to`, if it is one with the scheme `from` and `host`.
fn swap(address: &[u8], from: Scheme, to: Scheme, host: &[u8]) -> Option<Vec<u8>> {
    let rest = after(address, from.as_str().as_bytes()).and_then(|rest| rest.strip_prefix(b"://"))?;
    let path = after(rest, host)?;
    let ends = matches!(path.first(), None | Some(b'/' | b'?' | b'#'));
    ends.then(|| [to.as_str().as_bytes(), b"://", rest].concat())
}

/// What follows `begin`, in any case of its letters.
fn after<'a>(text: &'a [u8], begin: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(begin.len())?;
    head.eq_ignore_ascii_case(begin).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: HeaderValue = HeaderValue::from_static("wiki.example:8443");

    /// What becomes of a `Location`.
    fn published(status: u16, location: &'static str) -> String {
        let mut answer = hyper::Response::new(());
        *answer.status_mut() = StatusCode::from_u16(status).unwrap();
        answer.headers_mut().insert(LOCATION, HeaderValue::from_static(location));
        let (mut head, ()) = crate::http::Reply::from(answer).into_parts();
        publish(&mut head, &HOST);
        head.parts().headers[LOCATION].to_str().unwrap().to_owned()
    }

    #[test]
    fn an_app_is_where_people_find_it() {
        for (location, shown) in [
            ("http://wiki.example:8443/a?b#c", "https://wiki.example:8443/a?b#c"),
            ("HTTP://Wiki.Example:8443/", "https://Wiki.Example:8443/"),
            ("http://wiki.example:8443", "https://wiki.example:8443"),
            ("http://wiki.example:8443?x", "https://wiki.example:8443?x"),
        ] {
            for status in [201, 202, 301, 302, 303, 307, 308] {
                assert_eq!(published(status, location), shown, "{status}");
            }
        }
    }

    #[test]
    fn every_other_address_stays_as_it_is() {
        for location in [
            "/a",
            "a",
            "//wiki.example:8443/a",
            "https://wiki.example:8443/a",
            "http://wiki.example/a",
            "http://wiki.example:84430/a",
            "http://wiki.example:8443.evil.example/a",
            "http://wiki.example:8443@evil.example/a",
            "http://evil.example/http://wiki.example:8443/",
            "http:/wiki.example:8443/a",
            "",
        ] {
            assert_eq!(published(302, location), location);
        }
        let address = "http://wiki.example:8443/a";
        assert_eq!(published(200, address), address, "leads nobody anywhere");
    }

    #[test]
    fn only_where_tls_ends_here_is_there_a_difference() {
        let to = |transport| {
            let place = crate::route::Place::Tcp { host: "127.0.0.1".to_owned(), port: 80 };
            Address { transport, place }
        };
        for (public, transport, stripped) in [
            (Scheme::Https, Transport::Http, true),
            (Scheme::Https, Transport::H2c, true),
            (Scheme::Https, Transport::Https, false),
            (Scheme::Http, Transport::Http, false),
            (Scheme::Http, Transport::Https, false),
        ] {
            assert_eq!(is_stripped(public, &to(transport)), stripped, "{public:?} {transport:?}");
        }
    }

    #[test]
    fn a_destination_is_told_in_the_apps_words() {
        for (sent, told) in [
            ("https://wiki.example:8443/a%20b", "http://wiki.example:8443/a%20b"),
            ("https://other.example/a", "https://other.example/a"),
            ("http://wiki.example:8443/a", "http://wiki.example:8443/a"),
            ("/a", "/a"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(DESTINATION, HeaderValue::from_static(sent));
            strip(&mut headers, &HOST);
            assert_eq!(headers[DESTINATION], told);
        }
    }
}
