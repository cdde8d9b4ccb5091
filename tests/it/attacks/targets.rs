//! One target, one reading, whoever reads it: a plain HTTP/1.1 request, one with a body (which another reader takes
//! apart), and one over HTTP/2 are told the same, and the app is asked for the same path.

use super::h2::{END_HEADERS, END_STREAM, HEADERS, PROTOCOL_ERROR, block, frame, ordinary, play};
use super::*;

/// An open place with a closed one within.
const NESTED: &str = "[[route]]\nname = \"open\"\npath = \"/pub\"\npublic = true\nupstream = \"http://{app}\"\n\
     [[route]]\nname = \"inner\"\npath = \"/pub/admin\"\nupstream = \"http://{app}\"\n\
     [[route]]\nname = \"closed\"\nupstream = \"http://{app}\"\n";

/// What becomes of a target.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    /// The app is asked for this.
    Asked(&'static str),
    /// It is a closed place's.
    Closed,
    /// It is refused with 400, or by HTTP/2 with a reset.
    Refused,
}

use Verdict::{Asked, Closed, Refused};

/// Every row of the table in `docs/behaviour.md`, and what is near to it.
const TARGETS: [(&[u8], Verdict); 76] = [
    // Unreserved characters are decoded, others keep their escapes in capitals.
    (b"/pub/x", Asked("/pub/x")),
    (b"/pub", Asked("/pub")),
    (b"/pub/", Asked("/pub/")),
    (b"/pub/%61%2d%5F%7e", Asked("/pub/a-_~")),
    (b"/%70ub/x", Asked("/pub/x")),
    (b"/pub/%c3%a9", Asked("/pub/%C3%A9")),
    (b"/pub/a%20b", Asked("/pub/a%20b")),
    (b"/pub/x?q=%61%2f..%5c", Asked("/pub/x?q=%61%2f..%5c")),
    (b"/pub/x?", Asked("/pub/x?")),
    (b"/pub?x=//;a", Asked("/pub?x=//;a")),
    (b"/pubx", Closed),
    (b"/PUB/x", Closed),
    (b"/secret", Closed),
    // Slashes, doubled and escaped.
    (b"/pub//x", Asked("/pub//x")),
    (b"//pub/x", Refused),
    (b"/pub//admin", Refused),
    (b"/pub/a%2fb", Asked("/pub/a%2Fb")),
    (b"/pub%2fx", Refused),
    (b"/pub%2Fadmin", Refused),
    (b"/pub/%2fadmin", Refused),
    (b"/pub/a%252fb", Asked("/pub/a%252fb")),
    (b"/pub%252fadmin", Refused),
    (b"/pub/%25252525252f", Refused),
    // Dots.
    (b"/pub/.", Refused),
    (b"/pub/..", Refused),
    (b"/pub/./x", Refused),
    (b"/pub/../secret", Refused),
    (b"/pub/%2e%2e/secret", Refused),
    (b"/pub/.%2E/secret", Refused),
    (b"/pub/%252e%252e/secret", Refused),
    (b"/pub/..;x/secret", Refused),
    (b"/pub/..%3bx/secret", Refused),
    (b"/pub/..%2fsecret", Refused),
    (b"/pub/...", Asked("/pub/...")),
    (b"/pub/.x", Asked("/pub/.x")),
    // Parameters.
    (b"/pub/x;p=1", Asked("/pub/x;p=1")),
    (b"/pub;p=1/x", Refused),
    (b"/pub/admin;p=1", Refused),
    (b"/pub/admin%3bp", Refused),
    (b"/pub/;/admin", Refused),
    // Backslashes.
    (b"/pub/a\\b", Refused),
    (b"/pub/a%5cb", Asked("/pub/a%5Cb")),
    (b"/pub%5cx", Refused),
    (b"/pub/..%5csecret", Refused),
    (b"/pub/admin%5cx", Refused),
    (b"/pub/a%255cb", Asked("/pub/a%255cb")),
    (b"/pub\\..\\secret", Refused),
    // Fragments.
    (b"/pub/x#y", Asked("/pub/x")),
    (b"/pub/x#/../admin", Asked("/pub/x")),
    (b"/secret#/pub/x", Closed),
    (b"/pub/x%23y", Asked("/pub/x%23y")),
    (b"/pub/x?q#y", Asked("/pub/x?q")),
    // Control characters, NUL first; bytes beyond ASCII; what is longer than UTF-8 allows.
    (b"/pub/\0", Refused),
    (b"/pub/x\0/secret", Refused),
    (b"/pub/%00", Refused),
    (b"/pub/%2500", Refused),
    (b"/pub/%0d%0aX:%20y", Refused),
    (b"/pub/\t", Refused),
    (b"/pub/\x7f", Refused),
    (b"/pub/%7f", Refused),
    (b"/pub/\xc3\xa9", Refused),
    (b"/pub/\xff", Refused),
    (b"/pub/%c0%ae%c0%ae/secret", Refused),
    (b"/pub/%c0%afadmin", Refused),
    (b"/pub/%e0%80%ae", Refused),
    (b"/pub/%f0%80%80%ae", Refused),
    (b"/pub%ef%bc%8fadmin", Refused),
    // Broken escapes.
    (b"/pub/%", Refused),
    (b"/pub/%2", Refused),
    (b"/pub/%zz", Refused),
    (b"/pub/%u002e%u002e/secret", Refused),
    // No path at all.
    (b"pub/x", Refused),
    (b"?x", Refused),
    (b"?/pub/x", Refused),
    (b"*", Refused),
    (b"localhost:80", Refused),
];

/// What an HTTP/1.1 request with this target comes to: its status.
async fn by_http1(world: &World, method: &str, target: &[u8], body: &str) -> u16 {
    let rest = head(world, " HTTP/1.1", &format!("Connection: close\r\nContent-Length: {}\r\n", body.len()));
    let bytes = [method.as_bytes(), b" ", target, rest.as_bytes(), body.as_bytes()].concat();
    let heard = say(world, bytes).await;
    assert!(heard.closed, "{}", heard.text());
    let [status] = heard.statuses()[..] else { panic!("{}: {}", target.escape_ascii(), heard.text()) };
    status
}

async fn by_http2(world: &World, target: &[u8]) -> u16 {
    let authority = host(world);
    let mut fields = ordinary(&authority, "/");
    fields[3].1 = target;
    let outcome = play(world, &frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(&fields))).await;
    match outcome.status(1) {
        Some(status) => status,
        None => {
            let found = (&outcome.resets[..], &outcome.goaways[..], outcome.closed);
            // A field that is no text ends the reading of all that follow: the connection's fault, not the stream's.
            let expected = match std::str::from_utf8(target) {
                Ok(_) => (&[(1, PROTOCOL_ERROR)][..], &[][..], false),
                Err(_) => (&[][..], &[PROTOCOL_ERROR][..], true),
            };
            assert_eq!(found, expected, "{}", target.escape_ascii());
            400
        }
    }
}

#[tokio::test]
async fn one_target_has_one_reading_by_every_way_in() {
    let plain = World::with().routes(NESTED).start().await;
    let secure = World::with().tls().routes(NESTED).start().await;
    for (target, verdict) in TARGETS {
        for way in ["GET", "POST", "HTTP/2"] {
            let world = if way == "HTTP/2" { &secure } else { &plain };
            let hits = world.app.hits();
            let status = match way {
                "GET" => by_http1(world, "GET", target, "").await,
                "POST" => by_http1(world, "POST", target, "hello").await,
                _ => by_http2(world, target).await,
            };
            let shown = target.escape_ascii();
            let found = match status {
                200 => Asked(""),
                401 => Closed,
                400 => Refused,
                other => panic!("{way} {shown}: {other}"),
            };
            match verdict {
                Asked(path) => {
                    assert_eq!(found, Asked(""), "{way} {shown}");
                    assert_eq!(world.app.last().target, path, "{way} {shown}");
                }
                _ => assert_eq!((found, world.app.hits()), (verdict, hits), "{way} {shown}"),
            }
        }
    }
    still_standing(&plain).await;
    still_standing(&secure).await;
}

// RFC 9112 section 3.2: the other forms that a target may have.
#[tokio::test]
async fn forms_that_are_not_of_a_page_are_refused_by_every_reader() {
    let world = World::with().routes(NESTED).start().await;
    let host = host(&world);
    for (method, target, status) in [
        ("GET", format!("http://{host}/pub/x"), 200),
        ("GET", format!("HTTP://{host}/pub/x"), 200),
        ("GET", format!("http://{host}/pub/../secret"), 400),
        ("GET", format!("http://{host}/secret"), 401),
        ("GET", "http://other.example/pub/x".to_owned(), 400),
        ("GET", format!("http://evil@{host}/pub/x"), 400),
        ("GET", format!("http:{host}/pub/x"), 400),
        ("GET", "http://".to_owned(), 400),
        ("GET", host.clone(), 400),
        ("OPTIONS", "*".to_owned(), 400),
        ("CONNECT", host.clone(), 400),
        ("CONNECT", "/pub/x".to_owned(), 400),
        ("CONNECT", format!("http://{host}/pub/x"), 400),
    ] {
        for body in ["", "hello"] {
            let found = by_http1(&world, method, target.as_bytes(), body).await;
            assert_eq!(found, status, "{method} {target} with {body:?}");
        }
    }
    check_seen(&world.app.everything());
    // An address without a path is that of the root, and is passed on as such.
    let world = half_open().await;
    let cookie = session_of(&world).await;
    for body in ["", "hello"] {
        let more = format!("Connection: close\r\nContent-Length: {}\r\nCookie: {cookie}\r\n", body.len());
        for (bare, path) in [(world.url.clone() + "?x=1", "/?x=1"), (world.url.clone(), "/")] {
            let heard = say(&world, head(&world, &format!("GET {bare} HTTP/1.1"), &more) + body).await;
            assert_eq!(heard.statuses(), [200], "{bare}: {}", heard.text());
            assert_eq!(world.app.last().target, path, "{bare}");
        }
    }
}
