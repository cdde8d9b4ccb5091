//! What the doors are made of, from the configuration: their listeners, what they ask of those who come, and what is
//! made of what happens there.
//!
//! All are opened before anything else starts, so that a place that cannot be had leaves nothing behind. Called by
//! `gateway::house`.

use std::sync::Arc;

use crate::config::Config;
use crate::server::listen::{self, Inherited, Opened, Problem};
use crate::server::{Census, Entry, Event, Events};
use crate::telemetry::Metrics;

/// The listeners of every door.
pub(super) struct Doors {
    pub(super) front: Opened,
    pub(super) redirect: Option<Opened>,
    pub(super) operator: Option<Opened>,
}

/// Opens them all, or none.
pub(super) fn open(config: &Config) -> Result<Doors, Problem> {
    let places = config.server.listen.list.iter().chain(config.redirect.iter().flat_map(|places| &places.list));
    let mut inherited = Inherited::receive(places, &config.server.inherited)?;
    let redirect = config.redirect.as_ref().map(|places| listen::open(places, 1, &mut inherited)).transpose()?;
    let front = listen::open(&config.server.listen, config.server.workers, &mut inherited)?;
    let operator = config.operator.map(|address| listen::open(&address.into(), 1, &mut inherited)).transpose()?;
    for name in inherited.left() {
        tracing::warn!(name, "a socket was handed over that listen does not name: nobody answers there");
    }
    Ok(Doors { front, redirect, operator })
}

/// What the front door and the redirect ask; the count of a client's connections is one for both.
pub(super) fn entry(config: &Config) -> Entry {
    let exempt = &config.proxy.trusted_proxies;
    let census = config.server.connections_per_client.map(|limit| Arc::new(Census::new(limit, exempt.clone())));
    Entry { proxied: config.server.proxied.clone(), census }
}

/// Counts what happens at the front door, and tells the operator what is worth telling.
pub(super) fn events(metrics: Arc<Metrics>) -> Events {
    Arc::new(move |event: Event| {
        metrics.server_event(event.name());
        match &event {
            Event::Accepted | Event::Closed | Event::IdleTimeout { .. } | Event::TooOld { .. } => {}
            Event::AcceptFailed { .. } | Event::TooManyConnections { .. } | Event::ProxyHeaderFailed { .. } => {
                tracing::warn!(event = event.name(), peer = ?event.peer(), "{event}");
            }
            _ => tracing::info!(event = event.name(), peer = ?event.peer(), "{event}"),
        }
    })
}
