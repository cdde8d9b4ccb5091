//! Routes (skeleton).
use crate::proxy::upstream::Address;

/// One `[[route]]` table.
#[derive(Clone, Debug)]
pub struct Settings {
    /// For logs and metrics. Default: host and path.
    pub name: String,
    /// The public authority that it serves, lower case; `None` is `public_url`'s.
    pub host: Option<String>,
    /// A prefix of whole segments: `/`, `/grafana`. No trailing slash but for the root.
    pub path: String,
    /// Where the app is.
    pub upstream: Address,
    /// Who may pass.
    pub access: Access,
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody: health paths, assets.
    Public,
    /// Whoever is signed in.
    SignedIn,
}
