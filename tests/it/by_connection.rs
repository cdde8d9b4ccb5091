//! What one visitor leaves behind on a connection to an app: apps that sign people in by it (NTLM, Negotiate), and apps
//! that take the body they did not read for the next request. Nobody is taken for the one before.

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

/// Reads no body, and takes what is in it for the next request.
async fn read_heads_alone(mut line: Line, _: usize) {
    while let Some(head) = line.head().await {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        line.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}", path.len())).await;
    }
}

#[tokio::test]
async fn nobody_comes_behind_a_strangers_body() {
    let app = Stage::play(read_heads_alone).await;
    let routes = format!(
        "[[route]]\nupstream = \"http://{0}\"\n[[route]]\npath = \"/pub\"\npublic = true\nupstream = \"http://{0}\"\n",
        app.authority
    );
    let world = World::with().routes(&routes).start().await;
    let ada = world.ticket().await;
    for turn in 0..5 {
        let smuggled = format!("GET /smuggled/{turn} HTTP/1.1\r\nx-begun: ");
        let reply = world.browser().fetch(Method::POST, world.at("/pub/form"), &[], smuggled).await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, "/pub/form"));
        let heads = [("cookie", ada.as_str())];
        let reply = world.browser().fetch(Method::POST, world.at("/mine"), &heads, "").await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, "/mine"));
    }
}
