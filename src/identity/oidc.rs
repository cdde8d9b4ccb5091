//! OIDC (skeleton).
use super::{Answer, Attempt, Begun, Fault, ProviderName, SignedIn};
use crate::clock::Timestamp;
use crate::http::path::LocalPath;
/// Provider.
pub struct Provider;
impl Provider {
    /// name
    pub fn name(&self) -> &ProviderName {
        std::process::abort()
    }
    /// begin
    pub async fn begin(&self, _o: &str, _c: &str, _r: LocalPath, _n: Timestamp) -> Result<Begun, Fault> {
        std::process::abort()
    }
    /// complete
    pub async fn complete(&self, _a: Attempt, _c: &str, _an: Answer, _n: Timestamp) -> Result<SignedIn, Fault> {
        std::process::abort()
    }
}
