//! Which versions of TLS are spoken.

use super::*;

/// A client's first words in version `3.minor`, with nothing in them that would be refused in 1.2.
fn hello(minor: u8) -> Vec<u8> {
    let suites = [0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x14, 0xc0, 0x13, 0x00, 0x2f];
    let groups = [0, 10, 0, 4, 0, 2, 0, 29];
    let signatures = [0, 13, 0, 6, 0, 4, 4, 3, 4, 1];
    let size = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
    let mut body = vec![3, minor];
    body.extend([7; 32]);
    body.extend([0, 0, size(&suites)]);
    body.extend(suites);
    body.extend([1, 0, 0, size(&groups) + size(&signatures)]);
    body.extend(groups);
    body.extend(signatures);
    let mut record = vec![22, 3, 1, 0, size(&body) + 4, 1, 0, 0, size(&body)];
    record.extend(body);
    record
}

#[tokio::test]
async fn versions_before_1_2_are_refused() {
    let world = World::with().tls().start().await;
    for minor in [0, 1, 2] {
        let mut line = Line::to(world.authority()).await;
        line.send(hello(minor)).await;
        // A fatal alert: protocol_version.
        assert_eq!(line.rest().await, [21, 3, 3, 0, 2, 2, 70], "{minor}");
    }
    let mut line = Line::to(world.authority()).await;
    line.send(hello(3)).await;
    assert_eq!(line.take(1).await, [22]);
    until("three events", || async {
        world.metric("portcullis_server_events_total{event=\"handshake_failed\"}").await == 3
    })
    .await;
}

#[tokio::test]
async fn version_1_3_can_be_the_only_one() {
    for (lines, spoken) in [("", true), ("min_version = \"1.3\"", false)] {
        let world = World::with().tls_lines(lines).start().await;
        let old = builder(&[&rustls::version::TLS12], roots(&world)).with_no_client_auth();
        assert_eq!(meet(&world, Arc::new(old), "localhost").await.is_ok(), spoken, "{lines}");
        assert!(meet(&world, world.tls(), "localhost").await.is_ok(), "{lines}");
    }
}
