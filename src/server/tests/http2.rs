//! Connections of HTTP/2: how they are chosen, and what they share with the others.

use super::*;

#[tokio::test]
async fn alpn_decides_the_protocol() {
    for (alpn, version) in [(&[b"h2".as_slice(), b"http/1.1"][..], "HTTP/2.0"), (&[b"http/1.1"], "HTTP/1.1")] {
        let (tls, connector) = certified(alpn);
        let world = World::open(Limits::default(), Some(tls), |request: Request, peer: Peer| async move {
            assert_eq!(peer.scheme, Scheme::Https);
            text(StatusCode::OK, format!("{:?}", request.version()))
        });
        let stream = connect_tls(&world, &connector).await;
        let body = if version == "HTTP/2.0" {
            let (mut send, _) = http2(stream).await;
            let answer = in_time(send.send_request(get("https://localhost/"))).await.unwrap();
            answer.into_body().collect().await.unwrap().to_bytes()
        } else {
            let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let mut request = get("/");
            request.headers_mut().insert("host", HeaderValue::from_static("localhost"));
            let answer = in_time(send.send_request(request)).await.unwrap();
            answer.into_body().collect().await.unwrap().to_bytes()
        };
        assert_eq!(body, version);
    }
}

#[tokio::test]
async fn a_client_without_a_common_protocol_is_refused() {
    let (tls, connector) = certified(&[b"spdy/3"]);
    let mut world = World::open(Limits::default(), Some(tls), hello);
    let name = ServerName::try_from("localhost").unwrap();
    assert!(in_time(connector.connect(name, world.connect().await)).await.is_err());
    world.event("handshake_failed").await;
}

#[tokio::test]
async fn http2_counts_fields_too_but_not_the_crumbs_of_a_cookie() {
    let (tls, connector) = certified(&[b"h2"]);
    let mut world = World::open(Limits { headers: 10, ..Limits::default() }, Some(tls), hello);
    let (mut send, _) = http2(connect_tls(&world, &connector).await).await;
    for (name, status) in [("cookie", StatusCode::OK), ("x-field", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)] {
        let mut request = get("https://localhost/");
        for _ in 0..20 {
            request.headers_mut().append(name, HeaderValue::from_static("a=b"));
        }
        assert_eq!(in_time(send.send_request(request)).await.unwrap().status(), status, "{name}");
    }
    world.event("headers_too_large").await;
}

#[tokio::test]
async fn an_idle_http2_connection_ends() {
    let (tls, connector) = certified(&[b"h2"]);
    let mut world = World::open(Limits { h2_idle_timeout: SOON, ..Limits::default() }, Some(tls), hello);
    let (mut send, connection) = http2(connect_tls(&world, &connector).await).await;
    in_time(send.send_request(get("https://localhost/"))).await.unwrap();
    world.event("idle_timeout").await;
    in_time(connection).await.unwrap().unwrap();
    world.event("closed").await;
}

#[tokio::test]
async fn a_busy_http2_connection_does_not_idle() {
    let (tls, connector) = certified(&[b"h2"]);
    let limits = Limits { h2_idle_timeout: Duration::from_millis(50), ..Limits::default() };
    let world = World::open(limits, Some(tls), |_, _| async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        text(StatusCode::OK, "late")
    });
    let (mut send, _) = http2(connect_tls(&world, &connector).await).await;
    let answer = in_time(send.send_request(get("https://localhost/"))).await.unwrap();
    assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "late");
}

#[tokio::test]
async fn an_http2_client_that_never_speaks_is_closed() {
    let (tls, connector) = certified(&[b"h2"]);
    let mut world = World::open(Limits { h2_idle_timeout: SOON, ..Limits::default() }, Some(tls), hello);
    let _silent = connect_tls(&world, &connector).await;
    world.event("idle_timeout").await;
    world.event("closed").await;
}

#[tokio::test]
async fn an_http2_client_that_ignores_the_goodbye_is_closed() {
    let (tls, connector) = certified(&[b"h2"]);
    let mut world = World::open(Limits { h2_idle_timeout: SOON, ..Limits::default() }, Some(tls), hello);
    let mut stream = connect_tls(&world, &connector).await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00").await.unwrap();
    // HEADERS of stream 1, whole: GET https /.
    stream.write_all(b"\x00\x00\x03\x01\x05\x00\x00\x00\x01\x82\x87\x84").await.unwrap();
    // From here on it neither reads nor answers, and does not leave either.
    world.event("idle_timeout").await;
    world.event("closed").await;
    drop(stream);
}
