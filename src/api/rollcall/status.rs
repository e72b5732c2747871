//! `StatusService`: how the installation and the caller's organization are.

use buffa_types::google::protobuf::Duration;
use chrono::{DateTime, TimeDelta, Utc};

use super::number;
use crate::api::handler::timestamp;
use crate::app::App;
use crate::domain::identity::Reader;
use crate::domain::sso::SsoConfiguration;
use crate::error::Error;
use crate::store::sign_in::{AttemptCount, HourCount};
use crate::store::status::{Counts, Database, ExpiringToken, ScimStatus};
use crate::store::{self, Page};
use proto::rollcall::v1::scim_configuration_status::Refusal;
use proto::rollcall::v1::sign_in_counts::Check;
use proto::rollcall::v1::token_expiry::Token;
use proto::rollcall::v1::{
    Count, DatabaseStatus, GetStatusResponse, SCIMConfigurationStatus, SSOConfigurationStatus,
    SchemaStatus, SignInCounts, SignInHour, TokenExpiry,
};

/// The most configurations of a kind.
const MAX_CONFIGURATIONS: u32 = 100;
/// The most tries of an outcome that are counted: the cost must not grow with the organization.
const MAX_COUNT: i64 = 10_000;
const COUNTED: TimeDelta = TimeDelta::hours(1);
/// How many hours of tries are told one by one, and up to how many tries of each.
const HOURS: i64 = 24;
const MAX_HOUR_COUNT: i64 = 1_000;
/// How long before a token ends it is listed, and how many are.
const SOON: TimeDelta = TimeDelta::days(30);
const MAX_TOKENS: i64 = 20;

/// `GetStatus`. Nine round trips.
pub async fn get(app: &App, caller: Reader<'_>) -> Result<GetStatusResponse, Error> {
    let id = caller.organization_id;
    let now = app.clock.now();
    let mut db = app.store.acquire().await?;
    let database = store::status::database(&mut db).await?;
    let organization = store::organizations::get(&mut db, id).await?;
    let scim = store::status::scim_configurations(&mut db, id, MAX_CONFIGURATIONS.into()).await?;
    let page = Page::first(MAX_CONFIGURATIONS);
    let sso = store::sso::list(&mut db, id, page).await?;
    let counts = store::sign_in::count_attempts(&mut db, id, now - COUNTED, MAX_COUNT).await?;
    let hours = hours(now);
    let hours =
        store::sign_in::count_attempts_by_hour(&mut db, id, &hours, MAX_HOUR_COUNT + 1).await?;
    let tokens = store::status::next_expiring_tokens(&mut db, id, now, MAX_TOKENS).await?;
    let tokens: Vec<TokenExpiry> = tokens.into_iter().map(token_expiry).collect();
    let soon = timestamp(now + SOON);
    let ends_soon = |token: &&TokenExpiry| {
        let ends = token.expires_at.as_option();
        ends.is_some_and(|at| (at.seconds, at.nanos) <= (soon.seconds, soon.nanos))
    };
    let counts_of = store::status::counts(&mut db, id).await?;
    Ok(GetStatusResponse {
        server_version: env!("CARGO_PKG_VERSION").to_owned(),
        time: timestamp(now).into(),
        organization_id: id.to_string(),
        organization_name: organization.name,
        schema: SchemaStatus {
            applied_version: number(database.schema_version.unwrap_or_default()),
            known_version: number(store::status::known_schema_version()),
            ..Default::default()
        }
        .into(),
        database: database_status(database).into(),
        scim_configurations: scim.into_iter().map(scim_status).collect(),
        sso_configurations: sso.items.into_iter().map(sso_status).collect(),
        sign_ins: sign_in_counts(counts).into(),
        expiring_tokens: tokens.iter().filter(ends_soon).cloned().collect(),
        next_token_to_expire: tokens.into_iter().next().into(),
        members: members(&counts_of).into(),
        groups: count(counts_of.groups, store::status::MAX_COUNT).into(),
        sign_ins_by_hour: hours.into_iter().map(hour).collect(),
        ..Default::default()
    })
}

/// The beginnings of the hours that are told, the oldest first.
fn hours(now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let current = now.timestamp().div_euclid(3_600);
    let hours = (current - HOURS + 1)..=current;
    hours
        .filter_map(|hour| DateTime::from_timestamp(hour * 3_600, 0))
        .collect()
}

fn hour(counts: HourCount) -> SignInHour {
    let (signed_in, refused) = (counts.signed_in, counts.refused);
    SignInHour {
        start: timestamp(counts.start).into(),
        signed_in: number(signed_in.min(MAX_HOUR_COUNT)),
        refused: number(refused.min(MAX_HOUR_COUNT)),
        at_least: signed_in.max(refused) > MAX_HOUR_COUNT,
        ..Default::default()
    }
}

/// A count that went up to `most` and one.
fn count(found: i64, most: i64) -> Count {
    Count {
        count: number(found.min(most)),
        at_least: found > most,
        ..Default::default()
    }
}

/// The people who have not left. Of more people than are counted, those who left are taken off all the same: what remains is the
/// least that there are.
fn members(counts: &Counts) -> Count {
    let people = count(counts.people, store::status::MAX_COUNT);
    let left = number(counts.left);
    Count {
        count: (people.count - left).max(0),
        ..people
    }
}

fn database_status(database: Database) -> DatabaseStatus {
    DatabaseStatus {
        version: database.version,
        writable: database.writable,
        standby_count: number(database.standby_count),
        replication_lag: database.lag_seconds.map(duration).into(),
        ..Default::default()
    }
}

fn duration(seconds: f64) -> Duration {
    let lag = std::time::Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
    Duration {
        seconds: i64::try_from(lag.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(lag.subsec_nanos()).unwrap_or_default(),
        ..Default::default()
    }
}

fn scim_status(status: ScimStatus) -> SCIMConfigurationStatus {
    let refusal = status.refused_at.map(|at| Refusal {
        at: timestamp(at).into(),
        method: status.refused_method.unwrap_or_default(),
        path: status.refused_path.unwrap_or_default(),
        status: status.refused_status.unwrap_or_default().into(),
        reason: status.refused_reason.unwrap_or_default(),
        ..Default::default()
    });
    SCIMConfigurationStatus {
        id: status.id.to_string(),
        name: status.name,
        enabled: status.enabled,
        token_expires_at: timestamp(status.token_expires_at).into(),
        user_count: number(status.user_count),
        last_event_at: status.last_event_at.map(timestamp).into(),
        last_refusal: refusal.into(),
        groups: count(status.group_count, store::status::MAX_GROUPS).into(),
        ..Default::default()
    }
}

fn sso_status(configuration: SsoConfiguration) -> SSOConfigurationStatus {
    SSOConfigurationStatus {
        id: configuration.id.to_string(),
        display_name: configuration.display_name().to_owned(),
        active: configuration.is_usable(),
        needs_client_secret: configuration.needs_client_secret,
        tested_at: configuration.tested_at.map(timestamp).into(),
        ..Default::default()
    }
}

fn sign_in_counts(counts: Vec<AttemptCount>) -> SignInCounts {
    let total = |refused: bool| {
        let counted = counts
            .iter()
            .filter(|c| c.failed_check.is_some() == refused);
        counted.map(|c| c.count).sum::<i64>()
    };
    let (signed_in, refused) = (total(false), total(true));
    let check = |count: &AttemptCount| {
        Some(Check {
            failed_check: count.failed_check?.to_string(),
            count: number(count.count),
            ..Default::default()
        })
    };
    SignInCounts {
        signed_in: number(signed_in),
        refused: number(refused),
        refusals: counts.iter().filter_map(check).collect(),
        at_least: signed_in >= MAX_COUNT || refused >= MAX_COUNT,
        ..Default::default()
    }
}

fn token_expiry(token: ExpiringToken) -> TokenExpiry {
    let id = token.id.to_string();
    TokenExpiry {
        token: Some(if token.is_scim {
            Token::ScimConfigurationId(id)
        } else {
            Token::ApiTokenId(id)
        }),
        name: token.name,
        expires_at: timestamp(token.expires_at).into(),
        ..Default::default()
    }
}
