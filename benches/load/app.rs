//! The app behind the proxies, as quick as can be, because it shares its core with the load generator.
//!
//! One answer for everything, but [`WHO`] says what it was told about the visitor, and who asks for a WebSocket gets
//! back every message.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::bail;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::generator::length;

/// Where the app says whom it sees.
pub(crate) const WHO: &str = "/who";

/// More than any head here has.
const BUFFER: usize = 64 * 1024;

/// More fields than any proxy passes on.
const FIELDS: usize = 64;

/// What a request wants.
enum Wish {
    Page,
    /// With the visitor's name, as the proxy told it.
    Who(Bytes),
    /// With the client's key.
    Messages(Vec<u8>),
}

/// Answers with `body` bytes, for ever.
pub(crate) fn serve(listen: SocketAddr, body: usize) -> anyhow::Result<()> {
    let page = Arc::new(answer(&vec![b'x'; body]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let page = Arc::clone(&page);
            tokio::spawn(async move {
                // A client that goes away, or does what nobody should, loses its connection.
                let _ = converse(stream, &page).await;
            });
        }
    })
}

fn answer(body: &[u8]) -> Vec<u8> {
    let mut whole = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
         date: Sun, 22 Nov 2026 08:00:00 GMT\r\n\r\n",
        body.len()
    )
    .into_bytes();
    whole.extend_from_slice(body);
    whole
}

async fn converse(mut stream: TcpStream, page: &[u8]) -> anyhow::Result<()> {
    let mut buffer = vec![0; BUFFER];
    let mut filled = 0;
    loop {
        let Some((wish, head, body)) = read(&buffer[..filled])? else {
            match stream.read(&mut buffer[filled..]).await? {
                0 => return Ok(()),
                count => filled += count,
            }
            continue;
        };
        let whole = head + body;
        if filled > whole {
            bail!("requests one after the other without waiting");
        }
        let mut left = whole - filled;
        while left > 0 {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                count => left = left.saturating_sub(count),
            }
        }
        filled = 0;
        match wish {
            Wish::Page => stream.write_all(page).await?,
            Wish::Who(name) => stream.write_all(&answer(&name)).await?,
            Wish::Messages(key) => return echo(stream, &key).await,
        }
    }
}

/// What a whole head wants, its length and its body's.
fn read(bytes: &[u8]) -> anyhow::Result<Option<(Wish, usize, usize)>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(head) = request.parse(bytes)? else { return Ok(None) };
    let body = length(request.headers)?.unwrap_or(0);
    let find = |name: &str| request.headers.iter().find(|field| field.name.eq_ignore_ascii_case(name));
    let wish = match (request.path, find("sec-websocket-key")) {
        (_, Some(key)) => Wish::Messages(key.value.to_vec()),
        (Some(WHO), None) => {
            Wish::Who(find("x-forwarded-user").map_or_else(Bytes::new, |user| Bytes::copy_from_slice(user.value)))
        }
        _ => Wish::Page,
    };
    Ok(Some((wish, head, body)))
}

async fn echo(mut stream: TcpStream, key: &[u8]) -> anyhow::Result<()> {
    let accept = derive_accept_key(key);
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    while let Some(message) = socket.next().await {
        if let message @ (Message::Binary(_) | Message::Text(_)) = message? {
            socket.send(message).await?;
        }
    }
    Ok(())
}
