//! Portcullis: an authentication gateway that puts Salesforce sign-in in front of any web app.
//!
//! # One request, as a story
//!
//! A request comes in through a door ([`server`]), is received by a host ([`gateway`]), who asks three questions
//! in order (*is this for me or for the app? who are you? may you?*), and then either shows the way to sign in
//! ([`login`]), declines politely ([`refusal`], shown by [`pages`]), or walks the visitor through ([`proxy`]).
//!
//! 1. [`server::serve`] accepts, limits, does TLS, speaks HTTP, and hands each request to
//!    [`gateway::Gateway::handle`], which keeps the stopwatch and the log line.
//! 2. [`http::target::Target`] reads the address once into one canonical form, or refuses it;
//!    [`route::Routes`] finds whose it is: ours, an app's, or nobody's.
//! 3. [`session::cookie::read_session`] reads the cookie and [`session::Sessions::load`] finds the session.
//! 4. [`policy::decide`] answers. Only it can make a [`policy::Pass`], and [`proxy::Proxy::forward`] takes one by
//!    value, so that forwarding without a decision does not compile.
//! 5. Without a session, [`login::Login::start`] sends a person to Salesforce with a sealed attempt in a cookie
//!    ([`session::attempt`]). They come back to the callback, where [`identity::oidc::Provider::complete`] compares,
//!    exchanges and verifies. Only it can make an [`identity::SignedIn`], and [`session::Sessions::create`]
//!    consumes one, so that a session without a verified sign-in does not compile either.
//!
//! # Which way imports point
//!
//! Words (`clock`, `http`, `secret`, `refusal`, `telemetry`, `x509`) know nothing of the rest; the domain is
//! `identity`, `session`, `route`, `policy`, each knowing those before it; `proxy`, `pages` and `server` are mechanisms
//! that do not know each other; `config` fills everybody's settings; `login`, `gateway` and `admin` tell the story;
//! `cli`, `demo` and `emulator` are the edges. A test holds this.

pub mod admin;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod emulator;
pub mod gateway;
pub mod http;
pub mod identity;
pub mod login;
pub mod pages;
pub mod policy;
pub mod proxy;
pub mod refusal;
pub mod route;
pub mod secret;
pub mod server;
pub mod session;
pub mod telemetry;
pub mod x509;
