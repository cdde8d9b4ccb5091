//! The program: an allocator and the command line.
//!
//! Everything else is the library, so that tests and benches call what users run.

use std::process::ExitCode;

/// Several cores allocate small things at once; the system's allocator is slower at that.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    portcullis::cli::run()
}
