//! What comes through a door and what goes back: mostly a head whose fields stay as they came.
//!
//! A request that nobody has to look into more closely is judged, forwarded and answered without a map of its fields.
//! Everybody else asks for a [`Request`] and a [`Response`](super::Response), and gets them with the same fields. Made
//! by `server` and `proxy`, judged by `gateway`.

use hyper::header::{HeaderName, HeaderValue};
use hyper::http::response::Parts;
use hyper::{Method, StatusCode, Uri, Version};

use super::fields::{Fields, Held, Received};
use super::{Body, Request};

/// A request as it came through a door.
#[derive(Debug, Default)]
pub struct Arrival {
    /// Its fields, unless they are in the map.
    lines: Option<Received>,
    request: Request,
}

impl From<Request> for Arrival {
    fn from(request: Request) -> Self {
        Self { lines: None, request }
    }
}

impl Arrival {
    /// A request of HTTP/1.1 that is nothing but a head.
    pub fn plain(method: Method, target: Uri, lines: Received) -> Self {
        let mut request = Request::new(Body::Empty);
        *request.method_mut() = method;
        *request.uri_mut() = target;
        Self { lines: Some(lines), request }
    }

    /// Its method.
    pub fn method(&self) -> &Method {
        self.request.method()
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.request.version()
    }

    /// Its target.
    pub fn uri(&self) -> &Uri {
        self.request.uri()
    }

    /// Its fields.
    pub fn fields(&self) -> Fields<'_> {
        Fields::both(self.lines.as_ref(), self.request.headers())
    }

    /// The first value of this name, for later.
    pub fn hold(&self, name: &HeaderName) -> Option<Held> {
        match &self.lines {
            Some(lines) => lines.hold(name),
            None => self.request.headers().get(name).cloned().map(Held::Value),
        }
    }

    /// Its fields as they came, of a request that is nothing but a head.
    pub fn lines(&mut self) -> Option<&mut Received> {
        self.lines.as_mut()
    }

    /// The same, of which none is left.
    pub fn take_lines(&mut self) -> Option<Received> {
        self.lines.take()
    }

    /// It itself, with a map of its fields from here on.
    pub fn request(&mut self) -> &mut Request {
        if let Some(lines) = self.lines.take() {
            *self.request.headers_mut() = lines.map();
        }
        &mut self.request
    }

    /// It itself, with a map of its fields.
    pub fn into_request(mut self) -> Request {
        self.request();
        self.request
    }
}

/// An answer on its way to a client.
#[derive(Debug)]
pub struct Reply<B = Body> {
    /// Its fields as an app wrote them, unless they are in the map. What is in the map then is beside them.
    lines: Option<Received>,
    response: hyper::Response<B>,
}

impl<B> From<hyper::Response<B>> for Reply<B> {
    fn from(response: hyper::Response<B>) -> Self {
        Self { lines: None, response }
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
        self.response.extensions().get::<Unsaid>().is_some()
    }
}

impl<B> Reply<B> {
    /// One whose fields are as an app wrote them.
    pub fn plain(status: StatusCode, lines: Received, body: B) -> Self {
        let mut response = hyper::Response::new(body);
        *response.status_mut() = status;
        Self { lines: Some(lines), response }
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Puts a field in, in place of all that are called so.
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        if let Some(lines) = &mut self.lines {
            lines.retain(|field| !field.is(name.as_str()));
        }
        self.response.headers_mut().insert(name, value);
    }

    /// The same, with a map of its fields.
    pub fn into_response(mut self) -> hyper::Response<B> {
        if let Some(lines) = self.lines {
            let beside = std::mem::replace(self.response.headers_mut(), lines.map());
            self.response.headers_mut().extend(beside);
        }
        self.response
    }

    /// Of what [`Self::into_parts`] gives.
    pub fn from_parts(lines: Option<Received>, head: Parts, body: B) -> Self {
        Self { lines, response: hyper::Response::from_parts(head, body) }
    }

    /// Its fields as an app wrote them, if they are, and all the rest.
    pub fn into_parts(self) -> (Option<Received>, Parts, B) {
        let (head, body) = self.response.into_parts();
        (self.lines, head, body)
    }
}
