//! Hostile cookies: odd ones, many, large, forged, tossed from the side, and set by the app itself.

use super::*;

/// A request for a closed page with these `Cookie` lines, whose answer must not be the app's.
async fn nobody(world: &World, lines: &str) -> Heard {
    let heard = say(world, head(world, "GET /secret HTTP/1.1", &format!("{lines}Connection: close\r\n"))).await;
    assert!(matches!(heard.statuses()[..], [400 | 401 | 431]), "{lines:.200}: {}", heard.text());
    heard
}

// T-FAIL-3, CVE-2026-25748; T-DOS-3, CVE-2024-24814; T-DOS-4, CVE-2023-28625; T-DOS-5, CVE-2021-32785
#[tokio::test]
async fn no_odd_cookie_is_a_session() {
    let world = half_open().await;
    let id = "A".repeat(43);
    let values = [
        "",
        "x",
        "null",
        "undefined",
        "true",
        "1",
        "[]",
        "{}",
        "%s%n%x",
        "99999999",
        "\"",
        "\\",
        "..",
        "portcullis",
        "=",
        "==",
        ",",
        "' OR 1=1 --",
        "*",
        "0",
        "\u{e9}",
        "\t",
        "$Version=1",
        &id,
        &format!("{id}="),
        &format!("\"{id}\""),
        &"A".repeat(42),
        &"A".repeat(44),
        &"A".repeat(4000),
        &format!("{}\u{0}", &id[1..]),
        &format!("{id}%00"),
        &format!(" {id} "),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.",
    ];
    for name in [
        "portcullis",
        "__Host-portcullis",
        "Portcullis",
        "__Secure-portcullis",
        "portcullis-attempt-0000000000000000",
        "portcullis-bounce",
        "session",
        "_oauth2_proxy",
        "",
    ] {
        for value in values {
            nobody(&world, &format!("Cookie: {name}={value}\r\n")).await;
        }
    }
    for line in [
        "Cookie: portcullis\r\n",
        "Cookie: \r\n",
        "Cookie: ;;;;\r\n",
        "Cookie: =;=;=\r\n",
        "Cookie: portcullis=;portcullis\r\n",
        "Cookie: $Version=1; portcullis=x; $Path=/\r\n",
    ] {
        nobody(&world, line).await;
    }
    assert_eq!(world.app.hits(), 0);
    still_standing(&world).await;
}

#[tokio::test]
async fn a_thousand_cookies_are_read_and_forgotten() {
    let world = half_open().await;
    let id = "A".repeat(43);
    for pair in [
        format!("portcullis={id}; "),
        "portcullis=; ".to_owned(),
        "portcullis-attempt-0000000000000000=AAAA; ".to_owned(),
        "portcullis-attempt-=; ".to_owned(),
        "a=b; ".to_owned(),
        ";".to_owned(),
    ] {
        nobody(&world, &format!("Cookie: {}\r\n", pair.repeat(1000))).await;
        let heard = say(
            &world,
            head(&world, "GET /secret HTTP/1.1", &format!("Accept: text/html\r\nCookie: {}\r\n", pair.repeat(1000))),
        )
        .await;
        assert_eq!(heard.statuses(), [303], "{}", heard.text());
        assert!(heard.bytes.len() < 16 * 1024, "a line for each: {}", heard.bytes.len());
    }
    assert_eq!(world.app.hits(), 0);
    still_standing(&world).await;
}

// The largest head that a configuration allows, full of attempts: HeaderMap panics beyond 32,768 lines.
#[tokio::test]
async fn a_head_full_of_forged_attempts_is_no_crash() {
    let world = World::with().routes(TWO_ROUTES).table("[limits]\nheader_size = \"1MiB\"\n").start().await;
    let cookies = "portcullis-attempt-=;".repeat(45_000);
    let heard =
        say(&world, head(&world, "GET /secret HTTP/1.1", &format!("Accept: text/html\r\nCookie: {cookies}\r\n"))).await;
    assert!(matches!(heard.statuses()[..], [303 | 431]), "{:.300}", heard.text());
    still_standing(&world).await;
}

// A real session between tossed ones, as far as a handful.
#[tokio::test]
async fn a_tossed_cookie_does_not_hide_a_session() {
    let world = half_open().await;
    let cookie = session_of(&world).await;
    let fake = format!("portcullis={}", "A".repeat(43));
    for line in [
        format!("{fake}; {cookie}"),
        format!("portcullis=x; {fake}; {cookie}; {fake}"),
        format!("portcullis; portcullis=\"; {cookie}"),
    ] {
        let heard = say(&world, head(&world, "GET /closed HTTP/1.1", &format!("Cookie: {line}\r\n"))).await;
        assert_eq!(heard.statuses(), [200], "{line}");
        assert!(world.app.last().all("cookie").is_empty(), "{:?}", world.app.last());
    }
}

// T-LOOP-1: one cookie of the app that is no text signed its browser in for ever.
#[tokio::test]
async fn a_latin_1_cookie_of_the_app_hides_no_session() {
    let world = half_open().await;
    let cookie = session_of(&world).await;
    let mut bytes = format!("GET /closed HTTP/1.1\r\nHost: {}\r\nCookie: theme=caf", host(&world)).into_bytes();
    bytes.extend_from_slice(b"\xe9; ");
    bytes.extend_from_slice(cookie.as_bytes());
    bytes.extend_from_slice(b"\r\n\r\n");
    let heard = say(&world, bytes).await;
    assert_eq!(heard.statuses(), [200], "{}", heard.text());
    assert_eq!(world.app.last().headers.get("cookie").unwrap().as_bytes(), b"theme=caf\xe9");
}

#[tokio::test]
async fn the_app_cannot_set_our_cookies() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: portcullis=evil; Path=/\r\nSet-Cookie: =portcullis=evil\r\n\
        Set-Cookie: =__Host-portcullis=evil; Secure; Path=/\r\nSet-Cookie:   PORTCULLIS-attempt-00=evil\r\nSet-Cookie: ==portcullis=evil\r\n\
        Set-Cookie: portcullis\r\nset-cookie: __HOST-portcullis-bounce=3\r\nSet-Cookie: theme=dark\r\n\r\n";
    let (authority, _heads) = framing::scripted(answer).await;
    let world = World::with().routes(&TWO_ROUTES.replace("{app}", &authority)).start().await;
    let heard = say(&world, head(&world, "GET /pub/x HTTP/1.1", "")).await;
    assert_eq!(heard.statuses(), [200]);
    let text = heard.text().to_ascii_lowercase();
    assert_eq!(text.matches("set-cookie").count(), 1, "{text}");
    assert!(text.contains("theme=dark") && !text.contains("portcullis"), "{text}");
}

// T-LEAK-4, T-LOGOUT-3, CVE-2025-55162: the flags of every line, and a deletion that browsers obey.
#[tokio::test]
async fn every_cookie_has_every_flag_and_is_deleted_as_it_was_set() {
    let world = World::with().tls().start().await;
    let mut browser = world.browser();
    browser.sign_in(&world.at("/"), people::STANDARD.username).await;
    assert!(
        browser.cookie_names("localhost").contains(&"__Host-portcullis".to_owned()),
        "{:?}",
        browser.cookie_names("localhost")
    );
    let url = url::Url::parse(&world.at("/.portcullis/sign-out")).unwrap();
    let reply = browser.post(&url, &[]).await;
    assert!(!reply.cookies().is_empty());
    for line in reply.cookies() {
        for flag in ["__Host-portcullis", "Secure", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=0"] {
            assert!(line.contains(flag), "{line}");
        }
        assert!(!line.contains("Domain"), "{line}");
    }
    assert_eq!(browser.cookie("localhost", "__Host-portcullis"), None);
    let again = browser.get(world.at("/")).await;
    assert_eq!(again.status, 303);
    for line in again.cookies() {
        assert!(line.starts_with("__Host-portcullis-attempt-") && line.contains("; Secure"), "{line}");
    }
}

// Browsers apply no prefix's rules to a name behind white space that is neither space nor tab, so a sibling host can set
// it: an attempt of its own, to sign somebody in as somebody else ("Cookie Chaos", PortSwigger 2025).
#[tokio::test]
async fn an_attempt_behind_odd_white_space_is_none() {
    let world = World::with().tls().start().await;
    for blank in ["\u{2000}", "\u{a0}", "\u{85}", "\u{3000}"] {
        let mut browser = world.browser();
        let callback = browser.sign_in_until_callback(&world.at("/"), people::STANDARD.username).await;
        let names = browser.cookie_names("localhost");
        let name = names.iter().find(|name| name.starts_with("__Host-portcullis-attempt-")).unwrap();
        let sealed = browser.cookie("localhost", name).unwrap();
        browser.forget_cookie("localhost", name);
        let mut planted = browser.clone();
        planted.set_cookie("localhost", &format!("{blank}{name}"), &sealed);
        let reply = planted.visit(&callback).await;
        assert_eq!((reply.status.as_u16(), reply.refusal().as_str()), (400, "attempt_missing"), "{blank:?}");
        browser.set_cookie("localhost", name, &sealed);
        assert_eq!(browser.visit(&callback).await.status, 200, "the same by its own name");
    }
}

// Over TLS the relaxed names mean nothing, and the other way round.
#[tokio::test]
async fn a_plain_name_is_no_session_where_the_prefix_is_demanded() {
    let world = World::with().tls().start().await;
    let mut browser = world.signed_in().await;
    let id = browser.cookie("localhost", "__Host-portcullis").unwrap();
    browser.forget_cookie("localhost", "__Host-portcullis");
    for name in [
        "portcullis",
        "__host-portcullis",
        "__HOST-PORTCULLIS",
        "__Secure-portcullis",
        "__Host-Portcullis",
        "Host-portcullis",
    ] {
        let mut other = browser.clone();
        other.set_cookie("localhost", name, &id);
        let reply = other.fetch(hyper::Method::GET, world.at("/"), &[], "").await;
        assert_eq!(reply.status, 401, "{name}");
    }
    browser.set_cookie("localhost", "__Host-portcullis", &id);
    assert_eq!(browser.fetch(hyper::Method::GET, world.at("/"), &[], "").await.status, 200);
}

// T-CRYPTO-1, -2, -3; CVE-2021-32791, CVE-2023-35941, CVE-2026-47775
#[tokio::test]
async fn a_sealed_attempt_cannot_be_read_changed_or_moved() {
    let world = World::new().await;
    let mut browser = world.browser();
    let callback = browser.sign_in_until_callback(&world.at("/deep"), people::STANDARD.username).await;
    let name =
        browser.cookie_names("localhost").into_iter().find(|name| name.starts_with("portcullis-attempt-")).unwrap();
    let sealed = browser.cookie("localhost", &name).unwrap();
    let mut second = world.browser();
    second.get(world.at("/deep")).await;
    let other = second.cookie_names("localhost").pop().unwrap();
    let other_sealed = second.cookie("localhost", &other).unwrap();
    assert_ne!(sealed[..16], other_sealed[..16], "nonces differ");
    let mut answers = Vec::new();
    let mut flipped = sealed.clone().into_bytes();
    for position in [0, 10, 20, sealed.len() / 2, sealed.len() - 2] {
        flipped[position] = if flipped[position] == b'A' { b'B' } else { b'A' };
        let mut thief = world.browser();
        thief.set_cookie("localhost", &name, std::str::from_utf8(&flipped).unwrap());
        answers.push(thief.get(callback.as_str()).await);
    }
    for value in [
        String::new(),
        sealed[..20].to_owned(),
        format!("{sealed}AAAA"),
        format!("{sealed}="),
        sealed.to_ascii_lowercase(),
        other_sealed,
        "A".repeat(3000),
        "!!!!".to_owned(),
    ] {
        let mut thief = world.browser();
        thief.set_cookie("localhost", &name, &value);
        answers.push(thief.get(callback.as_str()).await);
    }
    for reply in &answers {
        assert_eq!((reply.status, &*reply.refusal()), (answers[0].status, "attempt_forged"), "all failures look alike");
        assert!(reply.cookies().iter().all(|line| line.contains("Max-Age=0")), "{:?}", reply.cookies());
    }
    // None of it spent the attempt of the browser that it belongs to.
    assert_eq!(browser.visit(callback.as_str()).await.status, 200);
    assert_eq!(world.org.count("token"), 1);
}
