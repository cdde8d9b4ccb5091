//! Client certificates: whose are believed, and why one was not.
//!
//! A further condition at the door, before anybody has said a word of HTTP; who somebody is remains the session's
//! business. Called by `server::tls` and `server::connection`.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{CertificateError, Error, RootCertStore};

use super::pair::certificates;
use super::problem::Problem;

/// Which certificates clients show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// PEM: who may sign them; none are asked for when it is empty.
    pub authorities: Vec<PathBuf>,
    /// Of whom.
    pub demand: Demand,
}

/// Of whom a certificate is demanded, where one is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Demand {
    /// Everybody has to show one.
    #[default]
    Required,
    /// Whoever has one may show it; a bad one is as bad as ever.
    Optional,
}

impl Clients {
    /// Whether they are asked for a certificate.
    pub fn are_asked(&self) -> bool {
        !self.authorities.is_empty()
    }

    /// Checks the files, as [`super::Tls::open`] would: for `config`.
    ///
    /// # Errors
    /// [`Problem`], which names the file.
    pub fn check(&self) -> Result<(), Problem> {
        if self.are_asked() { Authorities::load(self).map(drop) } else { Ok(()) }
    }
}

/// Those who may sign client certificates.
#[derive(Debug)]
pub(super) struct Authorities {
    roots: Arc<RootCertStore>,
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
}

impl Authorities {
    /// What the files say.
    pub(super) fn load(clients: &Clients) -> Result<Self, Problem> {
        let files = &clients.authorities;
        let mut roots = RootCertStore::empty();
        for file in files {
            for certificate in certificates(file)? {
                let unreadable = |_| Problem::UnreadableCertificate { file: file.clone() };
                roots.add(certificate).map_err(unreadable)?;
            }
        }
        let (roots, provider) = (Arc::new(roots), Arc::new(aws_lc_rs::default_provider()));
        let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider);
        if clients.demand == Demand::Optional {
            verifier = verifier.allow_unauthenticated();
        }
        let verifier = verifier.build();
        let file = files.first().cloned().unwrap_or_default();
        let verifier = verifier.map_err(|_| Problem::NoCertificate { file })?;
        Ok(Self { roots, verifier })
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.roots.roots == other.roots.roots
    }

    pub(super) fn count(&self) -> usize {
        self.roots.len()
    }
}

/// Why a client was refused for its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientFault {
    /// It sent none.
    Missing,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// None of the authorities in `client_ca` signed it.
    UnknownIssuer,
    /// It is not for clients, or damaged, or its key did not sign.
    Unfit,
}

impl ClientFault {
    /// The fault behind a handshake's error, when a client certificate was demanded.
    pub(in crate::server) fn of(error: &std::io::Error) -> Option<Self> {
        let error = error.get_ref()?.downcast_ref::<Error>()?;
        match error {
            Error::NoCertificatesPresented => Some(Self::Missing),
            Error::InvalidCertificate(cause) => Some(match cause {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
                CertificateError::UnknownIssuer => Self::UnknownIssuer,
                _ => Self::Unfit,
            }),
            _ => None,
        }
    }

    /// Its name in metrics and logs; never changes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "client_certificate_missing",
            Self::Expired => "client_certificate_expired",
            Self::NotYetValid => "client_certificate_not_yet_valid",
            Self::UnknownIssuer => "client_certificate_unknown_issuer",
            Self::Unfit => "client_certificate_unfit",
        }
    }

    /// The same for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Missing => "a client without a certificate was refused",
            Self::Expired => "a client was refused: its certificate has expired",
            Self::NotYetValid => "a client was refused: its certificate is not valid yet",
            Self::UnknownIssuer => "a client was refused: nobody in client_ca signed its certificate",
            Self::Unfit => "a client was refused: its certificate is unfit",
        }
    }
}
