//! Addresses that are asked how they are.

use super::*;

#[tokio::test]
async fn an_unhealthy_address_gets_no_traffic_until_it_is_well() {
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    let health = "slow_start = \"0s\"\n[route.health]\npath = \"/healthz?x=1\"\ninterval = \"50ms\"\n";
    let world = world(&[&a, &b], health).await;
    let mut browser = world.signed_in().await;
    assert_eq!(spread(&mut browser, &world, 10).await, shares(&[("a", 5), ("b", 5)]));
    b.answer_checks(503);
    until_up(&world, &b, 0).await;
    assert_eq!(spread(&mut browser, &world, 10).await, shares(&[("a", 10)]));
    a.answer_checks(500);
    until_up(&world, &a, 0).await;
    assert_eq!(spread(&mut browser, &world, 10).await, shares(&[("a", 5), ("b", 5)]), "all out: all are tried");
    b.answer_checks(204);
    until_up(&world, &b, 1).await;
    assert_eq!(spread(&mut browser, &world, 10).await, shares(&[("b", 10)]));
    assert_eq!(counted(&world, "ejections_total", &b.address()).await, 0, "health checks eject nobody");
}

#[tokio::test]
async fn health_checks_are_nobodys_and_end_with_the_gateway() {
    let a = Replica::start("a");
    let world = world(&[&a], "[route.health]\npath = \"/healthz\"\ninterval = \"20ms\"\n").await;
    let _browser = world.signed_in().await;
    until("health checks", || async { a.checks().len() >= 5 }).await;
    for check in a.checks() {
        let names: Vec<_> = check.keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["host", "user-agent", "accept", "x-forwarded-proto"]);
        assert_eq!(check["host"], world.authority());
    }
    a.answer_checks(500);
    until_up(&world, &a, 0).await;
    let mut browser = world.signed_in().await;
    assert_eq!(browser.get(world.at("/")).await.body, "a", "the only address is asked however it is");
    let World { gateway, .. } = world;
    soon("the end of the gateway", gateway.shutdown()).await;
    let checks = a.checks().len();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(a.checks().len(), checks);
}

#[tokio::test]
async fn without_the_table_nobody_asks_after_anybodys_health() {
    let (a, b) = (Replica::start("a"), Replica::start("b"));
    let world = world(&[&a, &b], "").await;
    let mut browser = world.signed_in().await;
    spread(&mut browser, &world, 4).await;
    assert!(a.checks().is_empty() && b.checks().is_empty());
}
