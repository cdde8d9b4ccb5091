//! Apps that name addresses in full: file servers by WebDAV, and whatever sends people on to a page of its own. Seen with
//! Apache's mod_dav and Subversion, which answered every COPY and MOVE with 502, and with uploads by tus, which were sent
//! on to `http://` at the port of TLS.

use std::sync::{Arc, Mutex};

use hyper::Method;

use crate::authority::Authority;
use crate::browser::Reply;
use crate::stage::{Line, Stage, field, length};
use crate::world::World;

/// A file server that knows its host from each request, and that it speaks plain text: what it calls itself.
struct FileServer {
    stage: Stage,
    seen: Arc<Mutex<Vec<String>>>,
}

/// Answers as mod_dav does.
fn answer(head: &str, scheme: &str) -> String {
    let own = format!("{scheme}://{}", field(head, "host").unwrap());
    let line: Vec<&str> = head.split(' ').collect();
    let nothing = "content-length: 0\r\n\r\n";
    match (line[0], line[1]) {
        ("copy" | "move", _) => {
            let destination = field(head, "destination").unwrap_or_default();
            let is_ours = destination.starts_with('/') || destination.starts_with(&format!("{own}/"));
            let status = if is_ours { "201 Created" } else { "502 Bad Gateway" };
            format!("HTTP/1.1 {status}\r\n{nothing}")
        }
        ("post", _) => format!("HTTP/1.1 201 Created\r\nLocation: {own}/files/1?a=b\r\n{nothing}"),
        (_, "/away") => {
            format!("HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/?to={own}/\r\n{nothing}")
        }
        _ => format!("HTTP/1.1 301 Moved Permanently\r\nLocation: {own}/dir/\r\n{nothing}"),
    }
}

async fn serve(mut line: Line, scheme: &str, seen: Arc<Mutex<Vec<String>>>) {
    while let Some(head) = line.head().await {
        line.take(length(&head)).await;
        line.send(answer(&head, scheme)).await;
        seen.lock().unwrap().push(head);
    }
}

impl FileServer {
    async fn start() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&seen);
        let stage = Stage::play(move |line, _| serve(line, "http", Arc::clone(&notes))).await;
        Self { stage, seen }
    }

    /// What it was asked, and nothing else.
    fn hits(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// A closed world of it, a public corner, and another app.
    async fn world(&self, lines: &str, is_secure: bool) -> World {
        let here = format!("upstream = \"http://{}\"\n", self.stage.authority);
        let routes = format!(
            "[[route]]\npath = \"/dir\"\n{here}{lines}[[route]]\npath = \"/dir/drop\"\npublic = true\n{here}{lines}\
             [[route]]\npath = \"/files\"\n{here}{lines}[[route]]\nupstream = \"http://{{app}}\"\n\
             [[route]]\npath = \"/away\"\n{here}"
        );
        let world = World::with().routes(&routes);
        if is_secure { world.tls().start().await } else { world.start().await }
    }
}

async fn ask(world: &World, ticket: &str, line: &str, fields: &[(&str, &str)]) -> Reply {
    let (method, path) = line.split_once(' ').unwrap();
    let mut headers = vec![("accept", "application/json")];
    headers.extend((!ticket.is_empty()).then_some(("cookie", ticket)));
    headers.extend(fields);
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    world.browser().fetch(method, world.at(path), &headers, "").await
}

/// The answer to a COPY or MOVE that names this destination.
async fn lead(world: &World, ticket: &str, line: &str, destination: &str) -> (u16, String) {
    let reply = ask(world, ticket, line, &[("destination", destination)]).await;
    (
        reply.status.as_u16(),
        serde_json::from_str(&reply.body).map(|_: serde_json::Value| reply.refusal()).unwrap_or_default(),
    )
}

fn passed() -> (u16, String) {
    (201, String::new())
}

#[tokio::test]
async fn an_app_that_does_not_know_of_tls_sends_people_on_to_where_they_are() {
    let server = FileServer::start().await;
    let world = server.world("", true).await;
    let ticket = world.ticket().await;
    for (line, location) in [("GET /dir", world.at("/dir/")), ("POST /files", world.at("/files/1?a=b"))] {
        let reply = ask(&world, &ticket, line, &[]).await;
        assert_eq!(reply.header("location"), Some(location.as_str()), "{line}");
    }
    // An upload with a body goes another way.
    let headers = [("cookie", ticket.as_str())];
    let reply = world.browser().fetch(Method::POST, world.at("/files"), &headers, "abc").await;
    assert_eq!(reply.header("location"), Some(world.at("/files/1?a=b").as_str()));
    let reply = ask(&world, &ticket, "GET /away", &[]).await;
    let elsewhere = format!("http://elsewhere.example/?to=http://{}/", world.authority());
    assert_eq!(reply.header("location"), Some(elsewhere.as_str()), "another host's is none of ours");
}

#[tokio::test]
async fn what_an_app_with_tls_calls_http_is_meant_so() {
    let authority = Authority::new();
    let old = |line| serve(line, "http", Arc::default());
    let (_stage, routes) = Stage::encrypted(&authority, &["http/1.1"], |_| async {}, old).await;
    let world = World::with().routes(&routes).tls().start().await;
    let ticket = world.ticket().await;
    let reply = ask(&world, &ticket, "GET /dir", &[]).await;
    assert_eq!(reply.header("location"), Some(format!("http://{}/dir/", world.authority()).as_str()));
}

#[tokio::test]
async fn files_are_copied_and_moved_by_an_app_that_does_not_know_of_tls() {
    let server = FileServer::start().await;
    let world = server.world("destination_scheme = \"app\"\n", true).await;
    let ticket = world.ticket().await;
    for line in ["COPY /dir/a", "MOVE /dir/a"] {
        for destination in [world.at("/dir/b%20c"), "/dir/b".to_owned()] {
            assert_eq!(lead(&world, &ticket, line, &destination).await, passed(), "{line} {destination}");
        }
    }
    let told = server.seen.lock().unwrap()[0].clone();
    assert_eq!(field(&told, "destination"), Some(format!("http://{}/dir/b%20c", world.authority()).as_str()));
    assert_eq!(lead(&world, &ticket, "COPY /dir/a", "https://elsewhere.example/dir/b").await.0, 502, "the app's word");
}

#[tokio::test]
async fn a_destination_is_told_as_it_was_sent_unless_the_route_says_otherwise() {
    let server = FileServer::start().await;
    let world = server.world("", true).await;
    let ticket = world.ticket().await;
    let destination = world.at("/dir/b");
    assert_eq!(lead(&world, &ticket, "COPY /dir/a", &destination).await.0, 502, "the app's word");
    assert_eq!(field(&server.seen.lock().unwrap()[0], "destination"), Some(destination.as_str()));

    let world = server.world("destination_scheme = \"app\"\n", false).await;
    let ticket = world.ticket().await;
    assert_eq!(lead(&world, &ticket, "COPY /dir/a", &world.at("/dir/b")).await, passed(), "one scheme all the way");
}

#[tokio::test]
async fn nobody_writes_to_what_is_closed_by_way_of_what_is_public() {
    let server = FileServer::start().await;
    let world = server.world("", false).await;
    let ticket = world.ticket().await;
    let closed = (401, "sign_in_required".to_owned());
    // Some apps are told of another method in a field of their own.
    for line in ["MOVE /dir/drop/a", "COPY /dir/drop/a", "copy /dir/drop/a", "PUT /dir/drop/a"] {
        for destination in [world.at("/dir/b"), "/dir/b".to_owned(), "http://elsewhere.example/dir/b".to_owned()] {
            assert_eq!(lead(&world, "", line, &destination).await, closed, "{line} {destination}");
        }
        for destination in [
            "/dir/drop#x",
            "/dir/drop/x#/../../b",
            "/dir/drop/x?/../../b",
            "/dir/drop%23x",
            "/dir/drop%3Fx",
            "http://wiki.example%2Fdir%2Fb%3F@wiki.example/dir/drop/b",
            "http://a@wiki.example/dir/drop/b",
            "/dir/drop%2F..%2Fb",
            "/dir/drop/../b",
            "//dir/b",
            "b",
            "",
            "/dir/DROP;/../b",
            "/dir\\b",
        ] {
            let refused = (400, "bad_target".to_owned());
            assert_eq!(lead(&world, "", line, destination).await, refused, "{line} {destination}");
        }
    }
    assert_eq!(server.hits(), 0, "the app heard of nothing");
    assert_eq!(lead(&world, "", "MOVE /dir/drop/a", &world.at("/dir/drop/b")).await, passed());
    assert_eq!(lead(&world, &ticket, "MOVE /dir/drop/a", &world.at("/dir/b")).await, passed());
}

#[tokio::test]
async fn one_of_several_destinations_is_enough_to_be_refused() {
    let server = FileServer::start().await;
    let world = server.world("", false).await;
    let both = [("destination", "/dir/drop/b"), ("destination", "/dir/b")];
    let reply = ask(&world, "", "MOVE /dir/drop/a", &both).await;
    assert_eq!((reply.status.as_u16(), server.hits()), (400, 0));
}

#[tokio::test]
async fn a_tree_with_a_closed_place_in_it_is_nobodys_to_copy() {
    let server = FileServer::start().await;
    let here = format!("upstream = \"http://{}\"\n", server.stage.authority);
    let routes = format!(
        "[[route]]\npublic = true\n{here}[[route]]\npath = \"/p/closed\"\n{here}[[route]]\nname = \"app\"\n\
         path = \"/app\"\nupstream = \"http://{{app}}\"\n"
    );
    let world = World::with().routes(&routes).start().await;
    for (line, destination) in [
        ("COPY /p", "/q"),
        ("MOVE /p/", "/q"),
        ("COPY /P", "/q"),
        ("COPY /q", "/p"),
        ("COPY /q", "/"),
        ("MOVE /", "/q"),
    ] {
        let closed = (401, "sign_in_required".to_owned());
        assert_eq!(lead(&world, "", line, destination).await, closed, "{line} {destination}");
    }
    let behind_a_host = format!("/%2F{}/p/closed/x", world.authority());
    assert_eq!(lead(&world, "", "COPY /q", &behind_a_host).await, (400, "bad_target".to_owned()));
    for (line, depth) in [
        ("DELETE /p", None),
        ("delete /", None),
        ("LOCK /p", Some("0")),
        ("PROPFIND /p", None),
        ("PROPFIND /p", Some("1")),
        ("PROPFIND /p", Some("infinity")),
        ("REPORT /p", Some("0")),
        ("BIND /p", None),
    ] {
        let depth: Vec<_> = depth.map(|depth| ("depth", depth)).into_iter().collect();
        assert_eq!(ask(&world, "", line, &depth).await.status, 401, "{line} {depth:?}");
    }
    for line in ["LABEL /p", "UPDATE /p", "BCOPY /p", "BDELETE /p", "BPROPFIND /p"] {
        assert_eq!(ask(&world, "", line, &[("depth", "0")]).await.status, 401, "{line}");
    }
    for name in ["x-http-method-override", "X_HTTP_Method_Override", "x-http_method", "X.Method.Override"] {
        let reply = ask(&world, "", "POST /p", &[(name, "delete")]).await;
        assert_eq!(reply.status, 401, "some apps are told of another method in a field: {name}");
    }
    // What `Connection` names is the gateway's to take out, and without a depth there is no end to it.
    for options in ["depth", "keep-alive, DEPTH", "close,depth ,x"] {
        let fields = [("depth", "0"), ("connection", options)];
        assert_eq!(ask(&world, "", "PROPFIND /p", &fields).await.status, 401, "{options}");
    }
    assert_eq!(server.hits(), 0, "the app heard of nothing");
    for (line, depth) in [("PROPFIND /p", "0"), ("DELETE /p/open", "0"), ("GET /p", "0")] {
        assert_eq!(ask(&world, "", line, &[("depth", depth)]).await.status, 301, "{line}");
    }
    assert_eq!(lead(&world, "", "COPY /p/open", "/q").await, passed());
    let ticket = world.ticket_by("/app").await;
    assert_eq!(lead(&world, &ticket, "COPY /p", "/q").await, passed());
}

#[tokio::test]
async fn a_file_is_moved_within_its_app_and_to_where_routes_lead() {
    let server = FileServer::start().await;
    let world = server.world("", false).await;
    let ticket = world.ticket().await;
    for destination in ["/other/b", "/.portcullis/me", "b"] {
        let refused = (400, "bad_target".to_owned());
        assert_eq!(lead(&world, &ticket, "MOVE /dir/a", destination).await, refused, "{destination}");
    }
    assert_eq!(server.hits(), 0);
    assert_eq!(lead(&world, &ticket, "MOVE /dir/a", "/files/b").await, passed(), "by another route to the same app");
}

#[tokio::test]
async fn a_field_of_that_name_means_what_it_likes_elsewhere() {
    let server = FileServer::start().await;
    let world = server.world("", false).await;
    let ticket = world.ticket().await;
    assert_eq!(lead(&world, &ticket, "POST /files", "Berlin").await, passed());
    assert_eq!(field(&server.seen.lock().unwrap()[0], "destination"), Some("berlin"));
}
