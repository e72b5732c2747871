-- Streams of security events, which receivers follow (OpenID Shared Signals Framework 1.0; docs/signals.md). What they carry is
-- read from the log of events.

create table event_streams (
    organization_id uuid not null,
    id uuid not null,
    -- what its receiver set, none of it secret
    settings jsonb not null,
    -- with which header tokens are pushed, sealed
    authorization_header bytea,
    status text not null,
    -- why it has this status, in words of whoever set it
    reason text,
    -- where its receiver is in the log
    cursor jsonb not null,
    -- tokens behind the cursor that the receiver took already, by their identifiers
    taken text[] not null default '{}',
    -- when its receiver asked last for a token that verifies the stream
    verified_at timestamptz,
    -- who pushes to it now, and until when nobody else does
    lease uuid,
    leased_until timestamptz,
    -- when its receiver is tried next, and how often that failed
    next_try timestamptz not null,
    failures integer not null default 0,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (organization_id, id)
);

create index event_streams_next_try on event_streams (next_try) where settings->>'method' = 'push';

-- What streams tell of themselves: tokens that verify them, and that their status changed.
create table event_stream_notices (
    organization_id uuid not null,
    stream_id uuid not null,
    id uuid not null,
    created_at timestamptz not null,
    -- the event that the token has
    token_events jsonb not null,
    -- told although the stream is not enabled
    is_last_word boolean not null,
    primary key (organization_id, stream_id, id),
    foreign key (organization_id, stream_id) references event_streams on delete cascade
);

-- Of whom a receiver does not want to hear.
create table event_stream_removals (
    organization_id uuid not null,
    stream_id uuid not null,
    -- a member or a group
    subject_id uuid not null,
    primary key (organization_id, stream_id, subject_id),
    foreign key (organization_id, stream_id) references event_streams on delete cascade
);
