//! A new connection for every request, closed by the client when it has its answer, as command-line clients and
//! health checks do it; with TLS that is a full handshake each time.

use std::net::Ipv4Addr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::http1::{Random, Reader, ask};
use super::{Aim, Tally};

/// One after the other, until the end.
pub(super) async fn run(
    aim: &Aim,
    tally: &Rc<Tally>,
    tls: Option<Arc<ClientConfig>>,
    number: usize,
) -> anyhow::Result<()> {
    let tls = tls.map(|shared| {
        let mut own = ClientConfig::clone(&shared);
        own.resumption = Resumption::disabled();
        TlsConnector::from(Arc::new(own))
    });
    let (mut random, mut reader, mut request) = (Random::new(number as u64), Reader::new(), Vec::new());
    while tally.goes_on() {
        tally.requests.write(random.next(), &mut request);
        let began = Instant::now();
        let mut stream = connect(aim, number).await?;
        match &tls {
            None => ask(&mut stream, &request, &mut reader).await?,
            Some(tls) => {
                let mut stream = tls.connect(ServerName::try_from("localhost")?, stream).await?;
                ask(&mut stream, &request, &mut reader).await?;
            }
        }
        tally.note(began);
    }
    Ok(())
}

/// From an address of its own for each of the first 250: ports rest for a minute after a connection, and one address
/// has but some thirty thousand.
pub(super) async fn connect(aim: &Aim, number: usize) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(2 + number % 250)?;
    socket.bind((Ipv4Addr::new(127, 0, 0, last), 0).into())?;
    let stream = socket.connect(aim.target).await.context("connecting")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
