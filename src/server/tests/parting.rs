//! The end of a connection whose client is still sending: it gets its answer, and not for ever.

use super::*;
use crate::server::linger::{MOST, SILENCE};

/// What a client says that gets an answer before it has said all, and the answer's status.
const EARLY: [(&str, &str); 5] = [
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", "200"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5F5E0FF\r\n", "200"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\n", "200"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
    ("GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", "400"),
];

async fn uploads(mut client: impl AsyncRead + AsyncWrite + Unpin) {
    for _ in 0..4 * 16 {
        in_time(client.write_all(&[b'a'; 64 * 1024])).await.expect("the connection is reset");
    }
    let mut all = Vec::new();
    in_time(client.read_to_end(&mut all)).await.expect("the connection is reset");
    drop(client);
}

#[tokio::test]
async fn a_client_that_is_still_sending_gets_its_answer() {
    let world = World::open(Limits::default(), None, hello);
    for (head, status) in EARLY {
        let mut client = world.connect().await;
        client.write_all(head.as_bytes()).await.unwrap();
        // It has its answer before it goes on.
        let answer = read_until(&mut client, "\r\n\r\n").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{head}: {answer}");
        uploads(client).await;
    }
}

#[tokio::test]
async fn a_client_of_tls_that_is_still_sending_gets_its_answer() {
    let (tls, connector) = certified(&[b"http/1.1"]);
    let world = World::open(Limits::default(), Some(tls), hello);
    for (head, status) in EARLY {
        let mut client = connect_tls(&world, &connector).await;
        client.write_all(head.as_bytes()).await.unwrap();
        let answer = read_until(&mut client, "\r\n\r\n").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{head}: {answer}");
        assert!(answer.contains("connection: close\r\n"), "{head}: {answer}");
        uploads(client).await;
    }
}

#[tokio::test]
async fn requests_behind_the_last_that_is_answered_do_not_cost_its_answer() {
    let world = World::open(Limits::default(), None, hello);
    let requests = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20_000);
    for last in ["GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "nonsense\r\n\r\n"] {
        let mut client = world.connect().await;
        in_time(client.write_all(format!("{last}{requests}").as_bytes())).await.expect("the connection is reset");
        let mut all = String::new();
        in_time(client.read_to_string(&mut all)).await.expect("the connection is reset");
        assert_eq!(all.matches("HTTP/1.1").count(), 1, "{all}");
    }
}

#[tokio::test]
async fn nobody_sends_for_ever_behind_the_last_answer() {
    let mut world = World::open(Limits::default(), None, hello);
    for piece in [&[b'a'; 64 * 1024][..], b"a"] {
        for (head, _) in EARLY {
            let mut client = world.connect().await;
            client.write_all(head.as_bytes()).await.unwrap();
            let mut sent = 0;
            let sends = async {
                while client.write_all(piece).await.is_ok() {
                    sent += piece.len();
                    if piece.len() == 1 {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            };
            in_time(sends).await;
            assert!(sent < 2 * MOST, "{sent} bytes were taken");
            world.event("closed").await;
        }
    }
}

#[tokio::test]
async fn a_client_that_never_closes_is_not_waited_for() {
    let mut world = World::open(Limits::default(), None, hello);
    for (head, _) in EARLY {
        let mut client = world.connect().await;
        client.write_all(head.as_bytes()).await.unwrap();
        world.event("closed").await;
        drop(client);
    }
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_those_who_are_still_sending() {
    let mut world = World::open(Limits::default(), None, hello);
    let mut client = world.connect().await;
    client.write_all(EARLY[3].0.as_bytes()).await.unwrap();
    read_until(&mut client, "\r\n\r\n").await;
    world.drain.cut();
    let closed = tokio::time::timeout(SILENCE / 2, world.event("closed"));
    closed.await.expect("it is closed at once");
    world.ended().await;
}

#[tokio::test]
async fn an_upload_that_nobody_wants_keeps_its_connection_when_it_is_all_there() {
    let world = World::open(Limits::default(), None, hello);
    let mut client = world.connect().await;
    for _ in 0..3 {
        client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nstuff").await.unwrap();
        let answer = read_until(&mut client, "hello").await;
        assert!(!answer.contains("connection: close"), "{answer}");
    }
}
