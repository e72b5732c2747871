-- When a test sign-in last let somebody in through the configuration as it is; null since anything was changed that decides about that.
alter table sso_configurations add column tested_at timestamptz;

-- The tries of a member, and of an address in any case.
create index sso_attempts_member on sso_attempts (organization_id, user_id, outcome, created_at, id) where user_id is not null;
create index sso_attempts_email on sso_attempts (organization_id, (folded(email) collate "C"), outcome, created_at, id)
    where email is not null;
