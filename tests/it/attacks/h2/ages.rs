//! Connections that are asked to end, and go on as if nobody had.

use super::*;

// h2 takes new streams until its ping is answered (RFC 9113 section 6.8), which a client can leave undone for ever.
#[tokio::test]
async fn a_client_that_answers_no_ping_asks_no_more_on_an_old_connection() {
    let world = World::with().tls().routes(TWO_ROUTES).table("[limits]\nconnection_age = \"1s\"").start().await;
    let authority = host(&world);
    let mut client = connect(&world).await;
    // So that the connection is never without a stream: an upload that does not end.
    let mut upload = ordinary(&authority, "/pub/upload");
    upload[0].1 = b"POST";
    client.write_all(&frame(HEADERS, END_HEADERS, 1, &block(&upload))).await.unwrap();
    let began = tokio::time::Instant::now();
    let mut outcome = Outcome::default();
    for stream in (3..).step_by(2) {
        assert!(began.elapsed() < Duration::from_secs(30), "requests are taken for ever");
        client.write_all(&frame(DATA, 0, 1, b"more")).await.unwrap();
        let get = block(&ordinary(&authority, "/pub/page"));
        client.write_all(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &get)).await.unwrap();
        while outcome.status(stream).is_none() && outcome.resets.is_empty() {
            outcome.read(&mut client).await;
            assert!(!outcome.closed, "with something under way");
        }
        if !outcome.resets.is_empty() {
            assert_eq!(outcome.resets, [(stream, REFUSED_STREAM)], "it may be sent elsewhere");
            assert!(outcome.status(3).is_some(), "a young connection is served");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
