"""Full disks, under the embedded PostgreSQL and under a real one: small file systems that are filled.

It takes root to mount them; where that is not allowed, the checks say so and hold.
"""

import contextlib
import json
import os
import subprocess
import sys

import crash
from server import Failed, wait_until
from support import ask, main, within

SCIM = "application/scim+json"
# Of the small file systems: a new database takes 40 MB, and while it is made, some more.
SIZE = "96m"
# How long a server may take to be ready again after there is room.
READY_SECONDS = 20
# How much of a user may be of no use.
PADDING = "x" * 500
SKIPPED = "skipped: this machine lets nobody mount a file system"


class Disk:
    """A file system of its own, that can be filled."""

    def __init__(self, folder):
        self.folder, self.filling = folder, folder / "filling"
        folder.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=755", "tmpfs", folder],
                                 capture_output=True, check=False)
        self.is_mounted = mounted.returncode == 0

    def fill(self, keep=0):
        """Leaves `keep` bytes."""
        with self.filling.open("ab", buffering=0) as file:
            with contextlib.suppress(OSError):
                while file.write(bytes(1 << 20)):
                    pass
            with contextlib.suppress(OSError):
                while file.write(bytes(4096)):
                    pass
            if keep:
                file.truncate(file.tell() - keep)

    def free(self):
        self.filling.unlink()

    def discard(self):
        if self.is_mounted:
            subprocess.run(["umount", "--lazy", self.folder], check=False)


def disk(place, name):
    made = Disk(place.folder / name)
    place.cleanup.append(made.discard)
    return made


class Scim:
    """Pushes users, and knows which were acknowledged."""

    def __init__(self, server, admin):
        self.port = server.port
        self.token = server.make_scim_configuration(admin)
        self.acknowledged = {}

    def push(self, number, timeout=60):
        user = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": f"user-{number}@example.com",
                "displayName": PADDING, "active": True}
        answer = self.ask("POST", "/Users", json.dumps(user), timeout)
        if answer.status == 201:
            self.acknowledged[json.loads(answer.body)["id"]] = user["userName"]
        return answer

    def ask(self, method, path, body=None, timeout=60):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": SCIM}
        return ask(self.port, method, f"/scim/v2{path}", headers, body, timeout=timeout)

    def verify(self):
        for user, name in self.acknowledged.items():
            answer = self.ask("GET", f"/Users/{user}")
            if answer.status != 200 or json.loads(answer.body)["userName"] != name:
                raise Failed(f"an acknowledged user is gone: {answer.status} {answer.body}")
        total = json.loads(self.ask("GET", "/Users?count=0").body)["totalResults"]
        if total != len(self.acknowledged):
            raise Failed(f"there are {total} users, and {len(self.acknowledged)} were acknowledged")


def readiness(server):
    answer = ask(server.port, "GET", "/readyz", timeout=60)
    return answer.status, answer.body.decode()


def embedded(place, data):
    server = place.server()
    server.environment = {k: v for k, v in server.environment.items() if not k.startswith(("DATABASE_URL", "ROLLCALL_"))}
    server.environment |= {"ROLLCALL_DATA_DIR": str(data), "ROLLCALL_LISTEN": f"127.0.0.1:{server.port}"}
    return server


def until_refused(scim, begin=0, most=20000):
    """Pushes until there is no room, and returns the number of the user who found none, and what was said."""
    for number in range(begin, most):
        answer = scim.push(number)
        if answer.status != 201:
            return number, answer
    raise Failed(f"{most} users were pushed to a full disk")


def holds_while_full(server, scim):
    """What has to be so while there is no room. Returns the number of the next user."""
    number, answer = until_refused(scim)
    if answer.status != 503 or not answer.headers.get("Retry-After"):
        raise Failed(f"a write was answered {answer.status}, {answer.headers.get('Retry-After')}: {answer.body}")
    if readiness(server) != (503, "the database cannot be written to, because its disk is full"):
        raise Failed(f"readiness is {readiness(server)}")
    if scim.ask("GET", "/Users?count=1").status != 200:
        raise Failed("what is there cannot be read")
    return number


def ready_again(server, scim, number):
    took = within("to be ready again", READY_SECONDS, server.is_ready, server.must_run)
    answer = scim.push(number)
    if answer.status != 201:
        raise Failed(f"with room again, a write is answered {answer.status}: {answer.body}")
    scim.verify()
    return took


def first_start(place):
    """On a disk that fills while the database is made."""
    small = disk(place, "first-start")
    if not small.is_mounted:
        return SKIPPED
    data = small.folder / "data"
    said = set()
    for room in (0, 8 << 10, 4 << 20, 24 << 20, 44 << 20):
        small.fill(room)
        server = embedded(place, data)
        server.start(wait=False)
        # With more room than it takes, it starts.
        wait_until("its end", 60, lambda: server.process.poll() is not None or (room > 40 << 20 and server.is_ready()))
        if server.process.poll() is None:
            server.end()
        else:
            text = server.log.read_text(errors="replace")
            if server.process.returncode != 1 or "is full: make room" not in text:
                raise Failed(f"with {room} bytes of room it ended with {server.process.returncode}: {text}")
            said.add(room)
        small.free()
        if room <= 24 << 20 and any((data / name).exists() for name in ("admin-token", "postgres/tmp", "postgres.new")):
            raise Failed(f"with {room} bytes of room, it leaves {sorted(os.listdir(data))}")
    server = embedded(place, data)
    server.start()
    scim = Scim(server, (data / "admin-token").read_text().strip())
    if scim.push(1).status != 201:
        raise Failed("it takes no user")
    server.end()
    return f"{len(said)} of 5 starts said that the disk is full; with room it started"


def writes(place):
    """While the embedded PostgreSQL runs."""
    small = disk(place, "writes")
    if not small.is_mounted:
        return SKIPPED
    server = embedded(place, small.folder / "data")
    server.start()
    scim = Scim(server, (small.folder / "data/admin-token").read_text().strip())
    small.fill()
    number = holds_while_full(server, scim)
    small.free()
    took = ready_again(server, scim, number)
    server.end()
    return f"503 with Retry-After, and not ready; ready {took:.1f} s after there was room"


def write_ahead_log(place):
    """Until the embedded PostgreSQL ends, because it cannot go on without it."""
    small = disk(place, "log")
    if not small.is_mounted:
        return SKIPPED
    server = embedded(place, small.folder / "data")
    server.start()
    scim = Scim(server, (small.folder / "data/admin-token").read_text().strip())
    small.fill()
    number, ended = 0, False
    while not ended:
        number, answer = until_refused(scim, number)
        if answer.status != 503:
            raise Failed(f"a write was answered {answer.status}: {answer.body}")
        number += 1
        ended = "the embedded PostgreSQL ended" in server.log.read_text(errors="replace")
        if number > 20000:
            raise Failed("it does not end")
    small.free()
    took = ready_again(server, scim, number)
    server.end()
    server.start()
    scim.verify()
    server.end()
    return f"after {number} writes; ready {took:.1f} s after there was room"


def postgres(place):
    """Under a PostgreSQL of its own."""
    small = disk(place, "postgres-disk")
    if not small.is_mounted:
        return SKIPPED
    database = crash.Postgres(small.folder)
    place.cleanup.append(database.discard)
    database.start()
    database.tool("createdb", "-h", "127.0.0.1", "-p", str(database.port), "-U", "rollcall", "rollcall")
    server = place.server(database=database.url)
    server.start()
    scim = Scim(server, place.admin)
    small.fill()
    number = holds_while_full(server, scim)
    small.free()
    took = ready_again(server, scim, number)
    server.end()
    return f"503 with Retry-After, and not ready; ready {took:.1f} s after there was room"


if __name__ == "__main__":
    sys.exit(main((first_start, writes, write_ahead_log, postgres)))
