//! Why files of certificates and keys cannot be used.
//!
//! Each names its file and what is wrong with it, and never a byte of what stands in it, which may be a key. Made
//! by the `server::tls` family, shown by `config` before the start and by `gateway` when files change later.

use std::io;
use std::path::{Path, PathBuf};

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A file is not there or not ours to read.
    #[error("{} cannot be read: {cause}", file.display())]
    Unreadable {
        /// Which.
        file: PathBuf,
        /// The system's words.
        cause: io::Error,
    },
    /// A file is no PEM file.
    #[error("{} is not a PEM file: it has no readable -----BEGIN ...----- section", file.display())]
    NotPem {
        /// Which.
        file: PathBuf,
    },
    /// No certificate in the certificate file.
    #[error("{} holds no certificate (no -----BEGIN CERTIFICATE-----)", file.display())]
    NoCertificate {
        /// Which.
        file: PathBuf,
    },
    /// What stands in the certificate file is no X.509 certificate.
    #[error("a certificate in {} cannot be read", file.display())]
    UnreadableCertificate {
        /// Which.
        file: PathBuf,
    },
    /// No usable key in the key file.
    #[error("{} holds no private key (an encrypted key cannot be used: decrypt it first)", file.display())]
    NoKey {
        /// Which.
        file: PathBuf,
    },
    /// The key is not the certificate's.
    #[error("the private key in {} does not belong to the first certificate in {}", private_key.display(), certificate.display())]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        private_key: PathBuf,
    },
    /// No list in a file of revocation lists.
    #[error("{} holds no revocation list (no -----BEGIN X509 CRL-----, nor one in DER)", file.display())]
    NoList {
        /// Which.
        file: PathBuf,
    },
    /// A revocation list is none, or of a kind that is not understood.
    #[error("a revocation list in {} cannot be used: {cause}", file.display())]
    UnreadableList {
        /// Which.
        file: PathBuf,
        /// In the words of webpki.
        cause: String,
    },
    /// Two revocation lists of one authority, of which only the first would ever be looked at.
    #[error("{} holds a second revocation list of {authority}: give one list for each authority, the newest", file.display())]
    SecondList {
        /// Which.
        file: PathBuf,
        /// Whose lists they are (RFC 4514).
        authority: String,
    },
    /// A revocation list whose time is over would take the place of lists that are still good.
    #[error("a revocation list in {} has ended", file.display())]
    EndedList {
        /// Which.
        file: PathBuf,
    },
    /// A certificate was ordered for somebody else than it is needed for.
    #[error("the certificate in {} was not made for {host}", file.display())]
    Stranger {
        /// Which.
        file: PathBuf,
        /// Whom it is needed for.
        host: String,
    },
    /// A certificate whose time is over would take the place of one that is still good.
    #[error("the certificate in {} has ended", file.display())]
    Ended {
        /// Which.
        file: PathBuf,
    },
    /// A certificate whose time has not come would take the place of one that is good now.
    #[error("the certificate in {} is not valid yet", file.display())]
    NotYet {
        /// Which.
        file: PathBuf,
    },
    /// rustls refuses what it was given.
    #[error("{} cannot be used: {cause}", file.display())]
    Refused {
        /// The certificate file.
        file: PathBuf,
        /// In the words of rustls.
        cause: rustls::Error,
    },
}

impl Problem {
    /// The file at fault; where two do not fit, the key's.
    pub fn file(&self) -> &Path {
        match self {
            Self::Unreadable { file, .. }
            | Self::NotPem { file }
            | Self::NoCertificate { file }
            | Self::UnreadableCertificate { file }
            | Self::NoKey { file }
            | Self::NoList { file }
            | Self::UnreadableList { file, .. }
            | Self::SecondList { file, .. }
            | Self::EndedList { file }
            | Self::Stranger { file, .. }
            | Self::Ended { file }
            | Self::NotYet { file }
            | Self::Refused { file, .. } => file,
            Self::Mismatch { private_key, .. } => private_key,
        }
    }

    /// Whether there is no such file.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Unreadable { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    }
}
