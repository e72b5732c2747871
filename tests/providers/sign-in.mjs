// What all providers have in common: a Rollcall, a browser, and somebody who signs in.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import { Server, call, freePort, rollcall } from './rollcall.mjs';

const { CHROMIUM, LOGIN_LOGS } = process.env;
const PROVIDER_SECONDS = 180;

/** The domain whose people sign in. */
export const DOMAIN = 'example.com';
/** Who signs in, with the password that everybody has. */
export const ADA = { email: `ada@${DOMAIN}`, name: 'Ada Lovelace', givenName: 'Ada', familyName: 'Lovelace' };
/** Somebody whom the provider lets in, with an address of another domain. */
export const MALLORY = {
  email: 'mallory@elsewhere.example',
  name: 'Mallory Ng',
  givenName: 'Mallory',
  familyName: 'Ng',
};
export const PASSWORD = 'Correct horse, 7 batteries';

/** What ends, in this order reversed, when the file is done. */
const ends = [];
after(async () => {
  for (const end of ends.reverse()) await end();
});

/** Has `end` called when the file is done. */
export const atTheEnd = (end) => ends.push(end);

/** A new folder, which is removed when the file is done. */
export function temporaryFolder() {
  const folder = mkdtempSync(join(tmpdir(), 'rollcall-providers-'));
  atTheEnd(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts a provider's program, whose log goes to a file of its own, and waits until `ready` answers with 200. */
export async function startProgram(name, command, args, { env = {}, cwd, ready }) {
  const file = join(LOGIN_LOGS, `${name}.log`);
  const log = openSync(file, 'a');
  const program = spawn(command, args, {
    cwd,
    env: { ...process.env, ...env },
    stdio: ['ignore', log, log],
    detached: true,
  });
  // Some are scripts that start the program: all of them end.
  const kill = (signal) => {
    try {
      process.kill(-program.pid, signal);
    } catch {
      // It has ended.
    }
  };
  process.once('exit', () => kill('SIGKILL'));
  const ended = new Promise((resolve) => {
    program.once('error', (error) => resolve(String(error)));
    program.once('exit', (code, signal) => resolve(`it ended with ${signal ?? code}`));
  });
  atTheEnd(async () => {
    kill('SIGTERM');
    await Promise.race([ended, sleep(20_000, undefined, { ref: false })]);
    kill('SIGKILL');
  });
  let outcome;
  const answers = async () => {
    while (outcome === undefined) {
      const answer = await fetch(ready).catch(() => undefined);
      await answer?.arrayBuffer();
      if (answer?.ok) return 'ready';
      await sleep(100);
    }
  };
  outcome = await Promise.race([answers(), ended, sleep(PROVIDER_SECONDS * 1000, 'it is not ready', { ref: false })]);
  if (outcome !== 'ready') throw new Error(`${name}: ${outcome}: ${readFileSync(file, 'utf8').slice(-2000)}`);
}

/** A Rollcall with an organization, which reaches providers on this machine. */
export async function startRollcall() {
  const token = rollcall(['token', 'generate']);
  const port = await freePort();
  const server = new Server(port, {
    ROLLCALL_DATA_DIR: join(temporaryFolder(), 'data'),
    ROLLCALL_BOOTSTRAP_ORGANIZATION: 'Acme',
    ROLLCALL_BOOTSTRAP_TOKEN: token,
    ROLLCALL_PUBLIC_URL: `http://127.0.0.1:${port}`,
    ROLLCALL_ALLOW_INSECURE_ISSUERS: 'true',
    ROLLCALL_DRAIN: '0s',
  });
  await server.start();
  atTheEnd(() => server.stop());
  const api = (method, body) => call(server.url, token, `/${method}`, body);
  const { organizationId } = await api('gitpod.v1.IdentityService/GetAuthenticatedIdentity', {});
  return new Rollcall(server.url, api, organizationId);
}

class Rollcall {
  constructor(url, api, organizationId) {
    this.url = url;
    this.redirectUri = `${url}/auth/oidc/callback`;
    this.api = api;
    this.organizationId = organizationId;
  }

  /** Makes an SSO configuration; returns its id. `claims` maps our names of claims to the provider's. */
  async configure(issuerUrl, clientId, clientSecret, { claims, ...changes } = {}) {
    const { ssoConfiguration } = await this.api('gitpod.v1.OrganizationService/CreateSSOConfiguration', {
      organizationId: this.organizationId,
      displayName: 'A provider',
      issuerUrl,
      clientId,
      clientSecret,
      emailDomains: [DOMAIN],
      ...changes,
    });
    if (claims) await this.update(ssoConfiguration.id, { claims });
    return ssoConfiguration.id;
  }

  /** Where the key is with which Rollcall proves to a provider who it is. */
  jwksUri(ssoConfigurationId) {
    return `${this.url}/auth/oidc/keys/${this.organizationId}/${ssoConfigurationId}`;
  }

  /** The link that begins a login through a configuration. */
  startUrl(ssoConfigurationId) {
    return `${this.url}/auth/oidc/start?organization=${this.organizationId}&configuration=${ssoConfigurationId}`;
  }

  update(ssoConfigurationId, changes) {
    return this.api('gitpod.v1.OrganizationService/UpdateSSOConfiguration', { ssoConfigurationId, ...changes });
  }

  /** What CheckSSOConfiguration finds, as lines. */
  async check(ssoConfigurationId) {
    const { findings } = await this.api('rollcall.v1.SignInService/CheckSSOConfiguration', { ssoConfigurationId });
    return findings.map(({ outcome, subject, text }) => `${outcome.replace('OUTCOME_', '')} ${subject}: ${text}`);
  }

  /** Makes sure that the check has nothing against a configuration. */
  async assertGood(ssoConfigurationId, { doubtful = [] } = {}) {
    const found = (await this.check(ssoConfigurationId)).filter((line) => !line.startsWith('OK '));
    assert.equal(found.length, doubtful.length, found.join('\n'));
    doubtful.forEach((expected, i) => assert.match(found[i], expected));
  }

  /** The newest try to sign in through a configuration. */
  async lastAttempt(ssoConfigurationId) {
    const { attempts } = await this.api('rollcall.v1.SignInService/ListSignInAttempts', {
      filter: { ssoConfigurationId },
      pagination: { pageSize: 1 },
    });
    return attempts[0];
  }

  async members(email) {
    const { members = [] } = await this.api('gitpod.v1.OrganizationService/ListMembers', {
      organizationId: this.organizationId,
      filter: { search: email },
    });
    return members;
  }
}

/** A browser for all people of a file. */
export async function startBrowser() {
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-proxy-server'] });
  atTheEnd(() => browser.close());
  return {
    /** A page of a browser that was never anywhere. */
    async newPage() {
      const context = await browser.newContext({ reducedMotion: 'reduce' });
      context.setDefaultTimeout(20_000);
      return context.newPage();
    },
  };
}

/** Who the browser's session is, or undefined without one. */
export async function whoIs(page, server) {
  const answer = await page.request.get(`${server.url}/gitpod.v1.UserService/GetAuthenticatedUser`, {
    params: { connect: 'v1', encoding: 'json', message: '{}' },
  });
  if (answer.status() === 401) return undefined;
  assert.equal(answer.status(), 200, await answer.text());
  return (await answer.json()).user;
}

/** People at Rollcall and at one provider, whose pages `logIn(page, person)` knows. */
export class SignIn {
  constructor(server, browser, logIn) {
    this.server = server;
    this.browser = browser;
    this.logIn = logIn;
  }

  /** Begins to sign in through a configuration, in a new browser unless there is a page of one, and comes back. */
  async begin(sso, person, page) {
    const hint = person.email.endsWith(`@${DOMAIN}`) ? person.email : '';
    const to = `${this.server.startUrl(sso)}&login_hint=${encodeURIComponent(hint)}`;
    page ??= await this.browser.newPage();
    await page.goto(to);
    // A provider that knows the browser, or refuses at once, does not ask.
    if (!page.url().startsWith(this.server.url)) await this.logIn(page, person);
    await page.waitForURL((url) => url.href.startsWith(this.server.url));
    return page;
  }

  /** Signs in; returns the page, on which a session is, and whose it is. */
  async succeeds(sso, person = ADA, page = undefined) {
    page = await this.begin(sso, person, page);
    if (new URL(page.url()).pathname !== '/account') {
      const { failedCheck, reason } = (await this.server.lastAttempt(sso)) ?? {};
      assert.fail(`${await page.locator('h1').innerText()} (${failedCheck}: ${reason})`);
    }
    const user = await whoIs(page, this.server);
    assert.ok(user, 'there is no session');
    assert.equal(user.email, person.email);
    assert.equal(user.name, person.name);
    return { page, user };
  }

  /** Is kept out, with a page for the person and a reason for administrators, which is returned with its check. */
  async isRefused(sso, person = ADA, page = undefined) {
    const stays = page !== undefined;
    page = await this.begin(sso, person, page);
    assert.notEqual(new URL(page.url()).pathname, '/account', 'was let in');
    if (!stays) assert.equal(await whoIs(page, this.server), undefined);
    const { id, failedCheck, reason } = await this.server.lastAttempt(sso);
    await page.getByText(id).waitFor();
    if (!stays) await page.context().close();
    return `${failedCheck}: ${reason}`;
  }

  /** What must work with every provider: the whole way of two people, through the only configuration that there is. */
  async wholeWay(sso) {
    // From the login page, by the address.
    const first = await this.browser.newPage();
    await first.goto(`${this.server.url}/login`);
    await first.getByLabel(/e-?mail/i).fill(ADA.email);
    await first.keyboard.press('Enter');
    await this.logIn(first, ADA);
    await first.waitForURL(`${this.server.url}/account`);
    await first.getByText(ADA.name).first().waitFor();
    const user = await whoIs(first, this.server);
    assert.equal(user.email, ADA.email);
    assert.equal(user.name, ADA.name);
    const members = await this.server.members(ADA.email);
    assert.deepEqual(
      members.map(({ userId, email, fullName }) => ({ userId, email, fullName })),
      [{ userId: user.id, email: ADA.email, fullName: ADA.name }],
    );

    // Out, and in again.
    await first.getByRole('button', { name: /sign out/i }).click();
    await first.waitForURL(`${this.server.url}/signed-out`);
    assert.equal(await whoIs(first, this.server), undefined);
    const again = await this.succeeds(sso, ADA, first);
    assert.equal(again.user.id, user.id, 'another member, after signing out');
    await first.context().close();

    // In another browser.
    const other = await this.succeeds(sso);
    assert.equal(other.user.id, user.id, 'another member, in another browser');
    await other.page.context().close();

    assert.match(await this.isRefused(sso, MALLORY), /^email: addresses of elsewhere\.example do not sign in/);
    assert.deepEqual(await this.server.members(MALLORY.email), []);
    return user;
  }
}
