//! Whether an app still takes what is written to it; when it does not, its answer is listened to all the same.
//!
//! An app may answer and close with a body unread, which resets the connection (RFC 9112 section 9.6). The write that
//! comes next fails, and hyper would stop there, with the answer at hand. So from then on writes come to nothing, as
//! they do at an app that does not read, and reading tells what there is: the answer, or the end. To have them wait
//! instead would be for ever, since hyper closes no connection before all was written. Called by `checked`.

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
    /// What comes of a write or a flush, or `as_if` it had gone well.
    pub(super) fn while_open<T>(
        &mut self,
        as_if: T,
        write: impl FnOnce() -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        if *self == Self::Closed {
            return Poll::Ready(Ok(as_if));
        }
        match write() {
            Poll::Ready(Err(error)) if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset) => {
                *self = Self::Closed;
                Poll::Ready(Ok(as_if))
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
            assert!(matches!(ear.while_open(9, || Poll::Ready(Ok(5))), Poll::Ready(Ok(5))));
            assert!(ear.while_open(9, || Poll::Pending).is_pending());
            assert!(matches!(ear.while_open(9, || Poll::Ready(Err(gone.into()))), Poll::Ready(Ok(9))));
            assert_eq!(ear, Ear::Closed);
            assert!(matches!(ear.while_open(9, || panic!("written to after {gone}")), Poll::Ready(Ok(9))));
        }
    }

    #[test]
    fn any_other_fault_is_told() {
        let mut ear = Ear::Open;
        let told = ear.while_open((), || Poll::Ready(Err(io::ErrorKind::TimedOut.into())));
        assert!(matches!(told, Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::TimedOut));
        assert_eq!(ear, Ear::Open);
    }
}
