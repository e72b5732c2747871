-- Fewer index entries for each write.

-- The versions of groups change with every member. Without this index, PostgreSQL can put them on the same page and
-- leave the other indexes alone; a tenant has few enough groups to filter them by time.
drop index scim_groups_last_modified;
alter table scim_groups set (fillfactor = 70);

-- One index says whose user a member is, and in which configurations.
drop index scim_users_member;
alter table scim_users
    drop constraint scim_users_user_id_key,
    add constraint scim_users_user_id_key unique (organization_id, user_id, scim_configuration_id);

-- How many users a configuration has, without counting a million of them: the sum of its rows. Writers share several,
-- so that they seldom wait for each other.
create table scim_user_counts (
    organization_id uuid not null,
    scim_configuration_id uuid not null,
    part smallint not null,
    count bigint not null,
    primary key (organization_id, scim_configuration_id, part)
) with (fillfactor = 10);

insert into scim_user_counts
select organization_id, scim_configuration_id, 0, count(*) from scim_users group by organization_id, scim_configuration_id;
