//! The way out: what runs is finished, what idles is closed, and the deadline cuts the rest.

use super::*;

#[tokio::test]
async fn the_drain_does_not_wait_for_handshakes() {
    let (tls, _) = certified(&[]);
    let limits = Limits { handshake_timeout: EVER * 100, ..Limits::default() };
    let mut world = World::open(limits, Some(tls), hello);
    let mut stream = world.connect().await;
    world.event("accepted").await;
    world.drain.begin();
    assert_eq!(read_all(&mut stream).await, "");
    world.ended().await;
}

#[tokio::test]
async fn draining_finishes_what_runs_and_closes_what_idles() {
    let gate = Arc::new(Semaphore::new(0));
    let entered = Arc::new(Semaphore::new(0));
    let world = World::open(Limits::default(), None, {
        let (gate, entered) = (Arc::clone(&gate), Arc::clone(&entered));
        move |request: Request, _| {
            let (gate, entered) = (Arc::clone(&gate), Arc::clone(&entered));
            async move {
                if request.uri().path() == "/slow" {
                    entered.add_permits(1);
                    gate.acquire().await.unwrap().forget();
                }
                text(StatusCode::OK, "whole")
            }
        }
    });
    let mut fresh = world.connect().await;
    let mut idle = world.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_until(&mut idle, "whole").await;
    let mut busy = world.connect().await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    in_time(entered.acquire()).await.unwrap().forget();

    world.drain.begin();
    assert_eq!(read_all(&mut fresh).await, "");
    assert_eq!(read_all(&mut idle).await, "");
    assert!(TcpStream::connect(world.address).await.is_err(), "nobody new comes in");
    assert!(!world.served.is_finished(), "one request still runs");
    gate.add_permits(1);
    let answer = read_all(&mut busy).await;
    assert!(answer.ends_with("whole") && answer.contains("connection: close"), "{answer}");
    world.ended().await;
}

#[tokio::test]
async fn half_a_head_may_still_come_when_the_drain_begins() {
    let world = World::open(Limits::default(), None, hello);
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_until(&mut stream, "hello").await;
    stream.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    // Another connection's answer: by then the half has come as well.
    let mut other = world.connect().await;
    other.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    read_until(&mut other, "hello").await;
    world.drain.begin();
    assert_eq!(read_all(&mut other).await, "");
    stream.write_all(b"st: a\r\n\r\nGET /never HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.ends_with("hello") && answer.contains("connection: close"), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    world.ended().await;
}

#[tokio::test]
async fn the_deadline_cuts_what_does_not_finish() {
    let mut world = World::open(Limits::default(), None, |_, _| std::future::pending());
    let mut stream = world.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    world.event("accepted").await;
    world.drain.begin();
    world.drain.cut();
    assert_eq!(read_all(&mut stream).await, "");
    world.ended().await;
}

/// Upgrades to an echo; the tunnel is spawned through the drain, as `proxy::upgrade` does.
fn echo(drain: Drain) -> impl Fn(Request, Peer) -> std::future::Ready<Response> + Clone {
    move |mut request, _| {
        let upgrade = hyper::upgrade::on(&mut request);
        drain.spawn(async move {
            let (mut read, mut write) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
        let mut response = Response::default();
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("echo"));
        std::future::ready(response)
    }
}

#[tokio::test]
async fn a_tunnel_outlives_the_drain_and_ends_at_the_cut() {
    let drain = Drain::new();
    let listener = bind(LOOPBACK, 1).unwrap().remove(0);
    let address = listener.local_addr().unwrap();
    let open = Arc::new(AtomicUsize::new(0));
    let events: Events = {
        let open = Arc::clone(&open);
        Arc::new(move |event| match event {
            Event::Accepted => _ = open.fetch_add(1, Ordering::SeqCst),
            Event::Closed => _ = open.fetch_sub(1, Ordering::SeqCst),
            _ => {}
        })
    };
    let door = Door::new(listener, None, &Limits::default(), events, drain.clone());
    let served = tokio::spawn(serve(door, whole(echo(drain.clone()))));

    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await.unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream.write_all(b"before").await.unwrap();
    read_until(&mut stream, "before").await;
    drain.begin();
    stream.write_all(b"during").await.unwrap();
    read_until(&mut stream, "during").await;
    assert_eq!(open.load(Ordering::SeqCst), 1, "a tunnel counts as a connection");
    assert!(!served.is_finished());
    drain.cut();
    assert_eq!(read_all(&mut stream).await, "");
    in_time(served).await.unwrap();
    assert_eq!(open.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_drain_ends_http2_connections_and_the_cut_their_streams() {
    let (tls, connector) = certified(&[b"h2"]);
    let world = World::open(Limits::default(), Some(tls), |request: Request, _| async move {
        if request.uri().path() == "/endless" {
            std::future::pending::<()>().await;
        }
        text(StatusCode::OK, "hello")
    });
    let (mut idle, idle_connection) = http2(connect_tls(&world, &connector).await).await;
    in_time(idle.send_request(get("https://localhost/"))).await.unwrap();
    let (mut busy, _) = http2(connect_tls(&world, &connector).await).await;
    in_time(busy.send_request(get("https://localhost/"))).await.unwrap();
    let endless = tokio::spawn(busy.send_request(get("https://localhost/endless")));

    world.drain.begin();
    in_time(idle_connection).await.unwrap().unwrap();
    assert!(!world.served.is_finished());
    world.drain.cut();
    assert!(in_time(endless).await.unwrap().is_err());
    world.ended().await;
}
