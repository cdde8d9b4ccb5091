//! One kind of work through the gateway, through its peers and without any proxy, in turns.

use std::path::Path;

use anyhow::Context as _;
use portcullis::emulator::Running;

use super::generator::Work;
use super::options::Options;
use super::peers::Rival;
use super::process::Server;
use super::program::Size;
use super::report::{Report, Variant};
use super::rounds::{Lane, alternate};
use super::stage::Stage;
use super::{memory, sign_in};

/// As `options` say.
pub(crate) async fn measure(options: &Options, org: &Running, title: &'static str) -> anyhow::Result<Report> {
    let stage = Stage::set(options, org)?;
    let gateway = stage.gateway(options, "portcullis", Size { sessions: options.sessions, routes: 1 })?;
    let mut report = Report::new(options, title);
    report.memory_at_start = gateway.memory()?;

    let (cookies, sign_ins) = memory::measure_sessions(options, &stage, &gateway, options.sessions).await?;
    report.sign_ins.extend(sign_ins);
    sign_in::check(&stage.door(options, &gateway), &cookies).await?;
    let first = cookies.first().context("nobody signed in")?;
    let ours = stage.keep("portcullis", &cookies)?;
    let before = match &options.before {
        Some(program) => Some(Before::start(program, options, &stage).await?),
        None => None,
    };
    let mut rivals = Vec::new();
    for peer in options.peers() {
        if let Some(rival) = Rival::start(peer, options, &stage, &ours).await? {
            report.peer_sign_ins.extend(rival.sign_in_micros.map(|micros| (Variant::Peer(peer), micros)));
            rivals.push(rival);
        }
    }
    if options.idle > 0 {
        report.idle.insert(Variant::Gateway, memory::measure_idle(options, &stage, &gateway, first).await?);
        if let Some(Before { server, cookies }) = &before {
            let first = cookies.first().context("nobody signed in")?;
            report.idle.insert(Variant::Before, memory::measure_idle(options, &stage, server, first).await?);
        }
        for rival in &rivals {
            let idle = memory::measure_idle(options, &stage, &rival.server, rival.first_cookie(first)).await?;
            report.idle.insert(Variant::Peer(rival.peer), idle);
        }
    }

    let mut lanes = Vec::new();
    if !matches!(options.work(), Work::Handshakes(_)) {
        let mut aim = stage.aim(options, &stage.app, &ours);
        // The app itself speaks neither TLS nor HTTP/2.
        aim.certificate = None;
        if let Work::Multiplexed(_) = aim.work {
            aim.work = Work::Kept;
        }
        lanes.push(Lane { variant: Variant::Direct, server: &stage.app, aim });
    }
    lanes.push(Lane { variant: Variant::Gateway, server: &gateway, aim: stage.aim(options, &gateway, &ours) });
    if let Some(before) = &before {
        let aim = stage.aim(options, &before.server, &stage.keep("before", &before.cookies)?);
        lanes.push(Lane { variant: Variant::Before, server: &before.server, aim });
    }
    for rival in &rivals {
        let aim = stage.aim(options, &rival.server, rival.cookies.as_deref().unwrap_or(&ours));
        lanes.push(Lane { variant: Variant::Peer(rival.peer), server: &rival.server, aim });
    }
    report.pairs = lanes.iter().map(|lane| (Variant::Gateway, lane.variant)).collect();
    report.pairs.retain(|(ours, other)| ours != other);
    if options.rounds > 0 {
        alternate(options, &stage.app, &lanes, &mut report)?;
    }
    report.memory_after_load = gateway.memory()?;
    Ok(report)
}

/// Another build of the gateway, with as many visitors of its own.
struct Before {
    server: Server,
    cookies: Vec<String>,
}

impl Before {
    async fn start(program: &Path, options: &Options, stage: &Stage<'_>) -> anyhow::Result<Self> {
        // Without a slash it would be looked for where commands are.
        let program = program.canonicalize().with_context(|| format!("there is no {}", program.display()))?;
        let server = stage.other(&program, options, "before", Size { sessions: options.sessions, routes: 1 })?;
        let (cookies, _) = memory::measure_sessions(options, stage, &server, options.sessions).await?;
        sign_in::check(&stage.door(options, &server), &cookies).await?;
        Ok(Self { server, cookies })
    }
}
