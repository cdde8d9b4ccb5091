//! stub
pub mod salesforce;
