-- People sign in: logins, who is who at a provider, sessions, and a row for each attempt.

-- Which configurations sign in addresses of a domain: email_domains in lower case.
alter table sso_configurations add column email_domain_keys text[] not null default '{}';
update sso_configurations
set email_domain_keys = (select coalesce(array_agg(lower(domain)), '{}') from unnest(email_domains) domain);
create index sso_configurations_email_domain_keys on sso_configurations using gin (email_domain_keys);

-- The link of a login page names a configuration by id alone.
create unique index sso_configurations_id on sso_configurations (id);

-- Logins whose answer came from the provider: none is taken twice. What a login needs until then is in the browser's cookie.
create table sso_logins (
    organization_id uuid not null,
    id uuid not null,
    expires_at timestamptz not null,
    primary key (organization_id, id)
);

create index sso_logins_expires_at on sso_logins (expires_at);

-- Who a provider's subject is.
create table sso_identities (
    organization_id uuid not null,
    sso_configuration_id uuid not null,
    -- SHA-256 of issuer and subject: a subject means nothing at another issuer
    digest bytea not null,
    issuer text not null,
    subject text not null,
    user_id uuid not null,
    created_at timestamptz not null,
    last_used_at timestamptz not null,
    primary key (organization_id, sso_configuration_id, digest),
    foreign key (organization_id, sso_configuration_id) references sso_configurations on delete cascade
);

create index sso_identities_user on sso_identities (organization_id, user_id);

create table sessions (
    organization_id uuid not null,
    id uuid not null,
    user_id uuid not null,
    sso_configuration_id uuid not null,
    -- SHA-256: the token is 256 random bits, which nobody guesses
    token_hash bytea not null,
    user_agent text not null,
    created_at timestamptz not null,
    -- to the minute
    last_used_at timestamptz not null,
    expires_at timestamptz not null,
    primary key (organization_id, id),
    foreign key (organization_id, sso_configuration_id) references sso_configurations on delete cascade
);

-- A presented session names its row by id alone.
create unique index sessions_id on sessions (id);
create index sessions_user on sessions (organization_id, user_id);
create index sessions_configuration on sessions (organization_id, sso_configuration_id);
create index sessions_expires_at on sessions (expires_at);
create index sessions_last_used_at on sessions (last_used_at);

-- Who loses access loses it at once, whatever took it away.
create function end_sessions() returns trigger language plpgsql as $$
begin
    delete from sessions where organization_id = new.organization_id and user_id = new.id;
    return null;
end
$$;

create trigger users_end_sessions after update of status on users
for each row when (old.status = 'active' and new.status <> 'active') execute function end_sessions();

-- Two configurations may have the same member. Each computes the status from what it sees; while one waits for the other,
-- that is old. Who is suspended by one stays suspended.
create function stay_suspended() returns trigger language plpgsql as $$
begin
    if exists (
        select 1 from scim_users s
        where s.organization_id = new.organization_id and s.user_id = new.id and not s.active
    ) then
        new.status := 'suspended';
    end if;
    return new;
end
$$;

create trigger users_stay_suspended before update of status on users
for each row when (new.status = 'active' and old.status <> 'active') execute function stay_suspended();

-- A member who left does not come back by signing in.
create index users_left_email on users (organization_id, email_key) where status = 'left';

-- What came of each try to sign in, for administrators. Deleted after a while.
create table sso_attempts (
    organization_id uuid not null,
    id uuid not null,
    created_at timestamptz not null,
    sso_configuration_id uuid not null,
    -- signed_in or refused
    outcome text not null,
    -- which check kept the person out
    failed_check text,
    reason text,
    email text,
    subject text,
    claim_names text[] not null,
    -- the part of the claims expression that was not true
    failed_expression text,
    user_id uuid,
    primary key (organization_id, id)
);

create index sso_attempts_created_at on sso_attempts (created_at);
create index sso_attempts_configuration on sso_attempts (organization_id, sso_configuration_id, id);
