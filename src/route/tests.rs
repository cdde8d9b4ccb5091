//! Which route a target falls to, by whatever spelling.

use super::*;
use hyper::{Method, Uri};

/// Whether `prefix` covers `path` by whole segments.
fn covers(prefix: &str, path: &str) -> bool {
    prefix == "/" || path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn routes() -> Routes {
    let route = |host: Option<&str>, path: &str, access| Settings {
        name: format!("{}{path}", host.unwrap_or("main")),
        host: host.map(str::to_owned),
        path: path.to_owned(),
        access,
    };
    let origins = ["https://wiki.example", "https://ci.example:8443"].map(|text| Origin::parse(text).unwrap());
    Routes::new(
        &origins,
        "/.portcullis",
        &[
            route(None, "/", Access::SignedIn),
            route(None, "/assets", Access::Public),
            route(None, "/assets/secret", Access::SignedIn),
            route(Some("ci.example:8443"), "/ci", Access::SignedIn),
        ],
    )
}

fn find(routes: &Routes, host: &str, target: &str) -> Result<String, BadTarget> {
    let target = Target::parse(&Method::GET, &target.parse::<Uri>().unwrap())?;
    let Some(site) = routes.site(host) else { return Ok("wrong host".to_owned()) };
    Ok(match routes.find(site, &target)? {
        Found::Ours(rest) => format!("ours {rest}"),
        Found::App(route) => route.name.clone(),
        Found::Nothing => "nothing".to_owned(),
    })
}

#[test]
fn the_longest_whole_segment_prefix_wins() {
    let routes = routes();
    for (target, name) in [
        ("/", "main/"),
        ("/x", "main/"),
        ("/assets", "main/assets"),
        ("/assets/a.css", "main/assets"),
        ("/assetsx", "main/"),
        ("/assets/secret/x", "main/assets/secret"),
        ("/.portcullis/me", "ours /me"),
        ("/.portcullisx", "main/"),
        ("/x?y=/assets/", "main/"),
    ] {
        assert_eq!(find(&routes, "wiki.example", target).unwrap(), name, "{target}");
    }
    assert_eq!(find(&routes, "ci.example:8443", "/ci/job").unwrap(), "ci.example:8443/ci");
    assert_eq!(find(&routes, "ci.example:8443", "/other").unwrap(), "nothing");
}

#[test]
fn one_of_many_routes_is_the_one_that_a_look_at_each_would_find() {
    let names = ["", "/a", "/a/b", "/ab", "/a/bc", "/b", "/a/b/c/d", "/\u{e4}"];
    for left_out in 0..names.len() {
        let prefixes: Vec<&str> = names.iter().enumerate().filter(|(i, _)| *i != left_out).map(|(_, n)| *n).collect();
        let route = |path: &&str| Settings {
            name: (*path).to_owned(),
            host: None,
            path: if path.is_empty() { "/".to_owned() } else { (*path).to_owned() },
            access: Access::SignedIn,
        };
        let settings: Vec<Settings> = prefixes.iter().map(route).collect();
        let routes = Routes::new(&[Origin::parse("https://wiki.example").unwrap()], "/.portcullis", &settings);
        for path in [
            "/",
            "/a",
            "/a/",
            "/a/b",
            "/a/bc/x",
            "/a/b/c",
            "/a/b/c/d/e",
            "/abc",
            "/ab/c",
            "/\u{e4}/x",
            "/\u{e4}x",
            "/c",
            "*",
        ] {
            let covering = settings.iter().filter(|route| covers(&route.path, path));
            let longest = covering.max_by_key(|route| route.path.len()).map(|route| route.name.as_str());
            let found = routes.sites[0].route(path).map(|route| route.name.as_str());
            assert_eq!(found, longest, "{path} among {prefixes:?}");
        }
    }
}

#[test]
fn a_host_in_front_of_a_path_opens_nothing() {
    let route = |path: &str, access| Settings { name: path.to_owned(), host: None, path: path.to_owned(), access };
    let settings = [route("/", Access::Public), route("/p/closed", Access::SignedIn)];
    let routes = Routes::new(&[Origin::parse("https://wiki.example").unwrap()], "/.portcullis", &settings);
    let site = &routes.sites[0];
    let parse = |path: &str| Target::parse(&Method::GET, &path.parse::<Uri>().unwrap()).unwrap();
    for path in [
        "//a/p/closed/x",
        "//a:1/P/Closed",
        "//a%3F/p/closed",
        "//a%2Fb/p/closed",
        "/p/;/closed",
        "/p/CL%FFOSED",
        "///a/p/closed",
        "/%2Fa/p/closed",
        "/%5C%5Ca/p/closed",
        "/p/closed%3F",
    ] {
        assert_eq!(routes.find(site, &parse(path)).unwrap_err(), BadTarget::Ambiguous, "{path}");
    }
    for path in ["//a/p/x", "/a/p/closed", "//p"] {
        assert!(routes.find(site, &parse(path)).is_ok(), "{path}");
    }
    for (path, has) in
        [("/", true), ("/p", true), ("/P/", true), ("//a/p", true), ("/p/closed", false), ("/p/c", false)]
    {
        assert_eq!(site.has_closed_below(&parse(path)), has, "{path}");
    }
}

#[test]
fn hosts_are_a_closed_list_however_they_are_written() {
    let routes = routes();
    for host in ["wiki.example", "WIKI.example", "wiki.example:443", "wiki.example."] {
        assert_eq!(find(&routes, host, "/").unwrap(), "main/", "{host}");
    }
    for host in ["evil.example", "wiki.example:80", "ci.example", "wiki.example.evil", "xwiki.example", "[::1]"] {
        assert_eq!(find(&routes, host, "/").unwrap(), "wrong host", "{host}");
    }
}

#[test]
fn a_closed_path_cannot_be_spelled_into_a_public_one() {
    let routes = routes();
    for target in [
        "/assets//secret/x",
        "/assets/secret;a/x",
        "/assets%2Fsecret/x",
        "/assets/Secret/x",
        "/assets/%73ecret;x",
        "/assets/SECRET",
        "/assets/;/secret",
        "/x%2F..%2Fassets",
        "//assets/x",
        "/assets;x/secret",
        "/assets/secret%20/x",
        "/assets/secret./x",
        "/assets/secret.",
        "/assets/%C5%BFecret",
        "/assets%EF%BC%8Fsecret",
        "/assets/%252573ecret",
        "/assets/;%3F/secret",
        "/assets/;%23/secret",
        "/assets/;a%2Fb/secret",
        "/assets/secr%FFet/x",
        "/assets/%20secret",
        "/assets/sec%FFret",
    ] {
        let found = find(&routes, "wiki.example", target);
        assert!(
            matches!(found, Err(BadTarget::Ambiguous | BadTarget::DotSegment))
                || found.as_deref() == Ok("main/assets/secret"),
            "{target}: {found:?}"
        );
    }
}

#[test]
fn our_own_endpoints_cannot_be_spelled_another_way() {
    let routes = routes();
    assert_eq!(find(&routes, "wiki.example", "/%2Eportcullis/me").unwrap(), "ours /me");
    assert_eq!(find(&routes, "wiki.example", "/.portcullis%2Fme"), Err(BadTarget::Ambiguous));
    assert_eq!(find(&routes, "wiki.example", "//.portcullis/me"), Err(BadTarget::Ambiguous));
}
