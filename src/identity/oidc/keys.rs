//! The org's published keys, kept on our own schedule.
//!
//! Salesforce rotates the keys of ID tokens with its releases and publishes the next one ahead; but a key
//! that we have not seen may also be a forger's invention. So an unknown id causes one fetch, and not another
//! for a while. Called by `oidc`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::ask::get_object;
use super::cache::Cache;
use crate::http::client::Client;
use crate::identity::ProviderReason;
use crate::identity::jwt::keys::KeySet;
use crate::identity::trouble::Trouble;

/// When the set is fetched anew.
pub(super) const FRESH: Duration = Duration::from_secs(15 * 60);
/// How long it is used while it cannot be fetched.
pub(super) const BOUND: Duration = Duration::from_secs(24 * 3600);

/// Fetches the set.
pub(super) async fn fetch(client: &Client, address: &str) -> Result<KeySet, Trouble> {
    let (_, document) = get_object(client, address).await?;
    KeySet::read(&Value::Object(document)).ok_or_else(|| {
        Trouble::misbehaved(ProviderReason::UnreadableAnswer, format!("{address} answered without a list of keys"))
    })
}

/// A set that holds the key of this id.
pub(super) async fn find(
    cache: &Cache<KeySet>,
    client: &Client,
    address: &str,
    id: &str,
) -> Result<Arc<KeySet>, Trouble> {
    let mut set = cache.get(|| fetch(client, address)).await?;
    if set.find(id).is_none() {
        set = cache.demand(|set| set.find(id).is_some(), || fetch(client, address)).await?;
    }
    Ok(set)
}
