//! Answers that two readers could take differently: refused, or broken off.

use super::*;

#[tokio::test]
async fn two_lengths_are_refused() {
    refused(
        Violation::TwoLengths,
        &[
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_length_said_twice_is_refused_even_if_it_is_the_same() {
    refused(
        Violation::RepeatedLength,
        &[
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\nhello",
            "HTTP/1.1 304 No\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_length_that_is_not_digits_alone_is_refused() {
    let lengths = ["", "+5", "-5", "5, 5", "5,6", "5;", "0x5", "5 5", "\"5\"", "5.0", "١", "18446744073709551616"];
    for length in lengths {
        refused(Violation::Length, &[&format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nhello")]).await;
    }
}

#[tokio::test]
async fn a_coding_other_than_chunked_is_refused() {
    for coding in [
        "gzip",
        "identity",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked;q=1",
        "\"chunked\"",
        "xchunked",
        "",
        "chunked\r\nTransfer-Encoding: chunked",
        "identity\r\nTransfer-Encoding: chunked",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n");
        refused(Violation::TransferCoding, &[&answer]).await;
    }
    refused(Violation::TransferCoding, &["HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]).await;
}

#[tokio::test]
async fn a_line_that_ends_with_a_line_feed_alone_is_refused() {
    refused(
        Violation::LineEnd,
        &[
            "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\nX: y\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\n\nhello",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_carriage_return_that_ends_no_line_is_refused() {
    refused(Violation::Head(httparse::Error::HeaderValue), &["HTTP/1.1 200 OK\r\nX: a\rY: b\r\n\r\n"]).await;
    refused(Violation::Head(httparse::Error::HeaderValue), &["HTTP/1.1 200 OK\r\nX: a\r\r\nY: b\r\n\r\n"]).await;
    refused(Violation::Head(httparse::Error::Status), &["HTTP/1.1 200 O\rK\r\n\r\n"]).await;
    refused(Violation::Head(httparse::Error::NewLine), &["HTTP/1.1 200 OK\r\nX: a\r\n\rx"]).await;
}

#[tokio::test]
async fn a_folded_line_is_refused() {
    let found = Violation::Head(httparse::Error::HeaderName);
    refused(found, &["HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", "HTTP/1.1 200 OK\r\nX: a\r\n\tb: c\r\n\r\n"]).await;
    refused(found, &["HTTP/1.1 200 OK\r\n X: a\r\n\r\n"]).await;
}

#[tokio::test]
async fn control_characters_in_a_value_are_refused() {
    for byte in (0..=0x1f_u8).chain([0x7f]).filter(|byte| !b"\t\r\n".contains(byte)) {
        let answer = format!("HTTP/1.1 200 OK\r\nX: a{}b\r\n\r\n", char::from(byte));
        refused(Violation::Head(httparse::Error::HeaderValue), &[&answer]).await;
        let answer = format!("HTTP/1.1 200 O{}K\r\n\r\n", char::from(byte));
        refused(Violation::Head(httparse::Error::Status), &[&answer]).await;
    }
}

#[tokio::test]
async fn a_name_that_is_no_token_is_refused() {
    for line in ["Content-Length : 5", "X\0: a", ": a", "X Y: a", "no colon", "X(: a", "\u{7f}: a", "é: a", "X\t: a"] {
        let answer = format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\nhello");
        refused(Violation::Head(httparse::Error::HeaderName), &[&answer]).await;
    }
}

#[tokio::test]
async fn what_does_not_begin_with_a_status_line_is_refused() {
    refused(
        Violation::NotHttp,
        &["\r\nHTTP/1.1 200 OK\r\n\r\n", "\nHTTP/1.1 200 OK\r\n\r\n", "SSH-2.0-x\r\n", "<html>"],
    )
    .await;
    let found = Violation::Head(httparse::Error::Version);
    refused(found, &["HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.2 200 OK\r\n\r\n", "HTTP/1.1\r\n\r\n", "HELO you"]).await;
    let found = Violation::Head(httparse::Error::Status);
    refused(found, &["HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n"]).await;
    refused(found, &["HTTP/1.1 -20 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n"]).await;
}

#[tokio::test]
async fn a_status_below_100_is_refused() {
    refused(Violation::Status, &["HTTP/1.1 000 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n"]).await;
    assert_eq!(get("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n").await.unwrap().status.as_u16(), 999);
}

#[tokio::test]
async fn a_switch_of_protocols_that_nobody_asked_for_is_refused() {
    refused(Violation::Switched, &["HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"]).await;
}

#[tokio::test]
async fn interim_answers_are_few_and_have_no_body() {
    refused(Violation::InterimBody, &["HTTP/1.1 103 Hints\r\nContent-Length: 5\r\n\r\nhello"]).await;
    refused(Violation::InterimBody, &["HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]).await;
    let first = "HTTP/1.1 102 Processing\r\n\r\n";
    let last = "HTTP/1.1 204 No Content\r\n\r\n";
    assert_eq!(get(first.repeat(interim::MOST) + last).await.unwrap().status, StatusCode::NO_CONTENT);
    refused(Violation::TooManyInterim, &[&(first.repeat(interim::MOST + 1) + last)]).await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let padded = |length: usize| format!("HTTP/1.1 204 No\r\nX: {}\r\n\r\n", "y".repeat(length));
    let most = head::LONGEST - padded(0).len();
    assert!(get(padded(most)).await.is_ok());
    refused(Violation::HeadTooLong, &[&padded(most + 1), &padded(10 * head::LONGEST)]).await;
    let many = |fields: usize| format!("HTTP/1.1 204 No\r\n{}\r\n", "X: y\r\n".repeat(fields));
    assert_eq!(get(many(100)).await.unwrap().headers.get_all("x").iter().count(), 100);
    refused(Violation::TooManyFields, &[&many(101)]).await;
}

#[tokio::test]
async fn a_chunk_without_a_plain_size_is_broken_off() {
    broken_off(
        Violation::ChunkSize,
        &[
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            "0x5\r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            "5\t;x\r\nhello\r\n0\r\n\r\n",
            "5\nhello\r\n0\r\n\r\n",
            ";x\r\n",
            "10000000000000000\r\n",
            "00000000000000005\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r\n\r\n",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_chunk_of_the_largest_size_is_no_overflow() {
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello";
    let heard = ask(Method::GET, &[answer], End::Close).await.unwrap();
    assert_eq!(heard.body, Err(Violation::Truncated.to_string()));
}

#[tokio::test]
async fn a_chunk_that_is_longer_than_it_said_is_broken_off() {
    broken_off(
        Violation::ChunkEnd,
        &["5\r\nhello!\r\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello\r0\r\n\r\n"],
    )
    .await;
    broken_off(Violation::ChunkEnd, &["5\rhello", "0\r\n\rx", "0\r\nX: y\rz"]).await;
}

#[tokio::test]
async fn chunk_extensions_are_passed_over_within_bounds() {
    let heard =
        get("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b c\" ;d\r\nhello\r\n0;e\r\n\r\n").await;
    assert_eq!(heard.unwrap().body.unwrap(), "hello");
    let many = "1;0123456789\r\nx\r\n".repeat(1000);
    broken_off(Violation::ChunkExtension, &["5;a\nhello\r\n0\r\n\r\n", "5;\0\r\nhello\r\n0\r\n\r\n", &many]).await;
    broken_off(Violation::ChunkEnd, &["5;a\rb\r\nhello\r\n0\r\n\r\n"]).await;
}

#[tokio::test]
async fn trailers_are_passed_on_within_bounds() {
    let many = format!("0\r\n{}\r\n", "X: y\r\n".repeat(65));
    let long = format!("0\r\nX: {}\r\n\r\n", "y".repeat(16 * 1024));
    broken_off(
        Violation::Trailers,
        &[
            "0\r\nno colon\r\n\r\n",
            "0\r\nX : y\r\n\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\n\n",
            "0\r\n X: y\r\n\r\n",
            &many,
            &long,
        ],
    )
    .await;
    broken_off(Violation::Trailers, &["0\r\nX: \0\r\n\r\n", "0\r\nX: a\r\n b\r\n\r\n"]).await;
}
