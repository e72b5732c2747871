"""A sync that lives through a failover of the database: what was acknowledged is there, once.

Two PostgreSQL servers, the second a synchronous standby of the first; Rollcall knows both by DATABASE_URL. Workers create
users, and change some of them, as an identity provider does. In the middle of it the first server is killed (kill -9), and
the second is promoted. Meanwhile, Rollcall answers nothing but 503 with Retry-After, and nobody's connection to it breaks.

ROLLCALL_BIN names the server, ROLLCALL_FAILOVER_USERS how many users the sync has (default: 3000).
"""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error

import crash
from server import OPENER, Failed, Server, wait_until

USERS = int(os.environ.get("ROLLCALL_FAILOVER_USERS", "3000"))
# How long the sync and the look at it may take.
SYNC_SECONDS = 80
# How long there is no database that can be written to: longer than a request waits for one.
OUTAGE_SECONDS = 6
# How long after the promotion a write may have to wait.
RECOVERY_SECONDS = 5


class Standby(crash.Postgres):
    """A copy that follows the first."""

    def __init__(self, folder, primary):
        self.primary = primary
        super().__init__(folder, "standby")

    def make(self):
        self.tool("pg_basebackup", "-D", self.data, "-d", connection(self.primary), "--checkpoint=fast", "--write-recovery-conf")


def connection(postgres):
    return f"host=127.0.0.1 port={postgres.port} user=rollcall dbname=rollcall"


def query(postgres, statement):
    return postgres.tool("psql", "-XAtqd", connection(postgres), "-c", statement).strip()


class Client(crash.Client):
    """Holds the server to what it may say in a failover."""

    def once(self, method, path, body=None):
        answer = super().once(method, path, body)
        if answer is None:
            raise Failed(f"{method} {path} was not answered")
        if answer[0] >= 500 and (answer[0] != 503 or self.retry_after is None):
            raise Failed(f"{method} {path} was answered {answer[0]} with Retry-After: {self.retry_after}, {answer[1]}")
        return answer


class Sync(crash.Sync):
    """It knows when users were acknowledged.

    A commit may have gone through whose answer got lost with the first server. Its client is told 503 and sends the user
    again, who is then refused as the second of the name (409): `create` counts these, and takes no other 409.
    """

    client = Client

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.created_at = []

    def create(self, client, number):
        super().create(client, number)
        self.created_at.append(time.monotonic())


def readyz(server):
    try:
        with OPENER.open(f"{server.url}/readyz", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def must_be_refused(settings, command):
    """The command ends at once, with one line that says what is wrong and what to do."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ROLLCALL_")} | settings
    done = subprocess.run(
        [os.environ["ROLLCALL_BIN"], command], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    says_why = "is a standby, which cannot be written to" in done.stderr
    says_what_to_do = "the server that can be written to, or all servers" in done.stderr
    if done.returncode != 1 or len(done.stderr.splitlines()) != 1 or not says_why or not says_what_to_do:
        raise Failed(f"{command} on a standby ended with {done.returncode} and said: {done.stderr}")


def fail_over(folder, cleanup):
    primary = crash.Postgres(folder, "primary")
    cleanup.append(primary.discard)
    primary.start()
    primary.tool("createdb", "-h", "127.0.0.1", "-p", str(primary.port), "-U", "rollcall", "rollcall")
    standby = Standby(folder, primary)
    cleanup.append(standby.discard)
    standby.start()
    # After the copy was made, so that the standby itself will wait for nobody.
    query(primary, "alter system set synchronous_standby_names = '*'")
    query(primary, "select pg_reload_conf()")
    wait_until("the replication", 30, lambda: query(primary, "select sync_state from pg_stat_replication") == "sync")

    def generate(what):
        command = [os.environ["ROLLCALL_BIN"], what, "generate"]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    admin = generate("token")
    settings = {
        "DATABASE_URL": f"postgres://rollcall@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/rollcall",
        "ROLLCALL_ENCRYPTION_KEYS": generate("keys"),
        "ROLLCALL_BOOTSTRAP_ORGANIZATION": "Acme",
        "ROLLCALL_BOOTSTRAP_TOKEN": admin,
        "ROLLCALL_LISTEN": "127.0.0.1:0",
    }
    for attributes in ("", "?target_session_attrs=read-write"):
        alone = {**settings, "DATABASE_URL": standby.url + attributes}
        for command in ("migrate", "serve"):
            must_be_refused(alone, command)
    server = Server(folder / "server.log", settings)
    cleanup.append(server.discard)
    server.start()
    sync = Sync(server, server.make_scim_configuration(admin), USERS, SYNC_SECONDS)
    sync.start()

    def must_go_on():
        server.must_run()
        if sync.errors:
            sync.join()

    wait_until("half of the sync", SYNC_SECONDS, lambda: sync.reached(1 / 2), must_go_on)

    killed_at, acknowledged = time.monotonic(), len(sync.ids)
    primary.kill()
    if len(sync.ids) >= sync.users:
        raise Failed("the sync was over before the first server was killed")
    wait_until("the news that there is a standby alone", OUTAGE_SECONDS,
               lambda: readyz(server) == (503, "the database is a standby, which cannot be written to"), must_go_on)
    time.sleep(max(0.0, killed_at + OUTAGE_SECONDS - time.monotonic()))

    promoted_at = time.monotonic()
    query(standby, "select pg_promote()")
    promotion = time.monotonic() - promoted_at

    def after_the_promotion():
        return [moment for moment in list(sync.created_at) if moment > promoted_at]

    wait_until("a write after the promotion", 2 * RECOVERY_SECONDS, after_the_promotion, must_go_on)
    first = min(after_the_promotion())
    if first - promoted_at > RECOVERY_SECONDS:
        raise Failed(f"the first write came {first - promoted_at:.1f} s after the promotion began")
    if readyz(server) != (200, "ok"):
        raise Failed(f"after the promotion, readyz says {readyz(server)}")
    print(f"first server killed at {acknowledged} users; the second promoted {promoted_at - killed_at:.1f} s later, which took "
          f"{promotion:.2f} s; first write {first - promoted_at:.2f} s after the promotion began")
    sync.join()
    sync.verify()
    server.stop()
    return sync


def main():
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o711)  # PostgreSQL's user passes through.
        cleanup = []
        try:
            sync = fail_over(folder, cleanup)
            print(f"all {sync.users} users are there once ({sync.summary()}): {time.monotonic() - began:.1f} s")
            return 0
        except Failed as failure:
            print(f"the failover failed: {failure}")
            log = folder / "server.log"
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            print("--- the server's log, its end, without the requests that succeeded: ---")
            print("\n".join([line for line in lines if "status=2" not in line][-100:]))
            return 1
        finally:
            for end in reversed(cleanup):
                end()


if __name__ == "__main__":
    sys.exit(main())
