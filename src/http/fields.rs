//! The fields of a head as they came: its bytes, and where in them each field is.
//!
//! Most heads of HTTP/1.1 go through with a few fields less and a few more. To make a map of them costs as much as most
//! else that is done for a request, and then the map is made text again. Whoever needs a map gets one: it has the same
//! fields, because only what a strict parser has taken apart becomes [`Received`]. Made by the lean readers of `server`
//! and `proxy`.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};

use super::names;

/// The longest name, as a map has it.
const LONGEST_NAME: usize = u16::MAX as usize;

/// How long the end of a line is.
const LINE_END: u32 = 2;

/// How many fields the gateway adds on the way, for which a map need not grow.
const ADDED: usize = 8;

/// The fields of a head, as they came.
#[derive(Clone, Debug, Default)]
pub struct Received {
    text: Bytes,
    places: Vec<Place>,
}

/// Where a field is.
#[derive(Clone, Copy, Debug)]
struct Place {
    begin: u32,
    colon: u32,
    value: u32,
    end: u32,
    mark: Mark,
    /// Whether its line is written as it would be here.
    tidy: bool,
}

/// What tells nearly every name from another at one look: its length, and its first letter in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark(u16);

impl Mark {
    #[inline]
    const fn of(name: &[u8]) -> Self {
        let first = if name.is_empty() { 0 } else { name[0].to_ascii_lowercase() };
        Self((name.len() as u16) << 8 | first as u16)
    }
}

/// A field that no map would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name of a field is too long")]
pub struct TooLong;

impl Received {
    /// What a parser has found in `text`.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn of(text: &Bytes, found: &[httparse::Header<'_>]) -> Result<Self, TooLong> {
        let mut places = Vec::with_capacity(found.len());
        for field in found {
            places.push(Place::of(text, field).ok_or(TooLong)?);
        }
        Ok(Self { text: text.clone(), places })
    }

    /// All of them, in their order.
    pub fn fields(&self) -> Fields<'_> {
        self.into()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The first value of this name.
    pub fn hold(&self, name: &HeaderName) -> Option<Held> {
        let (name, mark) = (name.as_str(), Mark::of(name.as_str().as_bytes()));
        let is_it = |place: &&Place| place.mark == mark && Field(Source::Received(&self.text, place)).is(name);
        let place = self.places.iter().find(is_it)?;
        Some(Held::Slice(self.text.slice(place.value as usize..place.end as usize)))
    }

    /// Takes out those that are not to be kept.
    pub fn retain(&mut self, keep: impl Fn(Field<'_>) -> bool) {
        let Self { text, places } = self;
        places.retain(|place| keep(Field(Source::Received(text, place))));
    }

    /// Appends their lines.
    pub fn write(&self, to: &mut Vec<u8>) {
        let mut places = self.places.iter().peekable();
        while let Some(first) = places.next() {
            if !first.tidy {
                Field(Source::Received(&self.text, first)).write(to);
                continue;
            }
            // What lies side by side is copied at once.
            let mut end = first.end + LINE_END;
            while let Some(place) = places.next_if(|place| place.tidy && place.begin == end) {
                end = place.end + LINE_END;
            }
            to.extend_from_slice(between(&self.text, first.begin, end));
        }
    }

    /// The same as a map.
    pub fn map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.places.len() + ADDED);
        for place in &self.places {
            let value = self.text.slice(place.value as usize..place.end as usize);
            let name = Field(Source::Received(&self.text, place)).name();
            // A parser that takes what these do not take would have been refused: see the test.
            if let (Ok(name), Ok(value)) = (names::read(name), HeaderValue::from_maybe_shared(value)) {
                map.append(name, value);
            }
        }
        map
    }
}

impl Place {
    #[inline]
    fn of(text: &[u8], field: &httparse::Header<'_>) -> Option<Self> {
        let base = text.as_ptr().addr();
        let at = |slice: &[u8]| slice.as_ptr().addr().checked_sub(base);
        let (name, value) = (field.name.as_bytes(), field.value);
        let begin = at(name)?;
        let colon = begin + name.len();
        // A parser may say of what is empty that it is nowhere.
        let from = if value.is_empty() { colon + 1 } else { at(value)? };
        let end = from + value.len();
        if name.len() > LONGEST_NAME || u32::try_from(end + 2).is_err() {
            return None;
        }
        let byte = |at: usize| text.get(at).copied();
        // Byte by byte: slices would be compared by a call.
        let tidy = from == colon + 2
            && byte(colon + 1) == Some(b' ')
            && byte(end) == Some(b'\r')
            && byte(end + 1) == Some(b'\n');
        let (begin, colon, value, end) = (begin as u32, colon as u32, from as u32, end as u32);
        Some(Self { begin, colon, value, end, mark: Mark::of(name), tidy })
    }
}

/// The fields of a head, however it is kept: those that came as they are, and behind them those in a map.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fields<'a> {
    received: Option<&'a Received>,
    map: Option<&'a HeaderMap>,
}

impl<'a> From<&'a Received> for Fields<'a> {
    fn from(received: &'a Received) -> Self {
        Self { received: Some(received), map: None }
    }
}

impl<'a> From<&'a HeaderMap> for Fields<'a> {
    fn from(map: &'a HeaderMap) -> Self {
        Self { received: None, map: Some(map) }
    }
}

impl<'a> Fields<'a> {
    /// Of both kinds.
    pub fn both(received: Option<&'a Received>, map: &'a HeaderMap) -> Self {
        Self { received, map: Some(map).filter(|map| !map.is_empty()) }
    }

    /// How many there are.
    pub fn count(self) -> usize {
        self.received.map_or(0, Received::len) + self.map.map_or(0, HeaderMap::len)
    }

    /// The values of those of this name.
    pub fn values(self, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
        let (name, mark) = (name.as_str(), Mark::of(name.as_str().as_bytes()));
        self.into_iter().filter(move |field| field.mark() == mark && field.is(name)).map(|field| field.value())
    }

    /// The first of them.
    pub fn value(self, name: &HeaderName) -> Option<&'a [u8]> {
        self.values(name).next()
    }
}

impl<'a> IntoIterator for Fields<'a> {
    type Item = Field<'a>;
    type IntoIter = Iter<'a>;

    #[inline]
    fn into_iter(self) -> Iter<'a> {
        let (text, places) =
            self.received.map_or((&[][..], &[][..]), |received| (&received.text[..], &received.places));
        Iter { text, places: places.iter(), map: self.map.map(HeaderMap::iter) }
    }
}

/// One field after the other.
#[derive(Debug)]
pub struct Iter<'a> {
    text: &'a [u8],
    places: std::slice::Iter<'a, Place>,
    map: Option<hyper::header::Iter<'a, HeaderValue>>,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        if let Some(place) = self.places.next() {
            return Some(Field(Source::Received(self.text, place)));
        }
        self.map.as_mut()?.next().map(|(name, value)| Field(Source::Map(name, value)))
    }
}

/// A value that is held on to.
#[derive(Clone, Debug)]
pub enum Held {
    /// Of what was received.
    Slice(Bytes),
    /// Of a map.
    Value(HeaderValue),
}

impl Held {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Slice(bytes) => bytes,
            Self::Value(value) => value.as_bytes(),
        }
    }
}

/// A field: a name that is a token, and a value without control characters.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a>(Source<'a>);

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    /// Where it is in what was received.
    Received(&'a [u8], &'a Place),
    Map(&'a HeaderName, &'a HeaderValue),
}

impl<'a> Field<'a> {
    #[inline]
    fn mark(&self) -> Mark {
        match self.0 {
            Source::Received(_, place) => place.mark,
            Source::Map(name, _) => Mark::of(name.as_str().as_bytes()),
        }
    }

    /// Its name, in any case.
    #[inline]
    pub fn name(&self) -> &'a [u8] {
        match self.0 {
            Source::Received(text, place) => between(text, place.begin, place.colon),
            Source::Map(name, _) => name.as_str().as_bytes(),
        }
    }

    /// The length of its name, and its first letter in lower case: they tell nearly every name from another.
    #[inline]
    pub fn outline(&self) -> (usize, u8) {
        let length = match self.0 {
            Source::Received(_, place) => (place.colon - place.begin) as usize,
            Source::Map(name, _) => name.as_str().len(),
        };
        (length, self.mark().0 as u8)
    }

    /// Its value.
    #[inline]
    pub fn value(&self) -> &'a [u8] {
        match self.0 {
            Source::Received(text, place) => between(text, place.value, place.end),
            Source::Map(_, value) => value.as_bytes(),
        }
    }

    /// Whether it is called so.
    #[inline]
    pub fn is(&self, name: &str) -> bool {
        self.mark() == Mark::of(name.as_bytes()) && names::is_same(self.name(), name.as_bytes())
    }

    /// Appends it as a line.
    pub fn write(&self, to: &mut Vec<u8>) {
        match self.0 {
            Source::Received(text, place) if place.tidy => {
                to.extend_from_slice(between(text, place.begin, place.end + LINE_END));
            }
            _ => {
                to.extend_from_slice(self.name());
                to.extend_from_slice(b": ");
                to.extend_from_slice(self.value());
                to.extend_from_slice(b"\r\n");
            }
        }
    }
}

#[inline]
fn between(text: &[u8], from: u32, to: u32) -> &[u8] {
    text.get(from as usize..to as usize).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
