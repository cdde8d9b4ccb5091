//! Anything at all, as what an app answers: nothing crashes, and a connection is used again only when all that came on it
//! is one answer.
//!
//! The fuzzer of `fuzz_targets/app_answer.rs` writes bytes; an ordinary test of `tests/it/fuzz.rs` does the same with
//! answers that it spoils byte by byte, so that it cannot go stale.

use std::sync::LazyLock;
use std::time::Duration;

use http_body_util::BodyExt;
use portcullis::http::{Body, Request};
use portcullis::proxy::outgoing::Outgoing;
use portcullis::proxy::upstream::lean::{self, Connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());

/// Whether an answer was whole, and whether its connection may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    pub whole: bool,
    pub kept: bool,
}

/// Judges anything.
pub fn judge(data: &[u8]) -> Heard {
    let heard = RUNTIME.block_on(ask(data));
    assert!(heard.whole || !heard.kept, "half an answer");
    if heard.kept {
        for behind in ["x", "\r\n", "HTTP/1.1 200 OK\r\n\r\n"] {
            let more = RUNTIME.block_on(ask(&[data, behind.as_bytes()].concat()));
            assert!(!more.kept, "{behind:?} behind it is nobody's");
        }
    }
    heard
}

/// Asks an app that says this and closes.
async fn ask(data: &[u8]) -> Heard {
    let (ours, mut theirs) = duplex(data.len().max(4096));
    let app = async {
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            asked.push(theirs.read_u8().await.unwrap());
        }
        let _ = theirs.write_all(data).await;
        drop(theirs);
    };
    let us = async {
        let mut request = Outgoing::from(Request::new(Body::Empty));
        let until = Instant::now() + Duration::from_secs(60);
        let Ok(answer) = Connection::new(ours).exchange(&mut request, until).await else {
            return Heard { whole: false, kept: false };
        };
        match answer.body {
            lean::Body::Whole(_, kept) => Heard { whole: true, kept: kept.is_some() },
            lean::Body::Streamed(mut body) => {
                let whole = (&mut body).collect().await.is_ok();
                Heard { whole, kept: body.release().is_some() }
            }
        }
    };
    tokio::join!(us, app).0
}
