//! Headers on their way to the app and back: what goes, what stays, what is added.

use super::super::inject::{self, Injector};
use super::super::outgoing::{Added, Outgoing, Shape};
use super::*;
use crate::http::{Body, Neighbour, Request};
use ipnet::IpNet;
use proptest::prelude::*;
use std::net::SocketAddr;

const HOST_VALUE: HeaderValue = HeaderValue::from_static("wiki.example");

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn remote(ip: &str) -> Remote {
    if ip == "unix" { Remote::Unix } else { SocketAddr::new(ip.parse().unwrap(), 5).into() }
}

fn neighbours(networks: &[IpNet]) -> Neighbours {
    Neighbours(networks.iter().copied().map(Neighbour::Network).collect())
}

fn clean(lines: &[(&str, &str)], peer: &str, trusted: &[IpNet]) -> HeaderMap {
    let mut headers = map(lines);
    let (peer, trusted) = (remote(peer), &neighbours(trusted));
    let forwarding = Forwarding { peer, trusted, scheme: Scheme::Https, host: &HOST_VALUE };
    clean_and_add(&mut headers, forwarding);
    headers
}

/// As an app receives them that is spoken to by way of a map.
fn clean_and_add(headers: &mut HeaderMap, forwarding: Forwarding<'_>) {
    let seen = survey(headers);
    let forwarded = Some(clean_request(headers, seen, forwarding));
    let mut request = Request::new(Body::Empty);
    *request.headers_mut() = std::mem::take(headers);
    let added = Added { forwarded, ..Added::default() };
    *headers = Outgoing::new(Box::new(request), added, Shape::Any).whole().into_parts().0.headers;
}

fn survey(headers: &HeaderMap) -> Survey {
    Survey::of(headers.into(), Injector::new(&inject::Settings { presets: Vec::new(), custom: Vec::new() }).managed())
}

fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).into_iter().map(|value| value.to_str().unwrap()).collect()
}

#[test]
fn every_line_of_connection_nominates() {
    let cleaned = clean(
        &[
            ("connection", "close, X-One"),
            ("connection", "x-two"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("keep-alive", "5"),
            ("proxy-connection", "x"),
            ("proxy-authorization", "Basic x"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("expect", "100-continue"),
        ],
        "192.0.2.1",
        &[],
    );
    for gone in [
        "connection",
        "x-one",
        "x-two",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "upgrade",
        "te",
        "transfer-encoding",
        "expect",
    ] {
        assert!(!cleaned.contains_key(gone), "{gone}");
    }
    assert_eq!(all(&cleaned, "x-three"), ["3"]);
    assert_eq!(all(&cleaned, "via"), ["1.1 portcullis"]);
}

#[test]
fn host_and_length_cannot_be_nominated_away() {
    let cleaned = clean(
        &[("connection", "host, content-length"), ("host", "wiki.example"), ("content-length", "3")],
        "192.0.2.1",
        &[],
    );
    assert_eq!(all(&cleaned, "host"), ["wiki.example"]);
    assert_eq!(all(&cleaned, "content-length"), ["3"]);
}

#[test]
fn trailers_stay_welcome() {
    assert_eq!(all(&clean(&[("te", "gzip, Trailers")], "192.0.2.1", &[]), "te"), ["trailers"]);
}

#[test]
fn a_strangers_forwarding_fields_are_replaced() {
    let lies = [
        ("x-forwarded-for", "10.0.0.1"),
        ("x_forwarded_for", "10.0.0.1"),
        ("forwarded", "for=10.0.0.1"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "evil.example"),
        ("x-real-ip", "10.0.0.1"),
        ("x-forwarded-port", "1"),
        ("x-forwarded-uri", "/public"),
        ("x-original-url", "/public"),
        ("x-forwarded-prefix", "/x"),
        ("x-rewrite-url", "/public"),
        ("x-forwarded-groups", "admins"),
        ("x_forwarded_access_token", "x"),
        ("x-forwarded-client-cert", "x"),
        ("x-original-host", "evil.example"),
        ("x-http-host-override", "evil.example"),
        ("proxy", "http://evil.example"),
        ("script_name", "/public"),
        ("x-script-name", "/public"),
        ("path-info", "/closed"),
        ("daphne-root-path", "/public"),
        ("x-accel-mapping", "/=/"),
        ("x-sendfile-type", "x-accel-redirect"),
    ];
    let cleaned = clean(&lies, "192.0.2.1", &["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(all(&cleaned, "x-forwarded-for"), ["192.0.2.1"]);
    assert_eq!(all(&cleaned, "x-forwarded-proto"), ["https"]);
    assert_eq!(all(&cleaned, "x-forwarded-host"), ["wiki.example"]);
    assert_eq!(all(&cleaned, "forwarded"), ["for=192.0.2.1;host=\"wiki.example\";proto=https"]);
    for gone in [
        "x_forwarded_for",
        "x-real-ip",
        "x-forwarded-port",
        "x-forwarded-uri",
        "x-original-url",
        "x-forwarded-prefix",
        "x-rewrite-url",
        "x-forwarded-groups",
        "x_forwarded_access_token",
        "x-forwarded-client-cert",
        "x-original-host",
        "x-http-host-override",
        "proxy",
        "script_name",
        "x-script-name",
        "path-info",
        "daphne-root-path",
        "x-accel-mapping",
        "x-sendfile-type",
    ] {
        assert!(!cleaned.contains_key(gone), "{gone}");
    }
}

#[test]
fn a_trusted_proxys_chain_is_extended() {
    let trusted = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    let cleaned =
        clean(&[("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")], "::ffff:10.0.0.2", &trusted);
    assert_eq!(all(&cleaned, "x-forwarded-for"), ["203.0.113.9, 10.0.0.2"]);
    assert_eq!(all(&cleaned, "forwarded"), ["for=203.0.113.9, for=10.0.0.2;host=\"wiki.example\";proto=https"]);
    for open in ["for=\"evil", "for=\"evil\\\"", "for=a;by=\""] {
        let alone = clean(&[("forwarded", open)], "10.0.0.2", &trusted);
        assert_eq!(all(&alone, "forwarded"), ["for=10.0.0.2;host=\"wiki.example\";proto=https"], "{open}");
    }
    let six = clean(&[], "2001:db8::1", &trusted);
    assert_eq!(all(&six, "forwarded"), ["for=\"[2001:db8::1]\";host=\"wiki.example\";proto=https"]);
}

#[test]
fn the_client_is_the_right_most_stranger() {
    let trusted = neighbours(&["10.0.0.0/8".parse().unwrap()]);
    let address = |peer: &str, chain: &[(&str, &str)]| {
        client_address((&map(chain)).into(), remote(peer), &trusted).unwrap().to_string()
    };
    let chain = [("x-forwarded-for", "1.1.1.1, 203.0.113.9"), ("x-forwarded-for", "10.0.0.3")];
    assert_eq!(address("10.0.0.2", &chain), "203.0.113.9");
    assert_eq!(address("192.0.2.1", &chain), "192.0.2.1");
    assert_eq!(address("10.0.0.2", &[("x-forwarded-for", "garbage")]), "10.0.0.2");
    assert_eq!(address("10.0.0.2", &[]), "10.0.0.2");
}

#[test]
fn a_client_of_a_unix_socket_is_unknown_and_believed_only_where_it_is_named() {
    let chain = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")];
    let headers = |trusted: Neighbours| {
        let mut headers = map(&chain);
        let client = client_address((&headers).into(), Remote::Unix, &trusted);
        let forwarding = Forwarding { peer: Remote::Unix, trusted: &trusted, scheme: Scheme::Https, host: &HOST_VALUE };
        clean_and_add(&mut headers, forwarding);
        (client, all(&headers, "x-forwarded-for").join("|"), all(&headers, "forwarded").join("|"))
    };
    let alone = "for=unknown;host=\"wiki.example\";proto=https";
    let everybody = neighbours(&["0.0.0.0/1".parse().unwrap(), "128.0.0.0/1".parse().unwrap()]);
    assert_eq!(headers(everybody), (None, "unknown".to_owned(), alone.to_owned()));
    let (client, addresses, elements) = headers(Neighbours(vec![Neighbour::Unix]));
    assert_eq!(client, Some("203.0.113.9".parse().unwrap()));
    assert_eq!((addresses.as_str(), elements), ("203.0.113.9, unknown", format!("for=203.0.113.9, {alone}")));
}

#[test]
fn a_response_keeps_one_framing() {
    let mut response = map(&[
        ("transfer-encoding", "chunked"),
        ("content-length", "5"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("trailer", "x-sum"),
        ("etag", "e"),
    ]);
    clean_response(&mut response);
    let names: Vec<&str> = response.keys().map(HeaderName::as_str).collect();
    assert_eq!(names.len(), 2);
    assert!(response.contains_key("trailer") && response.contains_key("etag"));
}

#[test]
fn ambiguous_framing_is_refused() {
    let check = |version, lines: &[(&str, &str)]| check_framing(version, &map(lines));
    assert_eq!(check(Version::HTTP_11, &[("transfer-encoding", "Chunked")]), Ok(()));
    assert_eq!(check(Version::HTTP_11, &[("content-length", "3")]), Ok(()));
    assert_eq!(
        check(Version::HTTP_11, &[("content-length", "3"), ("transfer-encoding", "chunked")]),
        Err(BadFraming::TwoLengths)
    );
    assert_eq!(
        check(Version::HTTP_11, &[("content-length", "3"), ("content-length", "3")]),
        Err(BadFraming::RepeatedLength)
    );
    for coding in ["gzip, chunked", "identity", "xchunked", "chunked, chunked"] {
        assert_eq!(
            check(Version::HTTP_11, &[("transfer-encoding", coding)]),
            Err(BadFraming::TransferCoding),
            "{coding}"
        );
    }
    assert_eq!(check(Version::HTTP_10, &[("transfer-encoding", "chunked")]), Err(BadFraming::TransferCoding));
    let twice = [("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")];
    assert_eq!(check(Version::HTTP_11, &twice), Err(BadFraming::TransferCoding));
}

proptest! {
    #[test]
    fn cleaning_twice_changes_only_the_chain(lines in prop::collection::vec(("[a-z-]{1,12}", "[ -~]{0,20}"), 0..10)) {
        let lines: Vec<(&str, &str)> = lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let once = clean(&lines, "192.0.2.1", &[]);
        let mut twice = once.clone();
        let forwarding = Forwarding { peer: remote("192.0.2.1"), trusted: &Neighbours::default(), scheme: Scheme::Https, host: &HOST_VALUE };
        clean_and_add(&mut twice, forwarding);
        twice.remove(VIA);
        let mut once = once;
        once.remove(VIA);
        prop_assert_eq!(once, twice);
    }
}
