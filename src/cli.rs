//! The command line: `run`, `check`, `demo`, and the exit status that scripts rely on.
//!
//! 0 is good, 1 is a failure while running, 2 is a configuration or a command line that has to be corrected
//! first. Called by `main` alone.

mod check;
mod demo;
mod descriptors;
mod run;

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::demo::Protocol;
use crate::emulator::Mischief;

/// What went wrong may pass, and the same command may succeed later.
const FAILED: u8 = 1;
/// Nothing will succeed before somebody corrects the configuration or the command.
const REFUSED: u8 = 2;

/// Puts Salesforce sign-in in front of any web app.
#[derive(Debug, Parser)]
#[command(name = "portcullis", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the gateway; SIGTERM or SIGINT drains it, a second one cuts it off.
    Run {
        /// The configuration file.
        #[arg(long, value_name = "FILE", default_value = "gateway.toml")]
        config: PathBuf,
    },
    /// Read the configuration, say everything that is wrong with it, and what to enter in Salesforce.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE", default_value = "gateway.toml")]
        config: PathBuf,
        /// Also ask the org for its description and keys, compare clocks, connect to the apps and read the
        /// certificate's dates.
        #[arg(long)]
        live: bool,
    },
    /// Start a pretend Salesforce org, a sample app and a gateway between them, and say where to look.
    Demo {
        /// The gateway's port; any free one unless you say.
        #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
        port: u16,
        /// How people are signed in.
        #[arg(long, value_enum, default_value = "both")]
        protocol: Protocol,
        /// Print the gateway's configuration too.
        #[arg(long)]
        show_config: bool,
        /// Let the org misbehave in one way, such as `wrong-nonce` or `token-error:inactive_org`.
        #[arg(long, value_name = "NAME")]
        mischief: Option<Mischief>,
    },
}

/// Does what the command line asks.
pub fn run() -> ExitCode {
    match Arguments::try_parse() {
        Ok(Arguments { command: Command::Run { config } }) => run::run(&config),
        Ok(Arguments { command: Command::Check { config, live } }) => {
            let reach = if live { check::Reach::Live } else { check::Reach::FileOnly };
            check::run(&config, reach)
        }
        Ok(Arguments { command: Command::Demo { port, protocol, show_config, mischief } }) => {
            let configuration = if show_config { demo::Configuration::Shown } else { demo::Configuration::Unshown };
            demo::run(port, protocol, mischief, configuration)
        }
        Err(message) => {
            // Also `--help` and `--version`, which clap counts as errors with status 0. A closed pipe is no
            // reason to fail.
            let _ = message.print();
            ExitCode::from(if message.use_stderr() { REFUSED } else { 0 })
        }
    }
}

/// Writes a line to standard output; a reader that went away is no reason to fail.
fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// The same to standard error.
fn complain(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes what is wrong with a configuration, and how much.
fn refuse(problems: &crate::config::Problems) -> ExitCode {
    complain(problems);
    let count = problems.0.len();
    complain(format_args!("\n{count} {} in the configuration", if count == 1 { "problem" } else { "problems" }));
    ExitCode::from(REFUSED)
}

/// A runtime for a command's own few questions; the gateway's workers have theirs.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_file_is_gateway_toml_unless_named() {
        let arguments = Arguments::try_parse_from(["portcullis", "run"]).unwrap();
        assert!(matches!(arguments.command, Command::Run { config } if config == *"gateway.toml"));
        let arguments = Arguments::try_parse_from(["portcullis", "check", "--config", "x.toml", "--live"]).unwrap();
        assert!(matches!(arguments.command, Command::Check { config, live: true } if config == *"x.toml"));
        let arguments = Arguments::try_parse_from(["portcullis", "demo", "--mischief", "wrong-nonce"]).unwrap();
        let expected = Some(Mischief::WrongNonce);
        assert!(matches!(arguments.command, Command::Demo { port: 0, mischief, .. } if mischief == expected));
        let arguments = Arguments::try_parse_from(["portcullis", "demo", "--protocol", "saml"]).unwrap();
        assert!(matches!(arguments.command, Command::Demo { protocol: Protocol::Saml, .. }));
    }
}
