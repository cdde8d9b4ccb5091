//! Anything at all, as what a client says first: nothing crashes, and what is taken for a plain request is one request,
//! in one reading.
//!
//! The fuzzer of `fuzz_targets/request_head.rs` writes bytes; an ordinary test of `tests/it/fuzz.rs` does the same with
//! heads that it spoils byte by byte, so that it cannot go stale.

use bytes::Bytes;
use portcullis::server::lean::head::{Bounds, Read, read};

/// Judges anything; tells whether it begins with a plain request.
pub fn judge(data: &[u8]) -> bool {
    let bounds = Bounds { size: 4096, fields: 20 };
    let received = Bytes::copy_from_slice(data);
    let Ok(Read::Plain(length, request, asked)) = read(&received, bounds) else { return false };
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
    assert_eq!((all, asked), (written.len(), asked_again));
    assert_eq!((again.method(), again.headers()), (request.method(), fields));
    true
}
