//! Connections that are used again, and those that are not.

use super::*;

#[tokio::test]
async fn one_connection_serves_many_exchanges() {
    let (ours, mut theirs) = duplex(64);
    let app = tokio::spawn(async move {
        for number in 0..100_u32 {
            read_head(&mut theirs).await;
            let body = number.to_string().repeat(usize::try_from(number).unwrap());
            let answer = match number % 3 {
                0 => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
                1 => format!(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                    body.len()
                ),
                _ => "HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n".to_owned(),
            };
            theirs.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let mut connection = Connection::new(ours);
    for number in 0..100_u32 {
        let answer = connection.exchange(&mut request(Method::GET), soon()).await.unwrap();
        let heard = finish(answer).await;
        let expected =
            if number % 3 == 2 { String::new() } else { number.to_string().repeat(usize::try_from(number).unwrap()) };
        assert_eq!(heard.body.unwrap(), expected);
        connection = heard.kept.unwrap();
    }
    app.await.unwrap();
}

#[tokio::test]
async fn an_app_that_wants_to_close_is_believed() {
    for line in ["close", "Close", "keep-alive, close", "x , CLOSE ,", "keep-alive\r\nConnection: close"] {
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: {line}\r\n\r\nhi");
        let heard = get(answer).await.unwrap();
        assert_eq!(heard.body.unwrap(), "hi");
        assert!(heard.kept.is_none(), "{line}");
    }
}

#[tokio::test]
async fn a_connection_of_http_1_0_is_never_used_again() {
    let heard = get("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi").await.unwrap();
    assert_eq!(heard.body.unwrap(), "hi");
    assert!(heard.kept.is_none());
}

#[tokio::test]
async fn bytes_behind_an_answer_are_nobodys_and_close_the_connection() {
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen";
    for first in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\n\r\n",
    ] {
        for behind in [second, "\r\n", "\n", "0\r\n\r\n", "x"] {
            let heard = get(format!("{first}{behind}")).await.unwrap();
            assert!(heard.kept.is_none(), "{first:?} {behind:?}");
            assert!(!String::from_utf8_lossy(&heard.body.unwrap()).contains("stolen"));
        }
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_takes_no_request() {
    let (ours, theirs) = duplex(4096);
    drop(theirs);
    let mut asked = request(Method::POST);
    let fault = Connection::new(ours).exchange(&mut asked, soon()).await.err().unwrap();
    assert!(matches!(fault, Fault::Unsent(_)), "{fault:?}");
    assert_eq!(asked.whole().headers().len(), 3, "it can be sent again");
}

#[tokio::test]
async fn a_body_dropped_before_its_end_closes_the_connection() {
    let (ours, mut theirs) = duplex(4096);
    let mut asked = request(Method::GET);
    let (answer, _) = tokio::join!(Connection::new(ours).exchange(&mut asked, soon()), async {
        read_head(&mut theirs).await;
        theirs.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello").await.unwrap();
    });
    let Body::Streamed(mut body) = answer.unwrap().body else { panic!("it is not all there") };
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
    assert!(body.release().is_none());
    drop(body);
    assert_eq!(theirs.read(&mut [0; 1]).await.unwrap(), 0);
}
