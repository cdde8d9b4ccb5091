//! Who am I, until when, and what does the app see? Never a token (CVE-2024-39315).
//!
//! Called by `login`.

use hyper::header::HeaderName;

use super::{Declined, Login, Visitor, form};
use crate::http::Response;
use crate::pages::Me;
use crate::refusal::Refusal;

impl Login {
    pub(super) fn me(&self, visitor: &Visitor<'_>) -> Result<Response, Declined> {
        let Some((_, session)) = &visitor.session else {
            return Err(Refusal::SignInRequired.into());
        };
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        let header =
            |(name, value): (&HeaderName, &[u8])| (name.to_string(), String::from_utf8_lossy(value).into_owned());
        let person = session.person();
        let entrance = self.entrances.named(&session.provider().0);
        let me = Me {
            name: text(&person.name),
            username: person.username.to_string(),
            email: text(&person.email),
            user_id: session.user().to_owned(),
            organization_id: session.organization().to_owned(),
            user_type: text(&person.user_type),
            provider: session.provider().to_string(),
            signed_in_by: entrance.map_or_else(|| session.provider().to_string(), |entrance| entrance.title.clone()),
            since: session.began(),
            idle_until: session.idle_until(self.sessions.settings().idle),
            until: session.ends,
            headers: session.headers.iter().map(header).collect(),
            sign_out: format!("{}/sign-out", self.prefix),
            home: "/".to_owned(),
        };
        Ok(self.pages.me(&me, form(visitor.headers), &self.visit(visitor)))
    }
}
