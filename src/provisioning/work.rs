//! A change under way: the only way to commit one, and never without its record.

use std::ops::{Deref, DerefMut};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::app::Operator;
use crate::domain::application::installation;
use crate::domain::audit::Change;
use crate::domain::event::Actor;
use crate::domain::identity::Subject;
use crate::domain::ids::{MemberId, OrganizationId, SsoConfigurationId};
use crate::error::Error;
use crate::store::{self, Connection, Transaction};

/// A transaction that changes something of one organization, with who changes it and when. It is committed together with the audit
/// log's entries of what it changes, at least one. Dropped, it changes nothing.
///
/// What belongs to the installation is changed with its [`installation`] as the organization. Nobody reads that one's audit log: the
/// server's log tells of the change, too.
pub struct Work<'a> {
    operator: &'a Operator,
    tx: Transaction,
    organization_id: OrganizationId,
    actor: Subject,
    now: DateTime<Utc>,
}

impl<'a> Work<'a> {
    /// Begins. `now` is the moment of all that is written.
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when no connection is free.
    pub async fn begin(
        operator: &'a Operator,
        organization_id: OrganizationId,
        actor: Subject,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        Self::begin_as(operator, organization_id, actor, actor.into(), now).await
    }

    /// Begins the change that a sign-in through a provider is. Who signs in turns out later: see [`acts_as`](Self::acts_as).
    ///
    /// # Errors
    ///
    /// [`Error::Unavailable`] when no connection is free.
    pub async fn begin_sign_in(
        operator: &'a Operator,
        organization_id: OrganizationId,
        provider: SsoConfigurationId,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        let nobody = MemberId::from(Uuid::nil()).into();
        Self::begin_as(operator, organization_id, nobody, provider.into(), now).await
    }

    async fn begin_as(
        operator: &'a Operator,
        organization_id: OrganizationId,
        actor: Subject,
        told: Actor,
        now: DateTime<Utc>,
    ) -> Result<Self, Error> {
        Ok(Self {
            operator,
            tx: operator.store.begin_as(told).await?,
            organization_id,
            actor,
            now,
        })
    }

    /// The organization.
    pub fn organization_id(&self) -> OrganizationId {
        self.organization_id
    }

    /// Says who acts, where that turns out only now.
    pub fn acts_as(&mut self, actor: Subject) {
        self.actor = actor;
    }

    /// Allows every statement the time that a large one may take: see [`Transaction::be_patient`].
    pub async fn be_patient(&mut self) -> Result<(), Error> {
        self.tx.be_patient().await
    }

    /// Records a change, beside the one that [`commit`](Self::commit) records.
    pub async fn record(&mut self, change: &Change) -> Result<(), Error> {
        let id = self.operator.new_id();
        let (organization_id, actor) = (self.organization_id, self.actor);
        store::audit::insert(&mut self.tx, organization_id, id, self.now, actor, change).await
    }

    /// Undoes what was done, with its records.
    pub async fn roll_back(self) -> Result<(), Error> {
        self.tx.roll_back().await
    }

    /// Commits the change with its record.
    pub async fn commit(mut self, change: Change) -> Result<(), Error> {
        self.record(&change).await?;
        self.tx.commit().await?;
        if self.organization_id == installation() {
            tell(self.actor, &change);
        }
        Ok(())
    }
}

/// Tells of a change by an operator, who is known by the id of the token.
fn tell(actor: Subject, change: &Change) {
    tracing::info!(
        operator = %actor.id,
        action = change.action,
        kind = change.subject_type.as_str(),
        subject = %change.subject_id,
        "an operator changed what belongs to the installation"
    );
}

impl Deref for Work<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.tx
    }
}

impl DerefMut for Work<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.tx
    }
}
