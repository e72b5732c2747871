-- The program alone decides the status of a member and ends sessions: what a trigger does has no cause that could be told.
drop trigger users_end_sessions on users;
drop trigger users_stay_suspended on users;
drop trigger users_forget_name_key on users;
drop function end_sessions();
drop function stay_suspended();
drop function forget_name_key();

-- The audit log has every change of every door now. Its rows stay when the organization is gone, and writing one must not
-- lock the organization's row.
alter table audit_entries drop constraint audit_entries_organization_id_fkey;

-- An older program would leave both to the triggers.
update schema_compatibility set oldest_version = 15, oldest_release = '0.2.0';
