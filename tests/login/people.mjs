// What people, administrators and identity providers do in the tests, and the browser in which people do it.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before } from 'node:test';
import { chromium } from 'playwright-core';
import { CLIENT_IDS, CLIENT_SECRET } from './provider.mjs';
import { Server, call, freePort } from './rollcall.mjs';

const { CHROMIUM } = process.env;
const SCIM_USER = 'urn:ietf:params:scim:schemas:core:2.0:User';
const SCIM_PATCH = 'urn:ietf:params:scim:api:messages:2.0:PatchOp';

/** What tests keep in files; it is gone afterwards. */
export const folder = mkdtempSync(join(tmpdir(), 'rollcall-login-'));
/** What ends, in this order reversed, when all is done. */
export const ends = [() => rmSync(folder, { recursive: true })];
let browser;

before(async () => {
  browser = await chromium.launch({
    executablePath: CHROMIUM,
    // Names of the example domains are this machine; the settings of a proxy are not for it.
    args: ['--no-proxy-server', '--host-resolver-rules=MAP *.example.com 127.0.0.1, MAP *.example.net 127.0.0.1'],
  });
  ends.push(() => browser.close());
});

after(async () => {
  for (const end of ends.reverse()) await end();
});

/** Every browser of a test, each with cookies of its own. */
let contexts = [];

afterEach(async () => {
  const open = contexts;
  contexts = [];
  for (const { context, said } of open) {
    await context.close();
    assert.deepEqual(said, [], 'the browser complained');
  }
});

/** A page of a browser that was never here. */
export async function newPage(options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, reducedMotion: 'reduce', ...options });
  context.setDefaultTimeout(60_000);
  const said = [];
  context.on('console', (message) => {
    // An answer of 4xx is no fault of the page.
    if (['error', 'warning'].includes(message.type()) && !/Failed to load resource/.test(message.text())) {
      said.push(message.text());
    }
  });
  context.on('weberror', (error) => said.push(String(error.error())));
  contexts.push({ context, said });
  return context.newPage();
}

export async function startServer(settings, port) {
  const server = new Server(port ?? (await freePort()), settings);
  await server.start();
  return server;
}

// --- What people do. ---

/** Gives an address on the login page; the browser is then wherever that leads. */
export async function giveAddress(page, url, email) {
  await page.goto(url);
  await page.getByLabel(/e-?mail/i).fill(email);
  await page.keyboard.press('Enter');
}

/** On the provider's form, where the address already stands, says yes. */
export async function agree(page, email) {
  const account = page.getByLabel('Account');
  assert.equal(await account.inputValue(), email, 'the provider was not told whom to expect');
  await page.getByRole('button', { name: 'Continue' }).click();
}

/** One of the choices, a link or a button. */
export const choice = (page, name) => page.getByRole('link', { name }).or(page.getByRole('button', { name }));

// --- What administrators and identity providers do. ---

/** An organization, as its administrator's token shows it. */
export async function organization(url, token) {
  const api = (method, body) => call(url, token, `/gitpod.v1.${method}`, body);
  const { organizationId } = await api('IdentityService/GetAuthenticatedIdentity', {});
  return {
    id: organizationId,
    /** The settings with which commands ask its server. */
    asking: { ROLLCALL_SERVER: url, ROLLCALL_TOKEN: token },
    /** Makes an SSO configuration with a provider; returns its id. */
    async sso(displayName, issuerUrl, emailDomains, changes = {}) {
      const { ssoConfiguration } = await api('OrganizationService/CreateSSOConfiguration', {
        organizationId,
        displayName,
        issuerUrl,
        clientId: CLIENT_IDS[0],
        clientSecret: CLIENT_SECRET,
        emailDomains,
        additionalScopes: ['groups'],
        ...changes,
      });
      return ssoConfiguration.id;
    },
    /** Opens SCIM beside an SSO configuration; returns what its token can do. */
    async scim(ssoConfigurationId) {
      const { token } = await api('OrganizationService/CreateSCIMConfiguration', {
        organizationId,
        ssoConfigurationId,
      });
      const users = '/scim/v2/Users';
      return {
        push: async (user) => (await call(url, token, users, { schemas: [SCIM_USER], ...user })).id,
        /** Returns when the answer, 200, was here. */
        async setActive(id, value) {
          await call(
            url,
            token,
            `${users}/${id}`,
            {
              schemas: [SCIM_PATCH],
              Operations: [{ op: 'replace', path: 'active', value }],
            },
            'PATCH',
          );
          return performance.now();
        },
      };
    },
    async member(email) {
      const { members } = await api('OrganizationService/ListMembers', { organizationId, filter: { search: email } });
      assert.equal(members?.length, 1, `members with the address ${email}`);
      return members[0];
    },
  };
}
