//! Many connections at once, against the program itself: what they cost, and that it all comes back.

use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::check::{Bench, PROGRAM, Process};
use crate::listeners::exchange;
use crate::stage::{soon, until};

/// What the program may open for itself meanwhile: connections to the org.
const OWN: usize = 20;

/// The program under `ulimit -n`, with these lines in its configuration.
async fn start(bench: &Bench, descriptors: usize, more: &str) -> Process {
    let config =
        bench.write(&bench.toml(more).replace("level = \"trace\"", "level = \"warn\"").replace("listening", ""));
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -n {descriptors} && exec \"$@\""), "sh", PROGRAM, "run", "--config"])
        .arg(config)
        .stdin(Stdio::null());
    let process = Process::spawn(bench, command);
    until("an answer", || async { ask(bench).await.starts_with("HTTP/1.1 401 ") }).await;
    process
}

fn authority(bench: &Bench) -> &str {
    bench.url.split_once("://").unwrap().1
}

async fn connect(bench: &Bench) -> std::io::Result<TcpStream> {
    let port = bench.url.rsplit(':').next().unwrap();
    TcpStream::connect(format!("127.0.0.1:{port}")).await
}

async fn ask(bench: &Bench) -> String {
    let Ok(stream) = connect(bench).await else { return String::new() };
    exchange(stream, format!("GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", authority(bench))).await
}

/// How many file descriptors a process has.
pub fn descriptors(process: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap().count()
}

/// Its memory, in KiB.
pub fn memory(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// How many files this process may have open itself, and those that it starts.
fn most_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX)
}

#[tokio::test]
async fn idle_connections_cost_little_and_all_of_it_comes_back() {
    let bench = Bench::new().await;
    // Other tests have files open in this process too.
    let count = (most_files() / 2).min(10_000);
    let limits = "[limits]\nheader_timeout = \"5m\"\nconnections = 20000\n";
    let process = start(&bench, most_files().min(3 * count), limits).await;
    let before = descriptors(&process);
    let mut costs = Vec::new();
    for _ in 0..2 {
        let memory_before = memory(&process);
        let mut held = Vec::with_capacity(count);
        for _ in 0..count {
            let mut stream = connect(&bench).await.unwrap();
            let request = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", authority(&bench));
            stream.write_all(request.as_bytes()).await.unwrap();
            held.push(stream);
        }
        for stream in &held {
            soon("an answer", stream.readable()).await.unwrap();
        }
        let open = descriptors(&process);
        assert!(open >= count, "{open} of {count}: {}", process.errors());
        costs.push(memory(&process).saturating_sub(memory_before) * 1024 / count);
        assert!(ask(&bench).await.starts_with("HTTP/1.1 401 "), "the next visitor is served");
        drop(held);
        until("the descriptors' return", || async { descriptors(&process) <= before + OWN }).await;
    }
    println!("{count} idle connections: {costs:?} bytes of memory each, the second time in what the first left");
    assert!(costs[0] < 64 * 1024, "{costs:?}");
    assert!(costs[1] < 16 * 1024 || costs[1] < costs[0], "memory is used again: {costs:?}");
}

#[tokio::test]
async fn without_descriptors_it_waits_and_goes_on() {
    let bench = Bench::new().await;
    let process = start(&bench, 100, "").await;
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(soon("a connection", connect(&bench)).await.unwrap());
    }
    until("a word about it", || async { process.errors().contains("accept_failed") }).await;
    // Whoever waits in the kernel's queue meanwhile is not lost.
    let words = process.errors().matches("accept_failed").count();
    assert!(words < 200, "it rests between two tries: {words}");
    let waiting = tokio::spawn({
        let stream = connect(&bench).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", authority(&bench));
        exchange(stream, request)
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(held);
    let answer = waiting.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer:?}: {}", process.errors());
    assert!(ask(&bench).await.starts_with("HTTP/1.1 401 "));
    assert!(!process.errors().contains("panic"), "{}", process.errors());
}

#[tokio::test]
async fn with_too_few_descriptors_it_says_so_and_does_not_start() {
    let bench = Bench::new().await;
    let config = bench.write(&bench.toml(""));
    let (mut refusals, mut has_started) = (0, false);
    // With fewer, some of which a test's own surroundings may have left open, there is not even a runtime to say it.
    for descriptors in (12..200).step_by(2) {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {descriptors} && exec \"$@\"");
        command.args(["-c", &script, "sh", PROGRAM, "run", "--config"]).arg(&config).stdin(Stdio::null());
        let mut process = Process::spawn(&bench, command);
        until("a start or an end", || {
            let is_decided = process.has_ended() || process.errors().contains("listening");
            async move { is_decided }
        })
        .await;
        if !process.has_ended() {
            has_started = true;
            break;
        }
        let (code, words) = (process.ended().await, process.errors());
        assert_eq!(code, Some(1), "{descriptors}: {words}");
        assert!(words.contains("os error 24"), "{descriptors}: {words}");
        assert!(!words.contains("panic"), "{descriptors}: {words}");
        refusals += 1;
    }
    assert!(has_started && refusals > 2, "{refusals}");
}

#[tokio::test]
async fn connections_that_break_off_anywhere_leave_nothing() {
    let bench = Bench::new().await;
    let process = start(&bench, 1000, "").await;
    let before = descriptors(&process);
    let request = format!("POST / HTTP/1.1\r\nhost: {}\r\ncontent-length: 1000\r\n\r\nbody", authority(&bench));
    for round in 0..300 {
        let mut stream = connect(&bench).await.unwrap();
        let end = round * 7 % request.len();
        stream.write_all(&request.as_bytes()[..end]).await.unwrap();
        if round % 2 == 0 {
            // Closed with a reset.
            stream.set_zero_linger().unwrap();
        }
    }
    until("the descriptors' return", || async { descriptors(&process) <= before + OWN }).await;
    assert!(ask(&bench).await.starts_with("HTTP/1.1 401 "));
    assert!(!process.errors().contains("panic"), "{}", process.errors());
}
