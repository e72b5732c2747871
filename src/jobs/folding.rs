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
use crate::store::folding::{self, MemberKeys, Place};

/// How often there is a look for keys of an older program.
const INTERVAL: Duration = Duration::from_secs(600);

/// How many rows one transaction changes. A row that somebody changed meanwhile is left to the next run.
const BATCH: i64 = 200;

/// The job.
pub const JOB: Job = Job {
    name: "folding",
    interval: INTERVAL,
    is_frequent: false,
    run: |app| Box::pin(fold_all(app)),
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
        let members = folding::find_members(&mut tx, after, BATCH).await?;
        let Some(last) = members.last() else {
            tx.commit().await?;
            return Ok(count);
        };
        after = (last.organization_id, last.id);
        for member in &members {
            let keys = MemberKeys {
                name_key: fold(&member.name).into_owned(),
                email_key: address_key(&member.email).into_owned(),
            };
            count += u64::from(folding::set_member_keys(&mut tx, member, &keys).await?);
        }
        tx.commit().await?;
    }
}

async fn fold_users(app: &App) -> Result<u64, Error> {
    let mut count = 0;
    let mut after = Place::default();
    loop {
        let mut tx = app.store.begin().await?;
        let users = folding::find_users(&mut tx, after, BATCH).await?;
        let Some(last) = users.last() else {
            tx.commit().await?;
            return Ok(count);
        };
        after = last.place();
        for user in &users {
            let keys = users::keys(&user.resource, &user.user_name);
            let is_new = folding::set_user_keys(&mut tx, user, &keys).await?;
            if is_new == Some(false) {
                tracing::warn!(
                    organization = %user.organization_id,
                    configuration = %user.scim_configuration_id,
                    user = %user.id,
                    "the userName of a SCIM user is that of another user but for the case of its letters: filters find it no more by userName; delete one of the two, or rename it"
                );
            }
            count += u64::from(is_new.is_some());
        }
        tx.commit().await?;
    }
}

async fn fold_groups(app: &App) -> Result<u64, Error> {
    let mut count = 0;
    let mut after = Place::default();
    loop {
        let mut tx = app.store.begin().await?;
        let groups = folding::find_groups(&mut tx, after, BATCH).await?;
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
        let former = folding::find_former(&mut tx, BATCH).await?;
        for one in &former {
            let key = user_name_key(&one.user_name_key);
            folding::set_former_key(&mut tx, one, &key).await?;
        }
        tx.commit().await?;
        if former.is_empty() {
            return Ok(count);
        }
        count += former.len() as u64;
    }
}
