//! TLS 1.3 handshakes and nothing else.
//!
//! A handshake counts when the server's ticket has come: only then has the server, too, done all of its part.
//! Full ones get tickets as well, as every browser does, and never use them.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{HandshakeKind, NamedGroup};
use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio_rustls::TlsConnector;

use super::fresh::connect;
use super::{Aim, Handshakes, Tally};
use crate::walk::trust;

/// One after the other, until the end.
pub(super) async fn run(aim: &Aim, tally: &Rc<Tally>, kind: Handshakes, number: usize) -> anyhow::Result<()> {
    let mut tls = trust(aim.certificate.as_deref().context("handshakes need a certificate")?, b"http/1.1")?;
    let tickets = Arc::new(Tickets { kind, last: Mutex::new(None) });
    tls.resumption = Resumption::store(Arc::clone(&tickets) as Arc<dyn ClientSessionStore>);
    let connector = TlsConnector::from(Arc::new(tls));
    let mut first = true;
    while tally.goes_on() {
        let began = Instant::now();
        let stream = connect(aim, number).await?;
        let mut stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
        poll_fn(|context| {
            let mut byte = [0];
            // Tickets are taken in on the way to data, of which there is none.
            match Pin::new(&mut stream).poll_read(context, &mut ReadBuf::new(&mut byte)) {
                _ if tickets.has_one() => Poll::Ready(Ok(())),
                Poll::Ready(read) => Poll::Ready(Err(anyhow!("no ticket came, but {read:?}"))),
                Poll::Pending => Poll::Pending,
            }
        })
        .await?;
        let (_, connection) = stream.get_ref();
        let made = connection.handshake_kind().context("no handshake")?;
        let meant = match kind {
            Handshakes::Resumed if !first => HandshakeKind::Resumed,
            Handshakes::Full | Handshakes::Resumed => HandshakeKind::Full,
        };
        if made != meant {
            bail!("a handshake was {made:?} and not {meant:?}");
        }
        first = false;
        tally.negotiated(|| {
            let suite = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
            let group = connection.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
            suite.into_iter().chain(group).collect::<Vec<_>>().join(", ")
        });
        tally.note(began);
        stream.shutdown().await?;
    }
    Ok(())
}

/// The ticket that came last, since the connection began.
#[derive(Debug)]
struct Tickets {
    kind: Handshakes,
    last: Mutex<Option<Tls13ClientSessionValue>>,
}

impl Tickets {
    fn has_one(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Tls13ClientSessionValue>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientSessionStore for Tickets {
    fn set_kx_hint(&self, _server: ServerName<'static>, _group: NamedGroup) {}

    fn kx_hint(&self, _server: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _server: ServerName<'static>, _value: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _server: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _server: ServerName<'static>, value: Tls13ClientSessionValue) {
        *self.lock() = Some(value);
    }

    fn take_tls13_ticket(&self, _server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        let ticket = self.lock().take();
        ticket.filter(|_| self.kind == Handshakes::Resumed)
    }
}
