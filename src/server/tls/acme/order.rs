//! One order, from the first question to a certificate in the folder (RFC 8555 section 7.4).
//!
//! The library signs, numbers and repeats what has to be repeated; here is what is asked for, with whose key, and
//! what becomes of it. Every order begins with the directory and the account as they are kept, so that nothing is
//! remembered that a restart would forget; it ends within a deadline, and whatever it showed is taken down with it.
//! Called by `gateway`, one order at a time.

use std::sync::Arc;
use std::time::Duration;

use instant_acme::{
    AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::challenge::{Challenges, Unmade};
use super::fault::{self, Cause, Fault};
use super::folder::{Account, Folder, Unkept};
use super::schedule::{Advice, due, name_of};
use super::wire::Wire;
use super::{Proof, Settings};
use crate::clock::Timestamp;
use crate::http::client::{Client, SetupProblem};
use crate::server::tls::Pair;

/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(30);
/// How long one order may take: authorities look at a host from several places, one after the other.
const ORDER: Duration = Duration::from_secs(180);
/// How often it is asked whether they are done.
const POLL: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(250)).backoff(1.5).timeout(Duration::from_secs(90));

/// Somebody who orders certificates.
pub struct Orders {
    settings: Settings,
    folder: Folder,
    client: Client,
    challenges: Arc<Challenges>,
}

impl Orders {
    /// As the settings say; `challenges` are the front door's.
    ///
    /// # Errors
    /// [`SetupProblem`] when the file of the directory's own authority is unusable.
    pub fn new(settings: Settings, challenges: Arc<Challenges>) -> Result<Self, SetupProblem> {
        let client = Client::new(QUESTION, settings.ca.as_deref())?;
        Ok(Self { folder: Folder::of(&settings), settings, client, challenges })
    }

    /// What is ordered where.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where it is kept.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Orders a certificate for `name` and keeps it in place of `old`, unless somebody else has done so by `now`.
    ///
    /// # Errors
    /// [`Fault`] says whose fault it is that there is none.
    pub async fn order(&self, name: &str, old: Option<&Pair>, now: Timestamp) -> Result<(), Fault> {
        match tokio::time::timeout(ORDER, self.place(name, old, now)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Fault::TimedOut(ORDER)),
        }
    }

    /// When the authority would like `pair` to be renewed, where it says such things.
    ///
    /// # Errors
    /// [`Fault`] says why that cannot be learned.
    pub async fn advice(&self, pair: &Pair) -> Result<Option<Advice>, Fault> {
        let Some(name) = name_of(pair) else { return Ok(None) };
        // Somebody else's turn is no time to look at the account, which may be changing.
        let Some(_turn) = self.aside(|folder| folder.lock()).await?? else { return Ok(None) };
        if self.aside(|folder| folder.account()).await??.is_none() {
            return Ok(None);
        }
        let wire = Wire::new(self.client.clone());
        let fault = |error| Fault::of(error, wire.heard());
        let account = self.account(&wire, Known::Kept).await?;
        let (info, again) = match account.renewal_info(&name).await {
            Ok(answer) => answer,
            Err(Error::Unsupported(_)) => return Ok(None),
            Err(error) => return Err(fault(error)),
        };
        let moment = |date: OffsetDateTime| Timestamp(u64::try_from(date.unix_timestamp()).unwrap_or_default());
        let window = (moment(info.suggested_window.start), moment(info.suggested_window.end));
        Ok(Advice::of(pair, window, again))
    }

    async fn place(&self, name: &str, old: Option<&Pair>, now: Timestamp) -> Result<(), Fault> {
        let turn = self.aside(|folder| folder.lock()).await??;
        let Some(_turn) = turn else { return Err(Fault::Taken) };
        // Whoever had the turn before may have ordered this very one.
        let host = name.to_owned();
        let kept = self.aside(move |folder| folder.kept(&host)).await?;
        let is_new = |pair: &Pair| old.is_none_or(|old| !old.is_same(pair)) && due(pair) > now;
        if kept.as_ref().is_some_and(is_new) {
            return Ok(());
        }
        let host = name.to_owned();
        self.aside(move |folder| folder.make_room(&host)).await??;
        let pem = match self.obtain(name, Known::Kept).await {
            // An authority that has forgotten us, as test servers do, is introduced to us again.
            Err(Fault::Refused { cause: Cause::NoAccount, .. }) => self.obtain(name, Known::Anew).await?,
            outcome => outcome?,
        };
        let host = name.to_owned();
        let kept = self.aside(move |folder| folder.keep(&host, pem.as_bytes(), now)).await??;
        kept.map_err(|problem| Fault::Unusable(problem.to_string()))
    }

    /// Key and chain in PEM.
    async fn obtain(&self, name: &str, known: Known) -> Result<Zeroizing<String>, Fault> {
        let wire = Wire::new(self.client.clone());
        let fault = |error| Fault::of(error, wire.heard());
        let account = self.account(&wire, known).await?;
        let identifiers = [Identifier::Dns(name.to_owned())];
        let mut order = account.new_order(&NewOrder::new(&identifiers)).await.map_err(fault)?;
        self.prove(name, &mut order, &wire).await?;
        let key = KeyPair::generate().map_err(Unmade::from)?;
        let mut wishes = CertificateParams::new([name.to_owned()]).map_err(Unmade::from)?;
        wishes.distinguished_name = DistinguishedName::new();
        let request = wishes.serialize_request(&key).map_err(Unmade::from)?;
        order.finalize_csr(request.der()).await.map_err(fault)?;
        let chain = order.poll_certificate(&POLL).await.map_err(fault)?;
        let key = Zeroizing::new(key.serialize_pem());
        Ok(Zeroizing::new(format!("{}{chain}", *key)))
    }

    /// Convinces the authority that `name` is ours.
    async fn prove(&self, name: &str, order: &mut Order, wire: &Wire) -> Result<(), Fault> {
        let fault = |error| Fault::of(error, wire.heard());
        // Both are taken down with this.
        let (mut shown, mut told, mut refused) = (Vec::new(), Vec::new(), None);
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(fault)?;
            match authorization.status {
                // It was proved a while ago.
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                _ => break,
            }
            let proof = self.settings.proof;
            let kind = match proof {
                Proof::Handshake => ChallengeType::TlsAlpn01,
                Proof::Http => ChallengeType::Http01,
            };
            let mut challenge = authorization.challenge(kind).ok_or(Fault::NoChallenge(proof.name()))?;
            let known = challenge.key_authorization();
            match proof {
                Proof::Handshake => {
                    let digest = known.digest();
                    let digest = digest.as_ref().try_into().map_err(|_| Fault::NoChallenge(proof.name()))?;
                    shown.push(self.challenges.show(name, digest)?);
                }
                Proof::Http => told.push(self.challenges.tokens.tell(name, &challenge.token, known.as_str())),
            }
            match challenge.set_ready().await {
                Ok(()) => {}
                // A fast authority has looked already.
                Err(Error::Api(problem)) => {
                    refused = Some(problem);
                    break;
                }
                Err(error) => return Err(fault(error)),
            }
        }
        if refused.is_some() {
            return Err(why(order, refused, wire).await);
        }
        match order.poll_ready(&POLL).await {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) => Err(why(order, None, wire).await),
            Err(Error::Api(problem)) => Err(why(order, Some(problem), wire).await),
            Err(error) => Err(fault(error)),
        }
    }

    async fn account(&self, wire: &Wire, known: Known) -> Result<instant_acme::Account, Fault> {
        let fault = |error| Fault::of(error, wire.heard());
        let builder = || instant_acme::Account::builder_with_http(Box::new(wire.clone()));
        let contact: Vec<String> = self.settings.contact.iter().map(|address| format!("mailto:{address}")).collect();
        let addresses: Vec<&str> = contact.iter().map(String::as_str).collect();
        let kept = match known {
            Known::Kept => self.aside(|folder| folder.account()).await??,
            Known::Anew => None,
        };
        let (account, credentials) = match kept {
            Some(kept) => {
                let unreadable = |_| self.unreadable();
                let credentials = serde_json::from_value(kept.credentials.clone()).map_err(unreadable)?;
                let account = builder().from_credentials(credentials).await.map_err(fault)?;
                if kept.contact == self.settings.contact {
                    return Ok(account);
                }
                account.update_contacts(&addresses).await.map_err(fault)?;
                (account, kept.credentials)
            }
            None => {
                let wishes =
                    NewAccount { contact: &addresses, terms_of_service_agreed: true, only_return_existing: false };
                let made = builder().create(&wishes, self.settings.directory.clone(), None).await.map_err(fault)?;
                (made.0, serde_json::to_value(made.1).map_err(|_| self.unreadable())?)
            }
        };
        let kept = Account { contact: self.settings.contact.clone(), credentials };
        self.aside(move |folder| folder.keep_account(&kept)).await??;
        Ok(account)
    }

    fn unreadable(&self) -> Unkept {
        self.folder.no_account()
    }

    /// The folder may lie where reading and writing take their time.
    async fn aside<T: Send + 'static>(&self, work: impl FnOnce(&Folder) -> T + Send + 'static) -> Result<T, Fault> {
        let folder = self.folder.clone();
        let done = tokio::task::spawn_blocking(move || work(&folder)).await;
        done.map_err(|_| Fault::Misbehaved("work on the folder ended in a panic".to_owned()))
    }
}

/// Which account is asked for.
#[derive(Clone, Copy)]
enum Known {
    /// The one that is kept, if there is one.
    Kept,
    /// A new one.
    Anew,
}

/// Why the authority is not convinced, in its own words: they stand with the challenge, or else with the order.
async fn why(order: &mut Order, told: Option<instant_acme::Problem>, wire: &Wire) -> Fault {
    let mut words = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let Ok(mut authorization) = authorization else { continue };
        match authorization.refresh().await {
            Ok(state) => words.extend(state.challenges.iter().filter_map(|challenge| challenge.error.clone())),
            Err(error) => return Fault::of(error, wire.heard()),
        }
    }
    match (words.is_empty(), told) {
        (true, Some(problem)) => Fault::of(Error::Api(problem), wire.heard()),
        (true, None) => Fault::Unproven("it does not say why".to_owned()),
        (false, _) => {
            let words: Vec<String> = words.iter().map(fault::words).collect();
            Fault::Unproven(words.join("; "))
        }
    }
}
