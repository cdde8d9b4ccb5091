//! Anything at all, as what a client says first: nothing crashes, and what is taken for a plain request is one request,
//! in one reading.
//!
//! The fuzzer of `fuzz_targets/request_head.rs` writes bytes; an ordinary test of `tests/it/fuzz.rs` does the same with
//! heads that it spoils byte by byte, so that it cannot go stale.

use bytes::Bytes;
use portcullis::server::lean::head::{Bounds, End, Read, read};

/// Judges anything; tells whether it begins with a plain request.
pub fn judge(data: &[u8]) -> bool {
    let bounds = Bounds { size: 4096, fields: 20 };
    let received = Bytes::copy_from_slice(data);
    let (length, request, asked) = match read(&received, bounds) {
        Ok(Read::Plain(length, arrival, asked)) => (length, arrival.into_request(), asked),
        Ok(Read::Foreign(end)) => {
            judge_end(data, end);
            return false;
        }
        Ok(Read::Part) | Err(_) => return false,
    };
    let head = &data[..length];
    assert!(length <= bounds.size && head.ends_with(b"\r\n\r\n"));
    for (at, byte) in head.iter().enumerate() {
        match byte {
            b'\n' => assert_eq!(head[at - 1], b'\r'),
            b'\r' => assert_eq!(head[at + 1], b'\n'),
            _ => assert!(*byte >= b' ' && *byte != 0x7f || *byte == b'\t'),
        }
    }
    let fields = request.headers();
    assert!(fields.len() <= bounds.fields);
    assert!(["transfer-encoding", "upgrade", "expect"].iter().all(|name| !fields.contains_key(*name)));
    let lengths: Vec<_> = fields.get_all("content-length").iter().collect();
    assert!(lengths.is_empty() || lengths == ["0"]);
    // It ends where it ends, and not before.
    for cut in (0..length).rev().step_by(7) {
        assert!(matches!(read(&received.slice(..cut), bounds), Ok(Read::Part)), "it is whole after {cut} bytes");
    }
    // Written as it was understood it is understood in the same way.
    let mut written = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri()).into_bytes();
    for (name, value) in fields {
        written.extend_from_slice(&[name.as_str().as_bytes(), b":", value.as_bytes(), b"\r\n"].concat());
    }
    written.extend_from_slice(b"\r\n");
    let bounds = Bounds { size: 2 * bounds.size, ..bounds };
    let Ok(Read::Plain(all, again, asked_again)) = read(&written.clone().into(), bounds) else {
        panic!("{:?}", String::from_utf8_lossy(&written))
    };
    let again = again.into_request();
    assert_eq!((all, asked), (written.len(), asked_again));
    assert_eq!((again.method(), again.headers()), (request.method(), fields));
    true
}

/// Judges where a request ends that is more than a head: its lines, cut by a simpler reader, say so once.
fn judge_end(data: &[u8], end: End) {
    let head = data.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head") + 4;
    // Before the first line there may be empty ones, which are passed over before a head is read.
    let lines: Vec<&[u8]> = data[..head].split(|byte| *byte == b'\n').collect();
    let named = |name: &str| -> Vec<String> {
        let cut = |line: &&[u8]| {
            let at = line.iter().position(|byte| *byte == b':')?;
            let value = String::from_utf8_lossy(&line[at + 1..]).trim().to_owned();
            line[..at].eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        };
        lines.iter().filter_map(cut).collect()
    };
    let (lengths, codings) = (named("content-length"), named("transfer-encoding"));
    match end {
        End::After(whole) if lengths.is_empty() => assert_eq!((whole, codings.len()), (head as u64, 0)),
        End::After(whole) => {
            let body = whole - head as u64;
            assert!(lengths.len() == 1 && lengths[0].bytes().all(|byte| byte.is_ascii_digit()), "{lengths:?}");
            assert_eq!((lengths[0].parse(), codings.len()), (Ok(body), 0));
        }
        End::Chunks(whole) => {
            assert_eq!((whole, lengths.len(), codings.len()), (head as u64, 0, 1));
            assert!(codings[0].eq_ignore_ascii_case("chunked"), "{codings:?}");
        }
        End::Unknown(whole) => {
            assert!(data.starts_with(b"CONNECT ") || data.starts_with(b"\r\n"));
            assert!(whole == head as u64 && lengths.len() + codings.len() <= 1);
        }
    }
}
