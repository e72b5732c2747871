-- Applications, into which people sign in through their organization's provider (docs/applications.md).

-- Those of the installation have the nil UUID as their organization. With the database on several machines, every one of them
-- has the table: a grant is read together with its application.
create table applications (
    organization_id uuid not null,
    id uuid not null,
    name text not null,
    -- all that is said of it, none of it secret
    settings jsonb not null,
    -- SHA-256: the secret is 256 random bits, which nobody guesses
    secret_hash bytea,
    -- the one before, which lives on for a while
    previous_secret_hash bytea,
    previous_secret_expires_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (organization_id, id)
);

-- How the person of a session proved who it is, and the parts of the name, as the provider says.
alter table sessions
    add column given_name text not null default '',
    add column family_name text not null default '',
    -- whether the provider was asked to have the person sign in again
    add column is_anew boolean not null default false,
    add column auth_time timestamptz,
    add column amr text[] not null default '{}',
    add column acr text;

-- What an application may do in the name of a member or service account: first a code, then tokens.
create table grants (
    organization_id uuid not null,
    id uuid not null,
    application_organization_id uuid not null,
    application_id uuid not null,
    subject_id uuid not null,
    -- of the member; a service account has none
    session_id uuid,
    sso_configuration_id uuid,
    -- separated by blanks
    scope text not null,
    -- what else the application asked for, and how the person signed in
    details jsonb not null,
    redirect_uri text not null,
    -- SHA-256 of the verifier, as PKCE has it
    code_challenge text,
    -- SHA-256 each
    code_hash bytea,
    code_expires_at timestamptz,
    code_used_at timestamptz,
    refresh_hash bytea,
    previous_refresh_hash bytea,
    refreshed_at timestamptz,
    created_at timestamptz not null,
    -- when nothing that came of it can be used any more, and the session is over, of whose end the application may have to be told
    expires_at timestamptz not null,
    ended_at timestamptz,
    -- when the application is told that the session ended, and how often that was tried
    notify_at timestamptz,
    notices integer not null default 0,
    primary key (organization_id, id)
)
-- a refresh writes the row again, on the same page if there is room
with (fillfactor = 70);

create index grants_session on grants (organization_id, session_id) where session_id is not null;
create index grants_subject on grants (organization_id, subject_id);
create index grants_configuration on grants (organization_id, sso_configuration_id) where sso_configuration_id is not null;
create index grants_expires_at on grants (expires_at);
create index grants_notify_at on grants (notify_at) where notify_at is not null;

-- Authorization requests that applications pushed (RFC 9126), each for a minute.
create table pushed_requests (
    -- the application's
    organization_id uuid not null,
    id uuid not null,
    application_id uuid not null,
    token_hash bytea not null,
    parameters jsonb not null,
    expires_at timestamptz not null,
    primary key (organization_id, id)
);

create index pushed_requests_expires_at on pushed_requests (expires_at);

-- Proofs of applications that were taken (RFC 7523): each counts once.
create table client_assertions (
    -- the application's
    organization_id uuid not null,
    application_id uuid not null,
    -- SHA-256 of what the application calls it
    digest bytea not null,
    expires_at timestamptz not null,
    primary key (organization_id, application_id, digest)
);

create index client_assertions_expires_at on client_assertions (expires_at);

-- The keys that tokens are signed with, of the installation.
create table signing_keys (
    -- what tokens call it
    id text primary key,
    -- RS256, ES256 or EdDSA
    algorithm text not null,
    -- PKCS #8, sealed
    sealed_key bytea not null,
    -- as a JSON Web Key
    public_key jsonb not null,
    created_at timestamptz not null,
    -- it is published from the beginning, and signs from this moment on
    active_from timestamptz not null,
    -- after this moment it is published no more
    published_until timestamptz
);
