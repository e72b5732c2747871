//! How a step of a login ends that goes no further: with a page, with a refusal that administrators can read, or with a
//! fault. A step returns it as its error, so that `?` ends the step; [`Stop::answer`] makes the response of it, and is
//! the only place that keeps a refusal.

use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use uuid::Builder;

use super::failed;
use super::pages::{Page, Why};
use crate::app::App;
use crate::domain::ids::{LoginId, OrganizationId, SsoConfigurationId};
use crate::domain::sign_in::{Attempt, Check, Refusal, SignInError};
use crate::domain::sso::SsoConfiguration;
use crate::error::{Chain, Error};
use crate::store;

/// Why a step of a login goes no further.
pub enum Stop {
    /// The request names nothing that a login could go on with. The person is told, and nobody else.
    Page(Page),
    /// The person is kept out: the page says what to do, and the row tells administrators why.
    Refused(Box<Refused>),
    /// Neither the person's nor the provider's doing.
    Fault(Error),
}

/// A login that is refused.
pub struct Refused {
    attempt: Attempt,
    refusal: Refusal,
    return_to: String,
}

impl From<Page> for Stop {
    fn from(page: Page) -> Self {
        Self::Page(page)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

impl Stop {
    /// The end of an attempt. A person who begins again returns to `return_to`.
    pub fn of(error: SignInError, attempt: Attempt, return_to: &str) -> Self {
        match error {
            SignInError::Refused(refusal) => Self::Refused(Box::new(Refused {
                attempt,
                refusal,
                return_to: return_to.to_owned(),
            })),
            SignInError::Fault(error) => Self::Fault(error),
        }
    }

    /// The end of an attempt of which nobody knows whose it is. All that fail a check in the same minute have one
    /// reference, and leave one row: otherwise strangers could fill the log.
    pub fn of_anybody(
        error: SignInError,
        app: &App,
        configuration: &SsoConfiguration,
        return_to: &str,
    ) -> Self {
        match error {
            SignInError::Refused(refusal) => {
                let id = shared_reference(app, configuration.id, refusal.check);
                let attempt = Attempt {
                    is_shared: true,
                    ..Attempt::new(
                        id,
                        configuration.organization_id,
                        configuration.id,
                        app.clock.now(),
                    )
                };
                Self::of(refusal.into(), attempt, return_to)
            }
            SignInError::Fault(error) => Self::Fault(error),
        }
    }

    /// Tells the person, and whom else it concerns.
    pub async fn answer(self, app: &App) -> Response {
        match self {
            Self::Page(page) => page.into_response(),
            Self::Refused(refused) => refused.answer(app).await,
            Self::Fault(error) => {
                app.metrics.sign_in_failed();
                failed(error)
            }
        }
    }
}

impl Refused {
    /// Tells administrators why, and the person what to do.
    async fn answer(self, app: &App) -> Response {
        let Self {
            mut attempt,
            refusal,
            return_to,
        } = self;
        let (id, check) = (attempt.id, refusal.check);
        app.metrics.sign_in(Some(check));
        // These reasons quote what the browser brought or the provider said: they are for administrators alone.
        let quotes = matches!(check, Check::Authorization | Check::Issuer | Check::Code);
        let reason = (!quotes).then_some(&*refusal.reason);
        tracing::info!(reference = %id, check = check.as_str(), reason, "a login was refused");
        attempt.refusal = Some(refusal);
        let recorded = async {
            let mut db = app.store.acquire().await?;
            store::sign_in::record(&mut db, &attempt).await
        };
        if let Err(error) = recorded.await {
            tracing::warn!(cause = %Chain(&error), "a refusal could not be recorded");
        }
        let page = Page::refused(why(check), Some(id), &return_to);
        page.of(attempt.organization_id).into_response()
    }
}

/// What the person can do about a check that failed.
const fn why(check: Check) -> Why {
    match check {
        Check::Login => Why::Again,
        Check::Provider | Check::Code => Why::Provider,
        Check::Authorization => Why::Denied,
        Check::ClientSecret => Why::ClientSecret,
        _ => Why::Administrator,
    }
}

/// The reference of all attempts of a minute that fail the same check.
fn shared_reference(app: &App, configuration: SsoConfigurationId, check: Check) -> LoginId {
    let digest = Sha256::new()
        .chain_update(configuration.as_uuid())
        .chain_update(check.as_str())
        .finalize();
    let minute = u64::try_from(app.clock.now().timestamp() / 60).unwrap_or_default();
    let mut rest = [0; 10];
    rest.copy_from_slice(&digest[..10]);
    Builder::from_unix_timestamp_millis(minute * 60_000, &rest)
        .into_uuid()
        .into()
}

/// What a link leads to, or the page that says that it leads nowhere.
pub fn found<T>(result: Result<T, Error>) -> Result<T, Stop> {
    match result {
        Err(Error::NotFound(_)) => Err(Page::bad_link().into()),
        result => Ok(result?),
    }
}

/// The configuration of a login. One round trip.
pub async fn configuration(
    app: &App,
    organization_id: OrganizationId,
    id: SsoConfigurationId,
) -> Result<SsoConfiguration, Stop> {
    let read = app
        .store
        .read(move |db| Box::pin(store::sso::get(db, organization_id, id)));
    found(read.await)
}

/// The client secret that proves to the provider who asks is lost.
pub fn secret_is_lost() -> Refusal {
    Refusal::new(
        Check::ClientSecret,
        "the key that sealed the client secret of the SSO configuration is lost: enter the client secret again, with UpdateSSOConfiguration",
    )
}
