//! Held against hyper's server: whatever is accepted here, hyper accepts too, and reads the same in it; and what is
//! answered here, hyper writes in the same bytes.
//!
//! The other way round there is a list of what is stricter here, which the tests beside this one name one by one: bare
//! line feeds, more than `header_size` bytes of empty lines, a length beside a coding or beside another length, and a
//! coding that merely ends with `chunked`.

use std::convert::Infallible;
use std::sync::LazyLock;

use http_body::Frame;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::http::spoil::{self, Change};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());

/// Has hyper serve the same as [`serve`].
async fn by_hyper(wire: &[u8], answer: impl Fn(&Said) -> Response) -> (Vec<Said>, String) {
    let (near, mut writer, mut reader) = pipe(wire.len().max(1));
    let heard = Mutex::new(Vec::new());
    let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| {
        let said = said(&request);
        let response = answer(&said);
        heard.lock().unwrap().push(said);
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let us = async {
        let mut builder = http1::Builder::new();
        // The client writes all it has and no more: that is no end of its reading here.
        builder.max_header_size(BOUNDS.size).half_close(true);
        let _ = builder.serve_connection(TokioIo::new(near), service).await;
    };
    let client = async {
        let _ = writer.write_all(wire).await;
        drop(writer);
    };
    let mut written = Vec::new();
    tokio::join!(us, client, async { drop(reader.read_to_end(&mut written).await) });
    (heard.into_inner().unwrap(), without_dates(&written))
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just("Host: a.example".to_owned()),
        1 => Just("Connection: close".to_owned()),
        1 => "Connection: (keep-alive|close|upgrade|x|,| |\u{e9}){1,4}",
        1 => "TE: (trailers|gzip|,| ){1,3}",
        1 => Just("Cookie: a=b; c=\"d\"".to_owned()),
        1 => Just("Content-Length: 0".to_owned()),
        1 => "Content-Length: [0-9+ ,x]{0,3}",
        1 => "Transfer-Encoding: (chunked|Chunked|gzip|,| ){0,3}",
        1 => "(Expect|Upgrade): [a-z0-9-]{0,12}",
        2 => "[A-Za-z-]{1,8} ?:[ \t]?[ -~]{0,12}",
        2 => "[A-Za-z-]{1,20}: [ -~\u{80}-\u{ff}]{0,12}[ \t]{0,2}",
    ]
}

fn request() -> impl Strategy<Value = String> {
    let method = prop_oneof![
        6 => Just("GET".to_owned()),
        2 => Just("HEAD".to_owned()),
        2 => Just("POST".to_owned()),
        1 => Just("OPTIONS".to_owned()),
        1 => Just("CONNECT".to_owned()),
        1 => "[A-Za-z!#$%&'*+.^_`|~-]{1,12}",
    ];
    let target = prop_oneof![
        6 => "/[a-z0-9/.%?&=;-]{0,12}",
        1 => Just("*".to_owned()),
        2 => "https?://[a-z0-9.:@\\[\\]-]{0,12}(/[a-z?#]{0,6})?",
        1 => "[a-z.]{1,6}(:[0-9]{0,5})?",
        2 => "/[!-~\u{80}-\u{ff}]{0,12}",
    ];
    let version = prop_oneof![12 => Just("1.1"), 1 => Just("1.0"), 1 => Just("1.2")];
    let end = prop_oneof![20 => Just("\r\n"), 1 => Just("\n"), 1 => Just("\r\n ")];
    (method, target, version, prop::collection::vec((field(), end), 0..6), 0..3_usize).prop_map(
        |(method, target, version, fields, empty)| {
            let lines: String = fields.into_iter().map(|(field, end)| field + end).collect();
            format!("{}{method} {target} HTTP/{version}\r\n{lines}\r\n", "\r\n".repeat(empty))
        },
    )
}

/// Something done to a connection's bytes.
fn change() -> impl Strategy<Value = Change> {
    spoil::change(b"\r\n\0\t :;,/0123456789HTP", 600)
}

fn changed(wire: String, changes: &[Change]) -> Vec<u8> {
    // Each character of the strategies is a byte.
    spoil::changed(wire.chars().map(|character| character as u8).collect(), changes)
}

/// An answer, as a description: two are made of it.
#[derive(Clone, Debug)]
struct Planned {
    status: u16,
    fields: Vec<(&'static str, &'static str)>,
    body: Planning,
}

#[derive(Clone, Debug)]
enum Planning {
    Nothing,
    Whole(usize),
    /// Pieces of these lengths; a `Content-Length`, or none; trailers, or none.
    Pieces(Vec<usize>, bool, bool),
}

fn planned() -> impl Strategy<Value = Planned> {
    let field = prop::sample::select(vec![
        ("x-one", "1"),
        ("x-one", "2"),
        ("set-cookie", "a=b"),
        ("connection", "close"),
        ("connection", "x"),
        ("date", "then"),
        ("trailer", "x-sum, content-type"),
        ("trailer", "x-other"),
        ("content-type", "text/html"),
    ]);
    let status = prop::sample::select(vec![200_u16, 200, 200, 204, 206, 302, 304, 404, 500, 599, 999]);
    let body = prop_oneof![
        Just(Planning::Nothing),
        (0..10_000_usize).prop_map(Planning::Whole),
        (prop::collection::vec(0..6_000_usize, 0..5), any::<bool>(), any::<bool>())
            .prop_map(|(pieces, length, trailers)| Planning::Pieces(pieces, length, trailers)),
    ];
    (status, prop::collection::vec(field, 0..5), body).prop_map(|(status, fields, body)| Planned {
        status,
        fields,
        body,
    })
}

impl Planned {
    fn make(&self) -> Response {
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        for (name, value) in &self.fields {
            response.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        *response.body_mut() = match &self.body {
            Planning::Nothing => Body::Empty,
            Planning::Whole(length) => Body::Full(vec![b'w'; *length].into()),
            Planning::Pieces(lengths, announced, trailers) => {
                let mut frames: Vec<Result<Frame<Bytes>, BodyError>> =
                    lengths.iter().map(|length| Ok(Frame::data(vec![b'p'; *length].into()))).collect();
                let total: usize = lengths.iter().sum();
                if *announced && total > 0 && !matches!(self.status, 204 | 304) {
                    response.headers_mut().insert("content-length", total.into());
                } else if *trailers {
                    let fields = [("x-sum", "1"), ("x-sum", "2"), ("x-secret", "3"), ("content-type", "4")];
                    let fields = fields.map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
                    frames.push(Ok(Frame::trailers(HeaderMap::from_iter(fields))));
                }
                streamed(frames).into_body()
            }
        };
        response
    }
}

/// What was written before the last answer, which is a refusal.
fn before_the_refusal(wire: &str) -> &str {
    wire.rfind("HTTP/1.1 400 ").map_or(wire, |at| &wire[..at])
}

/// Whether hyper accepts what is refused here, because it weighs: a coding more than a length, lengths that are equal
/// as one, and codings by the last of them. These are the fields that it leaves.
fn is_weighed(violation: Violation, fields: &HeaderMap) -> bool {
    let codings = fields.get_all("transfer-encoding");
    let has_length = fields.contains_key("content-length");
    match violation {
        Violation::LengthAndCoding => codings.iter().next().is_some() && !has_length,
        Violation::RepeatedLength => has_length,
        Violation::Coding => codings.iter().next_back().is_some_and(|last| {
            let last = last.to_str().unwrap_or_default().rsplit(',').next().unwrap_or_default();
            last.trim().eq_ignore_ascii_case("chunked")
        }),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(2000)))]

    #[test]
    fn what_is_accepted_here_hyper_reads_in_the_same_way(
        requests in prop::collection::vec(request(), 1..4),
        changes in prop::collection::vec(change(), 0..4),
        cut in 0..600_usize,
    ) {
        let wire = changed(requests.concat(), &changes);
        let (first, second) = wire.split_at(cut.min(wire.len()));
        let ours = RUNTIME.block_on(serve(&[&wire], BOUNDS, hello));
        let pieces = RUNTIME.block_on(serve(&[first, second], BOUNDS, hello));
        prop_assert_eq!(&ours.said, &pieces.said, "in pieces");
        prop_assert_eq!(&ours.wire, &pieces.wire, "in pieces");
        let (said, written) = RUNTIME.block_on(by_hyper(&wire, |_| text(StatusCode::OK, "hello")));
        let shown = String::from_utf8_lossy(&wire);
        prop_assert_eq!(said.get(..ours.said.len()), Some(&ours.said[..]), "{:?}", shown);
        match ours.turns[0] {
            Turn::Ended | Turn::Answered => {
                prop_assert_eq!(said.len(), ours.said.len(), "{:?}", shown);
                prop_assert_eq!(written, ours.wire, "{:?}", shown);
            }
            Turn::Foreign(_) => prop_assert!(written.starts_with(&ours.wire), "{:?}\n{}\n{}", shown, written, ours.wire),
            Turn::Refused(Violation::LineEnd) => {}
            Turn::Refused(
                violation @ (Violation::LengthAndCoding
                | Violation::RepeatedLength
                | Violation::Length
                | Violation::Coding),
            ) => {
                prop_assert!(written.starts_with(before_the_refusal(&ours.wire)), "{:?}\n{}", shown, written);
                let read_on = said.get(ours.said.len()).map(|said| &said.3);
                prop_assert!(read_on.is_none_or(|fields| is_weighed(violation, fields)), "{:?}: {:?}", shown, violation);
            }
            // hyper has no answer to the beginning of HTTP/2.
            Turn::Refused(_) if !written.is_empty() => {
                prop_assert_eq!(said.len(), ours.said.len(), "{:?}", shown);
                prop_assert_eq!(written, ours.wire, "{:?}", shown);
            }
            Turn::Refused(_) => {}
            Turn::Broken(ref error) => prop_assert!(false, "{error}"),
        }
    }

    #[test]
    fn what_is_answered_here_hyper_writes_in_the_same_bytes(
        planned in prop::collection::vec(planned(), 1..4),
        asked in prop::collection::vec((any::<bool>(), any::<bool>(), prop::bool::weighted(0.1)), 3),
    ) {
        let heads = planned.iter().zip(&asked).enumerate().map(|(number, (_, (head, trailers, close)))| {
            let method = if *head { "HEAD" } else { "GET" };
            let trailers = if *trailers { "TE: trailers\r\n" } else { "" };
            let close = if *close { "Connection: close\r\n" } else { "" };
            format!("{method} /{number} HTTP/1.1\r\n{trailers}{close}\r\n")
        });
        let wire: String = heads.collect();
        let answer = |uri: &Uri| planned[uri.path()[1..].parse::<usize>().unwrap()].make();
        let ours = RUNTIME.block_on(serve(&[wire.as_bytes()], BOUNDS, |request| answer(request.uri())));
        let (said, written) = RUNTIME.block_on(by_hyper(wire.as_bytes(), |said| answer(&said.1)));
        prop_assert_eq!(said, ours.said);
        prop_assert_eq!(written, ours.wire);
    }
}
