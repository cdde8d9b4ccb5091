//! What the gateway keeps in memory: for each session, for each idle connection.

use std::time::{Duration, Instant};

use hyper::Method;
use hyper::header::COOKIE;

use super::options::Options;
use super::process::Server;
use super::report::SignIns;
use super::sign_in;
use super::stage::Stage;

/// Sign-ins before the measurement, so that what is made once is not counted.
const FIRST: usize = 32;

/// With fewer connections than this the memory of each is a guess, and not waited for.
const MANY: usize = 100;

/// After how long without a request a connection is an idle one, for whoever makes a difference.
const SETTLED: Duration = Duration::from_secs(3);

/// Signs `count` visitors in at `gateway`: the cookies, one for each session, and what it cost unless there was only a
/// handful.
pub(crate) async fn measure_sessions(
    options: &Options,
    stage: &Stage<'_>,
    gateway: &Server,
    count: usize,
) -> anyhow::Result<(Vec<String>, Option<SignIns>)> {
    let (door, org) = (stage.door(options, gateway), stage.org.org_url());
    let mut cookies = sign_in::many(&door, options.protocol, org, FIRST.min(count)).await?;
    let left = count - cookies.len();
    if left == 0 {
        return Ok((cookies, None));
    }
    if left > 1000 {
        eprintln!("{left} sign-ins...");
    }
    let (memory, cpu, began) = (gateway.memory()?, gateway.cpu()?, Instant::now());
    cookies.extend(sign_in::many(&door, options.protocol, org, left).await?);
    let sign_ins = SignIns {
        count: left as u64,
        seconds: began.elapsed().as_secs_f64(),
        cpu_micros: super::micros_each(gateway.cpu()?.saturating_sub(cpu), left as u64),
        bytes: gateway.memory()?.saturating_sub(memory) / left as u64,
    };
    Ok((cookies, Some(sign_ins)))
}

/// Bytes for each kept-alive connection that has served one request.
pub(crate) async fn measure_idle(
    options: &Options,
    stage: &Stage<'_>,
    server: &Server,
    cookie: &str,
) -> anyhow::Result<u64> {
    let (door, count) = (stage.door(options, server), options.idle_connections());
    let mut lines = Vec::with_capacity(count);
    let before = server.memory()?;
    for _ in 0..count {
        let mut line = door.open().await?;
        line.ask(Method::GET, "/", &[(COOKIE.as_str(), cookie)], String::new()).await?;
        lines.push(line);
    }
    if count >= MANY {
        tokio::time::sleep(SETTLED).await;
    }
    let grown = server.memory()?.saturating_sub(before) / count as u64;
    drop(lines);
    // The other side has closed as well before anything else is measured.
    tokio::time::sleep(Duration::from_millis(300)).await;
    Ok(grown)
}
