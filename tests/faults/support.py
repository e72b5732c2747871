"""What the checks of faults share: a PostgreSQL, servers on it, clients that see how a connection ends, and a proxy that can
fall silent.

A file calls `main` with its checks. A check is a function that is given the `Place`, returns what it measured, and raises
`Failed` with what does not hold.
"""

import asyncio
import contextlib
import errno
import http.client
import os
import pathlib
import random
import resource
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import crash
from server import Failed, Server, wait_until

# How long a server may take to start, or to end after it was told to.
START_SECONDS = 20
END_SECONDS = 10
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def quiet_port():
    """A port that no connection of ours gets for its own end: those are from 32768 on."""
    while True:
        port = random.randrange(20000, 32000)
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


class Rollcall(Server):
    """A server whose output may lead anywhere, and whose limits may be set."""

    def __init__(self, log, settings):
        super().__init__(log, settings)
        self.port = quiet_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment["ROLLCALL_LISTEN"] = f"127.0.0.1:{self.port}"

    def start(self, stdout=None, stderr=None, limits=(), wait=True):
        """`limits` are (resource, soft, hard)."""
        def restrict():
            for kind, soft, hard in limits:
                resource.setrlimit(kind, (soft, hard))

        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve"], env=self.environment, preexec_fn=restrict if limits else None,
                stdout=log if stdout is None else stdout, stderr=log if stderr is None else stderr,
            )
        if wait:
            wait_until("the start of the server", START_SECONDS, self.is_ready, self.must_run)

    def is_ready(self):
        try:
            return ask(self.port, "GET", "/readyz", timeout=5).status == 200
        except OSError:
            return False

    def memory(self, field):
        """A line of the kernel's about it, such as VmRSS and VmHWM, in MiB."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
        raise Failed(f"the kernel says nothing of {field}")

    def end(self, seconds=END_SECONDS, status=0):
        """Tells it to stop, and returns how long that took."""
        self.must_run()
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.ended(began, seconds, status)

    def ended(self, since, seconds=END_SECONDS, status=0):
        try:
            actual = self.process.wait(max(0.0, since + seconds - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Failed(f"the server ran on for {seconds} s after it was told to stop") from None
        if status is not None and actual != status:
            raise Failed(f"the server ended with the status {actual}")
        return time.monotonic() - since


class Place:
    """A PostgreSQL, and what servers on it need."""

    def __init__(self, folder):
        self.folder, self.cleanup, self.servers = folder, [], []
        self.lock, self.scim = threading.Lock(), None
        self.postgres = crash.Postgres(folder)
        self.postgres.port = quiet_port()
        self.postgres.url = f"postgres://rollcall@127.0.0.1:{self.postgres.port}/rollcall"
        self.cleanup.append(self.postgres.discard)
        # Backends whose clients fell silent stay.
        with (self.postgres.data / "postgresql.conf").open("a") as settings:
            settings.write("max_connections = 400\n")
        self.postgres.start()
        self.postgres.tool("createdb", *self.libpq()[:-2], "rollcall")
        self.keys, self.admin = self.command("keys", "generate"), self.command("token", "generate")

    def libpq(self):
        return "-h", "127.0.0.1", "-p", str(self.postgres.port), "-U", "rollcall", "-d", "rollcall"

    def settings(self, database=None):
        return {
            "DATABASE_URL": database or self.postgres.url,
            "ROLLCALL_ENCRYPTION_KEYS": self.keys,
            "ROLLCALL_BOOTSTRAP_ORGANIZATION": "Acme",
            "ROLLCALL_BOOTSTRAP_TOKEN": self.admin,
            # There is no load balancer that needs to hear of the end first.
            "ROLLCALL_DRAIN": "1s",
        }

    def server(self, database=None, **settings):
        """A server that is not started yet."""
        with self.lock:
            name = f"server-{len(self.servers)}.log"
            server = Rollcall(self.folder / name, self.settings(database) | settings)
            self.servers.append(server)
            self.cleanup.append(server.discard)
        return server

    def run(self, *arguments, environment=None, stdout=subprocess.PIPE, timeout=60):
        """A command, to its end. Whose output is read it has as text."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ROLLCALL_")}
        return subprocess.run(
            [os.environ["ROLLCALL_BIN"], *arguments], env=kept | (environment or {}), stdout=stdout,
            stderr=subprocess.PIPE, text=True, timeout=timeout, check=False,
        )

    def command(self, *arguments, **settings):
        """What a command that must succeed prints."""
        done = self.run(*arguments, environment=settings)
        if done.returncode != 0:
            raise Failed(f"{' '.join(arguments[:2])} ended with {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    def query(self, statement):
        return self.postgres.tool("psql", "-XAtq", *self.libpq(), "-c", statement).strip()

    @contextlib.contextmanager
    def locked(self, table):
        """While this lasts, nobody else reads or writes the table."""
        psql = subprocess.Popen(
            [self.postgres.bin / "psql", "-XAtq", *self.libpq()], cwd=self.postgres.folder, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **self.postgres.owner,
        )
        try:
            psql.stdin.write(f"begin; lock table {table} in access exclusive mode;\n\\echo locked\n")
            psql.stdin.flush()
            said = psql.stdout.readline()
            if said != "locked\n":
                raise Failed(f"psql says {said}")
            yield
        finally:
            psql.stdin.close()
            psql.wait(10)
            psql.stdout.close()

    def waiting_for(self, table):
        """How many connections wait for a table that is locked."""
        return int(self.query(f"select count(*) from pg_locks where not granted and relation = '{table}'::regclass"))

    def scim_token(self, server):
        """The token of the SCIM configuration, which the first who asks makes."""
        with self.lock:
            if self.scim is None:
                self.scim = server.make_scim_configuration(self.admin)
            return self.scim

    def log_of_servers(self):
        for server in self.servers:
            if server.log.exists():
                lines = server.log.read_text(errors="replace").splitlines()
                told = [line for line in lines if "status=2" not in line][-15:]
                if told:
                    yield f"--- {server.log.name}, its end, without the requests that succeeded: ---"
                    yield from (line[:300] for line in told)


class Answer:
    def __init__(self, response):
        self.status, self.body = response.status, response.read()
        self.headers = response.headers
        self.closes = response.will_close


def connect(port, source="127.0.0.1", timeout=10):
    return http.client.HTTPConnection("127.0.0.1", port, timeout=timeout, source_address=(source, 0))


def ask(port, method, path, headers=None, body=None, source="127.0.0.1", timeout=10, on=None):
    """A request on a connection of its own, or on a given one. `OSError` when there is no whole answer."""
    connection = on or connect(port, source, timeout)
    try:
        connection.request(method, path, body, headers or {})
        return Answer(connection.getresponse())
    except http.client.HTTPException as error:
        raise ConnectionError(f"no whole answer: {error!r}") from error
    finally:
        if on is None:
            connection.close()


def rpc(port, token, method, body="{}", **options):
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    return ask(port, "POST", f"/api/gitpod.v1.{method}", headers, body, **options)


def who_am_i(port, token, **options):
    """A request that reads one row, of api_tokens."""
    return rpc(port, token, "IdentityService/GetAuthenticatedIdentity", **options)


def in_threads(count, work, seconds=120):
    """Runs `work(number)` as often at once, and returns what each returned or raised."""
    results = [None] * count

    def run(number):
        try:
            results[number] = work(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        raise Failed(f"{sum(thread.is_alive() for thread in threads)} of {count} were not done after {seconds} s")
    return results


class Load:
    """Clients that ask again and again, until the end, and write down when they were answered what.

    `ask_once(number)` returns an `Answer` or raises `OSError`.
    """

    def __init__(self, clients, ask_once, pause=0.05):
        self.ask_once, self.pause = ask_once, pause
        self.over = threading.Event()
        self.answers = []  # (when asked, when answered, the status or the error's text)
        self.pending = {}  # when what is not answered yet was asked
        self.threads = [threading.Thread(target=self.work, args=(n,), daemon=True) for n in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()

    def work(self, number):
        while not self.over.is_set():
            began = self.pending[number] = time.monotonic()
            try:
                result = self.ask_once(number).status
            except OSError as error:
                result = f"{type(error).__name__}: {error}"
            del self.pending[number]
            self.answers.append((began, time.monotonic(), result))
            self.over.wait(self.pause)

    def since(self, moment):
        """What was asked after it."""
        return [answer for answer in list(self.answers) if answer[0] >= moment]

    def good(self, moment):
        return [answer for answer in self.since(moment) if answer[2] == 200]

    def bad(self, moment=0.0):
        return [answer for answer in self.since(moment) if answer[2] != 200]

    def oldest(self):
        """For how long somebody has been waiting for an answer."""
        return max((time.monotonic() - began for began in list(self.pending.values())), default=0.0)


class Link:
    """A connection through the proxy."""

    def __init__(self):
        self.frozen, self.readies, self.writers = False, 0, []


class Proxy:
    """Stands between a server and its PostgreSQL, and can freeze: it goes on to take bytes, and they lead nowhere.

    `accepts` says what becomes of new connections: they "pass", find "silence", or are "cut". With `silent_after`, a new
    connection freezes when PostgreSQL has said so many times that it is ready for a query.
    """

    READY = b"Z\x00\x00\x00\x05"

    def __init__(self, port):
        self.upstream, self.accepts, self.silent_after = port, "pass", None
        self.links, self.accepted = [], 0
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        threading.Thread(target=self.serve, args=(started,), daemon=True).start()
        started.wait()

    def url(self, **parameters):
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        return f"postgres://rollcall@127.0.0.1:{self.port}/rollcall?{query}"

    def serve(self, started):
        asyncio.set_event_loop(self.loop)
        server = self.loop.run_until_complete(asyncio.start_server(self.accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()

    async def accept(self, reader, writer):
        self.accepted += 1
        if self.accepts == "cut":
            writer.close()
            return
        link = Link()
        link.writers.append(writer)
        self.links.append(link)
        if self.accepts == "silence":
            link.frozen = True
            while await reader.read(65536):
                pass
            self.links.remove(link)
            writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self.upstream)
        link.writers.append(back)
        await asyncio.gather(self.pump(link, reader, back, False), self.pump(link, there, writer, True))
        if link in self.links:
            self.links.remove(link)

    async def pump(self, link, reader, writer, is_answer):
        try:
            while data := await reader.read(65536):
                if link.frozen:
                    continue
                if is_answer and self.silent_after is not None:
                    link.readies += data.count(self.READY)
                    link.frozen = link.readies >= self.silent_after
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        # A network that swallows everything does not tell that somebody hung up, either.
        if not link.frozen:
            writer.close()

    def freeze(self):
        """From now on nothing passes through the connections that there are; returns how many there are."""
        links = [link for link in self.links if not link.frozen]
        for link in links:
            link.frozen = True
        return len(links)

    def open(self):
        return sum(not link.frozen for link in self.links)

    def thaw(self):
        """All is well for new connections, and those that are silent break."""
        self.accepts, self.silent_after = "pass", None

        def cut():
            for link in self.links:
                if link.frozen:
                    for writer in link.writers:
                        writer.transport.abort()

        self.loop.call_soon_threadsafe(cut)


class Crowd:
    """Many connections that send `opening`, then a byte of `drip` every `pause` seconds, and wait to be ended."""

    def __init__(self, port, count, opening=b"", sources=("127.0.0.1",), drip=b"", pause=5.0):
        self.port, self.count, self.opening, self.sources = port, count, opening, sources
        self.drip, self.pause = drip, pause
        self.ended, self.answered = {}, 0
        # Whether what is open was connected to.
        self.sockets, self.error = {}, None
        self.selector = selectors.DefaultSelector()
        self.over = threading.Event()
        self.opened_at = time.monotonic()
        self.thread = threading.Thread(target=self.work, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(10)
        for connection in list(self.sockets):
            connection.close()
        self.selector.close()
        if self.error:
            raise Failed(f"the test itself could not connect: {self.error}")

    def work(self):
        for number in range(self.count):
            self.connect(self.sources[number % len(self.sources)])
        next_drip = time.monotonic() + self.pause
        dripped = 0
        while self.sockets and not self.over.is_set():
            for key, events in self.selector.select(0.2):
                self.look(key.fileobj, events)
            if self.drip and time.monotonic() >= next_drip:
                next_drip += self.pause
                byte = self.drip[dripped % len(self.drip):][:1]
                dripped += 1
                for connection, state in list(self.sockets.items()):
                    if state:
                        self.send(connection, byte)

    def connect(self, source):
        connection = socket.socket()
        connection.setblocking(False)
        # The address alone: the port is chosen when it is known where the connection leads.
        connection.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        connection.bind((source, 0))
        error = connection.connect_ex(("127.0.0.1", self.port))
        if error not in (0, errno.EINPROGRESS):
            self.error = OSError(error, os.strerror(error))
            connection.close()
            return
        self.sockets[connection] = 0
        self.selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)

    def look(self, connection, events):
        try:
            if events & selectors.EVENT_WRITE:
                error = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    raise OSError(error, os.strerror(error))
                if not self.sockets[connection]:
                    self.sockets[connection] = 1
                    self.selector.modify(connection, selectors.EVENT_READ)
                    connection.send(self.opening)
            if events & selectors.EVENT_READ:
                data = connection.recv(65536)
                if data:
                    self.answered += 1
                else:
                    self.end(connection)
        except BlockingIOError:
            pass
        except OSError:
            self.end(connection)

    def send(self, connection, data):
        try:
            connection.send(data)
        except BlockingIOError:
            pass
        except OSError:
            self.end(connection)

    def end(self, connection):
        if self.sockets.pop(connection, None) is not None:
            self.selector.unregister(connection)
            connection.close()
            self.ended[len(self.ended)] = time.monotonic() - self.opened_at

    def left(self):
        return self.count - len(self.ended)

    def last(self):
        return max(self.ended.values(), default=0.0)


class H2:
    """As much of HTTP/2 (RFC 9113) as it takes to ask, to wait and to answer pings."""

    DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0x0, 0x1, 0x3, 0x4, 0x6, 0x7
    END_STREAM, END_HEADERS, ACK = 0x1, 0x4, 0x1

    def __init__(self, port, source="127.0.0.1"):
        self.socket = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
        self.buffer, self.next_stream = b"", 1
        self.open, self.done, self.pings, self.is_closed = set(), 0, 0, False
        self.socket.sendall(PREFACE + self.frame(self.SETTINGS, 0, 0))

    @staticmethod
    def frame(kind, flags, stream, payload=b""):
        return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload

    @staticmethod
    def fields(*pairs):
        """Literal fields that nobody is to remember (RFC 7541, section 6.2.2)."""
        return b"".join(b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value for name, value in pairs)

    def request(self, method, path, *headers, ends=True):
        """The frame of a request, which is not sent yet."""
        fields = self.fields((b":method", method), (b":scheme", b"http"), (b":authority", b"localhost"),
                             (b":path", path), *headers)
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.open.add(stream)
        return self.frame(self.HEADERS, self.END_HEADERS | (self.END_STREAM if ends else 0), stream, fields)

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            self.is_closed = True

    def read(self):
        """Takes what has come, and answers what has to be."""
        try:
            data = self.socket.recv(65536)
        except (BlockingIOError, TimeoutError):
            return
        except OSError:
            data = b""
        if not data:
            self.is_closed = True
        self.buffer += data
        while len(self.buffer) >= 9:
            length = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + length:
                break
            kind, flags = self.buffer[3], self.buffer[4]
            stream = int.from_bytes(self.buffer[5:9], "big") & 0x7FFFFFFF
            payload, self.buffer = self.buffer[9:9 + length], self.buffer[9 + length:]
            self.take(kind, flags, stream, payload)

    def take(self, kind, flags, stream, payload):
        if kind == self.SETTINGS and not flags & self.ACK:
            self.send(self.frame(self.SETTINGS, self.ACK, 0))
        elif kind == self.PING and not flags & self.ACK:
            self.pings += 1
            self.send(self.frame(self.PING, self.ACK, 0, payload))
        elif kind == self.RST_STREAM or (kind in (self.DATA, self.HEADERS) and flags & self.END_STREAM):
            if stream in self.open:
                self.open.remove(stream)
                self.done += 1

    def close(self):
        self.socket.close()


def within(what, seconds, is_so, check=lambda: None):
    """Like `wait_until`; returns how long it took."""
    began = time.monotonic()
    wait_until(what, seconds, is_so, check)
    return time.monotonic() - began


def main(*groups):
    """Runs the checks of a file one after the other, those in a tuple at once, those in a list in it one after the other.

    Arguments name the ones to run.
    """
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted, failed = sys.argv[1:], []
    name = pathlib.Path(sys.argv[0]).stem
    groups = [group if isinstance(group, tuple) else (group,) for group in groups]
    groups = [[row if isinstance(row, list) else [row] for row in group] for group in groups]
    unknown = set(wanted) - {check.__name__ for group in groups for row in group for check in row}
    if unknown:
        print(f"{name} has no check of the name {', '.join(sorted(unknown))}")
        return 2

    def run_row(row):
        for check in row:
            if not wanted or check.__name__ in wanted:
                run(check)

    def run(check):
        began = time.monotonic()
        try:
            result = "ok      ", check(place)
        except Failed as failure:
            result = "FAILED  ", str(failure)
        except OSError as error:
            result = "FAILED  ", f"{type(error).__name__}: {error}"
        except Exception:
            result = "FAILED  ", traceback.format_exc()
        if result[0] != "ok      ":
            failed.append(check)
        print(f"{result[0]}{name} {check.__name__}: {result[1]} ({time.monotonic() - began:.1f} s)", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o711)  # PostgreSQL's user passes through.
        place = None
        try:
            place = Place(folder)
            for group in groups:
                threads = [threading.Thread(target=run_row, args=(row,), daemon=True) for row in group]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            if failed and os.environ.get("ROLLCALL_FAULTS_LOGS", "1") != "0":
                print("\n".join(place.log_of_servers()))
        finally:
            for end in reversed(place.cleanup if place else []):
                end()
    return 1 if failed else 0
