//! Answers of an app that is nobody's friend.

use super::*;

// CVE-2026-2833's neighbours: what an app answers beside its answer is nobody's.
#[tokio::test]
async fn an_app_that_answers_twice_does_not_answer_the_next_visitor() {
    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let (authority, _heads) = scripted(answer).await;
    let world = World::with().routes(&TWO_ROUTES.replace("{app}", &authority)).start().await;
    for _ in 0..4 {
        let reply = world.browser().fetch(hyper::Method::GET, world.at("/pub/x"), &[], "").await;
        assert!(reply.body == "ok" || reply.status == 502, "{} {}", reply.status, reply.body);
    }
}

#[tokio::test]
async fn an_apps_ambiguous_answer_is_a_502_of_one_framing() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 30\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\nokevilevi",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\r\n Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nevil",
        b"HTTP/1.1 1000 OK\r\n\r\n",
        b"evil\r\n\r\n",
        b"",
    ] {
        let (authority, _heads) = scripted(answer).await;
        let world = World::with().routes(&TWO_ROUTES.replace("{app}", &authority)).start().await;
        let heard = say(&world, head(&world, "GET /pub/x HTTP/1.1", "")).await;
        let text = heard.text();
        assert_eq!(heard.statuses(), [502], "{answer:?}: {text}");
        let lower = text.to_ascii_lowercase();
        let framings = lower.matches("content-length:").count() + lower.matches("transfer-encoding:").count();
        assert_eq!(framings, 1, "{text}");
        assert!(!text.contains("evil"), "{text}");
    }
}

#[tokio::test]
async fn what_the_app_receives_is_framed_in_one_way() {
    let (authority, heads) = scripted(b"HTTP/1.1 204 No Content\r\n\r\n").await;
    let world = World::with().routes(&TWO_ROUTES.replace("{app}", &authority)).start().await;
    let lines = "Content-Length: 5\r\nConnection: close, Content-Length, Host, X-Forwarded-For, Via\r\nX: a\r\nKeep-Alive: 5\r\nTE: gzip\r\n";
    say(&world, format!("{}hello", head(&world, "POST /pub/x HTTP/1.1", lines))).await;
    let sent = String::from_utf8(heads.lock().unwrap().clone()).unwrap().to_ascii_lowercase();
    assert_eq!(sent.matches(" http/1.1\r\n").count(), 1, "{sent}");
    assert_eq!(sent.matches("content-length: 5\r\n").count(), 1, "{sent}");
    assert_eq!(sent.matches("\r\nhost: ").count(), 1, "{sent}");
    for gone in ["transfer-encoding", "keep-alive", "\r\nte:"] {
        assert!(!sent.contains(gone), "{gone}: {sent}");
    }
    assert_eq!(sent.matches("\r\nconnection: ").count(), 1, "{sent}");
    assert!(sent.contains("\r\nconnection: close\r\n"), "ours, since it has a body: {sent}");
    assert!(sent.ends_with("\r\n\r\nhello"), "{sent}");
}
