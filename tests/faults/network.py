"""The network between Rollcall and its PostgreSQL swallows what it is given, and ends no connection."""

import json
import os
import subprocess
import sys
import threading
import time
import uuid

from server import Failed, wait_until
from support import Load, Proxy, ask, in_threads, main, who_am_i, within

# How soon requests must be answered again when new connections work.
RECOVERY_SECONDS = 15
# How long to wait for it: an outage that did not end by then is taken for one that does not.
PATIENCE_SECONDS = 30
# What one door may use of the 16 connections that a process opens.
CONNECTIONS = 12
# Which share of a server's connections falls silent at once, and how often.
ROUNDS = 4


class Requests:
    """What clients ask for: both doors with tokens, the login without one, reading and writing."""

    def __init__(self, place, server):
        self.place, self.server = place, server
        self.scim = {"Authorization": f"Bearer {place.scim_token(server)}", "Content-Type": "application/scim+json"}

    def identity(self, timeout):
        return who_am_i(self.server.port, self.place.admin, timeout=timeout)

    def users(self, timeout):
        return ask(self.server.port, "GET", "/scim/v2/Users?count=1", self.scim, timeout=timeout)

    def login(self, timeout):
        return ask(self.server.port, "GET", "/login?email=somebody%40nowhere.example.net", timeout=timeout)

    def create(self, timeout):
        body = json.dumps({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": str(uuid.uuid4())})
        answer = ask(self.server.port, "POST", "/scim/v2/Users", self.scim, body, timeout=timeout)
        answer.status = 200 if answer.status == 201 else answer.status
        return answer

    def all(self):
        return self.identity, self.users, self.login, self.create


def behind_a_proxy(place, **settings):
    proxy = Proxy(place.postgres.port)
    server = place.server(proxy.url(), **settings)
    server.start()
    return proxy, server, Requests(place, server)


def recovers(server, load, frozen_at, frozen):
    """Waits until all is well, and tells how long that took."""
    ready_at = None

    def is_back():
        nonlocal ready_at
        if ready_at is None and server.is_ready():
            ready_at = time.monotonic()
        return ready_at is not None and load.good(frozen_at)

    within(f"the first 200 after {frozen} connections fell silent", PATIENCE_SECONDS, is_back, server.must_run)
    # Those who asked while they were silent must get an answer too, though not a good one.
    within("an answer for everybody who asked before", PATIENCE_SECONDS,
           lambda: all(time.monotonic() - began < 3 for began in list(load.pending.values())), server.must_run)
    well_from = time.monotonic()
    wait_until("300 good answers", 15, lambda: len(load.good(well_from)) >= 300, server.must_run)
    bad = [answer for answer in load.bad() if answer[1] > frozen_at]
    first = min(answer[1] for answer in load.good(frozen_at)) - frozen_at
    last = max((answer[1] for answer in bad), default=frozen_at) - frozen_at
    statuses = sorted({str(answer[2]) for answer in bad})
    measured = (f"{frozen} connections fell silent: 200 again after {first:.1f} s, readyz after {ready_at - frozen_at:.1f} s, "
                f"the last of {len(bad)} refusals ({', '.join(statuses)}) after {last:.1f} s")
    if max(first, last, ready_at - frozen_at) > RECOVERY_SECONDS or any(not s.startswith("5") for s in statuses):
        raise Failed(measured)
    return measured


def under_load(place):
    """All connections fall silent, whoever uses them."""
    proxy, server, requests = behind_a_proxy(place)
    kinds = requests.all()
    with Load(64, lambda n: kinds[n % len(kinds)](60), pause=0.01) as load:
        wait_until("the first answers", 20, lambda: len(load.good(0)) > 200, server.must_run)
        frozen_at, frozen = time.monotonic(), proxy.freeze()
        measured = recovers(server, load, frozen_at, frozen)
    server.end()
    return measured


def all_in_use(place, table, kind):
    """Every connection waits for an answer when it falls silent."""
    proxy, server, requests = behind_a_proxy(place)
    ask_once = getattr(requests, kind)
    with Load(64, lambda _: ask_once(60), pause=0.01) as load:
        wait_until("the first answers", 20, lambda: len(load.good(0)) > 200, server.must_run)
        with place.locked(table):
            # Those who have to wait for the table take a connection each.
            most, deadline = 0, time.monotonic() + 3
            while most < CONNECTIONS and time.monotonic() < deadline:
                most = max(most, place.waiting_for(table))
            frozen_at, frozen = time.monotonic(), proxy.freeze()
        measured = recovers(server, load, frozen_at, frozen)
    server.end()
    return f"{most} in use, {measured}"


def all_in_use_reading(place):
    return all_in_use(place, "api_tokens", "identity")


def all_in_use_writing(place):
    return all_in_use(place, "scim_users", "create")


def all_in_use_for_logins(place):
    return all_in_use(place, "sso_configurations", "login")


def capacity(place, server):
    """How many requests run in the database at once: they wait for a table there."""
    with place.locked("api_tokens"):
        with Load(24, lambda _: who_am_i(server.port, place.admin, timeout=30), pause=0.05):
            counts, deadline = [0], time.monotonic() + 8
            while max(counts) < CONNECTIONS and time.monotonic() < deadline:
                counts.append(place.waiting_for("api_tokens"))
    wait_until("the end of the lock", 20, server.is_ready)
    # More than that is chance.
    return min(max(counts), CONNECTIONS)


def a_few_again_and_again(place):
    """Four connections fall silent, four times: afterwards as many requests run at once as before."""
    proxy, server, requests = behind_a_proxy(place)
    kinds = requests.all()
    before = capacity(place, server)
    times = []
    for number in range(ROUNDS):
        with Load(4, lambda n: kinds[n % len(kinds)](60), pause=0.001) as load:
            wait_until("answers for all", 20, lambda: len(load.good(0)) >= 40, server.must_run)
            frozen_at = time.monotonic()
            proxy.freeze()
            # Whoever was asking gets an answer: a connection that is waited for is lost.
            wait_until("silence, or answers", 3, lambda: load.oldest() > 1 or len(load.good(frozen_at)) > 40)
            asked_before = frozen_at + 1
            times.append(within(
                f"an answer for those whose connections fell silent (round {number + 1}; the server ran {before} requests at "
                "once before)", PATIENCE_SECONDS,
                lambda: all(began > asked_before for began in list(load.pending.values())), server.must_run))
    after = capacity(place, server)
    last = in_threads(CONNECTIONS, lambda _: who_am_i(server.port, place.admin, timeout=10).status, 20)
    server.end()
    measured = (f"{before} requests at once before, {after} after {ROUNDS} times; whoever waited was answered after "
                f"{max(times):.1f} s at most")
    if after < before or max(times) > RECOVERY_SECONDS or last != [200] * CONNECTIONS:
        raise Failed(f"{measured}; {CONNECTIONS} at once get {sorted(set(map(str, last)))}")
    return measured


def given_up_at_once(place):
    """A client that goes away while its connection is silent leaves nothing behind."""
    proxy, server, requests = behind_a_proxy(place)
    kinds = requests.all()
    before = capacity(place, server)
    for _ in range(2 * ROUNDS):
        proxy.freeze()
        in_threads(4, lambda n: kinds[n % len(kinds)](0.2), 10)
    began = time.monotonic()
    within("200 again", PATIENCE_SECONDS, lambda: all(
        result == 200 for result in in_threads(4, lambda n: kinds[n % len(kinds)](20).status, 25)
    ), server.must_run)
    took = time.monotonic() - began
    after = capacity(place, server)
    server.end()
    measured = f"{before} requests at once before, {after} after; 200 again after {took:.1f} s"
    if after < before or took > RECOVERY_SECONDS:
        raise Failed(measured)
    return measured


class Command:
    """A command that may have to wait, and what it says meanwhile."""

    def __init__(self, place, command, settings):
        self.began = time.monotonic()
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ROLLCALL_")}
        self.process = subprocess.Popen(
            [os.environ["ROLLCALL_BIN"], *command.split()], env=kept | settings, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )
        place.cleanup.append(self.end)
        self.said, self.ended_after = [], None
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stderr:
            self.said.append((time.monotonic() - self.began, line.strip()))
        self.process.wait()
        self.ended_after = time.monotonic() - self.began

    def says(self, host):
        return next((at for at, line in self.said if "waiting" in line.lower() and host in line), None)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def silent_from_the_start(place):
    """A database that takes connections and never answers, or once. (Later, a connection is there, and falls silent.)"""
    cases = []
    for moment in (0, 1):
        proxy = Proxy(place.postgres.port)
        if moment == 0:
            proxy.accepts = "silence"
        else:
            proxy.silent_after = moment
        # Longer than until it has to be said.
        settings = place.settings(proxy.url(connect_timeout=8)) | {"ROLLCALL_LISTEN": "127.0.0.1:0"}
        for command in ("serve", "migrate", "organization list"):
            cases.append((moment, command, f"127.0.0.1:{proxy.port}", Command(place, command, settings)))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(running.ended_after is None for *_, running in cases) and time.monotonic() < deadline:
        time.sleep(0.1)
    # Which cases are wrong, by what is wrong with them: the command, and after how many answers there was silence.
    wrong, told, ended = {}, [], []
    for moment, command, host, running in cases:
        if running.ended_after is not None and running.process.returncode == 0:
            # It needed no more answers than it got.
            continue
        at = running.says(host)
        if at is None:
            wrong.setdefault("do not say that they wait", []).append(f"{command} {moment}")
        elif at > 7:
            wrong.setdefault("say late that they wait", []).append(f"{command} {moment} ({at:.1f} s)")
        else:
            told.append(at)
        if running.ended_after is None:
            wrong.setdefault(f"run on after {PATIENCE_SECONDS} s", []).append(f"{command} {moment}")
        else:
            ended.append(running.ended_after)
    for *_, running in cases:
        running.end()
    measured = (f"{len(told)} commands say what they wait for, after {max(told, default=0):.1f} s at most; {len(ended)} end, "
                f"after {max(ended, default=0):.1f} s at most")
    if wrong:
        raise Failed(f"{measured}; " + "; ".join(f"{len(who)} {what}: {', '.join(who)}" for what, who in wrong.items()))
    return measured


def livez(server):
    return ask(server.port, "GET", "/livez", timeout=5).status


def alive_while_it_is_gone(place):
    """A database that nobody can reach is no reason to restart: /livez goes on to say yes."""
    proxy, server, requests = behind_a_proxy(place)
    kinds = requests.all()
    proxy.accepts = "cut"
    proxy.freeze()
    began = time.monotonic()
    with Load(4, lambda n: kinds[n % len(kinds)](30), pause=0.5):
        while time.monotonic() - began < 80:
            if livez(server) != 200:
                raise Failed(f"/livez says no after {time.monotonic() - began:.0f} s")
            time.sleep(1)
        proxy.thaw()
        back = within("the end of the outage", PATIENCE_SECONDS, server.is_ready, server.must_run)
    server.end()
    return f"200 for 80 s; ready {back:.1f} s after the database is there again"


if __name__ == "__main__":
    sys.exit(main(([
        under_load,
        all_in_use_reading,
        all_in_use_writing,
        all_in_use_for_logins,
        a_few_again_and_again,
        given_up_at_once,
        silent_from_the_start,
    ], alive_while_it_is_gone)))
