//! Sockets that systemd opened for this process, by the protocol of `sd_listen_fds(3)`.
//!
//! They outlive a restart, and their ports may be below 1024 while the gateway has no right to open such. The
//! variables are read by listenfd; the names come from `config`. Called by `server::listen` and `gateway`.

use std::io;

use listenfd::ListenFd;
use socket2::SockRef;

use super::{Listener, Place, Problem};

/// The sockets that systemd (or whoever speaks its protocol, `sd_listen_fds(3)`) opened for this process.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(String, Listener)>,
    given: Vec<String>,
}

impl Inherited {
    /// Takes them over, if one of `places` asks for any; `names` are those of `LISTEN_FDNAMES`, in their order.
    ///
    /// # Errors
    /// When one of them is nothing to listen at.
    pub fn receive<'a>(places: impl IntoIterator<Item = &'a Place>, names: &[String]) -> Result<Self, Problem> {
        let Some(place) = places.into_iter().find(|place| matches!(place, Place::Inherited(_))) else {
            return Ok(Self::default());
        };
        let problem = |cause| Problem { place: place.clone(), cause };
        let mut handed_over = ListenFd::from_env();
        let mut all = Self::default();
        for index in 0..handed_over.len() {
            let name = names.get(index).cloned().unwrap_or_default();
            let socket = match handed_over.take_tcp_listener(index) {
                Ok(listener) => listener.map(Listener::Tcp),
                Err(_) => {
                    handed_over.take_unix_listener(index).map_err(|_| problem(no_stream(&name)))?.map(Listener::Unix)
                }
            };
            let Some(socket) = socket else { continue };
            socket.make_ready().map_err(problem)?;
            all.given.push(name.clone());
            all.sockets.push((name, socket));
        }
        Ok(all)
    }

    /// The sockets of that name, or all that are left.
    pub(super) fn take(&mut self, name: Option<&str>) -> io::Result<Vec<Listener>> {
        let sockets = std::mem::take(&mut self.sockets);
        let (taken, left): (Vec<_>, Vec<_>) =
            sockets.into_iter().partition(|(own, _)| name.is_none_or(|name| name == own));
        self.sockets = left;
        if taken.is_empty() {
            let cause = if self.given.is_empty() {
                "no socket was handed over (LISTEN_FDS): start it by a systemd .socket unit".to_owned()
            } else {
                format!("no such socket is left of those that were handed over ({})", self.given.join(", "))
            };
            return Err(io::Error::new(io::ErrorKind::NotFound, cause));
        }
        Ok(taken.into_iter().map(|(_, listener)| listener).collect())
    }

    /// The names of those that nobody asked for.
    pub fn left(&self) -> impl Iterator<Item = &str> {
        self.sockets.iter().map(|(name, _)| name.as_str())
    }
}

fn no_stream(name: &str) -> io::Error {
    let cause = format!("the socket {name:?} that was handed over is neither TCP nor a unix stream socket");
    io::Error::new(io::ErrorKind::InvalidInput, cause)
}

impl Listener {
    fn make_ready(&self) -> io::Result<()> {
        let listens = match self {
            Self::Tcp(listener) => SockRef::from(listener).is_listener(),
            Self::Unix(listener) => SockRef::from(listener).is_listener(),
        };
        if !listens? {
            let cause = "a socket that was handed over does not listen: Accept= has to be off in its .socket unit";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, cause));
        }
        match self {
            Self::Tcp(listener) => listener.set_nonblocking(true),
            Self::Unix(listener) => listener.set_nonblocking(true),
        }
    }
}
