"""A sync that lives through crashes: what was acknowledged is there, once.

Workers create users, and change some of them, as an identity provider does: what is not acknowledged is sent again. In
the middle of it, what stores the data is killed (kill -9) and started again:

- Rollcall on its embedded PostgreSQL: the server is killed, and restarted on the same data directory;
- Rollcall on PostgreSQL: the server is killed and restarted at a third of the sync; at two thirds PostgreSQL is, with
  all its processes, while the server keeps running.

ROLLCALL_BIN names the server, ROLLCALL_CRASH_USERS how many users the sync to PostgreSQL has (default: 5000); that to the
embedded one, which serves one connection, has a fifth of them.
"""

import collections
import http.client
import itertools
import json
import os
import pathlib
import pwd
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

from server import Failed, Server, free_port, wait_until

USERS = int(os.environ.get("ROLLCALL_CRASH_USERS", "5000"))
WORKERS = 8
# Every so many users are changed after they were created, twice.
CHANGED_EVERY = 4
# How many users one filter looks for, afterwards.
FOUND_AT_ONCE = 10
# How long a request is sent again and again, for a server that restarts.
RETRY_SECONDS = 60
# How long everything may take that has an end in sight.
SCENARIO_SECONDS = 300
# What somebody in the middle of a crash may be told. Not 500: that says there is a fault. Not 401, 403 or 404: an
# identity provider would believe it.
TRY_AGAIN = {502, 503, 504}


class Client:
    """A connection of its own, opened again when it breaks."""

    def __init__(self, server, token):
        self.server, self.connection, self.retry_after = server, None, None
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}

    def once(self, method, path, body=None):
        """The status and the body, or None when there was no complete answer."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            self.connection.request(method, "/scim/v2" + path, json.dumps(body) if body else None, self.headers)
            response = self.connection.getresponse()
            payload = response.read()
            self.retry_after = response.getheader("Retry-After")
            if response.will_close:
                self.close()
            return response.status, json.loads(payload) if payload else None
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return None

    def get(self, path, **query):
        """A read that must succeed."""
        answer = self.once("GET", f"{path}?{urllib.parse.urlencode(query)}" if query else path)
        if answer is None or answer[0] != 200:
            raise Failed(f"GET {path} {query}: {answer}")
        return answer[1]

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


def user_name(number):
    return f"user-{number:06}@example.com"


class Sync:
    """What is sent, and what the server said to it."""

    client = Client

    def __init__(self, server, token, users, seconds=SCENARIO_SECONDS):
        self.server, self.token, self.users, self.seconds = server, token, users, seconds
        self.ids = {}  # of acknowledged users, by their numbers
        self.titles = {}  # the last acknowledged ones
        self.counts = collections.Counter()
        self.errors = []
        self.deadline = time.monotonic() + seconds
        self.numbers = iter(range(users))
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(WORKERS)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def reached(self, share):
        """Whether this share of the users was acknowledged, or the sync failed."""
        return len(self.ids) >= self.users * share or bool(self.errors)

    def join(self):
        for thread in self.threads:
            thread.join(max(0.0, self.deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self.threads):
            raise Failed(f"the sync took more than {self.seconds} seconds")
        if self.errors:
            raise Failed(f"{len(self.errors)} workers gave up: " + "; ".join(self.errors[:3]))

    def work(self):
        client = self.client(self.server, self.token)
        try:
            while not self.errors:
                with self.lock:
                    number = next(self.numbers, None)
                if number is None:
                    return
                self.create(client, number)
                if number % CHANGED_EVERY == 0:
                    for title in (f"draft {number}", f"final {number}"):
                        self.change(client, number, title)
        except Exception as error:  # Whatever it is, it must not be lost with the thread.
            self.errors.append(str(error) or repr(error))
        finally:
            client.close()

    def create(self, client, number):
        body = {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": user_name(number),
            "externalId": f"external-{number:06}",
            "name": {"givenName": "User", "familyName": str(number)},
            "emails": [{"value": user_name(number), "type": "work", "primary": True}],
            "active": True,
        }
        status, answer, attempts = self.until_answered(client, "POST", "/Users", body)
        if status == 201:
            self.counts["created"] += 1
            self.ids[number] = answer["id"]
        elif status == 409 and attempts > 1 and answer.get("scimType") == "uniqueness":
            # The attempt before was carried out, and its answer got lost.
            self.counts["created, though not acknowledged"] += 1
            query = "/Users?" + urllib.parse.urlencode({"filter": f'userName eq "{user_name(number)}"'})
            status, found, _ = self.until_answered(client, "GET", query)
            if status != 200 or found["totalResults"] != 1:
                raise Failed(f"{user_name(number)} is in use, but to find it gives {status} {found}")
            self.ids[number] = found["Resources"][0]["id"]
        else:
            raise Failed(f"POST of {user_name(number)}, attempt {attempts}: {status} {answer}")

    def change(self, client, number, title):
        body = {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "path": "title", "value": title}],
        }
        status, answer, attempts = self.until_answered(client, "PATCH", f"/Users/{self.ids[number]}", body)
        if status not in (200, 204):
            raise Failed(f"PATCH of {user_name(number)}, attempt {attempts}: {status} {answer}")
        self.counts["changed"] += 1
        self.titles[number] = title

    def until_answered(self, client, method, path, body=None):
        """Sends a request until the server says yes or no: the status, the body, and the number of attempts."""
        deadline = time.monotonic() + RETRY_SECONDS
        for attempt in itertools.count(1):
            answer = client.once(method, path, body)
            if answer and answer[0] not in TRY_AGAIN:
                return *answer, attempt
            self.counts[f"answered {answer[0]}" if answer else "not answered"] += 1
            if time.monotonic() > deadline:
                raise Failed(f"{method} {path} had no answer for {RETRY_SECONDS} seconds, at last {answer}")
            time.sleep(0.1)

    def verify(self):
        """Everything acknowledged is there, exactly once, as it was acknowledged."""
        if len(self.ids) != self.users or len(set(self.ids.values())) != self.users:
            raise Failed(f"{len(self.ids)} users acknowledged, with {len(set(self.ids.values()))} ids, of {self.users}")
        client = self.client(self.server, self.token)
        total = client.get("/Users", count=0)["totalResults"]
        if total != self.users:
            raise Failed(f"there are {total} users instead of {self.users}")
        listed = collections.Counter()
        cursor = ""
        while cursor is not None:
            page = client.get("/Users", cursor=cursor, count=1000, attributes="userName")
            listed.update(user["id"] for user in page["Resources"])
            cursor = page.get("nextCursor")
        if listed != collections.Counter(self.ids.values()):
            raise Failed("the list of all users is not the list of the acknowledged ones")
        client.close()

        wrong = []
        chunks = iter([range(at, min(at + FOUND_AT_ONCE, self.users)) for at in range(0, self.users, FOUND_AT_ONCE)])

        def check():
            client = self.client(self.server, self.token)
            while True:
                with self.lock:
                    chunk = next(chunks, None)
                if chunk is None:
                    break
                try:
                    self.verify_some(client, chunk)
                except Exception as error:
                    wrong.append(str(error) or repr(error))
            client.close()

        checkers = [threading.Thread(target=check, daemon=True) for _ in range(WORKERS)]
        for thread in checkers:
            thread.start()
        for thread in checkers:
            thread.join(max(0.0, self.deadline - time.monotonic()))
        if any(thread.is_alive() for thread in checkers):
            raise Failed(f"the sync and the look at it took more than {self.seconds} seconds")
        if wrong:
            raise Failed(f"of {len(wrong)} groups of users some are not as acknowledged: " + "; ".join(wrong[:3]))

    def verify_some(self, client, numbers):
        for number in numbers:
            user = client.get(f"/Users/{self.ids[number]}")
            expected = (self.ids[number], user_name(number), self.titles.get(number))
            actual = (user["id"], user["userName"], user.get("title"))
            if actual != expected:
                raise Failed(f"GET by id gives {actual} instead of {expected}")
        by_name = " or ".join(f'userName eq "{user_name(number)}"' for number in numbers)
        answer = client.get("/Users", filter=by_name, attributes="userName", count=2 * FOUND_AT_ONCE)
        found = sorted((user["userName"], user["id"]) for user in answer.get("Resources", []))
        expected = sorted((user_name(number), self.ids[number]) for number in numbers)
        if answer["totalResults"] != len(expected) or found != expected:
            raise Failed(f"the filter by userName gives {found} instead of {expected}")

    def summary(self):
        return ", ".join(f"{count} {what}" for what, count in sorted(self.counts.items()))


class Postgres:
    """A PostgreSQL of Debian's, as an unprivileged user. Nothing is switched off that makes it durable."""

    def __init__(self, folder, name="postgres"):
        found = list(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        if not found:
            raise Failed("PostgreSQL is missing: apt-get install postgresql")
        self.bin = max(found, key=lambda path: float(path.parent.name))
        self.folder = pathlib.Path(folder, name)
        self.folder.mkdir(0o700)
        self.owner = {}
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            self.owner = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self.log = self.folder / "log"
        self.data = self.folder / "data"
        self.port = free_port()
        self.url = f"postgres://rollcall@127.0.0.1:{self.port}/rollcall"
        self.process = None
        self.make()

    def make(self):
        self.tool("initdb", "-D", self.data, "-U", "rollcall", "--auth=trust", "--encoding=UTF8", "--locale=C")

    def tool(self, name, *arguments):
        done = subprocess.run(
            [self.bin / name, *arguments], cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, **self.owner,
        )
        if done.returncode != 0:
            raise Failed(f"{name}: {done.stdout}")
        return done.stdout

    def start(self):
        def start_once():
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    [self.bin / "postgres", "-D", self.data, "-p", str(self.port), "-k", self.folder,
                     "-c", "listen_addresses=127.0.0.1"],
                    cwd=self.folder, stdout=log, stderr=log, **self.owner,
                )

        def is_ready():
            if self.process.poll() is not None:
                # A process of the one before may not be quite gone yet.
                start_once()
            asked = subprocess.run(
                [self.bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", "rollcall"], check=False
            )
            return asked.returncode == 0

        start_once()
        wait_until("the start of PostgreSQL", 60, is_ready)

    def kill(self):
        """kill -9 of the postmaster and of all its children, which are in sessions of their own."""
        children = children_of(self.process.pid)
        self.process.send_signal(signal.SIGKILL)
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        return len(children)

    def discard(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


def children_of(parent):
    children = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in parentheses may have anything in it.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            children.append(int(stat.parent.name))
    return children


def on_embedded_postgres(folder, cleanup):
    """The server is killed, and restarted on the same data directory."""
    data = folder / "data"
    server = Server(folder / "server.log", {"ROLLCALL_DATA_DIR": str(data)})
    cleanup.append(server.discard)
    server.start()
    token = server.make_scim_configuration((data / "admin-token").read_text().strip())

    sync = Sync(server, token, max(USERS // 5, WORKERS))
    sync.start()
    wait_until("half of the sync", SCENARIO_SECONDS, lambda: sync.reached(1 / 2), server.must_run)
    kill_and_restart(sync, server)
    sync.join()
    sync.verify()
    server.stop()
    return sync


def on_postgres(folder, cleanup):
    """The server is killed and restarted; then PostgreSQL is, below the running server."""
    postgres = Postgres(folder)
    cleanup.append(postgres.discard)
    postgres.start()
    postgres.tool("createdb", "-h", "127.0.0.1", "-p", str(postgres.port), "-U", "rollcall", "rollcall")
    binary = os.environ["ROLLCALL_BIN"]
    keys = subprocess.run([binary, "keys", "generate"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    admin = subprocess.run([binary, "token", "generate"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    server = Server(folder / "server.log", {
        "DATABASE_URL": postgres.url,
        "ROLLCALL_ENCRYPTION_KEYS": keys,
        "ROLLCALL_BOOTSTRAP_ORGANIZATION": "Acme",
        "ROLLCALL_BOOTSTRAP_TOKEN": admin,
    })
    cleanup.append(server.discard)
    server.start()
    token = server.make_scim_configuration(admin)

    sync = Sync(server, token, USERS)
    sync.start()
    wait_until("a third of the sync", SCENARIO_SECONDS, lambda: sync.reached(1 / 3), server.must_run)
    kill_and_restart(sync, server)
    wait_until("two thirds of the sync", SCENARIO_SECONDS, lambda: sync.reached(2 / 3), server.must_run)
    acknowledged, began = len(sync.ids), time.monotonic()
    killed = postgres.kill()
    time.sleep(1)  # The server is to notice.
    if len(sync.ids) >= sync.users:
        raise Failed("the sync was over before PostgreSQL was killed")
    postgres.start()
    recovered = time.monotonic()
    wait_until("the recovery of the server", 60, server.is_ready, server.must_run)
    print(f"PostgreSQL and its {killed} children killed at {acknowledged} users, up again {recovered - began:.1f} s later, "
          f"the server ready {time.monotonic() - recovered:.1f} s after that")
    sync.join()
    sync.verify()
    server.stop()
    return sync


def kill_and_restart(sync, server):
    acknowledged, began = len(sync.ids), time.monotonic()
    server.kill()
    if len(sync.ids) >= sync.users:
        raise Failed("the sync was over before the server was killed")
    server.start()
    print(f"server killed at {acknowledged} users, ready again {time.monotonic() - began:.1f} s later")


def main():
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = 0
    for scenario in (on_embedded_postgres, on_postgres):
        print(f"{scenario.__name__}: {scenario.__doc__}", flush=True)
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            folder.chmod(0o711)  # PostgreSQL's user passes through.
            cleanup = []
            try:
                sync = scenario(folder, cleanup)
                print(f"{scenario.__name__}: all {sync.users} users are there once ({sync.summary()}): "
                      f"{time.monotonic() - began:.1f} s", flush=True)
            except Failed as failure:
                failed += 1
                print(f"{scenario.__name__} failed: {failure}")
                log = folder / "server.log"
                lines = log.read_text(errors="replace").splitlines() if log.exists() else []
                print("--- the server's log, its end, without the requests that succeeded: ---")
                print("\n".join([line for line in lines if "status=2" not in line][-100:]))
            finally:
                for end in reversed(cleanup):
                    end()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
