//! Makes keys anew that an older program made with another folding of letters (`domain::letters`): once for what was there before
//! an upgrade, and for what replicas of the older release wrote since. What is done is no longer found, so that a run that was
//! interrupted is continued by the next.

use std::time::Duration;

use uuid::Uuid;

use super::Job;
use crate::app::App;
use crate::domain::letters::{address_key, fold, user_name_key};
use crate::error::Error;
use crate::scim::{groups, users};
use crate::store::folding::{self, Member, MemberKeys, Place};

/// How often there is a look for keys of an older program.
const INTERVAL: Duration = Duration::from_secs(600);

/// How many rows one transaction locks.
const BATCH: i64 = 200;

/// The job.
pub const JOB: Job = Job {
    name: "folding",
    interval: INTERVAL,
    is_frequent: false,
    run: |app, _| Box::pin(fold_all(app)),
};

/// Makes all keys of older programs anew, and tells of how many rows.
pub async fn fold_all(app: &App) -> Result<u64, Error> {
    Ok(fold_groups(app).await?
        + fold_users(app).await?
        + fold_former(app).await?
        + fold_members(app).await?)
}

async fn fold_members(app: &App) -> Result<u64, Error> {
    let mut count = 0;
    let mut after = (Uuid::nil(), Uuid::nil());
    loop {
        let mut tx = app.store.begin().await?;
        let members = folding::lock_members(&mut tx, after, BATCH).await?;
        let Some(last) = members.last() else {
            tx.commit().await?;
            return Ok(count);
        };
        after = (last.organization_id, last.id);
        let keys = |member: &Member| MemberKeys {
            name_key: fold(&member.name).into_owned(),
            email_key: address_key(&member.email).into_owned(),
        };
        let with_keys = |member: Member| {
            let keys = keys(&member);
            (member, keys)
        };
        let members: Vec<_> = members.into_iter().map(with_keys).collect();
        count += folding::set_member_keys(&mut tx, &members).await?;
        tx.commit().await?;
    }
}

async fn fold_users(app: &App) -> Result<u64, Error> {
    let mut count = 0;
    let mut after = Place::default();
    loop {
        let mut tx = app.store.begin().await?;
        let users = folding::lock_users(&mut tx, after, BATCH).await?;
        let Some(last) = users.last() else {
            tx.commit().await?;
            return Ok(count);
        };
        after = last.place();
        for user in &users {
            let keys = users::keys(&user.resource, &user.user_name);
            if !folding::set_user_keys(&mut tx, user, &keys).await? {
                tracing::warn!(
                    organization = %user.organization_id,
                    configuration = %user.scim_configuration_id,
                    user = %user.id,
                    "the userName of a SCIM user is that of another user but for the case of its letters: filters find it no more by userName; delete one of the two, or rename it"
                );
            }
            count += 1;
        }
        tx.commit().await?;
    }
}

async fn fold_groups(app: &App) -> Result<u64, Error> {
    let mut count = 0;
    let mut after = Place::default();
    loop {
        let mut tx = app.store.begin().await?;
        let groups = folding::lock_groups(&mut tx, after, BATCH).await?;
        let Some(last) = groups.last() else {
            tx.commit().await?;
            return Ok(count);
        };
        after = last.place();
        for group in &groups {
            let keys = groups::keys(&group.resource);
            count += u64::from(folding::set_group_keys(&mut tx, group, &keys).await?);
        }
        tx.commit().await?;
    }
}

async fn fold_former(app: &App) -> Result<u64, Error> {
    let mut count = 0;
    loop {
        let mut tx = app.store.begin().await?;
        let mut former = folding::lock_former(&mut tx, BATCH).await?;
        if former.is_empty() {
            tx.commit().await?;
            return Ok(count);
        }
        for one in &mut former {
            one.user_name_key = user_name_key(&one.user_name_key).into_owned();
        }
        folding::set_former_keys(&mut tx, &former).await?;
        count += former.len() as u64;
        tx.commit().await?;
    }
}
