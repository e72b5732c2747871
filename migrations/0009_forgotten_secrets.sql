-- What stands in the place of a client secret whose key was lost. As long as it equals client_secret, the secret has to be
-- entered again; a version that does not know this column replaces client_secret, and that counts.
alter table sso_configurations add column forgotten_secret bytea;
