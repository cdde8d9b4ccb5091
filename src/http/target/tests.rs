//! One reading of each target, and what has two.

use super::*;
use hyper::HeaderMap;
use proptest::prelude::*;

fn parse(target: &str) -> Result<Target, BadTarget> {
    Target::parse(&Method::GET, &target.parse().map_err(|_| BadTarget::Form)?)
}

#[test]
fn ordinary_targets_pass_untouched() {
    for target in
        ["/", "/a/b", "/a/b/", "/.well-known/x", "/a.b/..c", "/a?x=../..//;%2f", "/caf%C3%A9", "/a%20b", "/..."]
    {
        let parsed = parse(target).unwrap();
        assert_eq!(parsed.path_and_query().as_str(), target);
    }
    assert_eq!(parse("/a/b?x=1").unwrap().second_reading(), None);
}

#[test]
fn escapes_of_unreserved_characters_are_decoded() {
    assert_eq!(parse("/%61dmin/%7euser%2dx?q=%61").unwrap().path_and_query().as_str(), "/admin/~user-x?q=%61");
    assert_eq!(parse("/a%c3%a9").unwrap().path(), "/a%C3%A9");
}

#[test]
fn dot_segments_are_refused_in_every_encoding() {
    let dotted = [
        "/..",
        "/.",
        "/a/../b",
        "/a/./b",
        "/a/%2e%2e/b",
        "/a/.%2E/b",
        "/%2e/a",
        "/a/..;/b",
        "/a/%2e%2e;x=1/b",
        "/a/..%2fb",
        "/a%2f..%2fb",
        "/a/%252e%252e/b",
        "/a%2f%2e%2e",
        "/a/..%3b/b",
        "/a/%25252e%25252e/b",
        "/a/%EF%BC%8E%EF%BC%8E/b",
        "/a/%E2%80%A4%E2%80%A4%EF%BC%8Fb",
        "/a/..%20/b",
        "/a/..%5cb",
        "/a%5c..%5cb",
        "/a/%C2%A5..%C2%A5b",
        "/a/%E2%82%A9..%E2%82%A9b",
        "/a/..%3Fx",
        "/a%23/%2e%2e/b",
    ];
    for target in dotted {
        assert_eq!(parse(target), Err(BadTarget::DotSegment), "{target}");
    }
}

#[test]
fn forbidden_characters_are_refused() {
    for target in
        ["/a%00", "/a%0d%0aX", "/a%7f", "/a%250a", "/%c0%ae%c0%ae/a", "/%e0%80%af", "/%25c0%25ae", "/%25u002e"]
    {
        assert_eq!(parse(target), Err(BadTarget::ForbiddenCharacter), "{target}");
    }
    for target in ["/a%", "/a%2", "/a%zz"] {
        assert_eq!(parse(target), Err(BadTarget::BrokenEscape), "{target}");
    }
    let backslash = Target::parse(&Method::GET, &Uri::from_static("/a\\b"));
    assert_eq!(backslash, Err(BadTarget::ForbiddenCharacter));
}

#[test]
fn a_second_reading_is_carried_along() {
    assert_eq!(parse("//admin").unwrap().second_reading(), Some("/admin"));
    assert_eq!(parse("/pub%2Fadmin").unwrap().second_reading(), Some("/pub/admin"));
    assert_eq!(parse("/admin;x=1/y").unwrap().second_reading(), Some("/admin/y"));
    assert_eq!(parse("/pub%5cadmin").unwrap().second_reading(), Some("/pub/admin"));
    assert_eq!(parse("/pub%252Fadmin").unwrap().second_reading(), Some("/pub/admin"));
    assert_eq!(parse("/pub%EF%BC%8Fadmin").unwrap().second_reading(), Some("/pub/admin"));
    assert_eq!(parse("/admin%20/x").unwrap().second_reading(), Some("/admin/x"));
    assert_eq!(parse("/admin%3Fx/y").unwrap().second_reading(), Some("/admin"));
    assert_eq!(parse("/admin%23").unwrap().second_reading(), Some("/admin"));
    assert_eq!(parse("/%2525252561").unwrap_err(), BadTarget::Ambiguous);
}

#[test]
fn a_path_that_is_work_to_read_is_short() {
    let long = |piece: &str| format!("/{}", piece.repeat(9000 / piece.len()));
    assert!(parse(&long("a/")).is_ok(), "a plain one is not read again");
    for piece in ["%2525/", ";/", "//", "%20a/"] {
        assert_eq!(parse(&long(piece)), Err(BadTarget::Ambiguous), "{piece}");
    }
}

/// Whether some app might read it so.
fn may_be(target: &str, reading: &str) -> bool {
    parse(target).unwrap().odd_readings().any(|odd| odd == reading)
}

#[test]
fn what_follows_two_slashes_may_be_a_host() {
    for target in [
        "//a/admin/x",
        "///a/admin/x",
        "/%2Fa:1/admin/x",
        "/%5Ca/admin/x",
        "/%252Fa;b/admin/x",
        "//a%3F/admin/x",
        "//a%2Fb/admin/x",
        "//a%5Cb/admin/x",
    ] {
        assert!(may_be(target, "/admin/x"), "{target}");
    }
    for target in ["//a/", "//a", "/%2Fa"] {
        assert!(may_be(target, "/"), "{target}");
    }
    for target in ["/a/admin/x", "/a//admin/x", "/a%2Fadmin/x"] {
        let target = parse(target).unwrap();
        assert!(!target.odd_readings().any(|odd| odd == "/admin/x"), "{target:?}");
    }
}

#[test]
fn parameters_may_be_dropped_before_or_after_anything_is_decoded() {
    for target in [
        "/;%3F/admin/x",
        "/;%23/admin/x",
        "/;a%2Fb/admin/x",
        "/;a%252Fb/admin/x",
        "/%3Ba%252Fb/admin/x",
        "/adm%FFin/x",
        "/%20admin/x",
        "/;/admin%3B/x",
    ] {
        let target = parse(target).unwrap();
        let is_it = |reading: &str| reading == "/admin/x";
        assert!(target.odd_readings().any(is_it) || target.second_reading().is_some_and(is_it), "{target:?}");
    }
    for target in ["/.%FF./admin", "/a/.%FF/x", "/%20../x", "/..%E2%80%83/x", "/a/%25%FF2e%25%FF2e/x"] {
        assert_eq!(parse(target), Err(BadTarget::DotSegment), "{target}");
    }
    // What is dropped stood between escapes of escapes, too many of them.
    assert_eq!(parse("/a/%25%FF2525252561").unwrap_err(), BadTarget::Ambiguous);
    for target in ["/a%3Bb%3Fc.txt", "/caf%E9", "//a/b"] {
        assert!(parse(target).is_ok(), "{target}");
    }
}

#[test]
fn an_address_without_a_path_is_that_of_the_root() {
    for (target, canonical) in
        [("http://a.example", "/"), ("http://a.example?x=1", "/?x=1"), ("http://a.example?", "/?")]
    {
        assert_eq!(parse(target).unwrap().path_and_query().as_str(), canonical, "{target}");
    }
}

#[test]
fn other_forms_are_refused() {
    assert_eq!(Target::parse(&Method::OPTIONS, &Uri::from_static("*")), Err(BadTarget::Form));
    assert_eq!(Target::parse(&Method::CONNECT, &Uri::from_static("a.example:443")), Err(BadTarget::Form));
}

#[test]
fn the_host_is_one_and_the_same() {
    let host = |values: &[&'static str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::HOST, value.parse().unwrap());
        }
        headers
    };
    let read = |version, uri: &'static str, values: &[&'static str]| {
        authority(version, &Uri::from_static(uri), (&host(values)).into()).map(str::to_owned)
    };
    assert_eq!(read(Version::HTTP_11, "/", &["a.example"]).unwrap(), "a.example");
    assert_eq!(read(Version::HTTP_11, "http://a.example/", &["A.example"]).unwrap(), "A.example");
    assert_eq!(read(Version::HTTP_2, "https://a.example/", &[]).unwrap(), "a.example");
    for (version, uri, values) in [
        (Version::HTTP_11, "/", &[][..]),
        (Version::HTTP_11, "/", &["a.example", "a.example"]),
        (Version::HTTP_11, "http://evil.example/", &["a.example"]),
        (Version::HTTP_11, "http://evil.example/", &[]),
        (Version::HTTP_2, "https://evil.example/", &["a.example"]),
        (Version::HTTP_11, "/", &["a.example/b"]),
        (Version::HTTP_11, "/", &["user@a.example"]),
        (Version::HTTP_11, "/", &[""]),
    ] {
        assert_eq!(read(version, uri, values), Err(BadTarget::Host), "{uri} {values:?}");
    }
}

proptest! {
    #[test]
    fn parsing_is_idempotent_and_never_leaves_dots(path in "/[a-c./%;2eEfF5cC\\-]{0,24}") {
        if let Ok(first) = parse(&path) {
            prop_assert!(!has_dot_segment(first.path()));
            let again = parse(first.path_and_query().as_str()).unwrap();
            prop_assert_eq!(again, first);
        }
    }
}
