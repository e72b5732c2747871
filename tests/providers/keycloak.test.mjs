// Keycloak, set up over its admin API as an administrator does in its console.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { freePort } from './rollcall.mjs';
import { ADA, MALLORY, PASSWORD, SignIn, startBrowser, startProgram, startRollcall } from './sign-in.mjs';

const { KEYCLOAK_HOME } = process.env;
const REALM = 'Acme Corp';
/** Somebody whose account has no address. */
const NOBODY = { email: 'nobody', name: 'No Body', givenName: 'No', familyName: 'Body' };
const CLIENT_ID = 'https://rollcall.example.com/ä:b c';
const CLIENT_SECRET = 'a+b/c%20d:e=ü&';
const KEYS = 'org.keycloak.keys.KeyProvider';
const CURVES = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };

let keycloak, server, browser, people, issuer, sso, page;

before(async () => {
  [keycloak, server, browser] = await Promise.all([startKeycloak(), startRollcall(), startBrowser()]);
  issuer = `${keycloak.url}/realms/${encodeURIComponent(REALM)}`;
  await keycloak.admin('POST', '', {
    realm: REALM,
    enabled: true,
    // The tests need no strong hashes, but time.
    passwordPolicy: 'hashAlgorithm(pbkdf2-sha256) and hashIterations(1)',
    users: [ADA, MALLORY, NOBODY].map((person) => ({
      username: person.email,
      ...(person !== NOBODY && { email: person.email, emailVerified: true }),
      firstName: person.givenName,
      lastName: person.familyName,
      enabled: true,
      realmRoles: ['offline_access'],
      credentials: [{ type: 'password', value: PASSWORD, temporary: false }],
    })),
    clients: [client()],
  });
  await keycloak.makeKeys(['RS512', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA']);
  people = new SignIn(server, browser, logIn);
  sso = await server.configure(issuer, CLIENT_ID, CLIENT_SECRET);
  page = await browser.newPage();
});

/** The client with other settings, through which Ada signs in where Keycloak knows her. */
async function signsInWith(changes, attributes) {
  await keycloak.setClient(client(changes, attributes));
  return people.succeeds(sso, ADA, page);
}

/** A client of its own with its configuration in Rollcall; returns the configuration's id. */
async function another(clientId, configuration, changes = {}, attributes = {}) {
  await keycloak.setClient(client({ clientId, ...changes }, attributes));
  return server.configure(issuer, clientId, CLIENT_SECRET, configuration);
}

/** The client as the console makes it: confidential, with the standard flow alone. */
const client = (changes = {}, attributes = {}) => ({
  clientId: CLIENT_ID,
  secret: CLIENT_SECRET,
  protocol: 'openid-connect',
  publicClient: false,
  standardFlowEnabled: true,
  directAccessGrantsEnabled: false,
  redirectUris: [server.redirectUri],
  ...changes,
  attributes: { 'pkce.code.challenge.method': 'S256', ...attributes },
});

/** The page of Keycloak that asks for name and password. */
async function logIn(page, { email }) {
  const name = page.getByLabel(/username or email/i);
  await name.waitFor();
  if (email.includes('@example.com'))
    assert.equal(await name.inputValue(), email, 'Keycloak was not told whom to expect');
  await name.fill(email);
  await page.locator('#password').fill(PASSWORD);
  await page.getByRole('button', { name: /sign in/i }).click();
}

test('Keycloak: the whole way', async () => {
  await server.assertGood(sso);
  await people.wholeWay(sso);
});

test('Keycloak: what the console can switch on', async (t) => {
  const settings = {
    'ID tokens signed with RS512': { 'id.token.signed.response.alg': 'RS512' },
    'ID tokens signed with PS256': { 'id.token.signed.response.alg': 'PS256' },
    'ID tokens signed with ES256': { 'id.token.signed.response.alg': 'ES256' },
    'ID tokens signed with ES384': { 'id.token.signed.response.alg': 'ES384' },
    'ID tokens signed with ES512': { 'id.token.signed.response.alg': 'ES512' },
    'ID tokens signed with EdDSA': { 'id.token.signed.response.alg': 'EdDSA' },
    'lightweight access tokens': { 'client.use.lightweight.access.token.enabled': 'true' },
    'access tokens with typ at+jwt': { 'access.token.header.type.rfc9068': 'true' },
    'the client secret in the header alone': { 'client.secret.authentication.allowed.method': 'client_secret_basic' },
    'the client secret in the body alone': { 'client.secret.authentication.allowed.method': 'client_secret_post' },
    'no session state in the answer': { 'exclude.session.state.from.auth.response': 'true' },
    'token_type bearer, with a small b': { 'token.response.type.bearer.lower-case': 'true' },
  };
  for (const [name, attributes] of Object.entries(settings)) {
    await t.test(name, async () => {
      await signsInWith({}, attributes);
    });
  }
});

test('Keycloak: a client with "Signed Jwt", though Keycloak offers secrets, too', async () => {
  const attributes = { 'use.jwks.url': 'true', 'jwks.url': server.jwksUri(sso) };
  await signsInWith({ clientAuthenticatorType: 'client-jwt' }, attributes);
});

test('Keycloak: the userinfo, where the ID token has neither address nor name', async (t) => {
  await keycloak.claimsInIdToken(false);
  t.after(() => keycloak.claimsInIdToken(true));
  for (const alg of [undefined, 'RS256', 'PS256', 'ES256', 'ES384', 'EdDSA']) {
    await t.test(alg ? `a JWT signed with ${alg}` : 'JSON', async () => {
      await signsInWith({}, alg && { 'user.info.response.signature.alg': alg });
    });
  }

  const lightweight = { 'client.use.lightweight.access.token.enabled': 'true' };
  await t.test('lightweight access tokens, with which it may be asked', async () => {
    await signsInWith({}, { ...lightweight, 'allow.userinfo.with.lightweight.access.token': 'true' });
  });
  await t.test('lightweight access tokens, with which it may not be asked', async (t) => {
    await keycloak.setClient(client({}, lightweight));
    const said = await people.isRefused(sso, ADA, page);
    t.diagnostic(said);
    assert.match(said, /^userinfo: /);
  });
});

test('Keycloak: mappers that people add', async (t) => {
  const mapper = (name, protocolMapper, config) => ({
    name,
    protocol: 'openid-connect',
    protocolMapper,
    config: { 'id.token.claim': 'true', 'access.token.claim': 'true', 'userinfo.token.claim': 'true', ...config },
  });
  const audience = (name) => mapper(name, 'oidc-audience-mapper', { 'included.custom.audience': name });
  const hardcoded = (name, value, type) =>
    mapper(name, 'oidc-hardcoded-claim-mapper', { 'claim.name': name, 'claim.value': value, 'jsonType.label': type });
  const cases = {
    'several audiences': [audience('wiki'), audience('tracker')],
    'claims of odd types that nobody asked for': [
      hardcoded('amr', 'pwd', 'String'),
      hardcoded('acr', '1', 'int'),
      hardcoded('address', 'Ockham Park', 'String'),
      hardcoded('phone_number', '441483', 'long'),
      hardcoded('locale', '{"language": "en"}', 'JSON'),
      hardcoded('updated_at', '2026-11-29T10:00:00Z', 'String'),
      hardcoded('zoneinfo', '[]', 'JSON'),
      hardcoded('birthdate', '1815', 'int'),
      hardcoded('phone_number_verified', 'no', 'String'),
    ],
    'email_verified as a text': [hardcoded('email_verified', 'True', 'String')],
    'the realm roles': [
      mapper('roles', 'oidc-usermodel-realm-role-mapper', { 'claim.name': 'roles', multivalued: 'true' }),
    ],
  };
  for (const [name, protocolMappers] of Object.entries(cases)) {
    await t.test(name, async () => {
      await signsInWith({ protocolMappers });
    });
  }
  await t.test('the address as a list of one', async () => {
    const emails = mapper('emails', 'oidc-usermodel-attribute-mapper', {
      'user.attribute': 'email',
      'claim.name': 'emails',
      'jsonType.label': 'String',
      multivalued: 'true',
    });
    const mapped = await another('mapped', { claims: { email: 'emails' } }, { protocolMappers: [emails] });
    await people.succeeds(mapped, ADA, page);
  });
});

test('Keycloak: scopes with claims of every kind', async () => {
  const more = await another('more', { additionalScopes: ['address', 'phone', 'offline_access', 'microprofile-jwt'] });
  await server.assertGood(more);
  await people.succeeds(more, ADA, page);
});

test('Keycloak: new keys between two sign-ins', async () => {
  const before = await signsInWith();
  await keycloak.rotate();
  const { user } = await people.succeeds(sso, ADA, page);
  assert.equal(user.id, before.user.id);
});

test('Keycloak: consent, given and refused', async () => {
  await keycloak.setClient(client({ consentRequired: true }));
  const answer = (name) => new SignIn(server, browser, (page) => page.getByRole('button', { name }).click());
  assert.match(await answer('No').isRefused(sso, ADA, page), /^authorization: .*access_denied/);
  await answer('Yes').succeeds(sso, ADA, page);
});

describe('Keycloak: what keeps people out, and says so', () => {
  test('a wrong secret', async () => {
    const wrong = await another('wrong', {}, { secret: 'another' });
    assert.ok((await server.check(wrong)).some((line) => line.startsWith('BAD client: ')));
    assert.match(await people.isRefused(wrong, ADA, page), /^code: .*(invalid|unauthorized)_client/);
  });

  test('an account without an address', async () => {
    await keycloak.setClient(client());
    // Keycloak itself asks for what is missing, unless that is switched off.
    await keycloak.disableAction('VERIFY_PROFILE');
    assert.match(await people.isRefused(sso, NOBODY), /^email: the provider sends no address/);
  });

  test('another realm', async () => {
    const other = await server.configure(`${keycloak.url}/realms/nowhere`, CLIENT_ID, CLIENT_SECRET);
    assert.ok((await server.check(other)).some((line) => /^BAD provider: .*404/.test(line)));
  });

  test('a person whom the administrator disabled', async () => {
    await keycloak.setClient(client());
    await keycloak.disable(MALLORY.email);
    const stranger = await browser.newPage();
    await stranger.goto(server.startUrl(sso));
    await logIn(stranger, MALLORY);
    await stranger
      .getByText(/account is disabled/i)
      .first()
      .waitFor();
    await stranger.context().close();
  });

  test('a client with "Signed Jwt" that does not know the key', async (t) => {
    await keycloak.setClient(client({ clientAuthenticatorType: 'client-jwt' }));
    const said = await people.isRefused(sso, ADA, page);
    t.diagnostic(said);
    assert.match(said, /^code: .*(invalid|unauthorized)_client/);
  });

  const keepOut = {
    'pushed authorization requests': [
      { 'require.pushed.authorization.requests': 'true' },
      /^authorization: .*invalid_request/,
    ],
    'no issuer in the answer, though the metadata promises it': [
      { 'exclude.issuer.from.auth.response': 'true' },
      /^issuer: the answer does not name its provider/,
    ],
    DPoP: [{ 'dpop.bound.access.tokens': 'true' }, /^code: .*invalid/],
    'ID tokens signed with HS256': [
      { 'id.token.signed.response.alg': 'HS256' },
      /^id_token: .*is not signed as it must be/,
    ],
  };
  for (const [name, [attributes, reason]] of Object.entries(keepOut)) {
    test(name, async (t) => {
      await keycloak.setClient(client({}, attributes));
      const said = await people.isRefused(sso, ADA, page);
      t.diagnostic(said);
      assert.match(said, reason);
    });
  }
});

/** A Keycloak, and what its administrator does. */
async function startKeycloak() {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const [username, password] = ['admin', 'an administrator of the tests'];
  const options = [
    '--optimized',
    '--cache=local',
    '--http-enabled=true',
    '--http-host=127.0.0.1',
    `--http-port=${port}`,
    `--hostname=${url}`,
  ];
  await startProgram('keycloak', join(KEYCLOAK_HOME, 'bin/kc.sh'), ['start', ...options], {
    env: {
      // A start counts more than what comes after it.
      JAVA_OPTS_APPEND: '-XX:TieredStopAtLevel=1',
      KC_BOOTSTRAP_ADMIN_USERNAME: username,
      KC_BOOTSTRAP_ADMIN_PASSWORD: password,
    },
    ready: `${url}/realms/master`,
  });

  let token,
    until = 0;
  async function authenticate() {
    const answer = await fetch(`${url}/realms/master/protocol/openid-connect/token`, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'password', client_id: 'admin-cli', username, password }),
    });
    ({ access_token: token } = await answer.json());
    until = performance.now() + 30_000;
  }

  async function admin(method, path, body) {
    if (performance.now() > until) await authenticate();
    const done = await fetch(`${url}/admin/realms${path}`, {
      method,
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    const text = await done.text();
    assert.ok(done.ok, `${method} ${path}: ${done.status} ${text}`);
    return text && JSON.parse(text);
  }
  const realm = `/${encodeURIComponent(REALM)}`;

  const addKey = (name, providerId, config) =>
    admin('POST', `${realm}/components`, { name, providerId, providerType: KEYS, config });

  return {
    url,
    admin,
    /** Makes the client anew, so that nothing of before is left. */
    async setClient(representation) {
      const found = await admin('GET', `${realm}/clients?clientId=${encodeURIComponent(representation.clientId)}`);
      for (const { id } of found) await admin('DELETE', `${realm}/clients/${id}`);
      await admin('POST', `${realm}/clients`, representation);
    },
    /** Whether address and name are in ID tokens, beside the userinfo. */
    async claimsInIdToken(are) {
      const scopes = await admin('GET', `${realm}/client-scopes`);
      for (const { id, name, protocolMappers } of scopes) {
        if (!['email', 'profile'].includes(name)) continue;
        for (const mapper of protocolMappers) {
          mapper.config['id.token.claim'] = String(are);
          await admin('PUT', `${realm}/client-scopes/${id}/protocol-mappers/models/${mapper.id}`, mapper);
        }
      }
    },
    /** Switches off what Keycloak demands of people after they logged in. */
    disableAction: (alias) =>
      admin('PUT', `${realm}/authentication/required-actions/${alias}`, { alias, enabled: false }),
    async disable(username) {
      const [user] = await admin('GET', `${realm}/users?exact=true&username=${encodeURIComponent(username)}`);
      await admin('PUT', `${realm}/users/${user.id}`, { ...user, enabled: false });
    },
    /** Keys beside those for RS256. Without, Keycloak makes one when the first token needs it. */
    async makeKeys(algorithms) {
      for (const algorithm of algorithms) {
        const [providerId, config] = algorithm.startsWith('ES')
          ? ['ecdsa-generated', { ecdsaEllipticCurveKey: [CURVES[algorithm]] }]
          : algorithm === 'EdDSA'
            ? ['eddsa-generated', { eddsaEllipticCurveKey: ['Ed25519'] }]
            : ['rsa-generated', { algorithm: [algorithm] }];
        await addKey(algorithm, providerId, config);
      }
    },
    /** A new key for RS256; the one of before is gone. */
    async rotate() {
      const old = await admin('GET', `${realm}/components?type=${KEYS}`);
      await addKey('new', 'rsa-generated', { priority: ['200'] });
      const { id } = old.find(({ name }) => name === 'rsa-generated');
      await admin('DELETE', `${realm}/components/${id}`);
    },
  };
}
