//! stub
/// org
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OrgId(pub String);
/// user
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UserId(pub String);
