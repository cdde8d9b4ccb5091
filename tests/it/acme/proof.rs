//! The proof that a host is ours, and nothing else, to whoever asks for it.

use super::*;

/// Takes the authority's further questions to the gateway: it may look more than once.
fn passed_on(between: TcpListener, port: u16) -> JoinHandle<()> {
    tokio::spawn(async move {
        while let Ok((mut question, _)) = between.accept().await {
            let mut gateway = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            _ = tokio::io::copy_bidirectional(&mut question, &mut gateway).await;
        }
    })
}

#[tokio::test]
async fn who_asks_for_a_proof_is_shown_it_and_nothing_else() {
    // The authority's question goes through our hands: while we hold it, the proof is shown.
    let between = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let Some(mut site) = Site::new(LONG, Some(between.local_addr().unwrap().port())).await else { return };
    site.pebble.start().await;
    let process = site.start().await;
    let (mut question, _) = soon("the authority's question", between.accept()).await.unwrap();

    let mut proof = site.meet(asking(&["acme-tls/1"]), HOST).await.unwrap();
    assert_eq!(proof.get_ref().1.alpn_protocol(), Some(&b"acme-tls/1"[..]));
    // HTTP is not even read.
    _ = proof.write_all(format!("GET / HTTP/1.1\r\nhost: {HOST}:{}\r\n\r\n", site.port).as_bytes()).await;
    let mut answer = Vec::new();
    _ = soon("the end", proof.read_to_end(&mut answer)).await;
    assert!(answer.is_empty(), "{answer:?}");
    for (protocols, name) in [
        (&["acme-tls/1"][..], "other.example.com"),
        // Who would speak HTTP as well is a browser, and there is no certificate for those.
        (&["acme-tls/1", "http/1.1"], HOST),
        (&["http/1.1", "acme-tls/1"], HOST),
        (&["http/1.1"], HOST),
        (&[], HOST),
    ] {
        assert!(site.meet(asking(protocols), name).await.is_err(), "{protocols:?} {name}");
    }
    // Others who ask meanwhile for the same name are shown the same: it is nobody's secret.
    assert!(site.meet(asking(&["acme-tls/1"]), HOST).await.is_ok());

    let mut gateway = TcpStream::connect(("127.0.0.1", site.port)).await.unwrap();
    _ = soon("the proof", tokio::io::copy_bidirectional(&mut question, &mut gateway)).await;
    let forward = passed_on(between, site.port);
    issued(&process, 1).await;
    forward.abort();
    assert!(site.meet(asking(&["acme-tls/1"]), HOST).await.is_err(), "nothing is left to prove");
}

#[tokio::test]
async fn a_proof_by_plain_http_is_told_to_who_asks_for_it_and_nothing_else_is() {
    // As above. No handshake of the authority's would come through.
    let between = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let Some(mut site) = Site::new(LONG, Some(1)).await else { return };
    let redirect = free_port();
    site.tables = format!("[redirect]\nlisten = \"127.0.0.1:{redirect}\"\n");
    site.pebble.plain = between.local_addr().unwrap().port();
    site.pebble.lines = "challenge = \"http-01\"\n".to_owned();
    site.pebble.start().await;
    let process = site.start().await;
    let (mut question, _) = soon("the authority's question", between.accept()).await.unwrap();
    let mut asked = vec![0; 8192];
    let length = soon("its words", question.read(&mut asked)).await.unwrap();
    let asked = String::from_utf8(asked[..length].to_vec()).unwrap();
    let path = asked.split(' ').nth(1).unwrap().to_owned();
    let token = path.strip_prefix("/.well-known/acme-challenge/").expect("a token's path");

    let say = async |bytes: String| {
        let stream = TcpStream::connect(("127.0.0.1", redirect)).await.unwrap();
        exchange(stream, bytes).await
    };
    let get = |host: &str, path: &str| format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let told = say(get(HOST, &path)).await;
    let (head, body) = told.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 ") && body.starts_with(&format!("{token}.")), "{told}");
    for (answer, status) in [
        (say(get(HOST, "/.well-known/acme-challenge/other")).await, 308),
        (say(get(HOST, "/.well-known/acme-challenge/")).await, 308),
        (say(get(HOST, &format!("{path}?x"))).await, 308),
        (say(get(HOST, &format!("/x{path}"))).await, 308),
        (say(get("other.example.com", &path)).await, 421),
        (say(format!("POST {path} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 0\r\n\r\n")).await, 405),
        (say(format!("HEAD {path} HTTP/1.1\r\nhost: {HOST}\r\n\r\n")).await, 308),
    ] {
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")) && !answer.contains(body), "{answer}");
    }
    assert!(site.meet(asking(&["acme-tls/1"]), HOST).await.is_err(), "it was not asked for in a handshake");

    question.write_all(say(asked).await.as_bytes()).await.unwrap();
    drop(question);
    let forward = passed_on(between, redirect);
    issued(&process, 1).await;
    forward.abort();
    assert!(say(get(HOST, &path)).await.starts_with("HTTP/1.1 308 "), "nothing is left to prove");
    assert_eq!(site.ask(&site.pebble.roots().await).await.unwrap(), 200);
    let metrics = operator(&process, "/metrics").await.1;
    assert!(metrics.contains("portcullis_server_events_total{event=\"proof_shown\"} "), "{metrics}");
}
