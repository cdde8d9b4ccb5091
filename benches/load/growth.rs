//! How the cost of a request grows with sessions, with routes, with connections: everything in turns, in one run.
//!
//! Each number of sessions has a gateway of its own, whose visitors all signed in; requests take one at random. With
//! many routes each request takes one of them at random. nginx comes along with each number of connections, to tell
//! what the machine and the load test do to anybody.

use std::path::PathBuf;

use portcullis::emulator::Running;

use super::memory;
use super::options::{Options, Peer};
use super::peers::Rival;
use super::process::Server;
use super::program::Size;
use super::report::{Report, Scale, Variant, Whose};
use super::rounds::{Lane, alternate};
use super::sign_in;
use super::stage::Stage;

/// As `options` say.
pub(crate) async fn measure(options: &Options, org: &Running, title: &'static str) -> anyhow::Result<Report> {
    let stage = Stage::set(options, org)?;
    let mut report = Report::new(options, title);
    let base = Scale { sessions: 1, routes: 1, connections: options.connections };
    let mut scales = vec![base];
    scales.extend(options.grow_sessions.iter().map(|&sessions| Scale { sessions, ..base }));
    scales.extend(options.grow_routes.iter().map(|&routes| Scale { routes, ..base }));
    scales.extend(options.grow_connections.iter().map(|&connections| Scale { connections, ..base }));
    scales.sort();
    scales.dedup();

    let mut gateways: Vec<((usize, usize), Server, PathBuf)> = Vec::new();
    for &Scale { sessions, routes, .. } in &scales {
        if gateways.iter().any(|(size, ..)| *size == (sessions, routes)) {
            continue;
        }
        let name = format!("portcullis-{sessions}-{routes}");
        let gateway = stage.gateway(options, &name, Size { sessions, routes })?;
        if gateways.is_empty() {
            report.memory_at_start = gateway.memory()?;
        }
        let (cookies, sign_ins) = memory::measure_sessions(options, &stage, &gateway, sessions).await?;
        report.sign_ins.extend(sign_ins);
        sign_in::check(&stage.door(options, &gateway), &cookies).await?;
        let cookies = stage.keep(&name, &cookies)?;
        gateways.push(((sessions, routes), gateway, cookies));
    }
    let mut nginx = None;
    if let (true, Some((_, _, cookies))) = (options.peers().contains(&Peer::Nginx), gateways.first()) {
        nginx = Rival::start(Peer::Nginx, options, &stage, cookies).await?.map(|rival| (rival, cookies));
    }

    let mut lanes = Vec::new();
    for &scale in &scales {
        for (_, server, cookies) in gateways.iter().filter(|(size, ..)| *size == (scale.sessions, scale.routes)) {
            let mut aim = stage.aim(options, server, cookies);
            aim.connections = scale.connections;
            if scale.routes > 1 {
                aim.areas = scale.routes;
                // Each route opens its own connections to the app.
                aim.warm_up *= 4.0;
            }
            lanes.push(Lane { variant: Variant::At(Whose::Gateway, scale), server, aim });
        }
        if let (Some((rival, cookies)), (1, 1)) = (&nginx, (scale.sessions, scale.routes)) {
            let mut aim = stage.aim(options, &rival.server, cookies);
            aim.connections = scale.connections;
            lanes.push(Lane { variant: Variant::At(Whose::Peer(Peer::Nginx), scale), server: &rival.server, aim });
        }
    }
    let first = Variant::At(Whose::Gateway, base);
    for variant in lanes.iter().map(|lane| lane.variant) {
        match variant {
            Variant::At(Whose::Gateway, _) if variant != first => report.pairs.push((variant, first)),
            Variant::At(Whose::Peer(_), scale) => {
                report.pairs.push((Variant::At(Whose::Gateway, scale), variant));
            }
            _ => {}
        }
    }
    alternate(options, &stage.app, &lanes, &mut report)?;
    for (_, gateway, _) in &gateways {
        report.memory_after_load = report.memory_after_load.max(gateway.memory()?);
    }
    Ok(report)
}
