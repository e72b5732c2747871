//! Who calls, and what they may do.

use std::ops::Deref;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::ids::{
    MemberId, OperatorTokenId, OrganizationId, ScimConfigurationId, ServiceAccountId, SetupLinkId,
    SubjectId,
};
use super::names::named;
use crate::error::Error;

named! {
    /// What a member or service account may do in its organization.
    pub enum Role {
        /// Everything.
        Admin = "admin",
        /// Use the organization, without a say in its configuration.
        Member = "member",
    }
}

named! {
    /// The kind of a subject: the values of `gitpod.v1.Principal` that Rollcall uses, by their names without prefix, and three of our own.
    pub enum Principal {
        /// A person.
        User = "user",
        /// A program.
        ServiceAccount = "service_account",
        /// A SCIM configuration: the identity provider that pushes to it.
        ScimConfiguration = "scim_configuration",
        /// A token of an operator of the installation.
        Operator = "operator",
        /// A set-up link: whoever opens it.
        SetupLink = "setup_link",
    }
}

named! {
    /// What a set-up link is for.
    pub enum Permission {
        /// SSO configurations, their checks, and who tried to sign in.
        Sso = "sso",
        /// SCIM configurations, their tokens, and what identity providers pushed.
        Scim = "scim",
        /// Domain verifications.
        Domains = "domains",
    }
}

/// Which of an organization's ways in somebody sets up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// [`Permission::Sso`].
    pub sso: bool,
    /// [`Permission::Scim`].
    pub scim: bool,
    /// [`Permission::Domains`].
    pub domains: bool,
}

impl Permissions {
    /// Every one.
    pub const ALL: Self = Self {
        sso: true,
        scim: true,
        domains: true,
    };

    /// Whether it is among them.
    pub const fn has(self, permission: Permission) -> bool {
        match permission {
            Permission::Sso => self.sso,
            Permission::Scim => self.scim,
            Permission::Domains => self.domains,
        }
    }

    /// Each of them, in the order of [`Permission::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Permission> {
        let all = Permission::ALL.iter().copied();
        all.filter(move |permission| self.has(*permission))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(given: I) -> Self {
        let mut all = Self::default();
        for permission in given {
            match permission {
                Permission::Sso => all.sso = true,
                Permission::Scim => all.scim = true,
                Permission::Domains => all.domains = true,
            }
        }
        all
    }
}

/// Who acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Whose identifier it is depends on `principal`.
    pub id: SubjectId,
    /// What kind of subject it is.
    pub principal: Principal,
}

impl From<MemberId> for Subject {
    fn from(member: MemberId) -> Self {
        Self {
            id: member.as_uuid().into(),
            principal: Principal::User,
        }
    }
}

impl From<ScimConfigurationId> for Subject {
    fn from(configuration: ScimConfigurationId) -> Self {
        Self {
            id: configuration.as_uuid().into(),
            principal: Principal::ScimConfiguration,
        }
    }
}

impl From<ServiceAccountId> for Subject {
    fn from(account: ServiceAccountId) -> Self {
        Self {
            id: account.as_uuid().into(),
            principal: Principal::ServiceAccount,
        }
    }
}

impl From<OperatorTokenId> for Subject {
    fn from(token: OperatorTokenId) -> Self {
        Self {
            id: token.as_uuid().into(),
            principal: Principal::Operator,
        }
    }
}

impl From<SetupLinkId> for Subject {
    fn from(link: SetupLinkId) -> Self {
        Self {
            id: link.as_uuid().into(),
            principal: Principal::SetupLink,
        }
    }
}

impl Subject {
    /// Whoever runs a command on the database: nobody that an organization knows.
    pub fn operator() -> Self {
        OperatorTokenId::from(Uuid::nil()).into()
    }
}

/// What the roles of a caller let it do in its organization: its own role, and those of the groups that it is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Powers {
    /// Everything.
    pub administers: bool,
    /// Make, change and delete groups, and decide who is in them.
    pub administers_groups: bool,
    /// Read the audit log.
    pub reads_audit_log: bool,
    /// Set up these ways in.
    pub sets_up: Permissions,
}

impl Powers {
    /// Those of an administrator.
    pub const ALL: Self = Self {
        administers: true,
        administers_groups: true,
        reads_audit_log: true,
        sets_up: Permissions::ALL,
    };

    /// Those of a set-up link.
    pub fn of_link(sets_up: Permissions) -> Self {
        Self {
            sets_up,
            ..Self::default()
        }
    }

    /// Those of a role, and of the roles that groups have for the organization: the names of `gitpod.v1.ResourceRole` without
    /// prefix, in lower case. Roles that mean nothing here give nothing.
    pub fn of<'a>(own: Role, of_groups: impl IntoIterator<Item = &'a str>) -> Self {
        let mut powers = Self::default();
        if own == Role::Admin {
            return Self::ALL;
        }
        for role in of_groups {
            match role {
                "org_admin" => return Self::ALL,
                "org_groups_admin" => powers.administers_groups = true,
                "org_audit_log_reader" => powers.reads_audit_log = true,
                _ => {}
            }
        }
        powers
    }
}

/// Whom a method of the API is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Everybody, without a token or a session.
    Everybody,
    /// Every member and service account of the organization, in any role.
    Member,
    /// The member or service account that it is about, or an administrator: [`Undecided::about`].
    Oneself,
    /// The member that it is about, and nobody else: [`Undecided::for_oneself`].
    MemberItself,
    /// Service accounts, about themselves.
    ServiceAccountItself,
    /// Administrators of the organization.
    Administrator,
    /// Who administers the groups of the organization.
    GroupsAdministrator,
    /// Who administers the group that it is about: [`Undecided::of_group`].
    GroupAdministrator,
    /// Who may read the audit log.
    AuditLogReader,
    /// Administrators, and set-up links for single sign-on.
    SsoAdministrator,
    /// Administrators, and set-up links for provisioning.
    ScimAdministrator,
    /// Administrators, and set-up links for domains.
    DomainsAdministrator,
    /// The same, and set-up links for single sign-on, which depends on domains.
    DomainsReader,
    /// The set-up link that it is about, or an administrator: [`Undecided::of_link`].
    SetupLinkItself,
    /// Administrators of the organization, and operators of the installation.
    Owner,
    /// Operators of the installation.
    Operator,
}

impl Audience {
    /// Whether a caller may belong to it. What a method is about decides the rest.
    fn has(self, caller: &Caller) -> bool {
        let powers = caller.powers;
        match self {
            Self::Everybody => true,
            Self::SsoAdministrator => powers.sets_up.sso,
            Self::ScimAdministrator => powers.sets_up.scim,
            Self::DomainsAdministrator => powers.sets_up.domains,
            Self::DomainsReader => powers.sets_up.domains || powers.sets_up.sso,
            Self::SetupLinkItself => powers.administers || caller.setup_link().is_some(),
            // Whoever has a link is nobody of the organization: all else is closed.
            _ if caller.setup_link().is_some() => false,
            Self::Member | Self::MemberItself | Self::Oneself | Self::GroupAdministrator => true,
            Self::ServiceAccountItself => caller.service_account().is_some(),
            Self::Administrator | Self::Owner => powers.administers,
            Self::GroupsAdministrator => powers.administers_groups,
            Self::AuditLogReader => powers.reads_audit_log,
            Self::Operator => false,
        }
    }

    /// What somebody is told who does not belong to it.
    pub const fn refusal(self) -> &'static str {
        match self {
            Self::Everybody | Self::Member => "only members of the organization may do this",
            Self::Oneself => {
                "only the member or service account that this is about, or an administrator, may do this: use such a token"
            }
            Self::MemberItself => {
                "only the member may do this: sign in as the member, or use its personal access token"
            }
            Self::ServiceAccountItself => {
                "only a service account may do this, for itself: use a token of it, which CreateServiceAccountAccessToken makes"
            }
            Self::Administrator | Self::Owner => {
                "only an administrator of the organization may do this: use a token with the admin role"
            }
            Self::SsoAdministrator => {
                "only an administrator of the organization, or a set-up link for single sign-on, may do this: use such a token"
            }
            Self::ScimAdministrator => {
                "only an administrator of the organization, or a set-up link for provisioning, may do this: use such a token"
            }
            Self::DomainsAdministrator => {
                "only an administrator of the organization, or a set-up link for domains, may do this: use such a token"
            }
            Self::DomainsReader => {
                "only an administrator of the organization, or a set-up link for domains or single sign-on, may do this: use such a token"
            }
            Self::SetupLinkItself => {
                "only an administrator of the organization, or the set-up link that this is about, may do this: use such a token"
            }
            Self::GroupsAdministrator => {
                "only an administrator, or who has the role ORG_GROUPS_ADMIN, may do this: use such a token"
            }
            Self::GroupAdministrator => {
                "only an administrator, or who has the role ORG_GROUPS_ADMIN or is GROUP_ADMIN of this group, may do this: use such a token"
            }
            Self::AuditLogReader => {
                "only an administrator, or who has the role ORG_AUDIT_LOG_READER, may do this: use such a token"
            }
            Self::Operator => {
                "only an operator of this installation may do this: make a token with `rollcall token create --operator`"
            }
        }
    }
}

/// What a method of the API does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changes nothing: tokens that may only read may call it.
    Reads,
    /// It changes something.
    Writes,
}

/// Who may call a method of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whom it is for.
    pub audience: Audience,
    /// What it does.
    pub effect: Effect,
}

/// An authenticated caller of the API: the only source of the tenant of a request.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The organization that the token belongs to, or that an operator acts in.
    pub organization_id: OrganizationId,
    /// Whom the token stands for.
    pub subject: Subject,
    /// What the subject may do in the organization.
    pub powers: Powers,
    /// Whether the token may only read.
    pub read_only: bool,
    /// When the personal access token ends that it calls with: a token that is made with it does not outlive it.
    pub ends_at: Option<DateTime<Utc>>,
}

impl Caller {
    /// Lets the caller read what is for an audience.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for everybody who does not belong to the audience.
    pub fn reader(&self, audience: Audience) -> Result<Reader<'_>, Error> {
        if audience.has(self) {
            return Ok(Reader(self));
        }
        Err(Error::PermissionDenied(audience.refusal()))
    }

    /// Lets the caller change what an audience may change.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for everybody who does not belong to the audience, and for a token that may only read.
    pub fn writer(&self, audience: Audience) -> Result<Writer<'_>, Error> {
        let reader = self.reader(audience)?;
        if self.read_only {
            return Err(Error::PermissionDenied(
                "the token is read-only: use one that may write",
            ));
        }
        Ok(Writer(reader))
    }

    /// Makes sure that the organization which a request names by its identifier is the caller's.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for any other, whether it exists or not.
    pub fn belongs_to(&self, named: &str) -> Result<(), Error> {
        match Uuid::try_parse(named) {
            Ok(id) if id == self.organization_id.as_uuid() => Ok(()),
            _ => Err(Error::PermissionDenied(
                "the token belongs to another organization: use that organization's token, or this token's organization_id",
            )),
        }
    }

    /// The member that calls, if it is one.
    pub fn member(&self) -> Option<MemberId> {
        let is_member = self.subject.principal == Principal::User;
        is_member.then(|| self.subject.id.as_uuid().into())
    }

    /// The set-up link that is called with, if it is one.
    pub fn setup_link(&self) -> Option<SetupLinkId> {
        let is_link = self.subject.principal == Principal::SetupLink;
        is_link.then(|| self.subject.id.as_uuid().into())
    }

    /// The service account that calls, if it is one.
    pub fn service_account(&self) -> Option<ServiceAccountId> {
        let is_account = self.subject.principal == Principal::ServiceAccount;
        is_account.then(|| self.subject.id.as_uuid().into())
    }
}

/// A caller of whom what the request is about decides whether it may do it.
#[derive(Clone, Copy, Debug)]
pub struct Undecided<C>(C);

/// Of a group, what decides who may change it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupStanding {
    /// Whether the caller is in a group that administers it.
    pub is_administered: bool,
    /// Whether it has roles in the organization, so that whoever is in it gains power.
    pub has_power: bool,
    /// Whether it administers other groups.
    pub administers_others: bool,
}

impl<C: AsRef<Caller>> Undecided<C> {
    /// Waits for the decision.
    pub const fn new(caller: C) -> Self {
        Self(caller)
    }

    /// The organization that a request is about.
    pub fn organization_id(&self) -> OrganizationId {
        self.0.as_ref().organization_id
    }

    /// Who asks.
    pub fn subject(&self) -> Subject {
        self.0.as_ref().subject
    }

    /// Decides about the affairs of a member or a service account: for itself, and for administrators.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for everybody else.
    pub fn about(self, subject: impl Into<Subject>) -> Result<C, Error> {
        let caller = self.0.as_ref();
        match caller.subject == subject.into() || caller.powers.administers {
            true => Ok(self.0),
            false => Err(Error::PermissionDenied(Audience::Oneself.refusal())),
        }
    }

    /// Decides whose affairs a list shows: the caller's own; to administrators, those of `members`, or of everybody if there are none.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for others' affairs.
    pub fn only(self, members: Vec<MemberId>) -> Result<Vec<MemberId>, Error> {
        let caller = self.0.as_ref();
        if caller.powers.administers {
            return Ok(members);
        }
        match caller.member() {
            Some(own) if members.iter().all(|member| *member == own) => Ok(vec![own]),
            _ => Err(Error::PermissionDenied(Audience::Oneself.refusal())),
        }
    }

    /// Decides whose affairs a list shows: those of the service account that calls, or to administrators, those of all (`None`).
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for everybody else.
    pub fn own_service_account(self) -> Result<Option<ServiceAccountId>, Error> {
        let caller = self.0.as_ref();
        match caller.service_account() {
            _ if caller.powers.administers => Ok(None),
            Some(own) => Ok(Some(own)),
            None => Err(Error::PermissionDenied(Audience::Oneself.refusal())),
        }
    }

    /// Decides about a set-up link: for itself, which need not name it, and for administrators, who do.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for everybody else, and for an administrator who names none.
    pub fn of_link(self, named: Option<SetupLinkId>) -> Result<(C, SetupLinkId), Error> {
        let caller = self.0.as_ref();
        let own = caller.setup_link();
        match named.or(own) {
            Some(link) if own == Some(link) || caller.powers.administers => Ok((self.0, link)),
            _ => Err(Error::PermissionDenied(Audience::SetupLinkItself.refusal())),
        }
    }

    /// Decides about what only the member may do.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for everybody else, administrators too.
    pub fn for_oneself(self, member: MemberId) -> Result<C, Error> {
        match self.0.as_ref().member() == Some(member) {
            true => Ok(self.0),
            false => Err(Error::PermissionDenied(Audience::MemberItself.refusal())),
        }
    }

    /// Decides about a group.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for everybody who does not administer it. Of a group that gives power only those decide who have
    /// that power: whoever could add somebody could gain it.
    pub fn of_group(self, group: GroupStanding) -> Result<C, Error> {
        let powers = self.0.as_ref().powers;
        if powers.administers {
            return Ok(self.0);
        }
        if !powers.administers_groups && !group.is_administered {
            return Err(Error::PermissionDenied(
                Audience::GroupAdministrator.refusal(),
            ));
        }
        // Whoever administers one group alone would get the others as well.
        let gains = group.has_power || (group.administers_others && !powers.administers_groups);
        if gains {
            return Err(Error::PermissionDenied(
                "whoever is in this group has more power than you: only an administrator of the organization may change it",
            ));
        }
        Ok(self.0)
    }
}

/// A caller who may read what is asked for. Only [`Caller::reader`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a>(&'a Caller);

impl Reader<'_> {
    /// The organization that a request names by its identifier: it has to be the caller's.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`] for any other, whether it exists or not.
    pub fn organization(&self, named: &str) -> Result<OrganizationId, Error> {
        self.belongs_to(named)?;
        Ok(self.organization_id)
    }
}

impl AsRef<Caller> for Reader<'_> {
    fn as_ref(&self) -> &Caller {
        self.0
    }
}

impl AsRef<Caller> for Writer<'_> {
    fn as_ref(&self) -> &Caller {
        self.0.0
    }
}

impl Deref for Reader<'_> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        self.0
    }
}

/// A caller who may make the change that is asked for. Only [`Caller::writer`] makes one.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a>(Reader<'a>);

impl<'a> Deref for Writer<'a> {
    type Target = Reader<'a>;

    fn deref(&self) -> &Reader<'a> {
        &self.0
    }
}
