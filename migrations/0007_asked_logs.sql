-- What administrators ask of the logs, without reading all of a log.

-- Refusals are few, so most writes do not touch this index.
create index scim_events_refused on scim_events (organization_id, scim_configuration_id, id) where outcome = 'refused';
create index scim_events_resource on scim_events (organization_id, scim_configuration_id, resource_id, id)
    where resource_id is not null;

-- Tries are listed by when they ended; their references are made when they begin.
drop index sso_attempts_configuration;
create index sso_attempts_outcome on sso_attempts (organization_id, outcome, created_at, id);
create index sso_attempts_configuration on sso_attempts (organization_id, sso_configuration_id, outcome, created_at, id);

create index api_tokens_expires_at on api_tokens (organization_id, expires_at) where revoked_at is null;
