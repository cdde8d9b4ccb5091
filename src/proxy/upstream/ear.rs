//! Whether an app still takes what is written to it; when it does not, its answer is listened to all the same.
//!
//! An app may answer and close with a body unread, which resets the connection (RFC 9112 section 9.6). The write that
//! comes next fails, and hyper would stop there, with the answer at hand: so such a write is never done, and reading
//! tells what there is, the answer or the end. Called by `checked`.

use std::io;
use std::task::Poll;

/// An app's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ear {
    Open,
    /// It is gone, or soon will be.
    Closed,
}

impl Ear {
    /// What comes of a write or a flush: nothing, once the app is gone. Whoever waits for it is woken by what can be read.
    pub(super) fn while_open<T>(&mut self, write: impl FnOnce() -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        if *self == Self::Closed {
            return Poll::Pending;
        }
        match write() {
            Poll::Ready(Err(error)) if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset) => {
                *self = Self::Closed;
                Poll::Pending
            }
            written => written,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_that_is_gone_is_written_to_no_more() {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        for gone in [BrokenPipe, ConnectionAborted, ConnectionReset] {
            let mut ear = Ear::Open;
            assert!(matches!(ear.while_open(|| Poll::Ready(Ok(5))), Poll::Ready(Ok(5))));
            assert!(ear.while_open(|| Poll::<io::Result<()>>::Ready(Err(gone.into()))).is_pending());
            assert!(ear.while_open(|| -> Poll<io::Result<()>> { panic!("written to after {gone}") }).is_pending());
        }
    }

    #[test]
    fn any_other_fault_is_told() {
        let mut ear = Ear::Open;
        let told = ear.while_open(|| Poll::<io::Result<()>>::Ready(Err(io::ErrorKind::TimedOut.into())));
        assert!(matches!(told, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut));
        assert_eq!(ear, Ear::Open);
    }
}
