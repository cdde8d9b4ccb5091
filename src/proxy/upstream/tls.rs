//! TLS towards apps: whom an app's certificate has to convince, and what is shown to the app.
//!
//! Verified always, by the machine's certificate authorities or by a route's own, and to the name that the route
//! says; the one way around is a key with `dangerous` in its name. Versions 1.2 and 1.3, and sessions are resumed
//! across all cores. HTTP/2 and HTTP/1.1 are offered, and HTTP/1.1 alone for tunnels (ALPN, RFC 7301). Loaded by
//! `config`, read again by `gateway` when files change, used by `dial`.

mod trust;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, InconsistentKeys, RootCertStore};

use crate::clock::Timestamp;
use crate::route::Place;
use crate::x509;

pub(super) use trust::words;

/// What TLS to an app demands, and what it shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Settings {
    /// PEM files with the authorities that are believed, in place of the system's.
    pub authorities: Vec<PathBuf>,
    /// The name that the certificate has to be for; default: the address's host.
    pub server_name: Option<ServerName<'static>>,
    /// What we show when the app asks who we are.
    pub identity: Option<Identity>,
    /// Whether the certificate is looked at.
    pub verification: Verification,
    /// Whether HTTP/2 is offered.
    pub http2: Http2,
}

/// Our certificate towards an app.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// PEM: our certificate, then the intermediate ones.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub private_key: PathBuf,
}

/// Whether an app's certificate is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verification {
    /// Its authority, its dates and its name.
    #[default]
    Full,
    /// Not at all: whoever stands in between is believed to be the app.
    DangerousNone,
}

/// Whether HTTP/2 is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Http2 {
    /// The app takes what it prefers.
    #[default]
    Offered,
    /// HTTP/1.1 alone.
    NotOffered,
}

/// Why TLS to an app cannot be set up.
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
    /// A file is no PEM file, or does not hold what it should.
    #[error("{} holds no {what} in PEM", file.display())]
    Missing {
        /// Which.
        file: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// A certificate cannot be an authority.
    #[error("{} holds a certificate that cannot be read: {cause}", file.display())]
    Authority {
        /// Which.
        file: PathBuf,
        /// In the words of rustls.
        cause: rustls::Error,
    },
    /// The machine has no list of authorities.
    #[error("this machine has no certificate authorities to verify an app by")]
    NoAuthorities,
    /// The key is not the certificate's.
    #[error("the private key in {} does not belong to the first certificate in {}", private_key.display(), certificate.display())]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        private_key: PathBuf,
    },
    /// Our certificate has ended; told when it would take the place of another.
    #[error("the certificate in {} has ended", file.display())]
    Ended {
        /// Which.
        file: PathBuf,
    },
    /// rustls refuses all of it.
    #[error("TLS cannot be set up: {0}")]
    Refused(rustls::Error),
}

/// What connections to the addresses of one route speak TLS with, for all cores. Clones share what is read anew.
#[derive(Clone, Debug)]
pub struct Connector {
    current: Arc<ArcSwap<Current>>,
    settings: Arc<Settings>,
}

/// What was read of a route's files.
#[derive(Debug)]
pub struct Current {
    /// Offers what the route allows.
    pub(super) any: Arc<ClientConfig>,
    /// Offers HTTP/1.1 alone.
    pub(super) http1: Arc<ClientConfig>,
    /// Of all that the files held.
    digest: Vec<u8>,
}

/// The certificate authorities of this machine.
pub fn system_authorities() -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Arc::new(roots)
}

impl Connector {
    /// Reads the files. `system` is asked only when the route has no authorities of its own.
    ///
    /// # Errors
    /// [`Problem`], which names the file and what is wrong with it.
    pub fn load(settings: Settings, system: impl FnOnce() -> Arc<RootCertStore>) -> Result<Self, Problem> {
        let current = Arc::new(ArcSwap::from_pointee(Current::read(&settings, system)?));
        Ok(Self { current, settings: Arc::new(settings) })
    }

    /// The files that it was read from.
    pub fn files(&self) -> Vec<PathBuf> {
        let identity = self.settings.identity.iter();
        let ours = identity.flat_map(|identity| [&identity.certificate, &identity.private_key]);
        self.settings.authorities.iter().chain(ours).cloned().collect()
    }

    /// Reads them again; `None` when they hold what they held.
    ///
    /// # Errors
    /// [`Problem`], as at first, or when our certificate has ended.
    pub fn read_again(&self, now: Timestamp) -> Result<Option<Current>, Problem> {
        if digest(&self.settings)? == self.current.load().digest {
            return Ok(None);
        }
        if let Some(Identity { certificate, .. }) = &self.settings.identity {
            let chain = certificates(certificate)?;
            let validity = chain.first().and_then(|first| x509::read(first)).map(|fields| fields.validity);
            if validity.is_some_and(|validity| validity.not_after < now) {
                return Err(Problem::Ended { file: certificate.clone() });
            }
        }
        Current::read(&self.settings, system_authorities).map(Some)
    }

    /// New connections are made with this; those that are open stay.
    pub fn take_up(&self, new: Current) {
        self.current.store(Arc::new(new));
    }

    /// What a new connection is made with.
    pub(super) fn current(&self) -> Arc<Current> {
        self.current.load_full()
    }

    /// What it was made by.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether an app may choose HTTP/2.
    pub(super) fn offers_http2(&self) -> bool {
        self.settings.http2 == Http2::Offered
    }

    /// The name that a certificate from there has to be for; `None` when the place is not one that certificates
    /// name.
    pub(super) fn name_for(&self, place: &Place) -> Option<ServerName<'static>> {
        match (&self.settings.server_name, place) {
            (Some(name), _) => Some(name.clone()),
            (None, Place::Tcp { host, .. }) => ServerName::try_from(host.clone()).ok(),
            (None, Place::Unix(_)) => None,
        }
    }
}

impl Current {
    fn read(settings: &Settings, system: impl FnOnce() -> Arc<RootCertStore>) -> Result<Self, Problem> {
        // Before they are read: what is written in between is found to be different at the next look.
        let digest = digest(settings)?;
        let provider = Arc::new(default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(Problem::Refused)?;
        let builder = match settings.verification {
            Verification::DangerousNone => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(trust::Anybody::new(&provider)))
            }
            Verification::Full => {
                let roots = if settings.authorities.is_empty() { system() } else { own(&settings.authorities)? };
                if roots.is_empty() {
                    return Err(Problem::NoAuthorities);
                }
                builder.with_root_certificates(roots)
            }
        };
        let mut config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, private_key }) => {
                let chain = certificates(certificate)?;
                builder.with_client_auth_cert(chain, key(private_key)?).map_err(|cause| match cause {
                    rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                        Problem::Mismatch { certificate: certificate.clone(), private_key: private_key.clone() }
                    }
                    cause => Problem::Refused(cause),
                })?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = Arc::new(config.clone());
        if settings.http2 == Http2::Offered {
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        }
        Ok(Self { any: Arc::new(config), http1, digest })
    }
}

/// Of all that the files hold.
fn digest(settings: &Settings) -> Result<Vec<u8>, Problem> {
    let mut context = Context::new(&SHA256);
    let identity = settings.identity.iter();
    let ours = identity.flat_map(|identity| [&identity.certificate, &identity.private_key]);
    for file in settings.authorities.iter().chain(ours) {
        let mut bytes = read(file)?;
        context.update(&bytes.len().to_be_bytes());
        context.update(&bytes);
        // It may be the key.
        zeroize::Zeroize::zeroize(&mut bytes);
    }
    Ok(context.finish().as_ref().to_vec())
}

fn own(files: &[PathBuf]) -> Result<Arc<RootCertStore>, Problem> {
    let mut roots = RootCertStore::empty();
    for file in files {
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|cause| Problem::Authority { file: file.clone(), cause })?;
        }
    }
    Ok(Arc::new(roots))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let pem = read(file)?;
    let missing = || Problem::Missing { file: file.to_owned(), what: "certificate" };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    certificates.ok().filter(|certificates| !certificates.is_empty()).ok_or_else(missing)
}

fn key(file: &Path) -> Result<PrivateKeyDer<'static>, Problem> {
    let mut pem = read(file)?;
    // The words of an error could quote a line of the file, which may be the key.
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_: pem::Error| Problem::Missing { file: file.to_owned(), what: "unencrypted private key" });
    zeroize::Zeroize::zeroize(&mut pem);
    key
}

fn read(file: &Path) -> Result<Vec<u8>, Problem> {
    std::fs::read(file).map_err(|cause| Problem::Unreadable { file: file.to_owned(), cause })
}

/// The alert that the other side ended TLS with, when that is what happened.
pub(super) fn alert_in(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref() {
        Some(fault @ rustls::Error::AlertReceived(_)) => Some(fault.to_string()),
        _ => None,
    }
}
