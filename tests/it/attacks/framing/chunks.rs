//! Chunks that readers could take differently.

use super::*;

/// Bodies that are said to come in chunks, and do not.
const BROKEN_CHUNKS: [&str; 17] = [
    "5\r\nhelloX0\r\n\r\n",
    "G\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "5 5\r\nhello\r\n0\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "\r\n5\r\nhello\r\n0\r\n\r\n",
    "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
    "5\rhello\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "5;a\nb\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
];

#[tokio::test]
async fn broken_chunks_are_their_senders_fault_and_never_passed_on_as_whole() {
    let world = half_open().await;
    let ours = format!("POST {}/sign-out HTTP/1.1", "/.portcullis");
    for line in ["POST /pub/x HTTP/1.1", &ours] {
        let more = format!("Accept: application/json\r\nOrigin: {}\r\nTransfer-Encoding: chunked\r\n", world.url);
        for chunks in BROKEN_CHUNKS {
            let heard = say(&world, head(&world, line, &more) + chunks + &smuggled(&world)).await;
            assert!(heard.statuses() == [400] && heard.closed, "{line} {chunks:?}: {}", heard.text());
            assert!(heard.text().contains("\"body_malformed\""), "{line} {chunks:?}: {}", heard.text());
            assert!(!world.app.everything().iter().any(|seen| seen.target == "/pub/x"), "{chunks:?}");
        }
    }
    let count = 2 * BROKEN_CHUNKS.len() as u64;
    assert_eq!(world.metric("portcullis_server_events_total{event=\"malformed\"}").await, count);
    still_standing(&world).await;
}

// A body that is read when its answer has begun can no longer be refused: its connection ends, and nothing behind it
// is read.
#[tokio::test]
async fn broken_chunks_behind_the_beginning_of_an_answer_end_the_connection() {
    let (authority, heard_by_app) = scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let world = World::with().routes(&TWO_ROUTES.replace("{app}", &authority)).start().await;
    for chunks in BROKEN_CHUNKS {
        let mut stream = TcpStream::connect(world.gateway.address).await.unwrap();
        let head = head(&world, "POST /pub/x HTTP/1.1", "Transfer-Encoding: chunked\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let heard = listen(&mut stream).await;
        assert!(heard.statuses() == [200] && !heard.closed, "{chunks:?}: {}", heard.text());
        stream.write_all((chunks.to_owned() + &smuggled(&world)).as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await.expect("it is closed");
        assert!(rest.is_empty(), "{chunks:?}: {}", String::from_utf8_lossy(&rest));
    }
    let heard = String::from_utf8_lossy(&heard_by_app.lock().unwrap()).into_owned();
    assert!(!heard.contains("smuggled") && !heard.contains("\r\n0\r\n\r\n"), "{heard}");
}

#[tokio::test]
async fn chunk_extensions_are_dropped() {
    let world = half_open().await;
    let chunks = "5;evil=\"GET /smuggled HTTP/1.1\"\r\nhello\r\n0;x=y\r\n\r\n";
    let heard =
        say(&world, format!("{}{chunks}", head(&world, "POST /pub/upload HTTP/1.1", "Transfer-Encoding: chunked\r\n")))
            .await;
    assert_eq!(heard.statuses(), [200], "{}", heard.text());
    assert_eq!(world.app.last().body, "hello");
    let endless = format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(100_000));
    let heard =
        say(&world, format!("{}{endless}", head(&world, "POST /pub/x HTTP/1.1", "Transfer-Encoding: chunked\r\n")))
            .await;
    assert!(heard.statuses() == [400] && heard.closed, "{}", heard.text());
    assert!(heard.text().contains("\"body_malformed\""), "{}", heard.text());
    assert!(world.app.everything().iter().all(|seen| seen.target != "/pub/x"), "{:?}", world.app.everything());
    still_standing(&world).await;
}

#[tokio::test]
async fn http_1_0_cannot_send_chunks() {
    let world = half_open().await;
    for line in
        ["POST /pub/x HTTP/1.0", "POST /pub/x HTTP/1.9", "POST /pub/x HTTP/2.0", "POST /pub/x HTTP/0.9", "POST /pub/x"]
    {
        let chunked = format!(
            "{}0\r\n\r\n{}",
            head(&world, line, "Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n"),
            smuggled(&world)
        );
        let heard = say(&world, chunked).await;
        assert!(heard.statuses() == [400] && heard.closed, "{line}: {}", heard.text());
    }
    assert_eq!(world.app.hits(), 0);
    still_standing(&world).await;
}
