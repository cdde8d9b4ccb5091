//! WebSocket messages, there and back: each connection sends the next one when it has the last one again.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper::header::{COOKIE, HeaderValue};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::http1::Random;
use super::{Aim, Tally};

/// One WebSocket, until the end.
pub(super) async fn run(
    aim: &Aim,
    tally: &Rc<Tally>,
    tls: Option<Arc<ClientConfig>>,
    bytes: usize,
    number: usize,
) -> anyhow::Result<()> {
    let stream = TcpStream::connect(aim.target).await.context("connecting")?;
    stream.set_nodelay(true)?;
    match tls {
        None => converse(aim, stream, tally, bytes, number).await,
        Some(tls) => {
            let stream = TlsConnector::from(tls).connect(ServerName::try_from("localhost")?, stream).await?;
            converse(aim, stream, tally, bytes, number).await
        }
    }
}

async fn converse<S>(aim: &Aim, stream: S, tally: &Tally, bytes: usize, number: usize) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let secure = if aim.certificate.is_some() { "s" } else { "" };
    let mut request = format!("ws{secure}://{}/messages", aim.authority).into_client_request()?;
    let cookie = tally.requests.cookie(Random::new(number as u64).next());
    request.headers_mut().insert(COOKIE, HeaderValue::from_str(cookie)?);
    request.headers_mut().insert("origin", HeaderValue::try_from(format!("http{secure}://{}", aim.authority))?);
    let (mut socket, _) = client_async(request, stream).await?;
    let message = Bytes::from(vec![b'm'; bytes]);
    while tally.goes_on() {
        let began = Instant::now();
        socket.send(Message::Binary(message.clone())).await?;
        match socket.next().await.context("closed by the other side")?? {
            Message::Binary(back) if back.len() == bytes => tally.note(began),
            other => bail!("not the same message came back, but {} bytes", other.len()),
        }
    }
    Ok(())
}
