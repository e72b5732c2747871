-- Links with which somebody without an account sets up single sign-on, provisioning or domains (docs/setup-link.md).
create table setup_links (
    organization_id uuid not null,
    id uuid not null,
    -- who it is for; may be empty
    description text not null,
    -- sso, scim, domains: at least one
    permissions text[] not null,
    -- where the person goes when done; may be empty
    return_url text not null,
    -- SHA-256 of the token that is in the link
    token_hash bytea not null,
    created_by uuid not null,
    created_by_principal text not null,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    -- to the minute
    first_used_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz,
    primary key (organization_id, id)
);
