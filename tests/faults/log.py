"""A log that cannot be written, and output that nobody reads: requests are answered all the same."""

import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time

from server import Failed, wait_until
from support import START_SECONDS, ask, main, who_am_i

# Enough of them for what a pipe and a queue of lines may hold: 8 MB of log.
MANY_REQUESTS = 30_000


def must_serve(server, token, requests=50):
    """Whole answers, from the probe too."""
    for number in range(requests):
        for what, asked in (
            ("/livez", lambda: ask(server.port, "GET", "/livez", timeout=5)),
            ("GetAuthenticatedIdentity", lambda: who_am_i(server.port, token, timeout=5)),
            ("a page that is not there", lambda: ask(server.port, "GET", "/nowhere", timeout=5)),
        ):
            try:
                status = asked().status
            except OSError as error:
                raise Failed(f"{what}, request {number}: {error}") from None
            if status != (404 if "not there" in what else 200):
                raise Failed(f"{what}, request {number}: {status}")
    server.must_run()
    return f"{3 * requests} requests answered"


def takes_connections(server):
    try:
        socket.create_connection(("127.0.0.1", server.port), 1).close()
        return True
    except OSError:
        return False


def start(server, **output):
    """Until it listens: whether it answers is to be seen."""
    server.start(**output, wait=False)
    wait_until("the start of the server", START_SECONDS, lambda: takes_connections(server), server.must_run)


def reader_of_stderr_has_gone(place):
    server = place.server()
    read, write = os.pipe()
    try:
        start(server, stderr=write)
    finally:
        os.close(read)
        os.close(write)
    answered = must_serve(server, place.admin)
    return f"{answered}, ended after {server.end():.1f} s"


def disk_of_stderr_is_full(place):
    server = place.server()
    with open("/dev/full", "wb") as full:
        start(server, stderr=full)
    answered = must_serve(server, place.admin)
    return f"{answered}, ended after {server.end():.1f} s"


def nobody_reads_stdout_and_stderr(place):
    server = place.server()
    read, write = os.pipe()
    os.close(read)
    try:
        start(server, stdout=write, stderr=write)
    finally:
        os.close(write)
    answered = must_serve(server, place.admin)
    return f"{answered}, ended after {server.end():.1f} s"


def piped_into_head(place):
    """serve 2>&1 | head -1"""
    server = place.server()
    head = subprocess.Popen(["head", "-1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    start(server, stdout=head.stdin, stderr=head.stdin)
    head.stdin.close()
    answered = must_serve(server, place.admin)
    head.wait(5)
    head.stdout.close()
    return f"{answered}, ended after {server.end():.1f} s"


def pipelined(server, requests, seconds):
    """Sends requests without waiting for answers, and returns how many came."""
    request = f"GET /nowhere HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: {'x' * 64}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.setblocking(False)
        to_send, got, tail = memoryview(request * requests), 0, b""
        deadline = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
            while got < requests and time.monotonic() < deadline:
                for _, events in selector.select(0.2):
                    if events & selectors.EVENT_WRITE and to_send:
                        to_send = to_send[connection.send(to_send[:65536]):]
                        if not to_send:
                            selector.modify(connection, selectors.EVENT_READ)
                    if events & selectors.EVENT_READ:
                        data = connection.recv(262144)
                        if not data:
                            return got
                        data = tail + data
                        got += data.count(b"HTTP/1.1 404")
                        tail = data[-11:]
        return got


def nobody_reads_the_pipe(place):
    server = place.server()
    read, write = os.pipe()
    try:
        start(server, stderr=write)
    finally:
        os.close(write)
    began = time.monotonic()
    try:
        got = pipelined(server, MANY_REQUESTS, 30)
        if got != MANY_REQUESTS:
            raise Failed(f"after {got} of {MANY_REQUESTS} requests no answers came")
        took = time.monotonic() - began
        must_serve(server, place.admin)
        # Somebody reads again.
        said = []
        reader = threading.Thread(target=lambda: said.extend(open(read, "rb", closefd=False)), daemon=True)
        reader.start()

        def told():
            ask(server.port, "GET", "/livez")
            return any(b"dropped" in line for line in list(said))

        wait_until("the line that says how many lines were dropped", 15, told, server.must_run)
        line = next(line for line in said if b"dropped" in line).decode().strip()
        ended = server.end()
        reader.join(5)
        return f"{got} requests answered in {took:.1f} s; then: {line}; ended after {ended:.1f} s"
    finally:
        server.discard()
        os.close(read)


def nobody_reads_the_pipe_and_sigterm(place):
    server = place.server()
    read, write = os.pipe()
    try:
        start(server, stderr=write)
    finally:
        os.close(write)
    try:
        # Whether they are answered, another check sees.
        pipelined(server, MANY_REQUESTS, 3)
        return f"ended after {server.end():.1f} s"
    finally:
        server.discard()
        os.close(read)


def commands_in_a_closed_pipe(place):
    """They end quietly; those whose output is lost otherwise say so."""
    server = place.server()
    server.start()
    token = place.scim_token(server)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}
    for number in range(3):
        body = json.dumps({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": f"piped-{number}"})
        if ask(server.port, "POST", "/scim/v2/Users", headers, body).status != 201:
            raise Failed("a user could not be made")
    organization = who_am_i(server.port, place.admin)
    organization = json.loads(organization.body)["organizationId"]
    environment = {"DATABASE_URL": place.postgres.url, "ROLLCALL_SERVER": server.url, "ROLLCALL_TOKEN": place.admin}
    commands = ("scim events", "scim events --json", "status", "organization list", "keys generate", "token generate",
                f"token list --organization {organization}", "sso attempts", "--help", "--version")
    wrong = []
    for command in commands:
        read, write = os.pipe()
        os.close(read)
        try:
            done = place.run(*command.split(), environment=environment, stdout=write)
        finally:
            os.close(write)
        if done.returncode == 101 or done.stderr:
            wrong.append(f"{command.replace(organization, 'ID')} | true: {done.returncode} {done.stderr.strip()[:40]!r}")
    for command in ("keys generate", "token generate", "organization list", "scim events"):
        with open("/dev/full", "wb") as full:
            done = place.run(*command.split(), environment=environment, stdout=full)
        if done.returncode != 1 or not done.stderr.startswith("error:") or "panicked" in done.stderr:
            wrong.append(f"{command} >/dev/full: {done.returncode} {done.stderr.strip()[:40]!r}")
    server.end()
    if wrong:
        raise Failed(f"{len(wrong)} of {len(commands) + 4}: " + "; ".join(wrong))
    return f"{len(commands)} commands end quietly, 4 on a full disk with an error"


def a_token_that_could_not_be_printed(place):
    server = place.server()
    server.start()
    organization = json.loads(who_am_i(server.port, place.admin).body)["organizationId"]
    server.end()
    environment = {"DATABASE_URL": place.postgres.url}

    def create(name, stdout, *more):
        return place.run("token", "create", "--organization", organization, "--name", name, *more,
                         environment=environment, stdout=stdout)

    def live(name):
        tokens = json.loads(place.command("token", "list", "--organization", organization, "--json", **environment))
        return [token for token in tokens if token["name"] == name and token["revokedAt"] is None]

    wrong = []
    for more in ((), ("--json",)):
        for kind in ("closed pipe", "full disk"):
            name = f"{kind}{' as JSON' if more else ''}"
            if kind == "full disk":
                with open("/dev/full", "wb") as full:
                    done = create(name, full, *more)
            else:
                read, write = os.pipe()
                os.close(read)
                done = create(name, write, *more)
                os.close(write)
            if live(name):
                wrong.append(f"{name}: a token is left that nobody has")
            if done.returncode != 1 or not done.stderr.startswith("error:") or "panicked" in done.stderr:
                wrong.append(f"{name}: {done.returncode} {done.stderr.strip()[:40]!r}")
    printed = create("printed", subprocess.PIPE)
    if printed.returncode != 0 or not printed.stdout.startswith("rcapi_") or not live("printed"):
        wrong.append("one that was printed is not there")
    if wrong:
        raise Failed("; ".join(wrong))
    return "taken back in 4 cases of 4"


if __name__ == "__main__":
    sys.exit(main(
        (reader_of_stderr_has_gone, disk_of_stderr_is_full, nobody_reads_stdout_and_stderr, piped_into_head),
        (nobody_reads_the_pipe, nobody_reads_the_pipe_and_sigterm),
        (commands_in_a_closed_pipe, a_token_that_could_not_be_printed),
    ))
