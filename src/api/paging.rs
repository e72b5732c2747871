//! Pages of lists: opaque tokens and the query-string form of the Stainless SDKs (contract,
//! section 1).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use connectrpc::RequestContext;
use uuid::Uuid;

use super::proto::gitpod::v1::{PaginationRequest, PaginationResponse};
use crate::app::App;
use crate::domain::ids::OrganizationId;
use crate::error::{Error, Violation};
use crate::store::{Items, Page};

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

/// One list of one organization. Its page tokens open no other.
#[derive(Clone, Copy, Debug)]
pub struct List {
    /// The name of the list.
    pub name: &'static str,
    /// Whose list it is.
    pub organization_id: OrganizationId,
}

impl List {
    /// The page that a request asks for.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] on `pagination.page_size` and `pagination.token`.
    pub fn page(
        self,
        app: &App,
        ctx: &RequestContext,
        body: Option<&PaginationRequest>,
    ) -> Result<Page, Error> {
        let query = ctx.extensions().get::<PageOverride>();
        let size = match query.and_then(|query| query.size.as_deref()) {
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
            None => body
                .and_then(|body| u32::try_from(body.page_size).ok())
                .unwrap_or_default(),
        };
        let token = query
            .and_then(|query| query.token.as_deref())
            .or(body.map(|body| &*body.token))
            .unwrap_or_default();
        Ok(Page {
            after: self.open(app, token)?,
            size: if size == 0 { DEFAULT_SIZE } else { size },
        })
    }

    /// What a response says of the next page; `id` names an item of the list.
    ///
    /// # Errors
    ///
    /// As [`crate::secrets::keys::Keyring::seal`] has them.
    pub fn response<T>(
        self,
        app: &App,
        items: &Items<T>,
        id: impl FnOnce(&T) -> Uuid,
    ) -> Result<PaginationResponse, Error> {
        let next_token = match items.items.last() {
            Some(last) if items.has_more => URL_SAFE_NO_PAD.encode(app.keys.seal(
                id(last).as_bytes(),
                &self.context(),
                &app.random,
            )?),
            _ => String::new(),
        };
        Ok(PaginationResponse {
            next_token,
            ..Default::default()
        })
    }

    fn open(self, app: &App, token: &str) -> Result<Uuid, Error> {
        if token.is_empty() {
            return Ok(Uuid::nil());
        }
        URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|sealed| app.keys.open(&sealed, &self.context()))
            .and_then(|id| Uuid::from_slice(&id).ok())
            .ok_or_else(|| {
                Error::invalid(
                    "pagination.token",
                    Violation::PAGE_TOKEN,
                    "must be the nextToken of an earlier page of this list; leave it out for the first page",
                )
            })
    }

    fn context(self) -> Vec<u8> {
        [
            b"page\0",
            self.name.as_bytes(),
            b"\0",
            self.organization_id.as_uuid().as_bytes(),
        ]
        .concat()
    }
}
