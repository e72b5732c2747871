// Dex, with people and passwords of its own.

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

const { DEX_BIN } = process.env;
const CLIENT_SECRET = 'a+b/c%20d:e=';
/** Everybody of another client's people: an application that the first one may ask tokens for. */
const PEER = 'peer';

let server, browser, people;

before(async () => {
  [server, browser] = await Promise.all([startRollcall(), startBrowser()]);
  people = new SignIn(server, browser, logIn);
});

/** Starts a Dex; returns its issuer. */
async function startDex(name, algorithm) {
  const port = await freePort();
  // As its documentation has it: at a path.
  const issuer = `http://127.0.0.1:${port}/dex`;
  const file = join(temporaryFolder(), 'dex.json');
  const configuration = {
    issuer,
    algorithm,
    clients: [
      { id: 'rollcall', name: 'Rollcall', secret: CLIENT_SECRET, redirectURIs: [server.redirectUri] },
      { id: PEER, name: 'A peer', secret: 'unused', redirectURIs: [], trustedPeers: ['rollcall'] },
    ],
    people: [ADA, MALLORY].map(({ email, name }, i) => ({
      email,
      name,
      username: name,
      userID: `${i}`,
      secret: PASSWORD,
    })),
  };
  writeFileSync(file, JSON.stringify(configuration));
  await startProgram(name, DEX_BIN, [file, `127.0.0.1:${port}`], {
    ready: `${issuer}/.well-known/openid-configuration`,
  });
  return issuer;
}

/** Dex's pages: the password, then what the application may see. */
async function logIn(page, { email }) {
  const name = page.getByPlaceholder(/email address/i);
  await name.fill(email);
  await page.getByPlaceholder(/password/i).fill(PASSWORD);
  await page.getByRole('button', { name: /login/i }).click();
  await page.getByRole('button', { name: /grant access/i }).click();
}

test('Dex: the whole way', async () => {
  const sso = await server.configure(await startDex('dex-rs256', 'RS256'), 'rollcall', CLIENT_SECRET);
  await server.assertGood(sso);
  await people.wholeWay(sso);
});

test('Dex: ES256, and a token for several clients', async () => {
  const issuer = await startDex('dex-es256', 'ES256');
  const additionalScopes = [
    'groups',
    'federated:id',
    `audience:server:client_id:${PEER}`,
    'audience:server:client_id:rollcall',
  ];
  const sso = await server.configure(issuer, 'rollcall', CLIENT_SECRET, { additionalScopes });
  assert.deepEqual(
    (await server.check(sso)).filter((line) => line.startsWith('BAD')),
    [],
  );
  await people.succeeds(sso);
});
