//! haproxy as a plain reverse proxy, or as a relay of bytes.

use std::fs;
use std::process::Command;

use super::Scene;

/// What it reads of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// All of it.
    Http,
    /// Nothing: it passes bytes on.
    Nothing,
}

/// Its configuration and arguments.
pub(super) fn arrange(haproxy: &mut Command, scene: &Scene<'_>, reads: Reads) -> anyhow::Result<()> {
    let (mode, reuse, protocols) = match reads {
        Reads::Http => ("http", "  http-reuse always\n", "h2,http/1.1"),
        Reads::Nothing => ("tcp", "", "http/1.1"),
    };
    let file = scene.folder.join("haproxy.cfg");
    let tls = if scene.options.is_secure() {
        let both = scene.folder.join("both.pem");
        let read = |name| fs::read_to_string(scene.folder.join(name));
        fs::write(&both, read("crt.pem")? + &read("key.pem")?)?;
        format!(" ssl crt {} alpn {protocols}", both.display())
    } else {
        String::new()
    };
    let Scene { options, listen, app, .. } = scene;
    let workers = options.workers;
    // It writes lines to standard output, never to a file.
    let log = match scene.log() {
        Some(file) => {
            haproxy.stdout(fs::File::create(file)?);
            format!("  log stdout format raw local0 info\n  option {mode}log\n")
        }
        None => String::new(),
    };
    fs::write(
        &file,
        format!(
            "global\n  nbthread {workers}\n\
             defaults\n  mode {mode}\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
             \x20 timeout http-keep-alive 1h\n  timeout tunnel 1h\n{reuse}{log}\
             frontend front\n  bind {listen}{tls}\n  default_backend app\n\
             backend app\n  server app {app} pool-max-conn 1024\n"
        ),
    )?;
    haproxy.arg("-f").arg(file).arg("-db");
    Ok(())
}
