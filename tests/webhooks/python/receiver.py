"""A receiver that verifies what it gets with the library standardwebhooks, and takes nothing else.

It prints its port. POST /secret gives it its secret, GET /report tells what it got.
"""

import http.server
import json
import threading

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

webhook, lock = None, threading.Lock()
report = {"verified": 0, "refused": 0, "with_two": 0, "ids": [], "why": ""}


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        global webhook
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/secret":
            webhook = Webhook(body.decode())
            return self.answer(204)
        with lock:
            report["with_two"] += " " in self.headers["webhook-signature"]
        try:
            event = webhook.verify(body, dict(self.headers))
        except WebhookVerificationError as error:
            with lock:
                report["refused"] += 1
                report["why"] = str(error)
            return self.answer(400)
        with lock:
            report["verified"] += 1
            report["ids"].append(event["id"])
        self.answer(204)

    def do_GET(self):
        with lock:
            self.answer(200, json.dumps(report).encode())

    def answer(self, status, body=b""):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_address[1], flush=True)
server.serve_forever()
