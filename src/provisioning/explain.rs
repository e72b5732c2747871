//! Why somebody can sign in or cannot, as far as it is known without the provider: by the rules of a sign-in, which is carried out and
//! undone.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::sign_in::{Admitted, Outcome as SignInOutcome, SignIn, sign_in};
use crate::app::App;
use crate::domain::grant::Authentication;
use crate::domain::ids::{LoginId, MemberId, OrganizationId, SsoConfigurationId};
use crate::domain::letters::address_key;
use crate::domain::member::MemberStatus;
use crate::domain::sign_in::{
    Attempt, AttemptOutcome, Check, Person, Refusal, SignInError, email_domain,
};
use crate::domain::sso::SsoConfiguration;
use crate::error::{Error, Violation};
use crate::oidc::check::Outcome;
use crate::store::sign_in::{
    AttemptFilter, Identity, KnownMember, ListedAttempt, ProvisionedUser, find_by_address,
    find_by_id, identities, list_attempts, provisioned_users,
};
use crate::store::{self, Connection, Page};

/// The most configurations that are looked at.
const MAX_CONFIGURATIONS: u32 = 100;
/// The most that a sign-in is tried through.
const MAX_TRIED: usize = 10;
/// The most tries that are told of.
const MAX_ATTEMPTS: u32 = 5;

/// Whom it is about.
pub enum About {
    /// A member.
    Member(MemberId),
    /// Whoever comes with an address.
    Address(String),
}

/// What becomes of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The person can sign in, if the provider lets her.
    LetsIn,
    /// The person cannot.
    KeepsOut,
    /// It depends on what the provider says.
    Depends,
}

/// One thing that was looked at.
#[derive(Debug)]
pub struct Step {
    /// How it came out.
    pub outcome: Outcome,
    /// What it is.
    pub subject: &'static str,
    /// What was found, and what to do.
    pub text: String,
    /// The SSO configuration that it is about.
    pub configuration: Option<SsoConfigurationId>,
    /// The try that it is about.
    pub attempt: Option<Uuid>,
}

impl Step {
    fn new(outcome: Outcome, subject: &'static str, text: impl Into<String>) -> Self {
        Self {
            outcome,
            subject,
            text: text.into(),
            configuration: None,
            attempt: None,
        }
    }

    fn good(subject: &'static str, text: impl Into<String>) -> Self {
        Self::new(Outcome::Good, subject, text)
    }

    fn doubtful(subject: &'static str, text: impl Into<String>) -> Self {
        Self::new(Outcome::Doubtful, subject, text)
    }

    fn bad(subject: &'static str, text: impl Into<String>) -> Self {
        Self::new(Outcome::Bad, subject, text)
    }

    fn of(self, configuration: &SsoConfiguration) -> Self {
        Self {
            configuration: Some(configuration.id),
            ..self
        }
    }
}

/// The answer.
#[derive(Debug)]
pub struct Explanation {
    /// What becomes of a sign-in.
    pub verdict: Verdict,
    /// The same in a sentence.
    pub text: String,
    /// The member, if there is one.
    pub member: Option<MemberId>,
    /// The address.
    pub email: String,
    /// What was looked at, in the order of a sign-in.
    pub steps: Vec<Step>,
}

/// What the database says of somebody.
struct Facts {
    members: Vec<KnownMember>,
    email: String,
    identities: Vec<Identity>,
    users: Vec<ProvisionedUser>,
    configurations: Vec<SsoConfiguration>,
    domain: String,
    is_domain_verified: bool,
    only_provisioned: bool,
    attempts: Vec<ListedAttempt>,
}

/// Explains whether somebody can sign in. Up to nine round trips, and six for each configuration that a sign-in is tried through.
///
/// # Errors
///
/// [`Error::NotFound`] when the organization has no such member; [`Error::Invalid`] on `email` for what is no address.
pub async fn explain(
    app: &App,
    organization_id: OrganizationId,
    about: About,
) -> Result<Explanation, Error> {
    let facts = gather(app, organization_id, about).await?;
    let mut steps = facts.about_member();
    steps.extend(facts.about_domain(app));
    steps.extend(facts.about_policy());
    let usable = facts.usable();
    steps.extend(facts.about_configurations(&usable));
    let mut tried = vec![];
    for configuration in usable {
        let step = facts.try_through(app, configuration).await?;
        tried.push((configuration, step.outcome));
        steps.push(step.of(configuration));
        steps.extend(facts.about_expression(configuration));
    }
    let verdict = facts.verdict(&tried);
    steps.extend(facts.attempts.iter().map(about_attempt));
    Ok(Explanation {
        verdict,
        text: in_a_sentence(verdict, &steps),
        member: facts.members.first().map(|member| member.id),
        email: facts.email,
        steps,
    })
}

async fn gather(app: &App, organization_id: OrganizationId, about: About) -> Result<Facts, Error> {
    let mut db = app.store.acquire().await?;
    let (members, email) = match about {
        About::Member(id) => {
            let member = find_by_id(&mut db, organization_id, id).await?;
            let email = member.email.clone();
            (vec![member], email)
        }
        About::Address(email) => {
            if email_domain(&email).is_none() {
                let message = "must be an address such as ada@example.com";
                return Err(Error::invalid("email", Violation::EMAIL, message));
            }
            let key = address_key(&email);
            let found = find_by_address(&mut db, organization_id, &key).await?;
            (found, email)
        }
    };
    let (mut known, mut users) = (vec![], vec![]);
    if let Some(member) = members.first() {
        known = identities(&mut db, organization_id, member.id).await?;
        users = provisioned_users(&mut db, organization_id, member.id).await?;
    }
    let page = Page::first(MAX_CONFIGURATIONS);
    let configurations = store::sso::list(&mut db, organization_id, page)
        .await?
        .items;
    let domain = email_domain(&email).unwrap_or_default();
    let is_domain_verified = store::domains::is_verified(&mut db, organization_id, &domain).await?;
    let only_provisioned =
        store::policies::restricts_account_creation_to_scim(&mut db, organization_id).await?;
    let member = members.first().map(|member| member.id);
    let attempts = attempts_of(&mut db, organization_id, member, &email).await?;
    Ok(Facts {
        members,
        email,
        identities: known,
        users,
        configurations,
        domain,
        is_domain_verified,
        only_provisioned,
        attempts,
    })
}

/// The newest tries of a member and of an address, the newest first.
async fn attempts_of(
    db: &mut Connection,
    organization_id: OrganizationId,
    member: Option<MemberId>,
    email: &str,
) -> Result<Vec<ListedAttempt>, Error> {
    let of_address = (!email.is_empty()).then(|| AttemptFilter {
        email: Some(email.to_owned()),
        ..AttemptFilter::default()
    });
    let of_member = member.map(|member| AttemptFilter {
        user_id: Some(member),
        ..AttemptFilter::default()
    });
    let mut found: Vec<ListedAttempt> = vec![];
    for filter in [of_address, of_member].into_iter().flatten() {
        let page = list_attempts(db, organization_id, &filter, None, MAX_ATTEMPTS).await?;
        let is_new = |one: &ListedAttempt| !found.iter().any(|other| other.id == one.id);
        let new: Vec<ListedAttempt> = page.items.into_iter().filter(is_new).collect();
        found.extend(new);
    }
    found.sort_by_key(|attempt| std::cmp::Reverse((attempt.created_at, attempt.id)));
    found.truncate(MAX_ATTEMPTS as usize);
    Ok(found)
}

impl Facts {
    fn about_member(&self) -> Vec<Step> {
        let Some(member) = self.members.first() else {
            let text = "nobody with this address is a member: who signs in with it for the first time becomes one";
            return vec![Step::doubtful("member", text)];
        };
        let name = match (&*member.name, &*member.email) {
            (name, "") => name.to_owned(),
            (name, email) => format!("{name} ({email})"),
        };
        let mut steps = vec![match member.status {
            MemberStatus::Active => Step::good("member", format!("{name} is an active member")),
            MemberStatus::Suspended if member.by_hand => Step::bad(
                "member",
                format!("an administrator suspended {name}: lift the suspension"),
            ),
            MemberStatus::Suspended => Step::bad(
                "member",
                format!("{name} is suspended, because provisioning says so: see below"),
            ),
            MemberStatus::Left => Step::bad(
                "member",
                format!(
                    "{name} was removed from the organization, or left it: assign the person to the provisioning of the identity provider, or invite the person"
                ),
            ),
        }];
        if self.members.len() > 1 {
            let text = "several members have, or had, this address: the one told of here is the first; the address alone does not tell who signs in";
            steps.push(Step::doubtful("address", text));
        }
        steps.extend(self.users.iter().map(about_user));
        steps.extend(self.about_identities());
        steps
    }

    fn about_identities(&self) -> Option<Step> {
        let text = match self.identities.first() {
            Some(last) => {
                let name = self.name_of(last.sso_configuration_id);
                let at = moment(last.last_used_at);
                format!("signed in through {name} on {at}, and is known there by the identifier {:?}", last.subject)
            }
            None => "never signed in: the first sign-in finds the member by provisioning's externalId, or by the address".to_owned(),
        };
        let outcome = match self.identities.is_empty() {
            true => Outcome::Doubtful,
            false => Outcome::Good,
        };
        Some(Step::new(outcome, "identity", text))
    }

    fn name_of(&self, id: SsoConfigurationId) -> String {
        let mut all = self.configurations.iter();
        let found = all.find(|configuration| configuration.id == id);
        found.map_or_else(
            || "an SSO configuration".to_owned(),
            |configuration| format!("\"{}\"", configuration.display_name()),
        )
    }

    fn about_domain(&self, app: &App) -> Option<Step> {
        let domain = &self.domain;
        if domain.is_empty() {
            let text = "the member has no address, so that the sign-in page finds no way in for the person: use a link to the configuration";
            return Some(Step::doubtful("address", text));
        }
        Some(
            match (
                self.is_domain_verified,
                app.sign_in.require_verified_domains,
            ) {
                (true, _) => Step::good(
                    "domain",
                    format!("{domain} is verified for the organization"),
                ),
                (false, true) => Step::bad(
                    "domain",
                    format!(
                        "{domain} is not verified for the organization, which ROLLCALL_REQUIRE_VERIFIED_DOMAINS demands: verify the domain"
                    ),
                ),
                (false, false) => Step::doubtful(
                    "domain",
                    format!(
                        "{domain} is not verified for the organization: then only the provider's claim email_verified proves whose an address is"
                    ),
                ),
            },
        )
    }

    fn about_policy(&self) -> Option<Step> {
        let is_new = self.members.is_empty();
        (is_new && self.only_provisioned).then(|| {
            Step::bad(
                "policy",
                "the organization's policy restrict_account_creation_to_scim says that only provisioning makes members: assign the person to the provisioning of the identity provider",
            )
        })
    }

    fn takes(&self, configuration: &SsoConfiguration) -> bool {
        let domains = configuration.email_domain_keys();
        domains.is_empty() || domains.contains(&self.domain)
    }

    /// The configurations through which somebody with the address may sign in, those first through which the member did.
    fn usable(&self) -> Vec<&SsoConfiguration> {
        let is_usable = |c: &&SsoConfiguration| c.is_usable() && self.takes(c);
        let mut usable: Vec<_> = self.configurations.iter().filter(is_usable).collect();
        let is_unknown = |c: &&SsoConfiguration| {
            !self
                .identities
                .iter()
                .any(|known| known.sso_configuration_id == c.id)
        };
        usable.sort_by_key(is_unknown);
        usable.truncate(MAX_TRIED);
        usable
    }

    fn about_configurations(&self, usable: &[&SsoConfiguration]) -> Vec<Step> {
        let mut steps = vec![];
        if usable.is_empty() {
            let text = match &*self.domain {
                "" => "no SSO configuration is active: activate one".to_owned(),
                domain => format!(
                    "no active SSO configuration takes addresses of {domain}: add the domain to email_domains of one, or activate one that has it"
                ),
            };
            steps.push(Step::bad("SSO configuration", text));
        }
        let is_off = |c: &&SsoConfiguration| !c.is_usable() && self.takes(c);
        for configuration in self.configurations.iter().filter(is_off).take(MAX_TRIED) {
            let name = configuration.display_name();
            let text = if configuration.needs_client_secret {
                format!("\"{name}\" needs its client secret again: enter it")
            } else {
                format!("\"{name}\" takes such addresses, but is not active")
            };
            let outcome = match usable.is_empty() {
                true => Outcome::Bad,
                false => Outcome::Doubtful,
            };
            steps.push(Step::new(outcome, "SSO configuration", text).of(configuration));
        }
        steps
    }

    /// What a sign-in through a configuration would come to: for a provider that says nothing of the address, and if that is not enough,
    /// for one that vouches for it.
    async fn try_through(
        &self,
        app: &App,
        configuration: &SsoConfiguration,
    ) -> Result<Step, Error> {
        let name = configuration.display_name();
        let refusal = match carry_out(app, configuration, &self.person(configuration, None)).await?
        {
            Ok(admitted) => {
                let whom = whom(&admitted);
                let text = format!("through \"{name}\", the person would be let in as {whom}");
                return Ok(Step::good("sign-in", text));
            }
            Err(refusal) => refusal,
        };
        if refusal.check == Check::Email {
            let person = self.person(configuration, Some(true));
            if let Ok(admitted) = carry_out(app, configuration, &person).await? {
                let whom = whom(&admitted);
                let text = format!(
                    "through \"{name}\", the person would be let in as {whom} only if the provider says that the address is verified (email_verified is true), or the domain is verified here"
                );
                return Ok(Step::doubtful("sign-in", text));
            }
        }
        let text = format!("through \"{name}\": {}", refusal.reason);
        Ok(Step::bad("sign-in", text))
    }

    /// The person as the provider would name her.
    fn person(&self, configuration: &SsoConfiguration, email_verified: Option<bool>) -> Person {
        let is_here = |known: &&Identity| {
            known.sso_configuration_id == configuration.id
                && known.issuer == configuration.issuer_url
        };
        let known = self.identities.iter().find(is_here);
        let provisioned = self.users.iter().find_map(|user| {
            let is_linked = user.sso_configuration_id == Some(configuration.id);
            user.external_id.clone().filter(|_| is_linked)
        });
        let subject = known.map(|known| known.subject.clone()).or(provisioned);
        Person {
            issuer: configuration.issuer_url.clone(),
            // Nobody's identifier.
            subject: subject
                .unwrap_or_else(|| "rollcall: somebody who is not known yet".to_owned()),
            email: self.email.clone(),
            email_verified,
            name: String::new(),
            given_name: String::new(),
            family_name: String::new(),
            picture: String::new(),
            object_id: known.and_then(|known| known.object_id.clone()),
        }
    }

    fn about_expression(&self, configuration: &SsoConfiguration) -> Option<Step> {
        let expression = &configuration.claims_expression;
        if expression.is_empty() {
            return None;
        }
        let name = configuration.display_name();
        let text = format!(
            "\"{name}\" lets in only those for whom this is true of what the provider says: {expression}"
        );
        Some(Step::doubtful("claims expression", text).of(configuration))
    }

    fn verdict(&self, tried: &[(&SsoConfiguration, Outcome)]) -> Verdict {
        let good = |(_, outcome): &&(&SsoConfiguration, Outcome)| *outcome == Outcome::Good;
        let is_sure = |(configuration, _): &(&SsoConfiguration, Outcome)| {
            let id = configuration.id.as_uuid();
            let mut attempts = self.attempts.iter();
            let last = attempts.find(|attempt| attempt.sso_configuration_id == id);
            match last {
                None => configuration.claims_expression.is_empty(),
                Some(last) => match last.failed_check {
                    None => true,
                    // What these say was just found out anew.
                    Some(Check::Member | Check::Email | Check::Login | Check::Configuration) => {
                        configuration.claims_expression.is_empty()
                    }
                    Some(_) => {
                        last.created_at < configuration.updated_at
                            && configuration.claims_expression.is_empty()
                    }
                },
            }
        };
        if tried.iter().filter(good).any(is_sure) {
            Verdict::LetsIn
        } else if tried.iter().any(|(_, outcome)| *outcome != Outcome::Bad) {
            Verdict::Depends
        } else {
            Verdict::KeepsOut
        }
    }
}

fn about_user(user: &ProvisionedUser) -> Step {
    let name = &user.configuration;
    if user.active {
        return Step::good(
            "provisioning",
            format!("the SCIM configuration \"{name}\" has the person as an active user"),
        );
    }
    Step::bad(
        "provisioning",
        format!(
            "the SCIM configuration \"{name}\" has the person as a user who is not active (active: false): activate the user in the identity provider's provisioning"
        ),
    )
}

fn about_attempt(attempt: &ListedAttempt) -> Step {
    let at = moment(attempt.created_at);
    let step = match (attempt.outcome, attempt.failed_check) {
        (AttemptOutcome::SignedIn, _) => Step::good("attempt", format!("{at}: signed in")),
        (AttemptOutcome::Refused, check) => {
            let check = check.map_or("", Check::as_str);
            let reason = attempt.reason.as_deref().unwrap_or_default();
            let part = attempt.failed_expression.as_deref();
            let part = part.map(|part| format!("; what is not true is {part}"));
            let part = part.unwrap_or_default();
            Step::doubtful(
                "attempt",
                format!("{at}: refused by the check {check}: {reason}{part}"),
            )
        }
    };
    Step {
        configuration: Some(attempt.sso_configuration_id.into()),
        attempt: Some(attempt.id),
        ..step
    }
}

fn moment(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn whom(admitted: &Admitted) -> String {
    match admitted.is_new {
        true => "a new member".to_owned(),
        false => format!("the member {}", admitted.user_id),
    }
}

/// Carries a sign-in out and undoes it: who would be let in, or why nobody is.
async fn carry_out(
    app: &App,
    configuration: &SsoConfiguration,
    person: &Person,
) -> Result<Result<Admitted, Refusal>, Error> {
    let attempt = Attempt::new(
        LoginId::from(Uuid::nil()),
        configuration.organization_id,
        configuration.id,
        app.clock.now(),
    );
    let login = SignIn {
        configuration,
        person,
        former: vec![],
        user_agent: "",
        authentication: &Authentication::default(),
        is_anew: false,
        attempt: &attempt,
        is_test: true,
    };
    match sign_in(app, &login).await {
        Ok(SignInOutcome::Admitted(admitted)) => Ok(Ok(admitted)),
        Ok(SignInOutcome::SignedIn(_) | SignInOutcome::Changed) => Ok(Err(Refusal::new(
            Check::Configuration,
            "the SSO configuration was changed just now: ask again",
        ))),
        Err(SignInError::Refused(refusal)) => Ok(Err(refusal)),
        Err(SignInError::Fault(error)) => Err(error),
    }
}

fn in_a_sentence(verdict: Verdict, steps: &[Step]) -> String {
    let first = |outcome, subjects: &[&str]| {
        let mut steps = steps.iter();
        let is_it = |step: &&Step| {
            step.outcome == outcome && (subjects.is_empty() || subjects.contains(&step.subject))
        };
        steps.find(is_it).map_or("", |step| &*step.text)
    };
    match verdict {
        Verdict::LetsIn => format!(
            "Can sign in, as far as is known without the provider: {}.",
            first(Outcome::Good, &["sign-in"])
        ),
        Verdict::KeepsOut => format!("Cannot sign in: {}.", first(Outcome::Bad, &[])),
        Verdict::Depends => format!(
            "It depends on what the provider says: {}.",
            first(
                Outcome::Doubtful,
                &["sign-in", "claims expression", "attempt"]
            )
        ),
    }
}
