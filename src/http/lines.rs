//! Fields that are rendered before they are needed: lines as HTTP/1.1 writes them, and the names that there may be.
//!
//! What is added to many requests is written once. A value that cannot stand in a field is left out, so that no text,
//! whoever made it up, ends a line early. Used by `session`, `proxy` and [`super::Peer`].

use std::sync::Arc;

use hyper::header::{HeaderName, HeaderValue};

/// Lines, and the names that there may be.
#[derive(Clone, Debug)]
pub struct Lines {
    names: Arc<[HeaderName]>,
    text: Box<[u8]>,
}

impl Lines {
    /// `texts` in the order of `names`; what is `None`, or cannot be a header value, is absent.
    pub fn new(names: Arc<[HeaderName]>, texts: &[Option<String>]) -> Self {
        let text = write(&names, texts).into();
        Self { names, text }
    }

    /// Those that are present, as lines that end with CR LF.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// The names that there may be.
    pub fn names(&self) -> &[HeaderName] {
        &self.names
    }
}

/// `texts` in the order of `names`, as lines that end with CR LF; what is `None`, or cannot be a header value, is not
/// among them.
pub fn write(names: &[HeaderName], texts: &[Option<String>]) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, text) in names.iter().zip(texts) {
        if let Some(text) = text
            && HeaderValue::from_str(text).is_ok()
        {
            for part in [name.as_str(), ": ", text, "\r\n"] {
                lines.extend_from_slice(part.as_bytes());
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_value_is_absent() {
        let names: Arc<[HeaderName]> = ["x-a", "x-b", "x-c"].map(HeaderName::from_static).into();
        let texts = ["1", "2\r\nx-evil: 1", "a: b"].map(|text| Some(text.to_owned()));
        let lines = Lines::new(Arc::clone(&names), &texts);
        assert_eq!((lines.text(), lines.names()), (&b"x-a: 1\r\nx-c: a: b\r\n"[..], &*names));
        assert!(Lines::new(names, &[None, None, None]).text().is_empty());
    }
}
