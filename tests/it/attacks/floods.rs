//! Many strangers: what they leave behind, and whom they keep out.

use futures_util::future::join_all;

use super::*;

/// How many lines the metrics have.
async fn size_of_metrics(world: &World) -> usize {
    world.metrics().await.lines().count()
}

#[tokio::test]
async fn strangers_leave_no_labels_in_the_metrics() {
    let world = half_open().await;
    let ask = async |number: usize| {
        let lines = format!(
            "User-Agent: agent-{number}\r\nX-Forwarded-For: 10.0.0.{number}\r\nCookie: portcullis-{number}=x\r\nConnection: close\r\n"
        );
        for target in [
            format!("/pub/p{number}?q{number}"),
            format!("/secret{number}"),
            format!("/.portcullis/n{number}"),
            format!("/.portcullis/callback?error=e{number}&state=s{number}"),
        ] {
            say(&world, head(&world, &format!("GET {target} HTTP/1.1"), &lines)).await;
            say(&world, head(&world, &format!("M{number} {target} HTTP/1.1"), &lines)).await;
        }
        say(&world, format!("GET / HTTP/1.1\r\nHost: h{number}.example\r\n\r\n")).await;
        say(&world, format!("GET / HTTP/1.{number}\r\n\r\n")).await;
    };
    // The first of each kind make the lines.
    ask(1).await;
    ask(2).await;
    let before = size_of_metrics(&world).await;
    join_all((3..40).map(ask)).await;
    let after = size_of_metrics(&world).await;
    assert_eq!(after, before, "a visitor can make the metrics grow");
    let metrics = world.metrics().await;
    for theirs in ["p7", "secret7", "agent-7", "M7", "h7.example", "e7\""] {
        assert!(!metrics.contains(theirs), "{theirs}: {metrics}");
    }
    let sessions = metrics.lines().find(|line| line.starts_with("portcullis_sessions ")).unwrap();
    assert_eq!(sessions, "portcullis_sessions 0", "strangers have no sessions");
}

// Sign-ins that were begun leave nothing here: they are in the browser.
#[tokio::test]
async fn begun_sign_ins_cost_the_beginner() {
    let world = half_open().await;
    let page = head(&world, "GET /secret HTTP/1.1", "Accept: text/html\r\nConnection: close\r\n");
    let answers = join_all((0..300).map(|_| say(&world, &page))).await;
    assert!(answers.iter().all(|heard| heard.statuses() == [303]));
    assert_eq!(world.org.count("authorize"), 0, "nobody was asked yet");
    assert!(world.org.count("discovery") <= 2, "{}", world.org.count("discovery"));
    still_standing(&world).await;
}

#[tokio::test]
async fn strangers_who_say_nothing_keep_nobody_out() {
    let world = half_open().await;
    let mut held = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(world.gateway.address).await.unwrap();
        let begun =
            ["", "GET", "GET / HTTP/1.1\r\nHost:", "POST /pub/x HTTP/1.1\r\nContent-Length: 10\r\n"][number % 4];
        stream.write_all(begun.as_bytes()).await.unwrap();
        held.push(stream);
    }
    still_standing(&world).await;
}

// A full house says so, to the stranger; the connections inside go on.
#[tokio::test]
async fn a_full_house_turns_away_and_recovers() {
    let world = World::with().routes(TWO_ROUTES).table("[limits]\nconnections = 8\n").start().await;
    let mut inside = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(world.gateway.address).await.unwrap();
        stream.write_all(head(&world, "GET /pub/x HTTP/1.1", "").as_bytes()).await.unwrap();
        assert_eq!(listen(&mut stream).await.statuses(), [200]);
        inside.push(stream);
    }
    let heard = say(&world, head(&world, "GET /pub/x HTTP/1.1", "")).await;
    assert!(heard.closed && matches!(heard.statuses()[..], [] | [503]), "{}", heard.text());
    inside[0].write_all(head(&world, "GET /pub/x HTTP/1.1", "").as_bytes()).await.unwrap();
    assert_eq!(listen(&mut inside[0]).await.statuses(), [200]);
    drop(inside);
    let fine = head(&world, "GET /pub/x HTTP/1.1", "Connection: close\r\n");
    for _ in 0..50 {
        if say(&world, &fine).await.statuses() == [200] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the house stays full");
}

// One visitor's slow app keeps the others' places: the bound is a refusal, not a queue.
#[tokio::test]
async fn a_busy_app_is_said_to_be_busy() {
    let (authority, _heads) = framing::scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    let world = World::with()
        .routes(&TWO_ROUTES.replace("{app}", &authority))
        .table("[upstream]\nconnections = 4\n")
        .start()
        .await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(world.gateway.address).await.unwrap();
        stream.write_all(head(&world, "GET /pub/x HTTP/1.1", "").as_bytes()).await.unwrap();
        assert_eq!(listen(&mut stream).await.statuses(), [200]);
        held.push(stream);
    }
    let heard = say(&world, head(&world, "GET /pub/x HTTP/1.1", "")).await;
    assert_eq!(heard.statuses(), [503], "{}", heard.text());
    assert_eq!(
        say(&world, head(&world, "GET /.portcullis/me HTTP/1.1", "")).await.statuses(),
        [401],
        "our own pages go on"
    );
    drop(held);
    for _ in 0..50 {
        if say(&world, head(&world, "GET /pub/x HTTP/1.1", "Connection: close\r\n")).await.statuses() == [200] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the places are never given back");
}
