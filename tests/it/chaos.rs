//! Apps that stop, stall and break off, against the program itself: what can be answered is, what is left comes back,
//! and an operator reads what happened once.

use portcullis::emulator::people;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::browser::Browser;
use crate::check::{Bench, Process};
use crate::listeners::exchange;
use crate::replica::{Replica, route};
use crate::soak::{at_rest, memory};
use crate::stage::{Line, Stage, length, soon, until};

async fn connect(bench: &Bench) -> TcpStream {
    let port = bench.url.rsplit(':').next().unwrap();
    TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap()
}

fn request(bench: &Bench, line: &str, more: &str) -> String {
    let authority = bench.url.split_once("://").unwrap().1;
    format!("{line} HTTP/1.1\r\nhost: {authority}\r\n{more}\r\n")
}

async fn ask(bench: &Bench) -> String {
    exchange(connect(bench).await, request(bench, "GET /", "connection: close\r\n")).await
}

/// An app that answers in five ways, by the path: whole, broken off within the body, within the head, stalled, and
/// before an upload has come.
async fn unreliable() -> Stage {
    Stage::play(|mut line: Line, _| async move {
        const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n";
        while let Some(head) = line.head().await {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            match path.as_str() {
                "/torn" => {
                    line.send(format!("{HEAD}begun")).await;
                    return;
                }
                "/mute" => {
                    line.send("HTTP/1.1 200").await;
                    return;
                }
                "/stalled" => {
                    line.send(format!("{HEAD}begun")).await;
                    line.rest().await;
                    return;
                }
                "/early" => {
                    line.send("HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n").await;
                    return;
                }
                _ if length(&head) > 0 => {
                    // An upload that never comes whole.
                    line.rest().await;
                    return;
                }
                _ => {
                    line.send(format!("{HEAD}{}", "x".repeat(100_000))).await;
                }
            }
        }
    })
    .await
}

/// The good answer, all of it.
async fn whole(stream: TcpStream) {
    let mut line = Line::over(Box::new(stream));
    let head = line.head().await.unwrap();
    assert!(head.starts_with("http/1.1 200 ") && length(&head) == 100_000, "{head}");
    assert!(line.take(100_000).await.iter().all(|byte| *byte == b'x'));
}

#[tokio::test]
async fn what_breaks_off_on_either_side_leaves_nothing_behind() {
    let (bench, apps) = (Bench::new().await, [unreliable().await, unreliable().await]);
    let addresses = apps.each_ref().map(|app| format!("\"http://{}\"", app.authority)).join(", ");
    let timeouts = "idle_timeout = \"200ms\"\npool_idle_timeout = \"100ms\"\n";
    let routes = format!("[[route]]\nname = \"app\"\npublic = true\nupstream = [{addresses}]\n{timeouts}");
    let process = Process::in_front_of(&bench, &routes).await;
    assert!(ask(&bench).await.starts_with("HTTP/1.1 200 "));
    let before = at_rest(&process).await;
    let mut sizes = Vec::new();
    for _ in 0..3 {
        for round in 0..150 {
            let mut stream = connect(&bench).await;
            let upload = "content-length: 50000\r\n";
            // What comes of it, for whoever waits for that.
            let (request, answer) = match round % 6 {
                0 => (request(&bench, "GET /torn", ""), "200 "),
                1 => (request(&bench, "GET /mute", ""), "502 "),
                2 => (request(&bench, "GET /stalled", ""), "200 "),
                3 => (request(&bench, "POST /early", upload) + &"x".repeat(20_000), "413 "),
                4 => (request(&bench, "POST /", upload) + &"x".repeat(20_000), ""),
                _ => (request(&bench, "GET /", ""), "200 "),
            };
            stream.write_all(request.as_bytes()).await.unwrap();
            if round % 6 == 5 {
                whole(stream).await;
                continue;
            }
            // Some wait for what comes and some have left by then, with a reset.
            if round % 4 < 2 && !answer.is_empty() {
                let mut some = [0; 1000];
                let length = soon("an answer", stream.read(&mut some)).await.unwrap();
                let some = String::from_utf8_lossy(&some[..length]);
                assert!(some.starts_with(&format!("HTTP/1.1 {answer}")), "{round}: {some}");
            }
            stream.set_zero_linger().unwrap();
        }
        assert_eq!(at_rest(&process).await, before);
        sizes.push(memory(&process));
    }
    println!("KiB of memory after each 150 accidents: {sizes:?}");
    assert!(sizes[2] < sizes[1] + 512, "{sizes:?}");
    assert!(ask(&bench).await.starts_with("HTTP/1.1 200 "));
    let stalled = exchange(connect(&bench).await, request(&bench, "GET /stalled", "connection: close\r\n")).await;
    assert!(stalled.ends_with("\r\n\r\nbegun"), "{stalled}");
    let errors = process.errors();
    assert!(!errors.contains("panic"), "{errors}");
    assert!(errors.contains("an app broke off in the middle of an answer"), "{errors}");
    assert!(errors.contains("route.app.idle_timeout (200ms)"), "{errors}");
    let about =
        |words: &str| errors.lines().filter(|line| line.contains(words)).all(|line| line.contains("request_id"));
    assert!(about("an app broke off in the middle of an answer") && about("an answer was broken off"), "{errors}");
}

#[tokio::test]
async fn an_operator_reads_once_that_an_address_went_out_and_once_that_it_came_back() {
    let (bench, a, mut b) = (Bench::new().await, Replica::start("a"), Replica::absent("b"));
    let ejection = "public = true\nslow_start = \"0s\"\n[route.ejection]\npause = \"50ms\"\nlongest_pause = \"100ms\"";
    let process = Process::in_front_of(&bench, &route(&[&a, &b], ejection)).await;
    let count = |words: &str| process.errors().matches(words).count();
    for _ in 0..30 {
        let answer = ask(&bench).await;
        assert!(answer.ends_with("\r\n\r\na"), "{answer}");
    }
    until("a word about it", || async { count("an app's address is out") > 0 }).await;
    b.start_again();
    until("a word about its return", || async { count("an app's address is back") > 0 }).await;
    for _ in 0..30 {
        assert!(ask(&bench).await.starts_with("HTTP/1.1 200 "));
    }
    assert_eq!((count("an app's address is out"), count("an app's address is back")), (1, 1), "{}", process.errors());
    let errors = process.errors();
    let line = errors.lines().find(|line| line.contains("address is out")).unwrap();
    assert!(line.contains(&b.address()) && line.contains("left alone for 50ms") && line.contains("\"app\""), "{line}");
    let chosen = format!("\"address\":\"{}\"", b.address());
    until("the access log", || async { process.output().contains(&chosen) }).await;
}

#[tokio::test]
async fn an_operator_reads_which_limit_ended_a_silent_tunnel() {
    let app = Stage::play(|mut line: Line, _| async move {
        line.head().await;
        line.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
        line.rest().await;
    });
    let (bench, app) = (Bench::new().await, app.await);
    let routes = format!("[[route]]\nname = \"app\"\nupstream = \"http://{}\"\n", app.authority);
    let process = Process::in_front_of(&bench, &format!("{routes}tunnel_idle_timeout = \"300ms\"\n")).await;
    let mut browser = Browser::new();
    let callback = browser.sign_in_until_callback(&format!("{}/", bench.url), people::STANDARD.username).await;
    assert_eq!(browser.get(callback).await.status, 303);
    let ticket = browser.cookie("localhost", "portcullis").unwrap();
    let offer = format!("cookie: portcullis={ticket}\r\nconnection: upgrade\r\nupgrade: echo\r\n");
    let heard = exchange(connect(&bench).await, request(&bench, "GET /tunnel", &offer)).await;
    assert!(heard.starts_with("HTTP/1.1 101 ") && heard.ends_with("\r\n\r\n"), "{heard}");
    until("a word about it", || async { process.errors().contains("a tunnel was silent") }).await;
    let errors = process.errors();
    let line = errors.lines().find(|line| line.contains("a tunnel was silent")).unwrap();
    for words in ["route.app.tunnel_idle_timeout (300ms)", &app.authority, "request_id"] {
        assert!(line.contains(words), "{words}: {line}");
    }
}
