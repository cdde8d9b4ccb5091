//! What comes through a door and what goes back: mostly a head whose fields stay as they came.
//!
//! A request that nobody has to look into more closely is judged, forwarded and answered without a map of its fields.
//! Everybody else asks for a [`Request`] and a [`Response`](super::Response), and gets them with the same fields. Made
//! by `server` and `proxy`, judged by `gateway`.

use hyper::ext::ReasonPhrase;
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Method, StatusCode, Uri, Version};

use super::fields::{Fields, Held, Received};
use super::{Body, Request};

/// A request as it came through a door.
#[derive(Debug)]
pub enum Arrival {
    /// One of HTTP/1.1 that is nothing but a head.
    Plain(Head),
    /// Any other. Boxed: most are not, and each would be as large.
    Whole(Box<Request>),
}

/// The head of a request, as it came.
#[derive(Debug, Default)]
pub struct Head {
    /// Its method.
    pub method: Method,
    /// Its target.
    pub target: Uri,
    /// Its fields.
    pub lines: Received,
}

impl Default for Arrival {
    fn default() -> Self {
        Self::Plain(Head::default())
    }
}

impl From<Request> for Arrival {
    fn from(request: Request) -> Self {
        Self::Whole(Box::new(request))
    }
}

impl From<Head> for Request {
    fn from(head: Head) -> Self {
        let mut request = Self::new(Body::Empty);
        *request.headers_mut() = head.lines.map();
        *request.method_mut() = head.method;
        *request.uri_mut() = head.target;
        request
    }
}

impl Arrival {
    /// A request of HTTP/1.1 that is nothing but a head.
    pub fn plain(method: Method, target: Uri, lines: Received) -> Self {
        Self::Plain(Head { method, target, lines })
    }

    /// Its method.
    pub fn method(&self) -> &Method {
        match self {
            Self::Plain(head) => &head.method,
            Self::Whole(request) => request.method(),
        }
    }

    /// Its version.
    pub fn version(&self) -> Version {
        match self {
            Self::Plain(_) => Version::HTTP_11,
            Self::Whole(request) => request.version(),
        }
    }

    /// Its target.
    pub fn uri(&self) -> &Uri {
        match self {
            Self::Plain(head) => &head.target,
            Self::Whole(request) => request.uri(),
        }
    }

    /// Its fields.
    pub fn fields(&self) -> Fields<'_> {
        match self {
            Self::Plain(head) => head.lines.fields(),
            Self::Whole(request) => request.headers().into(),
        }
    }

    /// The first value of this name, for later.
    pub fn hold(&self, name: &HeaderName) -> Option<Held> {
        match self {
            Self::Plain(head) => head.lines.hold(name),
            Self::Whole(request) => request.headers().get(name).cloned().map(Held::Value),
        }
    }

    /// It itself, with a map of its fields from here on.
    pub fn request(&mut self) -> &mut Request {
        loop {
            match self {
                Self::Whole(request) => return request,
                Self::Plain(head) => *self = Self::from(Request::from(std::mem::take(head))),
            }
        }
    }

    /// It itself, with a map of its fields.
    pub fn into_request(self) -> Request {
        match self {
            Self::Plain(head) => head.into(),
            Self::Whole(request) => *request,
        }
    }

    /// The same, of which nothing is left here.
    pub fn take(&mut self) -> Box<Request> {
        match std::mem::take(self) {
            Self::Plain(head) => Box::new(head.into()),
            Self::Whole(request) => request,
        }
    }
}

/// An answer on its way to a client.
#[derive(Debug)]
pub struct Reply<B = Body> {
    outline: Outline,
    body: B,
}

/// An answer without its body.
#[derive(Debug)]
pub struct Outline {
    /// Its status.
    pub status: StatusCode,
    /// Its fields as an app wrote them, unless they are in the map. What is in the map then is beside them.
    lines: Option<Received>,
    /// Boxed: most answers of an app need no map, and each would be as large.
    rest: Option<Box<Parts>>,
}

impl<B> From<hyper::Response<B>> for Reply<B> {
    fn from(response: hyper::Response<B>) -> Self {
        let (head, body) = response.into_parts();
        Self { outline: Outline { status: head.status, lines: None, rest: Some(Box::new(head)) }, body }
    }
}

/// No answer is given, and the connection is closed.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("for the app, the client is gone")]
pub struct Unsaid;

impl Reply {
    /// None: its app would have closed the connection without one. For a client that has ended its side; should any
    /// other come to see it, it is a 502.
    pub fn unsaid() -> Self {
        let mut response = hyper::Response::new(Body::Empty);
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response.extensions_mut().insert(Unsaid);
        response.into()
    }

    /// Whether it is none.
    pub fn is_unsaid(&self) -> bool {
        self.outline.rest.as_ref().is_some_and(|rest| rest.extensions.get::<Unsaid>().is_some())
    }
}

impl<B> Reply<B> {
    /// One whose fields are as an app wrote them.
    pub fn plain(status: StatusCode, lines: Received, body: B) -> Self {
        Self { outline: Outline { status, lines: Some(lines), rest: None }, body }
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.outline.status
    }

    /// The length of its body, if that is known beforehand.
    pub fn length(&self) -> Option<u64>
    where
        B: http_body::Body,
    {
        self.body.size_hint().exact()
    }

    /// Puts a field in, in place of all that are called so.
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        if let Some(lines) = &mut self.outline.lines {
            lines.retain(|field| !field.is(name.as_str()));
        }
        self.outline.rest().headers.insert(name, value);
    }

    /// The same, with a map of its fields.
    pub fn into_response(mut self) -> hyper::Response<B> {
        self.outline.parts();
        hyper::Response::from_parts(self.outline.rest.map_or_else(empty, |rest| *rest), self.body)
    }

    /// Of what [`Self::into_parts`] gives.
    pub fn from_parts(outline: Outline, body: B) -> Self {
        Self { outline, body }
    }

    /// Without its body, and that.
    pub fn into_parts(self) -> (Outline, B) {
        (self.outline, self.body)
    }
}

impl Outline {
    /// Its fields.
    pub fn fields(&self) -> Fields<'_> {
        match (&self.lines, &self.rest) {
            (lines, Some(rest)) => Fields::both(lines.as_ref(), &rest.headers),
            (Some(lines), None) => lines.fields(),
            (None, None) => Fields::default(),
        }
    }

    /// Its fields as an app wrote them, when they are and there are no others.
    pub fn lines(&mut self) -> Option<&mut Received> {
        if self.rest.is_none() { self.lines.as_mut() } else { None }
    }

    /// What its head says beside the status instead of what that means, if it does.
    pub fn reason(&self) -> Option<&ReasonPhrase> {
        self.rest.as_ref()?.extensions.get()
    }

    /// All of it, with a map of its fields from here on.
    pub fn parts(&mut self) -> &mut Parts {
        let (status, lines) = (self.status, self.lines.take());
        let rest = self.rest();
        rest.status = status;
        if let Some(lines) = lines {
            let beside = std::mem::replace(&mut rest.headers, lines.map());
            rest.headers.extend(beside);
        }
        rest
    }

    /// Leaves out what was between an app and us: the version, and a reason that hyper would repeat.
    pub fn end_hop(&mut self) {
        if let Some(rest) = &mut self.rest {
            rest.version = Version::HTTP_11;
            rest.extensions.clear();
        }
    }

    fn rest(&mut self) -> &mut Parts {
        self.rest.get_or_insert_with(|| Box::new(empty()))
    }
}

/// Of an answer of which nothing is said.
fn empty() -> Parts {
    hyper::Response::new(()).into_parts().0
}
