//! What was promised of the gateway's speed, and what is: every figure in one command.
//!
//! Each figure is a run of its own, with everything that it compares in turns. Most have the proxies on one core and
//! everything else on the other, 64 kept-alive connections and small bodies; where a figure is about something else,
//! its name says so.

mod promise;

use std::fs;
use std::path::Path;

use anyhow::bail;
use clap::ValueEnum;
use portcullis::emulator::Running;
use portcullis::emulator::people::STANDARD;
use portcullis::emulator::settings::KeySize;

use super::generator::Handshakes;
use super::options::{AccessLog, Options, Peer, SECONDS_OF_GROWTH};
use super::report::{Report, Scale, Variant, Whose};
use super::{compare, growth, stage, start};

use promise::{Promise, Table, Unit};

/// Plain nginx, against which most is measured.
const NGINX: Variant = Variant::Peer(Peer::Nginx);

/// Requests each second that nobody has trouble with.
const MODERATE: u32 = 3000;

/// Sessions that make a difference.
const MANY: usize = 100_000;

/// Sign-ins of which the cost of one is told; the first few are not counted.
const SIGN_INS: usize = 232;

/// What a session says of the person who signs in here, in bytes: both ids, username, name, e-mail address, kind.
const CLAIMS: usize = STANDARD.user.len()
    + STANDARD.organization.len()
    + STANDARD.username.len()
    + STANDARD.given_name.len()
    + STANDARD.family_name.len()
    + STANDARD.email.len()
    + STANDARD.user_type.len();

/// One run, which tells one or several figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Figure {
    /// One worker on a core of its own, with access logs and without
    OneWorker,
    /// Two workers that share two cores with everything else
    TwoWorkers,
    /// Against those that check who is asking, and what a sign-in costs
    Peers,
    /// Latencies at a moderate rate
    Rate,
    /// Many sessions against one, and the memory of each
    Sessions,
    /// Memory of idle connections
    Idle,
    /// Larger bodies
    Bodies,
    /// A new connection for every request
    Fresh,
    /// TLS handshakes
    Handshakes,
    /// HTTP/2 with TLS
    Http2,
    /// WebSocket messages
    Websocket,
    /// Time and memory of a start
    Start,
}

/// All that are asked for, one after the other; what each has to tell goes to standard output at once.
pub(crate) async fn measure(options: &Options, org: &Running, wanted: &[Figure], folder: &Path) -> anyhow::Result<()> {
    let all = Figure::value_variants();
    let wanted: Vec<Figure> = all.iter().copied().filter(|one| wanted.is_empty() || wanted.contains(one)).collect();
    let base = Options {
        sessions: 1,
        idle: 0,
        peer: vec![Peer::Nginx],
        seconds: Some(options.seconds()),
        pin: !options.smoke && std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1),
        figures: None,
        ..options.clone()
    };
    let mut table = Table::new(&base, org);
    let mut failed = 0;
    for figure in wanted {
        eprintln!("{}...", figure.name());
        if let Err(error) = figure.measure(&base, &mut table).await {
            failed += 1;
            eprintln!("{}: {error:#}", figure.name());
            table.fail(&figure.name(), &error);
        }
    }
    println!("{}", table.text());
    fs::create_dir_all(folder)?;
    table.write(folder)?;
    if failed > 0 {
        bail!("{failed} of the figures could not be had");
    }
    Ok(())
}

impl Figure {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    async fn measure(self, base: &Options, table: &mut Table<'_>) -> anyhow::Result<()> {
        let base = base.clone();
        match self {
            Self::OneWorker => one_worker(base, table).await,
            Self::TwoWorkers => two_workers(base, table).await,
            Self::Peers => peers(base, table).await,
            Self::Rate => rate(base, table).await,
            Self::Sessions => sessions(base, table).await,
            Self::Idle => idle(base, table).await,
            Self::Bodies => bodies(base, table).await,
            Self::Fresh => {
                let options = Options { fresh: true, ..base };
                beside_nginx(options, "A new connection for every request", 1.05, 0.95, table).await
            }
            Self::Handshakes => {
                for (kind, name, must, aim) in [
                    (Handshakes::Full, "TLS 1.3 handshakes, full", 0.50, 0.48),
                    (Handshakes::Resumed, "TLS 1.3 handshakes, resumed", 0.55, 0.50),
                ] {
                    beside_nginx(Options { handshakes: Some(kind), ..base.clone() }, name, must, aim, table).await?;
                }
                Ok(())
            }
            Self::Http2 => {
                let connections = base.connections.div_ceil(4);
                let options = Options { http2: true, connections, ..base };
                beside_nginx(options, "HTTP/2 with TLS", 0.95, 0.75, table).await
            }
            Self::Websocket => {
                let options = Options { websocket: true, ..base };
                beside_nginx(options, "WebSocket messages", 1.05, 1.00, table).await
            }
            Self::Start => starts(base, table).await,
        }
    }
}

async fn compared(options: &Options, title: &'static str, table: &mut Table<'_>) -> anyhow::Result<Report> {
    let report = compare::measure(options, table.org, title).await?;
    table.keep(&report)?;
    Ok(report)
}

/// CPU time against plain nginx's.
async fn beside_nginx(
    options: Options,
    title: &'static str,
    must: f64,
    aim: f64,
    table: &mut Table<'_>,
) -> anyhow::Result<()> {
    let report = compared(&options, title, table).await?;
    let ratios = report.ratios(Variant::Gateway, NGINX);
    let mut promise = Promise::at_most(format!("{title}: CPU to nginx's"), must, aim, Unit::Ratio);
    promise.note = report.summary(&[Variant::Gateway, NGINX]);
    table.add(promise, ratios.map(|ratios| ratios.cpu));
    Ok(())
}

async fn one_worker(base: Options, table: &mut Table<'_>) -> anyhow::Result<()> {
    for (access_log, title) in [
        (AccessLog::On, "One worker on a core of its own, all write an access log"),
        (AccessLog::Off, "One worker on a core of its own, nobody writes one"),
    ] {
        beside_nginx(Options { access_log, ..base.clone() }, title, 1.00, 0.85, table).await?;
    }
    Ok(())
}

async fn two_workers(base: Options, table: &mut Table<'_>) -> anyhow::Result<()> {
    let options = Options { workers: 2, pin: false, ..base };
    let title = "Two workers that share two cores with load and app";
    let report = compared(&options, title, table).await?;
    let ratios = report.ratios(Variant::Gateway, NGINX);
    let cpu = Promise::at_most(format!("{title}: CPU to nginx's"), 1.05, 0.85, Unit::Ratio);
    table.add(cpu, ratios.map(|ratios| ratios.cpu));
    let mut rate = Promise::at_least(format!("{title}: requests/s to nginx's"), 1.00, 1.15, Unit::Ratio);
    rate.note = report.summary(&[Variant::Gateway, NGINX]);
    table.add(rate, ratios.map(|ratios| ratios.throughput));
    Ok(())
}

async fn peers(base: Options, table: &mut Table<'_>) -> anyhow::Result<()> {
    let peer = vec![
        Peer::Nginx,
        Peer::HaproxyTcp,
        Peer::AuthRequest,
        Peer::AuthRequestKept,
        Peer::AuthRequestOauth2Proxy,
        Peer::EnvoyOauth2,
        Peer::EnvoyOauth2Cached,
        Peer::EnvoyOauth2Alone,
        Peer::ModAuthOpenidc,
        Peer::Oauth2Proxy,
        Peer::Oauth2ProxyRedis,
    ];
    let options = Options { peer, sessions: if base.smoke { 1 } else { SIGN_INS }, ..base.clone() };
    // ID tokens as long as Salesforce makes them: who keeps them in a cookie gets them with each request.
    let org = stage::found_org(if base.smoke { KeySize::Small } else { KeySize::Real }).await?;
    let report = compare::measure(&options, &org, "Beside those that check who is asking").await?;
    org.shutdown().await;
    table.keep(&report)?;
    for (peer, must, aim) in [
        (Peer::EnvoyOauth2, 0.22, 0.18),
        (Peer::EnvoyOauth2Cached, 0.22, 0.18),
        (Peer::EnvoyOauth2Alone, 0.22, 0.18),
        (Peer::AuthRequest, 0.22, 0.18),
        (Peer::ModAuthOpenidc, 0.10, 0.08),
        (Peer::Oauth2Proxy, 0.05, 0.04),
    ] {
        let promise = Promise::at_most(format!("CPU to that of {}", peer.as_str()), must, aim, Unit::Ratio);
        table.add(promise, report.ratios(Variant::Gateway, Variant::Peer(peer)).map(|ratios| ratios.cpu));
    }
    let theirs = report.peer_sign_ins.get(&Variant::Peer(Peer::ModAuthOpenidc));
    let ours = report.sign_ins.first().map(|sign_ins| sign_ins.cpu_micros);
    let mut promise = Promise::at_most("Whole sign-in: CPU to mod_auth_openidc's", 0.25, 0.17, Unit::Ratio);
    promise.note = ours.map_or_else(String::new, |micros| format!("portcullis {micros:.0} us"));
    table.add(promise, ours.zip(theirs).map(|(ours, theirs)| ours / theirs));
    Ok(())
}

async fn rate(base: Options, table: &mut Table<'_>) -> anyhow::Result<()> {
    let options = Options { rate: Some(base.rate.unwrap_or(MODERATE)), ..base.clone() };
    let report = compared(&options, "At a fixed rate", table).await?;
    let ratios = report.ratios(Variant::Gateway, NGINX);
    let rate = base.rate.unwrap_or(MODERATE);
    for (name, measured) in [("p50", ratios.map(|ratios| ratios.p50)), ("p99", ratios.map(|ratios| ratios.p99))] {
        let name = format!("At {rate} requests a second: {name} to nginx's");
        let mut promise = Promise::at_most(name, 1.2, 1.05, Unit::Ratio);
        promise.note = report.summary(&[Variant::Gateway, NGINX, Variant::Direct]);
        table.add(promise, measured);
    }
    Ok(())
}

async fn sessions(base: Options, table: &mut Table<'_>) -> anyhow::Result<()> {
    let many = if base.smoke { 40 } else { MANY };
    let options = Options {
        peer: vec![Peer::None],
        grow_sessions: vec![1, many],
        grow_routes: vec![1],
        grow_connections: vec![base.connections],
        growth: true,
        seconds: if base.smoke { base.seconds } else { Some(base.seconds().max(SECONDS_OF_GROWTH)) },
        ..base
    };
    let report = growth::measure(&options, table.org, "Sessions").await?;
    table.keep(&report)?;
    let at = |sessions| Variant::At(Whose::Gateway, Scale { sessions, routes: 1, connections: options.connections });
    let cpu = Promise::at_most(format!("{many} sessions in random order: CPU to one's"), 1.05, 1.02, Unit::Ratio);
    table.add(cpu, report.ratios(at(many), at(1)).map(|ratios| ratios.cpu));
    let name = "Memory for each session, beyond what it says of the visitor";
    let mut memory = Promise::at_most(name, 1.0, 0.5, Unit::KiB);
    memory.note = format!("and {CLAIMS} bytes of that; no tokens are kept");
    let beyond = |bytes: u64| bytes.saturating_sub(CLAIMS as u64) as f64 / 1024.0;
    table.add(memory, report.sign_ins.last().map(|sign_ins| beyond(sign_ins.bytes)));
    Ok(())
}

async fn idle(base: Options, table: &mut Table<'_>) -> anyhow::Result<()> {
    for (tls, title, must, aim) in
        [(false, "Memory for an idle connection", 16.0, 8.0), (true, "Memory for an idle connection, TLS", 24.0, 14.0)]
    {
        let options = Options { tls, idle: if base.smoke { 4 } else { 10_000 }, rounds: 0, ..base.clone() };
        let report = compared(&options, title, table).await?;
        let of = |variant| report.idle.get(&variant).map(|bytes| *bytes as f64 / 1024.0);
        let mut promise = Promise::at_most(format!("{title}, of {}", options.idle_connections()), must, aim, Unit::KiB);
        promise.note = of(NGINX).map_or_else(String::new, |nginx| format!("nginx {nginx:.1} KiB"));
        table.add(promise, of(Variant::Gateway));
    }
    Ok(())
}

async fn bodies(base: Options, table: &mut Table<'_>) -> anyhow::Result<()> {
    for (body, title, must, aim) in
        [(16 << 10, "Bodies of 16 KiB", 0.93, 0.70), (1 << 20, "Bodies of 1 MiB", 0.60, 0.50)]
    {
        beside_nginx(Options { body, ..base.clone() }, title, must, aim, table).await?;
    }
    Ok(())
}

async fn starts(base: Options, table: &mut Table<'_>) -> anyhow::Result<()> {
    let (ours, nginx) = start::measure(&base, table.org).await?;
    table.keep_value(serde_json::json!({ "title": "Start", "portcullis": ours, "nginx": nginx }));
    let mut memory = Promise::at_most("Start: memory at the first answer", 14.0, 9.0, Unit::MB);
    memory.note = format!("the program's file: {:.1} MB of it", ours.files / 1e6);
    if let Some(nginx) = nginx {
        memory.note += &format!("; nginx {:.1} MB, of which {:.1} MB", nginx.memory / 1e6, nginx.files / 1e6);
    }
    table.add(memory, Some(ours.memory / 1e6));
    let mut time = Promise::at_most("Start: time to the first answer", 100.0, 50.0, Unit::Millis);
    time.note = nginx.map_or_else(String::new, |nginx| format!("nginx {:.1} ms", nginx.millis));
    table.add(time, Some(ours.millis));
    Ok(())
}
