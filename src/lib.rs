//! Portcullis: an authentication gateway that puts Salesforce sign-in in front of any web app.

pub mod admin;
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
