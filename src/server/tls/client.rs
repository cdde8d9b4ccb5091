//! Client certificates: whose are believed, and why one was not.
//!
//! A further condition at the door, before anybody has said a word of HTTP; who somebody is remains the session's
//! business. Called by `server::tls` and `server::connection`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{CertificateError, Error, RootCertStore};

use super::pair::certificates;
use super::problem::Problem;
use super::revocation::Lists;
use crate::clock::Timestamp;

/// Which certificates clients show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// PEM: who may sign them; none are asked for when it is empty.
    pub authorities: Vec<PathBuf>,
    /// Of whom.
    pub demand: Demand,
    /// PEM or DER: which of them are no longer good; nobody asks when it is empty.
    pub revocations: Vec<PathBuf>,
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

    /// Every file.
    pub(super) fn files(&self) -> Vec<&Path> {
        self.authorities.iter().chain(&self.revocations).map(PathBuf::as_path).collect()
    }

    /// Reads the files, as [`super::Tls::open`] would: for `config` and `cli check`.
    ///
    /// # Errors
    /// [`Problem`], which names the file.
    pub fn read(&self) -> Result<Findings, Problem> {
        if !self.are_asked() {
            return Ok(Findings::default());
        }
        let read = Authorities::load(self)?;
        Ok(Findings { ends: read.lists.ends().to_vec(), lacking: read.lists.lacking(&read.roots) })
    }
}

/// What there is to know about files before they are used.
#[derive(Debug, Default)]
pub struct Findings {
    /// When the first revocation list of each file ends.
    pub ends: Vec<(PathBuf, Timestamp)>,
    /// Authorities for whom no list speaks, where there are lists: what they sign is refused.
    pub lacking: Vec<String>,
}

/// Those who may sign client certificates.
#[derive(Debug)]
pub(super) struct Authorities {
    roots: Arc<RootCertStore>,
    pub(super) lists: Lists,
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
        let lists = Lists::load(&clients.revocations)?;
        let (roots, provider) = (Arc::new(roots), Arc::new(aws_lc_rs::default_provider()));
        let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider);
        if clients.demand == Demand::Optional {
            verifier = verifier.allow_unauthenticated();
        }
        if let Some(lists) = lists.all() {
            // One that has ended may be held back by whoever is on the next.
            verifier = verifier.with_crls(lists).enforce_revocation_expiration();
        }
        let first = |files: &[PathBuf]| files.first().cloned().unwrap_or_default();
        let verifier = verifier.build().map_err(|problem| match problem {
            VerifierBuilderError::InvalidCrl(cause) => {
                Problem::UnreadableList { file: first(&clients.revocations), cause: format!("{cause:?}") }
            }
            _ => Problem::NoCertificate { file: first(files) },
        })?;
        Ok(Self { roots, lists, verifier })
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.roots.roots == other.roots.roots && self.lists == other.lists
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
    /// It is on a list of those that are no longer good, or one of its chain is.
    Revoked,
    /// No list speaks for one of its authorities.
    UnknownStatus,
    /// The list that speaks for one of its authorities has ended.
    EndedList,
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
                CertificateError::Revoked => Self::Revoked,
                CertificateError::UnknownRevocationStatus => Self::UnknownStatus,
                CertificateError::ExpiredRevocationList | CertificateError::ExpiredRevocationListContext { .. } => {
                    Self::EndedList
                }
                _ => Self::Unfit,
            }),
            // Signed by somebody else, or of a kind that is not understood: it says nothing.
            Error::InvalidCertRevocationList(_) => Some(Self::UnknownStatus),
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
            Self::Revoked => "client_certificate_revoked",
            Self::UnknownStatus => "client_certificate_status_unknown",
            Self::EndedList => "client_certificate_list_ended",
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
            Self::Revoked => "a client was refused: its certificate is revoked",
            Self::UnknownStatus => "a client was refused: no list in client_crl speaks for its authority",
            Self::EndedList => "a client was refused: the revocation list of its authority has ended",
            Self::Unfit => "a client was refused: its certificate is unfit",
        }
    }
}
