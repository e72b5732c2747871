"""A server starts anew, and everybody comes at once, each with a token of its own that was good before.

ROLLCALL_FAULTS_TOKENS says how many (default: 4000). Tokens are made by the servers themselves, as the tokens of SCIM
configurations; each is used once before.

    python3 restart.py client PORT CONNECTIONS

sends a request with each token that stands on stdin, and prints what came of it as JSON.
"""

import collections
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time

from server import Failed
from support import connect, in_threads, main, rpc, who_am_i

TOKENS = int(os.environ.get("ROLLCALL_FAULTS_TOKENS", "4000"))
# How many ask at once, and how many when it is more than a server has patience for that hashes each token.
CONNECTIONS, MANY_CONNECTIONS = 200, 600
# A sign that tokens are recognised, and not how fast a machine is that has other things to do: in milliseconds.
SLOW = 1000
MAKERS = 6
SECONDS = max(600, TOKENS // 10)


def client(port, connections, tokens):
    """Every connection takes the next token when it was answered. Returns the seconds of each answer, by status."""
    requests = [
        (f'GET /scim/v2/Users?filter=userName%20eq%20"nobody" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}'
         "\r\n\r\n").replace('"', "%22").encode() for token in tokens
    ]
    statuses, times, asked, partial = collections.Counter(), [], {}, {}
    selector, left = selectors.DefaultSelector(), iter(requests)

    def open_one():
        connection = socket.create_connection(("127.0.0.1", port), 20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(connection, selectors.EVENT_READ)
        return connection

    def ask_next(connection):
        request = next(left, None)
        if request is None:
            selector.unregister(connection)
            connection.close()
            return
        partial[connection], asked[connection] = b"", time.perf_counter()
        connection.sendall(request)

    opened = [open_one() for _ in range(min(connections, len(requests)))]
    began = time.perf_counter()
    for connection in opened:
        ask_next(connection)
    while selector.get_map():
        for key, _ in selector.select(60) or [(None, None)]:
            if key is None:
                raise SystemExit("no answer for 60 s")
            connection = key.fileobj
            data = partial[connection] + connection.recv(65536)
            head, end, body = data.partition(b"\r\n\r\n")
            length = next((int(line[15:]) for line in head.split(b"\r\n") if line[:15].lower() == b"content-length:"), 0)
            if data == partial[connection]:
                statuses["closed"] += 1
                selector.unregister(connection)
                connection.close()
                ask_next(open_one())
            elif not end or len(body) < length:
                partial[connection] = data
            else:
                times.append(time.perf_counter() - asked[connection])
                statuses[head[9:12].decode()] += 1
                ask_next(connection)
    return {"statuses": statuses, "times": times, "took": time.perf_counter() - began}


class Pass:
    """What came of a request with each token. It runs in a process of its own, which nothing else keeps waiting."""

    def __init__(self, server, connections, tokens):
        done = subprocess.run(
            [sys.executable, "-B", __file__, "client", str(server.port), str(connections)], input="\n".join(tokens),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False,
        )
        if done.returncode != 0:
            raise Failed(f"the requests came to nothing: {done.stderr.strip()[-300:]}")
        result = json.loads(done.stdout)
        self.statuses, self.took = result["statuses"], result["took"]
        times = sorted(result["times"])
        self.p50, self.p99 = (1000 * times[int(len(times) * share)] for share in (0.5, 0.99))
        self.connections = connections

    def __str__(self):
        answers = ", ".join(f"{count} times {status}" for status, count in sorted(self.statuses.items()))
        return (f"{answers} at {self.connections} connections in {self.took:.1f} s, p50 {self.p50:.1f} ms, "
                f"p99 {self.p99:.1f} ms")


def make_tokens(place, servers):
    """SCIM configurations, one a token."""
    place.scim_token(servers[0])
    organization = json.loads(who_am_i(servers[0].port, place.admin).body)["organizationId"]
    listed = rpc(servers[0].port, place.admin, "OrganizationService/ListSSOConfigurations",
                 json.dumps({"organizationId": organization}))
    sso = json.loads(listed.body)["ssoConfigurations"][0]["id"]
    tokens, numbers, lock = [], iter(range(TOKENS)), threading.Lock()

    def make(maker):
        server = servers[maker % len(servers)]
        connection = connect(server.port, timeout=30)
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return connection.close()
            answer = rpc(server.port, place.admin, "OrganizationService/CreateSCIMConfiguration", json.dumps({
                "organizationId": organization, "ssoConfigurationId": sso, "name": f"Token {number}",
                "tokenExpiresIn": "7776000s",
            }), on=connection)
            if answer.status != 200:
                raise Failed(f"CreateSCIMConfiguration: {answer.status} {answer.body[:200]}")
            tokens.append(json.loads(answer.body)["token"])

    raised = [result for result in in_threads(MAKERS, make, SECONDS) if result is not None]
    if raised:
        raise raised[0]
    return tokens


def after_a_restart(place):
    servers = [place.server() for _ in range(2)]
    for server in servers:
        server.start()
    began = time.monotonic()
    tokens = make_tokens(place, servers)
    made = time.monotonic() - began
    first = in_threads(2, lambda n: Pass(servers[n], CONNECTIONS // 2, tokens[n::2]), SECONDS)
    for server in servers:
        server.end(30)
    for result in first:
        if isinstance(result, Exception):
            raise result
    passes = []
    for connections in (CONNECTIONS, MANY_CONNECTIONS):
        server = place.server(ROLLCALL_CONNECTIONS_PER_CLIENT=str(MANY_CONNECTIONS))
        server.start()
        passes.append(Pass(server, connections, tokens))
        if connections == CONNECTIONS:
            again = Pass(server, connections, tokens)
        server.end(30)
    measured = (f"{TOKENS} tokens, made in {made:.0f} s, used first in {max(one.took for one in first):.1f} s; after a restart "
                f"{passes[0]}; once more without one {again}; after a restart {passes[1]}")
    if any(set(one.statuses) != {"200"} for one in (*first, *passes, again)) or passes[0].p99 > SLOW:
        raise Failed(measured)
    return measured


if __name__ == "__main__":
    if sys.argv[1:2] == ["client"]:
        print(json.dumps(client(int(sys.argv[2]), int(sys.argv[3]), sys.stdin.read().split())))
        sys.exit(0)
    sys.exit(main(after_a_restart))
