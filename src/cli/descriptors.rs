//! How many files and sockets the process may have open.
//!
//! Most systems begin with 1,024, for programs that use `select`, and let whoever knows better have more: a service that
//! does not would be cut off from its apps by a crowd that `limits.connections` lets in. Called by `cli::run`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

/// What is open beside clients' connections: those to apps and to providers, listeners, logs.
const BESIDE: u64 = 1024;

/// Takes as many as there are to be had, and says when they may not do for so many clients.
pub(super) fn raise(connections: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    if let Err(problem) = raised {
        warn!(%problem, "the limit of open files could not be raised");
    }
    let have = if raised.is_ok() { maximum } else { current };
    // None is no limit.
    let Some(have) = have else { return };
    info!(open_files = have, "as many files and sockets may be open");
    if have < u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(BESIDE) {
        let or_less = match have.saturating_sub(BESIDE) {
            0 => String::new(),
            most => format!(", or set limits.connections to {most} or less"),
        };
        warn!(
            "limits.connections lets {connections} clients in, but only {have} files and sockets may be open: beyond \
             that nobody gets an answer. Raise the limit (LimitNOFILE in systemd, ulimit -n){or_less}"
        );
    }
}
