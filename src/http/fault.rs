//! Why a request's body did not arrive whole: whoever sent it made it so, or stopped.
//!
//! A body passes through hyper, the gateway and a client of the app's before anybody answers for it; what broke it off
//! lies beneath what they say. Called by whoever reads a body: `server`, `proxy` and `login`.

use std::error::Error;
use std::io;

use super::chunks::Malformed;

/// What is wrong with a body that ended too early.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// It can't be read (RFC 9112 section 7.1). Answer 400.
    #[error("the request's body is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// Whoever sends it is signed in no more. Answer 401.
    #[error(transparent)]
    Ended(#[from] SessionEnded),
    /// No more of it came, or too little. Answer 408.
    #[error("{0}")]
    Broken(String),
}

/// The session that a body is sent under has ended, and the body with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the session ended")]
pub struct SessionEnded;

impl BodyFault {
    /// What is beneath an error of a body.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut beneath = Some(error);
        while let Some(cause) = beneath {
            if let Some(malformed) = cause.downcast_ref::<Malformed>() {
                return Self::Malformed(*malformed);
            }
            if let Some(ended) = cause.downcast_ref::<SessionEnded>() {
                return Self::Ended(*ended);
            }
            // Its source is what is beneath its cause, which it passes over.
            let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
            beneath = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| cause.source());
        }
        Self::Broken(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the outer one")]
    struct Outer(#[source] io::Error);

    #[test]
    fn what_is_malformed_is_found_however_deep_it_lies() {
        let malformed = BodyFault::Malformed(Malformed::Size);
        assert_eq!(BodyFault::of(&Malformed::Size), malformed);
        let inner = || io::Error::new(io::ErrorKind::InvalidData, Malformed::Size);
        assert_eq!(BodyFault::of(&inner()), malformed);
        assert_eq!(BodyFault::of(&Outer(inner())), malformed);
        assert_eq!(BodyFault::of(&Outer(io::Error::other(Outer(inner())))), malformed);
    }

    #[test]
    fn whatever_else_happens_is_no_malformed_body() {
        for broken in [io::Error::from(io::ErrorKind::ConnectionReset), io::Error::other("gone")] {
            assert_eq!(BodyFault::of(&Outer(broken)), BodyFault::Broken("the outer one".to_owned()));
        }
    }
}
