//! `portcullis demo`: a pretend org, a sample app and a real gateway, until somebody has seen enough.
//!
//! Called by `cli`.

use std::process::ExitCode;

use anyhow::Context;

use super::run::Signals;
use super::{FAILED, complain, runtime, say};
use crate::demo::{Demo, Protocol, Settings};
use crate::emulator::settings::KeySize;
use crate::emulator::{self, Mischief};
use crate::telemetry;

/// Whether the gateway's configuration is printed too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Configuration {
    /// It is.
    Shown,
    /// It is not.
    Unshown,
}

/// Runs the demonstration until a signal.
pub(super) fn run(port: u16, protocol: Protocol, mischief: Option<Mischief>, configuration: Configuration) -> ExitCode {
    let log = telemetry::Settings {
        format: telemetry::Format::Text,
        level: "warn".to_owned(),
        access: telemetry::Access::On,
    };
    if let Err(problem) = telemetry::start(&log) {
        complain(format_args!("portcullis cannot log: {problem}"));
        return ExitCode::from(FAILED);
    }
    // nobody should wait for keys of the real size in order to see a page
    let org = emulator::Settings { key_size: KeySize::Small, mischief, ..emulator::Settings::default() };
    let settings = Settings { port, protocol, org };
    let shown = runtime()
        .context("the system gives no runtime")
        .and_then(|runtime| runtime.block_on(show(settings, mischief, configuration)));
    match shown {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            complain(format_args!("portcullis demo: {problem:#}"));
            ExitCode::from(FAILED)
        }
    }
}

async fn show(settings: Settings, mischief: Option<Mischief>, configuration: Configuration) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("signals cannot be heard")?;
    let demo = tokio::select! {
        demo = Demo::start(settings) => demo?,
        _ = signals.next() => return Ok(()),
    };
    if configuration == Configuration::Shown {
        say(format_args!("\n{}", demo.toml));
    }
    say(demo.words());
    if let Some(mischief) = mischief {
        say(format_args!("    The org misbehaves: {mischief}.\n"));
    }
    say("    Each request that the gateway answers, as its access log has it:\n");
    signals.next().await;
    tokio::select! {
        () = demo.shutdown() => {}
        _ = signals.next() => {}
    }
    Ok(())
}
