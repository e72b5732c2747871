// Administrators, and the IT of a customer, work in the console, in a browser.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startNames } from './names.mjs';
import { inspect, tabThrough } from './pages.mjs';
import { agree, ends, folder, giveAddress, newPage, organization, startServer } from './people.mjs';
import { CLIENT_IDS, CLIENT_SECRET, startProvider } from './provider.mjs';
import { call, freePort } from './rollcall.mjs';

const USER = 'urn:ietf:params:scim:schemas:core:2.0:User';

describe('the console', () => {
  let server, token, provider, names, acme;

  before(async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    provider = await startProvider({
      host: '127.0.0.1',
      redirectUris: [`${url}/auth/oidc/callback`],
      claimsIn: 'id_token',
      algorithm: 'RS256',
      clientAuth: 'client_secret_basic',
    });
    ends.push(provider.close);
    names = await startNames();
    ends.push(names.close);
    const data = mkdtempSync(join(folder, 'console-'));
    const settings = { ROLLCALL_ALLOW_INSECURE_ISSUERS: 'true', ROLLCALL_DNS_SERVERS: names.address };
    server = await startServer({ ROLLCALL_DATA_DIR: data, ...settings }, port);
    token = readFileSync(join(data, 'admin-token'), 'utf8').trim();
    acme = await organization(server.url, token);
    await call(server.url, token, '/gitpod.v1.OrganizationService/UpdateOrganization', {
      organizationId: acme.id,
      name: 'Acme Industries',
    });
  });

  after(() => server?.stop());

  const console_ = (path = '') => `${server.url}/console/${acme.id}${path}`;

  /** A page of a browser in which somebody entered the administrator's token. */
  async function administrator(path = '') {
    const page = await newPage();
    await page.goto(`${server.url}/console/token`);
    await page.getByLabel('Token').fill(token);
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.waitForURL(console_());
    if (path) await page.goto(console_(path));
    return page;
  }

  /** What stands beside a label, to be copied. */
  const copied = (page, label) => page.locator('.copy', { hasText: label }).locator('code').first().innerText();

  test('the first administrator enters with the link that the start prints, once', async () => {
    const link = readFileSync(server.log, 'utf8').match(/http:\S+\/console\/first\/\S+/)?.[0];
    assert.ok(link, 'the server printed no link');
    const page = await newPage();
    await page.goto(link);
    await page.waitForURL(console_());
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    await inspect(page, 'console-overview-empty');
    const second = await newPage();
    const answer = await second.goto(link);
    assert.equal(answer.status(), 404);
    await second.getByText('was used already').waitFor();
    await inspect(second, 'console-link-used');
    await second.goto(console_());
    await second.getByRole('link', { name: 'Sign in with your work account' }).waitFor();
    await inspect(second, 'console-way-in');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('link', { name: 'Use a token' }).click();
    await page.getByLabel('Token').fill('nonsense');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('alert').waitFor();
    await inspect(page, 'console-token');
  });

  test('the IT of a customer gets from the link to a sign-in that works and a user who is provisioned', async () => {
    const page = await administrator('/setup-links');
    await inspect(page, 'console-setup-links-empty');
    await page.getByLabel('Who is it for?').fill('Jane Doe, IT');
    await page.getByRole('button', { name: 'Make the link' }).click();
    const link = await copied(page, 'Set-up link');
    await inspect(page, 'console-setup-link-made');

    // Another person, in another browser, who has nothing but the link.
    const it = await newPage();
    await it.goto(link);
    await it.waitForURL(console_());
    await inspect(it, 'setup-welcome');
    await it.getByRole('link', { name: 'Go to single sign-on' }).click();
    await it.getByRole('link', { name: 'Set up single sign-on' }).click();
    await inspect(it, 'setup-sso-providers');
    await it.getByRole('link', { name: 'Another provider' }).click();
    assert.equal(await copied(it, 'Redirect URI'), `${server.url}/auth/oidc/callback`);

    // A wrong issuer is told while it is typed.
    await it.getByLabel('Issuer').fill(`${provider.issuer}/nothing`);
    await it.locator('#findings').getByText('Wrong').waitFor();
    await inspect(it, 'setup-sso-wrong-issuer');
    await it.getByLabel('Issuer').fill(provider.issuer);
    await it.locator('#findings').getByText('publishes its metadata').waitFor();
    await it.getByLabel('Client ID').fill(CLIENT_IDS[0]);
    await inspect(it, 'setup-sso-new');
    await it.getByLabel('Client secret').fill('wrong');
    await it.getByLabel('Domains of your people').fill('example.com');
    await it.getByLabel('Name on the sign-in page').fill('Example accounts');
    await it.getByRole('button', { name: 'Save and test' }).click();

    // A wrong secret is found by the check, which begins by itself.
    await it.locator('#checked').getByText('Wrong').waitFor();
    await inspect(it, 'setup-sso-wrong-secret');
    await it.getByLabel('Client secret').fill(CLIENT_SECRET);
    await it.getByRole('button', { name: 'Save', exact: true }).click();
    await it.getByText('the provider accepts').waitFor();

    await it.getByRole('link', { name: 'Test sign-in' }).click();
    await it.getByLabel('Account').fill('ada@example.com');
    await it.getByRole('button', { name: 'Continue' }).click();
    await it.getByRole('heading', { name: 'Sign-in works' }).waitFor();
    await inspect(it, 'setup-sso-tested');
    // Nothing was changed: nobody is a member, and nobody can sign in.
    const members = await call(server.url, token, '/gitpod.v1.OrganizationService/ListMembers', {
      organizationId: acme.id,
    });
    assert.deepEqual(members.members ?? [], []);
    await it.getByRole('button', { name: 'Activate' }).click();
    await it.getByText('Active: your people can sign in').waitFor();
    await inspect(it, 'setup-sso-active');

    const ada = await newPage();
    await giveAddress(ada, `${server.url}/login`, 'ada@example.com');
    await agree(ada, 'ada@example.com');
    await ada.waitForURL(`${server.url}/account`);

    await it.getByRole('link', { name: 'Provisioning' }).first().click();
    await it.getByRole('link', { name: 'Set up provisioning' }).click();
    await inspect(it, 'setup-provisioning-new');
    await it.getByRole('button', { name: 'Make the token' }).click();
    const base = await copied(it, 'Base URL');
    const scimToken = await copied(it, 'Token');
    await inspect(it, 'setup-provisioning-token');
    await it.getByRole('link', { name: 'watch requests arrive' }).click();
    await it.getByText('Waiting for the first request').waitFor();
    await inspect(it, 'setup-provisioning-waiting');
    assert.equal(base, `${server.url}/scim/v2`);
    const push = (user) => call(server.url, scimToken, '/scim/v2/Users', { schemas: [USER], ...user });
    await push({ userName: 'grace@example.com', displayName: 'Grace Hopper', active: true });
    await it.getByRole('link', { name: 'User grace@example.com' }).waitFor();
    await assert.rejects(push({ userName: 'grace@example.com' }));
    await it.getByText('Refused').first().waitFor();
    await inspect(it, 'setup-provisioning-feed');
    await it.getByRole('link', { name: 'POST /Users' }).first().click();
    await it.getByText('another user of this configuration has this userName', { exact: false }).waitFor();
    await inspect(it, 'setup-provisioning-request');
    assert.equal((await acme.member('grace@example.com')).status, 'USER_STATUS_ACTIVE');

    // The link opens nothing else, and nothing any more when it is revoked.
    await it.goto(console_('/people'));
    await it.getByRole('heading', { name: 'You may not see this' }).waitFor();
    await inspect(it, 'setup-refused');
    await page.goto(console_('/setup-links'));
    page.once('dialog', (dialog) => dialog.accept());
    await page.getByRole('button', { name: 'Revoke' }).click();
    await page.getByText('the link opens nothing any more').waitFor();
    await inspect(page, 'console-setup-links');
    await it.goto(console_('/sso'));
    await it.getByText('has ended, or was revoked').waitFor();
    await inspect(it, 'setup-ended');
  });

  test('an expression is tried with the claims of a test, and tells who is kept out', async () => {
    const id = await acme.sso('Another way', provider.issuer, ['several.example'], { clientId: CLIENT_IDS[1] });
    const page = await administrator(`/sso/${id}`);
    await page.getByRole('link', { name: 'Test sign-in' }).click();
    await page.getByLabel('Account').fill('katherine@several.example');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('button', { name: 'Try a claims expression' }).click();
    await page.getByLabel('Expression').fill('"engineering" in claims.groups');
    await page.getByText('would be kept out').waitFor();
    await inspect(page, 'console-expression');
    await page.getByLabel('Expression').fill('"engineering" in');
    await page.locator('#result').getByRole('alert').waitFor();
    await page.getByLabel('Expression').fill('claims.e');
    await page.getByRole('button', { name: 'claims.email_verified', exact: true }).waitFor();
    await inspect(page, 'console-expression-offers');
    await page.getByRole('button', { name: 'claims.email_verified', exact: true }).click();
    assert.equal(await page.getByLabel('Expression').inputValue(), 'claims.email_verified');
    await page.getByText('would be let in').waitFor();
    await page.getByRole('button', { name: 'Save the expression' }).click();
    await page.getByText('Saved.').waitFor();
    await page.locator('pre', { hasText: 'claims.email_verified' }).waitFor();
  });

  test('an administrator finds why a person is kept out, mends it, and sees it work', async () => {
    const group = (method, body) => call(server.url, token, `/gitpod.v1.GroupService/${method}`, body);
    const { group: payroll } = await group('CreateGroup', { organizationId: acme.id, name: 'Payroll' });
    const subject = { id: (await acme.member('ada@example.com')).userId, principal: 'PRINCIPAL_USER' };
    await group('CreateMembership', { groupId: payroll.id, subject });

    const page = await administrator('/people');
    await inspect(page, 'console-people');
    await page.getByRole('link', { name: 'Ada Lovelace' }).click();
    await page.getByRole('row', { name: 'Payroll' }).getByText('Directly').waitFor();
    await inspect(page, 'console-person');
    page.on('dialog', (dialog) => dialog.accept());
    await page.getByRole('button', { name: 'Suspend', exact: true }).click();
    await page.getByText('The person is suspended').waitFor();

    const ada = await newPage();
    await giveAddress(ada, `${server.url}/login`, 'ada@example.com');
    await agree(ada, 'ada@example.com');
    await ada.getByRole('heading', { name: 'You could not be signed in' }).waitFor();
    const reference = await ada.locator('code').innerText();

    // From the reference that the person tells, and from the person's own page, in under three clicks.
    await page.goto(console_(`/sign-ins?reference=${reference}`));
    await page.getByText('the member is suspended', { exact: false }).first().waitFor();
    await inspect(page, 'console-sign-in-refused');
    await page.goto(console_('/people'));
    await page.getByRole('link', { name: 'Ada Lovelace' }).click();
    await page.getByRole('link', { name: 'Why can’t they sign in?' }).click();
    await page.getByText('suspended').first().waitFor();
    await inspect(page, 'console-why');
    await page.getByRole('link', { name: 'Ada Lovelace' }).click();
    await page.getByRole('button', { name: 'Lift the suspension' }).click();
    await page.getByText('The suspension is lifted').waitFor();
    await page.getByRole('link', { name: 'Can they sign in?' }).click();
    await page.getByText('Yes, if the identity provider lets them').waitFor();
    await giveAddress(ada, `${server.url}/login`, 'ada@example.com');
    await ada.waitForURL(`${server.url}/account`);
  });

  test('a claim that is missing is found from the console alone', async () => {
    const { ssoConfigurations } = await call(server.url, token, '/gitpod.v1.OrganizationService/ListSSOConfigurations', {
      organizationId: acme.id,
    });
    const { id } = ssoConfigurations.find(({ clientId }) => clientId === CLIENT_IDS[1]);
    await call(server.url, token, '/gitpod.v1.OrganizationService/UpdateSSOConfiguration', {
      ssoConfigurationId: id,
      claims: { email: 'mail' },
    });
    const page = await administrator(`/sso/${id}`);
    await page.getByRole('link', { name: 'Test sign-in' }).click();
    await page.getByLabel('Account').fill('katherine@several.example');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('heading', { name: 'This sign-in would be refused' }).waitFor();
    await page.locator('.bad', { hasText: 'mail' }).first().waitFor();
    await inspect(page, 'console-claim-missing');
    await page.getByRole('link', { name: 'Back to set-up' }).click();
    await page.waitForURL(console_(`/sso/${id}`));
  });

  test('everything of the pages is reached with the keyboard, and works without scripts', async () => {
    const page = await administrator('/domains');
    const stops = await tabThrough(page);
    assert.ok(stops.includes('Continue'), stops.join(', '));
    const plain = await newPage({ javaScriptEnabled: false });
    await plain.goto(`${server.url}/console/token`);
    await plain.getByLabel('Token').fill(token);
    await plain.getByRole('button', { name: 'Continue' }).click();
    await plain.getByRole('link', { name: 'Domains' }).first().click();
    await plain.getByLabel('Domain', { exact: true }).fill('plain.example');
    await plain.getByRole('button', { name: 'Continue' }).click();
    assert.equal(await copied(plain, 'Name'), '_rollcall-challenge.plain.example');
    await plain.getByRole('button', { name: 'Look it up now' }).click();
    await plain.getByRole('alert').waitFor();
    await page.goto(plain.url().replace('/verify', ''));
    await inspect(page, 'console-domain');
  });

  test('a domain is verified when its record is there, and until then the page says what is', async () => {
    const page = await administrator('/domains');
    await page.getByLabel('Domain', { exact: true }).fill('verified.example');
    await page.getByRole('button', { name: 'Continue' }).click();
    const [name, value] = [await copied(page, 'Name'), await copied(page, 'Value')];
    const lookUp = () => page.getByRole('button', { name: 'Look it up now' }).click();
    await lookUp();
    await page.getByRole('alert').filter({ hasText: name }).waitFor();
    names.set(name, 'v=spf1 -all');
    await lookUp();
    await page.getByRole('alert').filter({ hasText: 'v=spf1 -all' }).waitFor();
    await inspect(page, 'console-domain-wrong');
    names.set(name, value);
    await lookUp();
    await page.getByText('Verified: the domain is yours.').waitFor();
    await inspect(page, 'console-domain-verified');
    await page.goto(console_('/domains'));
    await page.getByRole('row', { name: 'verified.example' }).getByText('Verified', { exact: true }).waitFor();
    await inspect(page, 'console-domains');
  });

  test('every page of an organization that is in use', async () => {
    const page = await administrator();
    await inspect(page, 'console-overview');
    const pages = [
      ...['sso', 'provisioning', 'setup-links', 'people', 'groups', 'groups/new', 'applications', 'applications/new'],
      ...['webhooks', 'webhooks/new', 'audit-log', 'settings', 'tokens', 'tokens/new', 'sign-ins'],
    ];
    for (const name of pages) {
      await page.goto(console_(`/${name}`));
      await inspect(page, `console-${name.replace('/', '-')}`);
    }
    const answer = await page.goto(console_('/nothing'));
    assert.equal(answer.status(), 404);
    await inspect(page, 'console-nothing');
    await page.goto(`${server.url}/console/01890000-0000-7000-8000-000000000000`);
    await page.getByRole('heading', { name: 'You may not see this' }).waitFor();
  });
});
