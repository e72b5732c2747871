"""A server that is told to stop: first it is not ready, then it takes no more, and nobody is cut off."""

import signal
import socket
import subprocess
import sys
import time

from server import Failed, wait_until
from support import H2, ask, connect, in_threads, main, within

# How long requests are taken after the signal, as it is set here.
DRAIN_SECONDS = 2
# How much longer the end may take when nothing is under way.
END_SECONDS = 2
FORM = "Content-Type: application/x-www-form-urlencoded"


def drained(place, seconds=DRAIN_SECONDS):
    server = place.server(ROLLCALL_DRAIN=f"{seconds}s")
    server.start()
    return server


def tell(server, kind=signal.SIGTERM):
    server.must_run()
    server.process.send_signal(kind)
    return time.monotonic()


def status(server, path):
    """What a new connection is told; `None` when nobody takes it.

    The kernel resets those that wait to be taken when the listener closes.
    """
    try:
        return ask(server.port, "GET", path, timeout=5).status
    except (ConnectionRefusedError, ConnectionResetError):
        return None


def readiness_goes_first(place):
    server = drained(place)
    kept = connect(server.port)
    ask(server.port, "GET", "/livez", on=kept)
    told_at = tell(server)
    try:
        unready = within("/readyz to say no", 1, lambda: status(server, "/readyz") == 503)
        told = ask(server.port, "GET", "/livez", on=kept).status
    except (OSError, Failed) as error:
        raise Failed(f"after SIGTERM: {error}") from None
    taken = 0
    while (answer := status(server, "/login")) == 200:
        taken += 1
        time.sleep(0.05)
    closed = time.monotonic() - told_at
    ended = server.ended(told_at)
    measured = (f"503 from /readyz after {unready:.2f} s, {taken} requests on new connections taken, the listener closed after "
                f"{closed:.1f} s, ended after {ended:.1f} s")
    if told != 200 or answer is not None or closed < DRAIN_SECONDS - 0.5 or ended > DRAIN_SECONDS + END_SECONDS:
        raise Failed(measured + f"; at last: {answer}; on a connection that was there: {told}")
    return measured


def never_spoke(server):
    return socket.create_connection(("127.0.0.1", server.port))


def spoke_in_part(server):
    connection = never_spoke(server)
    connection.sendall(b"PRI * HT")
    return connection


def sent_half_a_head(server):
    connection = never_spoke(server)
    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: local")
    return connection


def is_idle(server):
    connection = connect(server.port)
    ask(server.port, "GET", "/livez", on=connection)
    return connection


def is_idle_http2(server):
    client = H2(server.port)
    client.send(client.request(b"GET", b"/livez"))
    while not client.done:
        client.read()
    return client


def nobody_holds_the_end(place):
    """Connections on which nothing is under way."""
    kinds = (never_spoke, spoke_in_part, sent_half_a_head, is_idle, is_idle_http2)

    def end(number):
        server = drained(place)
        connections = [kinds[number](server) for _ in range(5)]
        server.is_ready()
        took = server.ended(tell(server), 40)
        for connection in connections:
            connection.close()
        return took

    times = in_threads(len(kinds), end, 60)
    for result in times:
        if isinstance(result, Exception):
            raise result
    measured = "ended after " + ", ".join(f"{took:.1f} s ({kind.__name__})" for kind, took in zip(kinds, times))
    if max(times) > DRAIN_SECONDS + END_SECONDS:
        raise Failed(measured)
    return measured


class Upload:
    """A login whose form is sent in two parts."""

    def __init__(self, server):
        self.server = server
        self.socket = socket.create_connection(("127.0.0.1", server.port), 10)
        self.socket.sendall(f"POST /login HTTP/1.1\r\nHost: localhost\r\n{FORM}\r\nContent-Length: 22\r\n\r\nemail=so".encode())

    def finish(self):
        """Sends the rest, and returns the status."""
        self.socket.sendall(b"meone%40a.test")
        head = self.socket.recv(65536).decode(errors="replace")
        return head.partition("\r\n")[0]


def what_is_under_way_is_finished(place):
    server = drained(place)
    upload = Upload(server)
    wait_until("the server to read", 5, server.is_ready)
    told_at = tell(server)
    # In the middle of the drain, and after it.
    during = Upload(server) if status(server, "/livez") == 200 else None
    within("the listener to close", 10, lambda: status(server, "/livez") is None)
    answers = [upload.finish()] + ([during.finish()] if during else [])
    ended = server.ended(told_at)
    measured = f"{' and '.join(answers)} after the listener closed; ended after {ended:.1f} s"
    if answers != ["HTTP/1.1 200 OK"] * 2:
        raise Failed(measured if during else f"{measured}; none was taken after SIGTERM")
    return measured


def the_second_signal_ends_at_once(place):
    times = {}

    def end(number):
        first, second = ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM))[number]
        server = drained(place, 20)
        upload = Upload(server)
        tell(server, first)
        # It has seen the first when it is not ready any more, or takes no more.
        within("the first signal to be seen", 5, lambda: status(server, "/readyz") != 200)
        if server.process.poll() is not None:
            raise Failed("the first signal ended it, with a request under way")
        times[f"{first.name} and {second.name}"] = server.ended(tell(server, second), 10, None)
        upload.socket.close()

    raised = [result for result in in_threads(2, end, 60) if result is not None]
    if raised:
        raise raised[0]
    measured = ", ".join(f"{kind}: {took:.2f} s" for kind, took in times.items())
    if max(times.values()) > 2:
        raise Failed(measured)
    return measured


def a_hangup_ends_nothing(place):
    server = drained(place)
    for _ in range(3):
        tell(server, signal.SIGHUP)
        try:
            code = server.process.wait(0.5)
        except subprocess.TimeoutExpired:
            continue
        raise Failed(f"SIGHUP ended the server, with the status {code}")
    if status(server, "/readyz") != 200:
        raise Failed("the server is not ready after SIGHUP")
    return f"ready after 3; ended by SIGTERM after {server.end():.1f} s"


if __name__ == "__main__":
    sys.exit(main((
        readiness_goes_first,
        nobody_holds_the_end,
        what_is_under_way_is_finished,
        the_second_signal_ends_at_once,
        a_hangup_ends_nothing,
    )))
