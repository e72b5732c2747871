//! A database on several machines: PostgreSQL with the extension Citus, which distributes each table by its organization.
//!
//! Every statement of a request names one organization, so that it runs on the one machine that has it. What a statement
//! may not do there, and how that is tested: docs/ARCHITECTURE.md, "Several machines".

use sqlx::{AssertSqlSafe, Executor as _, PgConnection, query_as, query_scalar};

use crate::error::Error;

/// The tables that are distributed, each after those that it refers to.
pub const DISTRIBUTED: [&str; 37] = [
    // Triggers on the others write to it.
    "events",
    "organizations",
    "service_accounts",
    "api_tokens",
    "sso_configurations",
    "sso_client_keys",
    "sso_identities",
    "sso_logins",
    "sso_attempts",
    "sessions",
    "organization_policies",
    "brands",
    "audit_entries",
    "users",
    "scim_configurations",
    "scim_users",
    "scim_user_emails",
    "scim_user_blocks",
    "scim_former_users",
    "scim_groups",
    "scim_group_members",
    "scim_group_changes",
    "scim_events",
    "groups",
    "group_members",
    "role_assignments",
    "personal_access_tokens",
    "grants",
    "pushed_requests",
    "client_assertions",
    "event_streams",
    "event_stream_notices",
    "event_stream_removals",
    "setup_links",
    "webhooks",
    "receivers",
    "deliveries",
];

/// The tables that every machine has: what is unique over all organizations, and what a program must know before it
/// knows an organization.
pub const EVERYWHERE: [&str; 7] = [
    "applications",
    "domain_verifications",
    "invitations",
    "operator_tokens",
    "schema_compatibility",
    "signing_keys",
    "_sqlx_migrations",
];

/// The argument of functions that run on the machine that has the organization.
const ORGANIZATION: &str = "of_organization";

/// Keeps others from distributing at the same time: "machines" in ASCII.
const LOCK: i64 = 0x6d61_6368_696e_6573;

/// Settings that the statements rely on: those of a connection do not reach the other machines.
const SETTINGS: [(&str, &str); 5] = [
    ("jit", "off"),
    ("enable_seqscan", "off"),
    // Triggers write events on the machine that has the row that they tell of.
    ("citus.enable_unsafe_triggers", "on"),
    // A transaction says who acts: there, too.
    ("citus.propagate_set_commands", "local"),
    // The statement that begins such a transaction is passed on as a whole, and begins it twice there, of which there is a warning.
    ("client_min_messages", "error"),
];

/// What the functions are called that triggers call.
const OF_TRIGGERS: &str = "told%";

// The queries are not checked: what they read comes with the extension.

/// Distributes what is not distributed yet, if the database has the extension. Safe to repeat. Rows that there are move to
/// their machines, and a table takes no writes until its own have. That may take long, so `db` is the driver's connection, which
/// nobody watches; after an error it has to be closed, since a lock is held. Tells whether the database has the extension.
pub(super) async fn distribute(db: &mut PgConnection) -> Result<bool, Error> {
    let has_extension: bool =
        query_scalar("select exists (select 1 from pg_extension where extname = 'citus')")
            .fetch_one(&mut *db)
            .await?;
    if !has_extension {
        return Ok(false);
    }
    lock(db, "pg_advisory_lock").await?;
    distribute_all(db).await?;
    lock(db, "pg_advisory_unlock").await?;
    Ok(true)
}

async fn lock(db: &mut PgConnection, function: &str) -> Result<(), Error> {
    let statement = AssertSqlSafe(format!("select {function}({LOCK})"));
    db.execute(statement).await?;
    Ok(())
}

async fn distribute_all(db: &mut PgConnection) -> Result<(), Error> {
    for (setting, value) in SETTINGS {
        set(db, setting, value).await?;
    }
    for function in functions_of_triggers(db).await? {
        let statement = "select create_distributed_function($1::regprocedure)::text";
        run(db, statement, &function).await?;
    }
    for table in left(db, &DISTRIBUTED).await? {
        distribute_table(db, &table).await?;
    }
    for table in left(db, &EVERYWHERE).await? {
        run(db, "select create_reference_table($1)::text", &table).await?;
    }
    for function in functions(db).await? {
        let statement = "select create_distributed_function($1::regprocedure, 'of_organization', colocate_with => 'events')::text";
        run(db, statement, &function).await?;
    }
    Ok(())
}

/// Distributes a table. Its triggers are not there meanwhile: the rows that move to their machines are no news.
async fn distribute_table(db: &mut PgConnection, table: &str) -> Result<(), Error> {
    let statement = match table {
        "events" => "select create_distributed_table($1, 'organization_id')::text",
        "organizations" => {
            "select create_distributed_table($1, 'id', colocate_with => 'events')::text"
        }
        _ => {
            "select create_distributed_table($1, 'organization_id', colocate_with => 'events')::text"
        }
    };
    let triggers: Vec<(String, String)> = query_as(
        "select format('drop trigger %I on %s', t.tgname, t.tgrelid::regclass), pg_get_triggerdef(t.oid) from pg_trigger t
         where t.tgrelid = to_regclass($1) and not t.tgisinternal",
    )
    .bind(table)
    .fetch_all(&mut *db)
    .await?;
    db.execute("begin").await?;
    for (drop, _) in &triggers {
        db.execute(AssertSqlSafe(drop.clone())).await?;
    }
    run(db, statement, table).await?;
    for (_, create) in triggers {
        db.execute(AssertSqlSafe(create)).await?;
    }
    db.execute("commit").await?;
    Ok(())
}

/// Gives a setting of this connection and of the database a value. The extension passes it on to every machine, those that come later
/// too.
async fn set(db: &mut PgConnection, setting: &str, value: &str) -> Result<(), Error> {
    let own = AssertSqlSafe(format!("set {setting} = {value}"));
    db.execute(own).await?;
    let statement: Option<String> = query_scalar(
        "select format('alter database %I set %s = %I', d.datname, $1, $2) from pg_database d
         where d.datname = current_database() and not exists (
             select 1 from pg_db_role_setting s
             where s.setdatabase = d.oid and s.setrole = 0 and $1 || '=' || $2 = any(s.setconfig))",
    )
    .bind(setting)
    .bind(value)
    .fetch_optional(&mut *db)
    .await?;
    if let Some(statement) = statement {
        db.execute(AssertSqlSafe(statement)).await?;
        tracing::info!(setting, value, "set on the machines of the database");
    }
    Ok(())
}

/// Those of `tables` that are on one machine alone, in order.
async fn left(db: &mut PgConnection, tables: &[&str]) -> Result<Vec<String>, Error> {
    let names = "select t.name from unnest($1::text[]) with ordinality t(name, place)
         where not exists (select 1 from pg_dist_partition p where p.logicalrelid = to_regclass(t.name)) order by t.place";
    Ok(query_scalar(names).bind(tables).fetch_all(db).await?)
}

/// The functions that every machine would run, though they are for one organization.
async fn functions(db: &mut PgConnection) -> Result<Vec<String>, Error> {
    let names = "select p.oid::regprocedure::text from pg_proc p
         where p.pronamespace = current_schema()::regnamespace and $1 = any(p.proargnames) and not exists (
             select 1 from pg_dist_object o where o.objid = p.oid and o.distribution_argument_index is not null)";
    Ok(query_scalar(names).bind(ORGANIZATION).fetch_all(db).await?)
}

/// The functions that triggers call and that are not on every machine yet. The triggers' own are wherever the triggers are.
async fn functions_of_triggers(db: &mut PgConnection) -> Result<Vec<String>, Error> {
    let names = "select p.oid::regprocedure::text from pg_proc p
         where p.pronamespace = current_schema()::regnamespace and p.proname like $1 and not exists (
             select 1 from pg_dist_object o where o.objid = p.oid)";
    Ok(query_scalar(names).bind(OF_TRIGGERS).fetch_all(db).await?)
}

async fn run(db: &mut PgConnection, statement: &'static str, name: &str) -> Result<(), Error> {
    let _: Option<String> = query_scalar(statement).bind(name).fetch_one(db).await?;
    tracing::info!(name, "distributed over the machines of the database");
    Ok(())
}
