// Starts what the tests sign in to: servers, and the proxy in front of them.

import { execFile, execFileSync, spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';

const READY_SECONDS = 120;
const STOP_SECONDS = 30;
const { ROLLCALL_BIN, LOGIN_LOGS } = process.env;

/** What is set for every Rollcall: nothing of the caller's settings, which might lead to a database that matters. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => name !== 'DATABASE_URL' && !name.startsWith('ROLLCALL_')),
);

// So that what was started is ended.
process.once('SIGTERM', () => process.exit(143));

/** Runs a command of the binary; returns what it printed. */
export function rollcall(args, settings = {}) {
  return execFileSync(ROLLCALL_BIN, args, { env: { ...environment, ...settings }, encoding: 'utf8' }).trim();
}

/** The same for a command that asks a provider of this very process. */
export async function rollcallAsking(args, settings) {
  return (await promisify(execFile)(ROLLCALL_BIN, args, { env: { ...environment, ...settings } })).stdout;
}

export async function freePort() {
  const probe = net.createServer();
  const close = await listen(probe, 0);
  const { port } = probe.address();
  await close();
  return port;
}

/** Listens on the loopback; returns what ends it. */
export async function listen(server, port) {
  await new Promise((resolve, reject) => {
    server.once('error', reject).listen(port, '127.0.0.1', resolve);
  });
  return async () => {
    server.closeAllConnections?.();
    await new Promise((resolve) => server.close(resolve));
  };
}

/** A server process. `settings` are environment variables, its log goes to a file of the folder LOGIN_LOGS. */
export class Server {
  static #started = 0;

  constructor(port, settings) {
    this.url = `http://127.0.0.1:${port}`;
    this.log = join(LOGIN_LOGS, `server-${process.pid}-${++Server.#started}.log`);
    this.settings = { ...settings, ROLLCALL_LISTEN: `127.0.0.1:${port}` };
  }

  async start() {
    const log = openSync(this.log, 'a');
    this.process = spawn(ROLLCALL_BIN, ['serve'], {
      env: { ...environment, ...this.settings },
      stdio: ['ignore', log, log],
    });
    // Whatever happens, it does not outlive the test.
    process.once('exit', () => this.process.kill('SIGKILL'));
    this.ended = new Promise((resolve) => {
      this.process.once('error', (error) => resolve(String(error)));
      this.process.once('exit', (code, signal) => resolve(signal ?? code));
    });
    const ready = await this.#within(READY_SECONDS, async () => {
      for (;;) {
        const answer = await fetch(`${this.url}/readyz`).catch(() => undefined);
        if (answer?.ok) return 'ready';
        await sleep(50);
      }
    });
    if (ready !== 'ready') throw new Error(`the server is not ready: ${ready}`);
  }

  /** Stops it. A server that does not stop when asked, stopped before, or panicked, is a failure. */
  async stop() {
    this.process.kill('SIGTERM');
    const end = await this.#within(STOP_SECONDS, () => new Promise(() => {}));
    if (typeof end === 'string') this.process.kill('SIGKILL');
    if (end !== 0) throw new Error(`the server ended with ${end}`);
    if (readFileSync(this.log, 'utf8').includes('panicked at')) throw new Error('the server panicked');
  }

  /** What comes first: `what` is done, the process ends, or the time is over. */
  #within(seconds, what) {
    return Promise.race([what(), this.ended, sleep(seconds * 1000, `${seconds} seconds are over`, { ref: false })]);
  }
}

/**
 * The proxy in front of the servers `targets`, which it uses in turn, so that no two requests in a row reach the
 * same one. It ends TLS if it has a key. `page` is an application: all of any other host, and `/app/` beside Rollcall.
 */
export function proxy({ key, cert, host, targets, page }) {
  const agent = new http.Agent({ keepAlive: true });
  const proto = key ? 'https' : 'http';
  let turn = 0;
  const answer = (request, response) => {
    if (page && (request.headers.host !== host || request.url.startsWith('/app/'))) {
      response.writeHead(200, { 'content-type': 'text/html' }).end(page);
      return;
    }
    const target = targets[turn++ % targets.length];
    const headers = { ...request.headers, 'x-forwarded-for': '203.0.113.7', 'x-forwarded-proto': proto };
    const forward = http.request(target + request.url, { method: request.method, headers, agent }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    forward.on('error', (error) => response.destroy(error));
    request.pipe(forward);
  };
  return key ? https.createServer({ key, cert }, answer) : http.createServer(answer);
}

/**
 * The proxy that leads out of the network of the servers, for those with `user:password`: whatever host it is asked
 * for is on the loopback. `asked` are the hosts, with their ports.
 */
export function gateway(credentials) {
  const asked = [];
  const server = http.createServer((_, response) => response.writeHead(405).end());
  server.on('connect', (request, client) => {
    const expected = `Basic ${Buffer.from(credentials).toString('base64')}`;
    if (request.headers['proxy-authorization'] !== expected) {
      client.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
      return;
    }
    asked.push(request.url);
    const target = net.connect(request.url.split(':').at(-1), '127.0.0.1', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      client.pipe(target).pipe(client);
    });
    target.on('error', () => client.destroy());
    client.on('error', () => target.destroy());
    client.on('close', () => target.destroy());
  });
  return { server, asked };
}

/** A call of the API with a token, as administrators and identity providers make them. */
export async function call(url, token, path, body, method = 'POST') {
  const answer = await fetch(`${url}${path}`, {
    method,
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return text && JSON.parse(text);
}
