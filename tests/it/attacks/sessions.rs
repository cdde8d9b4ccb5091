//! Sessions: bound to their host, ended when they end, and nobody's hold on anybody else.

use futures_util::future::join_all;
use hyper::Method;

use super::*;

// T-SESS-2, CVE-2017-6807
#[tokio::test]
async fn a_session_of_one_host_is_worthless_at_another() {
    let routes = format!("{TWO_ROUTES}[[route]]\nhost = \"other.localhost\"\nupstream = \"http://{{app}}\"\n");
    let world = World::with().routes(&routes).start().await;
    let cookie = session_of(&world).await;
    let hits = world.app.hits();
    let port = world.gateway.address.port();
    for host in [format!("other.localhost:{port}"), format!("OTHER.localhost.:{port}")] {
        let heard = say(
            &world,
            format!(
                "GET /x HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nX-Forwarded-Host: localhost:{port}\r\n\r\n"
            ),
        )
        .await;
        assert_eq!(heard.statuses(), [401], "{}", heard.text());
    }
    assert_eq!(world.app.hits(), hits);
}

// T-SESS-4, CVE-2023-37268: two people with one e-mail address are two people.
#[tokio::test]
async fn people_are_known_by_their_ids() {
    let world =
        World::with().provider("organizations = [\"00D5g00000PrtClEAJ\", \"00D7Q00000Frgn1UAB\"]").start().await;
    let mut keys = Vec::new();
    for person in [people::ADMINISTRATOR, people::FOREIGNER] {
        let mut browser = world.browser();
        let reply = browser.sign_in(&world.at("/"), person.username).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let seen = world.app.last();
        assert_eq!(seen.one("x-forwarded-email").unwrap(), people::ADMINISTRATOR.email);
        keys.push(seen.one("x-forwarded-user").unwrap());
    }
    assert_ne!(keys[0], keys[1]);
}

// T-LOGOUT-4
#[tokio::test]
async fn a_copied_session_ends_with_the_original() {
    let world = half_open().await;
    let mut browser = world.signed_in().await;
    let mut copy = browser.clone();
    assert_eq!(copy.get(world.at("/")).await.status, 200);
    let url = url::Url::parse(&world.at("/.portcullis/sign-out")).unwrap();
    assert_eq!(browser.post(&url, &[]).await.status, 303);
    assert_eq!(copy.fetch(Method::GET, world.at("/"), &[], "").await.status, 401);
    still_standing(&world).await;
}

#[tokio::test]
async fn signing_out_ends_what_is_under_way_and_nothing_after_it() {
    let world = half_open().await;
    let cookie = session_of(&world).await;
    let page = head(&world, "GET /x HTTP/1.1", &format!("Cookie: {cookie}\r\nConnection: close\r\n"));
    let own = format!("Cookie: {cookie}\r\nOrigin: {}\r\nConnection: close\r\n", world.url);
    let sign_out = head(&world, "POST /.portcullis/sign-out HTTP/1.1", &own);
    let requests = (0..20).map(|number| say(&world, if number == 10 { &sign_out } else { &page }));
    for heard in join_all(requests).await {
        // An answer that was under way may be broken off.
        assert!(matches!(heard.statuses()[..], [] | [200 | 401]), "{}", heard.text());
    }
    assert_eq!(say(&world, &page).await.statuses(), [401]);
    still_standing(&world).await;
}

/// Reads a socket to its end; panics when that does not come.
async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(6), stream.read_to_end(&mut bytes)).await;
    read.unwrap_or_else(|_| panic!("the stream goes on")).ok();
    bytes
}

/// A stream that has begun, with the session of that id.
async fn stream_of(world: &World, id: &str) -> TcpStream {
    let mut stream = TcpStream::connect(world.gateway.address).await.unwrap();
    let head = head(world, "GET /stream HTTP/1.1", &format!("Cookie: portcullis={id}\r\n"));
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(listen_for(&mut stream, b"event").await, 200);
    stream
}

// The idea behind peers.md 5.7: streams end with the session.
#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let app = Stage::endless().await;
    let world = World::with().routes(&TWO_ROUTES.replace("{app}", &app.authority)).start().await;
    let (mut browser, id) = arrive(&world).await;
    let mut stream = stream_of(&world, &id).await;
    let url = url::Url::parse(&world.at("/.portcullis/sign-out")).unwrap();
    browser.post(&url, &[]).await;
    let rest = read_to_end(&mut stream).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it is broken off, not finished");
}

#[tokio::test]
async fn a_stream_does_not_outlive_its_sessions_latest_end() {
    let app = Stage::endless().await;
    let world = World::with()
        .routes(&TWO_ROUTES.replace("{app}", &app.authority))
        .table("[session]\nlifetime = \"2s\"\n")
        .start()
        .await;
    let (mut browser, id) = arrive(&world).await;
    let mut stream = stream_of(&world, &id).await;
    let rest = read_to_end(&mut stream).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"));
    assert_eq!(browser.fetch(Method::GET, world.at("/"), &[], "").await.status, 401);
}

/// Reads until some words came; returns the status of the answer.
async fn listen_for(stream: &mut TcpStream, words: &[u8]) -> u16 {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while !bytes.windows(words.len()).any(|window| window == words) {
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut chunk)).await.unwrap().unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&chunk[..read]);
    }
    Heard { bytes, closed: false }.statuses()[0]
}

/// An app that answers as soon as it has read a head, and then reads on.
pub async fn hasty() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut seen = Vec::new();
                let mut chunk = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut chunk).await {
                    seen.extend_from_slice(&chunk[..read]);
                    if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                        seen.drain(..end + 4);
                        _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
                    }
                }
            });
        }
    });
    authority
}

// An app that answers before it has read: its connection is not the next visitor's to wait for.
#[tokio::test]
async fn an_upload_without_end_holds_up_nobody_else() {
    let world = World::with().routes(&TWO_ROUTES.replace("{app}", &hasty().await)).start().await;
    let mut held = Vec::new();
    for framing in ["Content-Length: 1000000\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        for _ in 0..3 {
            let mut stream = TcpStream::connect(world.gateway.address).await.unwrap();
            let bytes = format!("POST /pub/upload HTTP/1.1\r\nHost: {}\r\n{framing}", host(&world));
            stream.write_all(bytes.as_bytes()).await.unwrap();
            assert_eq!(listen_for(&mut stream, b"ok").await, 200);
            held.push(stream);
        }
        for _ in 0..8 {
            let mut browser = world.browser();
            let next = tokio::time::timeout(
                Duration::from_secs(3),
                browser.fetch(Method::GET, world.at("/pub/next"), &[], ""),
            );
            let reply = next.await.expect("the next visitor waits for a stranger's upload");
            assert_eq!(reply.status, 200);
        }
    }
}

// CVE-2025-4366: what is left of a body nobody read is not the next request.
#[tokio::test]
async fn an_unread_body_is_not_the_next_request() {
    let world = half_open().await;
    let inner = head(&world, "GET /smuggled HTTP/1.1", "X-Salesforce-User-Id: evil-identity\r\n");
    for path in ["/secret", "/.portcullis/me", "/.portcullis/callback", "/nowhere/../x"] {
        for size in [inner.len(), inner.len() + 300_000] {
            let bytes = format!(
                "{}{inner}",
                head(&world, &format!("POST {path} HTTP/1.1"), &format!("Content-Length: {size}\r\n"))
            );
            let heard = say(&world, bytes).await;
            assert_eq!(heard.statuses().len(), 1, "{path}: {}", heard.text());
        }
    }
    assert_eq!(world.app.hits(), 0);
    still_standing(&world).await;
}

// T-FAIL-3 as a property: whenever the app answers a closed page, an identity went with the request.
#[tokio::test]
async fn an_answer_of_the_app_means_an_identity() {
    let world = half_open().await;
    let cookie = session_of(&world).await;
    let id = cookie.split('=').nth(1).unwrap().to_owned();
    for position in 0..id.len() {
        let mut changed = id.clone().into_bytes();
        changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        let heard = say(
            &world,
            head(&world, "GET /closed HTTP/1.1", &format!("Cookie: portcullis={changed}\r\nConnection: close\r\n")),
        )
        .await;
        assert_eq!(heard.statuses(), [401], "{position}");
    }
    for lines in [
        "Authorization: Bearer garbage\r\n",
        "Authorization: Bearer eyJhbGciOiJub25lIn0.e30.\r\n",
        "Authorization: Basic YTpi\r\n",
        "X-Access-Token: x\r\nAccess-Token: x\r\nX-Id-Token: x\r\n",
    ] {
        // T-JWT-5, CVE-2022-29226
        for target in ["/closed", "/closed?access_token=x&id_token=x&token=x", "/.portcullis/me"] {
            let heard =
                say(&world, head(&world, &format!("GET {target} HTTP/1.1"), &format!("{lines}Connection: close\r\n")))
                    .await;
            assert_eq!(heard.statuses(), [401], "{lines}");
        }
    }
    still_standing(&world).await;
}

// What is left of one request is nobody's: requests of every shape, by two people and by nobody, cut anywhere.
#[tokio::test]
async fn requests_of_several_people_over_one_connection_are_each_their_own() {
    let world = half_open().await;
    let other = {
        let mut browser = world.browser();
        browser.sign_in(&world.at("/"), people::ACCENTED.username).await;
        format!("Cookie: portcullis={}\r\n", browser.cookie(world.host(), world.session_cookie()).unwrap())
    };
    let someone = format!("Cookie: {}\r\n", session_of(&world).await);
    let visitors =
        [(someone, Some(people::STANDARD.user)), (other, Some(people::ACCENTED.user)), (String::new(), None)];
    let shapes = [
        ("GET", "", ""),
        ("GET", "X-SALESFORCE-User-Id: evil-identity\r\n", ""),
        ("GET", "Content-Length: 0\r\n", ""),
        ("GET", "Connection: TE, X-Salesforce-User-Id\r\nTE: trailers\r\n", ""),
        ("HEAD", "", ""),
        ("POST", "Content-Length: 5\r\n", "hello"),
        ("POST", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\nX-Salesforce-User-Id: evil-identity\r\n\r\n"),
    ];
    for round in 0..4_usize {
        let before = world.app.hits();
        let (mut requests, mut expected) = (String::new(), Vec::new());
        for number in 0..63 {
            let (cookie, user) = &visitors[number * (round + 4) / 3 % 3];
            let (method, lines, body) = shapes[(number + number / 7 * round) % 7];
            let line = format!("{method} /pub/{number} HTTP/1.1");
            requests += &(head(&world, &line, &format!("{lines}{cookie}")) + body);
            expected.push((format!("/pub/{number}"), Vec::from_iter(user.map(str::to_owned))));
        }
        requests += &head(&world, "GET /pub/last HTTP/1.1", "Connection: close\r\n");
        expected.push(("/pub/last".to_owned(), Vec::new()));
        let (mut reader, mut writer) = TcpStream::connect(world.gateway.address).await.unwrap().into_split();
        let write = async {
            for piece in requests.as_bytes().chunks([17, 101, 1460, usize::MAX][round]) {
                writer.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        };
        let mut bytes = Vec::new();
        let ((), read) =
            crate::stage::soon("the last answer", async { tokio::join!(write, reader.read_to_end(&mut bytes)) }).await;
        let heard = Heard { bytes, closed: read.is_ok() };
        assert_eq!(heard.statuses(), [200; 64], "{}", heard.text());
        let seen = world.app.everything().split_off(before);
        let told = |seen: &Seen| (seen.target.clone(), seen.all("x-salesforce-user-id"));
        assert_eq!(seen.iter().map(told).collect::<Vec<_>>(), expected, "round {round}");
        assert!(!format!("{seen:?}").contains("evil-identity"), "{seen:?}");
    }
}
