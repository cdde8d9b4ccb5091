//! stub
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SalesforceError {
    AccessDenied,
    Unknown,
}
