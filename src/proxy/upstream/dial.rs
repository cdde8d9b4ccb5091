//! Connecting to an app's address.
//!
//! One stream type for all places and transports, an enum, so that whoever speaks over it is compiled once and a
//! plain TCP connection costs one comparison. Called by `proxy::upstream`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use hyper::Version;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls::{self, Connector};
use crate::http::tunnel::{Carrier, Socket};
use crate::route::{Address, Place, Transport};

/// A connection to an app, before anything is spoken over it.
#[derive(Debug)]
pub enum Stream {
    /// Over the network.
    Tcp(TcpStream),
    /// Within this machine.
    Unix(UnixStream),
    /// Encrypted, over one of the others.
    Tls(Box<Secured>),
}

/// An encrypted connection. "Each party MUST send a close_notify alert before closing its write side of the
/// connection" (RFC 8446 section 6.1): apps log those that just end as an error.
#[derive(Debug)]
pub struct Secured(TlsStream<Stream>);

impl Drop for Secured {
    fn drop(&mut self) {
        // Now or never: nobody is left to wait until there is room for it. Whoever has said it does not again.
        _ = Pin::new(&mut self.0).poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum DialFault {
    /// Nobody there, or not for us.
    Unreachable(io::Error),
    /// Nothing left here to connect with, which is no fault of the app's.
    Shortage(io::Error),
    /// The app's certificate was not believed.
    Certificate(String),
    /// The app speaks none of the protocols that it was offered.
    NoProtocol(String),
    /// The TLS handshake failed otherwise.
    Handshake(String),
}

/// What a connection with TLS may speak (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// HTTP/2 where the route allows it, and HTTP/1.1.
    Any,
    /// HTTP/1.1 alone.
    Http1,
}

/// Connects, however long it takes, with TLS by `connector` when the address says so; and what is spoken then.
pub(super) async fn dial(
    address: &Address,
    connector: Option<&Connector>,
    offer: Offer,
) -> Result<(Stream, Version), DialFault> {
    let plain = connect(&address.place).await.map_err(unconnected)?;
    match address.transport {
        Transport::Http => return Ok((plain, Version::HTTP_11)),
        Transport::H2c => return Ok((plain, Version::HTTP_2)),
        Transport::Https => {}
    }
    let without = || DialFault::Handshake("the route has no name to verify its certificate by".to_owned());
    let connector = connector.ok_or_else(without)?;
    let name = connector.name_for(&address.place).ok_or_else(without)?;
    let current = connector.current();
    let config = match offer {
        Offer::Any => &current.any,
        Offer::Http1 => &current.http1,
    };
    let stream = TlsConnector::from(Arc::clone(config)).connect(name, plain).await.map_err(refused)?;
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((Stream::Tls(Box::new(Secured(stream))), if is_h2 { Version::HTTP_2 } else { Version::HTTP_11 }))
}

fn unconnected(error: io::Error) -> DialFault {
    use rustix::io::Errno;
    let of_means = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    match Errno::from_io_error(&error) {
        Some(errno) if of_means.contains(&errno) => DialFault::Shortage(error),
        _ => DialFault::Unreachable(error),
    }
}

fn refused(error: io::Error) -> DialFault {
    use rustls::{AlertDescription, Error};
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        // "... then the server SHALL respond with a fatal no_application_protocol alert" (RFC 7301 section 3.2).
        Some(fault @ Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            DialFault::NoProtocol(fault.to_string())
        }
        Some(fault) => match tls::words(fault) {
            Some(words) => DialFault::Certificate(words),
            None => DialFault::Handshake(fault.to_string()),
        },
        None => DialFault::Handshake(error.to_string()),
    }
}

async fn connect(place: &Place) -> io::Result<Stream> {
    match place {
        Place::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
        Place::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
    }
}

impl Carrier for Stream {
    fn socket(&self) -> Option<Socket<'_>> {
        match self {
            Self::Tcp(stream) => Some(Socket::Tcp(stream)),
            Self::Unix(stream) => Some(Socket::Unix(stream)),
            Self::Tls(_) => None,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(&mut stream.0).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(&mut stream.0).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Tls(stream) => Pin::new(&mut stream.0).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.0.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(&mut stream.0).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(&mut stream.0).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_here_is_no_fault_of_the_apps() {
        use rustix::io::Errno;
        let lacking = |errno: Errno| matches!(unconnected(errno.into()), DialFault::Shortage(_));
        assert!([Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].map(lacking) == [true; 4]);
        // The last is what an address of IPv6 gives where there is none.
        let theirs = [Errno::CONNREFUSED, Errno::HOSTUNREACH, Errno::NOENT, Errno::ACCESS, Errno::ADDRNOTAVAIL];
        assert!(theirs.map(lacking) == [false; 5]);
        assert!(matches!(unconnected(io::ErrorKind::NotFound.into()), DialFault::Unreachable(_)));
    }
}
