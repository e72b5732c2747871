// The package oidc-provider, with the pages that it comes with, and clients that ask for what few ask for.

import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import http from 'node:http';
import { before, describe, test } from 'node:test';
import Provider from 'oidc-provider';
import { freePort, listen } from './rollcall.mjs';
import { ADA, MALLORY, PASSWORD, SignIn, atTheEnd, startBrowser, startRollcall } from './sign-in.mjs';

const CLIENT_SECRET = 'a+b/c%20d:e=, and long enough for HS512, which nobody shall use';
const ALGORITHMS = ['RS256', 'RS512', 'PS256', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'];
/** Claims that nobody uses, of types that they should not have: what the client `odd` is told. */
const ODD = {
  address: 'Ockham Park',
  birthdate: 1815,
  locale: ['en'],
  phone_number: 441483,
  phone_number_verified: 'no',
  updated_at: '2026-11-29T10:00:00Z',
  zoneinfo: null,
};

/** What makes each client special. */
const CLIENTS = {
  rollcall: {},
  ...Object.fromEntries(ALGORITHMS.map((alg) => [alg, { id_token_signed_response_alg: alg }])),
  ...Object.fromEntries(ALGORITHMS.map((alg) => [`userinfo-${alg}`, { userinfo_signed_response_alg: alg }])),
  odd: {},
  pairwise: { subject_type: 'pairwise' },
  'auth-time': { require_auth_time: true, default_max_age: 3600, default_acr_values: ['urn:mace:incommon:iap:silver'] },
  encrypted: { id_token_encrypted_response_alg: 'dir', id_token_encrypted_response_enc: 'A128CBC-HS256' },
  par: { require_pushed_authorization_requests: true },
  hs256: { id_token_signed_response_alg: 'HS256' },
  'https://rollcall.example.com/b:c': {},
  post: { token_endpoint_auth_method: 'client_secret_post' },
};

let server, browser, people, issuer;

before(async () => {
  [server, browser] = await Promise.all([startRollcall(), startBrowser()]);
  issuer = await startProvider(await freePort(), CLIENTS);
  people = new SignIn(server, browser, logIn);
});

async function startProvider(port, clients, more = {}) {
  const url = `http://127.0.0.1:${port}`;
  const provider = new Provider(url, {
    clients: Object.entries(clients).map(([client_id, settings]) => ({
      client_id,
      client_secret: CLIENT_SECRET,
      redirect_uris: [server.redirectUri],
      ...settings,
    })),
    ...more,
    acrValues: ['urn:mace:incommon:iap:silver'],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', ...Object.keys(ODD)] },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    enabledJWA: {
      idTokenSigningAlgValues: [...ALGORITHMS, 'HS256'],
      userinfoSigningAlgValues: ALGORITHMS,
      idTokenEncryptionAlgValues: ['dir'],
    },
    features: {
      encryption: { enabled: true },
      jwtUserinfo: { enabled: true },
      rpInitiatedLogout: { enabled: false },
    },
    jwks: { keys: ['RS256', 'ES256', 'ES384', 'ES512', 'EdDSA'].map(signingKey) },
    pairwiseIdentifier: (_, accountId, client) => `${accountId} for ${client.clientId}`,
    subjectTypes: ['public', 'pairwise'],
    ttl: { AccessToken: 300, AuthorizationCode: 60, Grant: 3600, IdToken: 300, Interaction: 600, Session: 3600 },
    findAccount: ({ oidc }, email) => {
      const person = [ADA, MALLORY].find((person) => person.email === email);
      return (
        person && {
          accountId: email,
          claims: () => ({ sub: email, email_verified: true, ...person, ...(oidc.client?.clientId === 'odd' && ODD) }),
        }
      );
    },
  });
  provider.on('server_error', (_, error) => console.error('The provider failed:', error));
  atTheEnd(await listen(http.createServer(provider.callback()), port));
  return url;
}

function signingKey(alg) {
  const [type, namedCurve] = {
    RS256: ['rsa'],
    ES256: ['ec', 'P-256'],
    ES384: ['ec', 'P-384'],
    ES512: ['ec', 'P-521'],
    EdDSA: ['ed25519'],
  }[alg];
  const { privateKey } = generateKeyPairSync(type, { modulusLength: 2048, namedCurve });
  return { ...privateKey.export({ format: 'jwk' }), use: 'sig', kid: randomBytes(4).toString('hex') };
}

/** The pages that the package has for development: any password, then what the client may see. */
async function logIn(page, { email }) {
  const name = page.getByPlaceholder(/login/i);
  const go = page.getByRole('button', { name: 'Continue' });
  await name.or(go).first().waitFor();
  if (await name.count()) {
    await name.fill(email);
    await page.getByPlaceholder(/password/i).fill(PASSWORD);
    await page.getByRole('button', { name: /sign-in/i }).click();
  }
  await go.click();
}

const configure = (clientId, changes) => server.configure(issuer, clientId, CLIENT_SECRET, changes);

test('oidc-provider: the whole way', async () => {
  const sso = await configure('rollcall');
  await server.assertGood(sso);
  await people.wholeWay(sso);
});

describe('oidc-provider: clients that people register', () => {
  let page;
  before(async () => {
    page = await browser.newPage();
  });
  const kept = ['encrypted', 'par', 'hs256', 'rollcall'];
  for (const clientId of Object.keys(CLIENTS).filter((id) => !kept.includes(id))) {
    test(clientId, async () => {
      const sso = await configure(clientId);
      await people.succeeds(sso, ADA, page);
    });
  }

  const reasons = {
    encrypted: /^id_token: .*encrypted/,
    par: /^authorization: .*invalid_request/,
    hs256: /^id_token: .*is not signed as it must be/,
  };
  for (const [clientId, reason] of Object.entries(reasons)) {
    test(`${clientId}: is refused, and why`, async (t) => {
      const said = await people.isRefused(await configure(clientId), ADA, page);
      t.diagnostic(said);
      assert.match(said, reason);
    });
  }
});

test('oidc-provider: one that takes private_key_jwt alone', async () => {
  const port = await freePort();
  // The address of the key has the id of the configuration in it, which is there before the client.
  const sso = await server.configure(`http://127.0.0.1:${port}`, 'signed', CLIENT_SECRET);
  const jwks_uri = server.jwksUri(sso);
  const signed = { token_endpoint_auth_method: 'private_key_jwt', jwks_uri, client_secret: undefined };
  await startProvider(port, { signed }, {
    clientAuthMethods: ['private_key_jwt'],
    // Its own way out reads no keys at loopback addresses, where this Rollcall is.
    fetch: (url, { dispatcher, ...options }) => fetch(url, options),
  });
  await server.assertGood(sso);
  await people.succeeds(sso);
});
