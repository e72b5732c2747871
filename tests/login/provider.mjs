// An OpenID Connect provider, with a login form that asks for nothing but an address.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { text } from 'node:stream/consumers';
import Provider, { interactionPolicy } from 'oidc-provider';
import { freePort, listen } from './rollcall.mjs';

/** One for each organization and configuration that there may be at a provider. */
export const CLIENT_IDS = ['rollcall', 'rollcall-strict'];
export const CLIENT_SECRET = 'a secret of the login test';

/**
 * The people that the provider knows. `sub` says nothing of the person, as with most providers.
 * Their claims are as the provider gives them, whatever was asked for.
 */
const PEOPLE = [
  {
    sub: '00u-1815',
    email: 'ada@example.com',
    email_verified: true,
    name: 'Ada Lovelace',
    given_name: 'Ada',
    family_name: 'Lovelace',
    groups: ['engineering', 'mathematics'],
  },
  { sub: '00u-1906', email: 'grace@example.com', email_verified: true, name: 'Grace Hopper', groups: ['engineering'] },
  { sub: '00u-1910', email: 'dorothy@example.com', email_verified: true, name: 'Dorothy Vaughan', groups: [] },
  { sub: '00u-1918', email: 'katherine@several.example', email_verified: true, name: 'Katherine Johnson', groups: [] },
  {
    sub: '00u-1936',
    email: 'margaret@strict.example',
    email_verified: true,
    name: 'Margaret Hamilton',
    groups: ['flight'],
  },
  { sub: '00u-1924', email: 'evelyn@strict.example', email_verified: true, name: 'Evelyn Boyd', groups: ['guests'] },
  {
    sub: '00u-1939',
    email: 'barbara@initech.example',
    email_verified: true,
    name: 'Barbara Liskov',
    given_name: 'Barbara',
    family_name: 'Liskov',
    groups: [],
  },
  { sub: '00u-1951', email: 'radia@initech.example', email_verified: true, name: 'Radia Perlman', groups: [] },
  { sub: '00u-1932', email: 'frances@hooli.example', email_verified: true, name: 'Frances Allen', groups: [] },
];

/**
 * Starts a provider on the loopback, reached as `host`, and returns it with:
 * `issuer`; `asked`, the parameters of every authorization request; `close()`.
 *
 * `claimsIn`: where the claims of a person are, beside `sub`: in the `id_token` or at `userinfo` alone.
 * `algorithm`: what signs ID tokens. `clientAuth`: the only way that Rollcall may present its secret.
 * `tls`: key and certificate; without, it speaks http.
 */
export async function startProvider({ host, redirectUris, claimsIn, algorithm, clientAuth, tls }) {
  const port = await freePort();
  const issuer = `${tls ? 'https' : 'http'}://${host}:${port}`;
  const provider = new Provider(issuer, {
    clients: CLIENT_IDS.map((client_id) => ({
      client_id,
      client_secret: CLIENT_SECRET,
      redirect_uris: redirectUris,
      grant_types: ['authorization_code'],
      response_types: ['code'],
      token_endpoint_auth_method: clientAuth,
      id_token_signed_response_alg: algorithm,
    })),
    clientAuthMethods: [clientAuth],
    pkce: { required: () => true },
    // Keys of both kinds, so that the one that signed has to be found.
    jwks: { keys: [signingKey('RS256'), signingKey('ES256')] },
    cookies: { keys: [randomBytes(32).toString('hex')] },
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name', 'given_name', 'family_name'],
      groups: ['groups'],
    },
    conformIdTokenClaims: claimsIn === 'userinfo',
    ttl: { AccessToken: 300, AuthorizationCode: 60, Grant: 3600, IdToken: 300, Interaction: 600, Session: 3600 },
    features: { devInteractions: { enabled: false }, rpInitiatedLogout: { enabled: false } },
    interactions: { policy: policy(), url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_, sub) => {
      const claims = PEOPLE.find((person) => person.sub === sub);
      return claims && { accountId: sub, claims: () => claims };
    },
    // Everybody agrees to everything.
    async loadExistingGrant({ oidc }) {
      const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
      grant.addOIDCScope(oidc.params.scope);
      await grant.save();
      return grant;
    },
  });

  const asked = [];
  provider.use(async (ctx, next) => {
    if (ctx.path === '/auth') asked.push({ ...ctx.query });
    if (!ctx.path.startsWith('/interaction/')) return next();
    return interact(provider, ctx);
  });
  provider.on('server_error', (_, error) => console.error('The provider failed:', error));

  const server = tls ? https.createServer(tls, provider.callback()) : http.createServer(provider.callback());
  return { issuer, asked, close: await listen(server, port) };
}

/** The login form is also what lets people choose an account. */
function policy() {
  const policy = interactionPolicy.base();
  policy.add(new interactionPolicy.Prompt({ name: 'select_account', requestable: true }), 0);
  return policy;
}

/** The login form, and what it sends. */
async function interact(provider, ctx) {
  const answer = (result) => provider.interactionFinished(ctx.req, ctx.res, result);
  // It writes to the response itself.
  ctx.respond = ctx.method === 'GET';
  if (ctx.method === 'GET') {
    const { params } = await provider.interactionDetails(ctx.req, ctx.res);
    ctx.body = page(params.login_hint);
    return;
  }
  const form = new URLSearchParams(await text(ctx.req));
  const person = PEOPLE.find(({ email }) => email === form.get('email'));
  if (form.has('deny') || !person) await answer({ error: 'access_denied', error_description: 'The person said no.' });
  else await answer({ login: { accountId: person.sub }, select_account: {} });
}

const page = (email = '') => `<!doctype html>
<html lang="en">
<title>Example accounts</title>
<h1>Example accounts</h1>
<form method="post">
  <label>Account <input name="email" value="${email.replace(/[&<"]/g, (c) => `&#${c.charCodeAt()};`)}"></label>
  <button>Continue</button>
  <button name="deny">Deny</button>
</form>
`;

function signingKey(alg) {
  const { privateKey } =
    alg === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: `${alg}-${randomBytes(4).toString('hex')}` };
}
