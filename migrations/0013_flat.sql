-- Lists by index that are as fast at their end as at their beginning, filters by index, and groups that many change at once.

-- The unsorted list of a configuration's users is in the order of block and id. A block is some thousand users that were
-- made one after the other; which one a new user belongs to is decided once, when it is made. How many users each block has
-- is counted below, so that the user at any index is found without reading those before it.
alter table scim_users add column block integer not null default 0;
update scim_users u set block = p.block
from (
    select organization_id, scim_configuration_id, id,
        (row_number() over (partition by organization_id, scim_configuration_id order by id) - 1) / 4096 as block
    from scim_users
) p
where u.organization_id = p.organization_id and u.scim_configuration_id = p.scim_configuration_id and u.id = p.id and p.block > 0;
create index scim_users_place on scim_users (organization_id, scim_configuration_id, block, id);

-- The number of a block's users is the sum of its slots: each connection has one, so that writers do not wait for each other.
create table scim_user_blocks (
    organization_id uuid not null,
    scim_configuration_id uuid not null,
    block integer not null,
    slot smallint not null,
    count integer not null,
    primary key (organization_id, scim_configuration_id, block, slot)
) with (fillfactor = 50);

insert into scim_user_blocks
select organization_id, scim_configuration_id, block, 0, count(*)
from scim_users group by organization_id, scim_configuration_id, block;

drop table scim_user_counts;

-- Both sides of active, in the order of the list.
drop index scim_users_inactive;
create index scim_users_active on scim_users (organization_id, scim_configuration_id, active, block, id);

-- What was changed since a time may be half of all users, anywhere in the list: the index alone tells where they are in it.
drop index scim_users_last_modified;
create index scim_users_last_modified on scim_users (organization_id, scim_configuration_id, last_modified) include (block, id);

-- Keys are compared byte by byte, whatever the locale of the database is: so an index serves a prefix, and an order.
alter table scim_users
    alter column user_name_key type text collate "C",
    alter column external_id type text collate "C",
    alter column display_name_key type text collate "C";

-- Whether an address is the only one of its user: those need not be told apart to count the users who have one of many.
alter table scim_user_emails
    alter column value_key type text collate "C",
    add column alone boolean not null default true;
update scim_user_emails e set alone = false
from (
    select organization_id, scim_configuration_id, scim_user_id from scim_user_emails
    group by organization_id, scim_configuration_id, scim_user_id having count(*) > 1
) m
where e.organization_id = m.organization_id and e.scim_configuration_id = m.scim_configuration_id
    and e.scim_user_id = m.scim_user_id;
alter table scim_user_emails
    drop constraint scim_user_emails_pkey,
    add primary key (organization_id, scim_configuration_id, value_key, scim_user_id) include (alone);
alter table scim_groups
    alter column display_name_key type text collate "C",
    alter column external_id type text collate "C";

-- Changes of a group's members: the version of a group is its own and the sum of these. Each connection has a slot, so that
-- those who add members to one group at once do not wait for each other.
create table scim_group_changes (
    organization_id uuid not null,
    scim_configuration_id uuid not null,
    group_id uuid not null,
    slot smallint not null,
    count bigint not null,
    last_modified timestamptz not null,
    primary key (organization_id, scim_configuration_id, group_id, slot)
) with (fillfactor = 50);

-- Programs before this one count users elsewhere, and know nothing of these changes.
update schema_compatibility set oldest_version = 13, oldest_release = '0.2.0';
