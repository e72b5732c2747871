-- Organizations, who may call the API on their behalf, their SSO and SCIM configurations, and the audit log.
-- Keys lead with organization_id: one organization's rows live together, and no query goes without its tenant.

create table organizations (
    id uuid primary key,
    name text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

-- Who acts through an API token.
create table service_accounts (
    organization_id uuid not null references organizations (id) on delete cascade,
    id uuid not null,
    name text not null,
    role text not null check (role in ('admin', 'member')),
    created_at timestamptz not null,
    primary key (organization_id, id)
);

create table api_tokens (
    organization_id uuid not null,
    id uuid not null,
    service_account_id uuid not null,
    -- argon2id, PHC string format
    token_hash text not null,
    read_only boolean not null,
    -- made from ROLLCALL_BOOTSTRAP_TOKEN
    is_bootstrap boolean not null default false,
    created_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    primary key (organization_id, id),
    foreign key (organization_id, service_account_id) references service_accounts on delete cascade
);

-- A presented token names its row by id alone.
create unique index api_tokens_id on api_tokens (id);

create table sso_configurations (
    organization_id uuid not null references organizations (id) on delete cascade,
    id uuid not null,
    client_id text not null,
    -- sealed: key id, nonce, ciphertext; bound to organization and configuration
    client_secret bytea not null,
    issuer_url text not null,
    -- SHA-256 of issuer_url and client_id, which may be too long for an index
    registration_digest bytea not null,
    is_active boolean not null,
    -- our claim name to the provider's
    claims jsonb not null,
    email_domains text[] not null,
    display_name text not null,
    additional_scopes text[] not null,
    claims_expression text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (organization_id, id),
    constraint sso_configurations_registration_key unique (organization_id, registration_digest)
);

create table scim_configurations (
    organization_id uuid not null references organizations (id) on delete cascade,
    id uuid not null,
    name text not null,
    enabled boolean not null,
    sso_configuration_id uuid not null,
    allow_unverified_email_account_linking boolean not null,
    -- argon2id, PHC string format
    token_hash text not null,
    token_lifetime_seconds bigint not null,
    token_expires_at timestamptz not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (organization_id, id),
    constraint scim_configurations_sso_configuration_fkey
        foreign key (organization_id, sso_configuration_id) references sso_configurations
);

create index scim_configurations_sso_configuration on scim_configurations (organization_id, sso_configuration_id);

-- A presented SCIM token names its configuration by id alone.
create unique index scim_configurations_id on scim_configurations (id);

-- One row a change, written in the transaction that makes it.
create table audit_entries (
    organization_id uuid not null references organizations (id) on delete cascade,
    id uuid not null,
    created_at timestamptz not null,
    actor_id uuid not null,
    -- the name of a gitpod.v1.Principal, without its prefix, in lower case
    actor_principal text not null,
    action text not null,
    -- the name of a gitpod.v1.ResourceType, without its prefix, in lower case
    subject_type text not null,
    subject_id uuid not null,
    -- the subject before and after; absent when it did not or does not exist; never a secret
    before jsonb,
    after jsonb,
    primary key (organization_id, id)
);
