//! Request lines and field lines that readers split differently.

use super::*;

#[tokio::test]
async fn field_lines_that_readers_split_differently_are_refused() {
    refused(&[
        "Content-Length : 0\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length: 0\r\nX: a\r\n Transfer-Encoding: chunked\r\n",
        "X: a\r\n\tTransfer-Encoding: chunked\r\n",
        " Content-Length: 0\r\n",
        "X: a\rTransfer-Encoding: chunked\r\n",
        "X: a\r\r\nTransfer-Encoding: chunked\r\n",
        "X\0: a\r\n",
        "X: \0\r\n",
        ": a\r\n",
        "X Y: a\r\n",
        "no colon at all\r\n",
        "X(: a\r\n",
        "\u{7f}: a\r\n",
    ])
    .await;
}

// RFC 9112 section 2.2 lets a reader take a bare LF for a line's end, and the next one need not.
#[tokio::test]
async fn a_line_that_ends_with_a_line_feed_alone_is_refused_wherever_it_is() {
    let world = half_open().await;
    let smuggled = smuggled(&world);
    for head in [
        head(&world, "POST /pub/x HTTP/1.1", "Content-Length: 5\r\nX: a\r\n"),
        head(&world, "GET /pub/x HTTP/1.1", "X: a\r\n"),
    ] {
        for (at, _) in head.match_indices("\r\n") {
            let bare = format!("{}{}", &head[..at], &head[at + 1..]);
            // First on its connection, and behind others of both kinds.
            for before in ["", &self::head(&world, "GET /pub/a HTTP/1.1", ""), &upload(&world)] {
                let hits = world.app.hits();
                let heard = say(&world, format!("{before}{bare}hello{smuggled}")).await;
                let expected = if before.is_empty() { vec![400] } else { vec![200, 400] };
                assert!(heard.statuses() == expected && heard.closed, "{bare:?}: {}", heard.text());
                assert_eq!(world.app.hits() - hits, expected.len() - 1, "{bare:?}");
            }
        }
    }
    still_standing(&world).await;
}

#[tokio::test]
async fn request_lines_that_readers_split_differently_are_refused() {
    let world = half_open().await;
    let smuggled = smuggled(&world);
    for line in [
        "GET /pub/x HTTP/1.1 HTTP/1.1",
        "GET  /pub/x HTTP/1.1",
        "GET\t/pub/x\tHTTP/1.1",
        "GET /pub/x  HTTP/1.1",
        "GET /pub/ /closed HTTP/1.1",
        "GET /pub/\r/smuggled HTTP/1.1",
        "GET /pub/\0 HTTP/1.1",
        "GET /pub/x\x0bHTTP/1.1",
        "GET pub/x HTTP/1.1",
        "GET ?/pub HTTP/1.1",
        "CONNECT localhost:80 HTTP/1.1",
        "CONNECT /pub/x HTTP/1.1",
        "G(T /pub/x HTTP/1.1",
        " GET /pub/x HTTP/1.1",
        "GET /pub/x http/1.1",
        "PRI * HTTP/2.0",
    ] {
        let heard = say(&world, head(&world, line, "") + &smuggled).await;
        assert!(heard.statuses() == [400] && heard.closed, "{line:?}: {}", heard.text());
    }
    // A target that is one, but none of a page's, costs its request alone.
    for line in ["GET * HTTP/1.1", "OPTIONS * HTTP/1.1"] {
        let heard = say(&world, head(&world, line, "") + &smuggled).await;
        assert!(heard.statuses() == [400, 401] && !heard.closed, "{line:?}: {}", heard.text());
    }
    assert_eq!(world.app.hits(), 0);
    still_standing(&world).await;
}

#[tokio::test]
async fn http_2_is_not_guessed_on_a_plain_socket() {
    let world = half_open().await;
    let heard = say(&world, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    assert!(heard.statuses() == [400] && heard.closed, "{}", heard.text());
    let offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    let heard = say(&world, head(&world, "GET /pub/x HTTP/1.1", offer)).await;
    assert_eq!(heard.statuses(), [200], "h2c is ignored: {}", heard.text());
    let seen = world.app.last();
    for name in ["upgrade", "http2-settings", "connection"] {
        assert!(seen.all(name).is_empty(), "{name}");
    }
    still_standing(&world).await;
}

#[tokio::test]
async fn a_target_with_another_host_is_refused() {
    let world = half_open().await;
    let again = format!("Host: {}\r\n", host(&world));
    for (line, more) in [
        ("GET http://evil.example/pub/x HTTP/1.1", ""),
        ("GET http://evil@localhost/pub/x HTTP/1.1", ""),
        ("GET http:///pub/x HTTP/1.1", ""),
        ("GET http:pub/x HTTP/1.1", ""),
        ("GET /pub/x HTTP/1.1", "Host: evil.example\r\n"),
        ("GET /pub/x HTTP/1.1", "Host:\r\n"),
        ("GET /pub/x HTTP/1.1", &again),
        ("GET /pub/x HTTP/1.0", &again),
    ] {
        let heard = say(&world, head(&world, line, more) + &smuggled(&world)).await;
        assert!(heard.statuses() == [400] && heard.closed, "{line} {more}: {}", heard.text());
    }
    // That is a path, and one that is closed: so is what follows it.
    let heard = say(&world, head(&world, "GET //evil.example/pub/x HTTP/1.1", "") + &smuggled(&world)).await;
    assert!(heard.statuses() == [401, 401] && !heard.closed, "{}", heard.text());
    for lines in [
        "",
        "Host: \r\n",
        "Host: a b\r\n",
        "Host: localhost/pub\r\n",
        "Host: localhost,evil.example\r\n",
        "Host: evil@localhost\r\n",
    ] {
        for version in ["1.0", "1.1"] {
            let smuggled = smuggled(&world);
            let heard = say(&world, format!("GET /pub/x HTTP/{version}\r\n{lines}\r\n{smuggled}")).await;
            assert!(heard.statuses() == [400] && heard.closed, "{lines:?}: {}", heard.text());
        }
    }
    assert_eq!(world.app.hits(), 0);
    // The form itself is lawful when it says the same.
    let heard = say(&world, head(&world, &format!("GET {} HTTP/1.1", world.at("/pub/x")), "")).await;
    assert_eq!(heard.statuses(), [200], "{}", heard.text());
    assert_eq!(world.app.last().target, "/pub/x");
    still_standing(&world).await;
}
