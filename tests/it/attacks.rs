//! Break this. Everything that has let visitors past gateways of this kind, and what else an attacker would try.
//!
//! Each test is one attack, named after it; ids (T-PATH-1 and so on) and CVEs are in `docs/regressions.md`, whose
//! names of tests are checked here. An attack asserts that the app saw nothing (or one well-formed request without
//! the attacker's words), that the answer is sane, and that the gateway still serves the next visitor.

mod answers;
mod cookies;
mod floods;
mod forgery;
mod framing;
mod h2;
mod headers;
mod identities;
mod mixup;
mod pages;
mod paths;
mod redirects;
mod sessions;
mod startup;
mod targets;
mod tunnels;

use std::time::Duration;

use portcullis::emulator::people;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::app::Seen;
use crate::browser::Browser;
use crate::stage::Stage;
use crate::world::World;

/// Two routes to one app: `/pub` for anybody, the rest for whoever is signed in.
pub const TWO_ROUTES: &str = "[[route]]\nname = \"open\"\npath = \"/pub\"\npublic = true\nupstream = \"http://{app}\"\n\
     [[route]]\nname = \"closed\"\nupstream = \"http://{app}\"\n";

/// A world with a public and a closed route.
pub async fn half_open() -> World {
    World::with().routes(TWO_ROUTES).start().await
}

/// What came back on a raw socket.
#[derive(Debug)]
pub struct Heard {
    pub bytes: Vec<u8>,
    /// Whether the other side closed.
    pub closed: bool,
}

impl Heard {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// The statuses of all answers, in order.
    pub fn statuses(&self) -> Vec<u16> {
        let text = self.text();
        let found = text.match_indices("HTTP/1.").filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok());
        found.collect()
    }
}

/// How long a socket has to be silent after an answer until nothing more is expected.
const SILENCE: Duration = Duration::from_millis(150);

/// Writes bytes to the front door and reads until it closes or falls silent after an answer.
pub async fn say(world: &World, bytes: impl AsRef<[u8]>) -> Heard {
    let mut stream = TcpStream::connect(world.gateway.address).await.unwrap();
    // The gateway may have closed already: what it said is read all the same.
    _ = stream.write_all(bytes.as_ref()).await;
    listen(&mut stream).await
}

/// Reads until the other side closes or falls silent after an answer.
pub async fn listen(stream: &mut (impl AsyncReadExt + Unpin)) -> Heard {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 16 * 1024];
    loop {
        let patience = if bytes.is_empty() { Duration::from_secs(5) } else { SILENCE };
        match tokio::time::timeout(patience, stream.read(&mut chunk)).await {
            Ok(Ok(0) | Err(_)) => return Heard { bytes, closed: true },
            Ok(Ok(read)) => bytes.extend_from_slice(&chunk[..read]),
            Err(_) => return Heard { bytes, closed: false },
        }
    }
}

/// The `Host` of a world, as browsers send it.
pub fn host(world: &World) -> String {
    world.url.split("://").nth(1).unwrap().to_owned()
}

/// A request's head on the wire, from its line and further lines; `Host` is added.
pub fn head(world: &World, line: &str, more: &str) -> String {
    format!("{line}\r\nHost: {}\r\n{more}\r\n", host(world))
}

/// A world's session cookie of a standard user, as a `Cookie` line's value.
pub async fn session_of(world: &World) -> String {
    let browser = world.signed_in().await;
    let name = world.session_cookie();
    format!("{name}={}", browser.cookie(world.host(), name).unwrap())
}

/// A browser whose sign-in came back and which has not been to the app yet, and its session's id.
pub async fn arrive(world: &World) -> (Browser, String) {
    let mut browser = world.browser();
    let callback = browser.sign_in_until_callback(&world.at("/"), people::STANDARD.username).await;
    browser.get(callback.as_str()).await;
    let id = browser.cookie("localhost", "portcullis").unwrap();
    (browser, id)
}

/// What no app may ever see: a closed page's request without our identity, or an identity that is not ours.
pub fn check_seen(seen: &[Seen]) {
    for request in seen {
        let public =
            request.target == "/pub" || request.target.starts_with("/pub/") || request.target.starts_with("/pub?");
        let user = request.all("x-salesforce-user-id");
        assert!(user.len() <= 1, "{request:?}");
        assert!(public || user.len() == 1, "a closed page without an identity: {request:?}");
        assert!(user.iter().all(|user| user == people::STANDARD.user), "{request:?}");
        assert!(!request.target.contains("smuggled"), "{request:?}");
        assert!(!format!("{:?}", request.headers).contains("evil-identity"), "{request:?}");
        assert!(request.all("host").len() == 1 && request.all("x-forwarded-for") == ["127.0.0.1"], "{request:?}");
    }
}

/// The gateway serves the next visitor, and the app saw nothing that it must not.
pub async fn still_standing(world: &World) {
    check_seen(&world.app.everything());
    let fine = || world.app.everything().iter().filter(|seen| seen.target == "/pub/fine").count();
    let before = fine();
    let reply = world.browser().fetch(hyper::Method::GET, world.at("/pub/fine"), &[], "").await;
    if reply.status == 200 {
        assert_eq!(fine(), before + 1);
    } else {
        assert_eq!(reply.status, 401, "a world without a public route: {}", reply.body);
    }
}

/// The names of the tests in a table of Markdown: what stands in backquotes in the last column.
fn tests_named_in(table: &str) -> Vec<&str> {
    let rows = table.lines().filter(|line| line.starts_with('|'));
    let last = rows.filter_map(|row| row.trim_end_matches('|').rsplit('|').next());
    last.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_regression_has_the_test_that_its_row_names() {
    fn read_into(directory: &std::path::Path, sources: &mut String) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read_into(&path, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = String::new();
    read_into(&root.join("src"), &mut sources);
    read_into(&root.join("tests"), &mut sources);
    let table = std::fs::read_to_string(root.join("docs/regressions.md")).unwrap();
    let names = tests_named_in(&table);
    assert!(names.len() > 50, "the table has lost its rows: {}", names.len());
    for name in names {
        assert!(sources.contains(&format!("fn {name}(")), "docs/regressions.md names {name}, which no source has");
    }
}
