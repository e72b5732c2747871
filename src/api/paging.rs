//! Pages of lists: opaque tokens and the query-string form of the Stainless SDKs (contract,
//! section 1).

use std::fmt::Display;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use connectrpc::RequestContext;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::app::App;
use crate::domain::ids::OrganizationId;
use crate::error::{Error, Violation};
use crate::store::{Items, Page, Place};
use proto::gitpod::v1::{
    CountResponse, CountResponseRelation, PaginationRequest, PaginationResponse,
};

/// The most items of a page.
const MAX_SIZE: u32 = 100;
/// The items of a page that asked for no number.
const DEFAULT_SIZE: u32 = 25;

/// What the query string says of the page: it overrides the body, or clients that repeat their
/// first body with another `?token=` would read the first page for ever.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageOverride {
    token: Option<String>,
    size: Option<String>,
}

impl PageOverride {
    /// Reads `token`, and `pageSize` or `page_size`; the last of each that is not empty counts.
    pub fn from_query(query: &str) -> Self {
        let mut page = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                _ if value.is_empty() => {}
                "token" => page.token = Some(value.into_owned()),
                "pageSize" | "page_size" => page.size = Some(value.into_owned()),
                _ => {}
            }
        }
        page
    }
}

/// The most items of the page that a request asks for; `None` if it asks for too many.
pub fn page_size(body: &PaginationRequest) -> Option<u32> {
    let size = u32::try_from(body.page_size).ok()?;
    (size <= MAX_SIZE).then_some(if size == 0 { DEFAULT_SIZE } else { size })
}

/// What a list needs of a call besides its message.
#[derive(Clone, Copy)]
pub struct Paging<'a> {
    app: &'a App,
    query: Option<&'a PageOverride>,
}

impl<'a> Paging<'a> {
    /// That of a call.
    pub fn of(app: &'a App, ctx: &'a RequestContext) -> Self {
        Self {
            app,
            query: ctx.extensions().get(),
        }
    }

    /// Reads which page of a list a request asks for. A page token opens the list alone that it came from: of this `name`,
    /// this organization and this `filter`, which is all that decides about items and their order, in any form that
    /// tells it apart.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] on `pagination.page_size` and `pagination.token`.
    pub fn open(
        self,
        name: &'static str,
        organization_id: OrganizationId,
        filter: impl Display,
        body: &PaginationRequest,
    ) -> Result<List<'a>, Error> {
        let size = match self.query.and_then(|query| query.size.as_deref()) {
            Some(text) => text
                .parse()
                .ok()
                .filter(|&size| size <= MAX_SIZE)
                .ok_or_else(|| {
                    Error::invalid(
                        "pagination.page_size",
                        Violation::PAGE_SIZE,
                        format!("must be a number from 0 to {MAX_SIZE}"),
                    )
                })?,
            None => u32::try_from(body.page_size).unwrap_or_default(),
        };
        let token = self
            .query
            .and_then(|query| query.token.as_deref())
            .unwrap_or(&body.token);
        let context = context(name, organization_id, &filter.to_string());
        Ok(List {
            after: place(self.app, &context, token)?,
            size: if size == 0 { DEFAULT_SIZE } else { size },
            app: self.app,
            context,
        })
    }
}

/// The items of a page as the wire has them, and what the response says of the next page.
pub type Answer<W> = (Vec<W>, PaginationResponse);

/// A page of a list, from what the request asks for to what the response says.
pub struct List<'a> {
    /// Where the last item of the page before is; `None` for the first page.
    pub after: Option<Place>,
    /// The most items.
    pub size: u32,
    app: &'a App,
    /// What its page tokens are bound to.
    context: Vec<u8>,
}

impl List<'_> {
    /// The identifier of the last item of the page before; `None` for the first page.
    pub fn last_id(&self) -> Option<Uuid> {
        self.after.as_ref().map(|Place(_, id)| *id)
    }

    /// The page, of a list in the order of its ids.
    pub fn page(&self) -> Page {
        Page {
            after: self.last_id().unwrap_or_default(),
            size: self.size,
        }
    }

    /// The items as `wire` writes them, and what the response says of the next page. `place` tells where an item is in
    /// the list: its identifier, or what comes before that in the order, and its identifier.
    ///
    /// # Errors
    ///
    /// As [`crate::secrets::keys::Keyring::seal`] has them.
    pub fn answer<T, W, P: Into<Place>>(
        &self,
        found: Items<T>,
        place: impl FnOnce(&T) -> P,
        wire: impl FnMut(T) -> W,
    ) -> Result<Answer<W>, Error> {
        let pagination = self.next(&found, place)?;
        Ok((found.items.into_iter().map(wire).collect(), pagination))
    }

    /// What the response says of the next page.
    ///
    /// # Errors
    ///
    /// As [`crate::secrets::keys::Keyring::seal`] has them.
    pub fn next<T, P: Into<Place>>(
        &self,
        found: &Items<T>,
        place: impl FnOnce(&T) -> P,
    ) -> Result<PaginationResponse, Error> {
        let next_token = match found.items.last() {
            Some(last) if found.has_more => self.token(&place(last).into())?,
            _ => String::new(),
        };
        Ok(PaginationResponse {
            next_token,
            ..Default::default()
        })
    }

    fn token(&self, place: &Place) -> Result<String, Error> {
        let place = serde_json::to_vec(place).map_err(Error::internal)?;
        let sealed = self
            .app
            .keys
            .seal(&place, &self.context, &self.app.random)?;
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }
}

/// The place that a page token names.
fn place(app: &App, context: &[u8], token: &str) -> Result<Option<Place>, Error> {
    if token.is_empty() {
        return Ok(None);
    }
    URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|sealed| app.keys.open(&sealed, context))
        .and_then(|place| serde_json::from_slice(&place).ok())
        .ok_or_else(|| {
            Error::invalid(
                "pagination.token",
                Violation::PAGE_TOKEN,
                "must be the nextToken of an earlier page of this list; leave it out for the first page",
            )
        })
}

fn context(name: &str, organization_id: OrganizationId, filter: &str) -> Vec<u8> {
    [
        b"page\0",
        name.as_bytes(),
        b"\0",
        organization_id.as_uuid().as_bytes(),
        &Sha256::digest(filter),
    ]
    .concat()
}

/// How many items a list has on all its pages, on the wire.
pub fn count(total: i64) -> CountResponse {
    CountResponse {
        value: i32::try_from(total).unwrap_or(i32::MAX),
        relation: CountResponseRelation::COUNT_RESPONSE_RELATION_EQ.into(),
        ..Default::default()
    }
}
