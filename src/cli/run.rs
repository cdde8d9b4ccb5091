//! `portcullis run`: read the configuration, start the gateway, stop it when asked.
//!
//! The first SIGTERM or SIGINT drains, a second one cuts what still runs, a third ends the process where it
//! stands. SIGHUP has the certificates read again. Called by `cli`.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use super::{FAILED, complain, descriptors, refuse, runtime};
use crate::config::{Config, file};
use crate::{gateway, telemetry};

/// How a gateway came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Everything that ran was let finish, or its deadline came.
    Drained,
    /// Somebody asked twice.
    Cut,
}

/// Runs the gateway that the file at `path` describes, until a signal.
pub(super) fn run(path: &Path) -> ExitCode {
    let config = match file::load(path) {
        Ok(config) => config,
        Err(problems) => return refuse(&problems),
    };
    if let Err(problem) = telemetry::start(&config.log) {
        complain(format_args!("portcullis cannot log: {problem}"));
        return ExitCode::from(FAILED);
    }
    for note in &config.notes {
        warn!("{note}");
    }
    descriptors::raise(config.server.limits.connections);
    let served = runtime().context("the system gives no runtime").and_then(|runtime| {
        let served = runtime.block_on(serve(config));
        // Not waiting for threads: whoever asked three times wants the process gone.
        runtime.shutdown_background();
        served
    });
    match served {
        Ok(End::Drained) => ExitCode::SUCCESS,
        Ok(End::Cut) => ExitCode::from(FAILED),
        Err(problem) => {
            error!("portcullis stopped: {problem:#}");
            ExitCode::from(FAILED)
        }
    }
}

async fn serve(config: Config) -> anyhow::Result<End> {
    let mut signals = Signals::new().context("signals cannot be heard")?;
    let mut hang_ups = signal(SignalKind::hangup()).context("signals cannot be heard")?;
    let version = env!("CARGO_PKG_VERSION");
    let origins: Vec<&str> = config.origins.iter().map(crate::http::origin::Origin::as_str).collect();
    info!(version, workers = config.server.workers, origins = origins.join(" "), "starting");
    let running = tokio::select! {
        running = gateway::start(config) => running.context("the gateway cannot start")?,
        name = signals.next() => {
            info!("{name} before the start was over");
            return Ok(End::Drained);
        }
    };
    let places: Vec<String> = running.places.iter().map(ToString::to_string).collect();
    let places = places.join(" ");
    match running.operator_address {
        Some(operator) => info!(address = places, %operator, "listening"),
        None => info!(address = places, "listening"),
    }
    let name = loop {
        tokio::select! {
            name = signals.next() => break name,
            _ = hang_ups.recv() => {
                info!("SIGHUP: reading the certificates again");
                running.reread_certificates();
            }
        }
    };
    info!("{name}: draining; a second signal cuts what still runs");
    let cut = running.cutter();
    let mut shutdown = std::pin::pin!(running.shutdown());
    tokio::select! {
        () = &mut shutdown => {
            info!("drained");
            return Ok(End::Drained);
        }
        name = signals.next() => warn!("{name} again: cutting what still runs"),
    }
    cut();
    tokio::select! {
        () = shutdown => {}
        name = signals.next() => warn!("{name} once more: ended at once"),
    }
    Ok(End::Cut)
}

/// The two signals that ask a process to stop.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
