// A name server on the loopback that knows the TXT records that tests tell it (RFC 1035).

import { createSocket } from 'node:dgram';
import { once } from 'node:events';

const TXT = 16;
const ANSWER = 0x8180;
const NO_SUCH_NAME = 3;

/** Starts one: `set` gives a name one TXT record, `address` is what ROLLCALL_DNS_SERVERS takes. */
export async function startNames() {
  const records = new Map();
  const socket = createSocket('udp4');
  socket.on('message', (query, from) => socket.send(answer(query, records), from.port, from.address));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    address: `127.0.0.1:${socket.address().port}`,
    set: (name, text) => records.set(name.toLowerCase(), text),
    close: () => socket.close(),
  };
}

function answer(query, records) {
  const labels = [];
  let at = 12;
  for (; query[at] !== 0; at += 1 + query[at]) labels.push(query.toString('latin1', at + 1, at + 1 + query[at]));
  const question = query.subarray(12, at + 5);
  const text = records.get(labels.join('.').toLowerCase());
  const found = text !== undefined && query.readUInt16BE(at + 1) === TXT;
  const head = Buffer.alloc(12);
  query.copy(head, 0, 0, 2);
  head.writeUInt16BE(ANSWER | (text === undefined ? NO_SUCH_NAME : 0), 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(found ? 1 : 0, 6);
  if (!found) return Buffer.concat([head, question]);
  // Its name is the question's, its class the internet's, and it may not be kept.
  const record = Buffer.from([0xc0, 12, 0, TXT, 0, 1, 0, 0, 0, 0, 0, text.length + 1, text.length]);
  return Buffer.concat([head, question, record, Buffer.from(text)]);
}
