// What the files of tests share: the client, and fresh data for every test.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach } from 'node:test';
import Gitpod from '@gitpod/sdk';
import { AbstractPage } from '@gitpod/sdk/core/pagination';

const { ROLLCALL_URL, ROLLCALL_TOKEN } = process.env;
export const organizationId = process.env.ROLLCALL_ORGANIZATION_ID;
export const DAY = 86_400;
const SECRET_MARK = 'must-never-come-back-';
export const SCIM_TOKEN = /^rcscim_[0-9a-f]{64}_[0-9A-Za-z]{49}$/;
export const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

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
export let wire = [];
export const forget = () => {
  wire = [];
};

export function connect(bearerToken = ROLLCALL_TOKEN) {
  const recording = async (url, init) => {
    const response = await fetch(url, init);
    wire.push({ status: response.status, body: await response.clone().text() });
    return response;
  };
  return new Gitpod({ bearerToken, baseURL: `${ROLLCALL_URL}/api`, fetch: recording, timeout: 20_000 });
}

/** A client whose answers are not recorded: a stream has no end. */
export const unrecorded = () => new Gitpod({ bearerToken: ROLLCALL_TOKEN, baseURL: `${ROLLCALL_URL}/api`, timeout: 20_000 });

export const client = connect();
export const ssos = client.organizations.ssoConfigurations;
export const path = (method) => `/gitpod.v1.OrganizationService/${method}`;
export const scims = {
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

/** What a file of tests clears away itself, before the configurations go. */
export const clearings = [];

beforeEach(forget);

afterEach(async () => {
  assert.deepEqual(wire.filter(({ body }) => body.includes(SECRET_MARK)), []);
  // Lists are counted exactly, so a test leaves the organization as empty as it found it.
  for (const clear of clearings) {
    await clear();
  }
  for (const { id } of await everything(scims.list())) {
    await scims.delete({ scimConfigurationId: id });
  }
  for (const { id } of await everything(ssos.list({ organizationId }))) {
    await ssos.delete({ ssoConfigurationId: id });
  }
});

/** All items of all pages; a list that never ends fails. */
export async function everything(pages, atMost = 50) {
  const found = [];
  for await (const item of pages) {
    found.push(item);
    assert.ok(found.length <= atMost, 'the list never ends');
  }
  return found;
}

/** Every field of a CreateSSOConfigurationRequest, unlike that of any other test. */
export function ssoFields(changes = {}) {
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

export const createSSO = async (changes) => (await ssos.create(ssoFields(changes))).ssoConfiguration;
export const readSSO = async ({ id }) => (await ssos.retrieve({ ssoConfigurationId: id })).ssoConfiguration;
export const createSCIM = (sso, changes) => scims.create({ organizationId, ssoConfigurationId: sso.id, ...changes });
export const readSCIM = async ({ id }) => (await scims.retrieve({ scimConfigurationId: id })).scimConfiguration;
export const byId = (a, b) => a.id.localeCompare(b.id);

export function isInDays(moment, days) {
  const off = Math.abs(Date.parse(moment) - Date.now() - days * DAY * 1000);
  assert.ok(off < 60_000, `${moment} is not ${days} days from now`);
}

export async function refused(call, Class, status, code) {
  const error = await call.then(
    () => assert.fail('the call was not refused'),
    (error) => error,
  );
  assert.ok(error instanceof Class, `${error.constructor.name}: ${error.message}`);
  assert.equal(error.status, status);
  assert.equal(error.code, code);
  return error;
}
