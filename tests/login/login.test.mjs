// People sign in, in a browser, with a provider.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect, tabThrough } from './pages.mjs';
import { agree, choice, ends, folder, giveAddress, newPage, organization, startServer } from './people.mjs';
import { CLIENT_IDS, CLIENT_SECRET, startProvider } from './provider.mjs';
import { freePort, gateway, listen, proxy, rollcall, rollcallAsking } from './rollcall.mjs';

const { DATABASE_URL, LOGIN_KEYS } = process.env;
const JSON_TYPE = { 'Content-Type': 'application/json' };
/** The page of an application. */
const APPLICATION = '<!doctype html><html lang="en"><title>An application</title><h1>An application</h1></html>';

// --- What applications do. ---

/** Calls the API from a page, with the cookies of the browser. */
function ask(page, method) {
  return page.evaluate(async (method) => {
    const answer = await fetch(`/gitpod.v1.${method}`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: '{}',
    });
    return { status: answer.status, body: await answer.json() };
  }, method);
}

/** Who the page is told is signed in: both calls agree. */
async function whoIs(page) {
  const identity = await ask(page, 'IdentityService/GetAuthenticatedIdentity');
  assert.equal(identity.status, 200, JSON.stringify(identity.body));
  const { status, body } = await ask(page, 'UserService/GetAuthenticatedUser');
  assert.equal(status, 200, JSON.stringify(body));
  assert.deepEqual(identity.body.subject, { id: body.user.id, principal: 'PRINCIPAL_USER' });
  assert.equal(identity.body.organizationId, body.user.organizationId);
  return body.user;
}

/** Calls a server with a cookie, as a page of `origin` would have it. */
async function askWith(cookie, url, origin) {
  const answer = await fetch(`${url}/gitpod.v1.IdentityService/GetAuthenticatedIdentity`, {
    method: 'POST',
    headers: { ...JSON_TYPE, Cookie: cookie, ...(origin && { Origin: origin }) },
    body: '{}',
  });
  await answer.arrayBuffer();
  return answer.status;
}

async function sessionCookie(page, url, name) {
  const found = (await page.context().cookies(url)).filter((cookie) => cookie.name === name);
  assert.equal(found.length, 1, `cookies named ${name}`);
  const [cookie] = found;
  return { ...cookie, header: `${cookie.name}=${cookie.value}` };
}

/** The company's CA: `ca`, the file of its certificate; `certificate()`, key and certificate of one of its servers. */
function authority() {
  const make = (name, more) => {
    const [key, cert] = ['key', 'cert'].map((kind) => join(folder, `${name}-${kind}.pem`));
    const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2';
    const subject = ['-subj', `/CN=${name} of the tests`, '-keyout', key, '-out', cert];
    execFileSync('openssl', [...request.split(' '), ...subject, ...more], { stdio: ['ignore', 'ignore', 'pipe'] });
    return { key, cert };
  };
  const ca = make('ca', []);
  const { key, cert } = make('server', [
    ...['-CA', ca.cert, '-CAkey', ca.key, '-addext', 'basicConstraints=critical,CA:FALSE'],
    ...['-addext', 'subjectAltName=DNS:*.example.com,DNS:*.example.net,IP:127.0.0.1'],
  ]);
  return { ca: ca.cert, certificate: () => ({ key: readFileSync(key), cert: readFileSync(cert) }) };
}

describe('two servers behind a proxy that ends TLS', () => {
  const ADA = 'ada@example.com';
  const GRACE = 'grace@example.com';
  const UMBRELLA = 'Umbrella & <i>Sons</i>';
  const PROXY_PASSWORD = 'proxy:hunter2';
  let publicUrl, home, application, elsewhere;
  let way;
  let servers, first, second;
  let basic, post;
  let acme, sso, scim, ada;

  before(async () => {
    const port = await freePort();
    const host = `rollcall.example.com:${port}`;
    publicUrl = `https://${host}`;
    home = `${publicUrl}/app/home?from=login&to=work`;
    // Another origin of the same site, and another site.
    application = `https://app.example.com:${port}`;
    elsewhere = `https://elsewhere.example.net:${port}`;

    // One provider is inside the company, at a private address; the other behind its proxy.
    const { ca, certificate } = authority();
    const proxyPort = await freePort();
    way = gateway(PROXY_PASSWORD);
    ends.push(await listen(way.server, proxyPort));
    const redirectUris = [`${publicUrl}/auth/oidc/callback`];
    basic = await startProvider({
      tls: certificate(),
      host: '127.0.0.1',
      redirectUris,
      claimsIn: 'userinfo',
      algorithm: 'RS256',
      clientAuth: 'client_secret_basic',
    });
    ends.push(basic.close);
    post = await startProvider({
      tls: certificate(),
      host: 'accounts.example.com',
      redirectUris,
      claimsIn: 'id_token',
      algorithm: 'ES256',
      clientAuth: 'client_secret_post',
    });
    ends.push(post.close);

    const token = rollcall(['token', 'generate']);
    const settings = {
      DATABASE_URL,
      ROLLCALL_ENCRYPTION_KEYS: LOGIN_KEYS,
      ROLLCALL_BOOTSTRAP_ORGANIZATION: 'Acme',
      ROLLCALL_BOOTSTRAP_TOKEN: token,
      ROLLCALL_PUBLIC_URL: publicUrl,
      ROLLCALL_RETURN_ORIGINS: application,
      ROLLCALL_REACHABLE: '127.0.0.0/8',
      SSL_CERT_FILE: ca,
      ROLLCALL_USE_PROXY: 'true',
      HTTPS_PROXY: `http://${PROXY_PASSWORD}@127.0.0.1:${proxyPort}`,
      NO_PROXY: '127.0.0.1',
    };
    servers = [await startServer(settings), await startServer(settings)];
    [first, second] = servers.map(({ url }) => url);
    const front = proxy({ ...certificate(), host, targets: [first, second], page: APPLICATION });
    ends.push(await listen(front, port));

    acme = await organization(first, token);
    sso = await acme.sso('Acme accounts', basic.issuer, ['example.com']);
    await acme.sso('Acme contractors', post.issuer, ['several.example']);
    await acme.sso('Flight control', post.issuer, ['strict.example'], {
      clientId: CLIENT_IDS[1],
      claimsExpression: 'claims.email_verified && "flight" in claims.groups',
    });
    await acme.sso('Nobody there', `https://127.0.0.1:${await freePort()}`, ['down.example']);
    const umbrella = rollcall(['organization', 'create', '--name', UMBRELLA], settings);
    const umbrellaToken = rollcall(['token', 'create', '--organization', umbrella], settings);
    await (await organization(first, umbrellaToken)).sso('', basic.issuer, ['several.example']);

    scim = await acme.scim(sso);
    ada = await scim.push({
      userName: ADA,
      externalId: '00u-1815',
      displayName: 'Ada Lovelace',
      emails: [{ value: ADA, primary: true }],
    });
    await scim.push({ userName: GRACE, displayName: 'Grace Hopper' });
  });

  after(async () => {
    for (const server of servers ?? []) await server.stop();
  });

  /** Signs in, in a new browser, and stands on `to`. */
  async function signIn(email, to = home, options = {}) {
    const page = await newPage(options);
    await giveAddress(page, `${publicUrl}/login?return_to=${encodeURIComponent(to)}`, email);
    await agree(page, email);
    await page.waitForURL(to);
    return page;
  }

  const cookieOf = (page) => sessionCookie(page, publicUrl, '__Host-rollcall-session');
  const recognised = async ({ header }) =>
    Promise.all([first, second].map((server) => askWith(header, server, publicUrl)));

  /**
   * Asks a server again and again with a cookie, one request at a time, until one is refused. Returns after some
   * were served, with the requests so far, which go on to be more, and the promise of the end.
   */
  async function keepAsking({ header }, server) {
    const asked = [];
    const ended = (async () => {
      for (let status = 200; status === 200;) {
        const began = performance.now();
        status = await askWith(header, server, publicUrl);
        asked.push({ began, ended: performance.now(), status });
      }
    })();
    while (asked.length < 20) await Promise.race([sleep(10), ended]);
    return { asked, ended };
  }

  test(
    'a person signs in, is deactivated, restored, and signs in again as the same member',
    { timeout: 300_000 },
    async (t) => {
      const page = await signIn(ADA);
      const member = await acme.member(ADA);
      const user = await whoIs(page);
      assert.equal(user.id, member.userId);
      assert.equal(user.name, 'Ada Lovelace');
      assert.equal(user.email, ADA);
      assert.equal(user.status, 'USER_STATUS_ACTIVE');

      const asked = basic.asked.at(-1);
      assert.deepEqual(asked.scope.split(' ').sort(), ['email', 'groups', 'openid', 'profile']);
      assert.equal(asked.response_type, 'code');
      assert.equal(asked.code_challenge_method, 'S256');
      assert.equal(asked.redirect_uri, `${publicUrl}/auth/oidc/callback`);
      for (const secret of [asked.state, asked.nonce, asked.code_challenge]) assert.ok(secret.length >= 22, secret);

      const cookie = await cookieOf(page);
      const { httpOnly, secure, sameSite, path, domain } = cookie;
      assert.deepEqual(
        { httpOnly, secure, sameSite, path, domain },
        { httpOnly: true, secure: true, sameSite: 'Lax', path: '/', domain: 'rollcall.example.com' },
      );
      assert.equal((await page.context().cookies(publicUrl)).length, 1, 'what the sign-in needed is left behind');
      assert.deepEqual(await recognised(cookie), [200, 200]);

      // She is at work when she is deactivated.
      const work = await keepAsking(cookie, second);
      const deactivated = await scim.setActive(ada, false);
      assert.deepEqual(await recognised(cookie), [401, 401], 'the next request');
      await work.ended;
      const refused = work.asked.pop();
      assert.equal(refused.status, 401);
      assert.deepEqual(
        work.asked.filter(({ began }) => began > deactivated),
        [],
        'served after the answer to the deactivation',
      );
      t.diagnostic(
        `Deactivated: the answer to the first request that the other server refused was here ` +
          `${(refused.ended - deactivated).toFixed(1)} ms after the 200 of SCIM; ${work.asked.length} were served before.`,
      );
      assert.equal((await ask(page, 'IdentityService/GetAuthenticatedIdentity')).status, 401);

      await page.goto(`${publicUrl}/account`);
      await page.waitForURL((url) => url.pathname === '/login');
      await giveAddress(page, `${publicUrl}/login?return_to=${encodeURIComponent(home)}`, ADA);
      await page.waitForURL((url) => url.pathname === '/auth/oidc/callback');
      await inspect(page, 'error-suspended');

      await scim.setActive(ada, true);
      assert.deepEqual(await recognised(cookie), [401, 401], 'a session does not come back');
      await giveAddress(page, `${publicUrl}/login?return_to=${encodeURIComponent(home)}`, ADA);
      await page.waitForURL(home);
      assert.equal((await whoIs(page)).id, user.id);
    },
  );

  test('the account page shows who is signed in, and signing out ends the session', async () => {
    const page = await newPage();
    await giveAddress(page, `${publicUrl}/login`, GRACE);
    await agree(page, GRACE);
    await page.waitForURL(`${publicUrl}/account`);
    for (const text of ['Grace Hopper', GRACE, 'Acme']) await page.getByText(text).first().waitFor();
    await inspect(page, 'account');

    const cookie = await cookieOf(page);
    assert.deepEqual(await recognised(cookie), [200, 200]);
    await page.getByRole('button', { name: /sign out/i }).click();
    await page.waitForURL((url) => url.pathname !== '/account');
    await inspect(page, 'signed-out');
    await page.goto(page.url());
    await page.getByRole('heading').first().waitFor();
    assert.deepEqual(await recognised(cookie), [401, 401]);
    assert.deepEqual(await page.context().cookies(publicUrl), []);
    await page.goto(`${publicUrl}/account`);
    await page.waitForURL((url) => url.pathname === '/login');
  });

  test('a session that is ended from another browser is over', async () => {
    const dorothy = 'dorothy@example.com';
    const lost = await signIn(dorothy);
    const page = await signIn(dorothy, `${publicUrl}/account`);
    const [lostCookie, cookie] = [await cookieOf(lost), await cookieOf(page)];
    await inspect(page, 'account-two-sessions');
    // Hers, here, is told apart; the other one is the one to end.
    const others = page
      .getByRole('listitem')
      .filter({ hasNot: page.getByText(/this one/i), has: page.getByRole('button') });
    assert.equal(await others.count(), 1);
    await others.getByRole('button').click();
    await others.waitFor({ state: 'detached' });
    assert.equal(page.url(), `${publicUrl}/account`);
    assert.deepEqual(await recognised(lostCookie), [401, 401]);
    assert.deepEqual(await recognised(cookie), [200, 200]);
    assert.equal((await ask(lost, 'UserService/GetAuthenticatedUser')).status, 401);
  });

  test('an address of several organizations leads to a choice, and a new person becomes a member', async () => {
    const email = 'katherine@several.example';
    const page = await newPage();
    await giveAddress(page, `${publicUrl}/login?return_to=${encodeURIComponent(home)}`, email);
    await choice(page, /Acme contractors.*Acme/s).waitFor();
    await choice(page, new RegExp(`${new URL(basic.issuer).hostname}.*${UMBRELLA}`, 's')).waitFor();
    await inspect(page, 'login-choices');
    await choice(page, /Acme contractors/).click();
    await agree(page, email);
    await page.waitForURL(home);
    const { host } = new URL(post.issuer);
    assert.deepEqual([...new Set(way.asked)], [host], 'this provider alone is asked through the proxy');
    for (const { log } of servers) assert.doesNotMatch(readFileSync(log, 'utf8'), /hunter2/);
    const user = await whoIs(page);
    assert.equal(user.name, 'Katherine Johnson');
    assert.equal(user.email, email);
    assert.equal(user.id, (await acme.member(email)).userId);
  });

  test('an address that no organization knows gets a word', async () => {
    const page = await newPage();
    await page.goto(`${publicUrl}/login`);
    await inspect(page, 'login');
    await giveAddress(page, `${publicUrl}/login`, 'somebody@nowhere.example');
    await page.getByText(/no organization/i).waitFor();
    assert.equal(await page.getByLabel(/e-?mail/i).inputValue(), 'somebody@nowhere.example');
    await inspect(page, 'login-unknown-domain');

    const hostile = '"><script>alert(1)</script>@nowhere.example';
    await page.goto(`${publicUrl}/login?email=${encodeURIComponent(hostile)}`);
    assert.equal(await page.getByLabel(/e-?mail/i).inputValue(), hostile);
  });

  test('the keyboard is enough', async () => {
    const page = await newPage();
    await page.goto(`${publicUrl}/login?return_to=${encodeURIComponent(home)}`);
    const field = page.getByLabel(/e-?mail/i);
    assert.ok(
      await field.evaluate((element) => element === document.activeElement),
      'typing goes to the field at once',
    );
    assert.match(await field.getAttribute('autocomplete'), /username|email/);
    assert.equal(
      (await tabThrough(page)).length,
      await page.locator('a[href], button, input:not([type=hidden])').count(),
    );

    await page.reload();
    await page.keyboard.type('katherine@several.example');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await choice(page, /Acme contractors/).waitFor();
    const names = await tabThrough(page);
    await page.reload();
    await choice(page, /Acme contractors/).waitFor();
    // Where Tab starts, the browser decides: at the top, or after the field that has the focus.
    for (let i = 0; i <= names.length; i++) {
      await page.keyboard.press('Tab');
      if (/Acme contractors/.test(await page.locator('*:focus').innerText())) break;
    }
    await page.keyboard.press('Enter');
    await page.getByLabel('Account').waitFor();
  });

  test('JavaScript is not needed', async () => {
    const options = { javaScriptEnabled: false };
    const page = await signIn(GRACE, `${publicUrl}/account`, options);
    const cookie = await cookieOf(page);
    assert.deepEqual(await recognised(cookie), [200, 200]);
    await page.getByRole('button', { name: /sign out/i }).click();
    await page.waitForURL((url) => url.pathname !== '/account');
    assert.deepEqual(await recognised(cookie), [401, 401]);

    const chooser = await newPage(options);
    await giveAddress(chooser, `${publicUrl}/login`, 'katherine@several.example');
    await choice(chooser, /Acme contractors/).click();
    await chooser.getByLabel('Account').waitFor();
  });

  test('an application of an allowed origin gets its people back, and has no part in their session', async () => {
    const page = await signIn(GRACE, `${application}/inbox?mail=7#top`);
    const cookie = await cookieOf(page);
    for (const origin of [application, elsewhere, 'null', undefined]) {
      const status = await askWith(cookie.header, first, origin);
      assert.ok([401, 403].includes(status), `${origin}: ${status}`);
    }
    assert.deepEqual(await recognised(cookie), [200, 200]);
  });

  test('nobody is led to an origin that is not allowed', async () => {
    for (const to of [`${elsewhere}/`, `//${new URL(elsewhere).host}/`, `${publicUrl}@${new URL(elsewhere).host}/`]) {
      const page = await newPage();
      let strayed = false;
      page.on('request', (request) => {
        strayed ||= request.url().startsWith(elsewhere);
      });
      await page.goto(
        `${publicUrl}/auth/oidc/start?organization=${acme.id}&configuration=${sso}&login_hint=${GRACE}&return_to=${encodeURIComponent(to)}`,
      );
      if (await page.getByLabel('Account').isVisible()) {
        await agree(page, GRACE);
        await page.waitForURL((url) => url.origin !== basic.issuer);
      }
      assert.ok(!strayed && new URL(page.url()).origin === publicUrl, `${to} led to ${page.url()}`);
    }
  });

  test('the login URL of the API leads to the provider, and back to where it was asked from', async () => {
    const answer = await fetch(`${first}/gitpod.v1.AccountService/GetSSOLoginURL`, {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify({ email: GRACE, returnTo: `${application}/inbox` }),
    });
    const { loginUrl, ...problem } = await answer.json();
    assert.equal(answer.status, 200, JSON.stringify(problem));
    assert.equal(new URL(loginUrl).origin, publicUrl);
    const page = await newPage();
    await page.goto(loginUrl);
    await agree(page, GRACE);
    await page.waitForURL(`${application}/inbox`);
    await cookieOf(page);
  });

  test('who says no at the provider is not signed in, and may try again', async () => {
    const page = await newPage();
    await giveAddress(page, `${publicUrl}/login`, GRACE);
    await page.getByRole('button', { name: 'Deny' }).click();
    await page.waitForURL((url) => url.pathname === '/auth/oidc/callback');
    await inspect(page, 'error-denied');
    assert.deepEqual(
      (await page.context().cookies(publicUrl)).filter(({ name }) => /session/.test(name)),
      [],
    );
    await page.locator('a[href*="/login"]').click();
    await page.getByLabel(/e-?mail/i).waitFor();
  });

  test('a provider that does not answer is named as the reason', async () => {
    const page = await newPage();
    await giveAddress(page, `${publicUrl}/login`, 'somebody@down.example');
    await page.getByRole('heading').first().waitFor();
    assert.equal(new URL(page.url()).origin, publicUrl);
    await inspect(page, 'error-unreachable');
  });

  test('the claims expression decides who comes in', async () => {
    const page = await signIn('margaret@strict.example');
    assert.equal((await whoIs(page)).name, 'Margaret Hamilton');

    const refused = await newPage();
    await giveAddress(refused, `${publicUrl}/login`, 'evelyn@strict.example');
    await agree(refused, 'evelyn@strict.example');
    await refused.waitForURL((url) => url.pathname === '/auth/oidc/callback');
    await inspect(refused, 'error-claims');
    assert.deepEqual(
      (await refused.context().cookies(publicUrl)).filter(({ name }) => /session/.test(name)),
      [],
    );
  });

  test('a callback counts once, and only in the browser that began', async () => {
    const callback = `${publicUrl}/auth/oidc/callback`;
    const isRefused = async (page, url) => {
      const answer = await page.goto(url);
      assert.ok(answer.status() >= 400 && answer.status() < 500, `${answer.status()}`);
      assert.equal(page.url(), url);
    };

    // She is led to the callback of somebody who has just signed in at the provider, to be signed in as that person.
    const attacker = await newPage();
    await attacker.goto(`${publicUrl}/auth/oidc/start?organization=${acme.id}&configuration=${sso}&login_hint=${GRACE}`);
    const { request } = attacker.context();
    let answer = await request.post(attacker.url(), { form: { email: GRACE }, maxRedirects: 0 });
    while (!answer.headers().location.startsWith(callback)) {
      answer = await request.get(new URL(answer.headers().location, basic.issuer).href, { maxRedirects: 0 });
    }
    const stolen = answer.headers().location;
    const victim = await newPage();
    await isRefused(victim, stolen);
    assert.deepEqual(await victim.context().cookies(publicUrl), []);
    // Not even when she is about to sign in herself.
    await victim.goto(`${publicUrl}/auth/oidc/start?organization=${acme.id}&configuration=${sso}&login_hint=${ADA}`);
    await isRefused(victim, stolen);

    // In its own browser it counts, once.
    await attacker.goto(stolen);
    await attacker.waitForURL(`${publicUrl}/account`);
    const cookie = await cookieOf(attacker);
    await isRefused(attacker, stolen);
    assert.deepEqual(await recognised(cookie), [200, 200]);
  });

  test('an operator sees who was kept out and why, tests a configuration, and ends sessions', async () => {
    const page = await newPage();
    await giveAddress(page, `${publicUrl}/login`, 'evelyn@strict.example');
    await agree(page, 'evelyn@strict.example');
    const reference = await page.locator('code').innerText();
    const { asking } = acme;
    const [attempt] = JSON.parse(rollcall(['sso', 'attempts', '--reference', reference, '--json'], asking));
    assert.equal(attempt.outcome, 'refused');
    assert.equal(attempt.failedCheck, 'claims_expression');
    assert.equal(attempt.failedExpression, '"flight" in claims.groups');
    assert.equal(attempt.email, 'evelyn@strict.example');
    assert.ok(attempt.claimNames.includes('groups'), attempt.claimNames);
    assert.match(rollcall(['sso', 'attempts', '--refused', '--limit', '1'], asking), /evelyn@strict\.example/);

    const check = await rollcallAsking(['sso', 'check', sso], asking);
    assert.match(check, /ok +client: the provider accepts client_id and client_secret/);
    assert.match(check, new RegExp(`register ${publicUrl}/auth/oidc/callback`));
    assert.doesNotMatch(check, /BAD|a secret of/);
    const wrong = await acme.sso('Wrong secret', basic.issuer, ['wrong.example'], {
      clientId: CLIENT_IDS[1],
      clientSecret: 'wrong',
    });
    await assert.rejects(
      rollcallAsking(['sso', 'check', wrong], asking),
      ({ code, stdout }) => code === 1 && /BAD +client: the provider does not accept/.test(stdout),
    );

    const grace = await signIn(GRACE);
    const { userId } = await acme.member(GRACE);
    const hers = ['--user', userId];
    const sessions = JSON.parse(rollcall(['session', 'list', ...hers, '--json'], asking));
    assert.ok(sessions.some(({ userAgent }) => /Chrome/.test(userAgent)), 'her browser is listed');
    assert.equal(rollcall(['session', 'end', ...hers], asking), `${sessions.length} ended`);
    assert.deepEqual(await recognised(await cookieOf(grace)), [401, 401]);
  });
});

describe('one server with the embedded database, on the loopback', () => {
  let server, provider, token, data;

  before(async () => {
    const port = await freePort();
    provider = await startProvider({
      host: 'localhost',
      redirectUris: [`http://127.0.0.1:${port}/auth/oidc/callback`],
      claimsIn: 'id_token',
      algorithm: 'RS256',
      clientAuth: 'client_secret_basic',
    });
    ends.push(provider.close);
    data = join(folder, 'data');
    server = await startServer({ ROLLCALL_DATA_DIR: data, ROLLCALL_ALLOW_INSECURE_ISSUERS: 'true' }, port);
    token = readFileSync(join(data, 'admin-token'), 'utf8').trim();
  });

  after(() => server?.stop());

  test('a person signs in, and out again', async () => {
    const acme = await organization(server.url, token);
    await acme.sso('Example accounts', provider.issuer, ['example.com']);
    const page = await newPage();
    await giveAddress(page, `${server.url}/login`, 'ada@example.com');
    await agree(page, 'ada@example.com');
    await page.waitForURL(`${server.url}/account`);
    // Commands need no database, and find the token.
    const status = rollcall(['status'], { ROLLCALL_SERVER: server.url, ROLLCALL_DATA_DIR: data });
    assert.match(status, /ok +sign-ins +1 signed in, 0 refused/);
    const { header, httpOnly, sameSite, path } = await sessionCookie(page, server.url, 'rollcall-session');
    assert.deepEqual({ httpOnly, sameSite, path }, { httpOnly: true, sameSite: 'Lax', path: '/' });
    assert.equal(await askWith(header, server.url, server.url), 200);
    await page.getByRole('button', { name: /sign out/i }).click();
    await page.waitForURL((url) => url.pathname !== '/account');
    assert.equal(await askWith(header, server.url, server.url), 401);
  });
});
