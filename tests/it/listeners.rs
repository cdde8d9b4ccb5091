//! Where the front door can be: several addresses, unix sockets, sockets that somebody else opened.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::check::{Bench, PROGRAM, Process};
use crate::stage::{soon, until};
use crate::world::{World, free_port};

/// Everything that answers one request, over whatever kind of connection.
pub async fn exchange<S: AsyncReadExt + AsyncWriteExt + Unpin>(mut stream: S, request: impl AsRef<[u8]>) -> String {
    // whoever has been turned away by then has been answered
    _ = soon("a request's leaving", stream.write_all(request.as_ref())).await;
    let mut answer = Vec::new();
    // a reset is an end, too
    _ = soon("an answer's end", stream.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn ask(authority: &str, path: &str, more: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n{more}\r\n")
}

async fn unix(path: &Path) -> UnixStream {
    soon("a unix connection", UnixStream::connect(path)).await.unwrap()
}

const ECHO: &str = "[[route]]\npublic = true\nupstream = \"http://{app}\"\n";

#[tokio::test]
async fn the_front_door_is_open_in_all_its_places() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("front.sock");
    let port = free_port();
    let listen = format!("[\"127.0.0.1:{{port}}\", \"[::1]:{port}\", {:?}]", format!("unix:{}", socket.display()));
    let world = World::with().routes(ECHO).listen(&listen).start().await;
    let request = ask(world.authority(), "/", "");
    let addresses = [world.gateway.address, format!("[::1]:{port}").parse().unwrap()];
    for (address, shown) in addresses.into_iter().zip(["127.0.0.1", "::1"]) {
        let answer = exchange(TcpStream::connect(address).await.unwrap(), &request).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(world.app.last().one("x-forwarded-for").as_deref(), Some(shown));
    }
    let answer = exchange(unix(&socket).await, &request).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(world.gateway.places.len(), 3);
    soon("the end", world.gateway.shutdown()).await;
    assert!(!socket.exists(), "the file goes with the gateway");
}

#[tokio::test]
async fn a_client_of_a_unix_socket_has_no_address_and_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("front.sock");
    let listen = format!("[\"127.0.0.1:{{port}}\", {:?}]", format!("unix:{}", socket.display()));
    let lie = "x-forwarded-for: 203.0.113.9\r\n";
    for (trusted, expected) in
        [("trusted_proxies = [\"127.0.0.0/8\"]", "unknown"), ("trusted_proxies = [\"unix\"]", "203.0.113.9, unknown")]
    {
        let world = World::with().routes(ECHO).listen(&listen).top(trusted).start().await;
        let answer = exchange(unix(&socket).await, &ask(world.authority(), "/", lie)).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(world.app.last().one("x-forwarded-for").as_deref(), Some(expected));
        assert!(world.app.last().one("forwarded").unwrap().contains("for=unknown;"));
        soon("the end", world.gateway.shutdown()).await;
    }
}

#[tokio::test]
async fn many_workers_share_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("front.sock");
    let listen = format!("[\"127.0.0.1:{{port}}\", {:?}]", format!("unix:{}", socket.display()));
    let world = World::with().routes(ECHO).listen(&listen).workers(4).start().await;
    let request = ask(world.authority(), "/", "");
    let answers = (0..64).map(|_| {
        let (socket, request) = (socket.clone(), request.clone());
        tokio::spawn(async move { exchange(unix(&socket).await, &request).await })
    });
    for answer in answers.collect::<Vec<_>>() {
        assert!(answer.await.unwrap().starts_with("HTTP/1.1 200 "));
    }
    soon("the end", world.gateway.shutdown()).await;
}

/// The program, with a listening socket as file descriptor 3, as systemd starts it.
fn handed_over(bench: &Bench, socket: OwnedFd, listen: &str, names: &str) -> Process {
    let port = bench.url.rsplit(':').next().unwrap();
    let toml = bench.toml("").replace(&format!("listen = \"127.0.0.1:{port}\""), &format!("listen = \"{listen}\""));
    assert!(toml.contains(listen));
    let config = bench.write(&toml);
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec 3<&0 0</dev/null; LISTEN_PID=$$ exec \"$@\"", "sh", PROGRAM, "run", "--config"])
        .arg(config)
        .env("LISTEN_FDS", "1")
        .env("LISTEN_FDNAMES", names)
        .stdin(Stdio::from(socket));
    Process::spawn(bench, command)
}

#[tokio::test]
async fn a_socket_that_systemd_opened_is_served() {
    for listen in ["systemd", "systemd:web"] {
        let bench = Bench::new().await;
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let process = handed_over(&bench, socket.into(), listen, "web");
        process.listens().await;
        let authority = bench.url.split_once("://").unwrap().1;
        let answer = exchange(TcpStream::connect(address).await.unwrap(), &ask(authority, "/", "")).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(process.errors().contains(&address.to_string()), "{}", process.errors());
    }
}

#[tokio::test]
async fn a_unix_socket_that_systemd_opened_is_served_and_its_file_left_alone() {
    let bench = Bench::new().await;
    let path = bench.directory.path().join("activated.sock");
    let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut process = handed_over(&bench, socket.into(), "systemd", "web");
    process.listens().await;
    let authority = bench.url.split_once("://").unwrap().1;
    let answer = exchange(unix(&path).await, &ask(authority, "/", "")).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    until("its access line", || async { process.output().contains("\"client\":\"unix\"") }).await;
    process.signal("TERM");
    assert_eq!(process.ended().await, Some(0));
    assert!(path.exists(), "it belongs to systemd");
}

#[tokio::test]
async fn what_was_not_handed_over_is_said_to_be_missing() {
    let bench = Bench::new().await;
    for (listen, socket, words) in [
        ("systemd:other", OwnedFd::from(std::net::TcpListener::bind("127.0.0.1:0").unwrap()), "(web)"),
        ("systemd", OwnedFd::from(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()), "neither TCP"),
        ("systemd", OwnedFd::from(connected()), "does not listen"),
    ] {
        let mut process = handed_over(&bench, socket, listen, "web");
        assert_eq!(soon("the end", process.ended()).await, Some(1));
        assert!(process.errors().contains(words), "{}", process.errors());
    }
}

fn connected() -> std::net::TcpStream {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap()
}

#[tokio::test]
async fn a_second_gateway_does_not_take_the_firsts_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("front.sock");
    let listen = format!("[\"127.0.0.1:{{port}}\", {:?}]", format!("unix:{}", socket.display()));
    let first = World::with().routes(ECHO).listen(&listen).start().await;
    let refused = World::with().routes(ECHO).listen(&listen).try_start().await.err().expect("a refusal");
    assert!(refused.contains("somebody answers there"), "{refused}");
    let answer = exchange(unix(&socket).await, &ask(first.authority(), "/", "")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
