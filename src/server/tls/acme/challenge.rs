//! The proof that a host is ours, shown within a TLS handshake (`tls-alpn-01`, RFC 8737).
//!
//! The authority asks for the protocol `acme-tls/1` and nothing else, by the host's name, and is shown a certificate
//! that nobody else would believe and that carries what the authority told us. Then the connection is closed: it
//! never reaches HTTP, and no session, ticket or client certificate has to do with it. Asked in every handshake
//! while something is pending, and not at all otherwise. With it is kept what plain HTTP is told (`token`). Called by
//! `order` and by `server::handshake`.

use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::board::{Board, Entry};
use super::token::Tokens;

/// The protocol by which authorities ask (RFC 8737 section 6.2).
const PROTOCOL: &[u8] = b"acme-tls/1";

/// What is to be shown to the authority at the moment, by name.
pub struct Challenges {
    pending: Pending,
    config: Arc<ServerConfig>,
    pub(super) tokens: Tokens,
}

#[derive(Clone, Debug, Default)]
struct Pending(Board<Arc<CertifiedKey>>);

/// Why no answer could be made.
#[derive(Debug, thiserror::Error)]
pub enum Unmade {
    /// The certificate that carries it.
    #[error("the answer to the authority could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// Its key.
    #[error("the answer to the authority could not be made: {0}")]
    Key(#[from] rustls::Error),
}

impl Challenges {
    /// With nothing to show.
    pub(in crate::server::tls) fn new() -> Result<Self, rustls::Error> {
        let pending = Pending::default();
        // Whatever the door demands of browsers: authorities speak 1.2 "or higher", and have no certificates.
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(pending.clone()));
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self { pending, config: Arc::new(config), tokens: Tokens::default() })
    }

    /// What is told to whoever asks that host for that path in plain HTTP, when it is a proof.
    pub fn told(&self, host: &str, path: &str) -> Option<String> {
        self.tokens.answer(host, path)
    }

    /// Whether somebody may come and ask.
    pub(in crate::server) fn are_pending(&self) -> bool {
        !self.pending.0.is_empty()
    }

    /// What is spoken with whoever says this hello, when it asks for a proof.
    pub(in crate::server) fn answer(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut protocols = hello.alpn()?;
        // Section 3: with the single protocol name.
        let asked = protocols.next() == Some(PROTOCOL) && protocols.next().is_none();
        asked.then(|| Arc::clone(&self.config))
    }

    /// Shows `digest`, the hash of the key authorization, to whoever asks for `name`, until the entry is dropped.
    pub(super) fn show(&self, name: &str, digest: [u8; 32]) -> Result<Entry<Arc<CertifiedKey>>, Unmade> {
        let key = KeyPair::generate()?;
        let mut wishes = CertificateParams::new([name.to_owned()])?;
        wishes.distinguished_name = DistinguishedName::new();
        wishes.custom_extensions = vec![CustomExtension::new_acme_identifier(&digest)];
        let chain = vec![wishes.self_signed(&key)?.der().clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        // Not by its `from_der`, which reads the certificate and knows no such extension.
        let key = aws_lc_rs::default_provider().key_provider.load_private_key(key)?;
        Ok(self.pending.0.put(name, &Arc::new(CertifiedKey::new(chain, key))))
    }
}

impl ResolvesServerCert for Pending {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.get(hello.server_name()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::tls::tests::shown_for;

    #[test]
    fn a_proof_is_shown_for_its_name_and_as_long_as_it_is_wanted() {
        let challenges = Challenges::new().unwrap();
        assert!(!challenges.are_pending());
        let shown = challenges.show("a.example.com", [7; 32]).unwrap();
        let other = challenges.show("b.example.com", [8; 32]).unwrap();
        let proof = |name| shown_for(PROTOCOL, &challenges.config, name).map(|proof| proof.as_ref().to_vec());
        let first = proof("a.example.com").unwrap();
        // The critical extension of RFC 8737 section 3: its name, true, and the hash within two octet strings.
        let extension = [&[6, 8, 43, 6, 1, 5, 5, 7, 1, 31, 1, 1, 255, 4, 34, 4, 32][..], &[7; 32]].concat();
        assert!(first.windows(extension.len()).any(|part| part == extension), "{first:?}");
        assert_ne!(proof("b.example.com").unwrap(), first);
        assert!(shown_for(b"http/1.1", &challenges.config, "a.example.com").is_none());
        assert!(proof("c.example.com").is_none());
        drop(shown);
        assert!(proof("a.example.com").is_none() && challenges.are_pending());
        drop(other);
        assert!(!challenges.are_pending());
    }
}
