//! Many connections at once, against the program itself: what they cost, and that it all comes back.

use std::collections::{BTreeMap, HashSet};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::check::{Bench, PROGRAM, Process};
use crate::listeners::exchange;
use crate::stage::{soon, until};
use crate::world::free_port;

/// The program under `ulimit -n`, with these lines in its configuration.
async fn start(bench: &Bench, descriptors: usize, more: &str) -> Process {
    let operator = format!("127.0.0.1:{}", operator(bench));
    let toml = bench.toml(more).replace("level = \"trace\"", "level = \"warn\"").replace("127.0.0.1:0", &operator);
    let config = bench.write(&toml);
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

/// Where the program of a bench has its operator's listener.
fn operator(bench: &Bench) -> u16 {
    static PORTS: Mutex<BTreeMap<String, u16>> = Mutex::new(BTreeMap::new());
    *PORTS.lock().unwrap().entry(bench.url.clone()).or_insert_with(free_port)
}

/// How often something has happened at its doors.
async fn count(bench: &Bench, event: &str) -> usize {
    let stream = TcpStream::connect(("127.0.0.1", operator(bench))).await.unwrap();
    let metrics = exchange(stream, "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    let line = metrics.lines().find(|line| line.contains(&format!("server_events_total{{event=\"{event}\"}}")));
    line.map_or(0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

/// How many file descriptors a process has once it has no connection, be it a client's, an app's or the org's.
pub async fn at_rest(process: &Process) -> usize {
    until("the end of all connections", || async { connections(process) == 0 }).await;
    descriptors(process)
}

/// How many of its descriptors are sockets that neither listen nor are its own pairs.
fn connections(process: &Process) -> usize {
    let table = |name| std::fs::read_to_string(format!("/proc/{}/net/{name}", process.id())).unwrap_or_default();
    let column = |line: &str, number: usize| line.split_whitespace().nth(number).unwrap_or_default().to_owned();
    let tcp = table("tcp") + &table("tcp6");
    let listening = tcp.lines().filter(|line| column(line, 3) == "0A").map(|line| column(line, 9));
    let others: HashSet<String> = listening.chain(table("unix").lines().map(|line| column(line, 6))).collect();
    let sockets = std::fs::read_dir(format!("/proc/{}/fd", process.id())).unwrap().filter_map(|entry| {
        // One that is closed meanwhile is none.
        let target = std::fs::read_link(entry.ok()?.path()).ok()?.display().to_string();
        Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    });
    sockets.filter(|inode| !others.contains(inode)).count()
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

/// How many connections are held at a time: 10,000, or what the system lets this process have open, others' tests beside.
fn many() -> usize {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let most = limit.maximum.map_or(usize::MAX, |most| usize::try_from(most).unwrap());
    assert!(most >= 7000, "{most} open files (`ulimit -Hn`) are too few to hold many connections");
    10_000.min(most - 5000)
}

/// Opens as many connections, asks on each, and closes them; the program's memory while they were open, in KiB.
async fn hold_many(bench: &Bench, process: &Process, count: usize) -> usize {
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = connect(bench).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nhost: {}\r\n\r\n", authority(bench));
        stream.write_all(request.as_bytes()).await.unwrap();
        held.push(stream);
    }
    for stream in &held {
        soon("an answer", stream.readable()).await.unwrap();
    }
    let open = descriptors(process);
    assert!(open >= count, "{open} of {count}: {}", process.errors());
    assert!(ask(bench).await.starts_with("HTTP/1.1 401 "), "the next visitor is served");
    memory(process)
}

#[tokio::test]
async fn idle_connections_cost_little_and_all_of_it_comes_back() {
    let count = many();
    let bench = Bench::new().await;
    let limits = "[limits]\nheader_timeout = \"5m\"\nconnections = 20000\n";
    let process = start(&bench, 2 * count, limits).await;
    let before = at_rest(&process).await;
    let (empty, mut full) = (memory(&process), Vec::new());
    for _ in 0..4 {
        full.push(hold_many(&bench, &process, count).await);
        assert_eq!(at_rest(&process).await, before);
    }
    let cost = full[0].saturating_sub(empty) * 1024 / count;
    println!("{count} idle connections: {cost} bytes of memory each; {full:?} KiB with all of them, {empty} without");
    assert!(cost < 8 * 1024, "{cost}");
    // What the first left is used again, even if the allocator had given some of it back: if each connection left 300
    // bytes behind, the last two times would add 6 MiB.
    assert!(full[3] < full[1] + 6 * 1024, "{full:?}");
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
    let request = format!("POST / HTTP/1.1\r\nhost: {}\r\ncontent-length: 1000\r\n\r\nbody", authority(&bench));
    let counts = || async { (count(&bench, "accepted").await, count(&bench, "closed").await) };
    let (before, (accepted, closed)) = (at_rest(&process).await, counts().await);
    for round in 0..300 {
        let mut stream = connect(&bench).await.unwrap();
        let end = round * 7 % request.len();
        stream.write_all(&request.as_bytes()[..end]).await.unwrap();
        if round % 2 == 0 {
            // Closed with a reset.
            stream.set_zero_linger().unwrap();
        }
    }
    // One that was reset before anybody accepted it is accepted all the same.
    until("their ends", || async { counts().await == (accepted + 300, closed + 300) }).await;
    assert_eq!(at_rest(&process).await, before);
    assert!(ask(&bench).await.starts_with("HTTP/1.1 401 "));
    assert!(!process.errors().contains("panic"), "{}", process.errors());
}
