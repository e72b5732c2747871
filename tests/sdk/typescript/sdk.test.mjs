// The TypeScript SDK 0.6, JSON generation. It has no methods for SCIM yet: those calls go through the
// client's own `post` and `getAPIList`, which the later methods are made of.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, test } from 'node:test';
import Gitpod, * as errors from '@gitpod/sdk';
import { AbstractPage } from '@gitpod/sdk/core/pagination';

const { ROLLCALL_URL, ROLLCALL_TOKEN, ROLLCALL_ORGANIZATION_ID: organizationId } = process.env;
const DAY = 86_400;
const SECRET_MARK = 'must-never-come-back-';
const SCIM_TOKEN = /^rcscim_[0-9a-f]{64}_[0-9A-Za-z]{49}$/;
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

class SCIMConfigurationsPage extends AbstractPage {
  constructor(client, response, body, options) {
    super(client, response, body, options);
    Object.assign(this, body);
  }
  getPaginatedItems() {
    return this.scimConfigurations ?? [];
  }
  nextPageRequestOptions() {
    const token = this.pagination?.nextToken;
    return token ? { ...this.options, query: { ...this.options.query, token } } : null;
  }
}

/** Every HTTP exchange of the test, oldest first. */
let wire = [];

function connect(bearerToken = ROLLCALL_TOKEN) {
  const recording = async (url, init) => {
    const response = await fetch(url, init);
    wire.push({ status: response.status, body: await response.clone().text() });
    return response;
  };
  return new Gitpod({ bearerToken, baseURL: `${ROLLCALL_URL}/api`, fetch: recording, timeout: 20_000 });
}

const client = connect();
const ssos = client.organizations.ssoConfigurations;
const path = (method) => `/gitpod.v1.OrganizationService/${method}`;
const scims = {
  create: (body) => client.post(path('CreateSCIMConfiguration'), { body }),
  retrieve: (body) => client.post(path('GetSCIMConfiguration'), { body }),
  update: (body) => client.post(path('UpdateSCIMConfiguration'), { body }),
  delete: (body) => client.post(path('DeleteSCIMConfiguration'), { body }),
  regenerateToken: (body) => client.post(path('RegenerateSCIMToken'), { body }),
  list: ({ token, pageSize, ...body } = {}) =>
    client.getAPIList(path('ListSCIMConfigurations'), SCIMConfigurationsPage, {
      query: { token, pageSize },
      body,
      method: 'post',
    }),
};

beforeEach(() => {
  wire = [];
});

afterEach(async () => {
  assert.deepEqual(wire.filter(({ body }) => body.includes(SECRET_MARK)), []);
  // Lists are counted exactly, so a test leaves the organization as empty as it found it.
  for (const { id } of await everything(scims.list())) {
    await scims.delete({ scimConfigurationId: id });
  }
  for (const { id } of await everything(ssos.list({ organizationId }))) {
    await ssos.delete({ ssoConfigurationId: id });
  }
});

/** All items of all pages; a list that never ends fails. */
async function everything(pages, atMost = 50) {
  const found = [];
  for await (const item of pages) {
    found.push(item);
    assert.ok(found.length <= atMost, 'the list never ends');
  }
  return found;
}

/** Every field of a CreateSSOConfigurationRequest, unlike that of any other test. */
function ssoFields(changes = {}) {
  const name = randomUUID().slice(0, 13);
  return {
    organizationId,
    clientId: `client-${name}`,
    clientSecret: `${SECRET_MARK}${name}`,
    issuerUrl: `https://${name}.idp.example.com`,
    emailDomain: `${name}.example.com`,
    displayName: `Example ${name}`,
    additionalScopes: ['groups', 'offline_access'],
    claimsExpression: 'claims.email_verified && claims.email.endsWith("@example.com")',
    ...changes,
  };
}

const createSSO = async (changes) => (await ssos.create(ssoFields(changes))).ssoConfiguration;
const readSSO = async ({ id }) => (await ssos.retrieve({ ssoConfigurationId: id })).ssoConfiguration;
const createSCIM = (sso, changes) => scims.create({ organizationId, ssoConfigurationId: sso.id, ...changes });
const readSCIM = async ({ id }) => (await scims.retrieve({ scimConfigurationId: id })).scimConfiguration;
const byId = (a, b) => a.id.localeCompare(b.id);

function isInDays(moment, days) {
  const off = Math.abs(Date.parse(moment) - Date.now() - days * DAY * 1000);
  assert.ok(off < 60_000, `${moment} is not ${days} days from now`);
}

async function refused(call, Class, status, code) {
  const error = await call.then(
    () => assert.fail('the call was not refused'),
    (error) => error,
  );
  assert.ok(error instanceof Class, `${error.constructor.name}: ${error.message}`);
  assert.equal(error.status, status);
  assert.equal(error.code, code);
  return error;
}

test('the token belongs to the organization', async () => {
  const identity = await client.identity.getAuthenticatedIdentity({});
  assert.equal(identity.organizationId, organizationId);
  assert.match(identity.subject.id, UUID_V7);
  assert.match(identity.subject.principal, /^PRINCIPAL_(USER|SERVICE_ACCOUNT)$/);
});

test('a created SSO configuration has every field', async () => {
  const { clientSecret, ...given } = ssoFields();
  const { ssoConfiguration: sso } = await ssos.create({ clientSecret, ...given });
  assert.match(sso.id, UUID_V7);
  assert.deepEqual(sso, {
    ...given,
    id: sso.id,
    state: 'SSO_CONFIGURATION_STATE_ACTIVE',
    providerType: 'PROVIDER_TYPE_CUSTOM',
    emailDomains: [given.emailDomain],
  });
  assert.deepEqual(await readSSO(sso), sso);
  assert.deepEqual(await everything(ssos.list({ organizationId })), [sso]);
});

test('of several e-mail domains the first is the single one', async () => {
  const emailDomains = ['one.example.com', 'two.example.com'];
  const sso = await createSSO({ emailDomain: undefined, emailDomains });
  assert.equal(sso.emailDomain, 'one.example.com');
  assert.deepEqual(sso.emailDomains, emailDomains);
});

test('an update leaves absent and null fields alone', async () => {
  const sso = await createSSO();
  const answer = await ssos.update({
    ssoConfigurationId: sso.id,
    clientId: null,
    clientSecret: null,
    issuerUrl: null,
    emailDomain: null,
    state: null,
    displayName: 'Renamed',
  });
  assert.deepEqual(answer, {});
  assert.deepEqual(await readSSO(sso), { ...sso, displayName: 'Renamed' });
});

test('an update replaces and clears', async () => {
  const { additionalScopes, claimsExpression, ...sso } = await createSSO();
  const rotated = ssoFields();
  await ssos.update({ ssoConfigurationId: sso.id, claims: { email: 'mail', name: 'display' } });
  await ssos.update({
    ssoConfigurationId: sso.id,
    claims: { name: 'full_name' },
    additionalScopes: { scopes: [] },
    claimsExpression: '',
    clientId: rotated.clientId,
    clientSecret: rotated.clientSecret,
    emailDomain: 'new.example.com',
    state: 'SSO_CONFIGURATION_STATE_INACTIVE',
  });
  assert.deepEqual(await readSSO(sso), {
    ...sso,
    claims: { name: 'full_name' },
    clientId: rotated.clientId,
    emailDomain: 'new.example.com',
    emailDomains: ['new.example.com'],
    state: 'SSO_CONFIGURATION_STATE_INACTIVE',
  });
});

for (const [given, days] of [[{}, 365], [{ tokenExpiresIn: `${90 * DAY}s` }, 90]]) {
  test(`a created SCIM configuration comes with a token for ${days} days`, async () => {
    const sso = await createSSO();
    const { token, tokenExpiresAt, scimConfiguration: scim } = await createSCIM(sso, given);
    assert.match(token, SCIM_TOKEN);
    isInDays(tokenExpiresAt, days);
    isInDays(scim.createdAt, 0);
    assert.match(scim.id, UUID_V7);
    assert.deepEqual(scim, {
      id: scim.id,
      organizationId,
      name: 'SCIM Configuration',
      enabled: true,
      ssoConfigurationId: sso.id,
      createdAt: scim.createdAt,
      updatedAt: scim.updatedAt,
      tokenExpiresAt,
    });
  });
}

test('a token is shown once', async () => {
  const { token, scimConfiguration: scim } = await createSCIM(await createSSO());
  assert.deepEqual(await readSCIM(scim), scim);
  assert.deepEqual(await everything(scims.list()), [scim]);
  assert.equal(wire.filter(({ body }) => body.includes(token)).length, 1);
});

test('a SCIM configuration is updated field by field', async () => {
  const { scimConfiguration: scim } = await createSCIM(await createSSO(), { name: 'Before' });
  const other = await createSSO();
  const update = async (changes) =>
    (await scims.update({ scimConfigurationId: scim.id, ...changes })).scimConfiguration;

  const renamed = await update({ name: 'After' });
  assert.notEqual(renamed.updatedAt, scim.updatedAt);
  assert.deepEqual(renamed, { ...scim, name: 'After', updatedAt: renamed.updatedAt });

  const { enabled, ...disabled } = await update({ enabled: false });
  assert.ok(!enabled);
  assert.equal(disabled.name, 'After');

  const linked = await update({ ssoConfigurationId: other.id });
  assert.deepEqual(linked, { ...disabled, ssoConfigurationId: other.id, updatedAt: linked.updatedAt });
  assert.deepEqual(await readSCIM(scim), linked);
});

test('a regenerated token keeps its lifetime unless given another', async () => {
  const created = await createSCIM(await createSSO(), { tokenExpiresIn: `${90 * DAY}s` });
  const scimConfigurationId = created.scimConfiguration.id;
  const same = await scims.regenerateToken({ scimConfigurationId });
  const other = await scims.regenerateToken({ scimConfigurationId, tokenExpiresIn: `${30 * DAY}s` });
  assert.equal(new Set([created.token, same.token, other.token]).size, 3);
  isInDays(same.tokenExpiresAt, 90);
  isInDays(other.tokenExpiresAt, 30);
});

test('a linked SSO configuration is not deleted', async () => {
  const sso = await createSSO();
  const { scimConfiguration: scim } = await createSCIM(sso, { name: 'Keeps it' });
  const deletion = ssos.delete({ ssoConfigurationId: sso.id });
  const error = await refused(deletion, errors.BadRequestError, 400, 'failed_precondition');
  assert.ok(error.message.includes(scim.id) || error.message.includes('Keeps it'), error.message);
  assert.deepEqual(await readSSO(sso), sso);
});

test('what is deleted is gone', async () => {
  const sso = await createSSO();
  const { scimConfiguration: scim } = await createSCIM(sso);
  assert.deepEqual(await scims.delete({ scimConfigurationId: scim.id }), {});
  assert.deepEqual(await ssos.delete({ ssoConfigurationId: sso.id }), {});
  for (const call of [
    () => readSCIM(scim),
    () => scims.delete({ scimConfigurationId: scim.id }),
    () => readSSO(sso),
    () => ssos.delete({ ssoConfigurationId: sso.id }),
  ]) {
    await refused(call(), errors.NotFoundError, 404, 'not_found');
  }
});

test('a conflict is refused and not retried', async () => {
  const { issuerUrl, clientId } = await createSSO();
  await refused(createSSO({ issuerUrl, clientId }), errors.ConflictError, 409, 'already_exists');
  assert.deepEqual(wire.map(({ status }) => status), [200, 409]);
});

for (const [wrong, field] of [
  [{ clientId: '' }, 'client_id'],
  [{ issuerUrl: 'not a url' }, 'issuer_url'],
  [{ emailDomain: undefined, emailDomains: ['nodot'] }, 'email_domains'],
  [{ claimsExpression: 'claims.' }, 'claims_expression'],
]) {
  test(`an invalid request names ${field}`, async () => {
    const error = await refused(createSSO(wrong), errors.BadRequestError, 400, 'invalid_argument');
    assert.ok(error.message.includes(field), error.message);
    const violations = error.error.details.find(({ type }) => type === 'buf.validate.Violations');
    assert.ok(Buffer.from(violations.value, 'base64').includes(field));
  });
}

test('a wrong token is refused', async () => {
  const identity = connect('wrong').identity.getAuthenticatedIdentity({});
  const error = await refused(identity, errors.AuthenticationError, 401, 'unauthenticated');
  assert.match(error.headers.get('www-authenticate'), /^Bearer/);
});

test('a method that is not there is not retried', async () => {
  const call = client.post(path('NoSuchMethod'), { body: {} });
  await refused(call, errors.InternalServerError, 501, 'unimplemented');
  assert.equal(wire.length, 1);
});

// The iterator adds `?token=` and sends the first body again, whichever way the size was given.
for (const size of [{ pageSize: 1 }, { pagination: { pageSize: 1 } }]) {
  test(`the iterator walks all pages of ${JSON.stringify(size)}`, async () => {
    const expectedSSOs = [await createSSO(), await createSSO(), await createSSO()];
    const expectedSCIMs = [];
    for (const sso of expectedSSOs) {
      expectedSCIMs.push((await createSCIM(sso)).scimConfiguration);
    }
    for (const [list, expected] of [
      [() => ssos.list({ organizationId, ...size }), expectedSSOs],
      [() => scims.list(size), expectedSCIMs],
    ]) {
      wire = [];
      const found = await everything(list(), 10);
      assert.deepEqual(found.sort(byId), expected.sort(byId));
      assert.equal(wire.length, 3, 'one request for each page');
    }
  });
}
