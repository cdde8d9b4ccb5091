//! HTTP/1.1 as a client and an app need it here, and no more: requests made once, answers of a stated length.
//!
//! A general client costs as much for each request as a quick proxy does, and shares its core with the app: it
//! would be what is measured. Heads are read by httparse; whatever is not expected ends the test.

use std::fmt::Write as _;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Aim;

/// Enough for any head; and so much of a body is read at once.
const BUFFER: usize = 64 * 1024;

/// More fields than any server adds.
const FIELDS: usize = 48;

/// What Firefox says of itself when it loads a page.
pub(super) const BROWSER: [(&str, &str); 7] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
];

/// The page that is asked for.
pub(super) const PAGE: &str = "/projects/portcullis/start-page?version=17";

/// Everything that can be asked: one of several pages, as one of many visitors.
pub(super) struct Requests {
    /// Heads up to the visitor's cookie.
    heads: Vec<Vec<u8>>,
    /// All visitors' cookies in one piece, because there may be a million.
    cookies: String,
    /// Where each ends.
    ends: Vec<usize>,
    body: Vec<u8>,
}

impl Requests {
    /// As `aim` has them.
    pub(super) fn new(aim: &Aim) -> anyhow::Result<Self> {
        let mut rest = format!("host: {}\r\n", aim.authority);
        for (name, value) in BROWSER {
            // Writing to a string does not fail.
            let _ = write!(rest, "{name}: {value}\r\n");
        }
        let method = if aim.upload > 0 { "POST" } else { "GET" };
        if aim.upload > 0 {
            let _ = write!(rest, "content-type: application/octet-stream\r\ncontent-length: {}\r\n", aim.upload);
        }
        let head = |area: String| format!("{method} {area}{PAGE} HTTP/1.1\r\n{rest}cookie: ").into_bytes();
        let heads = match aim.areas {
            0 => vec![head(String::new())],
            areas => (0..areas).map(|area| head(format!("/area-{area}"))).collect(),
        };
        let mut cookies = String::new();
        let mut ends = Vec::new();
        for line in std::fs::read_to_string(&aim.cookies)?.lines().take(aim.sessions) {
            cookies.push_str(line);
            ends.push(cookies.len());
        }
        if ends.is_empty() {
            bail!("nobody is signed in");
        }
        Ok(Self { heads, cookies, ends, body: vec![b'x'; aim.upload] })
    }

    /// The cookie of somebody.
    pub(super) fn cookie(&self, random: usize) -> &str {
        let place = random % self.ends.len();
        let begin = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.cookies[begin..self.ends[place]]
    }

    /// Writes a request over `out`.
    pub(super) fn write(&self, random: usize, out: &mut Vec<u8>) {
        out.clear();
        // Another part of the number than the one that chooses the cookie.
        out.extend_from_slice(&self.heads[(random >> 20) % self.heads.len()]);
        out.extend_from_slice(self.cookie(random).as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(&self.body);
    }
}

/// A generator of random numbers after Knuth: cheap, and random enough to spread over the sessions.
pub(super) struct Random(u64);

impl Random {
    /// Different for each seed.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next one.
    pub(super) fn next(&mut self) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 24).unwrap_or_default()
    }
}

/// What of an answer has been read.
pub(super) struct Reader {
    buffer: Vec<u8>,
    filled: usize,
}

/// Where an answer ends.
struct Answer {
    head: usize,
    body: usize,
}

impl Reader {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER], filled: 0 }
    }

    /// Where the next bytes go.
    pub(super) fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.filled..]
    }

    /// `count` bytes came while a head was read. How much of the body is still to come, once the head is whole.
    pub(super) fn more(&mut self, count: usize) -> anyhow::Result<Option<usize>> {
        if count == 0 {
            bail!("closed before the answer was whole");
        }
        self.filled += count;
        let Some(answer) = head(&self.buffer[..self.filled])? else { return Ok(None) };
        let whole = answer.head + answer.body;
        if self.filled > whole {
            bail!("more than one answer");
        }
        let left = whole - self.filled;
        self.filled = 0;
        Ok(Some(left))
    }
}

fn head(bytes: &[u8]) -> anyhow::Result<Option<Answer>> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head) = response.parse(bytes)? else { return Ok(None) };
    if response.code != Some(200) {
        bail!("answered {}", response.code.unwrap_or_default());
    }
    let length = length(response.headers)?.context("an answer of no stated length")?;
    Ok(Some(Answer { head, body: length }))
}

/// The length that a head states.
pub(crate) fn length(fields: &[httparse::Header<'_>]) -> anyhow::Result<Option<usize>> {
    let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case("content-length"));
    field.map(|field| Ok(std::str::from_utf8(field.value)?.parse()?)).transpose()
}

/// One exchange: `request` as it is, and the answer to its end.
pub(super) async fn ask<S>(stream: &mut S, request: &[u8], reader: &mut Reader) -> anyhow::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request).await?;
    stream.flush().await?;
    let mut left = loop {
        let count = stream.read(reader.space()).await?;
        if let Some(left) = reader.more(count)? {
            break left;
        }
    };
    while left > 0 {
        let most = left.min(BUFFER);
        match stream.read(&mut reader.space()[..most]).await? {
            0 => bail!("closed within a body"),
            count => left -= count,
        }
    }
    Ok(())
}

/// The same for a thread of its own.
pub(super) fn ask_blocking<S>(stream: &mut S, request: &[u8], reader: &mut Reader) -> anyhow::Result<()>
where
    S: std::io::Read + std::io::Write,
{
    stream.write_all(request)?;
    stream.flush()?;
    let mut left = loop {
        let count = stream.read(reader.space())?;
        if let Some(left) = reader.more(count)? {
            break left;
        }
    };
    while left > 0 {
        let most = left.min(BUFFER);
        match stream.read(&mut reader.space()[..most])? {
            0 => bail!("closed within a body"),
            count => left -= count,
        }
    }
    Ok(())
}
