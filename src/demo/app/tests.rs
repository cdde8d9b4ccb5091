//! The sample app, over loopback.

use http_body_util::Full;
use hyper::header::CONTENT_TYPE;
use hyper_util::rt::TokioIo;

use super::*;

async fn ask(app: &Running, request: hyper::http::request::Builder, body: &str) -> (StatusCode, HeaderMap, String) {
    let stream = tokio::net::TcpStream::connect(app.address()).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driver = tokio::spawn(connection);
    let request =
        request.header("host", app.address().to_string()).body(Full::new(bytes::Bytes::from(body.to_owned())));
    let (parts, body) = sender.send_request(request.unwrap()).await.unwrap().into_parts();
    let collected = body.collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    driver.abort();
    let mut headers = parts.headers;
    headers.extend(trailers);
    (parts.status, headers, String::from_utf8(collected.to_bytes().to_vec()).unwrap())
}

fn get(target: &str) -> hyper::http::request::Builder {
    hyper::Request::get(target)
}

#[tokio::test]
async fn a_request_is_shown_as_it_arrived() {
    let app = App::start().await.unwrap();
    let request = get("/a%2Fb/?q=1&q=2").header("x-twice", "1").header("x-twice", "2");
    let (_, _, body) = ask(&app, request, "").await;
    let said: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(said["target"], "/a%2Fb/?q=1&q=2");
    let headers: Vec<(String, String)> = serde_json::from_value(said["headers"].clone()).unwrap();
    assert!(headers.contains(&("x-twice".into(), "1".into())) && headers.contains(&("x-twice".into(), "2".into())));
    assert_eq!(app.hits(), 1);
    assert_eq!(app.latest().unwrap().target, "/a%2Fb/?q=1&q=2");
}

#[tokio::test]
async fn the_page_greets_whom_the_headers_name_and_escapes_them() {
    let app = App::start().await.unwrap();
    let named =
        |value: &'static str| get("/").header("accept", "text/html").header("x-forwarded-preferred-username", value);
    let (_, headers, page) = ask(&app, named("Zo%C3%AB").header("x-evil", "<script><s>"), "").await;
    assert!(headers[CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
    assert!(page.contains("You are signed in as <em>Zoë</em>"));
    assert!(!page.contains("<script>") && !page.contains("<s>"));
    let (_, _, page) = ask(&app, named("%3Cscript%3Ealert(1)%3C/script%3E"), "").await;
    assert!(!page.contains("<script>alert"));
    let (_, _, page) = ask(&app, get("/").header("accept", "text/html"), "").await;
    assert!(page.contains("Nobody is signed in"));
}

#[tokio::test]
async fn uploads_are_counted_and_hashed() {
    let app = App::start().await.unwrap();
    let (status, _, body) = ask(&app, hyper::Request::post("/upload"), "abc").await;
    let said: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &said["bytes"]), (StatusCode::OK, &json!(3)));
    assert_eq!(said["sha256"], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(ask(&app, get("/upload"), "").await.0, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn streams_end_by_themselves() {
    let app = App::start().await.unwrap();
    let (_, headers, body) = ask(&app, get("/events?count=2&ms=1"), "").await;
    assert_eq!(headers[CONTENT_TYPE], "text/event-stream");
    assert_eq!(body, "id: 1\ndata: {\"tick\":1}\n\nid: 2\ndata: {\"tick\":2}\n\n");
    for count in [0, 1, 65_536, 65_537, 200_000] {
        assert_eq!(ask(&app, get(&format!("/bytes?count={count}")), "").await.2.len(), count);
    }
    assert_eq!(ask(&app, get("/slow?ms=1"), "").await.2, "waited for 1 ms");
}

#[tokio::test]
async fn trailers_cookies_and_statuses_are_made_to_order() {
    let app = App::start().await.unwrap();
    let (_, headers, _) = ask(&app, get("/trailers").header("te", "trailers"), "").await;
    assert_eq!(headers["x-app-trailer"], "from the app");
    let (_, headers, _) = ask(&app, get("/set-cookie?name=theme&value=dark"), "").await;
    assert_eq!(headers[SET_COOKIE], "theme=dark; Path=/; HttpOnly; SameSite=Lax");
    assert_eq!(ask(&app, get("/set-cookie?name=%0A"), "").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(ask(&app, get("/status/418"), "").await.0, StatusCode::IM_A_TEAPOT);
    assert_eq!(ask(&app, get("/status/101"), "").await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_socket_says_everything_back() {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;
    let app = App::start().await.unwrap();
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/socket", app.address())).await.unwrap();
    for message in [Message::text("hello"), Message::binary(vec![7; 70_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    app.shutdown().await;
    assert!(!matches!(socket.next().await, Some(Ok(Message::Text(_)))));
    let app = App::start().await.unwrap();
    let odd = get("/socket").header("upgrade", "websocket").header("connection", "upgrade");
    assert_eq!(ask(&app, odd, "").await.0, StatusCode::BAD_REQUEST);
}
