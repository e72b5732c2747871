// A small web application that signs people in with Rollcall, as the library openid-client has it.

import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { text } from 'node:stream/consumers';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as oidc from 'openid-client';
import { freePort, listen } from './rollcall.mjs';

const LOGOUT_EVENT = 'http://schemas.openid.net/event/backchannel-logout';
const SCOPES = 'openid profile email groups organization offline_access';
const COOKIE = 'application';

/**
 * Starts an application at `http://localhost:…` that knows nothing of Rollcall but its issuer, and is made there by
 * `register`, which gets what has to be registered and returns `clientId` and `clientSecret`. Returned are:
 * `url`; `config`, for calls of openid-client; `signedIn`, what the application knows of everybody who is signed in;
 * `told`, the claims of the logout tokens that it got, each with the time `at`; `close()`.
 *
 * `/login` begins a sign-in, with the parameters that it is asked with; `/callback` ends it, `/` says who is signed in,
 * `/logout` signs out in Rollcall, too.
 */
export async function startApplication(name, issuer, register) {
  const port = await freePort();
  const url = `http://localhost:${port}`;
  const { clientId, clientSecret } = await register({
    name,
    redirectUris: [`${url}/callback`],
    postLogoutRedirectUris: [`${url}/signed-out`],
    // Not localhost: this is as good, and leads to no other address.
    backchannelLogoutUri: `http://127.0.0.1:${port}/backchannel`,
  });
  const config = await oidc.discovery(new URL(issuer), clientId, undefined, oidc.ClientSecretBasic(clientSecret), {
    execute: [oidc.allowInsecureRequests],
  });
  const keys = createRemoteJWKSet(new URL(config.serverMetadata().jwks_uri));
  /** Sign-ins that have begun, and those who are signed in, by the application's cookie. */
  const begun = new Map();
  const signedIn = new Map();
  const told = [];

  const pages = {
    async '/'(_, response, cookie) {
      const person = signedIn.get(cookie);
      page(response, person ? `${name}: ${person.claims.name}` : `${name}: nobody`);
    },
    async '/login'(request, response) {
      const verifier = oidc.randomPKCECodeVerifier();
      const state = oidc.randomState();
      const nonce = oidc.randomNonce();
      const cookie = randomBytes(16).toString('hex');
      const { searchParams } = new URL(request.url, url);
      const pushed = searchParams.has('push');
      searchParams.delete('push');
      begun.set(cookie, { verifier, state, nonce });
      const parameters = {
        redirect_uri: `${url}/callback`,
        scope: SCOPES,
        state,
        nonce,
        code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
        ...Object.fromEntries(searchParams),
      };
      const to = pushed
        ? await oidc.buildAuthorizationUrlWithPAR(config, parameters)
        : oidc.buildAuthorizationUrl(config, parameters);
      redirect(response, to, cookie);
    },
    async '/callback'(request, response, cookie) {
      const expected = begun.get(cookie);
      if (!expected) throw new Error('no sign-in began in this browser');
      begun.delete(cookie);
      const answer =
        request.method === 'POST'
          ? new Request(url + request.url, { method: 'POST', headers: request.headers, body: await text(request) })
          : new URL(request.url, url);
      // It checks iss (RFC 9207) and the ID token, too.
      const tokens = await oidc.authorizationCodeGrant(config, answer, {
        pkceCodeVerifier: expected.verifier,
        expectedState: expected.state,
        expectedNonce: expected.nonce,
        idTokenExpected: true,
      });
      const claims = tokens.claims();
      const userinfo = await oidc.fetchUserInfo(config, tokens.access_token, claims.sub);
      signedIn.set(cookie, { tokens, claims, userinfo });
      redirect(response, url);
    },
    async '/logout'(_, response, cookie) {
      const { tokens } = signedIn.get(cookie);
      signedIn.delete(cookie);
      const parameters = {
        id_token_hint: tokens.id_token,
        post_logout_redirect_uri: `${url}/signed-out`,
        state: 'signed out',
      };
      redirect(response, oidc.buildEndSessionUrl(config, parameters));
    },
    async '/signed-out'(_, response) {
      page(response, `${name}: signed out`);
    },
    async '/backchannel'(request, response) {
      const form = new URLSearchParams(await text(request));
      const { payload } = await jwtVerify(form.get('logout_token'), keys, {
        issuer,
        audience: clientId,
        typ: 'logout+jwt',
        requiredClaims: ['iat', 'exp', 'jti', 'sub', 'sid'],
      });
      if (!payload.events?.[LOGOUT_EVENT] || 'nonce' in payload) throw new Error('this is no logout token');
      told.push({ ...payload, at: performance.now() });
      for (const [cookie, { claims }] of signedIn) {
        if (claims.sid === payload.sid) signedIn.delete(cookie);
      }
      response.writeHead(204).end();
    },
  };
  const server = http.createServer((request, response) => {
    const { pathname } = new URL(request.url, url);
    const cookie = new RegExp(`(?:^|; )${COOKIE}-${port}=([0-9a-f]+)`).exec(request.headers.cookie)?.[1];
    if (!pages[pathname]) {
      response.writeHead(404).end();
      return;
    }
    pages[pathname](request, response, cookie).catch((error) => {
      const why = [error.message, error.error, error.error_description].filter(Boolean).join(': ');
      page(response, `${name}: failed: ${why}`, 400);
    });
  });

  function redirect(response, location, cookie) {
    // Without SameSite: an answer in a form comes from another site (and browsers allow that for two minutes).
    const headers = cookie && { 'set-cookie': `${COOKIE}-${port}=${cookie}; Path=/; HttpOnly` };
    response.writeHead(303, { location: String(location), ...headers }).end();
  }

  return { name, url, clientId, config, signedIn, told, close: await listen(server, port) };
}

function page(response, heading, status = 200) {
  const shown = heading.replace(/[&<]/g, (c) => `&#${c.charCodeAt()};`);
  const markup = `<!doctype html><html lang="en"><title>${shown}</title><h1>${shown}</h1></html>`;
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8' }).end(markup);
}
