//! What the app is told about people, and that nobody else can tell it.

use hyper::Method;
use percent_encoding::percent_decode_str;
use portcullis::emulator::{Mischief, people};

use crate::app::Seen;
use crate::stage::{Line, field};
use crate::world::{Builder, World};

/// Every name that the presets of this test send.
const ALL: [&str; 12] = [
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-preferred-username",
    "x-salesforce-user-id",
    "x-salesforce-organization-id",
    "x-salesforce-user-type",
    "x-auth-request-user",
    "x-auth-request-email",
    "x-auth-request-preferred-username",
    "remote-user",
    "remote-email",
    "remote-name",
];

const EVIL: &str = "evil@evil.example";

fn public_and_closed() -> Builder {
    World::with().routes(
        "[[route]]\nupstream = \"http://{app}\"\n\
         [[route]]\npath = \"/public\"\npublic = true\nupstream = \"http://{app}\"\n",
    )
}

/// No header, whatever its name, holds what the client made up.
fn assert_nothing_evil(seen: &Seen) {
    for (name, value) in &seen.headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        assert!(!value.contains("evil"), "{name}: {value}");
    }
}

#[tokio::test]
async fn every_preset_says_who_it_is() {
    let presets = "[headers]\npresets = [\"forwarded\", \"salesforce\", \"auth-request\", \"remote\"]";
    let world = World::with().table(presets).start().await;
    world.signed_in().await;
    let seen = world.app.last();
    let key = format!("{}@{}", people::STANDARD.user, people::HOME_ORGANIZATION);
    let name = people::STANDARD.name();
    let person = &people::STANDARD;
    for (header, value) in ALL.into_iter().zip([
        key.as_str(),
        person.email,
        person.username,
        person.user,
        people::HOME_ORGANIZATION,
        "STANDARD",
        &key,
        person.email,
        person.username,
        &key,
        person.email,
        &name,
    ]) {
        assert_eq!(seen.one(header).as_deref(), Some(value), "{header}");
    }
}

#[tokio::test]
async fn no_preset_is_no_header() {
    let world = World::with().table("[headers]\npresets = []").start().await;
    world.signed_in().await;
    for name in ALL {
        assert_eq!(world.app.last().one(name), None, "{name}");
    }
}

#[tokio::test]
async fn names_of_ones_own_hold_attributes_and_any_claim() {
    let custom = "[headers]\npresets = []\n[headers.custom]\n\
                  X-Who = \"name\"\nX-Zone = \"claims.zoneinfo\"\n\
                  X-Department = \"claims.custom_attributes.department\"\nX-Absent = \"claims.no.such.claim\"";
    let world = World::with().table(custom).mischief(Mischief::BigUserInfo).start().await;
    let mut browser = world.signed_in().await;
    let seen = world.app.last();
    assert_eq!(seen.one("x-who").as_deref(), Some(people::STANDARD.name().as_str()));
    let department = seen.one("x-department").unwrap();
    assert_eq!(percent_decode_str(&department).decode_utf8().unwrap(), "Küche & Keller");
    assert!(seen.one("x-zone").is_some());
    assert_eq!(seen.one("x-absent"), None);
    // a client cannot fill in what the person lacks
    let spoofed = [("x-absent", EVIL), ("x_absent", EVIL), ("x-department", EVIL), ("X_Department", EVIL)];
    assert_eq!(browser.fetch(Method::GET, world.at("/"), &spoofed, "").await.status, 200);
    assert_nothing_evil(&world.app.last());
    assert_eq!(world.app.last().one("x-department"), Some(department));
}

#[tokio::test]
async fn a_name_beyond_ascii_arrives_percent_encoded() {
    let world = World::with().table("[headers]\npresets = [\"remote\", \"salesforce\"]").start().await;
    world.browser().sign_in(&world.at("/"), people::ACCENTED.username).await;
    let name = world.app.last().one("remote-name").unwrap();
    assert!(name.is_ascii() && name.starts_with("Zo%C3%AB M%C3%BCller-"), "{name}");
    assert_eq!(percent_decode_str(&name).decode_utf8().unwrap(), people::ACCENTED.name());
}

/// The spellings that some server or framework reads as the same name.
fn spellings(name: &str) -> Vec<String> {
    let capital: String = name.split('-').map(|word| format!("{}{}-", &word[..1].to_uppercase(), &word[1..])).collect();
    vec![
        name.to_owned(),
        name.to_uppercase(),
        capital.trim_end_matches('-').to_owned(),
        name.replace('-', "_"),
        name.replacen('-', "_", 1),
        name.replace('-', "."),
        name.replace('-', "~"),
        name.to_uppercase().replace('-', "_"),
    ]
}

#[tokio::test]
async fn no_spelling_of_a_managed_name_survives_on_any_path() {
    let world = public_and_closed().start().await;
    let mut insider = world.signed_in().await;
    let me = world.app.last().one("x-forwarded-user");
    assert!(me.is_some());
    // presets that are switched off are managed all the same
    for name in ALL {
        for spelling in spellings(name) {
            let spoofed = [(spelling.as_str(), EVIL)];
            for (who, path, identity) in
                [("insider", "/page", &me), ("insider", "/public/x", &me), ("stranger", "/public/x", &None)]
            {
                let mut stranger = world.browser();
                let browser = if who == "insider" { &mut insider } else { &mut stranger };
                let reply = browser.fetch(Method::GET, world.at(path), &spoofed, "").await;
                assert_eq!(reply.status, 200, "{spelling}");
                let seen = world.app.last();
                assert_nothing_evil(&seen);
                assert_eq!(seen.one("x-forwarded-user"), *identity, "{spelling}: {who} at {path}");
                let same = seen.headers.keys().filter(|theirs| theirs.as_str().replace(['_', '.', '~'], "-") == name);
                assert!(same.count() <= 1, "{spelling}: {:?}", seen.headers);
            }
        }
    }
}

#[tokio::test]
async fn a_stranger_on_a_public_path_is_nobody() {
    let world = public_and_closed().start().await;
    assert_eq!(world.browser().get(world.at("/public")).await.status, 200);
    for name in ALL {
        assert_eq!(world.app.last().one(name), None, "{name}");
    }
    assert_eq!(world.browser().get(world.at("/publicity")).await.status, 303, "whole segments only");
    assert_eq!(world.app.hits(), 1);
}

#[tokio::test]
async fn a_client_cannot_nominate_our_headers_away() {
    let world = World::new().await;
    let ticket = world.ticket().await;
    let host = world.authority();
    // A head alone, one with a body, and one that asks for another protocol: each goes to the app in its own way.
    let bodied = "content-length: 5\r\n\r\nhello";
    for (method, hop, end) in
        [("GET", "keep-alive", "\r\n"), ("POST", "keep-alive", bodied), ("GET", "upgrade\r\nupgrade: echo", "\r\n")]
    {
        let mut line = Line::to(world.authority()).await;
        line.send(format!(
            "{method} / HTTP/1.1\r\nhost: {host}\r\ncookie: {ticket}\r\n\
             connection: x-forwarded-user, x-forwarded-for, via\r\n\
             connection: X-Salesforce-User-Id, x-private, {hop}\r\nx-private: evil\r\n\
             x-forwarded-user: evil\r\nX_Salesforce_User_Id: evil\r\n{end}"
        ))
        .await;
        assert!(line.head().await.unwrap().starts_with("http/1.1 200 "), "{method} {hop}");
        let seen = world.app.last();
        for name in ["x-forwarded-user", "x-forwarded-for", "x-salesforce-user-id", "via", "host"] {
            assert_eq!(seen.all(name).len(), 1, "{method} {hop}: {name}");
        }
        assert_eq!(seen.one("x-salesforce-user-id").as_deref(), Some(people::STANDARD.user), "{method} {hop}");
        assert_nothing_evil(&seen);
    }
}

#[tokio::test]
async fn trailers_are_never_identity() {
    let world = World::new().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    let host = world.authority();
    let names = "x-forwarded-user, x_salesforce_user_id, x-forwarded-for, cookie, x-checksum";
    line.send(format!(
        "POST /upload HTTP/1.1\r\nhost: {host}\r\ncookie: {ticket}\r\ntransfer-encoding: chunked\r\ntrailer: {names}\r\n\r\n\
         5\r\nhello\r\n0\r\nX-Forwarded-User: evil\r\nx_salesforce_user_id: evil\r\nX-Forwarded-For: evil\r\n\
         Cookie: evil=1\r\nX-Checksum: 42\r\n\r\n"
    ))
    .await;
    assert!(line.head().await.unwrap().starts_with("http/1.1 200 "));
    let seen = world.app.last();
    assert_eq!(&seen.body[..], b"hello");
    let trailers = seen.trailers.expect("the rest of the trailers arrives");
    assert_eq!(trailers.get("x-checksum").map(hyper::header::HeaderValue::as_bytes), Some(&b"42"[..]));
    assert_eq!(trailers.len(), 1, "{trailers:?}");
}

const CLAIMS: [(&str, &str); 8] = [
    ("x-forwarded-for", "203.0.113.9"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-proto", "gopher"),
    ("x-forwarded-port", "666"),
    ("forwarded", "for=203.0.113.9;host=evil.example"),
    ("x-real-ip", "203.0.113.9"),
    ("x_forwarded_for", "203.0.113.9"),
    ("x-original-url", "/evil"),
];

#[tokio::test]
async fn what_a_stranger_says_of_itself_is_not_believed() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    browser.fetch(Method::GET, world.at("/"), &CLAIMS, "").await;
    let seen = world.app.last();
    assert_eq!(seen.one("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(seen.one("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(seen.one("x-forwarded-host").as_deref(), Some(world.authority()));
    assert_eq!(seen.one("host").as_deref(), Some(world.authority()));
    let forwarded = seen.one("forwarded").unwrap();
    assert_eq!(forwarded, format!("for=127.0.0.1;host=\"{}\";proto=http", world.authority()));
    assert_nothing_evil(&seen);
    for (name, value) in &seen.headers {
        assert!(!value.as_bytes().windows(11).any(|part| part == b"203.0.113.9"), "{name}");
    }
    assert!(seen.one("via").unwrap().contains("portcullis"));
}

#[tokio::test]
async fn what_a_trusted_proxy_says_of_its_client_is_kept() {
    let world = World::with().top("trusted_proxies = [\"127.0.0.0/8\"]").start().await;
    let mut browser = world.signed_in().await;
    browser.fetch(Method::GET, world.at("/"), &CLAIMS, "").await;
    let seen = world.app.last();
    assert_eq!(seen.one("x-forwarded-for").as_deref(), Some("203.0.113.9, 127.0.0.1"));
    assert_eq!(seen.one("x-forwarded-host").as_deref(), Some(world.authority()), "never guessed from a header");
    assert_eq!(seen.one("x-forwarded-proto").as_deref(), Some("http"));
    assert!(seen.one("forwarded").unwrap().starts_with("for=203.0.113.9;"));
    assert_eq!(seen.one("x-original-url"), None);
}

#[tokio::test]
async fn what_concerns_one_connection_stays_on_it() {
    let script = |mut line: Line, _| async move {
        while let Some(head) = line.head().await {
            for gone in ["keep-alive", "proxy-authorization", "x-once", "transfer-encoding", "upgrade"] {
                assert_eq!(field(&head, gone), None, "{head}");
            }
            line.send(
                "HTTP/1.1 200 OK\r\nconnection: keep-alive, x-private\r\nkeep-alive: timeout=5\r\nx-private: 1\r\n\
                 x-public: 1\r\ncontent-length: 2\r\n\r\nok",
            )
            .await;
        }
    };
    let stage = crate::stage::Stage::play(script).await;
    let world = World::with().routes(&stage.route()).start().await;
    let ticket = world.ticket().await;
    let mut line = Line::to(world.authority()).await;
    let host = world.authority();
    line.send(format!(
        "GET / HTTP/1.1\r\nhost: {host}\r\ncookie: {ticket}\r\nconnection: keep-alive, x-once\r\nkeep-alive: 5\r\n\
         x-once: 1\r\nproxy-authorization: Basic eA==\r\n\r\n"
    ))
    .await;
    let head = line.head().await.unwrap();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    for gone in ["keep-alive", "x-private"] {
        assert_eq!(field(&head, gone), None, "{head}");
    }
    assert_eq!(field(&head, "x-public"), Some("1"));
    assert_eq!(line.take(2).await, b"ok");
}
