//! Variants in turns: what a machine does besides, and how fast it happens to be, falls on all of them alike.

use std::io::{BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::process::Stdio;

use anyhow::{Context as _, bail};

use super::generator::{Aim, Seen};
use super::options::Options;
use super::process::{Server, command};
use super::report::{Measured, Report, Variant};

/// One variant and what to do with it.
pub(crate) struct Lane<'a> {
    /// What it is.
    pub(crate) variant: Variant,
    /// Whose CPU time counts.
    pub(crate) server: &'a Server,
    /// What the load generator does.
    pub(crate) aim: Aim,
}

/// All rounds.
pub(crate) fn alternate(
    options: &Options,
    app: &Server,
    lanes: &[Lane<'_>],
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut steps = 0;
    for round in 0..options.rounds {
        for step in 0..lanes.len() {
            // Nobody always comes first.
            let lane = &lanes[(round + step) % lanes.len()];
            progress(&mut steps, options.rounds * lanes.len(), lane.variant);
            let measured = run(options, app, lane).with_context(|| lane.variant.to_string())?;
            report.add(lane.variant, measured);
        }
    }
    clear_progress();
    Ok(())
}

/// One variant for a while.
fn run(options: &Options, app: &Server, lane: &Lane<'_>) -> anyhow::Result<Measured> {
    let mut generator = command(options.rest_core(), std::env::current_exe()?.as_os_str());
    generator.arg("generator").arg(serde_json::to_string(&lane.aim)?);
    let mut child = generator.stdout(Stdio::piped()).spawn().context("starting the load generator")?;
    let mut lines = BufReader::new(child.stdout.take().context("no output")?).lines();
    let first = lines.next();
    let before = (lane.server.cpu()?, app.cpu()?);
    let last = lines.next();
    let (cpu, app) = (lane.server.cpu()?.saturating_sub(before.0), app.cpu()?.saturating_sub(before.1));
    // What went wrong it has said itself.
    if !child.wait()?.success() {
        bail!("the load generator failed");
    }
    first.context("the load generator did not begin")??;
    let seen: Seen = serde_json::from_str(&last.context("the load generator said nothing")??)?;
    Ok(Measured { seen, cpu, app })
}

fn progress(step: &mut usize, steps: usize, variant: Variant) {
    const WIDTH: usize = 30;
    *step += 1;
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        let done = WIDTH * *step / steps;
        let bar: String = (0..WIDTH).map(|place| if place < done { '#' } else { '.' }).collect();
        let _ = write!(terminal, "\r[{bar}] {step}/{steps} {variant:<40}");
        let _ = terminal.flush();
    }
}

fn clear_progress() {
    let mut terminal = std::io::stderr();
    if terminal.is_terminal() {
        let _ = write!(terminal, "\r{:90}\r", "");
    }
}
