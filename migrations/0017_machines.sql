-- A verified domain belongs to one organization of all. So where the database is distributed over several machines, each of them has
-- the whole table, and such a table cannot refer to one that is distributed. Nothing deletes an organization.
alter table domain_verifications drop constraint domain_verifications_organization_id_fkey;
