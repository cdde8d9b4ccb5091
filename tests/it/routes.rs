//! Which app a request falls to, and where our own addresses are.

use hyper::Method;
use portcullis::emulator::people;

use crate::app::App;
use crate::stage::{Line, Stage};
use crate::world::World;

#[tokio::test]
async fn the_longest_path_of_whole_segments_wins() {
    let (wiki, api) = (App::start(), App::start());
    let routes = format!(
        "[[route]]\nupstream = \"http://{{app}}\"\n\
         [[route]]\npath = \"/wiki\"\nupstream = \"http://{}\"\n\
         [[route]]\npath = \"/wiki/api\"\nupstream = \"http://{}\"\n",
        wiki.authority, api.authority
    );
    let world = World::with().routes(&routes).start().await;
    let mut browser = world.signed_in().await;
    for (path, app) in [
        ("/wiki", &wiki),
        ("/wiki/", &wiki),
        ("/wiki/apis", &wiki),
        ("/wiki/api", &api),
        ("/wiki/api/v1?x=/wiki", &api),
        ("/wikis", &world.app),
        ("/Wiki", &world.app),
        ("/other/wiki/api", &world.app),
    ] {
        let before = app.hits();
        assert_eq!(browser.get(world.at(path)).await.status, 200, "{path}");
        assert_eq!((app.hits(), app.last().target.as_str()), (before + 1, path), "the whole path is kept");
    }
}

#[tokio::test]
async fn every_method_arrives_as_it_was_sent() {
    let world = World::new().await;
    let mut browser = world.signed_in().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(browser.fetch(method.clone(), world.at("/upload"), &[], "body").await.status, 200);
        let seen = world.app.last();
        assert_eq!((seen.method, &seen.body[..]), (method, &b"body"[..]));
    }
    let before = world.app.hits();
    // Behind a CONNECT nothing is HTTP; a TRACE is a request like any other.
    for (method, status, code, statuses) in
        [(Method::CONNECT, "400", "\"bad_target\"", 1), (Method::TRACE, "405", "\"method_not_allowed\"", 2)]
    {
        let mut line = Line::to(world.authority()).await;
        let rest = format!(" / HTTP/1.1\r\nhost: {}\r\n", world.authority());
        line.send(format!("{method}{rest}\r\nGET{rest}connection: close\r\n\r\n")).await;
        let answers = String::from_utf8(line.rest().await).unwrap();
        assert!(answers.starts_with(&format!("HTTP/1.1 {status} ")) && answers.contains(code), "{method}: {answers}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), statuses, "{method}: {answers}");
    }
    assert_eq!(world.app.hits(), before);
}

#[tokio::test]
async fn a_stranger_does_not_even_make_us_connect_to_the_app() {
    let stage = Stage::play(|mut line: Line, _| async move {
        line.rest().await;
    })
    .await;
    let world = World::with().routes(&stage.route()).start().await;
    for method in [Method::GET, Method::POST, Method::HEAD, Method::OPTIONS] {
        let reply = world.browser().fetch(method, world.at("/"), &[], "body").await;
        assert_eq!(reply.status, 401);
    }
    assert_eq!(world.browser().get(world.at("/")).await.status, 303);
    assert_eq!(stage.connections(), 0);
}

#[tokio::test]
async fn our_own_addresses_are_where_the_configuration_says() {
    let world = World::with().top("prefix = \"/_gate/keeper\"").start().await;
    world.org.register(world.at("/_gate/keeper/callback"));
    let mut browser = world.browser();
    let reply = browser.sign_in(&world.at("/page"), people::STANDARD.username).await;
    assert_eq!((reply.status.as_u16(), reply.url.as_str()), (200, world.at("/page").as_str()));
    assert_eq!(browser.get(world.at("/_gate/keeper/me")).await.status, 200);
    let before = world.app.hits();
    assert!(browser.get(world.at("/.portcullis/me")).await.body.contains("The app"), "then it is the app's");
    assert_eq!(world.app.hits(), before + 1);
}

#[tokio::test]
async fn identity_belongs_to_the_request_and_not_to_the_connection() {
    let routes = "[[route]]\npublic = true\nupstream = \"http://{app}\"\n[[route]]\npath = \"/closed\"\nupstream = \"http://{app}\"";
    let world = World::with().routes(routes).start().await;
    let mut tickets = Vec::new();
    for person in [people::STANDARD, people::ADMINISTRATOR] {
        let mut browser = world.browser();
        let callback = browser.sign_in_until_callback(&world.at("/closed"), person.username).await;
        browser.get(callback).await;
        tickets.push((format!("portcullis={}", browser.cookie("localhost", "portcullis").unwrap()), Some(person.user)));
    }
    tickets.push(("portcullis=".to_owned(), None));
    let mut line = Line::to(world.authority()).await;
    for turn in [0, 1, 2, 0, 2, 1] {
        let (ticket, user) = &tickets[turn];
        line.send(format!("GET / HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n\r\n", world.authority())).await;
        let head = line.head().await.unwrap();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        line.take(crate::stage::length(&head)).await;
        assert_eq!(world.app.last().one("x-salesforce-user-id").as_deref(), *user);
    }
}
