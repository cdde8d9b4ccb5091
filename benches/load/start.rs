//! How long a proxy takes from its start to its first answer, and what it needs by then.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use portcullis::emulator::Running;

use super::options::{Options, Peer};
use super::peers;
use super::process::Server;
use super::program::{self, Size};
use super::report::median;
use super::stage::Stage;

/// Between two attempts to get an answer: how exact the time is.
const PAUSE: Duration = Duration::from_micros(200);

/// Medians over the rounds.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(crate) struct Start {
    /// Milliseconds to the first answer.
    pub(crate) millis: f64,
    /// Resident memory then, in bytes.
    pub(crate) memory: f64,
    /// So much of it is the program and its libraries.
    pub(crate) files: f64,
}

/// The gateway's, and nginx's where there is one.
pub(crate) async fn measure(options: &Options, org: &Running) -> anyhow::Result<(Start, Option<Start>)> {
    let stage = Stage::set(options, org)?;
    let (mut ours, mut nginx) = (Vec::new(), Vec::new());
    let has_nginx = options.peers().contains(&Peer::Nginx) && peers::is_installed(Peer::Nginx);
    for round in 0..options.rounds {
        let scene = stage.scene(options, &format!("portcullis-{round}"))?;
        ours.push(once(options, program::arrange(&scene, Size { sessions: 1, routes: 1 })?, scene.listen)?);
        if has_nginx {
            let scene = stage.scene(options, &format!("nginx-{round}"))?;
            nginx.push(once(options, peers::arrange(Peer::Nginx, &scene, Path::new(""))?.0, scene.listen)?);
        }
    }
    Ok((middle(&ours), has_nginx.then(|| middle(&nginx))))
}

fn middle(starts: &[Start]) -> Start {
    Start {
        millis: median(starts.iter().map(|start| start.millis)),
        memory: median(starts.iter().map(|start| start.memory)),
        files: median(starts.iter().map(|start| start.files)),
    }
}

fn once(options: &Options, command: Command, address: SocketAddr) -> anyhow::Result<Start> {
    let request = format!("GET / HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", options.authority());
    let began = Instant::now();
    let server = Server::start_until(command, address, PAUSE, || answers(address, &request).unwrap_or(false))?;
    let millis = began.elapsed().as_secs_f64() * 1e3;
    Ok(Start { millis, memory: server.memory()? as f64, files: server.memory_of_files()? as f64 })
}

/// Whatever is answered: it is a proxy that has read a request and decided.
fn answers(address: SocketAddr, request: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(request.as_bytes())?;
    let mut begin = [0; 9];
    stream.read_exact(&mut begin)?;
    Ok(&begin == b"HTTP/1.1 ")
}
