//! What is offered to another address, and what never is.

use std::sync::Mutex;

use super::*;

#[tokio::test]
async fn what_may_have_been_acted_on_is_never_sent_twice() {
    let (a, b) = (mute().await, mute().await);
    let world = World::with().routes(&stages(&[&a, &b], "")).start().await;
    let ticket = world.ticket().await;
    let methods = [(Method::POST, "once"), (Method::PUT, "once"), (Method::POST, ""), (Method::DELETE, "")];
    for (sent, (method, body)) in methods.into_iter().enumerate() {
        let reply = ask(&world, &ticket, method.clone(), "/", body).await;
        assert_eq!(code(&reply), (502, "upstream_misbehaved".to_owned()), "{method}");
        assert_eq!(a.connections() + b.connections(), sent + 1, "{method} {body:?}");
    }
}

#[tokio::test]
async fn what_only_asks_is_answered_by_another_address() {
    let (mute, good) = (mute().await, Replica::start("good"));
    let addresses = format!("\"http://{}\", \"{}\"", mute.authority, good.address());
    let world =
        World::with().routes(&format!("[[route]]\nname = \"app\"\nupstream = [{addresses}]\n{FOR_LONG}")).start().await;
    let ticket = world.ticket().await;
    for method in [Method::GET, Method::OPTIONS] {
        for _ in 0..2 {
            assert_eq!(ask(&world, &ticket, method.clone(), "/", "").await.body, "good", "{method}");
        }
    }
    assert_eq!(mute.connections(), 1, "it was asked once, and is out");
    assert_eq!(counted(&world, "retries_total", &good.address()).await, 1);
    assert_eq!(counted(&world, "retries_total", &format!("http://{}", mute.authority)).await, 0);
}

#[tokio::test]
async fn a_body_that_was_not_begun_goes_whole_to_another_address() {
    let absent = Replica::absent("absent");
    let world = World::with()
        .routes(&format!("[[route]]\nupstream = [\"{}\", \"http://{{app}}\"]\n", absent.address()))
        .start()
        .await;
    let ticket = world.ticket().await;
    for _ in 0..4 {
        assert_eq!(ask(&world, &ticket, Method::POST, "/upload", "all of it").await.body, "9");
    }
    assert_eq!(world.app.hits(), 4);
}

#[tokio::test]
async fn one_request_is_offered_to_three_addresses_at_most() {
    let apps = [mute().await, mute().await, mute().await, mute().await, mute().await];
    let world = World::with().routes(&stages(&apps.each_ref(), "")).start().await;
    let ticket = world.ticket().await;
    let reply = ask(&world, &ticket, Method::GET, "/", "").await;
    assert_eq!(code(&reply), (502, "upstream_misbehaved".to_owned()));
    let counts: Vec<_> = apps.iter().map(Stage::connections).collect();
    assert_eq!((counts.iter().sum::<usize>(), counts.iter().max()), (3, Some(&1)), "{counts:?}");
}

#[tokio::test]
async fn a_tunnel_goes_where_somebody_answers() {
    let absent = Replica::absent("absent");
    let echo = Stage::play(|mut line: Line, _| async move {
        line.head().await;
        line.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n").await;
        let word = line.take(4).await;
        line.send(word).await;
    })
    .await;
    let addresses = format!("\"{}\", \"http://{}\"", absent.address(), echo.authority);
    let world = World::with().routes(&format!("[[route]]\nupstream = [{addresses}]\n")).start().await;
    let ticket = world.ticket().await;
    for _ in 0..2 {
        let mut line = Line::to(world.authority()).await;
        let host = world.authority();
        let head = format!(
            "GET / HTTP/1.1\r\nhost: {host}\r\ncookie: {ticket}\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n"
        );
        line.send(head).await;
        assert!(line.head().await.unwrap().starts_with("http/1.1 101 "));
        line.send("word").await;
        assert_eq!(line.take(4).await, b"word");
    }
}

// A second address believes what it is told as blindly as the first.
#[tokio::test]
async fn another_address_is_told_all_that_the_first_was() {
    let heard = Arc::<Mutex<Vec<String>>>::default();
    let app = || {
        let heard = Arc::clone(&heard);
        Stage::play(move |mut line: Line, _| {
            let heard = Arc::clone(&heard);
            async move {
                while let Some(head) = line.head().await {
                    let count = {
                        let mut heard = heard.lock().unwrap();
                        heard.push(head);
                        heard.len()
                    };
                    if count % 2 == 1 {
                        return;
                    }
                    line.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
            }
        })
    };
    let (a, b, absent) = (app().await, app().await, Replica::absent("absent"));
    let addresses = format!("\"http://{}\", \"http://{}\", \"{}\"", a.authority, b.authority, absent.address());
    let world =
        World::with().routes(&format!("[[route]]\nname = \"app\"\nupstream = [{addresses}]\n{SOON}")).start().await;
    let ticket = world.ticket().await;
    heard.lock().unwrap().clear();
    // As lines that stay where they came, by way of a map, and with a length.
    for more in ["", "Connection: close\r\n", "Content-Length: 0\r\n"] {
        for _ in 0..3 {
            let mut line = Line::to(world.authority()).await;
            let host = world.authority().to_ascii_uppercase();
            let head = format!("GET /x?y HTTP/1.1\r\nHost: {host}\r\nCookie: a=b; {ticket}\r\nX-Mine: z\r\n{more}\r\n");
            line.send(head).await;
            assert!(line.head().await.unwrap().starts_with("http/1.1 200 "), "{more}");
            let heads: [String; 2] = std::mem::take(&mut *heard.lock().unwrap()).try_into().unwrap();
            let [first, second] = heads.each_ref().map(|head| {
                let mut lines: Vec<&str> = head.lines().collect();
                lines.sort_unstable();
                lines
            });
            assert_eq!(first, second, "{more}");
            let user = format!("x-salesforce-user-id: {}", people::STANDARD.user.to_ascii_lowercase());
            let host = format!("host: {}", world.authority());
            for line in ["get /x?y http/1.1", "x-mine: z", "cookie: a=b", "x-forwarded-for: 127.0.0.1", &user, &host] {
                assert!(second.contains(&line), "{more}{line}: {second:?}");
            }
        }
    }
}
