//! The end of a connection whose client may still be sending.
//!
//! A socket that is closed with bytes in it that nobody has read is reset, and a reset can overtake the answer: whoever
//! uploads where a sign-in is due would see an error of the network and not our page. So our side is closed first, and
//! what still comes is thrown away until the client closes its own (RFC 9112 section 9.6), is silent, or has had its
//! share. Called by `server::http1`.

use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use super::Drain;
use super::fence::Fenced;

/// How long nothing may come: a few times around the world.
pub(super) const SILENCE: Duration = Duration::from_secs(2);

/// How long it may go on.
pub(super) const LONGEST: Duration = Duration::from_secs(if cfg!(test) { 3 } else { 30 });

/// How much may come.
pub(super) const MOST: usize = 16 * 1024 * 1024;

/// Closes our side, and waits for the client to close its own.
pub(super) async fn linger<S: AsyncRead + AsyncWrite + Unpin>(mut stream: Fenced<S>, drain: &Drain) {
    let parting = async {
        // A goodbye that the client does not take changes nothing.
        let _ = stream.shutdown().await;
        let mut thrown_away = 0;
        while thrown_away < MOST {
            match timeout(SILENCE, poll_fn(|cx| stream.poll_throw_away(cx))).await {
                Ok(length @ 1..) => thrown_away += length,
                Ok(0) | Err(_) => return,
            }
        }
    };
    tokio::select! {
        _ = timeout(LONGEST, parting) => {}
        () = drain.cut_off() => {}
    }
}
