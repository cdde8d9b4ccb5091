//! The wiring: from a checked configuration to open doors, and back to closed ones.
//!
//! One thread with a current-thread runtime for each core, each with its own listener and its own connections to
//! the apps (about a fifth less CPU for each request than one multi-threaded runtime, measured); shared are the
//! sessions, the routes and the counters. One more thread serves the operator and keeps the provider's keys
//! warm. `run`, `demo`, every integration test and every bench call this same `start`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

use super::Gateway;
use super::certificates::{self, READY, Transport, keep_fresh};
use super::doors::{self, Doors};
use super::orders::{Calls, keep_ordered};
use super::redirect::{NAME, Redirect};
use super::running::Running;
use super::thread;
use super::trust::{self, Trusts};
use crate::admin::{Operator, Readiness};
use crate::clock::Timestamp;
use crate::config::Config;
use crate::identity::SetupProblem;
use crate::login::{Entrance, Entrances, Login};
use crate::pages::{BrokenTemplate, Pages};
use crate::proxy::group::{self, Roster};
use crate::proxy::inject::Injector;
use crate::proxy::upgrade::Tunnels;
use crate::proxy::{self, Proxy};
use crate::route::{self, Routes};
use crate::secret::NoRandomness;
use crate::server::listen::{self, Listener, Opened};
use crate::server::tls::acme::Orders;
use crate::server::tls::{self, Reloader, Tls};
use crate::server::{self, Door, Drain, Events, Limits};
use crate::session::Sessions;
use crate::session::attempt::Attempts;
use crate::session::once::Once;
use crate::telemetry::{AccessLog, Metrics, RequestIds};

/// How often unused connections to apps are looked through.
const SWEEP: Duration = Duration::from_secs(1);

/// How often the provider is asked again while it could not be reached at the start.
const WARM_UP_PAUSE: Duration = Duration::from_secs(5);

/// How often its keys are looked at afterwards; they are fetched only when they are old.
const KEEP_WARM: Duration = Duration::from_secs(60);

/// How often a part of the sessions is looked through.
const SWEEP_SESSIONS: Duration = Duration::from_secs(1);

/// The address of a front door that has none.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// How many connections the operator's listener takes.
const OPERATOR_CONNECTIONS: usize = 64;

/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartProblem {
    /// One of the front door's places, or the operator's address, cannot be listened on.
    #[error(transparent)]
    Listen(#[from] listen::Problem),
    /// The certificate or its key.
    #[error(transparent)]
    Tls(#[from] tls::Problem),
    /// Whom certificates are ordered from.
    #[error("certificates cannot be ordered: {0}")]
    Orders(#[from] crate::http::client::SetupProblem),
    /// The provider's settings.
    #[error(transparent)]
    Provider(#[from] SetupProblem),
    /// A page.
    #[error(transparent)]
    Pages(#[from] BrokenTemplate),
    /// The random source.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// A thread or its runtime.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// What all cores share.
struct House {
    routes: Arc<Routes>,
    login: Arc<Login>,
    metrics: Arc<Metrics>,
    route_settings: Vec<route::Settings>,
    /// By `Route::index`.
    rosters: Vec<Arc<Roster>>,
    proxy: proxy::Settings,
    cores: usize,
    drain: Drain,
    tls_settings: Option<tls::Settings>,
    tls: Option<Arc<Tls>>,
    operator_hosts: Vec<String>,
}

/// Opens the doors.
///
/// # Errors
/// [`StartProblem`]; what was open by then closes, and has served nobody.
pub async fn start(config: Config) -> Result<Running, StartProblem> {
    let metrics = Arc::new(Metrics::new());
    let access = AccessLog::start(&config.log).map_err(StartProblem::Thread)?;
    let (tls, reloader) = certificates::open(&config, &metrics)?.unzip();
    let orders = certificates::orders(&config, tls.as_ref())?;
    let cores = config.server.workers.max(1);
    let Doors { front, redirect, operator } = doors::open(&config)?;
    let operator_address = operator.as_ref().and_then(Opened::address);
    let operator_listener = operator.and_then(|mut opened| opened.listeners.pop()?.pop());

    let ready = Readiness::default();
    if tls.as_ref().is_none_or(|tls| tls.shows_any()) {
        ready.is_certified();
    }
    let house = Arc::new(build_house(&config, &metrics, tls.clone())?);
    let events = doors::events(Arc::clone(&metrics));
    let mut running = Running {
        address: front.address().unwrap_or(NOWHERE),
        places: front.places,
        redirect_address: None,
        operator_address,
        drain: house.drain.clone(),
        operator_drain: Drain::new(),
        deadline: config.server.drain,
        ready: ready.clone(),
        cores: Vec::with_capacity(cores),
        operator: None,
        access,
        files: front.files,
        reread: std::array::from_fn(|_| Arc::new(Notify::new())),
    };
    metrics.watch_sessions({
        let login = Arc::clone(&house.login);
        move || login.sessions.count(Timestamp::now())
    });
    let limits = config.server.limits.share(cores);
    let entry = doors::entry(&config);
    let (begin, begins) = watch::channel(());
    for (index, listeners) in front.listeners.into_iter().enumerate() {
        let gateway = Arc::new(house.gateway(running.access.worker())?);
        let door = Door::of(listeners, tls.clone(), &limits, Arc::clone(&events), house.drain.clone());
        let door = door.asking(entry.clone());
        running.cores.push(
            thread::start(format!("core-{index}"), begins.clone(), serve(door, gateway, house.drain.clone()))
                .map_err(StartProblem::Thread)?,
        );
    }
    if let Some(mut opened) = redirect {
        running.redirect_address = opened.address();
        running.files.append(&mut opened.files);
        let limits = config.server.limits.share(1);
        let listeners = opened.listeners.into_iter().flatten().collect();
        let door = Door::of(listeners, None, &limits, Arc::clone(&events), house.drain.clone()).asking(entry);
        running.cores.push(
            thread::start(NAME.to_owned(), begins.clone(), house.redirect(running.access.worker())?.serve(door))
                .map_err(StartProblem::Thread)?,
        );
    }
    let [ours, theirs] = running.reread.clone();
    running.operator = Some(
        thread::start(
            "operator".to_owned(),
            begins,
            attend_operator(
                operator_listener,
                Arc::clone(&house),
                ready,
                running.operator_drain.clone(),
                reloader.map(|reloader| (reloader, orders, Arc::clone(&ours))),
                theirs,
            ),
        )
        .map_err(StartProblem::Thread)?,
    );
    // Nobody is served by a gateway that may still fail to start.
    begin.send_replace(());
    Ok(running)
}

fn build_house(config: &Config, metrics: &Arc<Metrics>, tls: Option<Arc<Tls>>) -> Result<House, StartProblem> {
    let entrances = Entrances::new(&config.providers)?;
    let on_evicted = {
        let metrics = Arc::clone(metrics);
        move || {
            metrics.server_event("session_evicted");
            tracing::warn!("session.capacity is reached: the session that was unused for longest has ended");
        }
    };
    let login = Login {
        sessions: Sessions::new(config.session.clone(), on_evicted),
        attempts: Attempts::new(config.cookies, config.session.login_timeout, entrances.travel())?,
        entrances,
        once: Once::default(),
        origins: config.origins.clone(),
        pages: Pages::new()?,
        injector: Injector::new(&config.headers),
        cookies: config.cookies,
        prefix: config.prefix.clone(),
        body_limit: config.login_body,
        metrics: Arc::clone(metrics),
    };
    let now = Instant::now();
    let routes = config.routes.iter().zip(&config.proxy.apps);
    Ok(House {
        routes: Arc::new(Routes::new(&config.origins, &config.prefix, &config.routes)),
        login: Arc::new(login),
        metrics: Arc::clone(metrics),
        route_settings: config.routes.clone(),
        rosters: routes.map(|(route, app)| Arc::new(Roster::new(&route.name, app, metrics, now))).collect(),
        proxy: config.proxy.clone(),
        cores: config.server.workers.max(1),
        drain: Drain::new(),
        tls_settings: config.server.tls.clone(),
        tls,
        operator_hosts: config.operator_hosts.clone(),
    })
}

impl House {
    /// What sends people from http to https.
    fn redirect(&self, access: crate::telemetry::AccessWriter) -> Result<Redirect, StartProblem> {
        Ok(Redirect {
            routes: Arc::clone(&self.routes),
            trusted: self.proxy.trusted_proxies.clone(),
            metrics: Arc::clone(&self.metrics),
            counter: self.metrics.route(NAME),
            challenges: self.tls.as_ref().and_then(|tls| tls.challenges()).cloned(),
            access,
            ids: RequestIds::new().map_err(|_| NoRandomness)?,
        })
    }

    /// One core's gateway.
    fn gateway(&self, access: crate::telemetry::AccessWriter) -> Result<Gateway, StartProblem> {
        let tunnels = Tunnels { tracker: self.drain.tasks(), cut: self.drain.cut_token() };
        let mut route_metrics: Vec<_> =
            self.route_settings.iter().map(|route| self.metrics.route(&route.name)).collect();
        route_metrics.push(self.metrics.route("none"));
        Ok(Gateway {
            routes: Arc::clone(&self.routes),
            login: Arc::clone(&self.login),
            proxy: Proxy::new(&self.proxy, &self.rosters, &self.login.injector, tunnels, self.cores),
            metrics: Arc::clone(&self.metrics),
            route_metrics,
            access,
            ids: RequestIds::new().map_err(|_| NoRandomness)?,
            transport: Transport::new(self.tls_settings.as_ref(), self.tls.as_ref()),
        })
    }
}

/// One core's work.
async fn serve(door: Door, gateway: Arc<Gateway>, drain: Drain) {
    let sweeper = {
        let gateway = Arc::clone(&gateway);
        async move {
            let mut tick = tokio::time::interval(SWEEP);
            loop {
                tick.tick().await;
                gateway.proxy.sweep();
            }
        }
    };
    let served = server::serve(door, move |arrival, peer| Arc::clone(&gateway).handle(arrival, peer));
    tokio::select! {
        () = served => {}
        () = sweeper => {}
    }
    drop(drain);
}

/// The operator's listener, the provider's keys, the certificates, the health of apps, and the sessions that nobody
/// asks for any more.
async fn attend_operator(
    listener: Option<Listener>,
    house: Arc<House>,
    ready: Readiness,
    drain: Drain,
    certificates: Option<(Reloader, Option<Orders>, Arc<Notify>)>,
    asked: Arc<Notify>,
) {
    let freshness = keep_certificates(certificates, Arc::clone(&house), ready.clone());
    let routes = house.route_settings.iter().map(|route| route.name.as_str()).zip(&house.proxy.apps);
    let trust = trust::keep_fresh(Trusts::new(routes), asked, Arc::clone(&house.metrics));
    let warmth = keep_warm(Arc::clone(&house), ready.clone());
    let operator = Operator::new(Arc::clone(&house.metrics), ready, &house.operator_hosts);
    let served = async {
        let Some(listener) = listener else {
            drain.cancelled().await;
            return;
        };
        let limits = Limits { connections: OPERATOR_CONNECTIONS, ..Limits::default() };
        let quiet: Events = Arc::new(|_| ());
        let door = Door::new(listener, None, &limits, quiet, drain.clone());
        server::serve(door, move |arrival, _peer| {
            let operator = operator.clone();
            async move { operator.handle(&arrival.into_request()) }
        })
        .await;
    };
    let sweeper = async {
        let mut tick = tokio::time::interval(SWEEP_SESSIONS);
        loop {
            tick.tick().await;
            house.login.sessions.sweep(Timestamp::now());
        }
    };
    tokio::select! {
        () = served => {}
        () = warmth => {}
        () = sweeper => {}
        () = freshness => {}
        () = trust => {}
        () = group::watch(&house.rosters) => {}
    }
}

/// Looks after certificates where TLS is spoken: those that lie in files, and those that are ordered.
async fn keep_certificates(
    certificates: Option<(Reloader, Option<Orders>, Arc<Notify>)>,
    house: Arc<House>,
    ready: Readiness,
) {
    let Some((reloader, orders, asked)) = certificates else { return std::future::pending().await };
    let calls = Arc::new(Calls::default());
    let ordered = async {
        if let Some(orders) = orders {
            tokio::select! {
                () = keep_ordered(orders, Arc::clone(&calls), Arc::clone(&house.metrics)) => {}
                // Whoever comes for a proof finds this door closed.
                () = house.drain.cancelled() => {}
            }
        }
    };
    tokio::join!(keep_fresh(reloader, &asked, &calls, &house.metrics, &ready), ordered);
}

/// Fetches discovery and keys, or metadata, before the first visitor needs them. The gateway is ready once one of the
/// providers has answered: another that does not must keep nobody from signing in there.
async fn keep_warm(house: Arc<House>, ready: Readiness) {
    let entrances = house.login.entrances.iter();
    futures_util::future::join_all(entrances.map(|entrance| keep_one_warm(entrance, &house.drain, &ready))).await;
}

async fn keep_one_warm(entrance: &Entrance, drain: &Drain, ready: &Readiness) {
    let provider = entrance.name();
    let mut answers = false;
    loop {
        let pause = match entrance.provider.warm(Timestamp::now()).await {
            Ok(()) => {
                if !answers {
                    tracing::info!(%provider, "the identity provider answers");
                }
                answers = true;
                if !drain.is_draining() && ready.is_answered() {
                    tracing::info!("{READY}");
                }
                KEEP_WARM
            }
            Err(fault) => {
                answers = false;
                tracing::warn!(%provider, %fault, "the identity provider does not answer; trying again");
                WARM_UP_PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}
