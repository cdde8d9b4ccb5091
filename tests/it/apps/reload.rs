//! Files of `[route.tls]` that change.

use super::*;

/// An app with TLS for each connection of which a handshake is needed.
async fn curt(issued: &Issued, clients: Option<&Authority>) -> Stage {
    let (listener, authority) = Ear::tcp().await;
    let ear = Ear::Tls(listener, TlsAcceptor::from(Arc::new(issued.server(&["http/1.1"], clients))));
    Stage::listen(ear, authority, |wire, _| async move {
        let mut line = Line::over(wire);
        line.head().await;
        line.send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok").await;
    })
}

async fn reloads(world: &World, outcome: &str) -> u64 {
    world.metric(&format!("portcullis_certificate_reloads_total{{outcome=\"{outcome}\"}}")).await
}

/// Asks until the answer is this, with the files looked at again each time.
async fn until_asked(world: &World, ticket: &str, expected: (u16, &str)) {
    until(expected.1, || async {
        world.gateway.reread_certificates();
        ask(world, ticket).await == (expected.0, expected.1.to_owned())
    })
    .await;
}

#[tokio::test]
async fn authorities_of_an_app_are_read_again_when_their_file_changes() {
    let (old, new) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::copy(old.file(), &file).unwrap();
    let stage = curt(&new.issue(&["localhost"], |_| ()), None).await;
    let (world, ticket) = world_of(&route(&stage, &format!("ca = {:?}", file.display().to_string()))).await;
    assert_eq!(ask(&world, &ticket).await, (502, "upstream_certificate".to_owned()));
    std::fs::copy(new.file(), &file).unwrap();
    // without being asked to
    until("trust", || async { ask(&world, &ticket).await.0 == 200 }).await;
    assert_eq!((reloads(&world, "replaced").await, reloads(&world, "refused").await), (1, 0));
    std::fs::write(&file, "no authority").unwrap();
    until("a refusal", || async { reloads(&world, "refused").await > 0 }).await;
    assert_eq!(ask(&world, &ticket).await.0, 200, "what was read before stays");
    std::fs::copy(old.file(), &file).unwrap();
    until_asked(&world, &ticket, (502, "upstream_certificate")).await;
}

#[tokio::test]
async fn our_certificate_to_an_app_is_read_again_and_one_that_has_ended_is_not_taken() {
    let (servers, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("our.crt"), folder.path().join("our.key"));
    let put = |issued: &Issued| {
        std::fs::copy(&issued.certificate, &certificate).unwrap();
        std::fs::copy(&issued.private_key, &key).unwrap();
    };
    put(&strangers.issue(&["gateway.internal"], |_| ()));
    let stage = curt(&servers.issue(&["localhost"], |_| ()), Some(&clients)).await;
    let lines = format!(
        "{}\ncertificate = {:?}\nprivate_key = {:?}",
        ca(&servers),
        certificate.display().to_string(),
        key.display().to_string()
    );
    let (world, ticket) = world_of(&route(&stage, &lines)).await;
    assert_eq!(ask(&world, &ticket).await, (502, "upstream_handshake".to_owned()));
    put(&clients.issue(&["gateway.internal"], |_| ()));
    until_asked(&world, &ticket, (200, "ok")).await;
    put(&clients.issue(&["gateway.internal"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1)));
    world.gateway.reread_certificates();
    until("a refusal", || async { reloads(&world, "refused").await > 0 }).await;
    assert_eq!(ask(&world, &ticket).await.0, 200);
}
