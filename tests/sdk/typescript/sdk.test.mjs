// The TypeScript SDK 0.6, JSON generation. It has no methods for SCIM yet: those calls go through the
// client's own `post` and `getAPIList`, which the later methods are made of.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as errors from '@gitpod/sdk';
import {
  DAY,
  SCIM_TOKEN,
  UUID_V7,
  byId,
  client,
  connect,
  createSCIM,
  createSSO,
  everything,
  forget,
  isInDays,
  organizationId,
  path,
  readSCIM,
  readSSO,
  refused,
  scims,
  ssoFields,
  ssos,
  wire,
} from './support.mjs';

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
      forget();
      const found = await everything(list(), 10);
      assert.deepEqual(found.sort(byId), expected.sort(byId));
      assert.equal(wire.length, 3, 'one request for each page');
    }
  });
}
