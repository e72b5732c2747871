// The directory over the TypeScript SDK 0.6. It has no methods yet for groups, service accounts, GetUser, DeleteUser,
// CreatePersonalAccessToken and GetAuditLog: those calls go through the client's own `post`.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import * as errors from '@gitpod/sdk';
import {
  clearings,
  client,
  connect,
  createSCIM,
  createSSO,
  DAY,
  everything,
  isInDays,
  organizationId,
  refused,
  scims,
  unrecorded,
  UUID_V7,
} from './support.mjs';

const { organizations, users, accounts, events } = client;
const SOME_ID = randomUUID();
const ADMIN = 'ORGANIZATION_ROLE_ADMIN';
const MEMBER = 'ORGANIZATION_ROLE_MEMBER';
const ACTIVE = 'USER_STATUS_ACTIVE';
const SUSPENDED = 'USER_STATUS_SUSPENDED';

/** What the SDK has no methods for: `service('X').Method(body)`. */
const service = (name, by = client) =>
  new Proxy({}, { get: (_, method) => (body = {}) => by.post(`/gitpod.v1.${name}/${method}`, { body }) });
const groups = service('GroupService');
const robots = service('ServiceAccountService');
const people = service('UserService');

/** All items of all pages, one to a page. */
async function all(list, items, body = {}) {
  const found = [];
  for (let token = ''; found.length < 50; ) {
    const page = await list({ ...body, pagination: { pageSize: 1, token } });
    found.push(...(page[items] ?? []));
    token = page.pagination?.nextToken;
    if (!token) {
      return found;
    }
  }
  return assert.fail('the list never ends');
}

const listGroups = (filter) => all(groups.ListGroups, 'groups', { filter });
const listAccounts = (filter) => all(robots.ListServiceAccounts, 'serviceAccounts', { filter });
const listMembers = (filter) => everything(organizations.listMembers({ organizationId, filter }));
const readUser = async ({ id }) => (await people.GetUser({ userId: id })).user;
const someName = (prefix) => `${prefix} ${randomUUID().slice(0, 13)}`;
const createGroup = async (fields = {}, by = groups) =>
  (await by.CreateGroup({ organizationId, name: someName('Group'), ...fields })).group;
const person = ({ id }) => ({ id, principal: 'PRINCIPAL_USER' });
const program = ({ id }) => ({ id, principal: 'PRINCIPAL_SERVICE_ACCOUNT' });
const whoIs = async (by) => (await by.identity.getAuthenticatedIdentity({})).subject;

const invalid = async (call, field) => {
  const error = await refused(call, errors.BadRequestError, 400, 'invalid_argument');
  const violations = error.error.details.find(({ type }) => type === 'buf.validate.Violations');
  assert.ok(Buffer.from(violations.value, 'base64').includes(field), error.message);
};
const notFound = (call) => refused(call, errors.NotFoundError, 404, 'not_found');
const alreadyExists = (call) => refused(call, errors.ConflictError, 409, 'already_exists');
const failedPrecondition = (call) => refused(call, errors.BadRequestError, 400, 'failed_precondition');
const permissionDenied = (call) => refused(call, errors.PermissionDeniedError, 403, 'permission_denied');
const unauthenticated = (call) => refused(call, errors.AuthenticationError, 401, 'unauthenticated');

/** What an identity provider does. */
let provider;

async function scim(method, path, body) {
  const answer = await fetch(`${process.env.ROLLCALL_URL}/scim/v2${path}`, {
    method,
    headers: { Authorization: `Bearer ${provider.token}`, 'Content-Type': 'application/scim+json' },
    body: body && JSON.stringify(body),
  });
  assert.ok(answer.ok, `${method} ${path}: ${answer.status}`);
  return answer.status === 204 ? {} : answer.json();
}

/** Provisions a person, who becomes a member. */
async function push(name) {
  provider ??= await createSCIM(await createSSO());
  const email = `${randomUUID()}@example.com`;
  const schemas = ['urn:ietf:params:scim:schemas:core:2.0:User'];
  const emails = [{ value: email, primary: true }];
  const pushed = await scim('POST', '/Users', { schemas, userName: email, displayName: name, emails });
  const [member] = await listMembers({ search: email });
  return { id: member.userId, email, scimId: pushed.id };
}

async function pushGroup(displayName, members) {
  const schemas = ['urn:ietf:params:scim:schemas:core:2.0:Group'];
  const values = members.map(({ scimId }) => ({ value: scimId }));
  return scim('POST', '/Groups', { schemas, displayName, members: values });
}

async function createAccount(name = 'Robot') {
  const validUntil = new Date(Date.now() + 30 * DAY * 1000).toISOString();
  return (await robots.CreateServiceAccount({ name, description: 'Builds it', validUntil })).serviceAccount;
}

async function accessToken({ id }) {
  return (await robots.CreateServiceAccountAccessToken({ serviceAccountId: id })).token;
}

async function assign(group, role, type = 'RESOURCE_TYPE_ORGANIZATION', id = organizationId) {
  const body = { groupId: group.id, resourceType: type, resourceId: id, resourceRole: role };
  return (await groups.CreateRoleAssignment(body)).assignment;
}

async function join(group, subject) {
  return (await groups.CreateMembership({ groupId: group.id, subject })).member;
}

// What is left of a test would be in the lists of the next.
clearings.push(async () => {
  if (provider) {
    for (const { id } of (await scim('GET', '/Users')).Resources) {
      await scim('DELETE', `/Users/${id}`);
    }
    provider = undefined;
  }
  for (const { id } of await listGroups({ systemManaged: false })) {
    await groups.DeleteGroup({ groupId: id });
  }
  for (const { id, systemManaged } of await listAccounts({ includeSuspended: true })) {
    if (!systemManaged) {
      await robots.DeleteServiceAccount({ serviceAccountId: id });
    }
  }
});

test('an organization is renamed and lets in domains', async () => {
  const read = async () => (await organizations.retrieve({ organizationId })).organization;
  const update = async (changes) => (await organizations.update({ organizationId, ...changes })).organization;

  const before = await read();
  const renamed = await update({ name: 'Acme', inviteDomains: null });
  assert.notEqual(renamed.updatedAt, before.updatedAt);
  assert.deepEqual(renamed, { ...before, name: 'Acme', updatedAt: renamed.updatedAt });
  const opened = await update({ inviteDomains: { domains: ['Acme.example', 'acme.test'] } });
  assert.equal(opened.name, 'Acme');
  assert.deepEqual(opened.inviteDomains, { domains: ['acme.example', 'acme.test'] });
  assert.deepEqual(await read(), opened);
  await invalid(update({ inviteDomains: { domains: ['nodot'] } }), 'invite_domains');
  await invalid(update({ name: '' }), 'name');
  const closed = await update({ name: before.name, inviteDomains: {} });
  assert.deepEqual(closed, { ...before, updatedAt: closed.updatedAt });
});

test('only operators make organizations', async () => {
  await permissionDenied(organizations.create({ name: 'Another one' }));
  // Which could be deleted, if it were the caller's.
  await permissionDenied(organizations.delete({ organizationId: SOME_ID }));
});

test('an invitation is read until a newer one takes its place', async () => {
  const { invites } = organizations;
  const { invite: first } = await invites.create({ organizationId });
  assert.match(first.inviteId, /^[0-9a-f-]{36}$/);
  assert.deepEqual(await invites.retrieve({ organizationId }), { invite: first });
  await push('Ada Lovelace');
  const { organization } = await organizations.retrieve({ organizationId });
  assert.deepEqual(await invites.getSummary({ inviteId: first.inviteId }), {
    organizationId,
    organizationName: organization.name,
    organizationMemberCount: (await listMembers({ statuses: [ACTIVE] })).length,
  });
  const { invite: second } = await invites.create({ organizationId });
  assert.notEqual(second.inviteId, first.inviteId);
  assert.deepEqual(await invites.retrieve({ organizationId }), { invite: second });
  await notFound(invites.getSummary({ inviteId: first.inviteId }));
});

test('what is for people is refused to a service account', async () => {
  const { invite } = await organizations.invites.create({ organizationId });
  await failedPrecondition(organizations.join({ inviteId: invite.inviteId }));
  await invalid(organizations.join({}), 'invite_id');
  await failedPrecondition(accounts.listJoinableOrganizations({}));
  await failedPrecondition(accounts.retrieve({}));
  await failedPrecondition(users.getAuthenticatedUser({}));
  // Nor does it act for a member.
  for (const { id } of [await push('Ada Lovelace'), await whoIs(client)]) {
    await permissionDenied(organizations.leave({ userId: id }));
    await permissionDenied(people.CreatePersonalAccessToken({ userId: id, validFor: `${DAY}s` }));
  }
});

test('a pushed person is a member', async () => {
  const ada = await push('Ada Lovelace');
  const user = await readUser(ada);
  isInDays(user.createdAt, 0);
  assert.deepEqual(user, {
    id: ada.id,
    organizationId,
    name: 'Ada Lovelace',
    email: ada.email,
    status: ACTIVE,
    createdAt: user.createdAt,
  });
  assert.deepEqual(await listMembers({ userIds: [ada.id] }), [
    {
      userId: ada.id,
      role: MEMBER,
      memberSince: user.createdAt,
      fullName: 'Ada Lovelace',
      email: ada.email,
      status: ACTIVE,
      loginProvider: 'custom',
    },
  ]);
  await notFound(readUser({ id: SOME_ID }));
});

test('a member becomes an administrator and one is left', async () => {
  const [ada, grace] = [await push('Ada Lovelace'), await push('Grace Hopper')];
  const setRole = ({ id }, role) => organizations.setRole({ organizationId, userId: id, role });
  const administrators = async () => {
    const members = await listMembers({ userIds: [ada.id, grace.id], roles: [ADMIN] });
    return members.map(({ fullName }) => fullName);
  };
  assert.deepEqual(await setRole(ada, ADMIN), {});
  assert.deepEqual(await administrators(), ['Ada Lovelace']);
  await failedPrecondition(setRole(ada, MEMBER));
  await setRole(grace, ADMIN);
  assert.deepEqual(await administrators(), ['Ada Lovelace', 'Grace Hopper']);
  await setRole(ada, MEMBER);
  assert.deepEqual(await administrators(), ['Grace Hopper']);
  await invalid(setRole(ada), 'role');
  await notFound(setRole({ id: SOME_ID }, ADMIN));
});

test('a member is suspended until that is lifted', async () => {
  const ada = await push('Ada Lovelace');
  assert.deepEqual(await users.setSuspended({ userId: ada.id, suspended: true }), {});
  assert.equal((await readUser(ada)).status, SUSPENDED);
  assert.equal((await listMembers({ userIds: [ada.id], statuses: [SUSPENDED] })).length, 1);
  await users.setSuspended({ userId: ada.id, suspended: false });
  assert.equal((await readUser(ada)).status, ACTIVE);
  assert.deepEqual(await listMembers({ userIds: [ada.id], statuses: [SUSPENDED] }), []);
  await notFound(users.setSuspended({ userId: SOME_ID, suspended: true }));
});

test('a member is deleted once nobody provisions it', async () => {
  const ada = await push('Ada Lovelace');
  await failedPrecondition(people.DeleteUser({ userId: ada.id }));
  await scims.delete({ scimConfigurationId: provider.scimConfiguration.id });
  provider = undefined;
  assert.equal((await readUser(ada)).status, ACTIVE);
  assert.deepEqual(await people.DeleteUser({ userId: ada.id }), {});
  assert.equal((await readUser(ada)).status, 'USER_STATUS_LEFT');
  await notFound(people.DeleteUser({ userId: ada.id }));
});

test('only members have personal access tokens', async () => {
  const { id } = await push('Ada Lovelace');
  assert.deepEqual(await everything(users.pats.list({})), []);
  assert.deepEqual(await everything(users.pats.list({ filter: { userIds: [id] } })), []);
  await notFound(users.pats.get({ personalAccessTokenId: SOME_ID }));
  await notFound(users.pats.delete({ personalAccessTokenId: SOME_ID }));
  await invalid(people.CreatePersonalAccessToken({ userId: id, validFor: `${90 * DAY + 1}s` }), 'valid_for');
});

test('a group is made, read, changed and deleted', async () => {
  const made = await createGroup({ description: 'Who builds it' });
  isInDays(made.createdAt, 0);
  assert.match(made.id, UUID_V7);
  assert.deepEqual(made, {
    id: made.id,
    organizationId,
    name: made.name,
    description: 'Who builds it',
    createdAt: made.createdAt,
    updatedAt: made.createdAt,
  });
  for (const which of [{ id: made.id }, { name: made.name }, { groupId: made.id }]) {
    assert.deepEqual(await groups.GetGroup(which), { group: made });
  }
  await alreadyExists(createGroup({ name: made.name }));
  await invalid(createGroup({ name: 'ab' }), 'name');

  const changes = { name: someName('Builders'), description: 'Who built it' };
  const { group: updated } = await groups.UpdateGroup({ groupId: made.id, ...changes });
  assert.notEqual(updated.updatedAt, made.updatedAt);
  assert.deepEqual(updated, { ...made, ...changes, updatedAt: updated.updatedAt });
  assert.deepEqual(await groups.GetGroup({ name: changes.name }), { group: updated });
  await notFound(groups.GetGroup({ name: made.name }));

  assert.deepEqual(await groups.DeleteGroup({ groupId: made.id }), {});
  await notFound(groups.GetGroup({ id: made.id }));
  await notFound(groups.DeleteGroup({ groupId: made.id }));
});

test('groups are found by every filter', async () => {
  const first = await createGroup({ name: someName('First'), description: 'Red' });
  const second = await createGroup({ name: someName('Second'), description: 'Blue' });
  const ada = await push('Ada Lovelace');
  const pushed = await pushGroup('Pushed', [ada]);
  const ids = async (filter) => (await listGroups(filter)).map(({ id }) => id);
  assert.deepEqual(await ids(), [first.id, second.id, pushed.id]);
  assert.deepEqual(await ids({ search: 'fIRST' }), [first.id]);
  assert.deepEqual(await ids({ search: 'blu' }), [second.id]);
  assert.deepEqual(await ids({ groupIds: [second.id, SOME_ID] }), [second.id]);
  assert.deepEqual(await ids({ systemManaged: true }), [pushed.id]);
  assert.deepEqual(await ids({ systemManaged: false }), [first.id, second.id]);
  assert.deepEqual(await ids({ directShare: true }), []);
  await assign(first, 'RESOURCE_ROLE_ORG_MEMBER');
  const resource = { resourceType: 'RESOURCE_TYPE_ORGANIZATION', resourceId: organizationId };
  assert.deepEqual(await ids({ excludeAssignedToResource: resource }), [second.id, pushed.id]);

  // What an identity provider pushes is read alone.
  const { group } = await groups.GetGroup({ name: 'Pushed' });
  assert.deepEqual([group.systemManaged, group.memberCount], [true, 1]);
  await failedPrecondition(groups.UpdateGroup({ groupId: pushed.id, name: 'Renamed' }));
  await failedPrecondition(groups.DeleteGroup({ groupId: pushed.id }));
  await failedPrecondition(join(pushed, person(ada)));
});

test('people and service accounts are members of a group', async () => {
  const [ada, robot, group] = [await push('Ada Lovelace'), await createAccount(), await createGroup()];
  const members = [await join(group, person(ada)), await join(group, program(robot))];
  assert.deepEqual(members, [
    { id: members[0].id, groupId: group.id, subject: person(ada), name: 'Ada Lovelace' },
    { id: members[1].id, groupId: group.id, subject: program(robot), name: 'Robot' },
  ]);
  await alreadyExists(join(group, person(ada)));
  await notFound(join(group, person({ id: SOME_ID })));

  const list = (filter) => all(groups.ListMemberships, 'members', { groupId: group.id, filter });
  for (const member of members) {
    assert.deepEqual(await groups.GetMembership({ groupId: group.id, subject: member.subject }), { member });
  }
  assert.deepEqual(await list(), members);
  assert.deepEqual(await list({ search: 'LOVE' }), members.slice(0, 1));
  assert.equal((await groups.GetGroup({ id: group.id })).group.memberCount, 2);

  assert.deepEqual(await groups.DeleteMembership({ membershipId: members[0].id }), {});
  await notFound(groups.DeleteMembership({ membershipId: members[0].id }));
  await notFound(groups.GetMembership({ groupId: group.id, subject: person(ada) }));
  assert.deepEqual(await list(), members.slice(1));
});

test('role assignments are made, found and deleted', async () => {
  const [ada, group, other] = [await push('Ada Lovelace'), await createGroup(), await createGroup()];
  await join(group, person(ada));
  const reader = await assign(group, 'RESOURCE_ROLE_ORG_AUDIT_LOG_READER');
  const admin = await assign(group, 'RESOURCE_ROLE_GROUP_ADMIN', 'RESOURCE_TYPE_GROUP', other.id);
  const others = await assign(other, 'RESOURCE_ROLE_ORG_MEMBER');
  assert.deepEqual(reader, {
    id: reader.id,
    groupId: group.id,
    organizationId,
    resourceType: 'RESOURCE_TYPE_ORGANIZATION',
    resourceId: organizationId,
    resourceRole: 'RESOURCE_ROLE_ORG_AUDIT_LOG_READER',
  });
  const list = (filter) => all(groups.ListRoleAssignments, 'assignments', { filter });
  assert.deepEqual(await list(), [reader, admin, others]);
  assert.deepEqual(await list({ groupId: group.id }), [reader, admin]);
  assert.deepEqual(await list({ userId: ada.id }), [reader, admin]);
  assert.deepEqual(await list({ resourceTypes: ['RESOURCE_TYPE_GROUP'] }), [admin]);
  assert.deepEqual(await list({ resourceRoles: ['RESOURCE_ROLE_ORG_MEMBER'] }), [others]);
  assert.deepEqual(await list({ resourceIds: [other.id] }), [admin]);
  await alreadyExists(assign(group, 'RESOURCE_ROLE_ORG_AUDIT_LOG_READER'));
  await invalid(assign(group, 'RESOURCE_ROLE_GROUP_ADMIN'), 'resource_role');
  assert.deepEqual(await groups.DeleteRoleAssignment({ assignmentId: reader.id }), {});
  await notFound(groups.DeleteRoleAssignment({ assignmentId: reader.id }));
  assert.deepEqual(await list(), [admin, others]);
});

test('a service account is made, read, changed and deleted', async () => {
  const made = await createAccount();
  isInDays(made.createdAt, 0);
  isInDays(made.validUntil, 30);
  assert.deepEqual(made, {
    id: made.id,
    organizationId,
    name: 'Robot',
    description: 'Builds it',
    creator: await whoIs(client),
    createdAt: made.createdAt,
    validUntil: made.validUntil,
  });
  const which = { serviceAccountId: made.id };
  assert.deepEqual(await robots.GetServiceAccount(which), { serviceAccount: made });
  assert.deepEqual(await listAccounts({ search: 'rOB' }), [made]);
  const { description, ...cleared } = made;
  const updated = { ...cleared, name: 'Android' };
  const update = { ...which, name: 'Android', description: '' };
  assert.deepEqual(await robots.UpdateServiceAccount(update), { serviceAccount: updated });

  await users.setSuspended({ userId: made.id, suspended: true });
  assert.deepEqual(await listAccounts({ serviceAccountIds: [made.id] }), []);
  const suspended = [{ ...updated, suspended: true }];
  assert.deepEqual(await listAccounts({ serviceAccountIds: [made.id], includeSuspended: true }), suspended);

  assert.deepEqual(await robots.DeleteServiceAccount(which), {});
  await notFound(robots.GetServiceAccount(which));
  await notFound(robots.DeleteServiceAccount(which));
  const past = { name: 'Robot', validUntil: new Date(0).toISOString() };
  await invalid(robots.CreateServiceAccount(past), 'valid_until');
});

test('an access token makes lasting ones', async () => {
  const robot = await createAccount();
  const short = connect(await accessToken(robot));
  assert.deepEqual(await whoIs(short), program(robot));
  const own = service('ServiceAccountService', short);

  const first = await own.CreateServiceAccountToken({ description: 'Lasting', validFor: `${7 * DAY}s` });
  const second = await own.CreateServiceAccountToken({ description: 'As long as the account' });
  const { serviceAccountToken: lasting } = first;
  isInDays(lasting.expiresAt, 7);
  isInDays(second.serviceAccountToken.expiresAt, 30);
  assert.deepEqual(lasting, {
    id: lasting.id,
    serviceAccountId: robot.id,
    description: 'Lasting',
    creator: program(robot),
    createdAt: lasting.createdAt,
    expiresAt: lasting.expiresAt,
  });
  const which = { serviceAccountTokenId: lasting.id };
  assert.deepEqual(await robots.GetServiceAccountToken(which), { token: lasting });
  for (const { ListServiceAccountTokens } of [robots, own]) {
    assert.deepEqual(await all(ListServiceAccountTokens, 'tokens'), [lasting, second.serviceAccountToken]);
  }
  assert.deepEqual(await whoIs(connect(first.token)), program(robot));

  assert.deepEqual(await robots.DeleteServiceAccountToken(which), {});
  await unauthenticated(whoIs(connect(first.token)));
  await notFound(robots.GetServiceAccountToken(which));
  await notFound(robots.DeleteServiceAccountToken(which));
  assert.deepEqual(await whoIs(connect(second.token)), program(robot));

  await robots.DeleteServiceAccount({ serviceAccountId: robot.id });
  await unauthenticated(whoIs(connect(second.token)));
  await unauthenticated(whoIs(short));
});

test('a service account may do what its groups may', async () => {
  const [robot, group] = [await createAccount(), await createGroup()];
  const short = connect(await accessToken(robot));
  const own = service('GroupService', short);
  await join(group, program(robot));
  await permissionDenied(createGroup({}, own));
  const assignment = await assign(group, 'RESOURCE_ROLE_ORG_ADMIN');
  const made = await createGroup({}, own);
  const [entry] = await everything(short.events.list({ filter: { subjectIds: [made.id] } }));
  assert.deepEqual([entry.action, entry.actorId], ['CreateGroup', robot.id]);
  await groups.DeleteRoleAssignment({ assignmentId: assignment.id });
  await permissionDenied(createGroup({}, own));
  await users.setSuspended({ userId: robot.id, suspended: true });
  await unauthenticated(whoIs(short));
});

test('the audit log tells who did what', async () => {
  const me = await whoIs(client);
  const group = await createGroup();
  await groups.UpdateGroup({ groupId: group.id, name: someName('Renamed') });
  await groups.DeleteGroup({ groupId: group.id });
  const list = ({ sort, pageSize, ...filter } = {}) =>
    everything(events.list({ filter: { subjectIds: [group.id], ...filter }, sort, pageSize }));

  const entries = await list();
  assert.deepEqual(entries.map(({ action }) => action), ['DeleteGroup', 'UpdateGroup', 'CreateGroup']);
  for (const { id, action, createdAt, ...entry } of entries) {
    assert.match(id, UUID_V7);
    isInDays(createdAt, 0);
    assert.deepEqual(entry, {
      actorId: me.id,
      actorPrincipal: 'PRINCIPAL_SERVICE_ACCOUNT',
      subjectId: group.id,
      subjectType: 'RESOURCE_TYPE_GROUP',
      kind: 'AUDIT_LOG_ENTRY_KIND_RESOURCE_CHANGE',
    });
  }
  const sort = { field: 'createdAt', order: 'SORT_ORDER_ASC' };
  assert.deepEqual(await list({ sort }), [...entries].reverse());
  assert.deepEqual(await list({ pageSize: 1 }), entries);
  assert.deepEqual(await list({ sort, pageSize: 1 }), [...entries].reverse());
  assert.deepEqual(await list({ subjectTypes: ['RESOURCE_TYPE_GROUP'], actorIds: [me.id] }), entries);
  assert.deepEqual(await list({ subjectTypes: ['RESOURCE_TYPE_USER'] }), []);
  assert.deepEqual(await list({ actorPrincipals: ['PRINCIPAL_SERVICE_ACCOUNT'] }), entries);
  assert.deepEqual(await list({ actorPrincipals: ['PRINCIPAL_USER'] }), []);
  const anHourAgo = new Date(Date.now() - 3_600_000).toISOString();
  assert.deepEqual(await list({ from: anHourAgo }), entries);
  assert.deepEqual(await list({ to: anHourAgo }), []);
  await invalid(list({ sort: { field: 'action' } }), 'sort');

  const { entry, details } = await service('EventService').GetAuditLog({ auditLogEntryId: entries[1].id });
  assert.deepEqual(entry, entries[1]);
  assert.ok(details);
  await notFound(service('EventService').GetAuditLog({ auditLogEntryId: SOME_ID }));
});

test('changes are told as they happen', async () => {
  const stream = await unrecorded().events.watch({ organization: true });
  const group = await createGroup();
  await groups.DeleteGroup({ groupId: group.id });
  const told = [];
  for await (const event of stream) {
    if (event.resourceId !== group.id) continue;
    told.push(event.operation);
    assert.equal(event.resourceType, 'RESOURCE_TYPE_GROUP');
    if (told.length === 2) break;
  }
  stream.controller.abort();
  assert.deepEqual(told, ['RESOURCE_OPERATION_CREATE', 'RESOURCE_OPERATION_DELETE']);
});
