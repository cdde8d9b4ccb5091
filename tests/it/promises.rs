//! What is promised of every request, whatever it looks like: drawn at random against one running world.

use hyper::Method;
use percent_encoding::percent_decode;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tokio::runtime::Runtime;

use crate::app::Seen;
use crate::stage::Line;
use crate::world::World;

const CASES: u32 = 250;

/// Public is everything below `/public`, but for what is below `/public/secret`.
const ROUTES: &str = "[[route]]\nupstream = \"http://{app}\"\n\
    [[route]]\npath = \"/public\"\npublic = true\nupstream = \"http://{app}\"\n\
    [[route]]\npath = \"/public/secret\"\nupstream = \"http://{app}\"\n";

const IDENTITY: [&str; 6] = [
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-preferred-username",
    "x-salesforce-user-id",
    "x-salesforce-organization-id",
    "x-salesforce-user-type",
];

/// One request, as it is written.
#[derive(Clone, Debug)]
struct Draw {
    method: &'static str,
    target: String,
    headers: Vec<String>,
    cookies: Vec<String>,
}

fn target() -> impl Strategy<Value = String> {
    let segment = prop_oneof![
        6 => Just("public".to_owned()),
        4 => Just("secret".to_owned()),
        6 => prop::sample::select(vec![
            "", ".", "..", "%2e%2e", "%2E.", ".%2e", "...", "PUBLIC", "Secret", "%73ecret", "%2573ecret", "secret%2f..",
            "..%2fsecret", "%2fsecret", "..%5csecret", "\\secret", "secret;x=1", "..;", ";", "secret%20", "secret.",
            "secret%00", "%c0%ae%c0%ae", "%u002e%u002e", "\u{fe}", "*", "@", ":", "http:", "secret#", "a&b", "%ff",
        ]).prop_map(str::to_owned),
        2 => "[a-z0-9._~%!$&'()*+,;=:@-]{0,8}",
    ];
    let path = prop::collection::vec(segment, 0..5).prop_map(|segments| format!("/{}", segments.join("/")));
    let query = prop_oneof![Just(String::new()), Just("?".to_owned()), "\\?[a-z=&%/.?]{0,12}"];
    let ours =
        prop::sample::select(vec!["/.portcullis", "/.portcullis/me", "/.portcullis/callback", "/.portcullis/../x"]);
    let path = prop_oneof![9 => path, 1 => ours.prop_map(str::to_owned)];
    (path, query).prop_map(|(path, query)| path + &query)
}

fn header() -> impl Strategy<Value = String> {
    let spoofed =
        (prop::sample::select(IDENTITY.to_vec()), prop::sample::select(vec!["-", "_", ".", "~"]), any::<bool>());
    let spoofed = spoofed.prop_map(|(name, joint, loud)| {
        let name = name.replace('-', joint);
        format!("{}: evil", if loud { name.to_uppercase() } else { name })
    });
    let odd = prop::sample::select(vec![
        "connection: close, x-forwarded-user",
        "connection: x-salesforce-user-id",
        "connection: cookie",
        "x-original-url: /public",
        "x-rewrite-url: /public",
        "x-forwarded-host: evil",
        "x-forwarded-prefix: /public",
        "forwarded: for=evil",
        "x-http-method-override: GET",
        "authorization: Bearer evil",
        "accept: text/html",
        "sec-fetch-mode: navigate",
        "upgrade: websocket",
        "expect: 100-continue",
        "te: trailers",
        "range: bytes=0-1",
        "content-length: 0",
    ]);
    prop_oneof![spoofed, odd.prop_map(str::to_owned)]
}

fn draw() -> impl Strategy<Value = Draw> {
    let method = prop::sample::select(vec![
        "GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get", "BREW",
    ]);
    let cookie = prop_oneof![
        "[A-Za-z0-9_-]{43}".prop_map(|id| format!("portcullis={id}")),
        "[ -:<-~]{0,20}".prop_map(|value| format!("portcullis={value}")),
        "[a-z]{1,5}=[a-z]{0,5}",
        Just("__Host-portcullis=x".to_owned()),
        Just("portcullis-attempt-0123456789abcdef=AAAA".to_owned()),
    ];
    (method, target(), prop::collection::vec(header(), 0..4), prop::collection::vec(cookie, 0..3))
        .prop_map(|(method, target, headers, cookies)| Draw { method, target, headers, cookies })
}

impl Draw {
    /// Sends it on a connection of its own, with this cookie beside its own; the status, if there is an answer.
    async fn send(&self, world: &World, ticket: Option<&str>) -> Option<u16> {
        let mut line = Line::to(world.authority()).await;
        let mut cookies: Vec<&str> = self.cookies.iter().map(String::as_str).collect();
        cookies.extend(ticket);
        let cookies = if cookies.is_empty() { String::new() } else { format!("cookie: {}\r\n", cookies.join("; ")) };
        let headers: String = self.headers.iter().map(|header| format!("{header}\r\n")).collect();
        let (method, target, host) = (self.method, &self.target, world.authority());
        line.send(format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n{cookies}{headers}\r\n")).await;
        let mut head = line.head().await?;
        if head.starts_with("http/1.1 100 ") {
            head = line.head().await?;
        }
        head.get(9..12)?.parse().ok()
    }
}

/// All paths that some lenient app could read a target as.
fn readings(target: &str) -> Vec<String> {
    let mut path = target.split(['?', '#']).next().unwrap_or_default().to_owned();
    let mut all = Vec::new();
    for _ in 0..3 {
        for form in [path.clone(), path.replace('\\', "/"), path.to_lowercase()] {
            all.push(resolve(&form));
            all.push(form);
        }
        path = String::from_utf8_lossy(&percent_decode(path.as_bytes()).collect::<Vec<u8>>()).into_owned();
    }
    all
}

fn resolve(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn names_nobody(seen: &Seen) -> Result<(), TestCaseError> {
    for (name, value) in &seen.headers {
        let folded = name.as_str().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        prop_assert!(!IDENTITY.contains(&folded.as_str()), "{name}: {value:?}");
    }
    Ok(())
}

/// Draws requests, each judged beside the one running world.
fn promise(world: &World, runtime: &Runtime, judge: impl AsyncFn(&World, Draw) -> Result<(), TestCaseError>) {
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    TestRunner::new(config).run(&draw(), |draw| runtime.block_on(judge(world, draw))).unwrap();
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_strangers_request_reaches_the_app_on_public_paths_alone_and_as_nobodys() {
    let runtime = runtime();
    let world = runtime.block_on(World::with().routes(ROUTES).start());
    promise(&world, &runtime, async |world, draw| {
        let before = world.app.hits();
        let status = draw.send(world, None).await;
        prop_assert!(status.is_none_or(|status| (200..500).contains(&status)), "{status:?}");
        if world.app.hits() == before {
            return Ok(());
        }
        prop_assert_eq!(world.app.hits(), before + 1);
        let seen = world.app.last();
        for reading in readings(&seen.target) {
            prop_assert!(
                is_below(&reading, "/public") || reading.starts_with("/public"),
                "{} as {reading}",
                seen.target
            );
        }
        for reading in readings(&seen.target) {
            prop_assert!(!is_below(&reading, "/public/secret"), "{} as {reading}", seen.target);
        }
        names_nobody(&seen)
    });
    runtime.block_on(async {
        assert!(world.app.hits() > 5, "some requests are forwarded, or this shows nothing");
        assert_eq!(world.org.count("token"), 0);
        assert_eq!(world.metric("portcullis_sessions").await, 0);
    });
}

#[test]
fn identity_is_sent_exactly_when_the_session_is_valid() {
    let runtime = runtime();
    let (world, ticket, dead) = runtime.block_on(async {
        let world = World::with().routes(ROUTES).start().await;
        let dead = world.ticket().await;
        crate::streaming::sign_out(&world, &dead).await;
        let ticket = world.ticket().await;
        (world, ticket, dead)
    });
    promise(&world, &runtime, async |world, draw| {
        for (cookie, valid) in [(&ticket, true), (&dead, false)] {
            let before = world.app.hits();
            let status = draw.send(world, Some(cookie)).await;
            prop_assert!(status.is_none_or(|status| (200..500).contains(&status)), "{status:?}");
            if world.app.hits() == before {
                continue;
            }
            let seen = world.app.last();
            if !valid {
                names_nobody(&seen)?;
                continue;
            }
            let key = format!(
                "{}@{}",
                portcullis::emulator::people::STANDARD.user,
                portcullis::emulator::people::HOME_ORGANIZATION
            );
            prop_assert_eq!(seen.one("x-forwarded-user"), Some(key));
            for (name, value) in &seen.headers {
                let folded = name.as_str().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
                if IDENTITY.contains(&folded.as_str()) {
                    prop_assert!(name.as_str() == folded && seen.all(&folded).len() == 1, "{name}: {value:?}");
                    prop_assert!(!value.as_bytes().windows(4).any(|part| part == b"evil"), "{name}: {value:?}");
                }
            }
            let cookies = seen.all("cookie").join("; ");
            prop_assert!(!cookies.contains("portcullis"), "{cookies}");
        }
        Ok(())
    });
    assert!(world.app.hits() > 50, "{} requests were forwarded", world.app.hits());
}

#[test]
fn no_callback_that_was_made_up_asks_the_provider_or_signs_anybody_in() {
    let runtime = runtime();
    let world = runtime.block_on(World::new());
    let name =
        prop::sample::select(vec!["code", "state", "error", "error_description", "iss", "sfdc_community_url", "x"]);
    let query = prop::collection::vec((name, "[ -~]{0,30}"), 0..6);
    let cookies = prop::collection::vec("portcullis(-attempt-[0-9a-f]{16})?=[!#-+--:<-\\[\\]-~]{0,80}", 0..3);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let drawn = TestRunner::new(config).run(&(query, cookies), |(query, cookies)| {
        runtime.block_on(async {
            let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
            let address = world.at(&format!("/.portcullis/callback?{query}"));
            let cookies = cookies.join("; ");
            let headers = [("cookie", cookies.as_str()), ("accept", "text/html")];
            let reply = world.browser().fetch(Method::GET, &address, &headers, "").await;
            let status = reply.status.as_u16();
            prop_assert!((400..600).contains(&status) && status != 500, "{status} {}", reply.refusal());
            prop_assert!(
                !reply.cookies().iter().any(|line| line.starts_with("portcullis=") && !line.contains("Max-Age=0"))
            );
            Ok(())
        })
    });
    drawn.unwrap();
    assert_eq!((world.org.count("token"), world.app.hits()), (0, 0));
}
