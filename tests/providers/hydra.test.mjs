// Ory Hydra, which leaves people, passwords and consent to an application: here, a form.

import assert from 'node:assert/strict';
import http from 'node:http';
import { text } from 'node:stream/consumers';
import { before, describe, test } from 'node:test';
import { freePort, listen } from './rollcall.mjs';
import { ADA, MALLORY, PASSWORD, SignIn, atTheEnd, startBrowser, startProgram, startRollcall } from './sign-in.mjs';

const { HYDRA_BIN } = process.env;
const CLIENT_SECRET = 'a+b/c%20d:e=ü&';
const SCOPES = ['openid', 'email', 'profile', 'offline_access', 'groups'];

let hydra, server, browser, people;
/** What the application has Hydra put into ID tokens beside address and name. */
let more = {};
/** Whether it has Hydra put address and name there. */
let isInIdToken = true;

before(async () => {
  [server, browser] = await Promise.all([startRollcall(), startBrowser()]);
  hydra = await startHydra();
  people = new SignIn(server, browser, logIn);
});

async function startHydra() {
  const [port, adminPort, appPort] = [await freePort(), await freePort(), await freePort()];
  const issuer = `http://127.0.0.1:${port}`;
  const app = `http://127.0.0.1:${appPort}`;
  const administration = `http://127.0.0.1:${adminPort}/admin`;
  await startProgram('hydra', HYDRA_BIN, ['serve', 'all', '--dev', '--sqa-opt-out'], {
    env: {
      DSN: 'memory',
      SECRETS_SYSTEM: 'a secret of the tests that is long enough',
      OIDC_SUBJECT_IDENTIFIERS_SUPPORTED_TYPES: 'public,pairwise',
      OIDC_SUBJECT_IDENTIFIERS_PAIRWISE_SALT: 'some salt of the tests',
      SERVE_PUBLIC_HOST: '127.0.0.1',
      SERVE_PUBLIC_PORT: String(port),
      SERVE_ADMIN_HOST: '127.0.0.1',
      SERVE_ADMIN_PORT: String(adminPort),
      URLS_SELF_ISSUER: issuer,
      URLS_LOGIN: `${app}/login`,
      URLS_CONSENT: `${app}/consent`,
    },
    ready: `${issuer}/health/ready`,
  });

  async function admin(method, path, body) {
    const answer = await fetch(administration + path, {
      method,
      headers: { 'Content-Type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${await answer.clone().text()}`);
    return answer.json();
  }

  async function answer(request) {
    const url = new URL(request.url, app);
    const challenge = url.searchParams.get(`${url.pathname.slice(1)}_challenge`);
    const accept = (kind, body) =>
      admin('PUT', `/oauth2/auth/requests/${kind}/accept?${kind}_challenge=${encodeURIComponent(challenge)}`, body);
    if (url.pathname === '/consent') {
      const asked = await admin(
        'GET',
        `/oauth2/auth/requests/consent?consent_challenge=${encodeURIComponent(challenge)}`,
      );
      const { email, name } = asked.context;
      const claims = { email, email_verified: true, name };
      return accept('consent', {
        grant_scope: asked.requested_scope,
        session: isInIdToken ? { id_token: { ...claims, ...more } } : { id_token: more, access_token: {} },
      });
    }
    if (request.method === 'GET') return undefined;
    const form = new URLSearchParams(await text(request));
    const person = [ADA, MALLORY].find(({ email }) => email === form.get('email'));
    assert.equal(form.get('password'), PASSWORD);
    return accept('login', { subject: `subject of ${person.email}`, context: person, amr: ['pwd'], acr: '1' });
  }
  const application = http.createServer(async (request, response) => {
    try {
      const next = await answer(request);
      if (next) response.writeHead(303, { location: next.redirect_to }).end();
      else response.writeHead(200, { 'content-type': 'text/html' }).end(FORM);
    } catch (error) {
      console.error(error);
      response.writeHead(500).end();
    }
  });
  atTheEnd(await listen(application, appPort));
  return {
    issuer,
    /** Registers a client; returns its id. */
    async register(changes = {}) {
      const { client_id: id } = await admin('POST', '/clients', {
        client_secret: CLIENT_SECRET,
        grant_types: ['authorization_code', 'refresh_token'],
        redirect_uris: [server.redirectUri],
        response_types: ['code'],
        scope: SCOPES.join(' '),
        token_endpoint_auth_method: 'client_secret_basic',
        ...changes,
      });
      return id;
    },
    /** A new key for ID tokens, which signs from now on. */
    rotate: () => admin('POST', '/keys/hydra.openid.id-token', { alg: 'RS256', kid: 'new', use: 'sig' }),
  };
}

const FORM = `<!doctype html>
<html lang="en"><title>Accounts</title>
<form method="post">
  <label>Email <input name="email"></label>
  <label>Password <input name="password" type="password"></label>
  <button>Log in</button>
</form>`;

async function logIn(page, { email }) {
  await page.getByLabel('Email').fill(email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button').click();
}

const configure = async (changes, configuration) =>
  server.configure(hydra.issuer, await hydra.register(changes), CLIENT_SECRET, configuration);

test('Hydra: the whole way', async () => {
  const sso = await configure();
  await server.assertGood(sso, { doubtful: [/scopes: the provider does not list email profile/] });
  await people.wholeWay(sso);
});

describe('Hydra: clients that people register', () => {
  const clients = {
    'pairwise subjects': { subject_type: 'pairwise' },
    'the userinfo as a JWT': { userinfo_signed_response_alg: 'RS256' },
    'access tokens that are JWTs': { access_token_strategy: 'jwt' },
    'a client id that is a URL': { client_id: 'https://rollcall.example.com/b:c' },
  };
  for (const [name, client] of Object.entries(clients)) {
    test(name, async () => {
      const { page } = await people.succeeds(await configure(client));
      await page.context().close();
    });
  }

  test('scopes beyond what is needed', async () => {
    const sso = await configure({}, { additionalScopes: ['offline_access', 'groups'] });
    assert.deepEqual(
      (await server.check(sso)).filter((line) => line.startsWith('BAD')),
      [],
    );
    await people.succeeds(sso);
  });

  test('a scope that the client may not ask for', async () => {
    const sso = await configure({ scope: 'openid email' });
    assert.match(await people.isRefused(sso), /^authorization: .*invalid_scope/);
  });

  test('the client secret in the body alone', async (t) => {
    const sso = await configure({ token_endpoint_auth_method: 'client_secret_post' });
    t.diagnostic((await server.check(sso)).find((line) => / client: /.test(line)));
    await people.succeeds(sso);
  });
});

describe('Hydra: what the application puts into ID tokens', () => {
  const claims = {
    'claims of odd types': {
      amr: 'pwd',
      acr: 1,
      auth_time: 'today',
      address: 'Ockham Park',
      birthdate: 1815,
      locale: ['en'],
      phone_number: 441483,
      phone_number_verified: 'no',
      updated_at: '2026-11-29T10:00:00Z',
      zoneinfo: null,
      middle_name: ['King', 'Noel'],
    },
    'email_verified as a text': { email_verified: 'TRUE' },
  };
  for (const [name, added] of Object.entries(claims)) {
    test(name, async (t) => {
      more = added;
      t.after(() => (more = {}));
      const { page } = await people.succeeds(await configure());
      await page.context().close();
    });
  }

  test('nothing: no address can be had', async (t) => {
    isInIdToken = false;
    t.after(() => (isInIdToken = true));
    assert.match(await people.isRefused(await configure()), /^email: the provider sends no address/);
  });
});

test('Hydra: a new key between two sign-ins', async () => {
  const sso = await configure();
  const before = await people.succeeds(sso);
  await hydra.rotate();
  const after = await people.succeeds(sso);
  assert.equal(after.user.id, before.user.id);
});
