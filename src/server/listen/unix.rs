//! Unix sockets and their files: made with the permissions that were asked for, and cleared away by whoever made them.
//!
//! A file that nobody answers at is what a gateway left behind that was killed; it is replaced. Anything else that
//! is there stays, and the start fails. Called by `server::listen`.

use std::ffi::OsStr;
use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::linux::fs::MetadataExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use super::BACKLOG;

/// The file of a unix socket that we made. Dropped, it is removed, unless somebody has put another in its place.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    mark: Mark,
}

/// What tells one file from another at the same path.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    changed: (i64, i64),
}

impl From<Metadata> for Mark {
    fn from(file: Metadata) -> Self {
        Self { device: file.st_dev(), inode: file.st_ino(), changed: (file.st_ctime(), file.st_ctime_nsec()) }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| Mark::from(file) == self.mark) {
            // Left behind, it is what the next start finds and clears away.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Listens at `path`, whose file gets the permissions `mode`.
pub(super) fn bind_unix(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let socket = match bound_unix(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            make_way(path)?;
            bound_unix(path)?
        }
        socket => socket?,
    };
    // Nobody can connect before `listen`: there is no moment with other permissions.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    let file = SocketFile { path: path.to_owned(), mark: fs::symlink_metadata(path)?.into() };
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok((socket.into(), file))
}

fn bound_unix(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    Ok(socket)
}

/// Removes the file that a gateway left behind which could not clean up: a socket at which nobody answers.
fn make_way(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is there"));
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A listener whose queue is full must not hold us up; it is there.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Ok(()) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody answers there")),
        Err(error) => return Err(error),
    }
    if Mark::from(fs::symlink_metadata(path)?) != Mark::from(found) {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody else is just starting there"));
    }
    fs::remove_file(path)
}

/// Whether a text can be the path of a unix socket: names that begin with `@` or a zero would be abstract, and have no
/// permissions.
pub fn is_path(text: &OsStr) -> bool {
    !matches!(text.as_bytes().first(), None | Some(b'@' | 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_socket_has_the_permissions_that_were_asked_for_and_goes_with_its_maker() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("front.sock");
        let (_listener, file) = bind_unix(&path, 0o620).unwrap();
        assert_eq!(mode(&path), 0o620);
        UnixStream::connect(&path).unwrap();
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn what_nobody_answers_at_is_replaced_and_what_somebody_answers_at_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("front.sock");
        drop(UnixListener::bind(&path).unwrap());
        let (listener, file) = bind_unix(&path, 0o600).unwrap();
        let taken = bind_unix(&path, 0o600).unwrap_err();
        assert_eq!((taken.kind(), taken.to_string().as_str()), (io::ErrorKind::AddrInUse, "somebody answers there"));
        UnixStream::connect(&path).unwrap();
        drop((listener, file));
    }

    #[test]
    fn a_listener_whose_queue_is_full_is_still_somebody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("front.sock");
        let socket = bound_unix(&path).unwrap();
        socket.listen(0).unwrap();
        let _waiting: Vec<_> = (0..3)
            .map(|_| {
                let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
                client.set_nonblocking(true).unwrap();
                let _ = client.connect(&SockAddr::unix(&path).unwrap());
                client
            })
            .collect();
        bind_unix(&path, 0o600).unwrap_err();
        assert!(path.exists());
    }

    #[test]
    fn a_file_that_is_no_socket_is_never_touched() {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("front.sock"), folder.path().join("elsewhere"));
        fs::write(&path, "precious").unwrap();
        assert_eq!(bind_unix(&path, 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
        drop(UnixListener::bind(&target).unwrap());
        std::os::unix::fs::symlink(&target, &path).unwrap();
        bind_unix(&path, 0o600).unwrap_err();
        assert!(target.exists() && path.is_symlink());
    }

    #[test]
    fn a_successors_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("front.sock");
        let (listener, first) = bind_unix(&path, 0o600).unwrap();
        drop(listener);
        let (_listener, _second) = bind_unix(&path, 0o600).unwrap();
        drop(first);
        UnixStream::connect(&path).unwrap();
    }
}
