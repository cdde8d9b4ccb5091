//! What one visitor leaves behind on a connection to an app: apps that sign people in by it (NTLM, Negotiate), and apps
//! that take the body they did not read for the next request. Nobody is taken for the one before.

use std::sync::{Arc, Mutex};

use hyper::Method;

use crate::stage::{Line, Stage, field, length};
use crate::world::World;

/// Knows whom it has signed in on this connection, as IIS does, and says so; by NTLM it asks back once.
async fn remember(mut line: Line, _: usize) {
    let mut person = "nobody".to_owned();
    let mut began = false;
    while let Some(head) = line.head().await {
        line.take(length(&head)).await;
        let given = field(&head, "authorization").unwrap_or_default();
        match given.split_once(' ') {
            Some(("negotiate", name)) => person = name.to_owned(),
            Some(("ntlm", "hello")) => {
                began = true;
                let wanted = "WWW-Authenticate: NTLM challenge\r\ncontent-length: 4\r\n\r\nwho?";
                line.send(format!("HTTP/1.1 401 Unauthorized\r\n{wanted}")).await;
                continue;
            }
            Some(("ntlm", name)) if began => person = name.to_owned(),
            _ => {}
        }
        // Long enough to come in pieces where it should.
        let body = format!("{person}{}", if head.contains("/long") { " ".repeat(200_000) } else { String::new() });
        line.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
    }
}

async fn ask(world: &World, ticket: &str, method: Method, path: &str, authorization: &str) -> (u16, String) {
    let mut headers = vec![("cookie", ticket), ("accept", "application/json")];
    headers.extend((!authorization.is_empty()).then_some(("authorization", authorization)));
    let body = if method == Method::POST { "a body" } else { "" };
    let reply = world.browser().fetch(method, world.at(path), &headers, body).await;
    (reply.status.as_u16(), reply.body.trim().to_owned())
}

fn said(name: &str) -> (u16, String) {
    (200, name.to_owned())
}

/// The gateway before such an app, and two who are signed in.
async fn two_visitors() -> (Stage, World, [String; 2]) {
    let app = Stage::play(remember).await;
    let world = World::with().routes(&app.route()).start().await;
    let visitors = [world.ticket().await, world.ticket().await];
    (app, world, visitors)
}

#[tokio::test]
async fn whom_an_app_knows_by_a_connection_nobody_else_is() {
    let (_app, world, [ada, bob]) = two_visitors().await;
    for method in [Method::GET, Method::POST] {
        for path in ["/", "/long"] {
            for scheme in ["Negotiate", "negotiate"] {
                let known = ask(&world, &ada, method.clone(), path, &format!("{scheme} ada")).await;
                assert_eq!(known, said("ada"), "{method} {path}");
                for next in [Method::GET, Method::POST] {
                    assert_eq!(
                        ask(&world, &bob, next.clone(), "/", "").await,
                        said("nobody"),
                        "{method} {path} {next}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn a_sign_in_of_two_steps_is_not_begun_by_one_and_ended_by_another() {
    let (_app, world, [ada, bob]) = two_visitors().await;
    for method in [Method::GET, Method::POST] {
        assert_eq!(ask(&world, &ada, method.clone(), "/", "NTLM hello").await.0, 401);
        assert_eq!(ask(&world, &bob, method.clone(), "/", "NTLM bob").await, said("nobody"), "over another connection");
        assert_eq!(ask(&world, &ada, method, "/", "").await, said("nobody"));
    }
}

#[tokio::test]
async fn other_sign_ins_keep_their_connections() {
    let (app, world, [ada, _]) = two_visitors().await;
    for authorization in ["Basic YTpi", "Bearer ntlm", "", "Digest a"] {
        assert_eq!(ask(&world, &ada, Method::GET, "/", authorization).await, said("nobody"));
    }
    assert!(app.connections() < 4, "one is kept until it has been given back");
}

/// An app that reads no body and takes what is in it for the next request, unless it was told that there is none; and
/// the heads that it has acted on.
async fn heads_alone() -> (Stage, Arc<Mutex<Vec<String>>>) {
    let acted = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&acted);
    let read = move |mut line: Line, _: usize| {
        let seen = Arc::clone(&seen);
        async move {
            while let Some(head) = line.head().await {
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                // Python's http.server looks at no line but the first, and as a whole.
                let options = head.lines().find_map(|line| line.strip_prefix("connection: ")).map(str::to_owned);
                seen.lock().unwrap().push(head);
                line.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len())).await;
                if options.as_deref() == Some("close") {
                    break;
                }
            }
        }
    };
    (Stage::play(read).await, acted)
}

/// A world of such an app, with a public part, and somebody who is signed in.
async fn careless_world(app: &Stage, more: &str) -> (World, String) {
    let routes = format!(
        "[[route]]\nupstream = \"http://{0}\"\n{more}[[route]]\npath = \"/pub\"\npublic = true\n\
         upstream = \"http://{0}\"\n{more}",
        app.authority
    );
    let world = World::with().routes(&routes).start().await;
    let ticket = world.ticket().await;
    (world, ticket)
}

async fn post(world: &World, path: &str, headers: &[(&str, &str)], body: impl Into<bytes::Bytes>) -> (u16, String) {
    let reply = world.browser().fetch(Method::POST, world.at(path), headers, body.into()).await;
    (reply.status.as_u16(), reply.body)
}

#[tokio::test]
async fn an_app_acts_on_nothing_that_is_hidden_in_a_body() {
    let (app, acted) = heads_alone().await;
    let (world, ada) = careless_world(&app, "").await;
    let smuggled = "DELETE /smuggled HTTP/1.1\r\nhost: a\r\nx-forwarded-user: root\r\n\r\n";
    let signed_in = ("cookie", ada.as_str());
    let trailers = [signed_in, ("te", "trailers"), ("connection", "te")];
    let senders = [("/pub/form", &[][..]), ("/mine", &[signed_in][..]), ("/mine", &trailers[..])];
    for (path, headers) in senders {
        assert_eq!(post(&world, path, headers, smuggled).await, (200, path.to_owned()));
        assert_eq!(ask(&world, &ada, Method::GET, "/next", "").await, said("/next"));
    }
    let paths = |acted: &[String]| -> Vec<String> {
        acted.iter().map(|head| head.split(' ').nth(1).unwrap_or_default().to_owned()).collect()
    };
    let acted = acted.lock().unwrap();
    assert_eq!(paths(&acted), ["/pub/form", "/next", "/mine", "/next", "/mine", "/next"]);
    // The first line, the last and all of it, whichever an app looks at.
    assert_eq!(acted[4].matches("\r\nconnection: ").count(), 1, "{}", acted[4]);
    assert!(!acted[4].contains("\r\nte: "), "{}", acted[4]);
}

#[tokio::test]
async fn nobody_comes_behind_a_strangers_body() {
    for more in ["", "after_body = \"keep\"\n"] {
        let (app, _) = heads_alone().await;
        let (world, ada) = careless_world(&app, more).await;
        for turn in 0..5 {
            let smuggled = format!("GET /smuggled/{turn} HTTP/1.1\r\nx-begun: ");
            assert_eq!(post(&world, "/pub/form", &[], smuggled).await, (200, "/pub/form".to_owned()));
            assert_eq!(post(&world, "/mine", &[("cookie", ada.as_str())], "").await, (200, "/mine".to_owned()));
        }
    }
}

/// Sends its answer as soon as it has a head, and closes with the body unread, which resets the connection.
async fn answer_and_hang_up(mut line: Line, _: usize) {
    if line.head().await.is_some() {
        line.send("HTTP/1.1 200 OK\r\ncontent-length: 7\r\nconnection: close\r\n\r\nno need").await;
    }
}

/// Closes with the body unread and without a word.
async fn hang_up(mut line: Line, _: usize) {
    line.head().await;
}

/// What becomes of uploads, small and large, one after the other.
async fn upload(app: &Stage) -> Vec<(u16, String)> {
    // A connection that were never let go of would soon be missed.
    let (world, ada) = careless_world(app, "connections = 2\n").await;
    let mut answers = Vec::new();
    for _ in 0..10 {
        for size in [10, 100_000, 5_000_000] {
            let heads = [("cookie", ada.as_str()), ("accept", "application/json")];
            answers.push(post(&world, "/mine", &heads, vec![b'x'; size]).await);
        }
    }
    answers
}

#[tokio::test]
async fn an_app_that_closes_with_a_body_unread_is_heard() {
    let app = Stage::play(answer_and_hang_up).await;
    let answers = upload(&app).await;
    assert!(answers.iter().all(|answer| *answer == said("no need")), "{answers:?}");
}

#[tokio::test]
async fn an_app_that_closes_with_a_body_unread_and_says_nothing_has_not_answered() {
    let app = Stage::play(hang_up).await;
    let answers = upload(&app).await;
    let is_told = |(status, page): &(u16, String)| *status == 502 && page.contains("upstream_misbehaved");
    assert!(answers.iter().all(is_told), "{answers:?}");
}

#[tokio::test]
async fn a_connection_is_kept_after_a_body_where_the_route_says_so() {
    for (more, keeps) in [("", false), ("after_body = \"keep\"\n", true)] {
        let app = Stage::play(remember).await;
        let (world, ada) = careless_world(&app, more).await;
        for _ in 0..5 {
            assert_eq!(ask(&world, &ada, Method::POST, "/", "").await, said("nobody"));
        }
        // One is kept until it has been given back.
        let connections = app.connections();
        assert!(if keeps { connections < 4 } else { connections == 5 }, "{more}: {connections}");
        // A stranger's goes alone, whatever is kept.
        assert_eq!(post(&world, "/pub", &[], "a body").await, said("nobody"));
        assert_eq!(app.connections(), connections + 1, "{more}");
    }
}
