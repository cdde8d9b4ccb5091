//! The load test: a real gateway, a pretend org and an app on loopback, and its peers beside it.
//!
//! `cargo bench --bench load -- --help`. Gateway, app, peers and load generator each run in a process of their
//! own, so that the CPU time of one is what `/proc` says of it. Variants alternate within each round, because a
//! machine's speed drifts: only ratios within one run mean something. Results go to standard output as a table,
//! and to `target/load/` as JSON and as a picture.

mod generator;
mod memory;
mod options;
mod parts;
mod peers;
mod process;
mod report;
mod sign_in;
mod walk;

use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use portcullis::emulator::settings::{App, Approval, KeySize};
use portcullis::emulator::{self, Emulator};

use generator::Seen;
use options::{Options, Part};
use peers::Rival;
use process::{Core, Server, command, free_address};
use report::{Measured, Report, Variant};

/// The allocator that the program itself runs with.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    match &options.part {
        Some(Part::Gateway { config }) => return parts::serve_gateway(config),
        Some(Part::App { listen, body }) => return parts::serve_app(*listen, *body),
        Some(Part::Oracle { listen, cookies }) => return parts::serve_oracle(*listen, cookies),
        Some(Part::Generator(aim)) => return generator::run(aim),
        None => {}
    }
    let small = options.smoke || !options.bench;
    let options = if small { options.small() } else { options };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(measure(&options))?;
    print!("{}", report.table());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("load");
    report.write(&folder)?;
    println!("\n{0}/results.json and {0}/results.svg hold the same", folder.display());
    Ok(())
}

/// Everything that listens.
struct Stage {
    app: Server,
    gateway: Server,
    rivals: Vec<Rival>,
    folder: tempfile::TempDir,
}

impl Stage {
    /// What to trust to reach the proxies, when they are reached by TLS.
    fn certificate(&self, options: &Options) -> Option<PathBuf> {
        options.is_secure().then(|| self.folder.path().join("crt.pem"))
    }
}

async fn measure(options: &Options) -> anyhow::Result<Report> {
    let mut callbacks = vec![format!("{}/.portcullis/callback", options.origin())];
    callbacks.extend(peers::callbacks(options));
    let app = App { approval: Approval::Skipped, redirect_uris: callbacks, ..App::default() };
    let org = Emulator::start(emulator::Settings { app, key_size: KeySize::Small, ..Default::default() }).await?;
    let ours = |path: &str| format!("{}/.portcullis/saml/{path}", options.origin());
    org.register_saml(ours("metadata"), ours("acs"));
    let mut stage = set(options, &org)?;
    let mut report = Report::new(options);

    let cookies = memory::measure_sessions(options, &stage, &org, &mut report).await?;
    let cookie_file = stage.folder.path().join("cookies");
    std::fs::write(&cookie_file, cookies.join("\n") + "\n")?;
    sign_in::check(&stage, options, &cookies).await?;
    for peer in options.peers() {
        if let Some(rival) = Rival::start(peer, options, &stage, &org, &cookie_file).await? {
            if let Some(micros) = rival.sign_in_micros {
                report.peer_sign_ins.insert(Variant::Peer(peer), micros);
            }
            stage.rivals.push(rival);
        }
    }
    if options.idle > 0 {
        let cookie = cookies.first().context("nobody signed in")?;
        report.idle.insert(Variant::Gateway, memory::measure_idle(options, &stage, &stage.gateway, cookie).await?);
        for rival in &stage.rivals {
            let idle = memory::measure_idle(options, &stage, &rival.server, rival.first_cookie(cookie)).await?;
            report.idle.insert(Variant::Peer(rival.peer), idle);
        }
    }

    let mut variants = vec![Variant::Direct, Variant::Gateway];
    variants.extend(stage.rivals.iter().map(|rival| Variant::Peer(rival.peer)));
    let mut steps = 0;
    for round in 0..options.rounds {
        for step in 0..variants.len() {
            // Nobody always comes first.
            let variant = variants[(round + step) % variants.len()];
            progress(&mut steps, options.rounds * variants.len(), variant);
            report.add(variant, run(options, &stage, variant, &cookie_file)?);
        }
    }
    clear_progress();
    report.memory_after_load = stage.gateway.memory()?;
    stage.rivals.clear();
    org.shutdown().await;
    Ok(report)
}

fn set(options: &Options, org: &emulator::Running) -> anyhow::Result<Stage> {
    let folder = tempfile::tempdir()?;
    let path = folder.path();
    // nginx's workers may be another user's.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    std::fs::write(path.join("org.pem"), org.certificate())?;
    if options.is_secure() {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        std::fs::write(path.join("crt.pem"), pair.cert.pem())?;
        std::fs::write(path.join("key.pem"), pair.signing_key.serialize_pem())?;
    }
    let (proxy, rest) = if options.pin { (Core::Proxy, Core::Rest) } else { (Core::Any, Core::Any) };
    let ourselves = std::env::current_exe()?;

    let address = free_address()?;
    let mut app = command(rest, ourselves.as_os_str());
    app.args(["app", &address.to_string(), &options.body.to_string()]);
    let app = Server::start(app, address)?;

    let address = free_address()?;
    let toml = path.join("gateway.toml");
    std::fs::write(&toml, parts::gateway_toml(options, address, app.address, org, path))?;
    let mut gateway = command(proxy, ourselves.as_os_str());
    gateway.arg("gateway").arg(&toml);
    let gateway = Server::start(gateway, address)?;

    Ok(Stage { app, gateway, rivals: Vec::new(), folder })
}

/// One variant for a while.
fn run(options: &Options, stage: &Stage, variant: Variant, cookies: &Path) -> anyhow::Result<Measured> {
    let rival = stage.rivals.iter().find(|rival| variant == Variant::Peer(rival.peer));
    let server = match (variant, rival) {
        (Variant::Peer(_), Some(rival)) => &rival.server,
        (Variant::Gateway, _) => &stage.gateway,
        (Variant::Direct | Variant::Peer(_), _) => &stage.app,
    };
    let cookies = rival.and_then(|rival| rival.cookies.as_deref()).unwrap_or(cookies);
    let direct = variant == Variant::Direct;
    let core = if options.pin { Core::Rest } else { Core::Any };
    let mut generator = command(core, std::env::current_exe()?.as_os_str());
    generator.arg("generator");
    generator.args(["--target", &server.address.to_string(), "--authority", options.authority()]);
    generator.args(["--connections", &options.connections.to_string()]);
    generator.args(["--streams", &options.streams.to_string(), "--seconds", &options.seconds.to_string()]);
    generator.arg("--cookies").arg(cookies);
    // The app itself speaks neither TLS nor HTTP/2.
    if let Some(certificate) = stage.certificate(options).filter(|_| !direct) {
        generator.arg("--certificate").arg(certificate);
    }
    if options.http2 && !direct {
        generator.arg("--http2");
    }
    let mut child = generator.stdout(Stdio::piped()).spawn().context("starting the load generator")?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    lines.next().context("the load generator did not begin")??;
    let before = server.cpu()?;
    let last = lines.next();
    let cpu = server.cpu()? - before;
    if !child.wait()?.success() {
        bail!("{variant}: the load generator failed");
    }
    let seen: Seen = serde_json::from_str(&last.context("the load generator said nothing")??)?;
    Ok(Measured { seen, cpu })
}

fn progress(step: &mut usize, steps: usize, variant: Variant) {
    const WIDTH: usize = 30;
    *step += 1;
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        let done = WIDTH * *step / steps;
        let bar: String = (0..WIDTH).map(|place| if place < done { '#' } else { '.' }).collect();
        let _ = write!(terminal, "\r[{bar}] {step}/{steps} {variant:<10}");
        let _ = terminal.flush();
    }
}

fn clear_progress() {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        let _ = write!(terminal, "\r{:60}\r", "");
    }
}

/// A duration for one of many, in microseconds.
fn micros_each(total: Duration, count: u64) -> f64 {
    total.as_secs_f64() * 1e6 / count as f64
}
