//! Held against hyper's client: whatever is accepted here, hyper accepts too, and reads the same in it.
//!
//! The other way round there is a list of what is stricter here, which the tests beside this one name one by one:
//! several equal lengths, a length or a coding beside the other, codings before `chunked`, bare line feeds, empty
//! lines before the status line, white space after a chunk's size, interim answers that announce a body.

use std::sync::LazyLock;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::http::spoil::{self, Change};
use crate::proxy::upstream::checked::{Checked, Notes, Question, Switch};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());

/// What an answer says to a client.
type Reading = (StatusCode, HeaderMap, Bytes, Option<HeaderMap>);

async fn by_hyper(method: Method, answer: &[u8]) -> Result<Reading, String> {
    let (ours, theirs) = duplex(answer.len().max(1));
    exchange_by_hyper(method, ours, theirs, &[answer]).await
}

/// By hyper, as apps are asked that get a body.
async fn by_hyper_checked(method: Method, pieces: &[&[u8]]) -> Result<Reading, String> {
    let (ours, theirs) = duplex(pieces.iter().map(|piece| piece.len()).max().unwrap_or(0).max(1));
    let notes = Notes::default();
    notes.ask(Question { method: method.clone(), switch: Switch::Unasked });
    exchange_by_hyper(method, Checked::new(ours, notes), theirs, pieces).await
}

async fn exchange_by_hyper<S: AsyncRead + AsyncWrite + Unpin>(
    method: Method,
    ours: S,
    mut theirs: DuplexStream,
    pieces: &[&[u8]],
) -> Result<Reading, String> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await.unwrap();
    let us = async {
        let response = sender.send_request(request(method).whole()).await.map_err(|error| error.to_string())?;
        let (head, body) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err("switched".to_owned());
        }
        let collected = body.collect().await.map_err(|error| error.to_string())?;
        let trailers = collected.trailers().cloned();
        Ok((head.status, head.headers, collected.to_bytes(), trailers))
    };
    let app = async move {
        read_head(&mut theirs).await;
        for piece in pieces {
            if theirs.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    let connected = async {
        let _ = connection.await;
    };
    let (reading, (), ()) = tokio::join!(us, app, connected);
    reading
}

async fn by_us(method: Method, pieces: &[&[u8]]) -> Result<Reading, String> {
    let heard = ask(method, pieces, End::Close).await.map_err(|fault| fault.to_string())?;
    Ok((heard.status, heard.headers, heard.body?, heard.trailers))
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("Connection: close".to_owned()),
        Just("Connection: keep-alive".to_owned()),
        Just("Set-Cookie: a=b; Path=/".to_owned()),
        (0..20_u8).prop_map(|length| format!("Content-Length: {length}")),
        "Content-Length: [0-9+ ,x]{0,4}",
        Just("Transfer-Encoding: chunked".to_owned()),
        "Transfer-Encoding: (gzip|identity|chunked|Chunked|,| ){1,4}",
        "[A-Za-z-]{1,8} ?:[ \t]?[ -~]{0,12}",
        "[A-Za-z-]{1,8}: [ -~\u{80}-\u{ff}]{0,12}[ \t]{0,2}",
    ]
}

fn head() -> impl Strategy<Value = String> {
    let status = prop_oneof![
        5 => Just("200".to_owned()),
        1 => Just("204".to_owned()),
        1 => Just("304".to_owned()),
        1 => Just("103".to_owned()),
        1 => Just("101".to_owned()),
        1 => "[0-9]{3}",
    ];
    let version = prop_oneof![9 => Just("1.1"), 1 => Just("1.0")];
    (version, status, "( [ -~]{0,6})?", prop::collection::vec(field(), 0..6)).prop_map(
        |(version, status, reason, fields)| {
            let lines: String = fields.into_iter().map(|field| field + "\r\n").collect();
            format!("HTTP/{version} {status}{reason}\r\n{lines}\r\n")
        },
    )
}

/// A body that belongs to a head, more or less.
fn message() -> impl Strategy<Value = String> {
    let chunk = ("[a-z]{1,20}", "(;[a-z=]{0,5})?")
        .prop_map(|(data, extension)| format!("{:x}{extension}\r\n{data}\r\n", data.len()));
    let trailers = "(X-[A-Z]: [a-z]{0,4}\r\n){0,2}";
    let chunked = (head(), prop::collection::vec(chunk, 0..4), trailers).prop_map(|(head, chunks, trailers)| {
        let chunks = chunks.concat();
        let head = head.replacen("\r\n", "\r\nTransfer-Encoding: chunked\r\n", 1);
        format!("{head}{chunks}0\r\n{trailers}\r\n")
    });
    let sized = (head(), "[a-z]{0,20}").prop_map(|(head, body)| {
        let length = format!("\r\nContent-Length: {}\r\n", body.len());
        format!("{}{body}", head.replacen("\r\n", &length, 1))
    });
    let plain = (head(), "[a-z\r\n]{0,20}").prop_map(|(head, body)| head + &body);
    let interim =
        prop_oneof![6 => Just(String::new()), 1 => Just("HTTP/1.1 100 Continue\r\n\r\n".to_owned()), 1 => head()];
    (interim, prop_oneof![chunked, sized, plain]).prop_map(|(interim, message)| interim + &message)
}

/// Something done to a message.
fn change() -> impl Strategy<Value = Change> {
    spoil::change(b"\r\n\0\t :;,0123456789abfxH", 400)
}

fn changed(message: String, changes: &[Change]) -> Vec<u8> {
    spoil::changed(message.into_bytes(), changes)
}

/// An answer to be read, spoilt or not: its bytes, to which method, and in which two pieces it may come.
fn spoilt() -> impl Strategy<Value = (Vec<u8>, Method, usize)> {
    let changes = prop::collection::vec(change(), 0..4);
    (message(), changes, any::<bool>(), 0..400_usize).prop_map(|(message, changes, head, cut)| {
        let answer = changed(message, &changes);
        let cut = cut.min(answer.len());
        (answer, if head { Method::HEAD } else { Method::GET }, cut)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(1000)))]

    #[test]
    fn what_is_accepted_here_hyper_reads_in_the_same_way((answer, method, cut) in spoilt()) {
        let (first, second) = answer.split_at(cut);
        let ours = RUNTIME.block_on(by_us(method.clone(), &[&answer]));
        let ours_in_pieces = RUNTIME.block_on(by_us(method.clone(), &[first, second]));
        prop_assert_eq!(ours.as_ref().ok(), ours_in_pieces.as_ref().ok(), "in pieces: {:?}", ours_in_pieces);
        if let Ok(ours) = ours {
            let theirs = RUNTIME.block_on(by_hyper(method, &answer));
            prop_assert_eq!(Ok(ours), theirs, "{:?}", String::from_utf8_lossy(&answer));
        }
    }

    #[test]
    fn behind_our_checks_hyper_takes_what_we_take_and_nothing_else((answer, method, cut) in spoilt()) {
        let (first, second) = answer.split_at(cut);
        let ours = RUNTIME.block_on(by_us(method.clone(), &[&answer]));
        for pieces in [&[&answer[..]][..], &[first, second]] {
            let theirs = RUNTIME.block_on(by_hyper_checked(method.clone(), pieces));
            prop_assert_eq!(ours.as_ref().ok(), theirs.as_ref().ok(), "{:?} {:?}", ours, theirs);
        }
    }
}
