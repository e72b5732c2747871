// Django with django-oauth-toolkit.

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

const { DJANGO_PYTHON, DJANGO_PROGRAM } = process.env;
const CLIENT_SECRET = 'a+b/c%20d:e=';

let issuer, server, browser, people;

before(async () => {
  [server, browser] = await Promise.all([startRollcall(), startBrowser()]);
  people = new SignIn(server, browser, logIn);
  const port = await freePort();
  // As its tutorial has it: at a path.
  issuer = `http://127.0.0.1:${port}/o`;
  const folder = temporaryFolder();
  const file = join(folder, 'django.json');
  const client = (client_id, more) => ({
    client_id,
    client_secret: CLIENT_SECRET,
    client_type: 'confidential',
    authorization_grant_type: 'authorization-code',
    redirect_uris: server.redirectUri,
    algorithm: 'RS256',
    ...more,
  });
  writeFileSync(
    file,
    JSON.stringify({
      clients: [client('rollcall'), client('hs256', { algorithm: 'HS256', hash_client_secret: false })],
      people: [ADA, MALLORY].map(({ email, name }) => ({ email, name, password: PASSWORD })),
    }),
  );
  await startProgram('django', DJANGO_PYTHON, ['-B', DJANGO_PROGRAM, file, folder, String(port)], {
    ready: `${issuer}/.well-known/openid-configuration`,
  });
});

/** Django's form, then the toolkit's question. */
async function logIn(page, { email }) {
  const name = page.getByLabel(/username/i);
  const agree = page.getByRole('button', { name: /authorize/i }).or(page.locator('input[name=allow]'));
  await name.or(agree).first().waitFor();
  if (await name.count()) {
    await name.fill(email);
    await page.getByLabel(/password/i).fill(PASSWORD);
    await page.getByRole('button', { name: /log in/i }).click();
  }
  await agree.first().click();
}

test('Django: the whole way', async () => {
  const sso = await server.configure(issuer, 'rollcall', CLIENT_SECRET);
  await server.assertGood(sso);
  await people.wholeWay(sso);
});
