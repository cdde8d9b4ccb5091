//! Several addresses for one app: how requests are shared, what is out and comes back, and what is never sent twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::Method;
use portcullis::emulator::people;
use tokio::task::JoinSet;

use crate::browser::{Browser, Reply};
use crate::replica::{Replica, route};
use crate::stage::{Line, Stage, length, soon, until};
use crate::world::World;

mod again;
mod health;

/// Back soon, so that nobody waits for it here.
const SOON: &str = "slow_start = \"0s\"\n[route.ejection]\npause = \"50ms\"\nlongest_pause = \"100ms\"\n";

/// Out after the first failure, and for the rest of the test.
const FOR_LONG: &str = "[route.ejection]\nfailures = 1\npause = \"1h\"\nlongest_pause = \"1h\"\n";

async fn world(replicas: &[&Replica], more: &str) -> World {
    World::with().routes(&route(replicas, more)).start().await
}

/// Who answered so many requests, and how often.
async fn spread(browser: &mut Browser, world: &World, count: usize) -> BTreeMap<String, usize> {
    let mut spread = BTreeMap::new();
    for _ in 0..count {
        let reply = browser.get(world.at("/")).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        *spread.entry(reply.body).or_default() += 1;
    }
    spread
}

fn shares(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

async fn counted(world: &World, name: &str, address: &str) -> u64 {
    world.metric(&format!("portcullis_upstream_{name}{{route=\"app\",address=\"{address}\"}}")).await
}

async fn until_up(world: &World, replica: &Replica, up: u64) {
    let address = replica.address();
    until("the change of an address", || async { counted(world, "up", &address).await == up }).await;
}

/// One request of a signed-in program.
async fn ask(world: &World, ticket: &str, method: Method, path: &str, body: &'static str) -> Reply {
    let headers = [("cookie", ticket), ("accept", "application/json")];
    world.browser().fetch(method, world.at(path), &headers, body).await
}

fn code(reply: &Reply) -> (u16, String) {
    (reply.status.as_u16(), reply.json()["error"].as_str().unwrap_or_default().to_owned())
}

fn head(world: &World, ticket: &str, line: &str) -> String {
    format!("{line} HTTP/1.1\r\nhost: {}\r\ncookie: {ticket}\r\n\r\n", world.authority())
}

/// A request that is not answered before somebody opens the gate.
async fn slow(world: &World, ticket: &str, path: &str) -> Line {
    let mut line = Line::to(world.authority()).await;
    line.send(head(world, ticket, &format!("GET {path}"))).await;
    line
}

/// An app that takes each request and ends the connection without a word.
async fn mute() -> Stage {
    Stage::play(|mut line: Line, _| async move {
        let head = line.head().await.unwrap_or_default();
        line.take(length(&head)).await;
    })
    .await
}

fn stages(stages: &[&Stage], more: &str) -> String {
    let addresses: Vec<_> = stages.iter().map(|stage| format!("\"http://{}\"", stage.authority)).collect();
    format!("[[route]]\nname = \"app\"\nupstream = [{}]\n{more}\n", addresses.join(", "))
}

// Choosing.

#[tokio::test]
async fn requests_are_shared_in_turn_while_nobody_is_busy() {
    let (a, b, c) = (Replica::start("a"), Replica::start("b"), Replica::start("c"));
    for balance in ["least-connections", "round-robin"] {
        let world = world(&[&a, &b, &c], &format!("balance = \"{balance}\"")).await;
        let mut browser = world.signed_in().await;
        assert_eq!(spread(&mut browser, &world, 30).await, shares(&[("a", 10), ("b", 10), ("c", 10)]), "{balance}");
        let picks = counted(&world, "picks_total", &a.address()).await;
        assert!((10..=11).contains(&picks), "{picks} with the one that followed the sign-in");
        assert_eq!(counted(&world, "up", &a.address()).await, 1);
    }
}

#[tokio::test]
async fn the_least_busy_address_is_asked_and_in_turn_is_in_turn() {
    for (balance, idle_share) in [("least-connections", 10), ("round-robin", 5)] {
        let (a, b) = (Replica::start("a"), Replica::start("b"));
        let world = world(&[&a, &b], &format!("balance = \"{balance}\"")).await;
        let ticket = world.ticket().await;
        let _held = slow(&world, &ticket, "/slow").await;
        until("the slow request", || async { a.waiting() + b.waiting() == 1 }).await;
        let idle = if a.waiting() == 0 { &a } else { &b };
        let before = idle.hits();
        for _ in 0..10 {
            assert_eq!(ask(&world, &ticket, Method::GET, "/", "").await.status, 200);
        }
        assert_eq!(idle.hits() - before, idle_share, "{balance}");
    }
}

#[tokio::test]
async fn a_person_keeps_an_address_leaves_it_when_it_is_gone_and_returns_to_it() {
    let mut replicas = ["a", "b", "c"].map(Replica::start);
    let world = world(&replicas.each_ref(), &format!("balance = \"sticky\"\n{SOON}")).await;
    let mut homes = Vec::new();
    for person in [people::STANDARD, people::ADMINISTRATOR, people::ACCENTED] {
        let mut browser = world.browser();
        let home = browser.sign_in(&world.at("/"), person.username).await.body;
        assert_eq!(spread(&mut browser, &world, 10).await, shares(&[(&home, 10)]));
        // Another session of the same person.
        assert_eq!(world.browser().sign_in(&world.at("/"), person.username).await.body, home);
        homes.push((browser, home));
    }
    let gone = homes[0].1.clone();
    let at = replicas.iter().position(|replica| replica.name == gone).unwrap();
    replicas[at].stop();
    for (browser, home) in &mut homes {
        let now = spread(browser, &world, 10).await;
        assert_eq!(now.len(), 1, "everybody has one address: {now:?}");
        assert_eq!(now.contains_key(home), *home != gone, "{home} left for {now:?} when {gone} was gone");
    }
    until_up(&world, &replicas[at], 0).await;
    replicas[at].start_again();
    until_up(&world, &replicas[at], 1).await;
    for (browser, home) in &mut homes {
        assert_eq!(spread(browser, &world, 5).await, shares(&[(home, 5)]));
    }
}

#[tokio::test]
async fn somebody_whom_nobody_knows_sticks_to_nothing() {
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    let world = world(&[&a, &b], "balance = \"sticky\"\npublic = true").await;
    assert_eq!(spread(&mut world.browser(), &world, 10).await, shares(&[("a", 5), ("b", 5)]));
}

#[tokio::test]
async fn a_full_address_sends_people_on_and_all_full_is_a_503() {
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    let world = world(&[&a, &b], "balance = \"sticky\"\nconnections = 1").await;
    let ticket = world.ticket().await;
    let _first = slow(&world, &ticket, "/slow").await;
    until("the first", || async { a.waiting() + b.waiting() == 1 }).await;
    let _second = slow(&world, &ticket, "/slow").await;
    until("the second", || async { a.waiting() == 1 && b.waiting() == 1 }).await;
    assert_eq!(code(&ask(&world, &ticket, Method::GET, "/", "").await), (503, "upstream_busy".to_owned()));
    for replica in [&a, &b] {
        assert_eq!(counted(&world, "failures_total", &replica.address()).await, 0, "to be full is no failure");
    }
}

// Out, and back.

#[tokio::test]
async fn an_address_that_is_down_costs_nobody_an_answer_and_is_left_alone() {
    let (a, b) = (Replica::start("a"), Replica::absent("b"));
    let world = world(&[&a, &b], "[route.ejection]\npause = \"1h\"\nlongest_pause = \"1h\"").await;
    let mut browser = world.signed_in().await;
    assert_eq!(spread(&mut browser, &world, 20).await, shares(&[("a", 20)]));
    until_up(&world, &b, 0).await;
    assert_eq!(counted(&world, "failures_total", &b.address()).await, 3);
    assert_eq!(counted(&world, "ejections_total", &b.address()).await, 1);
    assert_eq!(counted(&world, "picks_total", &b.address()).await, 3, "no more than it took to find out");
}

#[tokio::test]
async fn an_address_comes_back_when_it_answers_and_not_before() {
    let (a, mut b) = (Replica::start("a"), Replica::absent("b"));
    let world = world(&[&a, &b], SOON).await;
    let mut browser = world.signed_in().await;
    spread(&mut browser, &world, 20).await;
    until_up(&world, &b, 0).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(counted(&world, "up", &b.address()).await, 0, "several looks later");
    assert_eq!(spread(&mut browser, &world, 10).await, shares(&[("a", 10)]));
    b.start_again();
    until_up(&world, &b, 1).await;
    assert_eq!(spread(&mut browser, &world, 10).await, shares(&[("a", 5), ("b", 5)]));
}

#[tokio::test]
async fn one_that_came_back_begins_slowly() {
    let (a, mut b) = (Replica::start("a"), Replica::absent("b"));
    let ejection = "[route.ejection]\npause = \"50ms\"\nlongest_pause = \"100ms\"\n";
    let world = world(&[&a, &b], &format!("slow_start = \"1h\"\n{ejection}")).await;
    let mut browser = world.signed_in().await;
    spread(&mut browser, &world, 20).await;
    until_up(&world, &b, 0).await;
    b.start_again();
    until_up(&world, &b, 1).await;
    let spread = spread(&mut browser, &world, 200).await;
    let share = spread.get("b").copied().unwrap_or_default();
    assert!((1..40).contains(&share), "a tenth of its half: {spread:?}");
}

#[tokio::test]
async fn when_all_are_down_it_is_a_502_and_when_all_are_out_each_is_tried() {
    let (a, mut b) = (Replica::absent("a"), Replica::absent("b"));
    let world = world(&[&a, &b], FOR_LONG).await;
    let ticket = world.ticket().await;
    assert_eq!(code(&ask(&world, &ticket, Method::GET, "/", "").await), (502, "upstream_unreachable".to_owned()));
    until_up(&world, &a, 0).await;
    until_up(&world, &b, 0).await;
    b.start_again();
    for _ in 0..5 {
        assert_eq!(ask(&world, &ticket, Method::GET, "/", "").await.body, "b", "although it is out");
    }
}

#[tokio::test]
async fn what_the_app_answers_itself_takes_nobody_out() {
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    let world = world(&[&a, &b], FOR_LONG).await;
    let mut browser = world.signed_in().await;
    for _ in 0..10 {
        assert_eq!(browser.get(world.at("/teapot")).await.status, 503);
    }
    assert_eq!(spread(&mut browser, &world, 10).await, shares(&[("a", 5), ("b", 5)]));
}

/// An app that ends the connection of what is sent to `/large` at its head, and of anything else when it is whole.
async fn picky() -> Stage {
    Stage::play(|mut line: Line, _| async move {
        let head = line.head().await.unwrap_or_default();
        if !head.starts_with("post /large ") {
            line.take(length(&head)).await;
        }
    })
    .await
}

#[tokio::test]
async fn an_upload_that_is_broken_off_takes_nobody_out() {
    let (a, b) = (picky().await, picky().await);
    let world = World::with().routes(&stages(&[&a, &b], FOR_LONG)).start().await;
    let ticket = world.ticket().await;
    let up = async || {
        let (a, b) = (format!("http://{}", a.authority), format!("http://{}", b.authority));
        (counted(&world, "up", &a).await, counted(&world, "up", &b).await)
    };
    for _ in 0..2 {
        let mut line = Line::to(world.authority()).await;
        let head = head(&world, &ticket, "POST /large");
        line.send(head.replace("\r\n\r\n", "\r\ncontent-length: 9\r\n\r\nhalf")).await;
        assert!(line.head().await.unwrap().starts_with("http/1.1 502 "));
    }
    assert_eq!((a.connections(), b.connections(), up().await), (1, 1, (1, 1)));
    assert_eq!(ask(&world, &ticket, Method::POST, "/", "whole").await.status, 502);
    assert_eq!(ask(&world, &ticket, Method::POST, "/", "whole").await.status, 502);
    assert_eq!(up().await, (0, 0), "what was sent whole tells of the address");
}

#[tokio::test]
async fn an_address_that_keeps_people_waiting_goes_out() {
    let silent = Stage::play(|mut line: Line, _| async move { while line.head().await.is_some() {} }).await;
    let good = Replica::start("good");
    let addresses = format!("\"http://{}\", \"{}\"", silent.authority, good.address());
    let routes =
        format!("[[route]]\nname = \"app\"\nupstream = [{addresses}]\nfirst_byte_timeout = \"100ms\"\n{FOR_LONG}");
    let world = World::with().routes(&routes).start().await;
    let ticket = world.ticket().await;
    let mut replies = Vec::new();
    for _ in 0..6 {
        replies.push(ask(&world, &ticket, Method::GET, "/", "").await);
    }
    let late: Vec<_> = replies.iter().filter(|reply| reply.status != 200).map(code).collect();
    assert_eq!(late, [(504, "upstream_first_byte_timeout".to_owned())], "one person waited, and nobody after them");
}

#[tokio::test]
async fn no_request_is_lost_while_an_address_stops_and_starts_under_load() {
    let (a, mut b) = (Replica::start("a"), Replica::start("b"));
    let world = Arc::new(world(&[&a, &b], SOON).await);
    let ticket = world.ticket().await;
    let (over, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut visitors = JoinSet::new();
    for _ in 0..16 {
        let (world, over, answered) = (Arc::clone(&world), Arc::clone(&over), Arc::clone(&answered));
        let request = head(&world, &ticket, "GET /");
        visitors.spawn(async move {
            let mut line = Line::to(world.authority()).await;
            while !over.load(Ordering::SeqCst) {
                line.send(&request).await;
                let head = line.head().await.expect("an answer");
                let body = String::from_utf8(line.take(length(&head)).await).unwrap();
                assert!(head.starts_with("http/1.1 200 "), "{head}{body}");
                answered.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    let more = |count| {
        let answered = Arc::clone(&answered);
        let goal = answered.load(Ordering::SeqCst) + count;
        async move { until("more answers", || async { answered.load(Ordering::SeqCst) >= goal }).await }
    };
    for _ in 0..4 {
        more(300).await;
        b.stop();
        more(300).await;
        let before = b.hits();
        b.start_again();
        until("traffic", || async { b.hits() > before + 20 }).await;
    }
    over.store(true, Ordering::SeqCst);
    while let Some(done) = soon("the end of the load", visitors.join_next()).await {
        done.unwrap();
    }
}

// Deadlines of a route's own.

#[tokio::test]
async fn a_route_has_deadlines_of_its_own() {
    let patient = Stage::play(|mut line: Line, _| async move {
        line.head().await;
        tokio::time::sleep(Duration::from_millis(400)).await;
        line.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    })
    .await;
    let routes = format!(
        "{0}[[route]]\nupstream = \"http://{1}\"\npath = \"/report\"\nfirst_byte_timeout = \"30s\"\n",
        patient.route(),
        patient.authority
    );
    let world = World::with().routes(&routes).table("[upstream]\nfirst_byte_timeout = \"100ms\"").start().await;
    let ticket = world.ticket().await;
    assert_eq!(
        code(&ask(&world, &ticket, Method::GET, "/", "").await),
        (504, "upstream_first_byte_timeout".to_owned())
    );
    assert_eq!(ask(&world, &ticket, Method::GET, "/report", "").await.body, "ok");
}
