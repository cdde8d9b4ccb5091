//! That lines and a map of them come to the same, both ways: what is taken out, what is put in, and what is written.

use std::net::SocketAddr;

use hyper::HeaderMap;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::inject::{Preset, Settings as Injected, Source};
use super::*;
use crate::http::fields::tests::parse;
use crate::http::origin::Origin;
use crate::http::path::LocalPath;
use crate::http::target::Target;
use crate::http::{Neighbour, Neighbours};
use crate::identity::tests::{identity, signed_in};
use crate::policy::{Decision, Kind, decide};
use crate::route::{self, Access, Found, Routes};
use crate::session::memory::Beginning;
use crate::session::memory::tests::settings as session_settings;
use crate::session::{Session, Sessions, SiteIndex};
use crate::telemetry::RequestIds;

const NOW: Timestamp = Timestamp(1_000_000);

fn injector() -> Injector {
    let custom = vec![(hyper::header::HeaderName::from_static("x-department"), Source::Name)];
    Injector::new(&Injected { presets: Preset::ALL.to_vec(), custom })
}

/// A proxy that believes `10.0.0.0/8`.
fn proxy() -> Proxy {
    let trusted = Neighbours(vec![Neighbour::Network("10.0.0.0/8".parse().unwrap())]);
    let tunnels = Tunnels { tracker: TaskTracker::new(), cut: CancellationToken::new() };
    Proxy::new(&Settings { trusted_proxies: trusted, apps: Vec::new() }, &[], &injector(), tunnels, 1)
}

fn session() -> Arc<Session> {
    let sessions = Sessions::new(session_settings(), || ());
    let beginning = Beginning { site: SiteIndex(0), attempt: None, return_to: LocalPath::root() };
    let new = sessions.create(signed_in(), injector().render(&identity()), beginning, NOW).unwrap();
    sessions.load(&new.key, SiteIndex(0), NOW).unwrap()
}

fn pass(visitor: Option<Arc<Session>>) -> Pass {
    let access = if visitor.is_some() { Access::SignedIn } else { Access::Public };
    let settings = route::Settings { name: "wiki".to_owned(), host: None, path: "/".to_owned(), access };
    let routes = Routes::new(&[Origin::parse("https://wiki.example").unwrap()], "/.portcullis", &[settings]);
    let target = Target::root();
    let Found::App(route) = routes.find(&routes.sites()[0], &target).unwrap() else { panic!("there is a route") };
    let Decision::Pass(pass) = decide(route, visitor, Kind::Exchange) else { panic!("it may pass") };
    pass
}

/// Received of one name stay in their order; others are in none, and a map has names in lower case.
fn sorted(text: &[u8]) -> Vec<String> {
    let text: String = text.iter().map(|byte| char::from(*byte)).collect();
    assert!(text.is_empty() || text.ends_with("\r\n"), "{text:?}");
    let small = |line: &str| {
        let (name, value) = line.split_once(':').unwrap();
        format!("{}:{value}", name.to_ascii_lowercase())
    };
    let mut lines: Vec<String> = text.split_terminator("\r\n").map(small).collect();
    lines.sort_by_key(|line| line.split(':').next().map(str::to_owned));
    lines
}

/// What an app is sent: written line by line, and by way of a map.
fn sent(arrival: &mut Arrival, peer: &str, visitor: Option<Arc<Session>>) -> [Vec<String>; 2] {
    let (proxy, pass, target) = (proxy(), pass(visitor), Target::root());
    let host = HeaderValue::from_static("wiki.example");
    let (peer, id) = (Peer::plain(SocketAddr::new(peer.parse().unwrap(), 5).into()), RequestIds::new().unwrap().next());
    let context = Context {
        survey: proxy.survey(arrival.fields()),
        target: target.path_and_query(),
        host: &host,
        peer: &peer,
        scheme: Scheme::Https,
        tunnel: None,
        id: &id,
        now: NOW,
        began: Instant::now(),
    };
    let (outgoing, progress) = proxy.rewrite(arrival, &pass, &context);
    assert!(progress.is_none());
    let mut written = Vec::new();
    outgoing.write_fields(&mut written);
    let mut mapped = Vec::new();
    http_fields(outgoing.whole().headers(), &mut mapped);
    [sorted(&written), sorted(&mapped)]
}

fn http_fields(map: &HeaderMap, to: &mut Vec<u8>) {
    Fields::from(map).into_iter().for_each(|field| field.write(to));
}

fn arrivals(lines: &[u8]) -> [Arrival; 2] {
    let plain = || Arrival::plain(Method::GET, Uri::from_static("/"), parse(lines).unwrap());
    [plain(), plain().into_request().into()]
}

/// What a client is told, from lines and from a map of them; and whether that took a map.
fn told(lines: &[u8]) -> ([Vec<String>; 2], bool) {
    let lines = parse(lines).unwrap();
    let mut response = hyper::Response::new(());
    *response.headers_mut() = lines.map();
    let heads = [Reply::plain(StatusCode::OK, lines, ()), Reply::from(response)].map(|reply| reply.into_parts().0);
    let [(from_lines, took_map), (from_map, true)] = heads.map(|mut head| {
        clean(&mut head);
        let mut text = Vec::new();
        head.fields().into_iter().for_each(|field| field.write(&mut text));
        (sorted(&text), head.lines().is_none())
    }) else {
        panic!("a map does not become lines");
    };
    ([from_lines, from_map], took_map)
}

const BROWSER: &[u8] = b"Host: wiki.example\r\nConnection: keep-alive\r\nAccept: text/html\r\n\
    Cookie: theme=dark; portcullis=x; lang=en\r\nX-Forwarded-User: eve\r\nx_forwarded_email: eve@example\r\n\
    X-Forwarded-For: 192.0.2.7\r\nX-Department: board\r\nAccept-Language: de\r\n";

#[test]
fn a_browsers_head_goes_as_lines_and_loses_what_it_must_not_say() {
    let [mut arrival, _] = arrivals(BROWSER);
    let [written, mapped] = sent(&mut arrival, "192.0.2.1", Some(session()));
    assert_eq!(written, mapped);
    let text = written.join("\n");
    assert!(text.contains("cookie: theme=dark; lang=en") && text.contains("accept-language: de"), "{text}");
    assert!(text.contains("x-forwarded-for: 192.0.2.1") && !text.contains("192.0.2.7"), "{text}");
    assert!(!text.contains("eve") && !text.contains("board") && !text.contains("connection"), "{text}");
    assert_eq!(text.matches("x-forwarded-user").count(), 1, "{text}");
}

#[test]
fn another_spelling_of_the_host_is_replaced_by_the_one_that_was_judged() {
    for mut arrival in arrivals(b"Host: WIKI.example.\r\nCookie: portcullis=x\r\nCookie: a=b\r\n") {
        let [written, mapped] = sent(&mut arrival, "192.0.2.1", None);
        assert_eq!(written, mapped);
        assert!(written.contains(&"host: wiki.example".to_owned()) && written.contains(&"cookie: a=b".to_owned()));
    }
}

#[test]
fn an_ordinary_answer_takes_no_map() {
    let answer = b"Content-Type: text/html\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\
        Set-Cookie: a=b\r\nSet-Cookie: portcullis=evil\r\nTransfer-Encoding: chunked\r\n";
    let ([lines, map], took_map) = told(answer);
    assert_eq!(lines, ["content-type: text/html", "set-cookie: a=b"]);
    assert_eq!((lines, took_map), (map, false));
    for odd in ["Connection: x-secret\r\nX-Secret: y\r\n", "TE: trailers\r\n", "Connection: close\r\nClose: y\r\n"] {
        let ([lines, map], took_map) = told(odd.as_bytes());
        assert_eq!((lines, took_map), (map, true), "{odd}");
    }
}

fn field() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        "(Cookie|cookie|COOKIE)",
        "(X[-_.]Forwarded[-_~](User|For|Email|Proto|x)|x-forwarded-for|Forwarded|Via|Proxy|X-Real-Ip|x[-_]original-y)",
        "(Remote[-_.]User|X[-_.]Department|x-salesforce-a|X-Auth-Request-User|REMOTE_GROUPS)",
        "(Accept|User-Agent|Referer|X-Two|close|Set-Cookie|Content-Type|Date)",
        "(TE|Expect|Upgrade|Keep-Alive|Proxy-Connection|Proxy-Authorization|keep-alive)",
        "[a-zA-Z_.-]{1,8}",
    ];
    let value = prop_oneof![
        "(portcullis=x|__Host-portcullis=y|a=b|c|; |;|=portcullis=z| ){0,5}",
        "[!-~]([ -~]{0,12}[!-~])?",
        "(192\\.0\\.2\\.9|10\\.0\\.0\\.2|, |\"|for=)*",
        "(close|keep-alive|trailers|x-two|x-forwarded-user|, ){0,3}",
    ];
    prop_oneof![
        4 => (name, "[ \t]{0,2}", value, "[ \t]{0,2}").prop_map(|(name, before, value, after)| format!("{name}:{before}{value}{after}\r\n")),
        1 => "(Connection|connection): (keep-alive|Keep-Alive|close|keep-alive, x-two|x-forwarded-for, via|cookie, te)\r\n",
    ]
}

/// What proxies and we alone say of a client, as it is told apart: whatever is neither letter nor digit counts for `-`.
const CLAIMS: [&str; 24] = [
    "forwarded",
    "proxy",
    "true-client-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-forwarded-client-cert",
    "x-forwarded-email",
    "x-forwarded-for",
    "x-forwarded-groups",
    "x-forwarded-user",
    "x-host",
    "x-http-host-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "remote-groups",
    "remote-user",
    "x-auth-request-groups",
    "x-auth-request-user",
    "x-department",
    "x-portcullis-assertion",
    "x-salesforce-anything",
    "x-salesforce-user-id",
    "x-salesforce-user-type",
];

/// What concerns one connection alone, or frames a message for whoever takes `_` for `-`.
const HOP: [&str; 11] = [
    "connection",
    "content_length",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "transfer_encoding",
    "upgrade",
];

/// A name with other letters in capitals, and with these between its words.
fn respelled(name: &str, between: &str, capitals: u64) -> String {
    let mut between = between.chars().cycle();
    let spell = |(at, letter): (usize, char)| match letter {
        '-' => between.next().unwrap(),
        letter if capitals >> at & 1 == 1 => letter.to_ascii_uppercase(),
        letter => letter,
    };
    name.chars().enumerate().map(spell).collect()
}

/// A name that must not go on, as a client may spell it.
fn lie() -> impl Strategy<Value = String> {
    let claim = (prop::sample::select(&CLAIMS[..]), "[!#$%&'*+.^_`|~-]{1,4}", any::<u64>());
    let hop = (prop::sample::select(&HOP[..]), any::<u64>());
    prop_oneof![
        6 => claim.prop_map(|(name, between, capitals)| respelled(name, &between, capitals)),
        1 => hop.prop_map(|(name, capitals)| respelled(name, "-", capitals)),
    ]
}

proptest! {
    // A survey that misses a name misses it for lines and for maps, so that these are alike all the same.
    #[test]
    fn an_app_is_never_sent_what_only_we_may_say(lies in prop::collection::vec(lie(), 1..4), signed_in: bool) {
        let lies: String = lies.iter().map(|name| format!("{name}: evil\r\n")).collect();
        let text = format!("Host: wiki.example\r\n{lies}ACCEPT: text/html\r\n");
        let visitor = signed_in.then(session);
        for mut arrival in arrivals(text.as_bytes()) {
            for lines in sent(&mut arrival, "192.0.2.1", visitor.clone()) {
                prop_assert!(!lines.iter().any(|line| line.contains("evil")), "{lines:?}");
                prop_assert!(lines.contains(&"accept: text/html".to_owned()), "{lines:?}");
            }
        }
    }

    #[test]
    fn an_app_is_sent_the_same_from_lines_and_from_a_map(
        fields in prop::collection::vec(field(), 0..10),
        peer in prop_oneof![Just("192.0.2.1"), Just("10.0.0.1")],
        signed_in: bool,
    ) {
        let text = format!("Host: wiki.example\r\n{}", fields.concat());
        let visitor = signed_in.then(session);
        let [mut plain, mut whole] = arrivals(text.as_bytes());
        let [as_lines, as_map] = sent(&mut plain, peer, visitor.clone());
        let [from_map, from_map_too] = sent(&mut whole, peer, visitor);
        prop_assert_eq!(&as_lines, &from_map);
        prop_assert_eq!(&as_map, &from_map_too);
    }

    #[test]
    fn a_client_is_told_the_same_from_lines_and_from_a_map(fields in prop::collection::vec(field(), 0..10)) {
        let ([lines, map], _) = told(fields.concat().as_bytes());
        prop_assert_eq!(lines, map);
    }
}
