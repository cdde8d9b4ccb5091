//! Request smuggling on raw sockets: whatever two readers could frame differently has no second reading here.

use super::*;

mod answers;
mod chunks;
mod lines;

/// What an attacker wants the app to read as a request of its own.
fn smuggled(world: &World) -> String {
    head(world, "GET /smuggled HTTP/1.1", "X-Salesforce-User-Id: evil-identity\r\n")
}

/// Sends a request with these framing lines, and a smuggled one as or after its body, in every way that matters.
async fn refused(framings: &[&str]) {
    let world = half_open().await;
    let smuggled = smuggled(&world);
    for framing in framings {
        for body in [format!("0\r\n\r\n{smuggled}"), smuggled.clone(), format!("5\r\nhello\r\n0\r\n\r\n{smuggled}")] {
            let heard = say(&world, format!("{}{body}", head(&world, "POST /pub/x HTTP/1.1", framing))).await;
            let statuses = heard.statuses();
            assert_eq!(statuses, [400], "{framing:?}: {}", heard.text());
            assert!(heard.closed, "the connection stays open after {framing:?}");
        }
    }
    assert_eq!(world.app.hits(), 0);
    still_standing(&world).await;
}

// T-SMUGGLE, security.md 0.1, hyperium/hyper#4123, RFC 9112 section 6.3: whoever goes by the one ends elsewhere than
// whoever goes by the other.
#[tokio::test]
async fn a_length_beside_a_coding_is_refused() {
    refused(&[
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 400\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "transfer-encoding:chunked\r\nX: y\r\ncontent-length: nonsense\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
        "Connection: Content-Length\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Upgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Expect: 100-continue\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
    ])
    .await;
}

#[tokio::test]
async fn a_length_said_twice_is_refused_even_if_it_is_the_same() {
    refused(&[
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 0\r\nContent-Length: 0\r\n",
        "Content-Length: 0\r\nX: y\r\ncontent-length:0\r\n",
        "Content-Length: 5\r\nContent-Length: 05\r\n",
        "Content-Length: 0\r\nContent-Length:\r\n",
    ])
    .await;
}

// The app's own socket tells: not even the head had begun to be passed on.
#[tokio::test]
async fn not_a_byte_of_an_ambiguous_request_reaches_the_app() {
    let (authority, heard_by_app) = scripted(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let world = World::with().routes(&TWO_ROUTES.replace("{app}", &authority)).start().await;
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: +5\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked\r\nX: a\r\n b\r\n",
        "Content-Length: 5\r\nX: a\0b\r\n",
        "Content-Length : 5\r\n",
        "Content-Length: 5\r\nX: a\rb\r\n",
        "Content-Length: 5\nX: a\r\n",
        "Content-Length: 5\r\nHost: other.example\r\n",
    ] {
        for body in ["hello", "5\r\nhello\r\n0\r\n\r\n"] {
            let request = head(&world, "POST /pub/x HTTP/1.1", lines) + body;
            let heard = say(&world, request + &smuggled(&world)).await;
            assert!(heard.statuses() == [400] && heard.closed, "{lines:?}: {}", heard.text());
        }
    }
    let heard = heard_by_app.lock().unwrap().clone();
    assert!(heard.is_empty(), "{}", String::from_utf8_lossy(&heard));
    assert!(world.metric("portcullis_server_events_total{event=\"malformed\"}").await >= 18);
}

#[tokio::test]
async fn a_coding_that_is_not_plainly_chunked_is_refused() {
    refused(&[
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: chunked ,chunked\r\n",
        "Transfer-Encoding: chun ked\r\n",
        "Transfer-Encoding: chunked\tchunked\r\n",
        "Transfer-Encoding: \u{a0}chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n",
        "Transfer-Encoding:\x0bchunked\r\n",
        "Transfer-Encoding: \x0cchunked\r\n",
        "Transfer-Encoding: chunked\x00\r\n",
        "Transfer-Encoding: \r\n",
    ])
    .await;
}

// A call that is declined is told so with 200, and its connection ends all the same.
#[tokio::test]
async fn a_grpc_call_for_two_hosts_ends_its_connection() {
    let world = half_open().await;
    let smuggled = smuggled(&world);
    for path in ["/pub/x", "/closed"] {
        let call = "Content-Type: application/grpc\r\nTransfer-Encoding: chunked\r\nHost: other.example\r\n";
        let call = head(&world, &format!("POST {path} HTTP/1.1"), call);
        let heard = say(&world, format!("{call}0\r\n\r\n{smuggled}")).await;
        assert_eq!(heard.statuses(), [200], "{}", heard.text());
        assert!(heard.text().contains("grpc-status: ") && heard.closed, "{}", heard.text());
    }
    assert_eq!(world.app.hits(), 0);
    still_standing(&world).await;
}

#[tokio::test]
async fn lengths_that_readers_count_differently_are_refused() {
    refused(&[
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 5;\r\n",
        "Content-Length: \"5\"\r\n",
        "Content-Length: 1e1\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length: 5,\r\n",
        "Content-Length: \x0b5\r\n",
        "Content-Length: 18446744073709551615\r\n",
        "Content-Length:\r\n",
    ])
    .await;
}

fn upload(world: &World) -> String {
    head(world, "POST /pub/b HTTP/1.1", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n"
}

// What is read by a reader of our own and what by hyper is nothing that anybody outside could tell.
#[tokio::test]
async fn requests_with_and_without_a_body_are_told_apart_wherever_they_are_cut() {
    let world = half_open().await;
    let plain = |path: &str| head(&world, &format!("GET {path} HTTP/1.1"), "");
    let sized = head(&world, "PUT /pub/2 HTTP/1.1", "Content-Length: 60\r\n")
        + &"GET /smuggled HTTP/1.1\r\n\r\n"[..26].repeat(3)[..60];
    let empty = head(&world, "DELETE /pub/4 HTTP/1.1", "Content-Length: 0\r\n");
    let wire = [plain("/pub/1"), sized, plain("/pub/3"), empty, upload(&world), plain("/pub/5")].concat();
    let expected = ["/pub/1", "/pub/2", "/pub/3", "/pub/4", "/pub/b", "/pub/5"];
    let cuts: Vec<usize> = (0..wire.len()).step_by(11).collect();
    for cut in cuts {
        let before = world.app.hits();
        let mut stream = TcpStream::connect(world.gateway.address).await.unwrap();
        let (first, second) = wire.split_at(cut);
        stream.write_all(first.as_bytes()).await.unwrap();
        tokio::task::yield_now().await;
        stream.write_all(second.as_bytes()).await.unwrap();
        let mut heard = listen(&mut stream).await;
        while heard.statuses().len() < expected.len() && !heard.closed {
            heard.bytes.extend(listen(&mut stream).await.bytes);
        }
        assert_eq!(heard.statuses(), [200; 6], "cut at {cut}: {}", heard.text());
        let seen = world.app.everything();
        let targets: Vec<&str> = seen[before..].iter().map(|seen| seen.target.as_str()).collect();
        assert_eq!(targets, expected, "cut at {cut}");
    }
}

#[tokio::test]
async fn what_follows_a_plain_request_is_judged_by_itself() {
    let world = half_open().await;
    let plain = head(&world, "GET /pub/x HTTP/1.1", "");
    let http_1_0 = head(&world, "GET /pub/x HTTP/1.0", "Connection: keep-alive\r\n");
    let fields = "X: y\r\n".repeat(100);
    for (behind, status) in [
        ("garbage\r\n\r\n".to_owned(), 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03".to_owned(), 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), 400),
        ("0\r\n\r\n".to_owned(), 400),
        (smuggled(&world), 401),
        (http_1_0, 200),
        (head(&world, "GET /pub/x HTTP/1.1", "Content-Length: +0\r\n"), 400),
        (head(&world, "GET /pub/x HTTP/1.1", "Content-Length: 0, 0\r\n"), 400),
        (head(&world, "GET /pub/x HTTP/1.1", "Host: other.example\r\n"), 400),
        (head(&world, "GET /pub/x HTTP/1.1", "X: a\0b\r\n"), 400),
        (head(&world, "GET /pub/x HTTP/1.1", &fields), 431),
        (head(&world, &format!("GET /pub/{} HTTP/1.1", "x".repeat(70_000)), ""), 431),
        (head(&world, &format!("GET http://{}/pub/x HTTP/1.1", host(&world)), ""), 200),
        (head(&world, "GET http://other.example/pub/x HTTP/1.1", ""), 400),
        (head(&world, "GET /pub/x HTTP/1.1", "Transfer-Encoding: gzip, chunked\r\n"), 400),
    ] {
        for first in [&plain, &upload(&world)] {
            let heard = say(&world, format!("{first}{behind}")).await;
            assert_eq!(heard.statuses(), [200, status], "{behind:?}: {}", heard.text());
        }
    }
    still_standing(&world).await;
}

// For whoever makes environment variables of fields, or folds their names, these are the others.
#[tokio::test]
async fn a_framing_spelt_otherwise_does_not_reach_the_app() {
    let world = half_open().await;
    for (fields, body) in [
        ("Content_Length: 50\r\n", ""),
        ("Transfer_Encoding: chunked\r\n", ""),
        ("Content-Length: 5\r\ncontent_length: 0\r\n", "hello"),
        ("Content-Length: 5\r\nTRANSFER_ENCODING: chunked\r\n", "hello"),
        ("Transfer-Encoding: chunked\r\nContent_Length: 0\r\n", "5\r\nhello\r\n0\r\n\r\n"),
    ] {
        let heard = say(&world, head(&world, "POST /pub/x HTTP/1.1", fields) + body).await;
        assert_eq!(heard.statuses(), [200], "{fields}: {}", heard.text());
        let seen = world.app.last();
        assert!(seen.headers.keys().all(|name| !name.as_str().contains('_')), "{fields}: {seen:?}");
        assert_eq!(seen.body.len(), if body.is_empty() { 0 } else { 5 }, "{fields}");
    }
    still_standing(&world).await;
}

// RFC 9110 section 10.1.1: a client that is answered before it was asked to go on may send the body or not, and a proxy
// in front may take the connection for unused.
#[tokio::test]
async fn behind_an_expectation_that_is_declined_nothing_is_read() {
    let world = half_open().await;
    let next = head(&world, "GET /pub/next HTTP/1.1", "");
    for framing in [format!("Content-Length: {}\r\n", next.len()), "Transfer-Encoding: chunked\r\n".to_owned()] {
        let post = head(&world, "POST /closed HTTP/1.1", &format!("Expect: 100-continue\r\n{framing}"));
        let heard = say(&world, &post).await;
        assert!(heard.statuses() == [401] && heard.closed, "{framing}: {}", heard.text());
        assert!(heard.text().contains("connection: close\r\n"), "{}", heard.text());
        for behind in [next.clone(), next.repeat(2), format!("0\r\n\r\n{next}")] {
            let heard = say(&world, post.clone() + &behind).await;
            assert!(heard.statuses() == [401] && heard.closed, "{framing} {behind}: {}", heard.text());
        }
    }
    assert_eq!(world.app.hits(), 0);
    // One that is met, or has nothing to wait for, costs nobody the connection.
    for (fields, body, codes) in [
        ("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello", &[100, 200, 200][..]),
        ("Expect: 100-continue\r\nContent-Length: 0\r\n", "", &[200, 200]),
    ] {
        let post = head(&world, "POST /pub/x HTTP/1.1", fields);
        let heard = say(&world, format!("{post}{body}{next}")).await;
        assert_eq!(heard.statuses(), codes, "{}", heard.text());
    }
    still_standing(&world).await;
}

#[tokio::test]
async fn a_request_after_a_refused_one_is_judged_by_itself() {
    let world = half_open().await;
    let cookie = session_of(&world).await;
    let before = world.app.hits();
    // Behind a signed-in user's request comes one without a cookie, and the other way round.
    let mine = head(&world, "GET /mine HTTP/1.1", &format!("Cookie: {cookie}\r\n"));
    let heard = say(&world, format!("{mine}{}{mine}", smuggled(&world))).await;
    assert_eq!(heard.statuses(), [200, 401, 200], "{}", heard.text());
    assert_eq!(world.app.hits(), before + 2);
    // A refused request with a body: the body is not the next request.
    let body = smuggled(&world);
    let post = head(&world, "POST /closed HTTP/1.1", &format!("Content-Length: {}\r\n", body.len()));
    let heard = say(&world, format!("{post}{body}{mine}")).await;
    assert_eq!(heard.statuses()[0], 401, "{}", heard.text());
    assert!(heard.statuses().len() <= 2, "{}", heard.text());
    still_standing(&world).await;
}

/// An app that says the same to every connection's first request and records the heads.
pub async fn scripted(answer: &'static [u8]) -> (String, std::sync::Arc<std::sync::Mutex<Vec<u8>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let record = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let heads = std::sync::Arc::clone(&record);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let record = std::sync::Arc::clone(&record);
            tokio::spawn(async move {
                let mut chunk = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut chunk).await {
                    record.lock().unwrap().extend_from_slice(&chunk[..read]);
                    if record.lock().unwrap().windows(4).any(|four| four == b"\r\n\r\n") {
                        _ = stream.write_all(answer).await;
                        if answer.is_empty() {
                            return;
                        }
                    }
                }
            });
        }
    });
    (authority, heads)
}
