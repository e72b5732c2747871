-- Who hears of events by being called, and what became of each call (docs/webhooks.md).

-- Addresses that events are sent to. Those of the installation have the nil UUID as their organization.
create table webhooks (
    organization_id uuid not null,
    id uuid not null,
    -- all that is said of it, none of it secret
    settings jsonb not null,
    -- sealed: key id, nonce, ciphertext; bound to the organization and the webhook; null while it has to be made anew
    secret bytea,
    -- the one before, which signs beside the new one for a while
    previous_secret bytea,
    previous_secret_expires_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (organization_id, id)
);

-- Where each reader of the log is that calls somebody: a webhook, or an application that hears of sessions that ended.
create table receivers (
    -- whose events it hears; nil for those of all organizations
    organization_id uuid not null,
    -- of the webhook or application
    id uuid not null,
    -- webhook or logout
    kind text not null,
    -- of a logout, whose the application is
    owner_id uuid,
    cursor jsonb not null,
    -- one that is switched off reads nothing
    is_active boolean not null default true,
    -- The process that reads and calls, until when it may, by the database's clock. It goes on as long as nobody else does.
    lease_owner uuid,
    lease_until timestamptz not null default '-infinity',
    -- when something is to be tried again
    due_at timestamptz,
    -- Since when every call failed, how many did, and until when there is none.
    failing_since timestamptz,
    failures integer not null default 0,
    paused_until timestamptz,
    -- how often somebody had something sent again
    replays bigint not null default 0,
    primary key (organization_id, id)
);

create index receivers_due_at on receivers (due_at) where due_at is not null;

-- A line for each event that was sent, or is to be.
create table deliveries (
    organization_id uuid not null,
    receiver_id uuid not null,
    seq bigint not null,
    -- where the event happened
    event_organization_id uuid not null,
    event_time timestamptz not null,
    type text not null,
    subject_id uuid not null,
    order_key uuid not null,
    -- delivered, waiting or parked
    status text not null,
    tries integer not null,
    -- since when it is tried
    created_at timestamptz not null,
    tried_at timestamptz,
    -- null while it waits for one before it
    next_try_at timestamptz,
    -- of the last answer, if there was one
    http_status smallint,
    milliseconds integer,
    -- the first kilobyte, or why there was none
    answer text not null default '',
    primary key (organization_id, receiver_id, seq)
);

create index deliveries_waiting on deliveries (organization_id, receiver_id, seq) where status = 'waiting';
create index deliveries_created_at on deliveries (created_at);

-- Notes what became of calls, where the reader is, and that it goes on, if it still may. Tells how often something was to be sent again,
-- or null when another process has taken over. Times are given in seconds from now.
create function receivers_note(of_organization uuid, of_receiver uuid, of_owner uuid, given jsonb, state jsonb) returns bigint
language plpgsql as $$
declare
    moment timestamptz := clock_timestamp();
    until timestamptz;
    due timestamptz;
    quiet_until timestamptz;
    s record;
    count bigint;
begin
    select * into s from jsonb_to_record(state) as s(cursor jsonb, lease double precision, is_over boolean, due_in double precision,
        failures integer, pause double precision);
    -- Before the statement, which may compute nothing with times where the table is distributed.
    until := case when s.is_over then '-infinity' else moment + make_interval(secs => s.lease) end;
    due := moment + make_interval(secs => s.due_in);
    quiet_until := moment + make_interval(secs => s.pause);
    update receivers r set cursor = coalesce(s.cursor, r.cursor), lease_until = until, due_at = due,
        failures = s.failures,
        failing_since = case when s.failures > 0 then coalesce(r.failing_since, moment) end,
        paused_until = quiet_until
    where r.organization_id = of_organization and r.id = of_receiver and r.lease_owner = of_owner
    returning r.replays into count;
    if count is null then
        return null;
    end if;
    insert into deliveries as d (organization_id, receiver_id, seq, event_organization_id, event_time, type, subject_id, order_key, status,
        tries, created_at, tried_at, next_try_at, http_status, milliseconds, answer)
    select of_organization, of_receiver, g.seq, g.event_organization_id, g.event_time, g.type, g.subject_id, g.order_key, g.status,
        g.tries, moment, case when g.tries > 0 then moment end,
        moment + make_interval(secs => g.next_in), g.http_status, g.milliseconds, g.answer
    from jsonb_to_recordset(given) as g(seq bigint, event_organization_id uuid, event_time timestamptz, type text, subject_id uuid,
        order_key uuid, status text, tries integer, next_in double precision, http_status smallint, milliseconds integer, answer text)
    on conflict (organization_id, receiver_id, seq) do update set status = excluded.status, tries = excluded.tries,
        tried_at = coalesce(excluded.tried_at, d.tried_at), next_try_at = excluded.next_try_at, http_status = excluded.http_status,
        milliseconds = excluded.milliseconds, answer = excluded.answer;
    return count;
end
$$;

-- Applications that hear of sessions that ended hear of those that end from now on.
insert into receivers (organization_id, id, kind, owner_id, cursor)
select distinct g.organization_id, g.application_id, 'logout', g.application_organization_id,
    jsonb_build_object('s', 0, 't', (extract(epoch from clock_timestamp()) * 1000)::bigint)
from grants g join applications a on a.organization_id = g.application_organization_id and a.id = g.application_id
where a.settings->>'backchannel_logout_uri' <> '' and g.session_id is not null;
