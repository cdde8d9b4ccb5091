//! The smallest service that nginx can ask about each request, in place of oauth2-proxy or Vouch.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{COOKIE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use portcullis::emulator::people::STANDARD;
use tokio::net::TcpListener;

/// The least that a proxy of the `auth_request` kind can ask: is this cookie known? 202 and the name, or 401.
pub(crate) fn serve(listen: SocketAddr, cookies: &Path) -> anyhow::Result<()> {
    let known: HashSet<Vec<u8>> = std::fs::read_to_string(cookies)?.lines().map(|line| line.into()).collect();
    listen_and(listen, move |request| {
        let mut response = Response::new(Full::new(Bytes::new()));
        if request.headers().get(COOKIE).is_some_and(|cookie| known.contains(cookie.as_bytes())) {
            *response.status_mut() = StatusCode::ACCEPTED;
            response.headers_mut().insert("x-auth-request-user", HeaderValue::from_static(STANDARD.username));
        } else {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        response
    })
}

fn listen_and<A>(listen: SocketAddr, answer: A) -> anyhow::Result<()>
where
    A: Fn(&Request<Incoming>) -> Response<Full<Bytes>> + Send + Sync + 'static,
{
    let answer = Arc::new(answer);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let service = service_fn(|request| std::future::ready(Ok::<_, Infallible>(answer(&request))));
                // A client that goes away is none of our business.
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    })
}
