//! Names of fields, read and compared.
//!
//! Most messages use few, and those are looked up here instead of parsed: whatever is not in the list, or in an unusual
//! spelling, is parsed as ever, with the same result. Called by the lean readers of `server` and `proxy`, and by whoever
//! looks for a field.

use hyper::header::{self, HeaderName, InvalidHeaderName};

/// A name as it is kept, and as HTTP/1.1's clients and servers like to write it.
struct Known {
    kept: &'static [u8],
    written: &'static [u8],
    name: HeaderName,
}

/// The longest of them.
const LONGEST: usize = 25;

macro_rules! known {
    ($($kept:literal $written:literal $name:expr,)*) => {
        [$(Known { kept: $kept.as_bytes(), written: $written.as_bytes(), name: $name },)*]
    };
}

static KNOWN: [Known; 44] = known! {
    "te" "TE" header::TE,
    "dnt" "DNT" header::DNT,
    "age" "Age" header::AGE,
    "date" "Date" header::DATE,
    "etag" "ETag" header::ETAG,
    "host" "Host" header::HOST,
    "vary" "Vary" header::VARY,
    "range" "Range" header::RANGE,
    "accept" "Accept" header::ACCEPT,
    "cookie" "Cookie" header::COOKIE,
    "origin" "Origin" header::ORIGIN,
    "pragma" "Pragma" header::PRAGMA,
    "server" "Server" header::SERVER,
    "expires" "Expires" header::EXPIRES,
    "referer" "Referer" header::REFERER,
    "sec-gpc" "Sec-GPC" HeaderName::from_static("sec-gpc"),
    "location" "Location" header::LOCATION,
    "priority" "Priority" HeaderName::from_static("priority"),
    "sec-ch-ua" "Sec-Ch-Ua" HeaderName::from_static("sec-ch-ua"),
    "connection" "Connection" header::CONNECTION,
    "keep-alive" "Keep-Alive" HeaderName::from_static("keep-alive"),
    "set-cookie" "Set-Cookie" header::SET_COOKIE,
    "user-agent" "User-Agent" header::USER_AGENT,
    "content-type" "Content-Type" header::CONTENT_TYPE,
    "x-powered-by" "X-Powered-By" HeaderName::from_static("x-powered-by"),
    "accept-ranges" "Accept-Ranges" header::ACCEPT_RANGES,
    "authorization" "Authorization" header::AUTHORIZATION,
    "cache-control" "Cache-Control" header::CACHE_CONTROL,
    "if-none-match" "If-None-Match" header::IF_NONE_MATCH,
    "last-modified" "Last-Modified" header::LAST_MODIFIED,
    "content-length" "Content-Length" header::CONTENT_LENGTH,
    "sec-fetch-dest" "Sec-Fetch-Dest" HeaderName::from_static("sec-fetch-dest"),
    "sec-fetch-mode" "Sec-Fetch-Mode" HeaderName::from_static("sec-fetch-mode"),
    "sec-fetch-site" "Sec-Fetch-Site" HeaderName::from_static("sec-fetch-site"),
    "sec-fetch-user" "Sec-Fetch-User" HeaderName::from_static("sec-fetch-user"),
    "accept-encoding" "Accept-Encoding" header::ACCEPT_ENCODING,
    "accept-language" "Accept-Language" header::ACCEPT_LANGUAGE,
    "x-forwarded-for" "X-Forwarded-For" HeaderName::from_static("x-forwarded-for"),
    "content-encoding" "Content-Encoding" header::CONTENT_ENCODING,
    "sec-ch-ua-mobile" "Sec-Ch-Ua-Mobile" HeaderName::from_static("sec-ch-ua-mobile"),
    "if-modified-since" "If-Modified-Since" header::IF_MODIFIED_SINCE,
    "transfer-encoding" "Transfer-Encoding" header::TRANSFER_ENCODING,
    "sec-ch-ua-platform" "Sec-Ch-Ua-Platform" HeaderName::from_static("sec-ch-ua-platform"),
    "upgrade-insecure-requests" "Upgrade-Insecure-Requests" header::UPGRADE_INSECURE_REQUESTS,
};

/// Where the names of each length begin; those of the next follow.
static BEGINNINGS: [usize; LONGEST + 2] = {
    let mut beginnings = [KNOWN.len(); LONGEST + 2];
    let mut at = KNOWN.len();
    while at > 0 {
        at -= 1;
        beginnings[KNOWN[at].kept.len()] = at;
    }
    let mut length = LONGEST + 1;
    while length > 0 {
        length -= 1;
        if beginnings[length] > beginnings[length + 1] || (beginnings[length] == KNOWN.len()) {
            beginnings[length] = beginnings[length + 1];
        }
    }
    beginnings
};

/// The name that these bytes are, in any case of their letters.
///
/// # Errors
/// When they are none.
pub fn read(bytes: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
    let among = match (BEGINNINGS.get(bytes.len()), BEGINNINGS.get(bytes.len() + 1)) {
        (Some(first), Some(end)) => KNOWN.get(*first..*end).unwrap_or_default(),
        _ => &[],
    };
    // Names of one length differ in their ends as a rule: few are compared in whole.
    let (first, last) = (bytes.first(), bytes.last());
    let small = first.is_some_and(u8::is_ascii_lowercase);
    let is_it = |known: &&Known| {
        let spelling = if small { known.kept } else { known.written };
        spelling.first() == first && spelling.last() == last && spelling == bytes
    };
    match among.iter().find(is_it) {
        Some(known) => Ok(known.name.clone()),
        None => HeaderName::from_bytes(bytes),
    }
}

/// Whether two names are one but for the case of their letters. Whoever asks has looked at their lengths before, most at
/// their first letters too: nearly all that come here are alike, and looked at to their ends, eight bytes at a time.
#[inline]
pub fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    if let (Some(last), Some(their_last)) = (one.last_chunk(), other.last_chunk()) {
        // The last eight again, in part, in place of less than eight.
        let (pieces, _) = one.as_chunks();
        let (their_pieces, _) = other.as_chunks();
        let mut pairs = pieces.iter().zip(their_pieces);
        return small(*last) == small(*their_last) && pairs.all(|(one, other)| small(*one) == small(*other));
    }
    match (ends(one), ends(other)) {
        (Some(one), Some(other)) => small(one) == small(other),
        _ => one.eq_ignore_ascii_case(other),
    }
}

/// The first four bytes and the last four of less than eight, unless there are less than four.
fn ends(bytes: &[u8]) -> Option<[u8; 8]> {
    let ([a, b, c, d], [e, f, g, h]) = (bytes.first_chunk()?, bytes.last_chunk()?);
    Some([*a, *b, *c, *d, *e, *f, *g, *h])
}

/// Eight bytes with letters of ASCII in lower case. No byte's sum reaches the next one.
fn small(bytes: [u8; 8]) -> u64 {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let bytes = u64::from_ne_bytes(bytes);
    let low = bytes & (EACH * 0x7f);
    let from_a = low + EACH * (0x80 - b'A' as u64);
    let past_z = low + EACH * (0x7f - b'Z' as u64);
    let capitals = from_a & !past_z & !bytes & (EACH * 0x80);
    bytes | capitals >> 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_are_the_same_where_the_standard_library_says_so(
            one in prop::collection::vec(any::<u8>(), 0..40),
            flips in prop::collection::vec(any::<bool>(), 40),
            (place, bit) in (0..60_usize, 0..8_u32),
        ) {
            let flip = |(byte, flip): (&u8, &bool)| if *flip { byte ^ 0x20 } else { *byte };
            let mut other: Vec<u8> = one.iter().zip(&flips).map(flip).collect();
            prop_assert_eq!(is_same(&one, &other), one.eq_ignore_ascii_case(&other));
            other = one.to_ascii_uppercase();
            prop_assert!(is_same(&one, &other));
            if let Some(byte) = other.get_mut(place) {
                *byte ^= 1 << bit;
            }
            prop_assert_eq!(is_same(&one, &other), one.eq_ignore_ascii_case(&other));
            other.push(b'x');
            prop_assert!(!is_same(&one, &other));
        }
    }

    #[test]
    fn each_byte_is_small_as_the_standard_library_has_it() {
        for byte in 0..=u8::MAX {
            assert_eq!(small([byte; 8]).to_ne_bytes(), [byte.to_ascii_lowercase(); 8]);
        }
    }

    #[test]
    fn a_name_is_read_as_it_would_be_parsed() {
        for Known { kept, written, name } in &KNOWN {
            assert_eq!(kept, &name.as_str().as_bytes());
            for spelling in [kept, written, &&kept.to_ascii_uppercase()[..], &&written.to_ascii_uppercase()[..]] {
                assert_eq!(read(spelling).unwrap(), HeaderName::from_bytes(kept).unwrap());
            }
        }
        assert!(KNOWN.windows(2).all(|pair| pair[0].kept.len() <= pair[1].kept.len()), "they are in order of length");
        for (length, pair) in BEGINNINGS.windows(2).enumerate() {
            let count = KNOWN.iter().filter(|known| known.kept.len() == length).count();
            assert_eq!(pair[1] - pair[0], count, "{length}");
        }
        for other in ["x", "host", "cookies", "x-one", "a-name-that-is-longer-than-all-of-them-are"] {
            assert_eq!(read(other.as_bytes()).unwrap(), other);
        }
        for none in ["", "a b", "host ", "h\u{f6}st"] {
            assert!(read(none.as_bytes()).is_err(), "{none:?}");
        }
    }
}
