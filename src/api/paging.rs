//! Pages of lists: opaque tokens and the query-string form of the Stainless SDKs (contract,
//! section 1).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use connectrpc::RequestContext;
use sha2::{Digest, Sha256};
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
#[derive(Clone, Debug)]
pub struct List {
    /// The name of the list.
    pub name: &'static str,
    /// Whose list it is.
    pub organization_id: OrganizationId,
    /// What else a token is bound to: filter and order, in any form that tells them apart.
    pub query: String,
}

/// The page that a request asks for.
#[derive(Debug)]
pub struct Asked {
    /// What the last item of the page before is sorted by, and its id.
    pub after: Option<(String, Uuid)>,
    /// The most items.
    pub size: u32,
}

impl List {
    /// The page that a request asks for, of a list in the order of its ids.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] on `pagination.page_size` and `pagination.token`.
    pub fn page(
        &self,
        app: &App,
        ctx: &RequestContext,
        body: Option<&PaginationRequest>,
    ) -> Result<Page, Error> {
        let asked = self.asked(app, ctx, body)?;
        let after = asked.after.map(|(_, id)| id).unwrap_or_default();
        Ok(Page {
            after,
            size: asked.size,
        })
    }

    /// The page that a request asks for, of a list in another order.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] on `pagination.page_size` and `pagination.token`.
    pub fn asked(
        &self,
        app: &App,
        ctx: &RequestContext,
        body: Option<&PaginationRequest>,
    ) -> Result<Asked, Error> {
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
        Ok(Asked {
            after: self.open(app, token)?,
            size: if size == 0 { DEFAULT_SIZE } else { size },
        })
    }

    /// What a response says of the next page; `position` tells what an item is sorted by, and its id.
    ///
    /// # Errors
    ///
    /// As [`crate::secrets::keys::Keyring::seal`] has them.
    pub fn response<T>(
        &self,
        app: &App,
        items: &Items<T>,
        position: impl FnOnce(&T) -> (String, Uuid),
    ) -> Result<PaginationResponse, Error> {
        let next_token = match items.items.last() {
            Some(last) if items.has_more => {
                let position = serde_json::to_vec(&position(last)).map_err(Error::internal)?;
                URL_SAFE_NO_PAD.encode(app.keys.seal(&position, &self.context(), &app.random)?)
            }
            _ => String::new(),
        };
        Ok(PaginationResponse {
            next_token,
            ..Default::default()
        })
    }

    fn open(&self, app: &App, token: &str) -> Result<Option<(String, Uuid)>, Error> {
        if token.is_empty() {
            return Ok(None);
        }
        URL_SAFE_NO_PAD
            .decode(token)
            .ok()
            .and_then(|sealed| app.keys.open(&sealed, &self.context()))
            .and_then(|position| serde_json::from_slice(&position).ok())
            .ok_or_else(|| {
                Error::invalid(
                    "pagination.token",
                    Violation::PAGE_TOKEN,
                    "must be the nextToken of an earlier page of this list; leave it out for the first page",
                )
            })
    }

    fn context(&self) -> Vec<u8> {
        [
            b"page\0",
            self.name.as_bytes(),
            b"\0",
            self.organization_id.as_uuid().as_bytes(),
            &Sha256::digest(&self.query),
        ]
        .concat()
    }
}
