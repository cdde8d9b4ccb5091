//! Where to listen: addresses, unix sockets, and sockets that systemd opened for us.
//!
//! Each worker gets a listener of its own: for an address by `SO_REUSEPORT`, between which the kernel spreads
//! connections; for the others, which cannot be had twice, by duplicates of the one socket. Whatever cannot be had
//! is an error that says why, and whoever was there first stays. Called by `gateway`, `demo` and `emulator`.

mod inherited;
mod unix;

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, Socket, Type};

pub use inherited::Inherited;
pub use unix::{SocketFile, is_path};

/// How many connections the kernel may hold until we accept them.
const BACKLOG: i32 = 1024;

/// What a name of a unix socket begins with in the configuration.
pub const UNIX: &str = "unix:";

/// One place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address. `[::]` takes IPv4 too, unless an IPv4 address with the same port is in the list.
    Tcp(SocketAddr),
    /// A unix socket, with its file.
    Unix(PathBuf),
    /// The sockets of that name that systemd handed over, or all that no name was asked for.
    Inherited(Option<String>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
            Self::Inherited(None) => f.write_str("systemd"),
            Self::Inherited(Some(name)) => write!(f, "systemd:{name}"),
        }
    }
}

/// The places of one front, and what is said of their sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// Where.
    pub list: Vec<Place>,
    /// The permissions of unix sockets' files: whoever may write may connect.
    pub mode: u32,
}

impl From<SocketAddr> for Places {
    fn from(address: SocketAddr) -> Self {
        Self { list: vec![Place::Tcp(address)], mode: 0o600 }
    }
}

/// A place that cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {place}: {cause}")]
pub struct Problem {
    /// Which.
    pub place: Place,
    /// Why.
    pub cause: io::Error,
}

/// A socket that connections come in through.
#[derive(Debug)]
pub enum Listener {
    /// At an address.
    Tcp(TcpListener),
    /// At a file.
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl Listener {
    fn another(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(listener) => listener.try_clone().map(Self::Tcp),
            Self::Unix(listener) => listener.try_clone().map(Self::Unix),
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(Place::Tcp),
            Self::Unix(listener) => {
                let address = listener.local_addr().ok()?;
                let unnamed = || PathBuf::from("(unnamed)");
                Some(Place::Unix(address.as_pathname().map_or_else(unnamed, Path::to_owned)))
            }
        }
    }
}

/// What was opened; dropped, the files of unix sockets are gone.
#[derive(Debug, Default)]
pub struct Opened {
    /// The listeners of each worker.
    pub listeners: Vec<Vec<Listener>>,
    /// Where they are: ports and names as they came to be.
    pub places: Vec<Place>,
    /// Remain while anybody listens.
    pub files: Vec<SocketFile>,
}

impl Opened {
    /// The first address.
    pub fn address(&self) -> Option<SocketAddr> {
        self.places.iter().find_map(|place| if let Place::Tcp(address) = place { Some(*address) } else { None })
    }
}

/// Opens every place for `workers`.
///
/// # Errors
/// For the first that cannot be had; none is left open then.
pub fn open(places: &Places, workers: usize, inherited: &mut Inherited) -> Result<Opened, Problem> {
    let workers = workers.max(1);
    let mut opened = Opened { listeners: (0..workers).map(|_| Vec::new()).collect(), ..Opened::default() };
    // Names first: whoever asks for no name gets the rest.
    let (rest, named): (Vec<_>, Vec<_>) = places.list.iter().partition(|place| matches!(place, Place::Inherited(None)));
    for place in named.into_iter().chain(rest) {
        let problem = |cause| Problem { place: place.clone(), cause };
        match place {
            Place::Tcp(address) => {
                let listeners = bind_as(*address, families(*address, &places.list), workers).map_err(problem)?;
                opened.places.extend(listeners.first().and_then(|first| first.local_addr().ok()).map(Place::Tcp));
                for (worker, listener) in opened.listeners.iter_mut().zip(listeners) {
                    worker.push(Listener::Tcp(listener));
                }
            }
            Place::Unix(path) => {
                let (listener, file) = unix::bind_unix(path, places.mode).map_err(problem)?;
                opened.files.push(file);
                opened.share(Listener::Unix(listener)).map_err(problem)?;
            }
            Place::Inherited(name) => {
                for listener in inherited.take(name.as_deref()).map_err(problem)? {
                    opened.share(listener).map_err(problem)?;
                }
            }
        }
    }
    Ok(opened)
}

impl Opened {
    /// One socket for all workers: whoever comes first accepts.
    fn share(&mut self, listener: Listener) -> io::Result<()> {
        self.places.extend(listener.place());
        for worker in &mut self.listeners {
            worker.push(listener.another()?);
        }
        Ok(())
    }
}

/// Which families come in through an IPv6 socket.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Families {
    Both,
    Six,
}

fn families(address: SocketAddr, all: &[Place]) -> Families {
    let four = |place: &Place| matches!(place, Place::Tcp(SocketAddr::V4(four)) if four.port() == address.port());
    if all.iter().any(four) { Families::Six } else { Families::Both }
}

/// `count` listeners on one address, between which the kernel spreads connections. Port 0 is chosen by the first
/// and joined by the rest.
///
/// `SO_REUSEPORT` would also let a second gateway join unnoticed and take half of the visitors, so the address is
/// first bound without it: whoever is already there makes this fail.
///
/// # Errors
/// When the address is taken, forbidden or not this machine's.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    bind_as(address, Families::Both, count)
}

fn bind_as(address: SocketAddr, families: Families, count: usize) -> io::Result<Vec<TcpListener>> {
    if count <= 1 {
        return Ok(vec![listen(address, families, Sharing::Alone)?]);
    }
    if address.port() != 0 {
        drop(bound(address, families, Sharing::Alone)?);
    }
    let first = listen(address, families, Sharing::Shared)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    for _ in 1..count {
        listeners.push(listen(address, families, Sharing::Shared)?);
    }
    Ok(listeners)
}

/// Whether other sockets may bind the same address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Alone,
    Shared,
}

fn bound(address: SocketAddr, families: Families, sharing: Sharing) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Without it a restart would wait for the last connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    if sharing == Sharing::Shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // Said here, as the system's default may be either.
        socket.set_only_v6(families == Families::Six)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

fn listen(address: SocketAddr, families: Families, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = bound(address, families, sharing)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(list: &[&str]) -> Places {
        Places { list: list.iter().map(|text| Place::Tcp(text.parse().unwrap())).collect(), mode: 0o600 }
    }

    fn connects(address: &str, port: u16) -> bool {
        std::net::TcpStream::connect((address, port)).is_ok()
    }

    #[test]
    fn all_of_ipv6_takes_ipv4_too() {
        let opened = open(&places(&["[::]:0"]), 2, &mut Inherited::default()).unwrap();
        let port = opened.address().unwrap().port();
        assert!(connects("127.0.0.1", port) && connects("::1", port));
        assert_eq!((opened.listeners.len(), opened.listeners[0].len(), opened.places.len()), (2, 1, 1));
    }

    #[test]
    fn beside_an_ipv4_address_ipv6_is_alone() {
        let four = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let port = four[0].local_addr().unwrap().port();
        drop(four);
        let (four, six) = (format!("127.0.0.1:{port}"), format!("[::]:{port}"));
        let opened = open(&places(&[&six, &four]), 1, &mut Inherited::default()).unwrap();
        assert_eq!(opened.listeners[0].len(), 2);
        assert!(connects("127.0.0.1", port) && connects("::1", port) && !connects("127.0.0.2", port));
    }

    #[test]
    fn one_place_that_cannot_be_had_closes_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("front.sock");
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = Place::Tcp(holder.local_addr().unwrap());
        let list = vec![Place::Unix(path.clone()), taken.clone()];
        let problem = open(&Places { list, mode: 0o600 }, 1, &mut Inherited::default()).unwrap_err();
        assert_eq!(problem.place, taken);
        assert!(!path.exists());
    }

    #[test]
    fn sockets_that_nobody_handed_over_are_missed_by_name() {
        let list = vec![Place::Inherited(Some("web".to_owned()))];
        let mut inherited = Inherited::receive(&list, &[]).unwrap();
        let problem = open(&Places { list, mode: 0o600 }, 1, &mut inherited).unwrap_err();
        let words = problem.to_string();
        assert!(words.starts_with("cannot listen on systemd:web: no socket was handed over"), "{words}");
    }
}
