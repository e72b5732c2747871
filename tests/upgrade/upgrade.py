"""An upgrade from the release before, and the way back.

On one PostgreSQL: the old release makes its schema and data. The new one starts beside it, as in a rolling upgrade, and brings
the schema up to date: from then on both serve the same people, and know the tokens that the other made. Then the new one is
taken away, and the old one is started again. It has to start where its schema had the table `schema_compatibility`; a
release from before that rule refuses, says why, and leaves the schema alone.

Where the new schema says that the old release is too old for it, the old one is stopped first. The new one has to know its
people and its tokens, and the old one must not start again.

ROLLCALL_BIN names the new server, ROLLCALL_PREVIOUS_BIN the old one.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import crash
from server import OPENER, Failed, Server, wait_until

NEW, OLD = os.environ["ROLLCALL_BIN"], os.environ["ROLLCALL_PREVIOUS_BIN"]
COMMAND_SECONDS = 60


class Installation:
    """A database, and servers of both releases on it."""

    def __init__(self, folder):
        self.folder, self.servers = folder, []
        self.postgres = crash.Postgres(folder)
        self.postgres.start()
        self.make_database("rollcall")
        self.admin = self.command(NEW, "token", "generate")
        self.keys = self.command(NEW, "keys", "generate")

    def make_database(self, name):
        self.postgres.tool("createdb", *self.connection(), name)
        return self.postgres.url.rpartition("/")[0] + f"/{name}"

    def connection(self):
        return "-h", "127.0.0.1", "-p", str(self.postgres.port), "-U", "rollcall"

    def query(self, statement, database="rollcall"):
        return self.postgres.tool("psql", "-XAtq", *self.connection(), "-d", database, "-c", statement).strip()

    def schema(self):
        """The schema, and which migrations made it."""
        lines = self.postgres.tool("pg_dump", *self.connection(), "--schema-only", "rollcall").splitlines()
        # What keeps a dump from being read as another differs from one to the next.
        dump = [line for line in lines if "restrict" not in line]
        return dump, self.query("select version, checksum from _sqlx_migrations order by version")

    def server(self, binary, url=None):
        server = Server(self.folder / f"server-{len(self.servers)}.log", {
            "DATABASE_URL": url or self.postgres.url,
            "ROLLCALL_ENCRYPTION_KEYS": self.keys,
            "ROLLCALL_BOOTSTRAP_ORGANIZATION": "Acme",
            "ROLLCALL_BOOTSTRAP_TOKEN": self.admin,
        })
        server.binary = binary
        self.servers.append(server)
        return server

    def command(self, binary, *arguments, url=None):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ROLLCALL_")}
        done = subprocess.run([binary, *arguments], env=kept | {"DATABASE_URL": url or self.postgres.url},
                              capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
        if done.returncode != 0:
            raise Failed(f"{arguments[0]} ended with {done.returncode}: {done.stderr}")
        return done.stdout.strip()

    def discard(self):
        for server in self.servers:
            server.discard()
        self.postgres.discard()


def scim(server, token, method, path, body=None):
    request = urllib.request.Request(
        server.scim_url + path, json.dumps(body).encode() if body else None,
        {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}, method=method,
    )
    try:
        with OPENER.open(request, timeout=20) as response:
            payload = response.read()
            return json.loads(payload) if payload else None
    except urllib.error.HTTPError as error:
        raise Failed(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from None


def push(server, token, name):
    return scim(server, token, "POST", "/Users", {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": f"{name}@example.com",
        "emails": [{"value": f"{name}@example.com", "primary": True}], "active": True,
    })["id"]


def rename(server, token, user, title):
    scim(server, token, "PATCH", f"/Users/{user}", {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
        "Operations": [{"op": "replace", "path": "title", "value": title}],
    })


class Work:
    """What people do, with both releases in turn."""

    def __init__(self, installation, first):
        self.admin, self.users, self.count = installation.admin, {}, 0
        self.organization = first.call(self.admin, "IdentityService/GetAuthenticatedIdentity", {})["organizationId"]
        self.scim_tokens = [first.make_scim_configuration(self.admin)]
        listed = first.call(self.admin, "OrganizationService/ListSSOConfigurations", {"organizationId": self.organization})
        self.sso = listed["ssoConfigurations"][0]["id"]
        self.api_tokens = [self.admin]

    def do(self, installation, *servers):
        """Each server makes tokens and a user; then each works with what any of them made."""
        for server in servers:
            self.count += 1
            self.api_tokens.append(installation.command(server.binary, "token", "create", "--organization", self.organization))
            made = server.call(self.admin, "OrganizationService/CreateSCIMConfiguration", {
                "organizationId": self.organization, "ssoConfigurationId": self.sso, "name": f"Number {self.count}",
                "tokenExpiresIn": "7776000s",
            })
            self.scim_tokens.append(made["token"])
            push(server, made["token"], f"other-{self.count}")
            self.users[push(server, self.scim_tokens[0], f"user-{self.count}")] = None
        for number, server in enumerate(servers):
            for token in self.api_tokens:
                found = server.call(token, "OrganizationService/GetSSOConfiguration", {"ssoConfigurationId": self.sso})
                if found["ssoConfiguration"]["clientId"] != "my-client":
                    raise Failed(f"the SSO configuration is {found}")
            for token in self.scim_tokens:
                if scim(server, token, "GET", "/Users?count=0")["totalResults"] < 1:
                    raise Failed("a token of a SCIM configuration finds no user")
            for user in self.users:
                title = f"{self.count} {number}"
                rename(server, self.scim_tokens[0], user, title)
                for other in servers:
                    seen = scim(other, self.scim_tokens[0], "GET", f"/Users/{user}").get("title")
                    if seen != title:
                        raise Failed(f"one server writes the title {title!r}, and the other reads {seen!r}")


def go_back(installation, old, has_rule):
    """Starts the old release on the new schema. Whether it starts."""
    before = installation.schema()
    if has_rule:
        old.start()
    else:
        with old.log.open("wb") as log:
            old.process = subprocess.Popen([old.binary, "serve"], env=old.environment, stdout=log, stderr=log)
        wait_until("the end of a server that cannot start", COMMAND_SECONDS, lambda: old.process.poll() is not None)
        said = old.log.read_text()
        if old.process.returncode != 1 or "was previously applied but is missing" not in said:
            raise Failed(f"the old release ended with {old.process.returncode}: {said}")
        print(f"the release before knows no newer schema, and says so: {said.strip()}")
    if installation.schema() != before:
        raise Failed("the old release changed the new schema")


def start_together(installation):
    """Both releases, on a database in which there is nothing."""
    url = installation.make_database("together")
    servers = [installation.server(binary, url) for binary in (OLD, NEW)]
    for server in servers:
        with server.log.open("ab") as log:
            server.process = subprocess.Popen([server.binary, "serve"], env=server.environment, stdout=log, stderr=log)
    for server in servers:
        wait_until("the start of both", COMMAND_SECONDS, server.is_ready, server.must_run)
        server.stop()


def oldest_program(installation):
    """The newest migration of the oldest program that can work with the new schema."""
    installation.make_database("new")
    url = installation.postgres.url.rpartition("/")[0] + "/new"
    installation.command(NEW, "migrate", url=url)
    return int(installation.query("select oldest_version from schema_compatibility", database="new"))


def stop_and_start(installation, old, new, has_rule):
    """An upgrade to a schema with which the old release cannot work."""
    work = Work(installation, old)
    work.do(installation, old)
    old.stop()
    new.start()
    work.do(installation, new)
    new.stop()
    if has_rule:
        with old.log.open("wb") as log:
            old.process = subprocess.Popen([old.binary, "serve"], env=old.environment, stdout=log, stderr=log)
        wait_until("the end of a server that is too old", COMMAND_SECONDS, lambda: old.process.poll() is not None)
        if "cannot work" not in old.log.read_text():
            raise Failed(f"the old release ended with {old.process.returncode}: {old.log.read_text()}")
    else:
        go_back(installation, old, has_rule)
    new.start()
    work.do(installation, new)
    new.stop()
    print("the release before was stopped for the upgrade; its people and tokens are known, and it does not start again")


def upgrade(installation):
    old, new = installation.server(OLD), installation.server(NEW)
    old.start()
    has_rule = installation.query("select to_regclass('schema_compatibility') is not null") == "t"
    known = int(installation.query("select max(version) from _sqlx_migrations"))
    if known < oldest_program(installation):
        return stop_and_start(installation, old, new, has_rule)
    work = Work(installation, old)
    work.do(installation, old)
    versions = "select max(version) from _sqlx_migrations"
    before = installation.query(versions)
    new.start()
    after = installation.query(versions)
    work.do(installation, old, new)
    print(f"both releases serve at once; the schema went from version {before} to {after}")
    new.stop()
    work.do(installation, old)
    old.stop()
    if before != after:
        go_back(installation, old, has_rule)
    else:
        old.start()
    if old.process.poll() is None:
        work.do(installation, old)
        print("the release before started again on the new schema")
        old.stop()
        start_together(installation)
    new.start()
    work.do(installation, new)
    new.stop()


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o711)  # PostgreSQL's user passes through.
        installation = Installation(folder)
        try:
            upgrade(installation)
        except Failed as failure:
            print(failure)
            for server in installation.servers:
                if server.log.exists():
                    print(f"--- {server.log.name}: ---\n{server.log.read_text(errors='replace')[-3000:]}")
            return 1
        finally:
            installation.discard()
    return 0


if __name__ == "__main__":
    sys.exit(main())
