//! The integration tests: one binary, for link time. Real sockets, the real `start(config)`, the pretend org.

#![expect(unreachable_pub, reason = "one binary: `pub` says what other files here may use")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a helper that fails fails its test")]

mod app;
mod attacks;
mod authority;
mod browser;
mod gullible;
mod pebble;
mod replica;
mod stage;
mod world;

mod acme;
mod apps;
mod by_connection;
mod certificates;
mod chaos;
mod check;
mod client_certificates;
mod crossings;
mod drain;
mod extended;
mod file_servers;
mod first_visit;
mod fuzz;
mod half_closed;
mod headers;
mod interim;
mod limits;
mod listeners;
mod login_oidc;
mod login_saml;
mod me;
mod memory;
mod multiplexed;
mod operator;
mod promises;
mod providers;
mod proxy_protocol;
mod proxying;
mod redirect;
mod refusals;
mod routes;
mod sessions;
mod several;
mod shape;
mod sharing;

mod sign_in;
mod sign_out;
mod soak;
mod streaming;
mod tabs;
mod tunnels;
mod websockets;
