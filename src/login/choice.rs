//! The choice between several providers: a page for people, a list for programs. It begins nothing.
//!
//! A closed page leads here by a redirect and is not answered with the choice itself: the address that people see is
//! then the gateway's, and no cache or monitor takes a page of ours for one of the app. Called by `login::start`.

use hyper::header::{HeaderValue, REFERRER_POLICY};

use super::{Declined, Login, Visitor, form};
use crate::http::path::LocalPath;
use crate::http::{Response, see_other};
use crate::identity::Account;
use crate::pages::{Choice, WayIn};

impl Login {
    /// To the choice, and then on to `return_to`.
    pub(super) fn to_choice(&self, return_to: Option<&LocalPath>) -> Response {
        let mut response = see_other(&self.start_path(None, Account::Any, return_to));
        response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }

    /// The choice.
    pub(super) fn offer(
        &self,
        return_to: Option<LocalPath>,
        account: Account,
        visitor: &Visitor<'_>,
    ) -> Result<Response, Declined> {
        let root = LocalPath::root();
        self.break_loop(None, return_to.as_ref().unwrap_or(&root), visitor)?;
        let ways = self.entrances.iter().map(|entrance| WayIn {
            provider: entrance.name().to_string(),
            title: entrance.title.clone(),
            place: entrance.place.clone().filter(|place| *place != entrance.title),
            link: {
                let path = self.start_path(Some(entrance.name()), account, return_to.as_ref());
                format!("{}{path}", visitor.site.origin)
            },
        });
        let choice = Choice { ways: ways.collect() };
        Ok(self.pages.choice(&choice, form(visitor.headers), &self.visit(visitor)))
    }
}
