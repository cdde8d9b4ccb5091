//! What a relay carries, over sockets and over memory: all of it, in order, and no longer than it should.

use std::future::poll_fn;

use super::*;
use crate::http::tunnel::{Carrier, Socket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;

impl Carrier for DuplexStream {}

impl Carrier for TcpStream {
    fn socket(&self) -> Option<Socket<'_>> {
        Some(Socket::Tcp(self))
    }
}

impl Carrier for UnixStream {
    fn socket(&self) -> Option<Socket<'_>> {
        Some(Socket::Unix(self))
    }
}

/// What both sides of a relay go over.
#[derive(Clone, Copy, Debug)]
enum Over {
    /// Memory, with room for so many bytes on their way.
    Memory(usize),
    /// The sockets themselves.
    Sockets,
}

/// A relay, what it notes, and its two ends.
async fn tunnel(over: Over) -> (Side, Side, Arc<Traffic>, JoinHandle<io::Result<()>>) {
    let (client, near, app, far): (Side, Side, Side, Side) = match over {
        Over::Memory(room) => {
            let ((client, near), (app, far)) = (duplex(room), duplex(room));
            (Box::new(client), Box::new(near), Box::new(app), Box::new(far))
        }
        Over::Sockets => {
            let (client, near) = UnixStream::pair().unwrap();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let far = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (app, _) = listener.accept().await.unwrap();
            (Box::new(client), Box::new(near), Box::new(app), Box::new(far))
        }
    };
    let traffic = Arc::new(Traffic::default());
    let mut relay = Relay::new(near, far, Arc::clone(&traffic));
    (client, app, traffic, tokio::spawn(async move { poll_fn(|cx| relay.poll(cx)).await }))
}

#[tokio::test]
async fn each_side_ends_when_it_likes_and_the_other_goes_on() {
    for (over, client_first) in
        [Over::Memory(64), Over::Sockets].into_iter().flat_map(|over| [(over, true), (over, false)])
    {
        let (mut one, mut other, _, relay) = tunnel(over).await;
        if !client_first {
            std::mem::swap(&mut one, &mut other);
        }
        for words in ["one, ", "two"] {
            one.write_all(words.as_bytes()).await.unwrap();
            let mut heard = vec![0; words.len()];
            other.read_exact(&mut heard).await.unwrap();
            assert_eq!(heard, words.as_bytes(), "{over:?}");
        }
        one.write_all(b"and goodbye").await.unwrap();
        one.shutdown().await.unwrap();
        let mut heard = String::new();
        other.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "and goodbye", "{over:?}");
        other.write_all(b"and an answer").await.unwrap();
        assert!(!relay.is_finished(), "{over:?}");
        other.shutdown().await.unwrap();
        heard.clear();
        one.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "and an answer", "{over:?}");
        relay.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn who_takes_little_slows_the_other_and_loses_nothing() {
    // The system's own buffers hold some megabytes.
    for (over, words) in [(Over::Memory(100_000), 200_000_u32), (Over::Sockets, 8_000_000)] {
        let all: Vec<u8> = (0..words).flat_map(u32::to_le_bytes).collect();
        let (mut client, mut app, _, relay) = tunnel(over).await;
        let mut sent = 0;
        // Until nothing more is taken.
        while let Ok(written) = tokio::time::timeout(Duration::from_millis(200), client.write(&all[sent..])).await {
            sent += written.unwrap();
        }
        match over {
            Over::Memory(room) => assert!((2 * room..=2 * room + 2 * PIECE).contains(&sent), "{sent}"),
            Over::Sockets => assert!(sent < all.len()),
        }
        // Meanwhile the other direction is not held up.
        app.write_all(b"hello").await.unwrap();
        let mut hello = [0; 5];
        client.read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"hello");
        let rest = all[sent..].to_vec();
        let sends = tokio::spawn(async move {
            client.write_all(&rest).await.unwrap();
            client.shutdown().await.unwrap();
            client
        });
        let mut heard = Vec::new();
        app.read_to_end(&mut heard).await.unwrap();
        assert!(heard == all, "{over:?}");
        drop((app, sends.await.unwrap()));
        relay.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_side_that_takes_nothing_any_more_ends_both() {
    for over in [Over::Memory(64), Over::Sockets] {
        let (mut client, mut app, _, relay) = tunnel(over).await;
        client.write_all(b"hello").await.unwrap();
        app.read_exact(&mut [0; 5]).await.unwrap();
        drop(app);
        // The first word to a closed socket is only answered with a reset.
        while client.write_all(b"anybody?").await.is_ok() && !relay.is_finished() {
            sleep(Duration::from_millis(1)).await;
        }
        let kind = relay.await.unwrap().unwrap_err().kind();
        assert!(matches!(kind, io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset), "{over:?}: {kind}");
    }
}

#[tokio::test]
async fn the_last_words_of_an_app_that_takes_nothing_more_arrive() {
    let (mut client, mut app, _, relay) = tunnel(Over::Sockets).await;
    // Closed with this unread, its socket is reset.
    client.write_all(&[1; 1 << 16]).await.unwrap();
    app.read_exact(&mut [0]).await.unwrap();
    app.write_all(b"too much").await.unwrap();
    drop(app);
    // Until the relay has seen it.
    while client.write_all(&[1; 1 << 16]).await.is_ok() {}
    let mut heard = [0; 8];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"too much");
    relay.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_client_that_takes_nothing_more_ends_both_at_once() {
    let (mut client, mut app, _, relay) = tunnel(Over::Sockets).await;
    // More than is taken by an app that reads nothing.
    while tokio::time::timeout(Duration::from_millis(200), client.write_all(&[1; 1 << 16])).await.is_ok() {}
    drop(client);
    while app.write_all(b"anybody?").await.is_ok() && !relay.is_finished() {
        sleep(Duration::from_millis(1)).await;
    }
    relay.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn who_has_much_to_say_lets_others_have_their_turn() {
    let ((mut client, near), (mut app, far)) = (duplex(1 << 22), duplex(1 << 22));
    client.write_all(&vec![7; 1 << 21]).await.unwrap();
    let mut relay = Relay::new(Box::new(near), Box::new(far), Arc::default());
    let polls = std::cell::Cell::new(0);
    let carries = poll_fn(|cx| {
        polls.set(polls.get() + 1);
        relay.poll(cx)
    });
    let mut heard = vec![0; 1 << 21];
    tokio::select! {
        _ = carries => unreachable!("nobody has ended"),
        read = app.read_exact(&mut heard) => assert!(read.is_ok()),
    }
    assert!(polls.get() >= (1 << 21) / (AT_ONCE * PIECE), "{}", polls.get());
    assert!(heard.iter().all(|byte| *byte == 7));
}

#[tokio::test]
async fn silence_is_counted_from_the_last_piece_of_either_side() {
    let limit = Duration::from_secs(1);
    let (mut client, mut app, traffic, _relay) = tunnel(Over::Sockets).await;
    let listening = tokio::spawn(async move { traffic.silence(limit).await });
    let mut last = Instant::now();
    for _ in 0..6 {
        sleep(limit / 3).await;
        last = Instant::now();
        client.write_all(b"x").await.unwrap();
        app.read_exact(&mut [0]).await.unwrap();
        std::mem::swap(&mut client, &mut app);
    }
    assert!(!listening.is_finished());
    listening.await.unwrap();
    assert!(last.elapsed() >= limit, "{:?}", last.elapsed());
}
