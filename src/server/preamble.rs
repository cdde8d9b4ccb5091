//! The PROXY protocol, versions 1 and 2: the client's address, as a balancer in front tells it before the first byte.
//!
//! Whoever may say so has to: a connection from one of the named neighbours without such a header is closed, and
//! nobody else's header is looked at, so that it is no HTTP and no TLS either. The bytes are taken apart by `ppp`;
//! what may follow from them is decided here (HAProxy's `proxy-protocol.txt`, sections 2.1 and 2.2). Called by
//! `server::connection`.

use std::io;

use ppp::v1::{self, Addresses as Text};
use ppp::v2::{self, Addresses as Binary, Command, Protocol};
use tokio::io::AsyncReadExt as _;

use super::socket::Socket;
use crate::http::Remote;

/// A header of version 1, with its line end (section 2.1).
const LONGEST_LINE: usize = 107;
/// What a header of version 2 may hold beside its beginning: addresses, and what balancers tell of TLS.
const LONGEST_REST: usize = 4096;
/// The part of version 2 that tells how much follows.
const BEGINNING: usize = 16;
/// How much is read at once.
const PIECE: usize = 1024;

/// Why a connection from a neighbour is closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("it does not begin with a PROXY protocol header")]
    Missing,
    #[error("its PROXY protocol header is too long")]
    TooLong,
    #[error("its PROXY protocol header cannot be read: {0}")]
    Malformed(String),
    #[error("it ended within the PROXY protocol header")]
    Ended,
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// What a header says of the client.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// Where it came from.
    From(Remote),
    /// Nothing: the balancer speaks for itself, or cannot tell.
    Nothing,
}

/// Takes the header off `socket`: where the client came from, `remote` being the neighbour.
pub(super) async fn receive(socket: &mut Socket, remote: Remote) -> Result<Remote, Fault> {
    let mut bytes = Vec::with_capacity(PIECE);
    loop {
        if let Some((said, length)) = read(&bytes)? {
            bytes.drain(..length);
            socket.give_back(bytes);
            return Ok(match said {
                Said::From(client) => client,
                Said::Nothing => remote,
            });
        }
        bytes.reserve(PIECE);
        if socket.read_buf(&mut bytes).await? == 0 {
            return Err(Fault::Ended);
        }
    }
}

/// The header at the beginning of `bytes` and its length; `None` while it is incomplete.
fn read(bytes: &[u8]) -> Result<Option<(Said, usize)>, Fault> {
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(left, right)| left == right);
    if begins(v2::PROTOCOL_PREFIX) {
        read_binary(bytes)
    } else if begins(b"PROXY ") {
        read_text(bytes)
    } else {
        Err(Fault::Missing)
    }
}

fn read_binary(bytes: &[u8]) -> Result<Option<(Said, usize)>, Fault> {
    let Some(beginning) = bytes.first_chunk::<BEGINNING>() else { return Ok(None) };
    let rest = usize::from(u16::from_be_bytes([beginning[14], beginning[15]]));
    if rest > LONGEST_REST {
        return Err(Fault::TooLong);
    }
    // What is wrong with the beginning need not be waited for.
    let length = BEGINNING + rest;
    let header = match v2::Header::try_from(bytes.get(..length).unwrap_or(bytes)) {
        Ok(header) => header,
        Err(v2::ParseError::Incomplete(_) | v2::ParseError::Partial(..)) => return Ok(None),
        Err(error) => return Err(Fault::Malformed(error.to_string())),
    };
    let said = match (header.command, header.protocol, &header.addresses) {
        (Command::Local, _, _) => Said::Nothing,
        (Command::Proxy, Protocol::Datagram, _) => return Err(Fault::Malformed("datagrams in a stream".to_owned())),
        (Command::Proxy, _, Binary::IPv4(ip)) => Said::From(client(ip.source_address, ip.source_port)),
        (Command::Proxy, _, Binary::IPv6(ip)) => Said::From(client(ip.source_address, ip.source_port)),
        // "the receiver should ignore" what it says of families without addresses of ours.
        (Command::Proxy, _, Binary::Unspecified | Binary::Unix(_)) => Said::Nothing,
    };
    Ok(Some((said, length)))
}

fn read_text(bytes: &[u8]) -> Result<Option<(Said, usize)>, Fault> {
    let line = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if line.len() < LONGEST_LINE { Ok(None) } else { Err(Fault::TooLong) };
    };
    let line = &bytes[..end + 2];
    // A number with a sign is a number to the standard library, not to the protocol.
    if line.contains(&b'+') {
        return Err(Fault::Malformed("a number has a sign".to_owned()));
    }
    let header = v1::Header::try_from(line).map_err(|error| Fault::Malformed(error.to_string()))?;
    let said = match header.addresses {
        Text::Tcp4(ip) => Said::From(client(ip.source_address, ip.source_port)),
        Text::Tcp6(ip) => Said::From(client(ip.source_address, ip.source_port)),
        Text::Unknown => Said::Nothing,
    };
    Ok(Some((said, line.len())))
}

fn client(ip: impl Into<std::net::IpAddr>, port: u16) -> Remote {
    std::net::SocketAddr::new(ip.into(), port).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of version 2.
    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[command, family][..], &length[..], rest].concat()
    }

    fn four() -> Vec<u8> {
        vec![203, 0, 113, 9, 10, 0, 0, 1, 0x1f, 0x90, 1, 0xbb]
    }

    fn said(bytes: &[u8]) -> Said {
        let (said, length) = read(bytes).unwrap().expect("a whole header");
        assert_eq!(length, bytes.len());
        said
    }

    fn from(text: &str) -> Said {
        Said::From(text.parse::<std::net::SocketAddr>().unwrap().into())
    }

    #[test]
    fn both_versions_name_the_client() {
        assert_eq!(said(b"PROXY TCP4 203.0.113.9 10.0.0.1 8080 443\r\n"), from("203.0.113.9:8080"));
        assert_eq!(said(b"PROXY TCP6 2001:db8::9 2001:db8::1 8080 443\r\n"), from("[2001:db8::9]:8080"));
        assert_eq!(said(b"PROXY TCP6 ::ffff:203.0.113.9 ::1 1 2\r\n"), from("203.0.113.9:1"));
        assert_eq!(said(&binary(0x21, 0x11, &four())), from("203.0.113.9:8080"));
        let six = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[9], &[0; 16], &[0x1f, 0x90, 1, 0xbb]].concat();
        assert_eq!(said(&binary(0x21, 0x21, &six)), from("[2001:db8::9]:8080"));
        let more = [four(), vec![4, 0, 3, 0, 0, 0], vec![0xea, 0xff, 0xff]].concat();
        assert_eq!(said(&binary(0x21, 0x11, &more)), from("203.0.113.9:8080"), "additions are passed over");
    }

    #[test]
    fn who_speaks_for_itself_or_cannot_tell_names_nobody() {
        for bytes in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN 203.0.113.9 10.0.0.1 8080 443\r\n".to_vec(),
            binary(0x20, 0x11, &four()),
            binary(0x20, 0x00, &[]),
            binary(0x21, 0x00, &[]),
            binary(0x21, 0x31, &[b'/'; 216]),
        ] {
            assert_eq!(said(&bytes), Said::Nothing, "{bytes:?}");
        }
    }

    #[test]
    fn a_header_may_come_in_any_pieces_and_ends_where_it_ends() {
        for whole in [b"PROXY TCP4 203.0.113.9 10.0.0.1 8080 443\r\n".to_vec(), binary(0x21, 0x11, &four())] {
            for end in 0..whole.len() {
                assert_eq!(read(&whole[..end]).unwrap(), None, "{end}");
            }
            let more = [&whole[..], b"GET / HTTP/1.1\r\n\r\nPROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n"].concat();
            assert_eq!(read(&more).unwrap(), Some((from("203.0.113.9:8080"), whole.len())));
        }
    }

    #[test]
    fn what_is_no_header_is_told_from_what_is_incomplete() {
        for bytes in
            [&b"GET / HTTP/1.1\r\n"[..], b"P", b"PRI * HTTP/2.0\r\n", b"\x16\x03\x01", b"proxy ", b"\r\n\r\n\0\r\nQUIX"]
        {
            let missing = matches!(read(bytes), Err(Fault::Missing));
            assert_eq!(missing, bytes != b"P", "{bytes:?}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        let short = binary(0x21, 0x11, &four()[..11]);
        for bytes in [
            &b"PROXY TCP4 203.0.113.9 10.0.0.1 +8080 443\r\n"[..],
            b"PROXY TCP4 203.0.113.9 10.0.0.1 08080 443\r\n",
            b"PROXY TCP4 203.0.113.09 10.0.0.1 8080 443\r\n",
            b"PROXY TCP4 203.0.113.9 10.0.0.1 65536 443\r\n",
            b"PROXY TCP4  203.0.113.9 10.0.0.1 8080 443\r\n",
            b"PROXY TCP4 203.0.113.9 10.0.0.1 8080 443 \r\n",
            b"PROXY TCP4 203.0.113.9 10.0.0.1 8080\r\n",
            b"PROXY TCP4 2001:db8::9 2001:db8::1 8080 443\r\n",
            b"PROXY TCP6 203.0.113.9 10.0.0.1 8080 443\r\n",
            b"PROXY TCP6 fe80::1%eth0 ::1 8080 443\r\n",
            b"PROXY UDP4 203.0.113.9 10.0.0.1 8080 443\r\n",
            b"PROXY TCP4 203.0.113.9 10.0.0.1 8080 443\rX\r\n",
            b"PROXY TCP4 203.0.113.9 10.0.0.1 8080 443\nX\r\n",
            b"PROXY TCP4 203.0.113.\xff9 10.0.0.1 8080 443\r\n",
            b"PROXY \r\n",
            &short,
            &binary(0x11, 0x11, &four()),
            &binary(0x22, 0x11, &four()),
            &binary(0x21, 0x41, &four()),
            &binary(0x21, 0x13, &four()),
            &binary(0x21, 0x12, &four()),
        ] {
            assert!(matches!(read(bytes), Err(Fault::Malformed(_))), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_header_has_a_longest_form() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_LINE - 16));
        assert_eq!(long.len(), LONGEST_LINE);
        assert_eq!(said(long.as_bytes()), Said::Nothing);
        let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_LINE - 15));
        assert!(matches!(read(longer.as_bytes()), Err(Fault::TooLong)));
        assert!(matches!(read(&longer.as_bytes()[..LONGEST_LINE]), Err(Fault::TooLong)), "the end is not waited for");
        assert_eq!(said(&binary(0x20, 0, &[0; LONGEST_REST])), Said::Nothing);
        let beginning = &binary(0x20, 0, &[0; LONGEST_REST + 1])[..BEGINNING];
        assert!(matches!(read(beginning), Err(Fault::TooLong)));
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_the_reader_fall(bytes: Vec<u8>, version: bool) {
            let begin: &[u8] = if version { v2::PROTOCOL_PREFIX } else { b"PROXY " };
            let whole = [begin, &bytes].concat();
            if let Ok(Some((_, length))) = read(&whole) {
                proptest::prop_assert!(length <= whole.len());
            }
        }
    }
}
