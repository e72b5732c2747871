-- Members of organizations, and what identity providers push: users, groups, memberships, and a row for each request.
--
-- Tables that every pushed user writes to have no foreign keys: each insert would lock the same parent row, and thousands
-- a second would wait for each other. Who deletes a parent deletes its rows in the same transaction.

-- Who belongs to an organization.
create table users (
    organization_id uuid not null,
    id uuid not null,
    email text not null,
    -- in lower case; empty when there is no address
    email_key text not null,
    -- whether the person proved to own the address
    email_verified boolean not null,
    name text not null,
    avatar_url text not null,
    role text not null check (role in ('admin', 'member')),
    status text not null check (status in ('active', 'suspended', 'left')),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (organization_id, id)
);

-- An address belongs to one member of an organization.
create unique index users_email_key on users (organization_id, email_key) where email_key <> '' and status <> 'left';

create table scim_users (
    organization_id uuid not null,
    scim_configuration_id uuid not null,
    id uuid not null,
    -- the member that the user is
    user_id uuid not null,
    user_name text not null,
    -- in the form in which equal names are equal (PRECIS)
    user_name_key text not null,
    external_id text,
    -- in lower case
    display_name_key text,
    active boolean not null,
    -- the resource without what the server adds: id, meta, groups, the manager's name
    resource jsonb not null,
    -- the resource in the form in which equal values are equal
    search jsonb not null,
    version bigint not null,
    created_at timestamptz not null,
    last_modified timestamptz not null,
    primary key (organization_id, scim_configuration_id, id),
    constraint scim_users_user_name_key unique (organization_id, scim_configuration_id, user_name_key),
    constraint scim_users_external_id_key unique (organization_id, scim_configuration_id, external_id),
    constraint scim_users_user_id_key unique (organization_id, scim_configuration_id, user_id)
);

create index scim_users_display_name on scim_users (organization_id, scim_configuration_id, display_name_key);
create index scim_users_last_modified on scim_users (organization_id, scim_configuration_id, last_modified);
create index scim_users_inactive on scim_users (organization_id, scim_configuration_id) where not active;
create index scim_users_member on scim_users (organization_id, user_id);

-- The addresses of users, for filters.
create table scim_user_emails (
    organization_id uuid not null,
    scim_configuration_id uuid not null,
    -- in lower case
    value_key text not null,
    scim_user_id uuid not null,
    primary key (organization_id, scim_configuration_id, value_key, scim_user_id)
);

create index scim_user_emails_user on scim_user_emails (organization_id, scim_configuration_id, scim_user_id);

-- Users that were deleted: when one comes back, it is the same member.
create table scim_former_users (
    organization_id uuid not null,
    scim_configuration_id uuid not null,
    user_id uuid not null,
    user_name_key text not null,
    external_id text,
    deleted_at timestamptz not null,
    primary key (organization_id, scim_configuration_id, user_id)
);

create index scim_former_users_user_name on scim_former_users (organization_id, scim_configuration_id, user_name_key);
create index scim_former_users_external_id on scim_former_users (organization_id, scim_configuration_id, external_id);

create table scim_groups (
    organization_id uuid not null,
    scim_configuration_id uuid not null,
    id uuid not null,
    display_name text not null,
    display_name_key text not null,
    external_id text,
    resource jsonb not null,
    search jsonb not null,
    version bigint not null,
    created_at timestamptz not null,
    last_modified timestamptz not null,
    primary key (organization_id, scim_configuration_id, id),
    constraint scim_groups_external_id_key unique (organization_id, scim_configuration_id, external_id)
);

create index scim_groups_display_name on scim_groups (organization_id, scim_configuration_id, display_name_key);
create index scim_groups_last_modified on scim_groups (organization_id, scim_configuration_id, last_modified);

-- What a member's value names may come later, or never.
create table scim_group_members (
    organization_id uuid not null,
    scim_configuration_id uuid not null,
    group_id uuid not null,
    member_value text not null,
    -- as the client has it
    kind text,
    display text,
    id uuid not null,
    primary key (organization_id, scim_configuration_id, group_id, member_value)
);

create index scim_group_members_member on scim_group_members (organization_id, scim_configuration_id, member_value, group_id);

-- What identity providers asked for and what came of it, for administrators. Deleted after a while.
create table scim_events (
    organization_id uuid not null,
    scim_configuration_id uuid not null,
    id uuid not null,
    created_at timestamptz not null,
    method text not null,
    path text not null,
    -- what was recognised of the client's dialect
    traits text[] not null,
    -- created, updated, deleted or refused
    outcome text not null,
    status smallint not null,
    resource_type text,
    resource_id uuid,
    -- [{"attribute", "old", "new"}]
    changes jsonb,
    -- why it was refused
    reason text,
    primary key (organization_id, scim_configuration_id, id)
);

create index scim_events_created_at on scim_events (created_at);
