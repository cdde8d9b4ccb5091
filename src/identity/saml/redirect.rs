//! Messages in an address: deflated, in base64, and signed as the bytes of the query (SAML bindings section 3.4).
//!
//! Percent-encoding has more than one spelling, so the signature counts for the bytes that were sent and for nothing
//! that was decoded and encoded again: old trouble with Salesforce (php-saml#303). Called by `ask` and `logout`.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::identity::xmldsig::{self, Algorithm, MAX_SIZE, SigningKey};

/// Everything but the unreserved characters of RFC 3986.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest query that is looked at.
const LONGEST: usize = 64 * 1024;

/// What a message is called in a query or a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// A question.
    Request,
    /// An answer.
    Response,
}

impl Parameter {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Request => "SAMLRequest",
            Self::Response => "SAMLResponse",
        }
    }
}

/// Why a query holds no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadQuery {
    /// Not `SAMLRequest` or `SAMLResponse`, `RelayState`, `SigAlg` and `Signature`, in this order, each once.
    #[error("the query is not SAMLRequest or SAMLResponse, RelayState, SigAlg, Signature in this order")]
    Parameters,
    /// Not readable.
    #[error("a value of the query cannot be read")]
    Encoding,
    /// Beyond what a message may have.
    #[error("the message is too large")]
    Size,
}

/// A message from a query.
#[derive(Debug)]
pub struct Query<'q> {
    /// Which kind.
    pub parameter: Parameter,
    /// The XML.
    pub xml: String,
    /// `RelayState`, decoded.
    pub relay_state: Option<String>,
    /// How it is signed, when it is.
    pub(super) signed: Option<Signed<'q>>,
}

/// The signature of a query.
#[derive(Debug)]
pub(super) struct Signed<'q> {
    /// The bytes that it covers, as they were received.
    pub(super) octets: &'q str,
    pub(super) algorithm: String,
    pub(super) signature: Vec<u8>,
}

impl<'q> Query<'q> {
    /// Reads a query, without its `?`.
    ///
    /// # Errors
    /// [`BadQuery`], when it holds no message in the one form that there is.
    pub fn read(query: &'q str) -> Result<Self, BadQuery> {
        if query.len() > LONGEST {
            return Err(BadQuery::Size);
        }
        let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let mut next = pairs.next();
        let mut take = |name: &str| {
            let (_, value) = next.filter(|(found, _)| *found == name)?;
            next = pairs.next();
            Some(value)
        };
        let (parameter, message) = match (take("SAMLRequest"), take("SAMLResponse")) {
            (Some(message), None) => (Parameter::Request, message),
            (None, Some(message)) => (Parameter::Response, message),
            _ => return Err(BadQuery::Parameters),
        };
        // Written by a form's rules, as most do it, a space is a plus sign.
        let relay_state = take("RelayState").map(|state| decode(&state.replace('+', " "))).transpose()?;
        let algorithm = take("SigAlg");
        let signature = take("Signature");
        if next.is_some() {
            return Err(BadQuery::Parameters);
        }
        let signed = match (algorithm, signature) {
            (None, None) => None,
            (Some(algorithm), Some(signature)) => {
                let (octets, _) = query.rsplit_once("&Signature=").ok_or(BadQuery::Parameters)?;
                let signature = xmldsig::decode(&decode(signature)?).ok_or(BadQuery::Encoding)?;
                Some(Signed { octets, algorithm: decode(algorithm)?, signature })
            }
            _ => return Err(BadQuery::Parameters),
        };
        let packed = xmldsig::decode(&decode(message)?).ok_or(BadQuery::Encoding)?;
        Ok(Self { parameter, xml: inflate(&packed)?, relay_state, signed })
    }
}

fn decode(value: &str) -> Result<String, BadQuery> {
    // A space in base64 was a plus sign that nobody escaped: then it is no base64, and that is that.
    let text = percent_decode_str(value).decode_utf8().map_err(|_| BadQuery::Encoding)?;
    Ok(text.into_owned())
}

/// Inflates up to the largest message and not a byte further, whatever the ratio.
fn inflate(packed: &[u8]) -> Result<String, BadQuery> {
    let mut text = Vec::new();
    let limit = u64::try_from(MAX_SIZE).unwrap_or(u64::MAX).saturating_add(1);
    DeflateDecoder::new(packed).take(limit).read_to_end(&mut text).map_err(|_| BadQuery::Encoding)?;
    if text.len() > MAX_SIZE {
        return Err(BadQuery::Size);
    }
    String::from_utf8(text).map_err(|_| BadQuery::Encoding)
}

fn deflate(text: &str) -> Option<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).ok()?;
    encoder.finish().ok()
}

/// The query that carries a message, signed when there is a key; `None` when the key cannot sign.
pub(super) fn write(
    parameter: Parameter,
    xml: &str,
    relay_state: Option<&str>,
    key: Option<&SigningKey>,
) -> Option<String> {
    let escape = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
    let mut query = format!("{}={}", parameter.name(), escape(&xmldsig::encode(&deflate(xml)?)));
    if let Some(state) = relay_state {
        query = format!("{query}&RelayState={}", escape(state));
    }
    if let Some(key) = key {
        query = format!("{query}&SigAlg={}", escape(Algorithm::RSA_SHA256));
        let signature = xmldsig::encode(&key.sign(query.as_bytes())?);
        query = format!("{query}&Signature={}", escape(&signature));
    }
    Some(query)
}
