// A receiver that verifies what it gets with the package standardwebhooks, and takes nothing else.
//
// It prints its port. POST /secret gives it its secret, GET /report tells what it got.

import http from 'node:http';
import { Webhook } from 'standardwebhooks';

let webhook;
const report = { verified: 0, refused: 0, with_two: 0, ids: [], why: '' };

const server = http.createServer(async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  if (request.method === 'GET') return response.end(JSON.stringify(report));
  if (request.url === '/secret') {
    webhook = new Webhook(body);
    return response.writeHead(204).end();
  }
  report.with_two += request.headers['webhook-signature'].includes(' ') ? 1 : 0;
  try {
    const event = webhook.verify(body, request.headers);
    report.verified += 1;
    report.ids.push(event.id);
    response.writeHead(204).end();
  } catch (error) {
    report.refused += 1;
    report.why = String(error);
    response.writeHead(400).end();
  }
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
