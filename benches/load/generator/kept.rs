//! HTTP/1.1 on kept-alive connections: a closed loop on each.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::http1::{Random, Reader, ask};
use super::{Aim, Tally};

/// One connection, until the end.
pub(super) async fn run(
    aim: &Aim,
    tally: &Rc<Tally>,
    tls: Option<Arc<ClientConfig>>,
    number: usize,
) -> anyhow::Result<()> {
    let stream = TcpStream::connect(aim.target).await.context("connecting")?;
    stream.set_nodelay(true)?;
    match tls {
        None => converse(stream, tally, number).await,
        Some(tls) => {
            let stream = TlsConnector::from(tls).connect(ServerName::try_from("localhost")?, stream).await?;
            converse(stream, tally, number).await
        }
    }
}

async fn converse<S>(mut stream: S, tally: &Tally, number: usize) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut random, mut reader, mut request) = (Random::new(number as u64), Reader::new(), Vec::new());
    while tally.goes_on() {
        tally.requests.write(random.next(), &mut request);
        let began = Instant::now();
        ask(&mut stream, &request, &mut reader).await?;
        tally.note(began);
    }
    Ok(())
}
