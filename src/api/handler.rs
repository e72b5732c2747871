//! What handlers share, and how a method of a service finds its own.

use std::sync::Arc;

use buffa_types::google::protobuf::{Duration, Timestamp};
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use connectrpc::{ConnectError, RequestContext, Response, ServiceResult};
use uuid::Uuid;

use crate::app::App;
use crate::domain::application::installation;
#[cfg(doc)]
use crate::domain::identity::Undecided;
use crate::domain::identity::{Access, Audience, Caller, Writer};
use crate::domain::ids::{
    ApiTokenId, ApplicationId, AuditEntryId, DomainVerificationId, GroupId, LoginId, MemberId,
    MembershipId, OperatorTokenId, OrganizationId, PersonalAccessTokenId, RoleAssignmentId,
    ScimConfigurationId, ServiceAccountId, SessionId, SetupLinkId, SsoConfigurationId, WebhookId,
};
use crate::error::{Error, Violation};
use crate::provisioning::work::Work;

/// Carries out the methods.
pub struct Api {
    /// The application.
    pub app: Arc<App>,
}

/// A row of the table of permissions: a method, and who may call it.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// The package of the service and of its messages.
    pub package: &'static str,
    /// The name of the service.
    pub service: &'static str,
    /// The message of the request, which is named after the method.
    pub request: &'static str,
    /// Who may call it.
    pub access: Access,
}

impl Method {
    /// The name, such as `GetGroup`.
    pub fn name(&self) -> &'static str {
        self.request.strip_suffix("Request").unwrap_or(self.request)
    }

    /// The path, such as `gitpod.v1.GroupService/GetGroup`.
    pub fn path(&self) -> String {
        format!("{}.{}/{}", self.package, self.service, self.name())
    }
}

/// Implements the trait of a service from a table, and makes of the table a constant, which tells who may call each
/// [`Method`]. An entry begins with that: an [`Audience`], and `reads` or `writes`. Then it has the
/// method, its messages, and the call of its handler, whose arguments are some of `app`, `caller`, `ahead`, `paging` and
/// `request`. `caller` is a `Reader` or a `Writer`; it is [`Undecided`] where what the request is about decides, an
/// [`Owner`] for the audience `owner`, the token of an operator where operators call, and nothing where everybody may. Where the response's fields are
/// named, they are what the handler returns: one value, several as a tuple, or `()`. Otherwise it returns the response, or for one
/// in brackets, a stream of them. An argument `again` is what looks again whether the caller has access.
///
/// Before the handler is called, the `buf.validate` rules of the request are checked, then the caller.
macro_rules! service {
    ($methods:ident: $service:ident {$(
        $audience:ident $effect:ident $method:ident($request:ident) -> $($response:ident)? $([$item:ident])? $({$($field:ident),*})? =
            $($handler:ident)::+($($argument:ident),*);
    )+}) => {
        /// Who may call the methods of the service.
        pub const $methods: &[$crate::api::handler::Method] = &[$($crate::api::handler::Method {
            package: <$request as buffa::MessageName>::PACKAGE,
            service: stringify!($service),
            request: <$request as buffa::MessageName>::NAME,
            access: $crate::domain::identity::Access {
                audience: $crate::api::handler::service!(@audience $audience),
                effect: $crate::api::handler::service!(@effect $effect),
            },
        }),+];

        #[expect(refining_impl_trait, reason = "naming the response type is the point")]
        #[protovalidate_buffa::connect_impl]
        impl $service for $crate::api::handler::Api {$(
            async fn $method(
                &self,
                ctx: connectrpc::RequestContext,
                request: connectrpc::ServiceRequest<'_, $request>,
            ) -> connectrpc::ServiceResult<$($response)? $(connectrpc::ServiceStream<$item>)?> {
                $(
                    #[allow(dead_code, reason = "a handler may return the response itself")]
                    type Out = $response;
                )?
                let caller = $crate::api::handler::service!(@permitted $audience $effect ctx);
                let _ = (&ctx, &caller);
                let result = $($handler)::+(
                    $($crate::api::handler::service!(@$argument self ctx request caller)),*
                )
                .await;
                $(
                    #[allow(unused_parens, reason = "a single field is no tuple")]
                    let result = result.map(|($($field),*)| Out {
                        $($field: $field.into(),)*
                        ..Default::default()
                    });
                )?
                $crate::api::handler::reply(result)
            }
        )+}
    };
    (@audience everybody) => { $crate::domain::identity::Audience::Everybody };
    (@audience member) => { $crate::domain::identity::Audience::Member };
    (@audience oneself) => { $crate::domain::identity::Audience::Oneself };
    (@audience member_itself) => { $crate::domain::identity::Audience::MemberItself };
    (@audience service_account_itself) => { $crate::domain::identity::Audience::ServiceAccountItself };
    (@audience administrator) => { $crate::domain::identity::Audience::Administrator };
    (@audience groups_administrator) => { $crate::domain::identity::Audience::GroupsAdministrator };
    (@audience group_administrator) => { $crate::domain::identity::Audience::GroupAdministrator };
    (@audience audit_log_reader) => { $crate::domain::identity::Audience::AuditLogReader };
    (@audience owner) => { $crate::domain::identity::Audience::Owner };
    (@audience operator) => { $crate::domain::identity::Audience::Operator };
    (@audience sso_administrator) => { $crate::domain::identity::Audience::SsoAdministrator };
    (@audience scim_administrator) => { $crate::domain::identity::Audience::ScimAdministrator };
    (@audience domains_administrator) => { $crate::domain::identity::Audience::DomainsAdministrator };
    (@audience domains_reader) => { $crate::domain::identity::Audience::DomainsReader };
    (@audience setup_link_itself) => { $crate::domain::identity::Audience::SetupLinkItself };
    (@effect reads) => { $crate::domain::identity::Effect::Reads };
    (@effect writes) => { $crate::domain::identity::Effect::Writes };
    (@permitted everybody reads $ctx:ident) => { () };
    (@permitted owner $effect:ident $ctx:ident) => {
        $crate::api::handler::owner(&$ctx, || Ok($crate::api::handler::service!(@allowed owner $effect $ctx)))?
    };
    (@permitted operator $effect:ident $ctx:ident) => { $crate::api::handler::operator(&$ctx)? };
    (@permitted oneself $effect:ident $ctx:ident) => {
        $crate::domain::identity::Undecided::new($crate::api::handler::service!(@allowed oneself $effect $ctx))
    };
    (@permitted member_itself $effect:ident $ctx:ident) => {
        $crate::domain::identity::Undecided::new($crate::api::handler::service!(@allowed member_itself $effect $ctx))
    };
    (@permitted group_administrator $effect:ident $ctx:ident) => {
        $crate::domain::identity::Undecided::new($crate::api::handler::service!(@allowed group_administrator $effect $ctx))
    };
    (@permitted setup_link_itself $effect:ident $ctx:ident) => {
        $crate::domain::identity::Undecided::new($crate::api::handler::service!(@allowed setup_link_itself $effect $ctx))
    };
    (@permitted $audience:ident $effect:ident $ctx:ident) => {
        $crate::api::handler::service!(@allowed $audience $effect $ctx)
    };
    (@allowed $audience:ident reads $ctx:ident) => {
        $crate::api::handler::caller(&$ctx)?.reader($crate::api::handler::service!(@audience $audience))?
    };
    (@allowed $audience:ident writes $ctx:ident) => {
        $crate::api::handler::caller(&$ctx)?.writer($crate::api::handler::service!(@audience $audience))?
    };
    (@app $self:ident $ctx:ident $request:ident $caller:ident) => { &$self.app };
    (@caller $self:ident $ctx:ident $request:ident $caller:ident) => { $caller };
    (@ahead $self:ident $ctx:ident $request:ident $caller:ident) => {
        $ctx.extensions().get::<$crate::store::tokens::ReadAhead>()
    };
    (@again $self:ident $ctx:ident $request:ident $caller:ident) => {
        $ctx.extensions().get::<$crate::api::authentication::Again>().cloned()
    };
    (@paging $self:ident $ctx:ident $request:ident $caller:ident) => {
        $crate::api::paging::Paging::of(&$self.app, &$ctx)
    };
    (@request $self:ident $ctx:ident $request:ident $caller:ident) => { $request.to_owned_message() };
}

pub(super) use service;

/// The answer of a handler as the RPC library takes it.
///
/// # Errors
///
/// That of the handler.
pub fn reply<T>(result: Result<T, Error>) -> ServiceResult<T> {
    result.map(Response::new).map_err(Into::into)
}

/// Who [`authenticate`](super::authentication::authenticate) found.
///
/// # Errors
///
/// [`Error::PermissionDenied`] for an operator who names no organization; [`Error::Unauthenticated`] where nobody was looked for: a
/// fault of the routes.
pub fn caller(ctx: &RequestContext) -> Result<&Caller, ConnectError> {
    let extensions = ctx.extensions();
    extensions.get().ok_or_else(|| {
        match extensions.get::<OperatorTokenId>() {
            Some(_) => Error::PermissionDenied(
                "an operator's token acts in one organization at a time: name it by its id in the header Rollcall-Organization",
            ),
            None => Error::Unauthenticated,
        }
        .into()
    })
}

/// The operator's token that a request is sent with.
///
/// # Errors
///
/// [`Error::PermissionDenied`] for everybody else.
pub fn operator(ctx: &RequestContext) -> Result<OperatorTokenId, ConnectError> {
    let token = ctx.extensions().get().copied();
    token.ok_or_else(|| Error::PermissionDenied(Audience::Operator.refusal()).into())
}

/// Who decides about a whole organization, or about the installation: an administrator, who is a `Reader` or a `Writer`, or an operator
/// who names no organization in the header.
pub enum Owner<C> {
    /// An administrator of the organization, or an operator who names it.
    Administrator(C),
    /// An operator.
    Operator(OperatorTokenId),
}

/// The owner who calls. `administrator` makes sure that it is one, of everybody but an operator who names no organization.
///
/// # Errors
///
/// Those of `administrator`.
pub fn owner<C>(
    ctx: &RequestContext,
    administrator: impl FnOnce() -> Result<C, ConnectError>,
) -> Result<Owner<C>, ConnectError> {
    let extensions = ctx.extensions();
    match (
        extensions.get::<OperatorTokenId>(),
        extensions.get::<Caller>(),
    ) {
        (Some(operator), None) => Ok(Owner::Operator(*operator)),
        _ => administrator().map(Owner::Administrator),
    }
}

/// What a request names by an identifier. An organization is none of it: [`Reader::organization`] reads that, and knows
/// whether it is the caller's.
///
/// [`Reader::organization`]: crate::domain::identity::Reader::organization
pub trait Named: From<Uuid> {}

impl Named for Uuid {}
impl Named for ApiTokenId {}
impl Named for ApplicationId {}
impl Named for AuditEntryId {}
impl Named for DomainVerificationId {}
impl Named for GroupId {}
impl Named for LoginId {}
impl Named for MemberId {}
impl Named for MembershipId {}
impl Named for PersonalAccessTokenId {}
impl Named for RoleAssignmentId {}
impl Named for ScimConfigurationId {}
impl Named for ServiceAccountId {}
impl Named for SessionId {}
impl Named for SetupLinkId {}
impl Named for SsoConfigurationId {}
impl Named for WebhookId {}

/// Reads an identifier, whose form the rules have checked.
///
/// # Errors
///
/// [`Error::Invalid`] for what is no UUID.
pub fn parse_id<Id: Named>(field: &'static str, text: &str) -> Result<Id, Error> {
    let id = Uuid::try_parse(text)
        .map_err(|_| Error::invalid(field, Violation::UUID, "must be a UUID"))?;
    Ok(id.into())
}

/// Reads the identifier of an organization, for an operator. For everybody else, [`Reader::organization`] does.
///
/// [`Reader::organization`]: crate::domain::identity::Reader::organization
///
/// # Errors
///
/// As [`parse_id`] has them.
pub fn parse_organization(field: &'static str, text: &str) -> Result<OrganizationId, Error> {
    parse_id::<Uuid>(field, text).map(Into::into)
}

/// Reads an identifier that may be left out: the empty text says nothing.
///
/// # Errors
///
/// As [`parse_id`] has them.
pub fn optional_id<Id: Named>(field: &'static str, text: &str) -> Result<Option<Id>, Error> {
    match text {
        "" => Ok(None),
        text => parse_id(field, text).map(Some),
    }
}

/// Reads identifiers.
///
/// # Errors
///
/// As [`parse_id`] has them.
pub fn parse_ids<Id: Named>(field: &'static str, texts: &[String]) -> Result<Vec<Id>, Error> {
    texts.iter().map(|text| parse_id(field, text)).collect()
}

/// A moment on the wire.
pub fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: time.timestamp(),
        nanos: i32::try_from(time.timestamp_subsec_nanos()).unwrap_or_default(),
        ..Default::default()
    }
}

/// The moment of a field, if it has one.
///
/// # Errors
///
/// [`Error::Invalid`] on `field` for a moment that no calendar has.
pub fn moment(
    field: &'static str,
    time: Option<&Timestamp>,
) -> Result<Option<DateTime<Utc>>, Error> {
    let read = |time: &Timestamp| {
        let nanos = u32::try_from(time.nanos).ok();
        nanos
            .filter(|nanos| *nanos < 1_000_000_000)
            .and_then(|nanos| DateTime::from_timestamp(time.seconds, nanos))
            .filter(|time| (0..=9999).contains(&time.year()))
            .ok_or_else(|| {
                let message = "must be a time such as 2030-01-31T00:00:00Z";
                Error::invalid(field, Violation::TIME, message)
            })
    };
    time.map(read).transpose()
}

/// How long something lasts: whole seconds, rounded up, of which the rules say how many; `None` for none at all.
pub fn lifetime(duration: Option<&Duration>) -> Option<TimeDelta> {
    let duration = duration?;
    let seconds = duration
        .seconds
        .checked_add(i64::from(duration.nanos > 0))?;
    let lifetime = TimeDelta::try_seconds(seconds)?;
    (lifetime > TimeDelta::zero()).then_some(lifetime)
}

/// Begins a change, for a caller who may write. Nothing in `api` begins one in another way.
///
/// # Errors
///
/// As [`Work::begin`] has them.
pub async fn begin<'a>(
    app: &'a App,
    caller: Writer<'_>,
    now: DateTime<Utc>,
) -> Result<Work<'a>, Error> {
    Work::begin(app, caller.organization_id, caller.subject, now).await
}

/// Whose things the caller decides about: those of its organization, or of the installation.
pub fn owned<C: AsRef<Caller>>(caller: &Owner<C>) -> OrganizationId {
    match caller {
        Owner::Administrator(caller) => caller.as_ref().organization_id,
        Owner::Operator(_) => installation(),
    }
}

/// Begins a change of what the caller decides about.
///
/// # Errors
///
/// As [`Work::begin`] has them.
pub async fn begin_owned<'a>(
    app: &'a App,
    caller: Owner<Writer<'_>>,
    now: DateTime<Utc>,
) -> Result<Work<'a>, Error> {
    match caller {
        Owner::Administrator(caller) => begin(app, caller, now).await,
        Owner::Operator(operator) => Work::begin(app, installation(), operator.into(), now).await,
    }
}
