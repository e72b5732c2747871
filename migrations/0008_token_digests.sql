-- By which a token is recognised that was verified before, without its argon2id run: a code by a key of
-- ROLLCALL_ENCRYPTION_KEYS over the token and its hash, with the key's id. Null until then.
alter table api_tokens add column token_digest bytea;
alter table scim_configurations add column token_digest bytea;
