-- SCIM users and the members of groups are written by functions. A write is several statements in one round trip. On a database
-- that is distributed over several machines, the machine that has the organization runs all of them.

-- Tells of changes, in the log of the configuration and, if they have a subject (the member or the group), in the audit log.
-- Of each, `event` is the row of the log; `changes` replace its changes unless they are null, and `note` is added to its reason.
create function scim_tell(of_organization uuid, of_configuration uuid, told jsonb)
returns void language plpgsql as $$
begin
    insert into scim_events (organization_id, scim_configuration_id, id, created_at, method, path, traits, outcome, status,
        resource_type, resource_id, changes, reason)
    select of_organization, of_configuration, e.id, e.created_at, e.method, e.path, e.traits, e.outcome, e.status, e.resource_type,
        e.resource_id, coalesce(t.changes, e.changes), nullif(concat_ws('; ', e.reason, t.note), '')
    from jsonb_to_recordset(told) as t(event jsonb, changes jsonb, note text), jsonb_to_record(t.event) as e(id uuid,
        created_at timestamptz, method text, path text, traits text[], outcome text, status smallint, resource_type text,
        resource_id uuid, changes jsonb, reason text);
    insert into audit_entries (organization_id, id, created_at, actor_id, actor_principal, action, subject_type, subject_id, before,
        after)
    select of_organization, e.id, e.created_at, of_configuration, 'scim_configuration', e.action,
        case e.resource_type when 'User' then 'user' else 'group' end, t.subject, c.old, c.new
    from jsonb_to_recordset(told) as t(event jsonb, subject uuid, changes jsonb), jsonb_to_record(t.event) as e(id uuid,
        created_at timestamptz, action text, resource_type text, changes jsonb), lateral (
        select jsonb_object_agg(c->>'attribute', c->'old') filter (where c ? 'old') as old,
            jsonb_object_agg(c->>'attribute', c->'new') filter (where c ? 'new') as new
        from jsonb_array_elements(coalesce(t.changes, e.changes)) c) c
    where t.subject is not null;
end
$$;

-- Adds users, the members that are made with them, and what tells of it, all or none, and returns null. It adds none and says why:
-- 'token', when the configuration does not take requests with the token whose hash is `with_hash`, unless that is null; 'known', when
-- with `only_strangers` one of them could be somebody who is known.
create function scim_create_users(of_organization uuid, of_configuration uuid, given jsonb, only_strangers boolean, at timestamptz,
    with_hash text)
returns text language plpgsql as $$
declare
    own record;
    own_block integer;
begin
    select c.sso_configuration_id, c.token_hash, c.enabled, c.token_expires_at into own from scim_configurations c
    where c.organization_id = of_organization and c.id = of_configuration;
    if with_hash is not null
        and (own.token_hash is distinct from with_hash or not own.enabled or own.token_expires_at <= at)
    then
        return 'token';
    end if;
    if only_strangers then
        -- The subqueries look up one row at a time by index, whatever the planner expects: "offset 0" keeps them as they are.
        perform 1 from jsonb_to_recordset(given) as g(user_name_key text, external_id text, email_key text)
        where exists (select 1 from users u where u.organization_id = of_organization and u.email_key = g.email_key
                and u.email_key <> '' and u.status <> 'left' offset 0)
            or exists (select 1 from scim_former_users f where f.organization_id = of_organization
                and f.scim_configuration_id = of_configuration and f.user_name_key = g.user_name_key offset 0)
            or exists (select 1 from scim_former_users f where f.organization_id = of_organization
                and f.scim_configuration_id = of_configuration and f.external_id = g.external_id offset 0)
            or exists (select 1 from sso_identities i where i.organization_id = of_organization
                and i.sso_configuration_id = own.sso_configuration_id and i.subject = g.external_id offset 0)
            or exists (select 1 from sso_identities i where i.organization_id = of_organization
                and i.sso_configuration_id = own.sso_configuration_id and i.object_id = g.external_id offset 0);
        if found then
            return 'known';
        end if;
    end if;
    -- A block is full with 4096 users, and some more when several add to it at once.
    select b.block + (sum(b.count) >= 4096)::integer into own_block from scim_user_blocks b
    where b.organization_id = of_organization and b.scim_configuration_id = of_configuration and b.block = (
        select max(l.block) from scim_user_blocks l
        where l.organization_id = of_organization and l.scim_configuration_id = of_configuration)
    group by b.block;
    own_block := coalesce(own_block, 0);
    insert into users (organization_id, id, email, email_key, email_verified, name, name_key, avatar_url, role, status,
        created_at, updated_at)
    select of_organization, g.member_id, g.email, g.email_key, false, g.name, g.name_key, g.avatar_url, 'member', g.new_status, at, at
    from jsonb_to_recordset(given) as g(member_id uuid, new_status text, email text, email_key text, name text, name_key text,
        avatar_url text)
    where g.new_status is not null;
    insert into scim_users (organization_id, scim_configuration_id, id, user_id, user_name, user_name_key, external_id,
        display_name_key, active, resource, search, version, folded_version, created_at, last_modified, block)
    select of_organization, of_configuration, g.id, g.member_id, g.user_name, g.user_name_key, g.external_id, g.display_name_key,
        g.active, g.resource, g.search, 1, 1, at, at, own_block
    from jsonb_to_recordset(given) as g(id uuid, member_id uuid, user_name text, user_name_key text, external_id text,
        display_name_key text, active boolean, resource jsonb, search jsonb);
    insert into scim_user_emails (organization_id, scim_configuration_id, scim_user_id, value_key, alone)
    select of_organization, of_configuration, g.id, address, cardinality(g.emails) = 1
    from jsonb_to_recordset(given) as g(id uuid, emails text[]), unnest(g.emails) address;
    insert into scim_user_blocks as c (organization_id, scim_configuration_id, block, slot, count)
    values (of_organization, of_configuration, own_block, pg_backend_pid() % 64, jsonb_array_length(given))
    on conflict (organization_id, scim_configuration_id, block, slot) do update set count = c.count + excluded.count;
    perform scim_tell(of_organization, of_configuration, (
        select jsonb_agg(jsonb_build_object('event', g.event, 'subject', g.member_id))
        from jsonb_to_recordset(given) as g(event jsonb, member_id uuid)));
    return null;
end
$$;

-- Gives members that there were the profiles of the new users that they are, and forgets what they were in this configuration.
create function scim_adopt_members(of_organization uuid, of_configuration uuid, given jsonb, at timestamptz)
returns void language plpgsql as $$
declare
    r record;
begin
    -- In this order, so that two who adopt the same members do not wait for each other.
    for r in
        select * from jsonb_to_recordset(given) as g(member_id uuid, new_status text, email text, email_key text, name text,
            name_key text, avatar_url text)
        where new_status is null order by member_id
    loop
        update users u set email = r.email, email_key = r.email_key, name = r.name, name_key = r.name_key,
            avatar_url = r.avatar_url, updated_at = at, email_verified = u.email_verified and u.email_key = r.email_key
        where u.organization_id = of_organization and u.id = r.member_id;
        delete from scim_former_users f
        where f.organization_id = of_organization and f.scim_configuration_id = of_configuration and f.user_id = r.member_id;
    end loop;
end
$$;

-- Writes a changed user, if its version is still `of_version`, and returns the member that it is; otherwise null. With `whole`, it
-- writes the member's profile and the addresses, too, and tells of up to `most_sharing` other members with a new address.
create function scim_update_user(of_organization uuid, of_configuration uuid, given jsonb, of_version bigint, at timestamptz,
    event jsonb, whole boolean, most_sharing bigint)
returns uuid language plpgsql as $$
declare
    r record;
    member uuid;
    former_key text;
    address text;
    note text;
begin
    select * into r from jsonb_to_record(given) as g(id uuid, user_name text, user_name_key text, external_id text,
        display_name_key text, active boolean, resource jsonb, search jsonb, emails text[], email text, email_key text, name text,
        name_key text, avatar_url text);
    update scim_users s set user_name = r.user_name, external_id = r.external_id, display_name_key = r.display_name_key,
        -- One that an older program folded stays until the job comes: another user may have the right one.
        user_name_key = case when s.user_name = r.user_name then s.user_name_key else r.user_name_key end,
        folded_version = case when s.user_name <> r.user_name or s.user_name_key = r.user_name_key then s.version + 1 end,
        active = r.active, resource = r.resource, search = r.search, version = s.version + 1,
        last_modified = greatest(at, s.last_modified)
    where s.organization_id = of_organization and s.scim_configuration_id = of_configuration and s.id = r.id
        and s.version = of_version
    returning s.user_id into member;
    if member is null then
        return null;
    end if;
    if whole then
        select u.email_key into former_key from users u where u.organization_id = of_organization and u.id = member;
        update users u set email = r.email, email_key = r.email_key, name = r.name, name_key = r.name_key,
            avatar_url = r.avatar_url, updated_at = at, email_verified = u.email_verified and u.email_key = r.email_key
        where u.organization_id = of_organization and u.id = member
            and (u.email, u.name, u.avatar_url) is distinct from (r.email, r.name, r.avatar_url);
        delete from scim_user_emails e
        where e.organization_id = of_organization and e.scim_configuration_id = of_configuration and e.scim_user_id = r.id
            and e.value_key <> all(r.emails);
        foreach address in array r.emails loop
            insert into scim_user_emails as a (organization_id, scim_configuration_id, value_key, scim_user_id, alone)
            values (of_organization, of_configuration, address, r.id, cardinality(r.emails) = 1)
            on conflict (organization_id, scim_configuration_id, value_key, scim_user_id)
            do update set alone = excluded.alone where a.alone <> excluded.alone;
        end loop;
        if former_key <> r.email_key and r.email_key <> '' then
            select 'address shared with ' || string_agg('the member ' || o.id, ', ') into note from (
                select u.id from users u
                where u.organization_id = of_organization and u.email_key = r.email_key and u.status <> 'left' and u.id <> member
                order by u.id limit most_sharing) o;
        end if;
    end if;
    perform scim_tell(of_organization, of_configuration,
        jsonb_build_array(jsonb_build_object('event', event, 'subject', member, 'note', note)));
    return member;
end
$$;

-- Takes a resource that is deleted out of the groups that it is a member of.
create function scim_leave_groups(of_organization uuid, of_configuration uuid, of_member uuid, at timestamptz)
returns void language plpgsql as $$
declare
    left_group uuid;
begin
    for left_group in
        delete from scim_group_members m
        where m.organization_id = of_organization and m.scim_configuration_id = of_configuration
            and m.member_value = of_member::text
        returning m.group_id
    loop
        insert into scim_group_changes as c (organization_id, scim_configuration_id, group_id, slot, count, last_modified)
        values (of_organization, of_configuration, left_group, pg_backend_pid() % 64, 1, at)
        on conflict (organization_id, scim_configuration_id, group_id, slot)
        do update set count = c.count + 1, last_modified = greatest(c.last_modified, excluded.last_modified);
    end loop;
end
$$;

-- Deletes a user, if its version is `of_version` or that is null, takes it out of its groups, and returns the member that it was;
-- otherwise null.
create function scim_delete_user(of_organization uuid, of_configuration uuid, of_user uuid, of_version bigint, at timestamptz,
    event jsonb)
returns uuid language plpgsql as $$
declare
    gone record;
begin
    delete from scim_users s
    where s.organization_id = of_organization and s.scim_configuration_id = of_configuration and s.id = of_user
        and (of_version is null or s.version = of_version)
    returning s.user_id, s.user_name, s.user_name_key, s.external_id, s.block into gone;
    if gone.user_id is null then
        return null;
    end if;
    insert into scim_former_users (organization_id, scim_configuration_id, user_id, user_name_key, external_id, deleted_at)
    values (of_organization, of_configuration, gone.user_id, gone.user_name_key, gone.external_id, at)
    on conflict (organization_id, scim_configuration_id, user_id) do update
    set user_name_key = excluded.user_name_key, external_id = excluded.external_id, deleted_at = excluded.deleted_at;
    insert into scim_user_blocks as c (organization_id, scim_configuration_id, block, slot, count)
    values (of_organization, of_configuration, gone.block, pg_backend_pid() % 64, -1)
    on conflict (organization_id, scim_configuration_id, block, slot) do update set count = c.count + excluded.count;
    delete from scim_user_emails e
    where e.organization_id = of_organization and e.scim_configuration_id = of_configuration and e.scim_user_id = of_user;
    perform scim_leave_groups(of_organization, of_configuration, of_user, at);
    perform scim_tell(of_organization, of_configuration, jsonb_build_array(jsonb_build_object('event', event, 'subject', gone.user_id,
        'changes', jsonb_build_array(
            jsonb_build_object('attribute', 'userName', 'old', gone.user_name),
            jsonb_build_object('attribute', 'externalId', 'old', gone.external_id)))));
    return gone.user_id;
end
$$;

-- Adds members to a group; those that are members already stay as they are. Tells how many are new, and up to 100 of them.
create function scim_add_members(of_organization uuid, of_configuration uuid, of_group uuid, given jsonb)
returns table (count bigint, told text[]) language plpgsql as $$
declare
    value text;
begin
    count := 0;
    told := '{}';
    for value in
        insert into scim_group_members as m (organization_id, scim_configuration_id, group_id, member_value, kind, display,
            display_key, id)
        select of_organization, of_configuration, of_group, g.value, g.kind, g.display, g.display_key, g.id
        from jsonb_to_recordset(given) as g(id uuid, value text, kind text, display text, display_key text)
        on conflict do nothing returning m.member_value
    loop
        count := count + 1;
        told := case when count > 100 then told else told || value end;
    end loop;
    return next;
end
$$;

-- Adds members to a group, or takes the members with these values out of it, and returns the group; nothing when there is none.
-- Nobody waits who does the same to the same group: each connection counts its changes in a row of its own.
create function scim_push_members(of_organization uuid, of_configuration uuid, of_group uuid, given jsonb, is_addition boolean,
    at timestamptz, event jsonb)
returns table (id uuid, resource jsonb, version bigint, created_at timestamptz, last_modified timestamptz)
language plpgsql as $$
#variable_conflict use_column
declare
    value text;
    changed integer := 0;
    told text[] := '{}';
begin
    select t.id, t.resource, t.created_at, t.version + coalesce(sum(c.count), 0)::bigint,
        greatest(t.last_modified, max(c.last_modified))
    into id, resource, created_at, version, last_modified
    from scim_groups t left join scim_group_changes c on c.organization_id = t.organization_id
        and c.scim_configuration_id = t.scim_configuration_id and c.group_id = t.id
    where t.organization_id = of_organization and t.scim_configuration_id = of_configuration and t.id = of_group
    group by t.organization_id, t.scim_configuration_id, t.id;
    if id is null then
        return;
    end if;
    if is_addition then
        select a.count, a.told into changed, told from scim_add_members(of_organization, of_configuration, of_group, given) a;
    else
        for value in select * from jsonb_array_elements_text(given) loop
            delete from scim_group_members m
            where m.organization_id = of_organization and m.scim_configuration_id = of_configuration and m.group_id = of_group
                and m.member_value = value;
            if found then
                changed := changed + 1;
                told := case when changed > 100 then told else told || value end;
            end if;
        end loop;
    end if;
    if changed > 0 then
        insert into scim_group_changes as c (organization_id, scim_configuration_id, group_id, slot, count, last_modified)
        values (of_organization, of_configuration, of_group, pg_backend_pid() % 64, 1, at)
        on conflict (organization_id, scim_configuration_id, group_id, slot)
        do update set count = c.count + 1, last_modified = greatest(c.last_modified, excluded.last_modified);
        version := version + 1;
        last_modified := greatest(at, last_modified);
        perform scim_tell(of_organization, of_configuration, jsonb_build_array(jsonb_build_object('event', event, 'subject', of_group,
            'changes', jsonb_build_array(jsonb_build_object('attribute', 'members',
                case when is_addition then 'new' else 'old' end, to_jsonb(told), 'count', changed)))));
    end if;
    return next;
end
$$;

-- Deletes a group, if its version is `of_version` or that is null, and takes it out of its groups. Tells whether it did.
create function scim_delete_group(of_organization uuid, of_configuration uuid, of_group uuid, of_version bigint, at timestamptz)
returns boolean language plpgsql as $$
declare
    changes bigint := 0;
begin
    if of_version is not null then
        select coalesce(sum(c.count), 0) into changes from scim_group_changes c
        where c.organization_id = of_organization and c.scim_configuration_id = of_configuration and c.group_id = of_group;
    end if;
    delete from scim_groups g
    where g.organization_id = of_organization and g.scim_configuration_id = of_configuration and g.id = of_group
        and (of_version is null or g.version + changes = of_version);
    if not found then
        return false;
    end if;
    delete from scim_group_members m
    where m.organization_id = of_organization and m.scim_configuration_id = of_configuration and m.group_id = of_group;
    delete from scim_group_changes c
    where c.organization_id = of_organization and c.scim_configuration_id = of_configuration and c.group_id = of_group;
    perform scim_leave_groups(of_organization, of_configuration, of_group, at);
    return true;
end
$$;
