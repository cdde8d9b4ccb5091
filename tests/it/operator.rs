//! The operator's listener: alive, ready, and what is counted; and that no visitor reaches it.

use hyper::Method;
use portcullis::emulator::Mischief;
use tokio::net::TcpStream;

use crate::browser::{Browser, Reply};
use crate::listeners::exchange;
use crate::stage::until;
use crate::world::World;

async fn ask(world: &World, path: &str) -> Reply {
    let address = world.gateway.operator_address.expect("an operator's listener");
    Browser::new().fetch(Method::GET, format!("http://{address}{path}"), &[], "").await
}

#[tokio::test]
async fn a_gateway_is_alive_at_once_and_ready_when_the_org_answers() {
    let world = World::with().mischief(Mischief::DiscoveryDown).start().await;
    assert_eq!(ask(&world, "/livez").await.status, 200);
    assert_eq!(ask(&world, "/readyz").await.status, 503);
    let good = World::new().await;
    until("readiness", || async { ask(&good, "/readyz").await.status == 200 }).await;
}

#[tokio::test]
async fn what_happens_is_counted() {
    let world = World::new().await;
    assert_eq!(world.metric("portcullis_sign_ins_total{provider=\"salesforce\",outcome=\"signed_in\"}").await, 0);
    world.browser().fetch(Method::GET, world.at("/"), &[], "").await;
    let mut browser = world.signed_in().await;
    browser.get(world.at("/teapot")).await;
    browser.get(world.at("/.portcullis/nothing")).await;
    let route = world.authority();
    for (name, count) in [
        ("portcullis_sign_ins_total{provider=\"salesforce\",outcome=\"signed_in\"}".to_owned(), 1),
        ("portcullis_refusals_total{code=\"sign_in_required\"}".to_owned(), 1),
        ("portcullis_refusals_total{code=\"unknown_page\"}".to_owned(), 1),
        (format!("portcullis_requests_total{{route=\"{route}/\",decision=\"pass\",status=\"2xx\"}}"), 1),
        (format!("portcullis_requests_total{{route=\"{route}/\",decision=\"pass\",status=\"4xx\"}}"), 1),
        (format!("portcullis_requests_total{{route=\"{route}/\",decision=\"sign_in\",status=\"3xx\"}}"), 1),
        (format!("portcullis_requests_total{{route=\"{route}/\",decision=\"sign_in\",status=\"4xx\"}}"), 1),
    ] {
        assert_eq!(world.metric(&name).await, count, "{name}\n{}", world.metrics().await);
    }
    assert!(world.metric("portcullis_server_events_total{event=\"accepted\"}").await >= 4);
    until("the count of sessions", || async { world.metric("portcullis_sessions").await == 1 }).await;
}

#[tokio::test]
async fn everything_that_is_counted_is_explained() {
    // With several addresses there is more to tell.
    let routes = "[[route]]\nname = \"app\"\nupstream = [\"http://{app}\", \"http://127.0.0.1:9\"]\n";
    let world = World::with().tls().routes(routes).start().await;
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/endpoints.md")).unwrap();
    let mut browser = world.signed_in().await;
    browser.get(world.at("/.portcullis/nothing")).await;
    let metrics = world.metrics().await;
    let families: Vec<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ').map(|(name, _)| name))
        .collect();
    assert!(families.len() >= 14, "{metrics}");
    let missing: Vec<_> = families.into_iter().filter(|name| !page.contains(&format!("`{name}"))).collect();
    assert_eq!(missing, Vec::<&str>::new(), "{metrics}");
}

#[tokio::test]
async fn the_front_door_does_not_lead_to_the_operator() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(world.browser().get(world.at(path)).await.status, 303, "{path} is the app's, and closed");
        let reply = browser.get(world.at(path)).await;
        assert!(reply.body.contains("The app"), "{path}: {}", reply.body);
        let ours = browser.get(world.at(&format!("/.portcullis{path}"))).await;
        assert_eq!(ours.status, 404, "{path}");
    }
    assert!(!ask(&world, "/").await.body.contains("The app"));
    assert_eq!(ask(&world, "/.portcullis/me").await.status, 404);
}

#[tokio::test]
async fn metrics_name_no_person_and_no_secret() {
    let world = World::new().await;
    let browser = world.signed_in().await;
    let metrics = world.metrics().await;
    let id = browser.cookie("localhost", "portcullis").unwrap();
    for secret in [id.as_str(), "grace", "0055g", "00D5g", &world.org.app().client_secret, &world.org.app().client_id] {
        assert!(!metrics.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_page_that_points_its_name_here_reads_nothing() {
    let world = World::with().operator("hosts = [\"gate.internal\"]").start().await;
    let address = world.gateway.operator_address.unwrap();
    let get = |host: String| async move {
        let request = format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        exchange(TcpStream::connect(address).await.unwrap(), request).await
    };
    for host in
        ["evil.example".to_owned(), format!("evil.example:{}", address.port()), "localhost.evil.example".to_owned()]
    {
        let answer = get(host).await;
        assert!(answer.starts_with("HTTP/1.1 421 ") && !answer.contains("portcullis_"), "{answer}");
    }
    for host in [address.to_string(), "localhost".to_owned(), "gate.internal:9180".to_owned(), "[::1]".to_owned()] {
        let answer = get(host).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("portcullis_"), "{answer}");
    }
    let old = exchange(TcpStream::connect(address).await.unwrap(), "GET /livez HTTP/1.0\r\n\r\n").await;
    assert!(old.starts_with("HTTP/1.0 200 "), "{old}");
}

#[tokio::test]
async fn an_operator_who_wants_no_listener_has_none() {
    let world = World::with().operator("listen = \"off\"").start().await;
    assert_eq!(world.gateway.operator_address, None);
    let reply = world.browser().fetch(Method::GET, world.at("/"), &[], "").await;
    assert_eq!(reply.status, 401);
    crate::stage::soon("the end", world.gateway.shutdown()).await;
}

#[test]
fn every_event_of_a_door_is_explained() {
    let table = std::fs::read_to_string("docs/endpoints.md").unwrap();
    let rows: String =
        table.lines().filter(|line| line.starts_with("| `")).filter_map(|line| line.split('|').nth(1)).collect();
    let mut names = 0;
    for file in ["src/server/event.rs", "src/server/tls/client.rs"] {
        let source = std::fs::read_to_string(file).unwrap();
        let (_, named) = source.split_once("pub fn name(").unwrap();
        let (named, _) = named.split_once("\n    }\n").unwrap();
        for name in named.split('"').skip(1).step_by(2) {
            assert!(rows.contains(&format!("`{name}`")), "{name} of {file} is not in docs/endpoints.md");
            names += 1;
        }
    }
    assert!(names > 25, "{names}");
}
