-- How the pages look on which people sign in (docs/console.md): those of organizations, and those of the installation under the nil UUID.
create table brands (
    organization_id uuid primary key,
    -- may be empty
    display_name text not null,
    -- such as #2447c8; null: Rollcall's own
    accent_color text,
    -- the media type and the file; both or none
    logo_type text,
    logo bytea,
    updated_at timestamptz not null,
    constraint brands_logo_check check ((logo is null) = (logo_type is null))
);
