"""Clients that take a place and ask for nothing: everybody else is answered, and the places become free again."""

import resource
import selectors
import sys
import time

from server import Failed, wait_until
from support import H2, Crowd, Load, ask, connect, in_threads, main, within

# As a shell or a service manager has it, unless told otherwise.
DESCRIPTORS = [(resource.RLIMIT_NOFILE, 1024, 4096)]
# More than there are descriptors, unless the limit is raised; from several addresses, each with fewer than one may have.
CLIENTS = 1100
ADDRESSES = ("127.0.0.1", "127.0.0.3", "127.0.0.4")
# The address of somebody else.
GOOD = "127.0.0.2"
# How long a place can be held without a word, at most.
HELD_SECONDS = 60
# How long somebody else may have to wait for an answer.
ANSWER_SECONDS = 5

FORM = b"Host: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n"
LOGIN = b"POST /login HTTP/1.1\r\n" + FORM + b"\r\n"
BAD = f"Authorization: Bearer rcapi_{'0' * 32}_{'x' * 49}\r\nHost: localhost\r\nContent-Length: 1000\r\n".encode()
API = (b"POST /api/gitpod.v1.IdentityService/GetAuthenticatedIdentity HTTP/1.1\r\nContent-Type: application/json\r\n"
       + BAD + b"\r\n")
SCIM = b"POST /scim/v2/Users HTTP/1.1\r\nContent-Type: application/scim+json\r\n" + BAD.replace(b"rcapi", b"rcscim") + b"\r\n"


def good_client(server):
    """Somebody who comes anew for every page."""
    paths = ("/livez", "/login", "/readyz")
    return Load(2, lambda n: ask(server.port, "GET", paths[int(time.monotonic() * 7 + n) % 3], source=GOOD,
                                 timeout=ANSWER_SECONDS), pause=0.2)


def held_up(place, opening, sources=ADDRESSES, drip=b"", **settings):
    """A crowd that does not say what it wants, or not to the end."""
    server = place.server(**settings)
    server.start(limits=DESCRIPTORS)
    with good_client(server) as load:
        wait_until("the first answers", 10, lambda: len(load.good(0)) > 4, server.must_run)
        with Crowd(server.port, CLIENTS, opening, sources, drip) as crowd:
            deadline = time.monotonic() + HELD_SECONDS
            while crowd.left() and time.monotonic() < deadline:
                time.sleep(0.1)
            left, last = crowd.left(), crowd.last()
    bad, good = load.bad(), load.good(0)
    slowest = max(answered - asked for asked, answered, _ in load.answers)
    measured = (f"of {CLIENTS} connections {left} are left after {HELD_SECONDS} s, the last ended after {last:.1f} s; of somebody "
                f"else's {len(good) + len(bad)} requests {len(bad)} failed, the slowest took {slowest:.2f} s")
    if left or bad:
        raise Failed(measured + (f" ({bad[0][2]})" if bad else ""))
    server.end()
    return measured


def silent(place):
    return held_up(place, b"")


def silent_from_one_address(place):
    return held_up(place, b"", ("127.0.0.1",))


def login_without_its_body(place):
    return held_up(place, LOGIN)


def api_without_its_body(place):
    return held_up(place, API)


def scim_without_its_body(place):
    return held_up(place, SCIM)


def head_byte_by_byte(place):
    return held_up(place, b"GET /login HTTP/1.1\r\nX-Long: ", drip=b"x")


def login_byte_by_byte(place):
    return held_up(place, LOGIN + b"email=", drip=b"x")


def scim_byte_by_byte(place):
    return held_up(place, SCIM + b"{", drip=b" ")


def many_streams(place):
    """200 connections of HTTP/2, each with 100 logins that never say who."""
    server = place.server()
    server.start(limits=DESCRIPTORS)
    ask(server.port, "GET", "/login")
    before = server.memory("VmRSS")
    clients = [H2(server.port) for _ in range(200)]
    began = time.monotonic()
    with selectors.DefaultSelector() as selector, good_client(server) as load:
        for client in clients:
            form = (b"content-type", b"application/x-www-form-urlencoded")
            client.send(b"".join(client.request(b"POST", b"/login", form, ends=False) for _ in range(100)))
            client.socket.setblocking(False)
            selector.register(client.socket, selectors.EVENT_READ, client)
        most = 0.0
        while selector.get_map() and any(client.open for client in clients) and time.monotonic() < began + HELD_SECONDS:
            for key, _ in selector.select(0.2):
                key.data.read()
                if key.data.is_closed:
                    key.data.open.clear()
                    selector.unregister(key.fileobj)
            most = max(most, server.memory("VmRSS"))
        took, left = time.monotonic() - began, sum(len(client.open) for client in clients)
    grown = max(most, server.memory("VmHWM")) - before
    for client in clients:
        client.close()
    measured = (f"20000 requests without bodies: {grown:.0f} MiB more, {left} of them are left after {took:.1f} s; of somebody "
                f"else's {len(load.answers)} requests {len(load.bad())} failed")
    if grown > 150 or left or load.bad():
        raise Failed(measured)
    server.end()
    return measured


def read_until_closed(client, seconds):
    """How long it takes the server to end a connection on which pings alone are answered; `None` if it does not."""
    began = time.monotonic()
    client.socket.settimeout(0.2)
    while time.monotonic() < began + seconds:
        client.read()
        if client.is_closed:
            return time.monotonic() - began
    return None


def idle_http2(place):
    """One that only answers pings is ended; one that asks now and then is not."""
    server = place.server(ROLLCALL_KEEP_ALIVE="5s")
    server.start()
    ends = {}

    def idle(kind):
        client = H2(server.port)
        if kind == "one that asked":
            client.send(client.request(b"GET", b"/livez"))
            while not client.done and not client.is_closed:
                client.read()
        ends[kind] = read_until_closed(client, 15), client.pings
        client.close()

    def busy(_):
        client = H2(server.port)
        for number in range(1, 8):
            client.send(client.request(b"GET", b"/livez"))
            if read_until_closed(client, 2) is not None or client.done != number:
                raise Failed(f"one that asks every 2 s was ended after {2 * number} s")
        client.close()

    works = [lambda _: idle("one that asked"), lambda _: idle("one that did not"), busy]
    raised = [result for result in in_threads(3, lambda n: works[n](n), 30) if result is not None]
    if raised:
        raise raised[0]
    times = {kind: "not" if at is None else f"after {at:.1f} s" for kind, (at, _) in ends.items()}
    measured = ", ".join(f"{kind} is ended {text} ({ends[kind][1]} pings)" for kind, text in times.items())
    if any(at is None or at > 12 for at, _ in ends.values()):
        raise Failed(measured)
    server.end()
    return measured


def idle_http1(place):
    """A proxy in front keeps its connections for a minute or so: whoever uses one after 20 s is answered."""
    server, short = place.server(), place.server(ROLLCALL_KEEP_ALIVE="5s")
    server.start()
    short.start()

    def use_after(seconds, server):
        connection = connect(server.port)
        if ask(server.port, "GET", "/livez", on=connection).status != 200:
            raise Failed("the first request was not answered")
        connection.sock.settimeout(seconds)
        began = time.monotonic()
        try:
            connection.sock.recv(1)
            return f"closed after {time.monotonic() - began:.1f} s"
        except TimeoutError:
            pass
        connection.sock.settimeout(5)
        try:
            return f"answered {ask(server.port, 'GET', '/livez', on=connection).status} after {seconds} s"
        except OSError as error:
            return f"not answered after {seconds} s: {error}"
        finally:
            connection.close()

    unset, five = in_threads(2, lambda n: use_after(*((20, server), (12, short))[n]), 60)
    measured = f"unless given: {unset}; with 5 s: {five}"
    if unset != "answered 200 after 20 s" or not str(five).startswith("closed"):
        raise Failed(measured)
    server.end()
    short.end()
    return measured


def one_address_has_its_share(place):
    """Connections for each address are bounded, and become free again."""
    server = place.server(ROLLCALL_CONNECTIONS_PER_CLIENT="20")
    server.start()
    connections = [connect(server.port, timeout=3) for _ in range(30)]

    def use(number):
        try:
            return ask(server.port, "GET", "/livez", on=connections[number]).status
        except OSError:
            return None

    results = [use(number) for number in range(30)]
    served = results.count(200)
    others = in_threads(20, lambda _: ask(server.port, "GET", "/livez", source=GOOD).status)
    for connection in connections:
        connection.close()
    back = within("a place after all were left", 10, lambda: answers(server) == 200, server.must_run)
    measured = (f"{served} of 30 connections are served ({sorted(set(map(str, results)))}), {others.count(200)} of 20 from another "
                f"address, and a new one {back:.1f} s after all were left")
    if not 18 <= served <= 20 or others != [200] * 20:
        raise Failed(measured)
    server.end()
    return measured


def answers(server):
    try:
        return ask(server.port, "GET", "/livez", timeout=2).status
    except OSError:
        return None


def behind_a_trusted_proxy(place):
    """The proxy's own connections are many people's: 600 from one address, each for somebody else."""
    server = place.server(ROLLCALL_TRUSTED_PROXIES="127.0.0.1/32")
    server.start(limits=DESCRIPTORS)
    connections = [connect(server.port, timeout=5) for _ in range(600)]
    wrong = []
    for _ in range(2):
        for number, connection in enumerate(connections):
            client = {"X-Forwarded-For": f"203.0.{number // 250}.{number % 250 + 1}"}
            try:
                status = ask(server.port, "GET", "/login", client, on=connection).status
            except OSError as error:
                status = str(error)
            if status != 200:
                wrong.append(status)
    for connection in connections:
        connection.close()
    measured = f"{1200 - len(wrong)} of 1200 requests on 600 connections for 600 clients are answered"
    if wrong:
        raise Failed(f"{measured} ({wrong[0]})")
    server.end()
    return measured


if __name__ == "__main__":
    sys.exit(main(
        (silent, silent_from_one_address, login_without_its_body, idle_http1),
        (api_without_its_body, scim_without_its_body, head_byte_by_byte, idle_http2),
        (login_byte_by_byte, scim_byte_by_byte, one_address_has_its_share),
        many_streams,
        behind_a_trusted_proxy,
    ))
