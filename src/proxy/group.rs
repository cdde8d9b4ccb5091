//! The addresses of one route's app: choosing among them, and asking another when one cannot have acted.
//!
//! What is known of an address (`Roster`) is shared by all cores and kept in a few atomics; connections and
//! requests under way are each core's own (`Group`), so "least connections" is by core, as it is by worker in
//! proxies that share nothing. An app with one address never comes here for more than its one `Upstream`. Called
//! by `proxy`, watched over once for each process by `gateway::house`.

mod choice;
mod standing;
mod watch;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hyper::header::HeaderValue;
use hyper::http::uri::PathAndQuery;
use tokio::sync::Notify;

use super::absolute::{self, DestinationScheme};
use super::by_connection::AfterBody;
use super::interim;
use super::outgoing::Outgoing;
use super::stream::Progress;
use super::upstream::{self, AppBody, Connector, Lease, Lines, Unanswered, Upstream, UpstreamFault, copy_of};
use crate::http::apart::apart;
use crate::http::{Reply, Scheme};
use crate::route::Address;
use crate::telemetry::{AddressMetrics, Metrics, Picks};
use choice::{Seat, Way, choose, hash};
use standing::{Change, Standing};

pub use choice::Balance;
pub use watch::watch;

/// How many addresses an app may have.
pub const MOST: usize = 64;

/// How many addresses one request is offered to at most.
const TRIES: usize = 3;

/// One route's app.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is: one to [`MOST`] addresses, no two alike.
    pub addresses: Vec<Address>,
    /// How they share the requests.
    pub balance: Balance,
    /// How long an address that came back is spared. Default 10 s.
    pub slow_start: Duration,
    /// With which scheme it reads WebDAV's `Destination`. Default: the public one.
    pub destination_scheme: DestinationScheme,
    /// What becomes of its connections after the bodies of those who are signed in. Default: they end.
    pub after_body: AfterBody,
    /// When an address is left alone because requests failed.
    pub ejection: Ejection,
    /// How the addresses are asked whether they are well, if at all.
    pub health: Option<Health>,
    /// Deadlines and limits towards each of them.
    pub upstream: upstream::Settings,
    /// TLS towards those that speak it.
    pub connector: Option<Connector>,
}

/// When an address is left alone because requests failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// So many in a row. Default 3.
    pub failures: u32,
    /// For so long at first, twice as long each time. Default 5 s.
    pub pause: Duration,
    /// And never longer. Default 1 min.
    pub longest_pause: Duration,
}

/// How an address is asked whether it is well.
#[derive(Clone, Debug)]
pub struct Health {
    /// What is asked for, with GET and without anybody's identity.
    pub path: PathAndQuery,
    /// The route's public host, which the app knows.
    pub host: HeaderValue,
    /// The public address's scheme.
    pub scheme: Scheme,
    /// How often, within a tenth.
    pub interval: Duration,
    /// How long connecting and answering may take.
    pub timeout: Duration,
    /// Which answers are good.
    pub status: RangeInclusive<u16>,
    /// How many of them count.
    pub verdicts: Verdicts,
}

/// How many health checks in a row change what is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdicts {
    /// Good ones that bring an address back. Default 2.
    pub healthy: u32,
    /// Bad ones that take it out. Default 3.
    pub unhealthy: u32,
}

/// The addresses of one route's app and how each stands, for all cores.
#[derive(Debug)]
pub struct Roster {
    route: String,
    settings: Settings,
    members: Box<[Member]>,
    /// How many cores have begun: each begins its turns elsewhere.
    cores: AtomicUsize,
}

/// One address, for all cores.
#[derive(Debug)]
struct Member {
    address: Address,
    /// As it is written.
    name: String,
    seed: u64,
    standing: Standing,
    /// `None` where there is nothing to choose and nothing is checked.
    metrics: Option<AddressMetrics>,
    /// Somebody has to look after it.
    ejected: Notify,
}

impl Roster {
    /// Everybody in.
    pub fn new(route: &str, settings: &Settings, metrics: &Metrics, now: Instant) -> Self {
        let counted = settings.addresses.len() > 1 || settings.health.is_some();
        let member = |address: &Address| {
            let name = address.to_string();
            Member {
                address: address.clone(),
                seed: hash(&name),
                standing: Standing::new(settings.ejection, settings.slow_start, now),
                metrics: counted.then(|| metrics.address(route, &name)),
                ejected: Notify::new(),
                name,
            }
        };
        Self {
            route: route.to_owned(),
            settings: settings.clone(),
            members: settings.addresses.iter().map(member).collect(),
            cores: AtomicUsize::new(0),
        }
    }

    /// The name of an address, where a route has several.
    pub fn name(&self, index: usize) -> Option<&str> {
        if self.members.len() > 1 { self.members.get(index).map(|member| member.name.as_str()) } else { None }
    }

    /// Whether `other` is the same app.
    pub fn is_same_app(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.settings.addresses, &other.settings.addresses);
        ours.len() == theirs.len() && ours.iter().all(|address| theirs.contains(address))
    }

    /// What becomes of a connection after the body of somebody who is signed in.
    pub fn after_body(&self) -> AfterBody {
        self.settings.after_body
    }

    /// Whether the app wants WebDAV's `Destination` told with `http` where people see `public`.
    pub fn strips_destinations(&self, public: Scheme) -> bool {
        self.settings.destination_scheme == DestinationScheme::App
            && self.settings.addresses.iter().all(|address| absolute::is_stripped(public, address))
    }

    /// One request was left without an answer.
    fn failed(&self, member: &Member, fault: &UpstreamFault, now: Instant) {
        if let Some(metrics) = &member.metrics {
            metrics.failure();
        }
        let Some(pause) = member.standing.failed(now) else { return };
        if let Some(metrics) = &member.metrics {
            metrics.ejection();
        }
        self.tell(member, Change::Out, &format!("{fault}; left alone for {}", humantime::format_duration(pause)));
        member.ejected.notify_one();
    }

    /// One line when an address goes out or comes back, never one for each request.
    fn tell(&self, member: &Member, change: Change, cause: &str) {
        if let Some(metrics) = &member.metrics {
            metrics.up(member.standing.is_in());
        }
        let (route, address) = (self.route.as_str(), member.name.as_str());
        match change {
            Change::Back => tracing::info!(route, address, cause, "an app's address is back"),
            Change::Out => {
                tracing::warn!(route, address, cause, "an app's address is out");
                if self.members.iter().all(|member| !member.standing.is_in()) {
                    tracing::warn!(route, "all addresses of an app are out: each is tried all the same");
                }
            }
        }
    }
}

/// The same addresses, from one core.
pub struct Group {
    roster: Arc<Roster>,
    upstreams: Box<[Arc<Upstream>]>,
    /// Empty where there is nothing to choose.
    picks: Box<[Picks]>,
    /// One more with each choice.
    turn: AtomicUsize,
}

/// An answer, and what it came by.
pub struct Answered {
    /// Its head, and the body to come.
    pub reply: Reply<AppBody>,
    /// The connection that it comes over.
    pub lease: Lease,
}

impl Group {
    /// For one of `cores` cores, which has these `lines`.
    pub fn new(roster: Arc<Roster>, cores: usize, lines: &mut Lines) -> Self {
        let upstream = |member: &Member| {
            let Settings { upstream, connector, .. } = &roster.settings;
            let line = lines.to(&member.address, connector.as_ref(), upstream);
            Arc::new(Upstream::new(line, upstream.clone(), cores))
        };
        let upstreams: Box<[_]> = roster.members.iter().map(upstream).collect();
        let chosen = roster.members.iter().filter(|_| upstreams.len() > 1);
        let picks = chosen.filter_map(|member| member.metrics.as_ref()).map(AddressMetrics::picks).collect();
        let turn = AtomicUsize::new(roster.cores.fetch_add(1, Ordering::Relaxed));
        Self { roster, upstreams, picks, turn }
    }

    /// Deadlines.
    pub fn settings(&self) -> &upstream::Settings {
        &self.roster.settings.upstream
    }

    /// What is shared with the other cores.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Sends a request that is `visitor`'s (their key) and waits for the head of the answer; `asked` becomes the place
    /// of the address that was asked last.
    ///
    /// # Errors
    /// [`UpstreamFault`] of the last address that was asked.
    pub async fn send(
        &self,
        request: &mut Outgoing<'_>,
        progress: Option<&Progress>,
        visitor: Option<&str>,
        asked: &mut usize,
    ) -> Result<Answered, UpstreamFault> {
        match &*self.upstreams {
            [only] => match only.send(request, progress).await {
                Ok((reply, lease)) => Ok(Answered { reply, lease }),
                Err(unanswered) => Err(unanswered.fault),
            },
            // The many with one address do not make room for it.
            _ => apart(|| self.send_to_one_of_several(request, progress, visitor, asked)).await,
        }
    }

    /// Asks one after the other until one answers or may have acted: a request goes on to the next address when
    /// nothing of it was sent, or when it changes nothing, has no body and the connection ended before the answer
    /// began (RFC 9110 section 9.2.2). A body that was begun is never sent again.
    async fn send_to_one_of_several(
        &self,
        request: &mut Outgoing<'_>,
        progress: Option<&Progress>,
        visitor: Option<&str>,
        asked: &mut usize,
    ) -> Result<Answered, UpstreamFault> {
        let way = match (self.roster.settings.balance, visitor) {
            (Balance::RoundRobin, _) => Way::InTurn,
            (Balance::Sticky, Some(visitor)) => Way::For(hash(visitor)),
            (Balance::LeastConnections, _) | (Balance::Sticky, None) => Way::LeastBusy,
        };
        let mut tried = Tried::default();
        let mut last = None;
        while tried.count() < TRIES
            && let Some(index) = self.pick(way, tried)
            && let (Some(member), Some(upstream)) = (self.roster.members.get(index), self.upstreams.get(index))
        {
            *asked = index;
            tried.note(index);
            if let Some(picks) = self.picks.get(index) {
                picks.count();
            }
            if let (Some(metrics), Some(_)) = (&member.metrics, &last) {
                metrics.retry();
            }
            let spare = if tried.count() < TRIES { copy_of(request) } else { None };
            let Unanswered { fault, unsent } = match upstream.send(request, progress).await {
                Ok((reply, lease)) => {
                    member.standing.answered();
                    return Ok(Answered { reply, lease });
                }
                Err(unanswered) => unanswered,
            };
            if is_the_addresses_fault(&fault, progress) {
                self.roster.failed(member, &fault, Instant::now());
            }
            *request = match (unsent, spare, &fault) {
                (Some(unsent), ..) => Outgoing::from(*unsent),
                (None, Some(copy), UpstreamFault::Ended { .. }) if !interim::has_begun(copy.interim()) => copy,
                _ => return Err(fault),
            };
            tracing::debug!(route = self.roster.route, address = member.name, %fault, "asking another address");
            last = Some(fault);
        }
        Err(last.unwrap_or(UpstreamFault::NoAddress))
    }

    fn pick(&self, way: Way, tried: Tried) -> Option<usize> {
        // One core's own: no other writes it.
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(turn.wrapping_add(1), Ordering::Relaxed);
        let seats = self.roster.members.iter().zip(&self.upstreams).enumerate();
        let untried = seats.filter(|(index, _)| !tried.has(*index));
        let seats = untried.map(|(index, (member, upstream))| Seat {
            index,
            view: member.standing.view(Instant::now),
            busy: upstream.under_way(),
            seed: member.seed,
        });
        choose(way, seats, turn)
    }
}

/// The addresses that one request was offered to.
#[derive(Clone, Copy, Default)]
struct Tried(u64);

impl Tried {
    fn note(&mut self, index: usize) {
        self.0 |= 1 << (index % MOST);
    }

    fn has(self, index: usize) -> bool {
        self.0 & 1 << (index % MOST) != 0
    }

    fn count(self) -> usize {
        self.0.count_ones() as usize
    }
}

/// Whether a fault tells something about the address. What the app itself answers, whatever its status, does not
/// come here: an app that says 503 to one request may serve all others. And an exchange that ends while its client is
/// still sending may have ended for what is being sent, so that nobody's upload puts an address out.
fn is_the_addresses_fault(fault: &UpstreamFault, request: Option<&Progress>) -> bool {
    match fault {
        UpstreamFault::Unreachable { .. }
        | UpstreamFault::ConnectTimeout { .. }
        | UpstreamFault::Certificate { .. }
        | UpstreamFault::NoProtocol { .. }
        | UpstreamFault::Handshake { .. } => true,
        UpstreamFault::FirstByteTimeout { .. } | UpstreamFault::Ended { .. } | UpstreamFault::Misbehaved { .. } => {
            request.is_none_or(Progress::has_ended)
        }
        UpstreamFault::Busy { .. }
        | UpstreamFault::HungUp { .. }
        | UpstreamFault::Shortage { .. }
        | UpstreamFault::Left { .. }
        | UpstreamFault::NoTunnel { .. }
        | UpstreamFault::BadHandshake(_)
        | UpstreamFault::ClientBody { .. }
        | UpstreamFault::NoAddress => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Place, Transport};

    #[test]
    fn an_app_that_hangs_up_on_a_body_is_not_put_out_for_it() {
        let address =
            || Address { transport: Transport::Http, place: Place::Tcp { host: "wiki".to_owned(), port: 80 } };
        let cause = String::new;
        let ended = UpstreamFault::Ended { address: address(), cause: cause() };
        let hung_up = UpstreamFault::HungUp { address: address(), cause: cause() };
        assert!(is_the_addresses_fault(&ended, None));
        assert!(!is_the_addresses_fault(&hung_up, None), "whatever was taken of the body");
        let shortage = UpstreamFault::Shortage { address: address(), cause: std::io::ErrorKind::OutOfMemory.into() };
        assert!(!is_the_addresses_fault(&shortage, None), "it was not even asked");
    }
}
