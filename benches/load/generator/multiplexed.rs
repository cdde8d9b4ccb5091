//! HTTP/2: several requests at a time on each connection, by hyper's client.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper::header::{COOKIE, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::http1::{BROWSER, PAGE, Random};
use super::{Aim, Tally};

/// One connection, until the end.
pub(super) async fn run(
    aim: &Aim,
    tally: &Rc<Tally>,
    tls: Option<Arc<ClientConfig>>,
    streams: usize,
    number: usize,
) -> anyhow::Result<()> {
    let stream = TcpStream::connect(aim.target).await.context("connecting")?;
    stream.set_nodelay(true)?;
    let connector = TlsConnector::from(tls.context("HTTP/2 is spoken over TLS")?);
    let stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = request(aim)?;
    let mut asking = tokio::task::JoinSet::new();
    for stream in 0..streams {
        let (mut sender, tally, request) = (sender.clone(), Rc::clone(tally), request.clone());
        let mut random = Random::new((number * streams + stream) as u64);
        asking.spawn_local(async move {
            while tally.goes_on() {
                let mut request = request.clone();
                let cookie = HeaderValue::from_str(tally.requests.cookie(random.next()))?;
                request.headers_mut().insert(COOKIE, cookie);
                sender.ready().await?;
                let began = Instant::now();
                let response = sender.send_request(request).await?;
                let status = response.status();
                let mut body = response.into_body();
                while let Some(frame) = body.frame().await {
                    frame?;
                }
                if status != StatusCode::OK {
                    bail!("answered {status}");
                }
                tally.note(began);
            }
            anyhow::Ok(())
        });
    }
    while let Some(ended) = asking.join_next().await {
        ended??;
    }
    Ok(())
}

fn request(aim: &Aim) -> anyhow::Result<Request<Full<Bytes>>> {
    let mut request = Request::new(Full::new(Bytes::from(vec![b'x'; aim.upload])));
    *request.method_mut() = if aim.upload > 0 { Method::POST } else { Method::GET };
    *request.uri_mut() = format!("https://{}{PAGE}", aim.authority).parse()?;
    for (name, value) in BROWSER {
        request.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    Ok(request)
}
