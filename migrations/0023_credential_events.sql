-- Events of what members and service accounts sign in with, and what policies were before (0020_events.sql).

create function told_personal_access_token(r jsonb) returns jsonb language sql stable as $$
    select jsonb_build_object('id', r->'id', 'member_id', r->'user_id', 'description', r->'description',
        'read_only', r->'read_only', 'created_at', r->'created_at', 'expires_at', r->'expires_at')
$$;

-- A member and its tokens have one order.
create function tell_of_personal_access_token() returns trigger language plpgsql as $$
declare
    of_member text;
begin
    if tg_op = 'INSERT' then
        perform told(new.organization_id, 'personal_access_token.created', new.id, new.user_id,
            told_personal_access_token(to_jsonb(new)), '{}');
        return null;
    end if;
    if not told_of(old.organization_id) then
        return old;
    end if;
    select u.status into of_member from users u where u.organization_id = old.organization_id and u.id = old.user_id;
    perform told(old.organization_id, 'personal_access_token.deleted', old.id, old.user_id,
        told_personal_access_token(to_jsonb(old)) || jsonb_build_object('reason', case
            when of_member <> 'active' then 'member_' || of_member
            when nullif(current_setting('rollcall.actor', true), '') is null then 'expired'
            else 'deleted'
        end), '{}');
    return old;
end
$$;

create trigger tell_of_new_token after insert on personal_access_tokens for each row execute function tell_of_personal_access_token();
create trigger tell_of_former_token before delete on personal_access_tokens for each row
    execute function tell_of_personal_access_token();

create function told_service_account_token(r jsonb) returns jsonb language sql stable as $$
    select jsonb_build_object('id', r->'id', 'service_account_id', r->'service_account_id', 'description', r->'description',
        'read_only', r->'read_only', 'created_at', r->'created_at', 'expires_at', r->'expires_at')
$$;

-- A service account's tokens have one order. Access tokens, which end within minutes and are in no list, are not told of.
create function tell_of_service_account_token() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        perform told(new.organization_id, 'service_account_token.created', new.id, new.service_account_id,
            told_service_account_token(to_jsonb(new)), '{}');
        return null;
    end if;
    if told_of(old.organization_id) then
        perform told(old.organization_id, 'service_account_token.deleted', old.id, old.service_account_id,
            told_service_account_token(to_jsonb(old)) || jsonb_build_object('reason', case
                when tg_op = 'DELETE' and nullif(current_setting('rollcall.actor', true), '') is null then 'expired'
                else 'deleted'
            end), '{}');
    end if;
    return old;
end
$$;

create trigger tell_of_new_token after insert on api_tokens for each row when (not new.is_access_token)
    execute function tell_of_service_account_token();
create trigger tell_of_revoked_token after update on api_tokens for each row
    when (old.revoked_at is null and new.revoked_at is not null) execute function tell_of_service_account_token();
create trigger tell_of_former_token before delete on api_tokens for each row
    when (old.revoked_at is null and not old.is_access_token) execute function tell_of_service_account_token();

-- Of what had no value before, it tells that it was null: of policies that nobody had set. Where no policy changed, there is no event.
create or replace function tell_of_decision() returns trigger language plpgsql as $$
declare
    noun text := case new.subject_type when 'sso_config' then 'sso_configuration' else new.subject_type end;
    is_now jsonb := coalesce(new.after, new.before);
    was jsonb := '{}';
begin
    if new.before is not null and new.after is not null then
        select told_previous(new.before, new.after) || coalesce(jsonb_object_agg(n.key, null::text), '{}') into was
        from jsonb_each(new.after) n where not jsonb_exists(new.before, n.key);
        if was = '{}' and new.subject_type = 'organization_policy' then
            return null;
        end if;
    end if;
    perform set_config('rollcall.actor', new.actor_principal || ':' || new.actor_id, true);
    perform told(new.organization_id,
        noun || case when new.before is null then '.created' when new.after is null then '.deleted' else '.updated' end,
        new.subject_id, new.subject_id, jsonb_build_object('id', new.subject_id) || is_now, was);
    return null;
end
$$;
