//! Who works at the pretend org: one person for each way that a sign-in can go.
//!
//! Ids have Salesforce's shape: 15 case-sensitive characters and a suffix of three that encodes the case
//! (behaviour 25). Called by every room of the emulator, and by tests that need somebody to be.

/// The pretend org, 18 characters.
pub const HOME_ORGANIZATION: &str = "00D5g00000PrtClEAJ";
/// Another company's org, which the same login host serves.
pub const FOREIGN_ORGANIZATION: &str = "00D7Q00000Frgn1UAB";
/// Everybody's password: printed on the sign-in page, and worth nothing anywhere else.
pub const PASSWORD: &str = "pretend";

/// Whether a person's account works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// It does.
    Active,
    /// Deactivated between the sign-in page and the token request, so that the token endpoint says so.
    Inactive,
}

/// Whether the administrator lets a person use the app (a permission set or a profile).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppAccess {
    /// Among the users whom the administrator approved.
    Approved,
    /// Not among them.
    NotApproved,
}

/// Somebody who can sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// `preferred_username`: shaped like an e-mail address, and not one.
    pub username: &'static str,
    /// The user's id, 18 characters.
    pub user: &'static str,
    /// The org's id, 18 characters.
    pub organization: &'static str,
    /// `given_name`.
    pub given_name: &'static str,
    /// `family_name`.
    pub family_name: &'static str,
    /// `email`.
    pub email: &'static str,
    /// `email_verified`: false also for real colleagues.
    pub email_verified: bool,
    /// `user_type`.
    pub user_type: &'static str,
    /// "Federation ID", which an administrator writes into the record, or not.
    pub federation_id: Option<&'static str>,
    /// What a custom attribute could say of them.
    pub roles: &'static [&'static str],
    /// What they are here for, in words for the sign-in page.
    pub part: &'static str,
    /// Whether the account works.
    pub account: Account,
    /// Whether the administrator approved them for the app.
    pub access: AppAccess,
}

impl Person {
    /// `name`.
    pub fn name(&self) -> String {
        format!("{} {}", self.given_name, self.family_name)
    }

    /// The first 15 characters of the user's id, as older interfaces print it.
    pub fn short_user(&self) -> &'static str {
        short(self.user)
    }

    /// The first 15 characters of the org's id, as access tokens begin with.
    pub fn short_organization(&self) -> &'static str {
        short(self.organization)
    }

    /// `/id/ORG/USER`, which ends both the identity URL and `sub` (behaviour 6).
    pub fn identity_path(&self) -> String {
        format!("/id/{}/{}", self.organization, self.user)
    }
}

/// The administrator.
pub const ADMINISTRATOR: Person = Person {
    username: "ada.lovell@pretend.example",
    user: "0055g00000AdaLvAAJ",
    organization: HOME_ORGANIZATION,
    given_name: "Ada",
    family_name: "Lovell",
    email: "ada@pretend.example",
    email_verified: true,
    user_type: "STANDARD",
    federation_id: Some("E1001"),
    roles: &["admin", "agent"],
    part: "administrator",
    account: Account::Active,
    access: AppAccess::Approved,
};

/// A standard user.
pub const STANDARD: Person = Person {
    username: "grace.hooper@pretend.example",
    user: "0055g00000GrcHpAAJ",
    given_name: "Grace",
    family_name: "Hooper",
    email: "grace@pretend.example",
    email_verified: false,
    federation_id: Some("E1002"),
    roles: &["agent"],
    part: "standard user",
    ..ADMINISTRATOR
};

/// A standard user whose name is not ASCII.
pub const ACCENTED: Person = Person {
    username: "zoe.muller@pretend.example",
    user: "0055g00000ZoeMlAAJ",
    given_name: "Zoë",
    family_name: "Müller-Šťastná",
    email: "zoe@pretend.example",
    federation_id: Some("É1003"),
    roles: &["agent"],
    part: "standard user, with a name beyond ASCII",
    ..ADMINISTRATOR
};

/// A partner, who has an account in the org's portal only.
pub const PARTNER: Person = Person {
    username: "pat.ortner@partner.example",
    user: "0055g00000PrtNrAAJ",
    given_name: "Pat",
    family_name: "Ortner",
    email: "pat@partner.example",
    user_type: "PowerPartner",
    federation_id: None,
    roles: &[],
    part: "partner: a portal user, not a colleague",
    ..ADMINISTRATOR
};

/// Somebody who left.
pub const INACTIVE: Person = Person {
    username: "nik.tesler@pretend.example",
    user: "0055g00000NikTsAAJ",
    given_name: "Nik",
    family_name: "Tesler",
    email: "nik@pretend.example",
    federation_id: None,
    part: "deactivated a moment after signing in",
    account: Account::Inactive,
    ..ADMINISTRATOR
};

/// Somebody whom the administrator did not approve for the app.
pub const NOT_APPROVED: Person = Person {
    username: "kat.johnsen@pretend.example",
    user: "0055g00000KatJnAAJ",
    given_name: "Kat",
    family_name: "Johnsen",
    email: "kat@pretend.example",
    federation_id: None,
    roles: &[],
    part: "not approved for the app by the administrator",
    access: AppAccess::NotApproved,
    ..ADMINISTRATOR
};

/// Somebody of another company. A real My Domain would not let them in; the login host, which all orgs share,
/// would. The pretend org lets them in everywhere, so that it is the gateway that has to notice.
pub const FOREIGNER: Person = Person {
    username: "fran.pagnol@elsewhere.example",
    user: "0057Q00000FrnPsQAJ",
    organization: FOREIGN_ORGANIZATION,
    given_name: "Fran",
    family_name: "Pagnol",
    federation_id: None,
    email: "ada@pretend.example",
    part: "of another company's org, with Ada's e-mail address",
    ..ADMINISTRATOR
};

/// Everybody, in the order of the sign-in page.
pub const EVERYBODY: [Person; 7] = [ADMINISTRATOR, STANDARD, ACCENTED, PARTNER, INACTIVE, NOT_APPROVED, FOREIGNER];

/// The person of that username.
pub fn find(username: &str) -> Option<&'static Person> {
    EVERYBODY.iter().find(|person| person.username.eq_ignore_ascii_case(username))
}

fn short(id: &'static str) -> &'static str {
    id.get(..15).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{OrgId, UserId};

    #[test]
    fn usernames_and_ids_are_nobody_elses() {
        for (index, person) in EVERYBODY.iter().enumerate() {
            for other in &EVERYBODY[..index] {
                assert_ne!(person.username, other.username);
                assert_ne!(person.user, other.user);
            }
        }
    }

    #[test]
    fn ids_bear_the_right_suffix() {
        for person in EVERYBODY {
            assert_eq!(OrgId::parse(person.short_organization()).unwrap().as_str(), person.organization);
            assert_eq!(UserId::parse(person.short_user()).unwrap().as_str(), person.user);
        }
    }

    #[test]
    fn people_are_found_by_their_username_in_any_case() {
        assert_eq!(find("ADA.Lovell@pretend.example"), Some(&ADMINISTRATOR));
        assert_eq!(find("nobody@pretend.example"), None);
    }
}
