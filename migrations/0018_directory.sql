-- The directory that programs run: groups and service accounts of the organization's own, roles, tokens of members and of operators,
-- and organizations that end.

-- Since when an organization is deleted: it opens nothing, and a job removes its rows.
alter table organizations add column deleted_at timestamptz;
create index organizations_deleted on organizations (deleted_at) where deleted_at is not null;

-- Since when an administrator keeps a member out, whatever provisioning says.
alter table users add column suspended_at timestamptz;
create index users_administrators on users (organization_id, id) where role = 'admin';

-- An index is made without the search path of whoever makes it (PostgreSQL 17): the function says where it finds the other one.
do $$
begin
    execute format('alter function folded(text) set search_path = %I', current_schema());
end
$$;

-- The orders and filters of the list of members.
create index users_name on users (organization_id, (coalesce(name_key, folded(name)) collate "C"), id);
create index users_status on users (organization_id, status, id) where status <> 'active';

-- Parts of names and addresses are looked for by trigrams. Where the extension is not there, or may not be made, all members of the
-- organization are read.
do $$
begin
    if not exists (select 1 from pg_available_extensions where name = 'pg_trgm') then
        return;
    end if;
    create extension if not exists pg_trgm;
    create index users_parts on users using gin ((coalesce(name_key, folded(name)) || ' ' || email_key) gin_trgm_ops);
exception when others then
    raise notice 'searches by a part of a name read all members: %', sqlerrm;
end
$$;

-- Groups that are made over the API. Those that identity providers push are scim_groups.
create table groups (
    organization_id uuid not null,
    id uuid not null,
    name text not null,
    -- folded
    name_key text collate "C" not null,
    description text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (organization_id, id),
    constraint groups_name_key unique (organization_id, name_key)
);

-- Both kinds of groups are in one list, in the order of their ids, and are found by name.
create index scim_groups_id on scim_groups (organization_id, id);
create index scim_groups_name on scim_groups (organization_id, display_name_key);

create table group_members (
    organization_id uuid not null,
    group_id uuid not null,
    subject_id uuid not null,
    -- user or service_account
    principal text not null,
    id uuid not null,
    created_at timestamptz not null,
    primary key (organization_id, group_id, subject_id),
    constraint group_members_group_fkey foreign key (organization_id, group_id) references groups on delete cascade
);

create unique index group_members_id on group_members (organization_id, id);
create index group_members_place on group_members (organization_id, group_id, id);
create index group_members_subject on group_members (organization_id, subject_id, group_id);

-- What the members of a group may do, of either kind. Whoever deletes the group deletes its rows.
create table role_assignments (
    organization_id uuid not null,
    id uuid not null,
    group_id uuid not null,
    -- the names of a gitpod.v1.ResourceType and a gitpod.v1.ResourceRole without their prefixes, in lower case
    resource_type text not null,
    resource_id uuid not null,
    role text not null,
    created_at timestamptz not null,
    primary key (organization_id, id),
    constraint role_assignments_key unique (organization_id, group_id, resource_id, role)
);

create index role_assignments_resource on role_assignments (organization_id, resource_id, id);

alter table service_accounts
    add column description text not null default '',
    -- who made it; null for what an operator made
    add column creator_id uuid,
    add column creator_principal text,
    add column updated_at timestamptz,
    -- after this moment, its tokens open nothing
    add column valid_until timestamptz,
    add column suspended_at timestamptz;

alter table api_tokens
    add column description text not null default '',
    add column creator_id uuid,
    add column creator_principal text,
    -- to the minute
    add column last_used_at timestamptz,
    -- for a program that makes a lasting token with it: it ends soon, and is in no list
    add column is_access_token boolean not null default false;
create index api_tokens_service_account on api_tokens (organization_id, service_account_id, id);
create index api_tokens_ended on api_tokens (expires_at) where creator_id is not null;

-- The tokens of members, which open what the member may do.
create table personal_access_tokens (
    organization_id uuid not null,
    id uuid not null,
    user_id uuid not null,
    description text not null,
    -- argon2id, PHC string format
    token_hash text not null,
    -- HMAC-SHA-256 of the token that verified: see token_digest of api_tokens
    token_digest bytea,
    read_only boolean not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    -- to the minute
    last_used_at timestamptz,
    primary key (organization_id, id)
);

create index personal_access_tokens_user on personal_access_tokens (organization_id, user_id, id);
create index personal_access_tokens_ended on personal_access_tokens (expires_at);

-- The tokens of operators, which belong to no organization.
create table operator_tokens (
    id uuid primary key,
    name text not null,
    -- argon2id, PHC string format
    token_hash text not null,
    token_digest bytea,
    created_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz,
    -- to the minute
    last_used_at timestamptz
);

-- How people join an organization: by its one invitation, or because their address is in one of its domains.
create table invitations (
    organization_id uuid primary key,
    -- SHA-256 of the invitation, which is 122 random bits
    digest bytea unique,
    -- sealed: key id, nonce, ciphertext; bound to the organization
    sealed bytea,
    expires_at timestamptz,
    -- in lower case; none: an address of any domain
    domains text[] not null default '{}'
);

create index invitations_domains on invitations using gin (domains);

-- The audit log is read from its end, and by whom it is about and who did it.
create index audit_entries_subject on audit_entries (organization_id, subject_id, id);
create index audit_entries_actor on audit_entries (organization_id, actor_id, id);
