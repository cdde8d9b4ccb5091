//! Headers: the app believes ours, so nobody else's may look like them.

use std::collections::BTreeSet;

use super::*;

const IDENTITY: [&str; 15] = [
    "X-Salesforce-User-Id",
    "X-Salesforce-Organization-Id",
    "X-Salesforce-User-Type",
    "X-Salesforce-Anything",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Groups",
    "X-Forwarded-Access-Token",
    "X-Auth-Request-User",
    "X-Auth-Request-Groups",
    "Remote-User",
    "Remote-Groups",
    "X-Portcullis-Assertion",
    "X-Department",
];

const CUSTOM: &str = "[headers]\npresets = [\"forwarded\", \"salesforce\", \"remote\"]\n[headers.custom]\nX-Department = \"claims.custom_attributes.department\"\n";

/// Every spelling that CGI, WSGI or PHP folds into one variable.
fn spellings(name: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::from([name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase()]);
    let mixed = |(at, letter): (usize, char)| match at % 2 {
        0 => letter.to_ascii_lowercase(),
        _ => letter.to_ascii_uppercase(),
    };
    all.insert(name.chars().enumerate().map(mixed).collect());
    for separator in ["_", ".", "~", "!", "'", "*", "+", "^", "`", "|", "&", "#", "$", "%"] {
        all.insert(name.replace('-', separator));
        all.insert(name.replacen('-', separator, 1));
    }
    all
}

// T-HDR-1, T-HDR-2, T-HDR-7; CVE-2025-64484, CVE-2026-39858, CVE-2017-6062
#[tokio::test]
async fn no_spelling_of_an_identity_reaches_the_app() {
    let world = World::with().routes(TWO_ROUTES).table(CUSTOM).start().await;
    let cookie = session_of(&world).await;
    let spelled: Vec<String> = IDENTITY.iter().flat_map(|name| spellings(name)).collect();
    for some in spelled.chunks(40) {
        let lines: String =
            some.iter().map(|name| format!("{name}: evil-identity\r\n{name}: evil-identity\r\n")).collect();
        for (target, cookies) in [("/pub/x", ""), ("/closed", &*format!("Cookie: {cookie}\r\n"))] {
            for method in ["GET", "POST", "OPTIONS"] {
                let heard = say(
                    &world,
                    head(
                        &world,
                        &format!("{method} {target} HTTP/1.1"),
                        &format!("{lines}{cookies}Connection: close\r\n"),
                    ),
                )
                .await;
                assert_eq!(heard.statuses(), [200], "{method} {target}: {}", heard.text());
                let seen = world.app.last();
                assert!(!format!("{:?}", seen.headers).contains("evil-identity"), "{seen:?}");
                assert_eq!(seen.one("x-forwarded-user").is_some(), target == "/closed");
            }
        }
    }
    still_standing(&world).await;
}

// The same on a connection that goes on, where heads stay lines as they came, and whose requests are not all one
// person's.
#[tokio::test]
async fn no_spelling_of_an_identity_reaches_the_app_by_lines_that_are_passed_on() {
    let world = World::with().routes(TWO_ROUTES).table(CUSTOM).start().await;
    let cookie = session_of(&world).await;
    let before = world.app.hits();
    let spelled: Vec<String> = IDENTITY.iter().flat_map(|name| spellings(name)).collect();
    let mut requests = String::new();
    for some in spelled.chunks(40) {
        let lines: String = some.iter().map(|name| format!("{name}: evil-identity\r\n")).collect();
        requests += &head(&world, "GET /closed HTTP/1.1", &format!("{lines}COOKIE: {cookie}; a=b\r\nX-Case: kept\r\n"));
        requests += &head(&world, "GET /pub/x HTTP/1.1", &format!("cOOKIE: a=b\r\nConnection: keep-alive\r\n{lines}"));
    }
    let heard = say(&world, requests + &head(&world, "GET /pub/last HTTP/1.1", "Connection: close\r\n")).await;
    let seen = world.app.everything().split_off(before);
    assert_eq!(heard.statuses(), vec![200; seen.len()], "{}", heard.text());
    assert_eq!(seen.len(), 2 * spelled.len().div_ceil(40) + 1);
    check_seen(&seen);
    for request in seen {
        let is_closed = request.target == "/closed";
        assert_eq!(request.one("x-forwarded-user").is_some(), is_closed, "{request:?}");
        assert_eq!(request.one("x-case").is_some(), is_closed, "{request:?}");
        let cookies = if request.target == "/pub/last" { None } else { Some("a=b") };
        assert_eq!(request.one("cookie").as_deref(), cookies, "{request:?}");
    }
    still_standing(&world).await;
}

// T-HDR-8, CVE-2026-30851: nothing is known of a department, so nothing is said of it.
#[tokio::test]
async fn what_we_do_not_know_is_not_what_the_client_says() {
    let world = World::with().table(CUSTOM).start().await;
    let mut browser = world.signed_in().await;
    let reply = browser
        .fetch(hyper::Method::GET, world.at("/"), &[("x-department", "evil-identity"), ("x-nobody", "mine")], "")
        .await;
    assert_eq!(reply.status, 200);
    let seen = world.app.last();
    assert_eq!((seen.one("x-department"), seen.one("x-nobody").as_deref()), (None, Some("mine")));
}

// T-HDR-5, GHSA-w9mr-28mw-j8hg, CVE-2026-29054, CVE-2024-45410
#[tokio::test]
async fn connection_cannot_name_our_headers_away() {
    let world = half_open().await;
    let cookie = session_of(&world).await;
    let names = "X-Salesforce-User-Id, x-forwarded-user, X-Forwarded-Email, x-forwarded-for, forwarded, x-forwarded-proto, X-Forwarded-Host, host, via, cookie";
    for lines in [
        format!("Connection: close, {names}\r\n"),
        format!("connection: {names}\r\nConnection: keep-alive\r\n"),
        format!("Connection: {}\r\n", names.to_ascii_lowercase()),
        format!(
            "Keep-Alive: {names}\r\nTE: {names}\r\nTrailer: {names}\r\nProxy-Connection: {names}\r\nUpgrade: {names}\r\n"
        ),
    ] {
        let heard = say(&world, head(&world, "GET /closed HTTP/1.1", &format!("Cookie: {cookie}\r\n{lines}"))).await;
        assert_eq!(heard.statuses(), [200], "{lines}: {}", heard.text());
        let seen = world.app.last();
        for name in [
            "x-salesforce-user-id",
            "x-salesforce-organization-id",
            "x-forwarded-user",
            "x-forwarded-email",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "forwarded",
            "host",
            "via",
        ] {
            assert!(seen.one(name).is_some(), "{name} is missing after {lines}");
        }
    }
    check_seen(&world.app.everything());
}

// T-HDR-3: what could end a line never goes on.
#[tokio::test]
async fn no_header_value_begins_a_line_of_its_own() {
    let world = half_open().await;
    for value in [
        "a\rX-Salesforce-User-Id: evil-identity",
        "a\nX-Salesforce-User-Id: evil-identity",
        "a\0b",
        "a\r\n X-Salesforce-User-Id: evil-identity",
        "a\x0bX-Salesforce-User-Id: evil-identity",
    ] {
        let heard =
            say(&world, head(&world, "GET /pub/x HTTP/1.1", &format!("X: {value}\r\nConnection: close\r\n"))).await;
        assert!(heard.statuses().len() <= 1, "{value:?}");
    }
    check_seen(&world.app.everything());
    still_standing(&world).await;
}

// T-HDR-6, CVE-2024-47070
#[tokio::test]
async fn nobody_but_a_trusted_proxy_says_who_the_client_is() {
    let lies = "X-Forwarded-For: 10.1.1.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\nForwarded: for=10.1.1.1;host=evil.example\r\nX-Real-IP: 10.1.1.1\r\nX-Forwarded-Port: 1\r\nX_Forwarded_For: 10.1.1.1\r\n";
    let world = half_open().await;
    let heard = say(&world, head(&world, "GET /pub/x HTTP/1.1", lies)).await;
    assert_eq!(heard.statuses(), [200]);
    let seen = world.app.last();
    assert!(
        !format!("{:?}", seen.headers).contains("10.1.1.1") && !format!("{:?}", seen.headers).contains("evil"),
        "{seen:?}"
    );

    let world = World::with().top("trusted_proxies = [\"127.0.0.1/32\"]").routes(TWO_ROUTES).start().await;
    for chain in [
        "",
        ",,,",
        "x",
        "1.2.3.4.5",
        "1.2.3.4:99",
        "[::1",
        "'\"",
        "unknown, 127.0.0.1",
        "127.0.0.1",
        &"127.0.0.1,".repeat(2000),
        "\u{e9}",
        "for=x",
        "%00",
    ] {
        for more in ["", "Forwarded: for=\"open\r\n", "Forwarded: ;;;=,\r\nForwarded: for=\"\\\r\n"] {
            let heard = say(&world, head(&world, "GET /pub/x HTTP/1.1", &format!("X-Forwarded-For: {chain}\r\nX-Forwarded-Host: evil.example\r\nX-Forwarded-Proto: gopher\r\nConnection: close\r\n{more}"))).await;
            assert_eq!(heard.statuses(), [200], "{chain}: {}", heard.text());
            let seen = world.app.last();
            assert!(seen.one("x-forwarded-for").unwrap().ends_with("127.0.0.1"), "{seen:?}");
            assert_eq!(seen.one("x-forwarded-host").unwrap(), host(&world));
            assert_eq!(seen.one("x-forwarded-proto").unwrap(), "http");
            let forwarded = seen.one("forwarded").unwrap();
            let ours = format!("for=127.0.0.1;host=\"{}\";proto=http", host(&world));
            assert!(forwarded.ends_with(&ours), "{forwarded}");
            assert_eq!(forwarded.matches('"').count() % 2, 0, "{forwarded}");
            let heard = say(
                &world,
                head(
                    &world,
                    "GET /secret HTTP/1.1",
                    &format!("X-Forwarded-For: {chain}\r\nConnection: close\r\n{more}"),
                ),
            )
            .await;
            assert_eq!(heard.statuses(), [401], "{chain}");
        }
    }
}

// T-HDR-9: a name beyond ASCII has one encoding, and it is not the client's.
#[tokio::test]
async fn a_name_beyond_ascii_arrives_encoded() {
    let world = World::with().table("[headers]\npresets = [\"remote\"]\n").start().await;
    let mut browser = world.browser();
    browser.sign_in(&world.at("/"), people::ACCENTED.username).await;
    let reply = browser
        .fetch(
            hyper::Method::GET,
            world.at("/"),
            &[("remote-name", "evil-identity"), ("remote_name", "evil-identity")],
            "",
        )
        .await;
    assert_eq!(reply.status, 200);
    let seen = world.app.last();
    let name = seen.one("remote-name").unwrap();
    let decoded = percent_encoding::percent_decode_str(&name).decode_utf8().unwrap();
    assert_eq!(decoded, people::ACCENTED.name());
    assert!(name.is_ascii() && !decoded.is_ascii());
    assert!(seen.all("remote_name").is_empty());
}

// RFC 9110 section 6.5.1
#[tokio::test]
async fn trailers_are_not_headers() {
    let world = World::with().routes(TWO_ROUTES).table(CUSTOM).start().await;
    let cookie = session_of(&world).await;
    let mut names: Vec<&str> = IDENTITY.to_vec();
    names.extend([
        "X_Forwarded_User",
        "X-Forwarded-For",
        "Forwarded",
        "X-Real-IP",
        "Cookie",
        "Authorization",
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Via",
        "Connection",
        "Proxy",
    ]);
    let declared = names.join(", ");
    let trailers: String = names.iter().map(|name| format!("{name}: evil-identity\r\n")).collect();
    let lines =
        format!("Cookie: {cookie}\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: X-Sum, {declared}\r\n");
    let body = format!("5\r\nhello\r\n0\r\nX-Sum: 1\r\n{trailers}\r\n");
    let heard = say(&world, format!("{}{body}", head(&world, "POST /upload HTTP/1.1", &lines))).await;
    assert_eq!(heard.statuses(), [200], "{}", heard.text());
    let seen = world.app.last();
    let arrived = seen.trailers.unwrap_or_default();
    assert_eq!(arrived.get("x-sum").unwrap(), "1", "{arrived:?}");
    assert!(!format!("{arrived:?}").contains("evil-identity"), "{arrived:?}");
    assert_eq!(seen.headers.get("x-salesforce-user-id").unwrap(), people::STANDARD.user);
}

// CVE-2016-5385, httpoxy
#[tokio::test]
async fn proxy_does_not_become_an_environment_variable() {
    let world = half_open().await;
    say(&world, head(&world, "GET /pub/x HTTP/1.1", "Proxy: http://evil.example\r\nPROXY: x\r\n")).await;
    assert!(world.app.last().all("proxy").is_empty());
}

// T-HDR-4, T-LEAK-5: what is meant for us alone stays here, both ways.
#[tokio::test]
async fn credentials_for_the_gateway_stay_at_the_gateway() {
    let world = half_open().await;
    let cookie = session_of(&world).await;
    let lines = format!(
        "Cookie: a=1; {cookie}; b=2; portcullis-attempt-00=x; __Host-portcullis=y; PORTCULLIS=z; =portcullis=w\r\nProxy-Authorization: Basic evil-identity\r\nAuthorization: Bearer mine\r\n"
    );
    for target in ["/closed", "/pub/x"] {
        let heard = say(&world, head(&world, &format!("GET {target} HTTP/1.1"), &lines)).await;
        assert_eq!(heard.statuses(), [200], "{}", heard.text());
        let seen = world.app.last();
        assert_eq!(seen.one("cookie").unwrap(), "a=1; b=2");
        assert_eq!(seen.one("authorization").unwrap(), "Bearer mine");
        assert!(seen.all("proxy-authorization").is_empty());
    }
}

#[tokio::test]
async fn more_headers_than_anybody_needs_are_refused() {
    let world = half_open().await;
    for lines in [
        "X: a\r\n".repeat(200),
        format!("X: {}\r\n", "a".repeat(100_000)),
        format!("{}: a\r\n", "X".repeat(100_000)),
        format!("Cookie: {}\r\n", "a=b; ".repeat(20_000)),
    ] {
        let heard = say(&world, head(&world, "GET /pub/x HTTP/1.1", &lines)).await;
        assert!(heard.statuses().iter().all(|status| [400, 431].contains(status)) && heard.closed, "{}", heard.text());
    }
    assert_eq!(world.app.hits(), 0);
    still_standing(&world).await;
}
