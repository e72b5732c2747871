-- Which programs can work with this schema, so that the release before this one can start beside it, and be gone back to.
-- A migration that takes away what a release still uses raises the numbers; one that only adds leaves them alone.
create table schema_compatibility (
    only_row boolean primary key default true check (only_row),
    -- the newest migration of the oldest program that can use the schema
    oldest_version bigint not null,
    -- the release of that program
    oldest_release text not null
);

insert into schema_compatibility (oldest_version, oldest_release) values (7, '0.1.0');
