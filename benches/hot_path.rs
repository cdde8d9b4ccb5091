//! What each request costs before and beside the sockets: every step alone, and their sum.
//!
//! `cargo bench --bench hot_path`. Sessions are made by real sign-ins at a pretend org, since nothing else can
//! make one; that takes some minutes for the 100,000 that sessions are also looked up among (`SESSIONS=1000` for
//! fewer). Run by `cargo test` it does each step once, with a handful of sessions.

#[path = "load/walk.rs"]
mod walk;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, anyhow};
use criterion::{BatchSize, Criterion};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, StatusCode, Uri, Version};
use portcullis::clock::Timestamp;
use portcullis::config::{Config, file};
use portcullis::emulator::settings::{App, Approval, KeySize};
use portcullis::emulator::{self, Emulator};
use portcullis::http::path::LocalPath;
use portcullis::http::target::{Target, authority};
use portcullis::http::{Neighbours, Remote, Scheme};
use portcullis::identity::{Account, Answer, Provider, SignedIn, Way};
use portcullis::policy::{Decision, Kind, decide};
use portcullis::proxy::headers::{Forwarding, check_framing, clean_request, clean_response};
use portcullis::proxy::inject::Injector;
use portcullis::proxy::survey::{Field, Survey};
use portcullis::route::{Found, Route, Routes};
use portcullis::session::attempt::AttemptId;
use portcullis::session::memory::Beginning;
use portcullis::session::{SessionKey, Sessions, SiteIndex, cookie};
use portcullis::telemetry::{self, AccessLine, AccessLog, Metrics, RequestIds};
use walk::Walker;

const ORIGIN: &str = "http://localhost:8080";
const CALLBACK: &str = "http://localhost:8080/.portcullis/callback";
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const REMOTE: Remote = Remote::Address(SocketAddr::new(PEER, 40_000));
const SITE: SiteIndex = SiteIndex(0);
const MANY: usize = 100_000;

/// What a browser sends beside its cookies.
const BROWSER: &[(&str, &str)] = &[
    ("host", "localhost:8080"),
    ("connection", "keep-alive"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("referer", "http://localhost:8080/projects/portcullis"),
    ("upgrade-insecure-requests", "1"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
    ("priority", "u=0, i"),
];

fn main() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    // What criterion itself goes by: without it every step is tried once.
    let many = if std::env::args().any(|argument| argument == "--bench") { many()? } else { 64 };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let desk = runtime.block_on(Desk::new(many))?;
    bench_reading(&mut criterion, &desk)?;
    bench_sessions(&mut criterion, &desk)?;
    bench_headers(&mut criterion, &desk);
    bench_telemetry(&mut criterion, &desk)?;
    bench_sum(&mut criterion, &desk)?;
    criterion.final_summary();
    Ok(())
}

fn many() -> anyhow::Result<usize> {
    match std::env::var("SESSIONS") {
        Ok(count) => count.parse().context("SESSIONS is a number"),
        Err(_) => Ok(MANY),
    }
}

/// Everything that a gateway has at hand when a request comes in.
struct Desk {
    config: Config,
    routes: Routes,
    injector: Injector,
    one: Signed,
    many: Signed,
}

/// A store, the headers of one request for each of its sessions, and their keys, in random order.
struct Signed {
    sessions: Sessions,
    requests: Vec<HeaderMap>,
    keys: Vec<SessionKey>,
}

impl Desk {
    async fn new(many: usize) -> anyhow::Result<Self> {
        let app = App { approval: Approval::Skipped, redirect_uris: vec![CALLBACK.to_owned()], ..App::default() };
        let org = Emulator::start(emulator::Settings { app, key_size: KeySize::Small, ..Default::default() }).await?;
        let config = configure(&org)?;
        let injector = Injector::new(&config.headers);
        let settings = config.providers.first().context("a provider")?.settings.clone();
        let provider = Arc::new(Provider::new(settings)?);
        let one = Signed::new(1, &config, &injector, &provider, org.org_url()).await?;
        let began = Instant::now();
        let many = Signed::new(many, &config, &injector, &provider, org.org_url()).await?;
        let (count, took) = (many.keys.len(), began.elapsed());
        eprintln!("{count} sign-ins in {took:.1?}, both sides: {:.0} each second", count as f64 / took.as_secs_f64());
        let routes = Routes::new(&config.origins, &config.prefix, &config.routes);
        org.shutdown().await;
        Ok(Self { config, routes, injector, one, many })
    }
}

fn configure(org: &emulator::Running) -> anyhow::Result<Config> {
    let (app, url) = (org.app(), org.org_url());
    let toml = format!(
        "public_url = {ORIGIN:?}\n[log]\nformat = \"json\"\n[provider.salesforce]\norg = {url:?}\nclient_id = {:?}\n\
         client_secret = {:?}\n[[route]]\nname = \"wiki\"\nupstream = \"http://127.0.0.1:9\"\n[[route]]\n\
         path = \"/grafana\"\nupstream = \"http://127.0.0.1:9\"\n",
        app.client_id, app.client_secret,
    );
    file::read(&toml, "bench.toml", &[]).map_err(|problems| anyhow!("{problems}"))
}

impl Signed {
    async fn new(
        count: usize,
        config: &Config,
        injector: &Injector,
        provider: &Arc<Provider>,
        org: &str,
    ) -> anyhow::Result<Self> {
        const BROWSERS: usize = 8;
        let mut browsers = tokio::task::JoinSet::new();
        for browser in 0..BROWSERS.min(count) {
            let (provider, org) = (Arc::clone(provider), org.to_owned());
            let share = count / BROWSERS + usize::from(browser < count % BROWSERS);
            browsers.spawn(async move {
                let mut walker = Walker::arrive(&org).await?;
                let mut signed_in = Vec::with_capacity(share);
                while signed_in.len() < share {
                    match sign_in(&mut walker, &provider).await {
                        Ok(proof) => signed_in.push(proof),
                        Err(error) => walker.bear(error).await?,
                    }
                }
                anyhow::Ok(signed_in)
            });
        }
        let sessions = Sessions::new(config.session.clone(), || ());
        let (mut requests, mut keys) = (Vec::with_capacity(count), Vec::with_capacity(count));
        while let Some(signed_in) = browsers.join_next().await {
            for signed_in in signed_in?? {
                let headers = injector.render(signed_in.identity());
                let beginning =
                    Beginning { site: SITE, attempt: Some(AttemptId::of("state")), return_to: LocalPath::root() };
                let new = sessions.create(signed_in, headers, beginning, Timestamp::now())?;
                requests.push(request(new.id.expose(), config)?);
                keys.push(new.key);
            }
        }
        shuffle(&mut keys);
        shuffle(&mut requests);
        Ok(Self { sessions, requests, keys })
    }
}

/// One whole sign-in: authorize, code, token, userinfo, every check.
async fn sign_in(walker: &mut Walker, provider: &Provider) -> anyhow::Result<SignedIn> {
    let begun = provider.begin(ORIGIN, CALLBACK, LocalPath::root(), Account::Any, Timestamp::now()).await?;
    let (callback, _) = walker.walk(location(&begun.way)?).await?;
    let read =
        |wanted: &str| callback.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned());
    let answer = Answer { code: read("code"), state: read("state"), ..Answer::default() };
    let Provider::Oidc(provider) = provider else { return Err(anyhow!("another protocol")) };
    provider.complete(begun.attempt, CALLBACK, answer, Timestamp::now()).await.context("the sign-in failed")
}

fn location(way: &Way) -> anyhow::Result<&str> {
    match way {
        Way::Redirect(location) => Ok(location),
        Way::Form(_) => Err(anyhow!("a form where an address was expected")),
    }
}

/// A fixed pseudo-random order (Fisher and Yates, Knuth's generator): the same in every run.
fn shuffle<T>(items: &mut [T]) {
    let mut state = 42_u64;
    for last in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(last, usize::try_from(state >> 33).unwrap_or_default() % (last + 1));
    }
}

fn request(id: &str, config: &Config) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in BROWSER {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let name = config.cookies.session_name();
    headers.insert("cookie", format!("theme=dark; {name}={id}; app_sid=1f0c2a9be41d").parse()?);
    Ok(headers)
}

fn target() -> anyhow::Result<Uri> {
    Ok("/projects/portcullis/wiki/start-page?version=17&view=full".parse()?)
}

/// Goes round the items for ever.
fn round<'a, T>(items: &'a [T]) -> impl FnMut() -> &'a T + use<'a, T> {
    let mut next = 0;
    move || {
        next = (next + 1) % items.len();
        &items[next]
    }
}

fn bench_reading(criterion: &mut Criterion, desk: &Desk) -> anyhow::Result<()> {
    let headers = &desk.one.requests[0];
    let uri = target()?;
    criterion.bench_function("survey", |bench| {
        bench.iter(|| Survey::of(black_box(headers).into(), desk.injector.managed()));
    });
    criterion
        .bench_function("check_framing", |bench| bench.iter(|| check_framing(Version::HTTP_11, black_box(headers))));
    criterion.bench_function("authority", |bench| {
        bench.iter(|| authority(Version::HTTP_11, &uri, black_box(headers).into()).is_ok());
    });
    criterion.bench_function("target_parse", |bench| bench.iter(|| Target::parse(&Method::GET, black_box(&uri))));
    let escaped: Uri = "/projects/portcullis/wiki/caf%C3%A9%20menu?version=17".parse()?;
    criterion.bench_function("target_parse_escaped", |bench| {
        bench.iter(|| Target::parse(&Method::GET, black_box(&escaped)));
    });
    let read = Target::parse(&Method::GET, &uri)?;
    criterion.bench_function("route_find", |bench| {
        bench.iter(|| {
            let site = desk.routes.site(black_box("localhost:8080"))?;
            desk.routes.find(site, &read).ok().map(|found| matches!(found, Found::App(_)))
        });
    });
    criterion.bench_function("cookie_read", |bench| {
        bench.iter(|| cookie::read_session(black_box(headers).into(), desk.config.cookies).next());
    });
    Ok(())
}

fn bench_sessions(criterion: &mut Criterion, desk: &Desk) -> anyhow::Result<()> {
    let mut group = criterion.benchmark_group("session_load");
    let now = Timestamp::now();
    for signed in [&desk.one, &desk.many] {
        let mut key = round(&signed.keys);
        group.bench_function(signed.keys.len().to_string(), |bench| {
            bench.iter(|| signed.sessions.load(key(), SITE, now).is_some());
        });
    }
    group.finish();
    let route = app_route(desk)?;
    let session = desk.one.sessions.load(&desk.one.keys[0], SITE, now);
    criterion.bench_function("decide", |bench| {
        bench.iter(|| decide(black_box(route), session.clone(), Kind::Exchange));
    });
    Ok(())
}

fn app_route(desk: &Desk) -> anyhow::Result<&Route> {
    let (site, root) = (desk.routes.site("localhost:8080").context("no site")?, Target::root());
    match desk.routes.find(site, &root)? {
        Found::App(route) => Ok(route),
        _ => Err(anyhow!("no route")),
    }
}

fn bench_headers(criterion: &mut Criterion, desk: &Desk) {
    let headers = &desk.one.requests[0];
    let host = HeaderValue::from_static("localhost:8080");
    let forwarding = Forwarding { peer: REMOTE, trusted: &Neighbours(Vec::new()), scheme: Scheme::Http, host: &host };
    let survey = Survey::of(headers.into(), desk.injector.managed());
    criterion.bench_function("clean_request", |bench| {
        bench.iter_batched_ref(
            || headers.clone(),
            |headers| _ = clean_request(headers, survey, forwarding),
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("remove_claims", |bench| {
        bench.iter_batched_ref(
            || headers.clone(),
            |headers| desk.injector.remove_claims(headers),
            BatchSize::SmallInput,
        );
    });
    criterion.bench_function("cookie_strip", |bench| {
        bench.iter_batched_ref(|| headers.clone(), cookie::strip, BatchSize::SmallInput);
    });
    let mut response = HeaderMap::new();
    for (name, value) in [("content-type", "text/html"), ("content-length", "128"), ("set-cookie", "theme=dark")] {
        response.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    criterion.bench_function("clean_response", |bench| {
        bench.iter_batched_ref(
            || response.clone(),
            |headers| {
                clean_response(headers);
                cookie::drop_impostors(headers);
            },
            BatchSize::SmallInput,
        );
    });
}

fn bench_telemetry(criterion: &mut Criterion, desk: &Desk) -> anyhow::Result<()> {
    let ids = RequestIds::new()?;
    criterion.bench_function("request_id", |bench| bench.iter(|| ids.next()));
    let counters = Metrics::new().route("wiki");
    criterion.bench_function("count", |bench| {
        bench.iter(|| counters.count(telemetry::Decision::Pass, StatusCode::OK, black_box(Duration::from_micros(900))));
    });
    let session = desk.one.sessions.load(&desk.one.keys[0], SITE, Timestamp::now()).context("no session")?;
    for format in [telemetry::Format::Text, telemetry::Format::Json] {
        let log = AccessLog::start_on(&telemetry::Settings { format, ..Default::default() }, std::io::sink())?;
        let writer = log.worker();
        criterion.bench_function(&format!("access_line_{format:?}").to_lowercase(), |bench| {
            bench.iter(|| writer.write(&line(&ids, session.key().as_str())));
        });
    }
    Ok(())
}

fn line<'a>(ids: &RequestIds, user: &'a str) -> AccessLine<'a> {
    AccessLine {
        time: SystemTime::now(),
        request_id: ids.next(),
        client: Some(PEER),
        method: &Method::GET,
        host: "localhost:8080",
        path: "/projects/portcullis/wiki/start-page",
        status: StatusCode::OK,
        route: Some("wiki"),
        user: Some(user),
        decision: telemetry::Decision::Pass,
        refusal: None,
        duration: Duration::from_micros(900),
        address: None,
        bytes: None,
    }
}

/// The whole work for one request, without sockets, HTTP parsing and logging.
fn bench_sum(criterion: &mut Criterion, desk: &Desk) -> anyhow::Result<()> {
    let uri = target()?;
    let host = HeaderValue::from_static("localhost:8080");
    let mut group = criterion.benchmark_group("whole_request");
    for signed in [&desk.one, &desk.many] {
        let mut headers = round(&signed.requests);
        let mut added = Vec::new();
        group.bench_function(signed.keys.len().to_string(), |bench| {
            bench.iter_batched_ref(
                || headers().clone(),
                |headers| serve(desk, &signed.sessions, &uri, &host, headers, &mut added),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
    Ok(())
}

fn serve(
    desk: &Desk,
    sessions: &Sessions,
    uri: &Uri,
    host: &HeaderValue,
    headers: &mut HeaderMap,
    added: &mut Vec<u8>,
) -> Option<()> {
    let now = Timestamp::now();
    let survey = Survey::of((&*headers).into(), desk.injector.managed());
    if survey.has(Field::Framing) {
        check_framing(Version::HTTP_11, headers).ok()?;
    }
    let named = authority(Version::HTTP_11, uri, (&*headers).into()).ok()?;
    let site = desk.routes.site(named)?;
    let target = Target::parse(&Method::GET, uri).ok()?;
    let Ok(Found::App(route)) = desk.routes.find(site, &target) else { return None };
    let session =
        cookie::read_session((&*headers).into(), desk.config.cookies).find_map(|key| sessions.load(&key, SITE, now));
    let Decision::Pass(pass) = decide(route, session, Kind::Exchange) else { return None };
    let trusted = Neighbours(Vec::new());
    let forwarding = Forwarding { peer: REMOTE, trusted: &trusted, scheme: Scheme::Http, host };
    let forwarded = clean_request(headers, survey, forwarding);
    if survey.has(Field::Managed) {
        desk.injector.remove_claims(headers);
    }
    cookie::strip(headers);
    added.clear();
    forwarded.write(added);
    added.extend_from_slice(pass.visitor()?.headers.lines());
    black_box(added);
    black_box(Uri::from(target.path_and_query().clone()));
    Some(())
}
