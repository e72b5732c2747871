// Canaille, with its own pages.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { freePort } from './rollcall.mjs';
import {
  ADA,
  MALLORY,
  PASSWORD,
  SignIn,
  startBrowser,
  startProgram,
  startRollcall,
  temporaryFolder,
} from './sign-in.mjs';

const { CANAILLE_PYTHON, CANAILLE_PROGRAM } = process.env;
const CLIENT_SECRET = 'a+b/c%20d:e=';

/** What makes each client special. */
const CLIENTS = {
  es256: { id_token_signed_response_alg: 'ES256' },
  'userinfo-es256': { userinfo_signed_response_alg: 'ES256' },
};

/** Canaille does not say whether addresses are verified: each configuration has a person of its own, so that nobody has to be recognised. */
const personOf = (clientId) => ({
  email: `${clientId}@example.com`,
  name: `Somebody ${clientId}`,
  givenName: 'Somebody',
  familyName: clientId,
});

let issuer, server, browser, people;

before(async () => {
  [server, browser] = await Promise.all([startRollcall(), startBrowser()]);
  people = new SignIn(server, browser, logIn);
  const port = await freePort();
  issuer = `http://127.0.0.1:${port}`;
  const file = join(temporaryFolder(), 'canaille.json');
  const client = ([client_id, more]) => ({
    client_id,
    client_name: client_id,
    client_secret: CLIENT_SECRET,
    redirect_uris: [server.redirectUri],
    grant_types: ['authorization_code'],
    response_types: ['code'],
    scope: ['openid', 'email', 'profile', 'address', 'phone', 'groups'],
    token_endpoint_auth_method: 'client_secret_basic',
    ...more,
  });
  const person = ({ email, name, givenName, familyName }) => ({
    user_name: email.split('@')[0],
    password: PASSWORD,
    emails: [email],
    formatted_name: name,
    given_name: givenName,
    family_name: familyName,
    // It becomes the claim address, as a text.
    formatted_address: 'Ockham Park',
    phone_numbers: ['441483'],
    preferred_language: 'en',
  });
  const configuration = {
    clients: Object.entries({
      rollcall: {},
      more: {},
      post: { token_endpoint_auth_method: 'client_secret_post' },
      audiences: { audience: ['rollcall', 'more'] },
      ...CLIENTS,
    }).map(client),
    people: [ADA, MALLORY, ...['more', 'post', 'audiences', ...Object.keys(CLIENTS)].map(personOf)].map(person),
  };
  writeFileSync(file, JSON.stringify(configuration));
  await startProgram('canaille', CANAILLE_PYTHON, ['-B', CANAILLE_PROGRAM, file, String(port)], {
    ready: `${issuer}/.well-known/openid-configuration`,
  });
});

/** Canaille's pages: the name, the password, then what the application may see. */
async function logIn(page, { email }) {
  const name = page.getByLabel('Login');
  const agree = page.getByRole('button', { name: /accept/i });
  await name.or(agree).first().waitFor();
  if (await name.count()) {
    await name.fill(email.split('@')[0]);
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.locator('#password').fill(PASSWORD);
    await page.locator('button[type=submit]').last().click();
  }
  const isBack = page.waitForURL(`${server.url}/**`);
  await Promise.race([agree.click().catch(() => {}), isBack]);
}

test('Canaille: the whole way', async () => {
  const sso = await server.configure(issuer, 'rollcall', CLIENT_SECRET);
  await server.assertGood(sso);
  await people.wholeWay(sso);
});

for (const clientId of Object.keys(CLIENTS)) {
  test(`Canaille: ${clientId}`, async () => {
    const sso = await server.configure(issuer, clientId, CLIENT_SECRET);
    const { page } = await people.succeeds(sso, personOf(clientId));
    await page.context().close();
  });
}

test('Canaille: address and telephone', async () => {
  const additionalScopes = ['address', 'phone', 'groups'];
  const sso = await server.configure(issuer, 'more', CLIENT_SECRET, { additionalScopes });
  await people.succeeds(sso, personOf('more'));
});

test('Canaille: several audiences, and none of them is said to have asked', async (t) => {
  const said = await people.isRefused(await server.configure(issuer, 'audiences', CLIENT_SECRET));
  t.diagnostic(said);
  assert.match(said, /^id_token: .*\(azp\)/);
});

test('Canaille: the client secret in the body alone', async () => {
  await people.succeeds(await server.configure(issuer, 'post', CLIENT_SECRET), personOf('post'));
});
