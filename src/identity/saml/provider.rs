//! A SAML identity provider at work: what was configured, what its metadata says today, and an attempt's two ends.
//!
//! Trust comes from the configuration or from metadata at a place that the configuration names, never from a
//! message. Metadata is read again on a schedule; what cannot be used changes nothing, so a bad day at the provider
//! keeps nobody out before the metadata's own end. Called by `identity::Provider`, `login` and `cli check`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hyper::{Request, StatusCode};
use tokio::sync::Mutex;

use super::metadata::{BadMetadata, Metadata};
use super::setup::{Place, Setup, Source};
use super::{Asked, Reauthentication, Sending, Settings, SignOut, logout, metadata, new_id};
use crate::clock::Timestamp;
use crate::http::client::Client;
use crate::http::path::LocalPath;
use crate::identity::trouble::Trouble;
use crate::identity::{
    Account, Attempt, Begun, BrowserReason, Fault, Handle, Posted, ProviderName, Secrets, SignedIn, Way,
};
use crate::secret::random_token;

/// How often metadata at an address is fetched.
const FETCHED: Duration = Duration::from_secs(3600);

/// How long visitors do without asking again while there is none.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a provider cannot be made of its settings.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The settings.
    #[error(transparent)]
    Settings(#[from] super::SetupProblem),
    /// The HTTP client.
    #[error(transparent)]
    Client(#[from] crate::http::client::SetupProblem),
}

/// Why metadata was not taken.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// The file is unreadable.
    #[error("the metadata {0} cannot be read: {1}")]
    Unreadable(Place, String),
    /// It is no metadata that can be used.
    #[error("the metadata {0} cannot be used: {1}")]
    Bad(Place, BadMetadata),
    /// It is another provider's.
    #[error("the metadata {0} is of {1:?}, not of {2:?}")]
    Issuer(Place, String, String),
    /// It has ended.
    #[error("the metadata {0} was valid until a moment that has passed")]
    Ended(Place),
    /// The settings that it makes are refused.
    #[error("the metadata {0} cannot be used: {1}")]
    Settings(Place, super::SetupProblem),
}

/// What is believed at the moment.
struct Believed {
    settings: Settings,
    /// The metadata's own end.
    until: Option<Timestamp>,
}

/// A SAML identity provider.
pub struct Provider {
    setup: Setup,
    client: Option<Client>,
    believed: ArcSwapOption<Believed>,
    /// When metadata was read.
    fetched: AtomicU64,
    /// When somebody last asked for it who had none.
    asked: Mutex<Timestamp>,
}

/// A sign-in that was accepted, as far as the message goes.
#[derive(Debug)]
pub struct Accepted {
    /// Who.
    pub signed_in: SignedIn,
    /// What may be used once.
    pub assertion_id: String,
    /// Until when that must be remembered.
    pub remember_until: Timestamp,
    /// Where they want to go, if nobody here sent them.
    pub return_to: Option<LocalPath>,
}

impl Provider {
    /// Checks the settings; metadata is not read yet.
    ///
    /// # Errors
    /// [`Unusable`] says what to change.
    pub fn new(setup: Setup) -> Result<Self, Unusable> {
        let mut client = None;
        let mut believed = None;
        match &setup.source {
            Source::Pinned { issuer, sso_url, slo_url, certificates } => {
                let there = slo_url.clone().map(|url| SignOut { url, binding: setup.binding });
                let at = (sso_url.clone(), setup.binding);
                let settings = setup.settings(issuer.clone(), at, there, certificates.clone(), setup.requests);
                settings.check()?;
                believed = Some(Arc::new(Believed { settings, until: None }));
            }
            Source::Metadata { place: Place::Address(_), .. } => {
                client = Some(Client::new(setup.timeout, setup.ca.as_deref())?);
            }
            Source::Metadata { place: Place::File(_), .. } => {}
        }
        Ok(Self {
            setup,
            client,
            believed: ArcSwapOption::new(believed),
            fetched: AtomicU64::new(0),
            asked: Mutex::new(Timestamp(0)),
        })
    }

    /// Its name in the configuration.
    pub fn name(&self) -> &ProviderName {
        &self.setup.name
    }

    /// What it was made of.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }

    /// What is believed now.
    ///
    /// # Errors
    /// When the metadata was never read, or has ended.
    pub fn settings(&self, now: Timestamp) -> Result<impl std::ops::Deref<Target = Settings> + use<>, Fault> {
        let believed = self.believed.load_full();
        let believed =
            believed.ok_or_else(|| Fault::ProviderUnreachable("its metadata could not be read yet".to_owned()))?;
        if believed.until.is_some_and(|until| now >= until) {
            return Err(Fault::ProviderUnreachable("its metadata has ended and no newer could be read".to_owned()));
        }
        Ok(Current(believed))
    }

    /// What is believed now, after reading metadata if nothing is: by one visitor at a time, and not by each.
    async fn believed(&self, now: Timestamp) -> Result<impl std::ops::Deref<Target = Settings> + use<>, Fault> {
        if self.settings(now).is_err() && matches!(self.setup.source, Source::Metadata { .. }) {
            let mut asked = self.asked.lock().await;
            if self.settings(now).is_err() && now.since(*asked) >= PATIENCE {
                *asked = now;
                if let Err(problem) = self.read(now).await {
                    return Err(Fault::ProviderUnreachable(problem.to_string()));
                }
            }
        }
        self.settings(now)
    }

    /// Reads metadata again when it is time: a file at each call, an address each hour.
    ///
    /// # Errors
    /// When nothing is believed: with something to believe, what cannot be read is logged and left.
    pub async fn warm(&self, now: Timestamp) -> Result<(), Fault> {
        let Source::Metadata { place, .. } = &self.setup.source else { return Ok(()) };
        let fetched = Timestamp(self.fetched.load(Ordering::Relaxed));
        if matches!(place, Place::Address(_)) && self.settings(now).is_ok() && now.since(fetched) < FETCHED {
            return Ok(());
        }
        match self.read(now).await {
            Ok(()) => {
                self.fetched.store(now.0, Ordering::Relaxed);
                Ok(())
            }
            Err(problem) if self.settings(now).is_ok() => {
                tracing::warn!(provider = %self.setup.name, %problem, "metadata is left as it was");
                Ok(())
            }
            Err(problem) => Err(Fault::ProviderUnreachable(problem.to_string())),
        }
    }

    /// Reads metadata now, and believes it from now on.
    ///
    /// # Errors
    /// [`NotTaken`]; then what was believed before still is.
    pub async fn read(&self, now: Timestamp) -> Result<(), NotTaken> {
        let Source::Metadata { place, issuer } = &self.setup.source else { return Ok(()) };
        let document = self.load(place).await.map_err(|cause| NotTaken::Unreadable(place.clone(), cause))?;
        let metadata = Metadata::read(&document).map_err(|bad| NotTaken::Bad(place.clone(), bad))?;
        let before = self.believed.load_full();
        let wanted = issuer.as_ref().or(before.as_ref().map(|before| &before.settings.issuer));
        if let Some(wanted) = wanted.filter(|wanted| **wanted != metadata.entity_id) {
            return Err(NotTaken::Issuer(place.clone(), metadata.entity_id, wanted.clone()));
        }
        if metadata.valid_until.is_some_and(|until| now >= until) {
            return Err(NotTaken::Ended(place.clone()));
        }
        let until = metadata.valid_until;
        let nowhere = || NotTaken::Bad(place.clone(), BadMetadata::Shape("it has no address to sign in"));
        let settings = self.setup.settings_of(metadata).ok_or_else(nowhere)?;
        settings.check().map_err(|problem| NotTaken::Settings(place.clone(), problem))?;
        self.believed.store(Some(Arc::new(Believed { settings, until })));
        Ok(())
    }

    async fn load(&self, place: &Place) -> Result<String, String> {
        let bytes = match (place, &self.client) {
            (Place::File(path), _) => tokio::fs::read(path).await.map_err(|error| error.to_string())?,
            (Place::Address(url), Some(client)) => {
                let request = Request::get(url.as_str()).body(Vec::new()).map_err(|error| error.to_string())?;
                let answer = client.send(request).await.map_err(|problem| Trouble::from(problem).to_string())?;
                if answer.status() != StatusCode::OK {
                    return Err(format!("it answered {}", answer.status().as_u16()));
                }
                answer.into_body()
            }
            (Place::Address(_), None) => return Err("there is no client to fetch it with".to_owned()),
        };
        String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
    }

    /// See [`crate::identity::Provider::begin`]; `callback` is where the answer is posted to.
    ///
    /// # Errors
    /// When nothing is believed, or the question cannot be signed.
    pub async fn begin(
        &self,
        origin: &str,
        callback: &str,
        return_to: LocalPath,
        account: Account,
        now: Timestamp,
    ) -> Result<Begun, Fault> {
        let settings = self.believed(now).await?;
        let (state, request_id) = (random_token()?, new_id()?);
        let sending = match account {
            Account::Any => super::ask(&settings, &request_id, callback, &state, now),
            // Nothing depends on whether it did ask: the answer is judged as ever.
            Account::Another => {
                let anew = Settings { reauthentication: Reauthentication::Required, ..settings.clone() };
                super::ask(&anew, &request_id, callback, &state, now)
            }
        };
        let sending = sending.map_err(|problem| Fault::OurKey(problem.to_string()))?;
        let attempt = Attempt {
            state,
            secrets: Secrets::Saml { request_id },
            provider: self.setup.name.clone(),
            origin: origin.to_owned(),
            return_to,
            started: now,
        };
        Ok(Begun { way: sending.into(), attempt })
    }

    /// Judges the answer to an attempt of this browser, or one that nobody here asked for.
    ///
    /// # Errors
    /// Whatever was wrong; nobody is signed in then.
    pub fn complete(
        &self,
        attempt: Option<&Attempt>,
        response: &str,
        relay_state: Option<&str>,
        callback: &str,
        now: Timestamp,
    ) -> Result<Accepted, Fault> {
        let settings = self.settings(now)?;
        let asked = match attempt {
            None => None,
            Some(Attempt { secrets: Secrets::Saml { request_id }, provider, started, .. })
                if *provider == self.setup.name =>
            {
                Some(Asked { id: request_id, at: *started })
            }
            Some(_) => return Err(Fault::BrowserMisbehaved(BrowserReason::IssuerMismatch)),
        };
        let consumed = super::consume(response, relay_state, asked, callback, now, &settings)?;
        let handle = Handle::kept(consumed.name_id, consumed.session_index);
        let signed_in = SignedIn::new(consumed.identity, self.setup.name.clone());
        Ok(Accepted {
            signed_in: signed_in.known_as(handle, consumed.session_not_on_or_after),
            assertion_id: consumed.assertion_id,
            remember_until: consumed.remember_until,
            return_to: consumed.return_to,
        })
    }

    /// Where people sign out at the provider, when single logout is on.
    pub fn sign_out_address(&self, now: Timestamp) -> Option<String> {
        let settings = self.settings(now).ok()?;
        settings.key.as_ref()?;
        settings.sign_out.as_ref().map(|there| there.url.to_string())
    }

    /// Asks the provider to sign somebody out too; `None` when single logout is off.
    ///
    /// # Errors
    /// When the request cannot be made.
    pub fn sign_out(&self, handle: &Handle, now: Timestamp) -> Result<Option<Way>, Fault> {
        let settings = self.settings(now)?;
        if settings.sign_out.is_none() || settings.key.is_none() {
            return Ok(None);
        }
        let index = handle.index.as_deref();
        let sending = logout::request(&settings, &new_id()?, &handle.name, index, None, now);
        sending.map(|sending| Some(sending.into())).map_err(|problem| Fault::OurKey(problem.to_string()))
    }

    /// Judges a logout message of the provider.
    ///
    /// # Errors
    /// Whatever was wrong; nothing is done then.
    pub fn receive(&self, arrived: logout::Arrived<'_>, here: &str, now: Timestamp) -> Result<logout::Logout, Fault> {
        let settings = self.settings(now)?;
        Ok(logout::receive(arrived, here, now, &settings)?)
    }

    /// Answers its logout request; `None` when there is nowhere to answer to.
    ///
    /// # Errors
    /// When the answer cannot be made.
    pub fn answer(&self, id: &str, relay_state: Option<&str>, now: Timestamp) -> Result<Option<Way>, Fault> {
        let settings = self.settings(now)?;
        if settings.sign_out.is_none() || settings.key.is_none() {
            return Ok(None);
        }
        let sending = logout::response(&settings, &new_id()?, id, logout::Outcome::SignedOut, relay_state, now);
        sending.map(|sending| Some(sending.into())).map_err(|problem| Fault::OurKey(problem.to_string()))
    }

    /// Our own metadata, for the administrator.
    ///
    /// # Errors
    /// When the provider's could not be read yet: ours says whether logout is on.
    pub fn our_metadata(&self, callbacks: &[String], logouts: &[String], now: Timestamp) -> Result<String, Fault> {
        Ok(metadata::write(&*self.settings(now)?, callbacks, logouts))
    }
}

/// What is believed, held while it is used.
struct Current(Arc<Believed>);

impl std::ops::Deref for Current {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.0.settings
    }
}

impl From<Sending> for Way {
    fn from(sending: Sending) -> Self {
        match sending {
            Sending::Redirect(location) => Self::Redirect(location),
            Sending::Post { action, fields } => Self::Form(Posted { action, fields }),
        }
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("name", &self.setup.name).finish_non_exhaustive()
    }
}
