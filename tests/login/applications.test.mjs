// People sign in to applications, in a browser: Rollcall is their provider, and asks the company's.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as oidc from 'openid-client';
import { startApplication } from './application.mjs';
import { inspect, tabThrough } from './pages.mjs';
import { agree, ends, newPage, organization, startServer } from './people.mjs';
import { startProvider } from './provider.mjs';
import { call, freePort, listen, proxy, rollcall } from './rollcall.mjs';

const { DATABASE_URL, LOGIN_KEYS } = process.env;
const SCOPES = ['OPENID', 'PROFILE', 'EMAIL', 'GROUPS', 'ORGANIZATION', 'OFFLINE_ACCESS'].map((name) => `SCOPE_${name}`);
const BARBARA = 'barbara@initech.example';
const RADIA = 'radia@initech.example';
const FRANCES = 'frances@hooli.example';
/** After how long an application that does not hear of the end of a session never will, in milliseconds. */
const TOLD_WITHIN = 60_000;

describe('applications, with two servers on the loopback', () => {
  let publicUrl;
  let servers = [];
  let provider;
  let initech, hooli, scim, barbara;
  let adminToken, operatorToken;
  let wiki, board, shared;

  before(async () => {
    const port = await freePort();
    const host = `127.0.0.1:${port}`;
    publicUrl = `http://${host}`;
    provider = await startProvider({
      host: 'localhost',
      redirectUris: [`${publicUrl}/auth/oidc/callback`],
      claimsIn: 'id_token',
      algorithm: 'RS256',
      clientAuth: 'client_secret_basic',
    });
    ends.push(provider.close);
    adminToken = rollcall(['token', 'generate']);
    const settings = {
      DATABASE_URL,
      ROLLCALL_ENCRYPTION_KEYS: LOGIN_KEYS,
      ROLLCALL_BOOTSTRAP_ORGANIZATION: 'Initech',
      ROLLCALL_BOOTSTRAP_TOKEN: adminToken,
      ROLLCALL_PUBLIC_URL: publicUrl,
      // It opens the way to the applications' back channels as well.
      ROLLCALL_ALLOW_INSECURE_ISSUERS: 'true',
    };
    for (let i = 0; i < 2; i++) servers.push(await startServer(settings));
    const targets = servers.map(({ url }) => url);
    ends.push(await listen(proxy({ host, targets }), port));

    initech = await organization(publicUrl, adminToken);
    const sso = await initech.sso('Initech accounts', provider.issuer, ['initech.example']);
    const id = rollcall(['organization', 'create', '--name', 'Hooli'], settings);
    const token = rollcall(['token', 'create', '--organization', id], settings);
    hooli = await organization(publicUrl, token);
    await hooli.sso('Hooli accounts', provider.issuer, ['hooli.example']);
    operatorToken = rollcall(['token', 'create', '--operator'], settings);
    scim = await initech.scim(sso);
    barbara = await scim.push({
      userName: BARBARA,
      externalId: '00u-1939',
      name: { givenName: 'Barbara', familyName: 'Liskov' },
      displayName: 'Barbara Liskov',
      emails: [{ value: BARBARA, primary: true }],
    });

    wiki = await startApplication('Wiki', publicUrl, (settings) => register(adminToken, settings));
    board = await startApplication('Board', publicUrl, (settings) => register(adminToken, settings));
    // The members of every organization sign in to it.
    shared = await startApplication('Chat & Co', publicUrl, (settings) => register(operatorToken, settings));
    for (const { close } of [wiki, board, shared]) ends.push(close);
  });

  after(async () => {
    for (const server of servers) await server.stop();
  });

  /** Makes an application. */
  async function register(token, settings) {
    const request = { scopes: SCOPES, ...settings };
    const method = '/rollcall.v1.ApplicationService/CreateApplication';
    const { application, clientSecret } = await call(publicUrl, token, method, request);
    return { clientId: application.clientId, clientSecret };
  }

  const loginUrl = (application, parameters = {}) => `${application.url}/login?${new URLSearchParams(parameters)}`;
  const heading = (page, text) => page.getByRole('heading', { name: text, exact: true });

  /** Signs in to an application, in a browser; returns what the application knows then. */
  async function signIn(page, application, email, parameters = {}) {
    await page.goto(loginUrl(application, { login_hint: email, ...parameters }));
    await agree(page, email);
    return arrived(page, application);
  }

  /** The person is back at the application; returns what it knows. */
  async function arrived(page, application) {
    await page.waitForURL(`${application.url}/`);
    const person = [...application.signedIn.values()].at(-1);
    await heading(page, `${application.name}: ${person.claims.name}`).waitFor();
    return person;
  }

  /** The application is told that a session ended; returns how long after `since`. */
  async function hears(application, sid, since) {
    for (;;) {
      const token = application.told.find((token) => token.sid === sid);
      if (token) return token.at - since;
      assert.ok(performance.now() < since + TOLD_WITHIN, `${application.name} hears nothing`);
      await sleep(10);
    }
  }

  const isRefused = (promise) => assert.rejects(promise, (error) => error.error === 'invalid_grant');

  test('an application that knows the issuer alone learns who signs in', async () => {
    const page = await newPage();
    const { tokens, claims, userinfo } = await signIn(page, wiki, BARBARA);
    await heading(page, 'Wiki: Barbara Liskov').waitFor();

    const member = await initech.member(BARBARA);
    assert.equal(claims.iss, publicUrl);
    assert.equal(claims.aud, wiki.clientId);
    assert.equal(claims.sub, member.userId);
    assert.equal(claims.org_id, initech.id);
    const known = {
      sub: member.userId,
      org_id: initech.id,
      name: 'Barbara Liskov',
      given_name: 'Barbara',
      family_name: 'Liskov',
      email: BARBARA,
      email_verified: true,
      org_name: 'Initech',
      groups: [],
      group_ids: [],
      roles: ['member'],
    };
    for (const [place, told] of Object.entries({ claims, userinfo })) {
      const { updated_at: updatedAt, ...rest } = told;
      assert.equal(typeof updatedAt, 'number', place);
      assert.deepEqual(Object.fromEntries(Object.keys(known).map((name) => [name, rest[name]])), known, place);
    }
    assert.deepEqual(Object.keys(userinfo).sort(), [...Object.keys(known), 'updated_at'].sort());
    assert.equal(claims.auth_time, undefined, "the provider does not say when, and was not asked to have the person sign in then");
    assert.equal(tokens.scope, 'openid profile email groups organization offline_access');

    // Refresh tokens change with each use; an answer that was lost is given again.
    const first = await oidc.refreshTokenGrant(wiki.config, tokens.refresh_token);
    assert.notEqual(first.refresh_token, tokens.refresh_token);
    assert.equal(first.claims().sub, claims.sub);
    const again = await oidc.refreshTokenGrant(wiki.config, tokens.refresh_token);
    assert.equal(again.refresh_token, first.refresh_token);
    const second = await oidc.refreshTokenGrant(wiki.config, first.refresh_token);
    assert.equal((await oidc.fetchUserInfo(wiki.config, second.access_token, claims.sub)).email, BARBARA);
    const looked = await oidc.tokenIntrospection(wiki.config, second.access_token);
    assert.deepEqual([looked.active, looked.sub, looked.client_id], [true, claims.sub, wiki.clientId]);
    // What was used long before is in other hands.
    await isRefused(oidc.refreshTokenGrant(wiki.config, tokens.refresh_token));
    await isRefused(oidc.refreshTokenGrant(wiki.config, second.refresh_token));
  });

  test('who is signed in enters the next application without a word', async () => {
    const page = await newPage();
    const { claims } = await signIn(page, wiki, BARBARA);
    const asked = provider.asked.length;
    const seen = [];
    page.on('domcontentloaded', () => seen.push(page.url()));
    await page.goto(loginUrl(board));
    const there = await arrived(page, board);
    assert.deepEqual(seen, [`${board.url}/`], 'a page was shown on the way');
    assert.equal(provider.asked.length, asked, 'the provider was asked again');
    assert.deepEqual([there.claims.sub, there.claims.sid], [claims.sub, claims.sid]);

    // Not even a word is allowed.
    await page.goto(loginUrl(shared, { prompt: 'none' }));
    assert.equal((await arrived(page, shared)).claims.sid, claims.sid);
    const stranger = await newPage();
    await stranger.goto(loginUrl(wiki, { prompt: 'none' }));
    await stranger.getByRole('heading', { name: /login_required/ }).waitFor();
  });

  test('the keyboard is enough to choose an account', async () => {
    const page = await newPage();
    await signIn(page, shared, BARBARA, { organization: initech.id });
    await signIn(page, shared, FRANCES, { organization: hooli.id, prompt: 'login' });
    await page.goto(loginUrl(shared, { prompt: 'select_account' }));
    await heading(page, 'Choose an account').waitFor();
    await inspect(page, 'choose-account');
    const stops = await tabThrough(page);
    assert.match(stops.join('|'), /^frances@hooli\.example\s+Hooli\|barbara@initech\.example\s+Initech\|Use another/);

    await page.reload();
    for (let i = 0; i < 2; i++) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    assert.equal((await arrived(page, shared)).claims.email, BARBARA);

    // Another account is one more.
    await page.goto(loginUrl(shared, { prompt: 'select_account' }));
    for (let i = 0; i < 3; i++) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByLabel(/e-?mail/i).fill(RADIA);
    await page.keyboard.press('Enter');
    await agree(page, RADIA);
    assert.equal((await arrived(page, shared)).claims.email, RADIA);
  });

  test('the keyboard is enough to agree, and to say no', async () => {
    const page = await newPage();
    await signIn(page, wiki, BARBARA);
    await page.goto(loginUrl(wiki, { prompt: 'consent', push: 'true' }));
    await heading(page, 'Let Wiki know you?').waitFor();
    await inspect(page, 'consent');
    assert.deepEqual(await tabThrough(page), ['Allow', 'Cancel']);
    await page.reload();
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    assert.equal((await arrived(page, wiki)).claims.email, BARBARA);

    await page.goto(loginUrl(wiki, { prompt: 'consent' }));
    await heading(page, 'Let Wiki know you?').waitFor();
    for (let i = 0; i < 2; i++) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: /Wiki: failed: .*access_denied/ }).waitFor();
  });

  test('who is deactivated is out of every application', async (t) => {
    const page = await newPage();
    const inWiki = await signIn(page, wiki, BARBARA);
    await page.goto(loginUrl(board));
    const inBoard = await arrived(page, board);
    const { sid } = inWiki.claims;

    const since = await scim.setActive(barbara, false);
    await isRefused(oidc.refreshTokenGrant(wiki.config, inWiki.tokens.refresh_token));
    for (const [application, { tokens }] of [
      [wiki, inWiki],
      [board, inBoard],
    ]) {
      for (const token of [tokens.access_token, tokens.refresh_token]) {
        assert.deepEqual(await oidc.tokenIntrospection(application.config, token), { active: false });
      }
      await assert.rejects(oidc.fetchUserInfo(application.config, tokens.access_token, inWiki.claims.sub));
      const took = await hears(application, sid, since);
      t.diagnostic(`${application.name} heard of it ${took.toFixed(0)} ms after the 200 of SCIM`);
    }
    for (const application of [wiki, board]) {
      await page.goto(application.url);
      await heading(page, `${application.name}: nobody`).waitFor();
    }
    await page.goto(loginUrl(wiki, { login_hint: BARBARA }));
    await page.waitForURL((url) => url.pathname === '/auth/oidc/callback');
    await scim.setActive(barbara, true);
  });

  test('who signs out of one application is out of all', async (t) => {
    const page = await newPage();
    const inWiki = await signIn(page, wiki, BARBARA);
    await page.goto(loginUrl(board));
    const inBoard = await arrived(page, board);
    const since = performance.now();
    await page.goto(`${wiki.url}/logout`);
    await heading(page, 'Wiki: signed out').waitFor();
    assert.equal(page.url(), `${wiki.url}/signed-out?state=signed+out`);
    const took = await hears(board, inWiki.claims.sid, since);
    t.diagnostic(`Board heard of it ${took.toFixed(0)} ms after the person clicked`);
    await page.goto(board.url);
    await heading(page, 'Board: nobody').waitFor();
    for (const [application, { tokens }] of [
      [wiki, inWiki],
      [board, inBoard],
    ]) {
      await isRefused(oidc.refreshTokenGrant(application.config, tokens.refresh_token));
    }
    await page.goto(loginUrl(board, { prompt: 'none' }));
    await page.getByRole('heading', { name: /login_required/ }).waitFor();
  });

  test('nobody is signed out without a word by who proves nothing', async () => {
    const page = await newPage();
    const { claims } = await signIn(page, wiki, BARBARA);
    const logout = (parameters) => `${publicUrl}/oauth2/logout?${new URLSearchParams(parameters)}`;

    const elsewhere = { client_id: wiki.clientId, post_logout_redirect_uri: 'https://elsewhere.example.net/' };
    assert.equal((await page.goto(logout(elsewhere))).status(), 400);
    await heading(page, 'You were not signed out').waitFor();
    await inspect(page, 'logout-error');
    await tabThrough(page);

    await page.goto(logout({ client_id: wiki.clientId, post_logout_redirect_uri: `${wiki.url}/signed-out` }));
    await heading(page, 'Sign out?').waitFor();
    await inspect(page, 'logout');
    assert.deepEqual(await tabThrough(page), ['Sign out', 'Stay signed in']);
    await page.goto(loginUrl(board));
    assert.equal((await arrived(page, board)).claims.sid, claims.sid, 'signed out by looking at the page');

    await page.goto(logout({ client_id: wiki.clientId, post_logout_redirect_uri: `${wiki.url}/signed-out` }));
    await page.keyboard.press('Tab');
    const since = performance.now();
    await page.keyboard.press('Enter');
    await heading(page, 'Wiki: signed out').waitFor();
    await hears(board, claims.sid, since);
  });

  test('people are told why they do not get to an application', async () => {
    const page = await newPage();
    const refused = async (url, status, text, name) => {
      assert.equal((await page.goto(url)).status(), status);
      await heading(page, text).waitFor();
      assert.equal(new URL(page.url()).origin, publicUrl);
      await inspect(page, name);
      await tabThrough(page);
    };
    const unknown = { client_id: 'rcapp_00000000000000000000000000000000' };
    await refused(loginUrl(wiki, unknown), 400, 'This application is not known here', 'application-unknown');
    const elsewhere = { redirect_uri: 'https://elsewhere.example.net/callback' };
    await refused(loginUrl(wiki, elsewhere), 400, 'You would not come back to Wiki', 'application-redirect');

    const api = (method, body) => call(publicUrl, adminToken, `/gitpod.v1.${method}`, body);
    const { group } = await api('GroupService/CreateGroup', { organizationId: initech.id, name: 'Payroll' });
    const register1 = (settings) => register(adminToken, { ...settings, groupIds: [group.id] });
    const payroll = await startApplication('Payroll', publicUrl, register1);
    ends.push(payroll.close);
    await signIn(page, wiki, BARBARA);
    await refused(loginUrl(payroll), 403, 'You may not use Payroll', 'application-groups');
    await page.getByRole('link', { name: 'Back to Payroll' }).click();
    await page.getByRole('heading', { name: /Payroll: failed: .*access_denied/ }).waitFor();

    const subject = { id: (await initech.member(BARBARA)).userId, principal: 'PRINCIPAL_USER' };
    await api('GroupService/CreateMembership', { groupId: group.id, subject });
    await page.goto(loginUrl(payroll));
    assert.deepEqual((await arrived(page, payroll)).claims.groups, ['Payroll']);
  });

  test('an answer travels in a form, with scripts and without', async () => {
    const page = await newPage();
    await signIn(page, wiki, BARBARA);
    await page.goto(loginUrl(wiki, { response_mode: 'form_post' }));
    assert.equal((await arrived(page, wiki)).claims.email, BARBARA);

    // The browser stays on the page, as it does while the application is slow.
    await page.route(`${wiki.url}/callback`, (route) => route.fulfill({ status: 204 }));
    await page.goto(loginUrl(wiki, { response_mode: 'form_post' }), { waitUntil: 'commit' });
    await heading(page, 'One moment').waitFor();
    await inspect(page, 'form-post');

    const plain = await newPage({ javaScriptEnabled: false });
    await signIn(plain, board, BARBARA);
    await plain.goto(loginUrl(wiki, { response_mode: 'form_post' }));
    await plain.getByRole('button', { name: 'Go on' }).click();
    assert.equal((await arrived(plain, wiki)).claims.email, BARBARA);
  });

  test('an operator sees how all organizations are, and goes to one', async () => {
    const page = await newPage();
    await page.goto(`${publicUrl}/console/token`);
    await page.getByLabel('Token').fill(operatorToken);
    await page.getByRole('button', { name: 'Continue' }).click();
    await heading(page, 'Organizations').waitFor();
    const row = (name) => page.getByRole('row', { name: new RegExp(`^${name} `) });
    await row('Initech').getByText('Works').waitFor();
    await row('Hooli').getByText('No provisioning').waitFor();
    await inspect(page, 'console-organizations');
    await page.getByRole('link', { name: 'Change the brand' }).click();
    await heading(page, 'Brand').waitFor();
    await inspect(page, 'console-organizations-brand');
    await page.goto(`${publicUrl}/console/organizations`);
    await page.getByRole('link', { name: 'Hooli' }).click();
    await page.waitForURL(`${publicUrl}/console/${hooli.id}`);
    await heading(page, 'Overview').waitFor();
  });
});
