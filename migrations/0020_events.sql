-- What happens in an organization, in one log that programs follow (docs/events.md). The rows are written by triggers on what they
-- tell of: whatever changes it, also a program of the release before, tells of it in the same transaction.

create sequence events_seq;

create table events (
    organization_id uuid not null,
    -- Taken while the row that changed is locked: of one thing, a later change has a greater one. A transaction that ends late may have
    -- a small one: see store::events.
    seq bigint not null default nextval('events_seq'),
    -- the transaction that wrote it
    xid bigint not null default pg_current_xact_id()::text::bigint,
    time timestamptz not null default clock_timestamp(),
    -- such as member.suspended
    type text not null,
    subject_id uuid not null,
    -- Whoever tells of events one after the other keeps the order of those with the same key: a group and its memberships have one,
    -- a member and its sessions have one.
    order_key uuid not null,
    -- what the subject is now; of one that is gone, what it was last
    data jsonb not null,
    -- of what changed, what it was before
    previous jsonb not null,
    -- null for a program of the release before
    actor_principal text,
    actor_id uuid,
    primary key (organization_id, seq)
);

create index events_seq_key on events (seq);
create index events_xid on events (xid);
create index events_time on events (time);

-- Writes an event. The setting rollcall.actor of the transaction says who acts.
create function told(organization uuid, what text, subject uuid, ordered_by uuid, is_now jsonb, was jsonb) returns void
language plpgsql as $$
declare
    actor text := nullif(current_setting('rollcall.actor', true), '');
begin
    insert into events (organization_id, type, subject_id, order_key, data, previous, actor_principal, actor_id)
    values (organization, what, subject, ordered_by, is_now, was, split_part(actor, ':', 1), split_part(actor, ':', 2)::uuid);
end
$$;

-- What is another now, as it was before.
create function told_previous(was jsonb, is_now jsonb) returns jsonb language sql stable as $$
    select coalesce(jsonb_object_agg(w.key, w.value), '{}') from jsonb_each(was) w
    where w.key <> 'updated_at' and w.value is distinct from is_now->w.key
$$;

-- What events tell of each noun, of a row as JSON. Lists of what there is tell the same.

create function told_member(id uuid, email text, email_verified boolean, name text, avatar_url text, role text, status text,
    created_at timestamptz, updated_at timestamptz) returns jsonb language sql stable as $$
    select jsonb_build_object('id', id, 'email', email, 'email_verified', email_verified, 'name', name, 'avatar_url', avatar_url,
        'role', role, 'status', status, 'created_at', created_at, 'updated_at', updated_at)
$$;

create function told_group(r jsonb) returns jsonb language sql stable as $$
    select jsonb_build_object('id', r->'id', 'name', r->'name', 'description', r->'description', 'system_managed', false,
        'external_id', null, 'scim_configuration_id', null, 'created_at', r->'created_at', 'updated_at', r->'updated_at')
$$;

create function told_pushed_group(r jsonb) returns jsonb language sql stable as $$
    select jsonb_build_object('id', r->'id', 'name', r->'display_name', 'description', '', 'system_managed', true,
        'external_id', r->'external_id', 'scim_configuration_id', r->'scim_configuration_id', 'created_at', r->'created_at',
        'updated_at', r->'last_modified')
$$;

create function told_membership(id uuid, group_id uuid, subject_id uuid, principal text) returns jsonb language sql stable as $$
    select jsonb_build_object('id', id, 'group_id', group_id, 'subject_id', subject_id, 'principal', principal)
$$;

create function told_role_assignment(r jsonb) returns jsonb language sql stable as $$
    select jsonb_build_object('id', r->'id', 'group_id', r->'group_id', 'resource_type', r->'resource_type',
        'resource_id', r->'resource_id', 'role', r->'role', 'created_at', r->'created_at')
$$;

create function told_session(r jsonb) returns jsonb language sql stable as $$
    select jsonb_build_object('id', r->'id', 'member_id', r->'user_id', 'sso_configuration_id', r->'sso_configuration_id',
        'user_agent', r->'user_agent', 'created_at', r->'created_at', 'last_used_at', r->'last_used_at',
        'expires_at', r->'expires_at')
$$;

-- Whether what belongs to an organization is still told of: when the organization is deleted, its own event says so for all of it.
create function told_of(organization uuid) returns boolean language plpgsql stable as $$
begin
    return exists (select 1 from organizations o where o.id = organization and o.deleted_at is null);
end
$$;

-- The triggers. What is gone is told of before it goes, while what belongs to it can still be read.

create function tell_of_member() returns trigger language plpgsql as $$
declare
    actor text := nullif(current_setting('rollcall.actor', true), '');
    is_now jsonb := told_member(new.id, new.email, new.email_verified, new.name, new.avatar_url, new.role, new.status, new.created_at,
        new.updated_at);
    was jsonb := '{}';
    what text := 'member.created';
begin
    if tg_op = 'UPDATE' then
        was := told_previous(told_member(old.id, old.email, old.email_verified, old.name, old.avatar_url, old.role, old.status,
            old.created_at, old.updated_at), is_now);
        what := case
            when old.status = new.status then 'member.updated'
            when new.status = 'active' then 'member.reactivated'
            else 'member.' || new.status
        end;
    end if;
    -- As told() does: these are the most frequent by far, and a call of another function takes a tenth of the time of a new user.
    insert into events (organization_id, type, subject_id, order_key, data, previous, actor_principal, actor_id)
    values (new.organization_id, what, new.id, new.id, is_now, was, split_part(actor, ':', 1), split_part(actor, ':', 2)::uuid);
    return null;
end
$$;

create trigger tell_of_new_member after insert on users for each row execute function tell_of_member();
create trigger tell_of_changed_member after update on users for each row
    when ((old.email, old.email_verified, old.name, old.avatar_url, old.role, old.status)
        is distinct from (new.email, new.email_verified, new.name, new.avatar_url, new.role, new.status))
    execute function tell_of_member();

create function tell_of_group() returns trigger language plpgsql as $$
declare
    is_now jsonb;
begin
    if tg_op = 'DELETE' then
        if told_of(old.organization_id) then
            perform told(old.organization_id, 'group.deleted', old.id, old.id, told_group(to_jsonb(old)), '{}');
        end if;
        return old;
    end if;
    is_now := told_group(to_jsonb(new));
    if tg_op = 'INSERT' then
        perform told(new.organization_id, 'group.created', new.id, new.id, is_now, '{}');
    else
        perform told(new.organization_id, 'group.updated', new.id, new.id, is_now,
            told_previous(told_group(to_jsonb(old)), is_now));
    end if;
    return null;
end
$$;

create trigger tell_of_new_group after insert on groups for each row execute function tell_of_group();
create trigger tell_of_changed_group after update on groups for each row
    when ((old.name, old.description) is distinct from (new.name, new.description)) execute function tell_of_group();
create trigger tell_of_former_group before delete on groups for each row execute function tell_of_group();

create function tell_of_pushed_group() returns trigger language plpgsql as $$
declare
    is_now jsonb;
begin
    if tg_op = 'DELETE' then
        if told_of(old.organization_id) then
            perform told(old.organization_id, 'group.deleted', old.id, old.id, told_pushed_group(to_jsonb(old)), '{}');
        end if;
        return old;
    end if;
    is_now := told_pushed_group(to_jsonb(new));
    if tg_op = 'INSERT' then
        perform told(new.organization_id, 'group.created', new.id, new.id, is_now, '{}');
    else
        perform told(new.organization_id, 'group.updated', new.id, new.id, is_now,
            told_previous(told_pushed_group(to_jsonb(old)), is_now));
    end if;
    return null;
end
$$;

create trigger tell_of_new_group after insert on scim_groups for each row execute function tell_of_pushed_group();
create trigger tell_of_changed_group after update on scim_groups for each row
    when ((old.display_name, old.external_id) is distinct from (new.display_name, new.external_id))
    execute function tell_of_pushed_group();
create trigger tell_of_former_group before delete on scim_groups for each row execute function tell_of_pushed_group();

-- When a group is deleted, its own event says so of its memberships, too.
create function tell_of_membership() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        perform told(new.organization_id, 'membership.created', new.id, new.group_id,
            told_membership(new.id, new.group_id, new.subject_id, new.principal), '{}');
        return null;
    end if;
    perform 1 from groups g where g.organization_id = old.organization_id and g.id = old.group_id;
    if found and told_of(old.organization_id) then
        perform told(old.organization_id, 'membership.deleted', old.id, old.group_id,
            told_membership(old.id, old.group_id, old.subject_id, old.principal), '{}');
    end if;
    return old;
end
$$;

create trigger tell_of_new_membership after insert on group_members for each row execute function tell_of_membership();
create trigger tell_of_former_membership before delete on group_members for each row execute function tell_of_membership();

-- Members of a group that an identity provider pushes are users of SCIM; what is none of them (another group) is told of nowhere.
create function tell_of_pushed_membership() returns trigger language plpgsql as $$
declare
    r record;
    member uuid;
begin
    r := case tg_op when 'INSERT' then new else old end;
    if r.member_value ~ '^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$' then
        select s.user_id into member from scim_users s
        where s.organization_id = r.organization_id and s.scim_configuration_id = r.scim_configuration_id
            and s.id = r.member_value::uuid;
    end if;
    if tg_op = 'INSERT' then
        if member is not null then
            perform told(r.organization_id, 'membership.created', r.id, r.group_id,
                told_membership(r.id, r.group_id, member, 'user'), '{}');
        end if;
        return null;
    end if;
    if member is not null and told_of(r.organization_id) then
        perform 1 from scim_groups g where g.organization_id = r.organization_id
            and g.scim_configuration_id = r.scim_configuration_id and g.id = r.group_id;
        if found then
            perform told(r.organization_id, 'membership.deleted', r.id, r.group_id,
                told_membership(r.id, r.group_id, member, 'user'), '{}');
        end if;
    end if;
    return old;
end
$$;

create trigger tell_of_new_membership after insert on scim_group_members for each row execute function tell_of_pushed_membership();
create trigger tell_of_former_membership before delete on scim_group_members for each row
    execute function tell_of_pushed_membership();

-- A user of SCIM that is deleted is in no group any more: the rows that say so go after it.
create function tell_of_former_user() returns trigger language plpgsql as $$
begin
    if told_of(old.organization_id) then
        perform told(m.organization_id, 'membership.deleted', m.id, m.group_id,
            told_membership(m.id, m.group_id, old.user_id, 'user'), '{}')
        from scim_group_members m
        join scim_groups g on g.organization_id = m.organization_id and g.scim_configuration_id = m.scim_configuration_id
            and g.id = m.group_id
        where m.organization_id = old.organization_id and m.scim_configuration_id = old.scim_configuration_id
            and m.member_value = old.id::text;
    end if;
    return old;
end
$$;

create trigger tell_of_former_user before delete on scim_users for each row execute function tell_of_former_user();

create function tell_of_role_assignment() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        perform told(new.organization_id, 'role_assignment.created', new.id, new.group_id, told_role_assignment(to_jsonb(new)), '{}');
        return null;
    end if;
    if told_of(old.organization_id) then
        perform told(old.organization_id, 'role_assignment.deleted', old.id, old.group_id, told_role_assignment(to_jsonb(old)), '{}');
    end if;
    return old;
end
$$;

create trigger tell_of_new_role after insert on role_assignments for each row execute function tell_of_role_assignment();
create trigger tell_of_former_role before delete on role_assignments for each row execute function tell_of_role_assignment();

create function tell_of_session() returns trigger language plpgsql as $$
declare
    actor text := nullif(current_setting('rollcall.actor', true), '');
    of_member text;
begin
    if tg_op = 'INSERT' then
        perform told(new.organization_id, 'session.created', new.id, new.user_id, told_session(to_jsonb(new)), '{}');
        return null;
    end if;
    if not told_of(old.organization_id) then
        return old;
    end if;
    -- Whoever signs out is known by the session alone.
    if actor = 'user:00000000-0000-0000-0000-000000000000' then
        actor := 'user:' || old.user_id;
        perform set_config('rollcall.actor', actor, true);
    end if;
    select u.status into of_member from users u where u.organization_id = old.organization_id and u.id = old.user_id;
    perform told(old.organization_id, 'session.ended', old.id, old.user_id,
        told_session(to_jsonb(old)) || jsonb_build_object('reason', case
            when of_member <> 'active' then 'member_' || of_member
            when actor is null then 'expired'
            when actor = 'user:' || old.user_id then 'signed_out'
            when actor like 'sign_in:%' then 'replaced'
            else 'ended_by_administrator'
        end), '{}');
    return old;
end
$$;

create trigger tell_of_new_session after insert on sessions for each row execute function tell_of_session();
create trigger tell_of_former_session before delete on sessions for each row execute function tell_of_session();

-- What administrators decide about is in the audit log whole, and without secrets.
create function tell_of_decision() returns trigger language plpgsql as $$
declare
    noun text := case new.subject_type when 'sso_config' then 'sso_configuration' else new.subject_type end;
    is_now jsonb := coalesce(new.after, new.before);
begin
    perform set_config('rollcall.actor', new.actor_principal || ':' || new.actor_id, true);
    perform told(new.organization_id,
        noun || case when new.before is null then '.created' when new.after is null then '.deleted' else '.updated' end,
        new.subject_id, new.subject_id, jsonb_build_object('id', new.subject_id) || is_now,
        case when new.before is null or new.after is null then '{}' else told_previous(new.before, new.after) end);
    return null;
end
$$;

create trigger tell_of_decision after insert on audit_entries for each row
    when (new.subject_type in ('organization', 'organization_policy', 'sso_config', 'scim_configuration', 'domain_verification',
        'service_account', 'application', 'webhook', 'event_stream') and new.action <> 'CreateOrganizationInvite')
    execute function tell_of_decision();

-- The functions that SCIM writes with say who acts.
do $$
declare
    definition text;
    told text;
begin
    for definition in
        select pg_get_functiondef(p.oid) from pg_proc p
        where p.pronamespace = current_schema()::regnamespace
            and p.proname in ('scim_create_users', 'scim_update_user', 'scim_delete_user', 'scim_push_members', 'scim_delete_group')
    loop
        told := regexp_replace(definition, '\nbegin\n',
            E'\nbegin\n    perform set_config(''rollcall.actor'', ''scim_configuration:'' || of_configuration, true);\n');
        assert told <> definition;
        execute told;
    end loop;
end
$$;
