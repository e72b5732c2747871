-- The key pairs with which configurations prove themselves to providers that take no client secret
-- (private_key_jwt). Made when the first is needed.
create table sso_client_keys (
    organization_id uuid not null,
    sso_configuration_id uuid not null,
    sealed_key bytea not null,
    created_at timestamptz not null,
    primary key (organization_id, sso_configuration_id),
    foreign key (organization_id, sso_configuration_id)
        references sso_configurations (organization_id, id) on delete cascade
);
