//! The load test: a real gateway, a pretend org and an app on loopback, and its peers beside it.
//!
//! `cargo bench --bench load -- --help`. Gateway, app, peers and load generator each run in a process of their
//! own, so that the CPU time of one is what `/proc` says of it. Variants alternate within each round, because a
//! machine's speed drifts: only ratios within one run mean something. Results go to standard output as a table,
//! and to `target/load/` as JSON and as a picture.

mod app;
mod compare;
mod figures;
mod generator;
mod growth;
mod memory;
mod options;
mod peers;
mod process;
mod program;
mod report;
mod rounds;
mod sign_in;
mod stage;
mod start;
mod walk;

use std::path::Path;
use std::time::Duration;

use clap::Parser as _;
use portcullis::emulator::settings::KeySize;

use options::{Options, Part};

/// The allocator that the program itself runs with.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    match &options.part {
        Some(Part::App { listen, body }) => {
            process::end_with_the_test();
            return app::serve(*listen, *body);
        }
        Some(Part::Generator { aim }) => return generator::run(aim),
        None => {}
    }
    let small = options.smoke || !options.bench;
    let options = if small { options.small() } else { options };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("load");
    let name = runtime.block_on(measure(&options, &folder))?;
    println!("\n{0}/{name}.json and {0}/{name}.svg hold the same", folder.display());
    Ok(())
}

/// What is asked for. The name of the files that it is in.
async fn measure(options: &Options, folder: &Path) -> anyhow::Result<&'static str> {
    let org = stage::found_org(KeySize::Small).await?;
    if let Some(wanted) = &options.figures {
        figures::measure(options, &org, wanted, folder).await?;
        org.shutdown().await;
        return Ok("figures");
    }
    let (report, name) = if options.growth {
        (growth::measure(options, &org, "Growth").await?, "growth")
    } else {
        (compare::measure(options, &org, "Portcullis and its peers").await?, "results")
    };
    print!("{}", report.table());
    report.write(folder, name)?;
    org.shutdown().await;
    Ok(name)
}

/// A duration for one of many, in microseconds.
fn micros_each(total: Duration, count: u64) -> f64 {
    total.as_secs_f64() * 1e6 / count as f64
}
