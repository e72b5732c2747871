-- An address is no identifier: people share mailboxes, and administrators have second accounts. Several members may have one,
-- and then it tells nothing of who somebody is.
drop index users_email_key;
drop index users_left_email;
create index users_email on users (organization_id, email_key, id) where email_key <> '';

-- What tells it instead: the provider's identifier of a person, which provisioning sends as externalId.
alter table sso_identities add column object_id text;
comment on column sso_identities.object_id is 'the claim oid, where the provider is Entra ID: sub differs from one application to the next there';
create index sso_identities_subject on sso_identities (organization_id, sso_configuration_id, subject);
create index sso_identities_object_id on sso_identities (organization_id, sso_configuration_id, object_id) where object_id is not null;
