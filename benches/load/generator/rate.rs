//! HTTP/1.1 requests on a schedule: an open loop.
//!
//! Each connection has its moments, evenly spread; a latency counts from the moment at which the request was due, not
//! from when it could be sent at last, so that a stall costs as many late answers as it would cost visitors. A
//! thread for each connection, because a thread sleeps to the microsecond where a runtime's timer knows milliseconds.

use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use hdrhistogram::Histogram;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::http1::{Random, Reader, Requests, ask_blocking};
use super::tally::{LONGEST, summary};
use super::{Aim, Seen};
use crate::process;
use crate::walk::trust;

/// What one connection saw.
struct Share {
    latencies: Histogram<u64>,
    /// How late the thread itself was when nothing held it up.
    late: Histogram<u64>,
}

/// The moments of all connections.
#[derive(Clone, Copy)]
struct Schedule {
    began: Instant,
    warm: Instant,
    end: Instant,
    between: Duration,
    connections: u32,
}

/// To the end of the schedule.
pub(super) fn run(aim: &Aim, each_second: u32) -> anyhow::Result<Seen> {
    // Threads inherit by how much their sleep may be prolonged; without permission it stays at 50 microseconds.
    let _ = std::fs::write("/proc/self/timerslack_ns", "1");
    let requests = Arc::new(Requests::new(aim)?);
    let tls = aim.certificate.as_deref().map(|file| trust(file, b"http/1.1").map(Arc::new)).transpose()?;
    let began = Instant::now() + Duration::from_millis(100);
    let warm = began + Duration::from_secs_f64(aim.warm_up);
    let schedule = Schedule {
        began,
        warm,
        end: warm + Duration::from_secs_f64(aim.seconds),
        between: Duration::from_secs(1) / each_second.max(1),
        connections: u32::try_from(aim.connections)?,
    };
    // The CPU time of a thread that has ended is nowhere to be read.
    let end = Arc::new(Barrier::new(aim.connections + 1));
    let threads: Vec<_> = (0..schedule.connections)
        .map(|number| {
            let (target, requests, tls) = (aim.target, Arc::clone(&requests), tls.clone());
            let end = Arc::clone(&end);
            thread::spawn(move || {
                let share = connect(target).and_then(|stream| match tls {
                    None => converse(stream, &requests, schedule, number),
                    Some(tls) => converse(secure(tls, stream)?, &requests, schedule, number),
                });
                end.wait();
                share
            })
        })
        .collect();
    thread::sleep(warm.saturating_duration_since(Instant::now()));
    println!("measuring");
    let (began, cpu) = (Instant::now(), process::cpu_of(std::process::id())?);
    thread::sleep(schedule.end.saturating_duration_since(Instant::now()));
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), process::cpu_of(std::process::id())?.saturating_sub(cpu));
    end.wait();
    let mut all = empty()?;
    for thread in threads {
        let share = thread.join().map_err(|_| anyhow!("a connection's thread gave up"))??;
        all.latencies.add(&share.latencies)?;
        all.late.add(&share.late)?;
    }
    let late = Some(all.late.value_at_quantile(0.99));
    Ok(Seen { seconds, cpu: cpu.as_secs_f64(), late, ..summary(&all.latencies) })
}

fn empty() -> anyhow::Result<Share> {
    let nothing = || Histogram::new_with_bounds(1, LONGEST, 3);
    Ok(Share { latencies: nothing()?, late: nothing()? })
}

fn connect(target: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(target).context("connecting")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn secure(tls: Arc<ClientConfig>, stream: TcpStream) -> anyhow::Result<StreamOwned<ClientConnection, TcpStream>> {
    Ok(StreamOwned::new(ClientConnection::new(tls, ServerName::try_from("localhost")?)?, stream))
}

fn converse<S>(mut stream: S, requests: &Requests, schedule: Schedule, number: u32) -> anyhow::Result<Share>
where
    S: std::io::Read + std::io::Write,
{
    let mut share = empty()?;
    let (mut random, mut reader, mut request) = (Random::new(u64::from(number)), Reader::new(), Vec::new());
    let mut turn = number;
    loop {
        let due = schedule.began + schedule.between * turn;
        if due >= schedule.end {
            return Ok(share);
        }
        turn += schedule.connections;
        requests.write(random.next(), &mut request);
        let rest = due.saturating_duration_since(Instant::now());
        thread::sleep(rest);
        let lateness = due.elapsed();
        ask_blocking(&mut stream, &request, &mut reader)?;
        if due >= schedule.warm {
            share.latencies.saturating_record(micros(due.elapsed()));
            if !rest.is_zero() {
                share.late.saturating_record(micros(lateness));
            }
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
