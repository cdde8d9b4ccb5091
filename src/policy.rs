//! The rules, and the one place where a request is let through.
//!
//! Pure: no I/O, no clock. `Pass` has a private field and is made here alone, and `proxy::forward` takes one
//! by value, so forwarding without a decision does not compile. Called by `gateway` (every request) and by
//! `login` (every sign-in).

use std::sync::Arc;

use crate::identity::{Identity, OrgId};
use crate::route::{Access, Route};
use crate::session::Session;

/// What a request is, as far as the rules care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request with an answer.
    Exchange,
    /// A request to open a tunnel (WebSocket), from a page of this origin or from no page.
    Tunnel,
    /// A request to open a tunnel, from a page of another origin (RFC 6455 section 10.2).
    ForeignTunnel,
}

/// The answer to "may you?".
#[derive(Debug)]
pub enum Decision {
    /// Forward it.
    Pass(Pass),
    /// Somebody has to sign in first.
    SignIn,
    /// Not even then.
    Forbid(Forbidden),
}

/// Why a request is refused although somebody is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forbidden {
    /// A page of another origin tries to open a tunnel with this person's cookie.
    ForeignTunnel,
}

/// Permission to forward one request: to where, and on whose behalf.
#[derive(Debug)]
pub struct Pass {
    route: usize,
    visitor: Option<Arc<Session>>,
    _made_by_decide: (),
}

impl Pass {
    /// Where it may go: the route's [`Route::index`].
    pub fn route(&self) -> usize {
        self.route
    }

    /// Who it is for; `None` on a public route that nobody signed in for.
    pub fn visitor(&self) -> Option<&Arc<Session>> {
        self.visitor.as_ref()
    }
}

/// May this visitor do this? Tunnels always need somebody: they outlive every later check.
pub fn decide(route: &Route, visitor: Option<Arc<Session>>, kind: Kind) -> Decision {
    match (kind, route.access, &visitor) {
        (Kind::ForeignTunnel, _, Some(_)) => Decision::Forbid(Forbidden::ForeignTunnel),
        (Kind::Exchange, Access::Public, None) | (Kind::Exchange | Kind::Tunnel, _, Some(_)) => {
            Decision::Pass(Pass { route: route.index, visitor, _made_by_decide: () })
        }
        (Kind::Exchange, Access::SignedIn, None) | (Kind::Tunnel | Kind::ForeignTunnel, _, None) => Decision::SignIn,
    }
}

/// Who may sign in at all.
#[derive(Clone, Debug)]
pub struct SignInRules {
    /// The organizations; empty means whichever the provider's own address belongs to.
    pub organizations: Vec<OrgId>,
    /// The user types, in any case; `None` means every type.
    pub user_types: Option<Vec<String>>,
}

/// Why somebody whom the provider vouches for is refused all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAllowed {
    /// Of another organization.
    Organization,
    /// Of a user type that is not listed, or of an unknown one.
    UserType,
    /// Deactivated.
    Inactive,
}

/// May this person have a session?
///
/// # Errors
/// [`NotAllowed`] names the first rule that says no.
pub fn may_sign_in(identity: &Identity, rules: &SignInRules) -> Result<(), NotAllowed> {
    if !rules.organizations.is_empty() && !rules.organizations.contains(&identity.organization) {
        return Err(NotAllowed::Organization);
    }
    if identity.active == Some(false) {
        return Err(NotAllowed::Inactive);
    }
    match (&rules.user_types, &identity.user_type) {
        (None, _) => Ok(()),
        (Some(allowed), Some(theirs)) if allowed.iter().any(|kind| kind.eq_ignore_ascii_case(theirs)) => Ok(()),
        (Some(_), _) => Err(NotAllowed::UserType),
    }
}
