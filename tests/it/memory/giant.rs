//! Bodies of more bytes than 32 bits can count. Both ends block, which is the fastest that a test can be.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::stage::PATIENCE;

const GIANT: usize = (1 << 32) + 1;

/// The next head, in lower case; `None` at the end of the connection.
fn head(from: &mut BufReader<TcpStream>) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if from.read_line(&mut head).unwrap() == 0 {
            assert_eq!(head, "", "half a head");
            return None;
        }
    }
    Some(head.to_ascii_lowercase())
}

fn write(to: &mut TcpStream, mut left: usize) {
    let piece = vec![b'x'; PIECE];
    while left > 0 {
        let length = left.min(PIECE);
        to.write_all(&piece[..length]).unwrap();
        left -= length;
    }
}

/// Reads so many bytes.
fn read(from: &mut BufReader<TcpStream>, mut left: usize) {
    let mut space = vec![0; PIECE];
    while left > 0 {
        let length = left.min(PIECE);
        let read = from.read(&mut space[..length]).unwrap();
        assert!(read > 0, "{left} bytes are missing");
        left -= read;
    }
}

/// An app that sends as much as its path says, and takes as much as a head says and not a byte more.
fn app() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = BufReader::new(stream.try_clone().unwrap());
            std::thread::spawn(move || {
                while let Some(head) = head(&mut line) {
                    if let Some(path) = head.strip_prefix("get /") {
                        let size = path.split(' ').next().unwrap().parse().unwrap();
                        write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n").unwrap();
                        write(&mut stream, size);
                    } else {
                        read(&mut line, length(&head));
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
                    }
                }
            });
        }
    });
    authority
}

/// A download and an upload, one after the other on one connection.
fn exchange(port: u16, size: usize) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut line = BufReader::new(stream.try_clone().unwrap());
    write!(stream, "GET /{size} HTTP/1.1\r\nhost: localhost:{port}\r\n\r\n").unwrap();
    let answer = head(&mut line).unwrap();
    assert!(answer.starts_with("http/1.1 200 ") && length(&answer) == size, "{answer}");
    read(&mut line, size);
    write!(stream, "PUT / HTTP/1.1\r\nhost: localhost:{port}\r\ncontent-length: {size}\r\n\r\n").unwrap();
    write(&mut stream, size);
    // It comes right behind the download: not a byte more or less came.
    let answer = head(&mut line).unwrap();
    assert!(answer.starts_with("http/1.1 200 ") && length(&answer) == 2, "{answer}");
    read(&mut line, 2);
}

#[tokio::test]
async fn bodies_beyond_four_gibibytes_are_counted_right_and_take_no_memory() {
    let (directory, port) = (tempfile::tempdir().unwrap(), free_port());
    let process = Process::start(directory.path(), port, &format!("http://{}", app()), None).await;
    let mut before = 0;
    for size in [PIECE, GIANT] {
        tokio::task::spawn_blocking(move || exchange(port, size)).await.unwrap();
        if before == 0 {
            before = process.peak();
        }
    }
    let growth = process.peak().saturating_sub(before);
    assert!(growth < ROOM, "{} MiB", growth >> 20);
}
