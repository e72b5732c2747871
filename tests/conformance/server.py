"""Starts a Rollcall, with an organization and a SCIM configuration in it.

    python3 server.py COMMAND…

runs a command against a server of its own on an empty data directory, and tells it `SCIM_URL` and `SCIM_TOKEN`.
`ROLLCALL_BIN` names the server. The status is the command's, or 1 when the server did not start or end as it should.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

READY_SECONDS = 120
STOP_SECONDS = 30

# Proxies are for the package registries, not for the server under test.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(Exception):
    """What went wrong, for a person to read."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, seconds, is_so, check=lambda: None):
    """Waits until `is_so()`; `check` raises when it never will be."""
    deadline = time.monotonic() + seconds
    while not is_so():
        check()
        if time.monotonic() > deadline:
            raise Failed(f"{what} took more than {seconds} seconds")
        time.sleep(0.05)


class Server:
    """A server process. `settings` are environment variables; it may be killed and started again."""

    def __init__(self, log, settings):
        self.binary = os.environ["ROLLCALL_BIN"]
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.scim_url = f"{self.url}/scim/v2"
        self.log = pathlib.Path(log)
        # Settings of the caller must not lead a test to a database that matters.
        kept = {k: v for k, v in os.environ.items() if k != "DATABASE_URL" and not k.startswith("ROLLCALL_")}
        self.environment = {**kept, **settings, "ROLLCALL_LISTEN": f"127.0.0.1:{self.port}"}
        self.process = None

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([self.binary, "serve"], env=self.environment, stdout=log, stderr=log)
        wait_until("the start of the server", READY_SECONDS, self.is_ready, self.must_run)

    def is_ready(self):
        try:
            with OPENER.open(f"{self.url}/readyz", timeout=5) as response:
                return response.status == 200
        except OSError:
            return False

    def must_run(self):
        status = self.process.poll()
        if status is not None:
            raise Failed(f"the server ended by itself, with the status {status}")

    def kill(self):
        """The power fails, as far as the process can tell."""
        self.must_run()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Stops it. A server that does not stop when asked, or stopped before, is a failure."""
        self.must_run()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed(f"the server did not stop within {STOP_SECONDS} seconds of SIGTERM") from None
        if status != 0:
            raise Failed(f"the server ended with the status {status}")
        if "panicked at" in self.log.read_text(errors="replace"):
            raise Failed("the server panicked")

    def discard(self):
        """Ends it, whatever happened before."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def call(self, token, method, body):
        """A call of the management API."""
        request = urllib.request.Request(
            f"{self.url}/api/gitpod.v1.{method}",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        try:
            with OPENER.open(request, timeout=20) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise Failed(f"{method}: {error.code} {error.read().decode(errors='replace')}") from None

    def make_scim_configuration(self, token):
        """Makes what an identity provider needs, and returns its token."""
        organization = self.call(token, "IdentityService/GetAuthenticatedIdentity", {})["organizationId"]
        sso = self.call(token, "OrganizationService/CreateSSOConfiguration", {
            "organizationId": organization,
            "displayName": "Example accounts",
            "issuerUrl": "https://accounts.example.com",
            "clientId": "my-client",
            "clientSecret": "my-secret",
            "emailDomains": ["example.com"],
        })["ssoConfiguration"]
        return self.call(token, "OrganizationService/CreateSCIMConfiguration", {
            "organizationId": organization,
            "ssoConfigurationId": sso["id"],
            "name": "Conformance",
            "tokenExpiresIn": "7776000s",
        })["token"]


def main(command):
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as folder:
        data = pathlib.Path(folder, "data")
        server = Server(pathlib.Path(folder, "server.log"), {"ROLLCALL_DATA_DIR": str(data)})
        try:
            server.start()
            token = server.make_scim_configuration((data / "admin-token").read_text().strip())
            status = subprocess.run(command, env={
                **os.environ, "SCIM_URL": server.scim_url, "SCIM_TOKEN": token,
                "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
            }).returncode
            server.stop()
        except Failed as failure:
            print(failure)
            status = 1
        finally:
            server.discard()
        if status != 0:
            print("--- the server's log: ---")
            print(server.log.read_text(errors="replace") if server.log.exists() else "(none)")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
