//! What the gateway as a process of its own takes for large bodies: no more than for small ones.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::server::Builder;
use hyper::{Method, Request};
use tokio::net::TcpStream;

use crate::multiplexed::plain;
use crate::stage::{Line, Stage, length, soon, until};
use crate::world::{free_port, write_pair};

mod giant;

/// Much larger than anything that could be meant to be kept.
const SIZE: usize = 256 << 20;
const PIECE: usize = 1 << 20;
/// What buffers, the allocator and the system may take.
const ROOM: u64 = 48 << 20;

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

impl Process {
    /// A gateway on `port` in front of an app, which lets everybody in; over TLS, by the `pair` in its directory.
    async fn start(directory: &Path, port: u16, upstream: &str, pair: Option<&str>) -> Self {
        let (config, log) = (directory.join("gateway.toml"), directory.join("log"));
        let scheme = if pair.is_some() { "https" } else { "http" };
        let tls = pair.map_or_else(String::new, |name| {
            let file = |kind: &str| directory.join(format!("{name}.{kind}")).display().to_string();
            format!("[tls]\ncertificate = {:?}\nprivate_key = {:?}\n", file("crt"), file("key"))
        });
        let text = format!(
            "public_url = \"{scheme}://localhost:{port}\"\nlisten = \"127.0.0.1:{port}\"\nworkers = 1\n\
             {tls}[operator]\nlisten = \"off\"\n[log]\naccess = \"off\"\n\
             [provider.sf]\norg = \"http://127.0.0.1:{}\"\nclient_id = \"x\"\n\
             [[route]]\npublic = true\nupstream = \"{upstream}\"\n",
            free_port()
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["run", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let process = Self(child);
        let listens = || async { std::fs::read_to_string(&log).unwrap_or_default().contains("listening") };
        until("listening", listens).await;
        process
    }

    /// The most memory that it ever had, in bytes.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

/// A download and an upload of [`SIZE`] bytes; how much more memory that took than small ones.
async fn growth(upstream: &str) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let process = Process::start(directory.path(), port, upstream, None).await;
    let mut line = Line::to(&format!("127.0.0.1:{port}")).await;
    let mut before = 0;
    for size in [PIECE, SIZE] {
        line.send(format!("GET /{size} HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n")).await;
        let head = line.head().await.unwrap();
        assert_eq!(length(&head), size, "{head}");
        for _ in 0..size / PIECE {
            line.take(PIECE).await;
        }
        line.send(format!("PUT / HTTP/1.1\r\nhost: localhost:{port}\r\ncontent-length: {size}\r\n\r\n")).await;
        let piece = vec![b'x'; PIECE];
        for _ in 0..size / PIECE {
            assert!(line.push(&piece).await);
        }
        let head = line.head().await.unwrap();
        let received = line.take(length(&head)).await;
        assert_eq!(received, size.to_string().as_bytes(), "{head}");
        if before == 0 {
            before = process.peak();
        }
    }
    // The system counts in passing: a peak may even seem to have sunk.
    process.peak().saturating_sub(before)
}

/// An app that sends as much as its path says, and tells how much was sent to it.
async fn app() -> Stage {
    Stage::play(|mut line: Line, _| async move {
        while let Some(head) = line.head().await {
            if let Some(path) = head.strip_prefix("get /") {
                let size: usize = path.split(' ').next().unwrap().parse().unwrap();
                line.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n")).await;
                let piece = vec![b'x'; PIECE];
                for _ in 0..size / PIECE {
                    line.push(&piece).await;
                }
            } else {
                let size = length(&head);
                for _ in 0..size / PIECE {
                    line.take(PIECE).await;
                }
                let size = size.to_string();
                line.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{size}", size.len())).await;
            }
        }
    })
    .await
}

/// One of either over HTTP/2, which comes with TLS: what the app said of it, or how much came.
async fn cross(sender: &mut SendRequest<Bytes>, authority: &str, method: Method, size: usize) -> String {
    let path = if method == Method::GET { size.to_string() } else { String::new() };
    let request = Request::builder().method(&method).uri(format!("https://{authority}/{path}"));
    let request = request.header("content-length", if method == Method::GET { 0 } else { size }).body(()).unwrap();
    let ready = soon("readiness", sender.clone().ready()).await.unwrap();
    *sender = ready;
    let (answer, mut upload) = sender.send_request(request, method == Method::GET).unwrap();
    let mut left = if method == Method::GET { 0 } else { size };
    while left > 0 {
        upload.reserve_capacity(left.min(PIECE));
        while upload.capacity() == 0 {
            std::future::poll_fn(|cx| upload.poll_capacity(cx)).await.unwrap().unwrap();
        }
        let piece = Bytes::from(vec![b'x'; upload.capacity().min(left)]);
        left -= piece.len();
        upload.send_data(piece, left == 0).unwrap();
    }
    let answer = soon("an answer", answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    let (mut count, mut last) = (0, Bytes::new());
    while let Some(piece) = soon("a piece", body.data()).await {
        last = piece.unwrap();
        count += last.len();
        body.flow_control().release_capacity(last.len()).unwrap();
    }
    if method == Method::GET { count.to_string() } else { String::from_utf8(last.to_vec()).unwrap() }
}

#[tokio::test]
async fn large_bodies_of_clients_of_http2_take_no_memory() {
    let (stage, directory, port) = (app().await, tempfile::tempdir().unwrap(), free_port());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(write_pair(directory.path(), "front", &["localhost"])).unwrap();
    let upstream = format!("http://{}", stage.authority);
    let process = Process::start(directory.path(), port, &upstream, Some("front")).await;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    let (mut sender, connection) = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 20)
        .handshake(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let authority = format!("localhost:{port}");
    let mut before = 0;
    for size in [PIECE, SIZE / 2] {
        for method in [Method::GET, Method::PUT] {
            assert_eq!(cross(&mut sender, &authority, method, size).await, size.to_string());
        }
        if before == 0 {
            before = process.peak();
        }
    }
    let growth = process.peak().saturating_sub(before);
    assert!(growth < ROOM, "{} MiB", growth >> 20);
}

#[tokio::test]
async fn large_bodies_by_http1_take_no_memory() {
    let stage = app().await;
    let growth = growth(&format!("http://{}", stage.authority)).await;
    assert!(growth < ROOM, "{} MiB", growth >> 20);
}

#[tokio::test]
async fn large_bodies_by_http2_take_no_memory() {
    let stage = plain(Builder::new(), |asked, mut reply, _| async move {
        let Ok(size) = asked.uri().path()[1..].parse::<usize>() else {
            let mut body = asked.into_body();
            let mut received = 0;
            while let Some(Ok(data)) = body.data().await {
                _ = body.flow_control().release_capacity(data.len());
                received += data.len();
            }
            let text = received.to_string();
            let head = hyper::Response::builder().header("content-length", text.len()).body(()).unwrap();
            _ = reply.send_response(head, false).unwrap().send_data(Bytes::from(text), true);
            return;
        };
        let head = hyper::Response::builder().header("content-length", size).body(()).unwrap();
        let mut stream = reply.send_response(head, false).unwrap();
        let mut left = size;
        while left > 0 {
            stream.reserve_capacity(left.min(PIECE));
            while stream.capacity() == 0 {
                std::future::poll_fn(|cx| stream.poll_capacity(cx)).await.unwrap().unwrap();
            }
            let piece = Bytes::from(vec![b'x'; stream.capacity().min(left)]);
            left -= piece.len();
            stream.send_data(piece, left == 0).unwrap();
        }
    })
    .await;
    let growth = growth(&format!("h2c://{}", stage.authority)).await;
    assert!(growth < ROOM, "{} MiB", growth >> 20);
}
