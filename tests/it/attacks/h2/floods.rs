//! More than anybody needs: floods, uploads without end, streams beyond the limit.

use super::*;
use crate::check::{Bench, Process};
use crate::soak::{at_rest, memory};
use crate::stage::{soon, until};
use crate::world::write_pair;

/// A request for a closed page.
fn ask(authority: &str, stream: u32, flags: u8) -> Vec<u8> {
    frame(HEADERS, flags, stream, &block(&ordinary(authority, "/secret")))
}

/// What is given up, and the error that it ends with.
fn costly(authority: &str) -> Vec<(&'static str, Vec<u8>, u32)> {
    let ask = |stream: u32, flags| ask(authority, stream, flags);
    let mut rapid_reset = Vec::new();
    let mut resets_of_open = Vec::new();
    let mut many = Vec::new();
    for number in 0..1500_u32 {
        let stream = number * 2 + 1;
        rapid_reset.extend(ask(stream, END_HEADERS | END_STREAM));
        rapid_reset.extend(frame(RESET, 0, stream, &[0, 0, 0, 8]));
        resets_of_open.extend(ask(stream, END_HEADERS));
        resets_of_open.extend(frame(RESET, 0, stream, &[0, 0, 0, 8]));
        many.extend(ask(stream, END_HEADERS));
    }
    let mut empty_data = ask(1, END_HEADERS);
    empty_data.extend(frame(DATA, 0, 1, &[]).repeat(5000));
    let mut continuations = frame(HEADERS, 0, 1, &block(&ordinary(authority, "/secret")));
    continuations.extend(frame(CONTINUATION, 0, 1, &block(&[("x", b"a")])).repeat(20_000));
    let mut bomb = frame(HEADERS, 0, 1, &block(&ordinary(authority, "/secret")));
    // One large entry in the table, named again and again by one byte each.
    let mut entry = vec![0x40];
    entry.extend_from_slice(&block(&[("x", &[b'a'; 3000])])[1..]);
    entry.extend(vec![0xbe; 12_000]);
    bomb.extend(frame(CONTINUATION, END_HEADERS, 1, &entry));
    // CVE-2025-8671: a client that makes the server reset its streams, which costs as much as to reset them itself.
    let provoked = |wrong: &dyn Fn(u32) -> Vec<u8>| {
        let streams = (0..1500_u32).map(|number| number * 2 + 1);
        streams.flat_map(|stream| [ask(stream, END_HEADERS | END_STREAM), wrong(stream)].concat()).collect::<Vec<u8>>()
    };
    let no_windows = provoked(&|stream| frame(WINDOW_UPDATE, 0, stream, &[0; 4]));
    let overflows = provoked(&|stream| frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]));
    let on_closed = provoked(&|stream| frame(DATA, 0, stream, b"hello"));
    let on_itself = provoked(&|stream| frame(PRIORITY, 0, stream, &[&stream.to_be_bytes()[..], &[0]].concat()));
    let no_window = frame(WINDOW_UPDATE, 0, 0, &[0; 4]);
    let resets_of_nothing = frame(RESET, 0, 99, &[0, 0, 0, 8]);
    let wrong_size = frame(PING, 0, 0, &[0; 9]);
    let huge = [0xff, 0xff, 0xff, HEADERS, 0, 0, 0, 0, 1].to_vec();
    let on_nothing = frame(DATA, 0, 7, b"hello");
    let backwards = [ask(9, END_HEADERS | END_STREAM), ask(3, END_HEADERS | END_STREAM)].concat();
    vec![
        ("rapid reset", rapid_reset, ENHANCE_YOUR_CALM),
        ("resets of open streams", resets_of_open, ENHANCE_YOUR_CALM),
        ("windows of nothing for each stream", no_windows, PROTOCOL_ERROR),
        ("windows without end for each stream", overflows, ENHANCE_YOUR_CALM),
        ("data on ended streams", on_closed, PROTOCOL_ERROR),
        ("streams that wait for themselves", on_itself, ENHANCE_YOUR_CALM),
        ("a window of nothing", no_window, PROTOCOL_ERROR),
        ("a reset of nothing", resets_of_nothing, PROTOCOL_ERROR),
        ("streams", many, ENHANCE_YOUR_CALM),
        ("empty data", empty_data, ENHANCE_YOUR_CALM),
        ("continuations", continuations, ENHANCE_YOUR_CALM),
        ("a table bomb", bomb, ENHANCE_YOUR_CALM),
        ("a ping of nine", wrong_size, PROTOCOL_ERROR),
        ("a huge frame", huge, FRAME_SIZE_ERROR),
        ("data on no stream", on_nothing, PROTOCOL_ERROR),
        ("streams backwards", backwards, PROTOCOL_ERROR),
    ]
}

/// What costs next to nothing but the bytes that it is made of.
fn cheap() -> [(&'static str, Vec<u8>); 6] {
    let pings = frame(PING, 0, 0, &[0; 8]).repeat(5000);
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1]).repeat(5000);
    let priorities = frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 0]).repeat(20_000);
    let windows = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(20_000);
    let tables = [0, 0x7fff_ffff_u32].map(|size| frame(SETTINGS, 0, 0, &[&[0, 1][..], &size.to_be_bytes()].concat()));
    let tables = tables.concat().repeat(3000);
    let unknown = frame(0xbe, 0, 0, b"hello").repeat(20_000);
    [
        ("priorities", priorities),
        ("windows", windows),
        ("tables of other sizes", tables),
        ("unknown frames", unknown),
        ("pings", pings),
        ("settings", settings),
    ]
}

// T-DOS-1: CVE-2023-44487, CVE-2024-27316, CVE-2019-9512, -9515, -9518; CVE-2021-39162
#[tokio::test]
async fn h2_floods_end_with_their_connection() {
    let world = secure().await;
    let authority = host(&world);
    let told = "portcullis_server_events_total{event=\"malformed\"}";
    for (number, (what, frames, error)) in (1..).zip(costly(&authority)) {
        let outcome = flooded(&world, what, &frames).await;
        until(what, || async { world.metric(told).await == number }).await;
        assert_eq!((&outcome.goaways[..], outcome.closed), (&[error][..], true), "{what}: {outcome:?}");
        assert!(outcome.statuses.iter().all(|(_, status)| *status == 401), "{what}: {outcome:?}");
    }
    let all = world.metric(told).await;
    // The request behind each of these is answered.
    for (what, frames) in cheap() {
        let outcome = flooded(&world, what, &[frames, ask(&authority, 101, END_HEADERS | END_STREAM)].concat()).await;
        assert_eq!((&outcome.statuses[..], &outcome.resets[..]), (&[(101, 401)][..], &[][..]), "{what}: {outcome:?}");
        assert!(outcome.goaways.is_empty() && !outcome.closed, "{what}: {outcome:?}");
    }
    assert_eq!(world.metric(told).await, all);
}

/// What became of a flood, of which the gateway and its next visitor notice nothing.
async fn flooded(world: &World, what: &str, frames: &[u8]) -> Outcome {
    let outcome = tokio::time::timeout(Duration::from_secs(8), play(world, frames)).await;
    let outcome = outcome.unwrap_or_else(|_| panic!("{what} goes on"));
    still_standing(world).await;
    outcome
}

#[tokio::test]
async fn h2_floods_leave_nothing_behind() {
    let bench = Bench::new().await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(write_pair(bench.directory.path(), "main", &["localhost"])).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let trust = builder.with_root_certificates(roots).with_no_client_auth();
    let toml = bench.toml("[tls]\ncertificate = \"main.crt\"\nprivate_key = \"main.key\"\n");
    let toml = toml.replace("public_url = \"http:", "public_url = \"https:").replace("\"trace\"", "\"info\"");
    let process = Process::start(&bench, &toml).await;
    let authority = bench.url.split_once("://").unwrap().1;
    let port = authority.rsplit(':').next().unwrap();
    let (before, floods, mut sizes) = (at_rest(&process).await, costly(authority), Vec::new());
    for _ in 0..4 {
        for (what, frames, error) in floods.iter().cycle().take(6 * floods.len()) {
            let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
            let mut stream = greet(stream, &trust).await;
            // It may be over before all is said.
            _ = stream.write_all(frames).await;
            let mut outcome = Outcome::default();
            while !outcome.closed {
                soon("an end", outcome.read(&mut stream)).await;
            }
            assert_eq!(outcome.goaways, [*error], "{what}");
        }
        assert_eq!(at_rest(&process).await, before);
        sizes.push(memory(&process));
    }
    println!("KiB of memory after each {} floods: {sizes:?}", 6 * floods.len());
    // It goes up and down by some 2 MiB; if each flood left 32 KiB, the last two times would add 6 MiB.
    assert!(sizes[3] < sizes[1] + 6 * 1024, "{sizes:?}");
    assert!(!process.errors().contains("panic"), "{}", process.errors());
}

// In HTTP/2 a client may go on uploading after the answer, and hold the app's connection by it.
#[tokio::test]
async fn an_h2_upload_without_end_holds_up_nobody_else() {
    let world = World::with().tls().routes(&TWO_ROUTES.replace("{app}", &sessions::hasty().await)).start().await;
    let authority = host(&world);
    let mut fields = ordinary(&authority, "/pub/upload");
    fields[0].1 = b"POST";
    let mut frames = Vec::new();
    for stream in [1, 3, 5] {
        frames.extend(frame(HEADERS, END_HEADERS, stream, &block(&fields)));
        frames.extend(frame(DATA, 0, stream, b"hello"));
    }
    let mut uploads = connect(&world).await;
    uploads.write_all(&frames).await.unwrap();
    let heard = listen(&mut uploads).await;
    assert!(!heard.closed && heard.bytes.windows(2).any(|two| two == b"ok"));
    for _ in 0..8 {
        let mut browser = world.browser();
        let next = tokio::time::timeout(
            Duration::from_secs(3),
            browser.fetch(hyper::Method::GET, world.at("/pub/next"), &[], ""),
        );
        let reply = next.await.expect("the next visitor waits for a stranger's upload");
        assert_eq!(reply.status, 200);
        _ = uploads.write_all(&frame(DATA, 0, 1, b"more")).await;
    }
}

#[tokio::test]
async fn more_streams_than_the_limit_are_refused() {
    let app = Stage::play(|mut line, _| async move {
        line.head().await;
        // asked, and never answering
        line.rest().await;
    })
    .await;
    let routes = format!("[[route]]\npublic = true\nupstream = \"http://{}\"\n", app.authority);
    let world = World::with().tls().routes(&routes).table("[limits]\nstreams = 2").start().await;
    let authority = host(&world);
    let fields = block(&ordinary(&authority, "/x"));
    let frames: Vec<u8> =
        [1, 3, 5].iter().flat_map(|stream| frame(HEADERS, END_STREAM | END_HEADERS, *stream, &fields)).collect();
    let outcome = exchange(&world, &frames, SILENCE).await;
    assert_eq!((&outcome.resets[..], &outcome.statuses[..]), (&[(5, REFUSED_STREAM)][..], &[][..]));
    assert!(outcome.goaways.is_empty() && !outcome.closed, "{outcome:?}");
}

#[tokio::test]
async fn an_idle_h2_connection_ends_and_a_busy_one_does_not() {
    let world = World::with().tls().routes(TWO_ROUTES).table("[limits]\nh2_idle_timeout = \"400ms\"").start().await;
    let authority = host(&world);
    let fields = block(&ordinary(&authority, "/pub/x"));
    let mut stream = connect(&world).await;
    let began = std::time::Instant::now();
    for number in 0..8u32 {
        stream.write_all(&frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &fields)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(began.elapsed() > Duration::from_millis(700) && world.app.hits() == 8, "{}", world.app.hits());
    let mut rest = Vec::new();
    // a reset is an end, too
    _ = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await.expect("it ends");
    assert_eq!(world.metric("portcullis_server_events_total{event=\"idle_timeout\"}").await, 1);
}
