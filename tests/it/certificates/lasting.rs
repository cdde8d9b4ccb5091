//! What is open when certificates are replaced: streams and tunnels notice nothing.

use hyper::client::conn::http2::SendRequest;
use portcullis::demo::app::App;
use tokio::sync::Notify;

use super::*;
use crate::proxying::{secured, speak_http2};
use crate::stage::Stage;
use crate::websockets::{connect, connection, socket, talk};

/// An app that gives `/events` out one at a time, and repeats on `/tunnel` what it is told.
async fn lasting(go: &Arc<Notify>) -> Stage {
    let prompt = Arc::clone(go);
    Stage::play(move |mut line: Line, _| {
        let go = Arc::clone(&prompt);
        async move {
            let head = line.head().await.unwrap();
            if head.starts_with("get /tunnel ") {
                line.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
                while let Some(words) = line.head().await {
                    line.send(words).await;
                }
                return;
            }
            line.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            for piece in ["one", "two", "three"] {
                line.send(format!("{:x}\r\n{piece}\r\n", piece.len())).await;
                go.notified().await;
            }
            line.send("0\r\n\r\n").await;
        }
    })
    .await
}

#[tokio::test]
async fn streams_and_tunnels_go_on_while_a_certificate_is_replaced() {
    let go = Arc::new(Notify::new());
    let (stage, demo) = (lasting(&go).await, App::start().await.unwrap());
    let routes = format!("{}[[route]]\npath = \"/socket\"\nupstream = \"{}\"\n", stage.route(), demo.url());
    let world = World::with().tls().routes(&routes).start().await;
    let ticket = world.ticket().await;
    let before = shown(&meet(&world, world.tls(), "localhost").await.unwrap());
    let get = |path: &str| Request::get(world.at(path)).header("cookie", &ticket).body(Empty::<Bytes>::new()).unwrap();

    // An answer that has begun over HTTP/2, a WebSocket beside another request, and a tunnel of HTTP/1.1.
    let mut sender: SendRequest<Empty<Bytes>> = speak_http2(&world).await;
    let mut events = soon("an answer", sender.send_request(get("/events"))).await.unwrap();
    let mut beside = connection(&world).await;
    let lines = [("cookie", ticket.as_str()), ("origin", world.url.as_str())];
    let mut socket = socket(connect(&mut beside, world.at("/socket"), "websocket", &lines).await).await;
    let mut tunnel = Line::over(Box::new(secured(&world, b"http/1.1").await));
    let host = world.authority();
    let offer = format!("host: {host}\r\ncookie: {ticket}\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n");
    tunnel.send(format!("GET /tunnel HTTP/1.1\r\n{offer}")).await;
    let head = tunnel.head().await.unwrap();
    assert!(head.starts_with("http/1.1 101 ") && field(&head, "upgrade") == Some("echo"), "{head}");

    let replaced = "portcullis_certificate_reloads_total{outcome=\"replaced\"}";
    for (count, piece) in [(0, "one"), (1, "two"), (2, "three")] {
        if count > 0 {
            let renewed = write_pair(world.folder(), "main", &["localhost"]);
            world.gateway.reread_certificates();
            let client = trusting(&world, &[&before]);
            until("the new certificate", || async {
                meet(&world, Arc::clone(&client), "localhost").await.is_ok_and(|stream| shown(&stream) == renewed)
            })
            .await;
        }
        assert_eq!(world.metric(replaced).await, count);
        let frame = soon("an event", events.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), piece);
        go.notify_one();
        talk(&mut socket, piece).await;
        tunnel.send(format!("{piece}\r\n\r\n")).await;
        assert_eq!(tunnel.head().await.unwrap(), format!("{piece}\r\n\r\n"));
        // And what comes anew on a connection that is open.
        let page = soon("an answer", beside.send_request(get("/socket/none"))).await.unwrap();
        assert_eq!(page.status(), 200);
    }
    let rest = soon("the end of the events", events.into_body().collect()).await.unwrap();
    assert_eq!(rest.to_bytes(), "");
    demo.shutdown().await;
}

#[tokio::test]
async fn who_is_silent_while_a_certificate_is_replaced_is_met_by_the_new_one() {
    let world = World::with().tls().routes(OPEN).start().await;
    let before = shown(&meet(&world, world.tls(), "localhost").await.unwrap());
    let silent = TcpStream::connect(world.gateway.address).await.unwrap();
    // Accepted behind it.
    meet(&world, world.tls(), "localhost").await.unwrap();
    let good = write_pair(world.folder(), "main", &["localhost"]);
    world.gateway.reread_certificates();
    let client = trusting(&world, &[&before]);
    until("the new certificate", || async {
        meet(&world, Arc::clone(&client), "localhost").await.is_ok_and(|stream| shown(&stream) == good)
    })
    .await;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = tokio_rustls::TlsConnector::from(client).connect(name, silent).await.unwrap();
    assert_eq!(shown(&stream), good, "judged by what held when it came, not when it spoke");
}
