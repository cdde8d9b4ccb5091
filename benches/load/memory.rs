//! What the gateway keeps in memory: for each session, for each idle connection.

use std::time::{Duration, Instant};

use hyper::Method;
use hyper::header::COOKIE;
use portcullis::emulator;

use super::options::Options;
use super::process::Server;
use super::report::{Report, SignIns};
use super::walk::Line;
use super::{Stage, sign_in};

/// Sign-ins before the measurement, so that what is made once is not counted.
const FIRST: usize = 32;

/// With fewer connections than this the memory of each is a guess, and not waited for.
const MANY: usize = 100;

/// After how long without a request a connection is an idle one, for whoever makes a difference.
const SETTLED: Duration = Duration::from_secs(3);

/// Signs everybody in. The cookies, one for each session.
pub(crate) async fn measure_sessions(
    options: &Options,
    stage: &Stage,
    org: &emulator::Running,
    report: &mut Report,
) -> anyhow::Result<Vec<String>> {
    report.memory_at_start = stage.gateway.memory()?;
    let mut cookies = sign_in::many(options, stage, org.org_url(), FIRST.min(options.sessions)).await?;
    let left = options.sessions - cookies.len();
    if left == 0 {
        return Ok(cookies);
    }
    if left > 1000 {
        eprintln!("{left} sign-ins...");
    }
    let (memory, cpu, began) = (stage.gateway.memory()?, stage.gateway.cpu()?, Instant::now());
    cookies.extend(sign_in::many(options, stage, org.org_url(), left).await?);
    report.sign_ins = Some(SignIns {
        count: left as u64,
        seconds: began.elapsed().as_secs_f64(),
        cpu_micros: super::micros_each(stage.gateway.cpu()? - cpu, left as u64),
        bytes: stage.gateway.memory()?.saturating_sub(memory) / left as u64,
    });
    Ok(cookies)
}

/// Bytes for each kept-alive connection that has served one request.
pub(crate) async fn measure_idle(
    options: &Options,
    stage: &Stage,
    server: &Server,
    cookie: &str,
) -> anyhow::Result<u64> {
    let certificate = stage.certificate(options);
    let mut lines = Vec::with_capacity(options.idle);
    let before = server.memory()?;
    for _ in 0..options.idle {
        let mut line = Line::open(server.address, options.authority(), certificate.as_deref()).await?;
        line.ask(Method::GET, "/", &[(COOKIE.as_str(), cookie)], String::new()).await?;
        lines.push(line);
    }
    if options.idle >= MANY {
        tokio::time::sleep(SETTLED).await;
    }
    let grown = server.memory()?.saturating_sub(before) / options.idle as u64;
    drop(lines);
    // The other side has closed as well before anything else is measured.
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(grown)
}
