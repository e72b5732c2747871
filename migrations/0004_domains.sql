-- The domains that organizations say they own, and the policies of organizations.

create table domain_verifications (
    organization_id uuid not null references organizations (id) on delete cascade,
    id uuid not null,
    -- in lower case
    domain text not null,
    -- what the domain's TXT record must hold
    token text not null,
    -- when the record was found; null until then
    verified_at timestamptz,
    created_at timestamptz not null,
    primary key (organization_id, id),
    constraint domain_verifications_domain_key unique (organization_id, domain)
);

-- At most one organization has a domain verified: the one index that all organizations share.
create unique index domain_verifications_verified_key on domain_verifications (domain) where verified_at is not null;

-- An organization without a row has no policies yet.
create table organization_policies (
    organization_id uuid primary key references organizations (id) on delete cascade,
    -- gitpod.v1.OrganizationPolicies in JSON, without the organization
    policies jsonb not null,
    -- the one that this server heeds
    restrict_account_creation_to_scim boolean not null
        generated always as (policies @> '{"restrictAccountCreationToScim": true}') stored,
    updated_at timestamptz not null
);
