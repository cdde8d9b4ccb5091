//! Requests that break a rule of HTTP/2, each by itself: which of them costs a stream, which the connection.

use super::*;
use crate::stage::soon;

/// What becomes of a request that is alone on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// This answer; the connection goes on.
    Status(u16),
    /// RST_STREAM with PROTOCOL_ERROR; the connection goes on.
    Reset,
    /// GOAWAY with PROTOCOL_ERROR, and an end.
    Gone,
}

use Verdict::{Gone, Reset, Status};

/// What became of these frames on stream 1, once a ping behind them was answered or the connection has ended.
async fn verdict(world: &World, frames: &[u8]) -> Verdict {
    let mut stream = connect(world).await;
    stream.write_all(&[frames, &frame(PING, 0, 0, &[7; 8])].concat()).await.unwrap();
    let mut outcome = Outcome::default();
    soon("an outcome", async {
        while !outcome.closed && (outcome.pongs == 0 || outcome.statuses.is_empty() && outcome.resets.is_empty()) {
            outcome.read(&mut stream).await;
        }
    })
    .await;
    match (&outcome.statuses[..], &outcome.resets[..], &outcome.goaways[..], outcome.pongs, outcome.closed) {
        ([(1, status)], [], [], 1, false) => Status(*status),
        ([], [(1, PROTOCOL_ERROR)], [], 1, false) => Reset,
        ([], [], [PROTOCOL_ERROR], 0, true) => Gone,
        _ => panic!("{outcome:?}"),
    }
}

/// Each list of fields is one request on a connection of its own; none reaches the app.
async fn refused(world: &World, requests: &[(Vec<Field<'_>>, Verdict)]) {
    for (fields, expected) in requests {
        let frames = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block(fields));
        assert_eq!(verdict(world, &frames).await, *expected, "{}", shown(fields));
    }
    assert_eq!(world.app.hits(), 0, "{:?}", world.app.everything());
}

fn shown(fields: &[Field<'_>]) -> String {
    fields.iter().map(|(name, value)| format!("{name:?}: {}\n", value.escape_ascii())).collect()
}

// RFC 9113 sections 8.2.1 to 8.3.1
#[tokio::test]
async fn malformed_h2_fields_are_refused() {
    let world = secure().await;
    let authority = host(&world);
    let with = |name: &'static str, value: &'static [u8], verdict| {
        let mut fields = ordinary(&authority, "/pub/x");
        fields.push((name, value));
        (fields, verdict)
    };
    let mut requests = vec![
        with("connection", b"close", Reset),
        with("connection", b"x-salesforce-user-id", Reset),
        with("keep-alive", b"5", Reset),
        with("proxy-connection", b"close", Reset),
        with("transfer-encoding", b"chunked", Reset),
        with("upgrade", b"websocket", Reset),
        with("te", b"gzip", Reset),
        with("X-Upper", b"a", Gone),
        with("x y", b"a", Gone),
        with("x:y", b"a", Gone),
        with("x\r\nhost", b"a", Gone),
        with("", b"a", Gone),
        with("x", b"a\r\nx-salesforce-user-id: evil-identity", Gone),
        with("x", b"a\nb", Gone),
        with("x", b"a\0b", Gone),
        with(":path", b"/pub/y", Reset),
        with(":method", b"POST", Reset),
        with(":authority", b"evil.example", Reset),
        with(":scheme", b"http", Reset),
        with(":status", b"200", Reset),
        with(":evil", b"1", Gone),
        with(":protocol", b"websocket", Reset),
        with("host", b"evil.example", Status(400)),
        with("content-length", b"5", Reset),
        with("content-length", b"-1", Reset),
    ];
    let late = vec![
        (":method", &b"GET"[..]),
        (":scheme", b"https"),
        (":path", b"/pub/x"),
        ("x", b"a"),
        (":authority", b"localhost"),
    ];
    let authority = authority.as_bytes();
    requests.push((late, Reset));
    requests.push((vec![(":method", b"GET"), (":scheme", b"https"), (":path", b"/pub/x")], Status(400)));
    requests.push((vec![(":method", b"GET"), (":scheme", b"https"), (":authority", authority)], Reset));
    requests.push((vec![(":scheme", b"https"), (":authority", authority), (":path", b"/pub/x")], Reset));
    requests.push((vec![(":method", b"CONNECT"), (":authority", authority)], Status(400)));
    // Well-formed, and of a stranger: a tunnel always needs a session.
    let websocket = vec![
        (":method", &b"CONNECT"[..]),
        (":protocol", b"websocket"),
        (":scheme", b"https"),
        (":authority", authority),
        (":path", b"/pub/x"),
    ];
    requests.push((websocket, Status(401)));
    refused(&world, &requests).await;
    still_standing(&world).await;
}

#[tokio::test]
async fn odd_h2_targets_and_hosts_are_refused() {
    let world = secure().await;
    let authority = host(&world);
    let mut requests = Vec::new();
    for (path, verdict) in [
        ("", Reset),
        ("*", Status(400)),
        ("pub/x", Reset),
        ("/pub/x y", Reset),
        ("/pub/\r\nx-salesforce-user-id: evil-identity", Reset),
        ("/pub/\0", Reset),
        ("/pub/../secret", Status(400)),
        ("/pub/%2e%2e/secret", Status(400)),
        ("/secret#/pub", Status(401)),
        ("/secret?/pub", Status(401)),
        ("//evil.example/pub", Status(401)),
        ("https://evil.example/pub", Reset),
        ("/pub/\\..\\secret", Status(400)),
        ("/pub/\u{e9}", Status(400)),
        ("/pub/%c0%ae%c0%ae/secret", Status(400)),
        ("/pub\tx HTTP/1.1", Reset),
    ] {
        requests.push((ordinary(&authority, path), verdict));
    }
    let at = format!("evil@{authority}");
    let doubled = format!("{authority},evil.example");
    let slashed = format!("{authority}/pub");
    for (other, verdict) in [
        ("evil.example", Status(421)),
        ("", Reset),
        ("localhost", Status(421)),
        (&*at, Status(400)),
        (&doubled, Status(400)),
        (&slashed, Reset),
    ] {
        requests.push((ordinary(other, "/pub/x"), verdict));
    }
    let mut both = ordinary("evil.example", "/pub/x");
    both.push(("host", authority.as_bytes()));
    requests.push((both, Status(400)));
    let mut twice = ordinary(&authority, "/pub/x");
    twice.extend([("host", authority.as_bytes()), ("host", authority.as_bytes())]);
    requests.push((twice, Status(400)));
    let mut unlike = ordinary(&authority, "/pub/x");
    unlike.push(("host", b"localhost"));
    requests.push((unlike, Status(400)));
    refused(&world, &requests).await;
    still_standing(&world).await;
}

// RFC 9113 section 8.1.1: a body of another length than was said never reaches the app, not even as a part.
#[tokio::test]
async fn an_h2_body_of_another_length_is_refused() {
    let world = secure().await;
    let authority = host(&world);
    for (said, body) in
        [(&b"3"[..], &b"helloGET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n"[..]), (b"500", b"hello"), (b"0", b"hello")]
    {
        let mut fields = ordinary(&authority, "/pub/x");
        fields[0].1 = b"POST";
        fields.push(("content-length", said));
        let mut frames = frame(HEADERS, END_HEADERS, 1, &block(&fields));
        frames.extend(frame(DATA, END_STREAM, 1, body));
        assert_eq!(verdict(&world, &frames).await, Reset, "{}", said.escape_ascii());
    }
    still_standing(&world).await;
    assert_eq!(world.app.hits(), 1, "the next visitor's alone: {:?}", world.app.everything());
}
