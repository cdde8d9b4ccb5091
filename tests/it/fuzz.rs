//! What the fuzzer does, over its corpus: it needs a nightly compiler, this does not, and it stays true by this.

use std::fs;

#[path = "../../fuzz/app_answer.rs"]
mod app_answer;
#[path = "../../fuzz/request_head.rs"]
mod request_head;
#[path = "../../fuzz/saml_response.rs"]
mod saml_response;
#[path = "../../src/http/spoil.rs"]
mod spoil;

use proptest::prelude::*;
use saml_response::judge;

const HEADS: [&str; 8] = [
    "GET /a?b HTTP/1.1\r\nHost: wiki.example.com\r\nCookie: a=b; c\r\n\r\n",
    "HEAD http://a/b?c HTTP/1.1\r\nhost:a\r\nConnection: close, x\r\n\r\n",
    "DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nX-Empty:\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
];

const ANSWERS: [&str; 6] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\nX: y\r\n\r\n",
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end",
    "HTTP/1.0 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
];

fn vectors() -> impl Strategy<Value = Vec<u8>> {
    let files = fs::read_dir("tests/saml/vectors").unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|kind| kind == "xml")).collect();
    files.sort();
    prop::sample::select(files).prop_map(|path| fs::read(path).unwrap())
}

// Many changes at once, which no list of them reaches. More of them: PROPTEST_CASES.
proptest! {
    #[test]
    fn a_head_of_many_ruins_has_one_reading(
        head in prop::sample::select(&HEADS[..]),
        changes in prop::collection::vec(spoil::change(b"\r\n\0\t :;,0123456789abfxH", 200), 0..8),
    ) {
        request_head::judge(&spoil::changed(head.as_bytes().to_vec(), &changes));
    }

    #[test]
    fn an_answer_of_many_ruins_leaves_nothing(
        answer in prop::sample::select(&ANSWERS[..]),
        changes in prop::collection::vec(spoil::change(b"\r\n\0\t :;,0123456789abfxH", 200), 0..8),
    ) {
        app_answer::judge(&spoil::changed(answer.as_bytes().to_vec(), &changes));
    }

    #[test]
    fn a_message_of_many_ruins_names_nobody_else(
        message in vectors(),
        changes in prop::collection::vec(spoil::change(b"<>/\"'&;# :=!-[]?", 8000), 0..4),
    ) {
        judge(&spoil::changed(message, &changes));
    }
}

#[test]
fn the_fuzz_target_lets_in_whom_the_vectors_say_and_their_ruins_crash_nothing() {
    let mut admitted = Vec::new();
    let mut seen = 0;
    for entry in fs::read_dir("tests/saml/vectors").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.extension().is_none_or(|kind| kind != "xml") {
            continue;
        }
        let mut data = fs::read(&path).unwrap();
        seen += 1;
        if judge(&data) > 0 {
            admitted.push(name.clone());
        }
        for cut in (0..data.len()).step_by(data.len() / 24) {
            assert_eq!(judge(&data[..cut]), 0, "{name}, its first {cut} bytes");
            let kept = data[cut];
            data[cut] = kept.wrapping_add(128);
            assert_eq!(judge(&data), 0, "{name}, with another byte at {cut}: it is no UTF-8");
            data[cut] = kept;
        }
    }
    assert!(seen > 20 && admitted.len() > 10, "{seen} vectors, and of them {admitted:?}");
    assert!(admitted.iter().all(|name| name.starts_with("good")), "{admitted:?}");
}

#[test]
fn no_spoilt_head_is_taken_for_two_requests() {
    let plain = [
        "GET / HTTP/1.1\r\nHost: wiki.example.com\r\n\r\n",
        "\r\nHEAD http://a/b?c HTTP/1.1\r\nhost:a\r\nCookie: a=\"b\"; c\r\nTE: trailers\r\nConnection: close, x\r\n\r\n",
        "DELETE * HTTP/1.1\r\nContent-Length: 0\r\nX-Empty:\r\nX-High: \u{e9}\t.\r\n\r\n",
    ];
    let other = [
        "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length:  05 \r\nX: y\r\n\r\nhello",
        "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.1\r\ntransfer-encoding:CHUNKED\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\n\r\n",
    ];
    for (heads, is_plain) in [(&plain[..], true), (&other, false)] {
        for head in heads {
            assert_eq!(request_head::judge(head.as_bytes()), is_plain, "{head:?}");
            let mut data = [head.as_bytes(), b"GET /next HTTP/1.1\r\n\r\n"].concat();
            for at in 0..head.len() {
                request_head::judge(&data[..at]);
                let kept = data[at];
                for byte in (0..=255).step_by(7).chain(*b"\r\n\0 \t:;,0\x7f").chain([kept ^ 0x20]) {
                    data[at] = byte;
                    request_head::judge(&data);
                }
                data[at] = kept;
            }
        }
    }
}

#[test]
fn a_spoilt_answer_leaves_nothing_for_whoever_is_next() {
    for (answer, kept) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true),
        ("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\nX: y\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", false),
    ] {
        assert_eq!(app_answer::judge(answer.as_bytes()), app_answer::Heard { whole: true, kept }, "{answer:?}");
        let mut data = answer.as_bytes().to_vec();
        for at in 0..data.len() {
            assert!(!app_answer::judge(&data[..at]).kept, "the first {at} bytes of {answer:?}");
            let before = data[at];
            for byte in (0..=255).step_by(7).chain(*b"\r\n\0 \t:;0123") {
                data[at] = byte;
                app_answer::judge(&data);
            }
            data[at] = before;
        }
    }
}
