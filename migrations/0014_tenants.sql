-- Tokens name their organization: their rows are found by (organization_id, id), which the primary keys have.
drop index api_tokens_id;
drop index scim_configurations_id;
drop index sso_configurations_id;
drop index sessions_id;
