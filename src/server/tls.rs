//! TLS at the door: certificates by name, client certificates, versions, resumption; replaced while connections run.
//!
//! TLS 1.2 and 1.3 by aws-lc-rs, named explicitly so that no process-wide default decides. No early data: a
//! replayed first flight would be a replayed signed-in request (RFC 8446 section 8). What is read from files is one
//! value, swapped whole, so that a handshake sees the old or the new and an open connection neither. Called by
//! `gateway`, `config` and `cli check`.

pub mod acme;
mod choice;
mod client;
mod pair;
mod problem;
mod reload;
mod revocation;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};
use rustls::{CipherSuite, ServerConfig, SupportedProtocolVersion};

use crate::clock::Timestamp;
use crate::http::Shown;
use choice::Choice;
use client::Authorities;

pub use crate::x509::Validity;
pub use client::{ClientFault, Clients, Demand, Findings};
pub use pair::{Files, Pair};
pub use problem::Problem;
pub use reload::{Change, Look, Occasion, Outcome, Reloader, Watched};

/// Sessions that can be resumed without a ticket, in entries; the default of 256 is too few for one busy minute.
const RESUMABLE_SESSIONS: usize = 20_000;

/// How a door speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Certificates and keys that the operator brings, before those that are ordered. The first of all is shown to
    /// whoever asks for none of the others' names.
    pub pairs: Vec<Files>,
    /// Certificates that are ordered; at least one, where the operator brings none.
    pub ordered: Option<acme::Settings>,
    /// Which certificates clients show.
    pub clients: Clients,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
    /// For how long browsers are told to come by TLS alone (RFC 6797); `gateway` tells them.
    pub hsts: Option<Duration>,
}

/// The oldest version of TLS that is spoken. Older ones than these are not offered at all (RFC 8996).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// With forward secrecy and authenticated encryption alone.
    #[default]
    Tls12,
    /// Nothing else.
    Tls13,
}

impl MinVersion {
    fn offered(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::Tls12 => vec![&rustls::version::TLS13, &rustls::version::TLS12],
            Self::Tls13 => vec![&rustls::version::TLS13],
        }
    }
}

/// Where a certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it lies.
    pub files: Files,
    /// The host that it is ordered for: it need not be there yet.
    pub ordered_for: Option<String>,
}

impl Settings {
    /// Every certificate, in the order in which they are preferred.
    pub fn sources(&self) -> Vec<Source> {
        let brought = self.pairs.iter().map(|files| Source { files: files.clone(), ordered_for: None });
        let ordered = self.ordered.iter().flat_map(|settings| {
            let folder = acme::Folder::of(settings);
            let source = move |name: &String| Source { files: folder.files(name), ordered_for: Some(name.clone()) };
            settings.names.iter().map(source)
        });
        brought.chain(ordered).collect()
    }
}

/// What a door shows and demands in handshakes, as it is now.
pub struct Tls {
    current: ArcSwap<Current>,
    /// Where certificates are ordered.
    challenges: Option<Arc<acme::Challenges>>,
}

/// The same at one time.
pub(super) struct Current {
    pub(super) config: Arc<ServerConfig>,
    choice: Arc<Choice>,
    /// When the first revocation list of each file ends.
    list_ends: Arc<[(PathBuf, Timestamp)]>,
}

impl Current {
    /// Which certificate belongs to a connection that asked for `name`.
    pub(super) fn shown(&self, name: Option<&str>) -> Shown {
        self.choice.shown(name)
    }
}

impl Tls {
    /// Reads every file, for a door that serves the public `hosts`. The [`Reloader`] reads them again.
    ///
    /// # Errors
    /// [`Problem`], which names the file and what is wrong with it.
    pub fn open(settings: Settings, hosts: Vec<String>) -> Result<(Arc<Self>, Reloader), Problem> {
        Reloader::open(settings, hosts)
    }

    pub(super) fn current(&self) -> Arc<Current> {
        self.current.load_full()
    }

    /// Whether the host at that place of the list may be asked for over a connection that was shown this certificate.
    pub fn fits(&self, shown: Shown, host: usize) -> bool {
        self.current.load().choice.fits(shown, host)
    }

    /// The certificates that are shown now, in the order of [`Settings::sources`]; none where one is awaited.
    pub fn pairs(&self) -> Vec<Option<Arc<Pair>>> {
        self.current.load().choice.pairs()
    }

    /// Whether there is anything to show.
    pub fn shows_any(&self) -> bool {
        self.pairs().iter().any(Option::is_some)
    }

    /// When the first revocation list of each file ends, of those that are used now.
    pub fn list_ends(&self) -> Arc<[(PathBuf, Timestamp)]> {
        Arc::clone(&self.current.load().list_ends)
    }

    /// What is shown to those who want proofs, where certificates are ordered.
    pub fn challenges(&self) -> Option<&Arc<acme::Challenges>> {
        self.challenges.as_ref()
    }
}

/// What lets a client come back without a whole handshake; the same for all cores and before and after a reload, or
/// everybody would have to shake hands at once.
///
/// There is none where client certificates are asked for: rustls takes a resumed client's certificate from its
/// ticket and judges it no more, so that one could outlive its end and its authority by half a day.
struct Resumption {
    storage: Arc<dyn StoresServerSessions>,
    /// Seals tickets with keys that it replaces every six hours.
    ticketer: Option<Arc<dyn ProducesTickets>>,
}

impl Resumption {
    fn new(settings: &Settings) -> Result<Self, rustls::Error> {
        if settings.clients.are_asked() {
            return Ok(Self { storage: Arc::new(NoServerSessionStorage {}), ticketer: None });
        }
        let storage = ServerSessionMemoryCache::new(RESUMABLE_SESSIONS);
        Ok(Self { storage, ticketer: Some(aws_lc_rs::Ticketer::new()?) })
    }
}

/// The cipher suites of rustls, all of them as good as there are, in an order of ours: AES with keys of 128 bits, and
/// SHA-256, before those of 256 bits, and SHA-384. Browsers prefer them so, RFC 8446 section 9.1 has everybody know the
/// first, and a handshake is mostly hashing, for SHA-256 of which processors have instructions.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => 0,
        CipherSuite::TLS13_AES_256_GCM_SHA384 | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => 1,
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 2,
        _ => 3,
    });
    provider
}

fn assemble(
    settings: &Settings,
    choice: &Arc<Choice>,
    authorities: Option<&Authorities>,
    resumption: &Resumption,
) -> Result<ServerConfig, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&settings.min_version.offered())?;
    let builder = match authorities {
        Some(authorities) => builder.with_client_cert_verifier(Arc::clone(&authorities.verifier)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::<Choice>::clone(choice));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::clone(&resumption.storage);
    // Each is sealed and sent with a handshake, and a client gets another whenever it comes back.
    config.send_tls13_tickets = usize::from(resumption.ticketer.is_some());
    if let Some(ticketer) = &resumption.ticketer {
        config.ticketer = Arc::clone(ticketer);
    }
    config.max_early_data_size = 0;
    config.ignore_client_order = true;
    Ok(config)
}

#[cfg(test)]
mod tests;
