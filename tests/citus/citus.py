"""A sync to many organizations, on a database of several machines: what was acknowledged is there, once.

    python3 citus.py FOLDER

FOLDER has a cluster that was just started: node0, the coordinator, and the workers node1 and node2. DATABASE_URL leads to the
coordinator. Threads create and change users of random organizations, as identity providers do: what is answered with 503 is
looked up, and sent again, after a while. Meanwhile

- a third worker is added, and organizations move to it;
- a worker dies, and comes back. Its organizations get nothing but 503 with Retry-After until then, the others notice nothing.

ROLLCALL_BIN names the server, CITUS_TEST_SECONDS how long each phase takes at least (default: 20), CITUS_TEST_ORGANIZATIONS how
many organizations there are (default: 200).
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import heapq
import http.client
import itertools
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from server import OPENER, Failed, Server, free_port, wait_until

SECONDS = float(os.environ.get("CITUS_TEST_SECONDS", "20"))
ORGANIZATIONS = int(os.environ.get("CITUS_TEST_ORGANIZATIONS", "200"))
THREADS = 8
# To move one takes some ten seconds, however little is in it.
SHARDS = 6
REBALANCE_SECONDS = 150
# How long a client waits for an answer. The server means to answer within ten seconds.
ANSWER_SECONDS = 60
# How long a client waits before it sends again what was not acknowledged.
RETRY_SECONDS = 1.0
# How long after a phase everything may take that was not acknowledged in it.
SETTLE_SECONDS = 30
# How long an organization may go without an answer while the machine that has it lives.
SILENCE_SECONDS = 15
# How many statements a request may try before it is answered with 503.
TRIES = 50
# How many faults are printed, of each kind.
SHOWN = 3
# What Rollcall sets on its connections, and needs on the other machines as well.
SETTINGS = {"enable_seqscan": "off", "jit": "off"}

BINARIES = pathlib.Path("/usr/lib/postgresql/15/bin")


# --- The cluster ---


def psql(url, statement):
    command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"psql: {done.stderr.strip()}\nof {statement}")
    return done.stdout.strip()


class Node:
    """A PostgreSQL of the cluster, which was started by the script unless it is made here."""

    def __init__(self, cluster, name):
        self.cluster, self.data, self.log = cluster, cluster / name, cluster / f"{name}.log"
        running = self.data / "postmaster.pid"
        self.port = int(running.read_text().splitlines()[3]) if running.exists() else free_port()
        self.url = f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def run(self, tool, *arguments):
        """A server that it starts lives on: it must not inherit a pipe that somebody reads to its end."""
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [BINARIES / tool, "-D", self.data, *arguments], cwd=self.cluster, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, user="postgres", group="postgres", extra_groups=[], check=False,
            )
            output.seek(0)
            return None if done.returncode == 0 else output.read().strip()

    def must_run(self, tool, *arguments):
        error = self.run(tool, *arguments)
        if error is not None:
            raise Failed(f"{tool} of {self.data.name}: {error}")

    def make(self, template):
        """Another worker, like `template`."""
        self.must_run("initdb", "-A", "trust", "-E", "UTF8")
        lines = (template.data / "postgresql.conf").read_text().splitlines()
        own = lines.index("shared_preload_libraries = 'citus'")
        with (self.data / "postgresql.conf").open("a") as configuration:
            configuration.write("\n".join(lines[own:]) + "\n")

    def start(self):
        options = f"-p {self.port} -k {self.cluster} -c listen_addresses=127.0.0.1"
        # Connections that were being made have ports, too, perhaps this one: they end.
        wait_until(f"the start of {self.data.name}", 30,
                   lambda: self.run("pg_ctl", "-l", self.log, "-w", "-o", options, "start") is None)

    def stop(self, mode):
        self.must_run("pg_ctl", "-m", mode, "-w", "stop")


def prepare(nodes):
    """Lets shards move while they are written to, which needs logical replication."""
    for node in nodes:
        with (node.data / "postgresql.conf").open("a") as configuration:
            configuration.write("wal_level = logical\n")
        node.stop("fast")
        node.start()
    psql(nodes[0].url, f"alter system set citus.shard_count = {SHARDS}")
    psql(nodes[0].url, "select pg_reload_conf()")


def must_be_distributed(coordinator):
    left = psql(coordinator.url, """
        select string_agg(c.oid::regclass::text, ', ') from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
            and not exists (select 1 from pg_depend d where d.objid = c.oid and d.deptype = 'e')
            and not exists (select 1 from pg_dist_partition p where p.logicalrelid = c.oid)""")
    if left:
        raise Failed(f"these tables are on the coordinator alone: {left}")
    groups = psql(coordinator.url, "select count(distinct colocationid) from pg_dist_partition where partmethod = 'h'")
    if groups != "1":
        raise Failed(f"the distributed tables are in {groups} colocation groups instead of one: organizations are torn apart")
    return psql(coordinator.url, """
        select count(*) filter (where partmethod = 'h') || ' tables distributed, ' || count(*) filter (where partmethod = 'n')
            || ' on every machine' from pg_dist_partition""")


def machines(coordinator, organizations):
    """The port of the worker that has each organization."""
    ids = ",".join(o.id for o in organizations)
    # Unlike the view citus_shards, this asks no worker.
    rows = psql(coordinator.url, f"""
        select o, p.nodeport from unnest('{{{ids}}}'::uuid[]) o
        join pg_dist_shard_placement p on p.shardid = get_shard_id_for_distribution_column('organizations', o)""")
    return {organization: int(port) for organization, port in (row.split("|") for row in rows.splitlines())}


def add_worker(coordinator, node, template):
    node.make(template)
    node.start()
    for statement in ("create extension citus", "alter system set ssl = off", "select pg_reload_conf()"):
        psql(node.url, statement)
    psql(coordinator.url, f"select citus_add_node('127.0.0.1', {node.port})")


def rebalance(coordinator, check):
    """Starts it, waits for its end, and tells how many moves it took."""
    job = psql(coordinator.url, "select citus_rebalance_start()")

    def state():
        time.sleep(0.5)  # To ask takes a process.
        return psql(coordinator.url, f"select state from pg_dist_background_job where job_id = {job}")

    # citus_rebalance_wait() does not tell whether it succeeded, and has no limit.
    wait_until("the rebalancing", REBALANCE_SECONDS, lambda: state() not in ("scheduled", "running"), check)
    if state() != "finished":
        messages = psql(coordinator.url, f"select status, message from pg_dist_background_task where job_id = {job}")
        raise Failed(f"the rebalancing {state()}: {messages}")
    return psql(coordinator.url, f"select count(*) from pg_dist_background_task where job_id = {job}")


# --- The organizations ---


@dataclasses.dataclass(eq=False)
class User:
    organization: "Organization"
    name: str
    id: str | None = None
    title: str | None = None  # the last acknowledged one
    attempts: int = 0  # to create it


@dataclasses.dataclass(eq=False)
class Organization:
    id: str
    admin: str
    scim: str = ""
    users: list = dataclasses.field(default_factory=list)  # those that were acknowledged
    # When the first of the requests began that were not answered, since one was.
    silent_since: float | None = None


def command(settings, *arguments):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ROLLCALL_")} | settings
    done = subprocess.run(
        [os.environ["ROLLCALL_BIN"], *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise Failed(f"rollcall {' '.join(arguments[:2])}: {done.stderr.strip()}")
    return done.stdout.strip()


def make_organization(server, settings, number):
    organization = command(settings, "organization", "create", "--name", f"Organization {number:03}")
    made = Organization(organization, command(settings, "token", "create", "--organization", organization))
    made.scim = server.make_scim_configuration(made.admin)
    return made


def make_organizations(server, settings):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda number: make_organization(server, settings, number), range(ORGANIZATIONS)))


# --- The load ---


@dataclasses.dataclass
class Phase:
    """What happened in it."""

    name: str
    is_strict: bool  # whether 503 is a fault, unless the machine is dead
    began: float = dataclasses.field(default_factory=time.monotonic)
    ended: float | None = None
    requests: int = 0
    acknowledged: int = 0
    found: int = 0  # users whose creation was not acknowledged, and who were there
    unavailable: int = 0  # answered with 503
    unavailable_living: int = 0  # of these, at organizations on machines that live
    last_unavailable: float = 0.0  # when
    slowest: float = 0.0
    silence: float = 0.0  # the longest, at an organization on a machine that lives

    def report(self):
        seconds = self.ended - self.began
        print(f"{self.name}: {seconds:.0f} s, {self.requests} requests, {self.acknowledged / seconds:.1f} acknowledged writes/s, "
              f"{self.unavailable} got 503 ({self.unavailable_living} at organizations on living workers), {self.found} users were "
              f"there after a 503, slowest answer after {self.slowest:.1f} s; longest time an organization on a living worker was "
              f"not answered: {self.silence:.1f} s", flush=True)


class Faults:
    """What was wrong, by kind, with the first few examples. The load goes on, to show all there is."""

    def __init__(self, log):
        self.log, self.lock = log, threading.Lock()
        self.examples, self.counts = collections.defaultdict(list), collections.Counter()

    def note(self, kind, example, request=None):
        with self.lock:
            self.counts[kind] += 1
            if len(self.examples[kind]) < SHOWN:
                self.examples[kind].append((example, request))

    def logged(self, request):
        lines = self.log.read_text(errors="replace").splitlines() if request else []
        return [line for line in lines if request in line]

    def report(self):
        for kind, count in self.counts.items():
            print(f"fault, seen {count}x: {kind}")
            for example, request in self.examples[kind]:
                print(f"    {example}")
                for line in self.logged(request):
                    print(f"        log: {line}")


class Load:
    """What all threads share."""

    def __init__(self, server, organizations, faults):
        self.server, self.organizations, self.faults = server, organizations, faults
        self.lock = threading.Lock()
        self.phase, self.threads, self.stop = None, [], threading.Event()
        self.requests, self.names = itertools.count(1), itertools.count(1)
        # Organizations whose machine is dead, from before it dies until after it lives; and whether it is surely dead.
        self.affected, self.is_dead = frozenset(), False
        self.crashes, self.writes = [], 0

    @contextlib.contextmanager
    def during(self, name, is_strict):
        """Runs the load, and after it what was not acknowledged in it."""
        self.phase, self.threads = Phase(name, is_strict), []
        self.stop.clear()
        for number in range(THREADS):
            thread = threading.Thread(target=self.work, args=(Client(self, number),), daemon=True)
            thread.start()
            self.threads.append(thread)
        try:
            yield self.phase
        finally:
            self.stop.set()
            for thread in self.threads:
                thread.join(SETTLE_SECONDS + 2 * ANSWER_SECONDS)
            self.phase.ended = time.monotonic()
        self.check()
        self.phase.report()

    def work(self, client):
        try:
            client.work()
        except Exception as error:  # Whatever it is, it must not be lost with the thread.
            self.crashes.append(str(error) or repr(error))

    def check(self):
        self.server.must_run()
        if self.crashes:
            raise Failed("; ".join(self.crashes[:SHOWN]))

    def go_on(self, seconds):
        """Lets the load go on for so long."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.check()
            time.sleep(0.1)

    def note(self, organization, began, status):
        """Counts an answer."""
        now = time.monotonic()
        with self.lock:
            phase = self.phase
            phase.requests += 1
            phase.slowest = max(phase.slowest, now - began)
            if status == 503:
                phase.unavailable, phase.last_unavailable = phase.unavailable + 1, now
            if organization.id in self.affected:
                organization.silent_since = None
                return
            phase.unavailable_living += status == 503
            if status is None or status >= 500:
                organization.silent_since = min(began, organization.silent_since or began)
                return
            phase.silence = max(phase.silence, now - min(began, organization.silent_since or began))
            organization.silent_since = None

    def acknowledged(self, found=0):
        with self.lock:
            self.writes += 1 - found
            self.phase.acknowledged += 1 - found
            self.phase.found += found


class Client:
    """A thread's. Nobody else changes the users that it made: so it knows which change was the last."""

    def __init__(self, load, number):
        self.load, self.random = load, random.Random(f"{load.phase.name} {number}")
        self.connection, self.users = None, [u for o in load.organizations for u in o.users][number::THREADS]
        self.waiting, self.turns = [], itertools.count()  # what to do again: (when, turn, what)

    def work(self):
        while not self.load.stop.is_set():
            if self.waiting and self.waiting[0][0] <= time.monotonic():
                heapq.heappop(self.waiting)[2]()
            elif self.users and self.random.random() < 0.4:
                # Until its change is acknowledged, a user is changed no further.
                at = self.random.randrange(len(self.users))
                self.users[at], self.users[-1] = self.users[-1], self.users[at]
                self.change(self.users.pop(), f"title {next(self.turns)}")
            else:
                organization = self.random.choice(self.load.organizations)
                self.create(User(organization, f"user-{next(self.load.names):06}@example.com"))
        self.settle()
        if self.connection:
            self.connection.close()

    def settle(self):
        deadline = time.monotonic() + SETTLE_SECONDS
        while self.waiting:
            if time.monotonic() > deadline:
                raise Failed(f"{len(self.waiting)} writes were not acknowledged within {SETTLE_SECONDS} s of the end of the load")
            at, _, again = heapq.heappop(self.waiting)
            time.sleep(max(0.0, at - time.monotonic()))
            again()

    def later(self, again):
        heapq.heappush(self.waiting, (time.monotonic() + RETRY_SECONDS, next(self.turns), again))

    def create(self, user):
        body = {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": user.name,
            "emails": [{"value": user.name, "type": "work", "primary": True}],
            "title": "new",
            "active": True,
        }
        user.attempts += 1
        # After another attempt, which may have been carried out, 409 is an answer.
        expected = (201,) if user.attempts == 1 else (201, 409)
        status, answer = self.send(user.organization, "POST", "/Users", body, expected)
        if status == 201:
            self.is_there(user, answer["id"])
        else:
            self.later(lambda: self.look_up(user))

    def look_up(self, user):
        """Creates a user whose creation was not acknowledged, unless it is there."""
        query = urllib.parse.urlencode({"filter": f'userName eq "{user.name}"'})
        status, answer = self.send(user.organization, "GET", f"/Users?{query}")
        if status != 200:
            self.later(lambda: self.look_up(user))
        elif answer["totalResults"] == 0:
            self.create(user)
        else:
            self.is_there(user, answer["Resources"][0]["id"], found=1)

    def is_there(self, user, scim_id, found=0):
        user.id, user.title = scim_id, "new"
        self.load.acknowledged(found)
        user.organization.users.append(user)
        self.users.append(user)

    def change(self, user, title):
        body = {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "path": "title", "value": title}],
        }
        status, _ = self.send(user.organization, "PATCH", f"/Users/{user.id}", body)
        if status == 200:
            user.title = title
            self.load.acknowledged()
            self.users.append(user)
        else:
            self.later(lambda: self.change(user, title))

    def send(self, organization, method, path, body=None, expected=(200,)):
        """The status and the body. Notes what the server must not say; of this, too, the client tries again."""
        load, began = self.load, time.monotonic()
        request = f"citus-test-{next(load.requests)}"
        was_dead, was_affected = load.is_dead, organization.id in load.affected
        status, retry_after, answer = self.once(request, organization.scim, method, path, body)
        load.note(organization, began, status)
        what = f"{method} {path} of organization {organization.id}, after {time.monotonic() - began:.1f} s: {status} {answer}"
        phase, is_affected = load.phase.name, was_affected or organization.id in load.affected
        if status == 503 and retry_after is None:
            load.faults.note(f"{phase}: 503 without Retry-After", what, request)
        elif status != 503 and status not in expected:
            load.faults.note(f"{phase}: {method} answered {status}", what, request)
        elif status == 503 and load.phase.is_strict and not is_affected:
            load.faults.note(f"{phase}: 503 at an organization on a living worker", what, request)
        elif status != 503 and is_affected and was_dead and load.is_dead:
            load.faults.note(f"{phase}: {method} answered {status} by a dead worker", what, request)
        return status, answer

    def once(self, request, token, method, path, body):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.load.server.port, timeout=ANSWER_SECONDS)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json", "x-request-id": request}
        try:
            self.connection.request(method, "/scim/v2" + path, json.dumps(body) if body else None, headers)
            response = self.connection.getresponse()
            payload = response.read()
            if response.will_close:
                self.close()
            return response.status, response.getheader("Retry-After"), json.loads(payload) if payload else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return None, None, repr(error)

    def close(self):
        self.connection.close()
        self.connection = None


# --- The phases ---


def get(url, timeout=10):
    try:
        with OPENER.open(url, timeout=timeout) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError as error:
        return None, repr(error)


def must_have_settings(nodes, faults):
    for node in nodes:
        actual = {name: psql(node.url, f"show {name}") for name in SETTINGS}
        if actual != SETTINGS:
            faults.note("a worker lacks settings that the statements rely on", f"{node.data.name}: {actual} instead of {SETTINGS}")


def adds_a_worker(load, coordinator, workers, cluster):
    new = Node(cluster, "node3")
    with load.during("a worker is added", is_strict=False) as phase:
        load.go_on(2)
        add_worker(coordinator, new, workers[0])
        workers.append(new)
        moves = rebalance(coordinator, load.check)
        print(f"rebalanced with {moves} moves, {time.monotonic() - phase.began:.0f} s after the load began", flush=True)
        load.go_on(max(2.0, phase.began + SECONDS - time.monotonic()))
    moved = collections.Counter(machines(coordinator, load.organizations).values())
    if not moved[new.port]:
        raise Failed("no organization moved to the worker that was added")
    print("organizations on each worker: " + ", ".join(str(moved[worker.port]) for worker in workers), flush=True)
    if phase.silence > SILENCE_SECONDS:
        load.faults.note("organizations were not answered while they moved", f"the longest for {phase.silence:.1f} s")


def a_worker_dies(load, coordinator, worker):
    ports = machines(coordinator, load.organizations)
    on_it = [o for o in load.organizations if ports[o.id] == worker.port]
    others = [o for o in load.organizations if ports[o.id] != worker.port]
    if not on_it or not others:
        raise Failed(f"{len(on_it)} of {len(load.organizations)} organizations are on the worker that is to die")
    refused_before = refusals(coordinator)
    with load.during("a worker dies", is_strict=True) as phase:
        load.go_on(SECONDS / 4)
        load.affected = frozenset(o.id for o in on_it)
        worker.stop("immediate")
        load.is_dead, died = True, time.monotonic()
        for number in itertools.count():
            load.check()
            probe(load, on_it[number % len(on_it)], others[number % len(others)])
            if time.monotonic() > died + SECONDS / 2:
                break
            time.sleep(0.5)
        load.is_dead = False
        worker.start()
        started = time.monotonic()
        wait_until("the recovery of the organizations on the worker", SETTLE_SECONDS,
                   lambda: all(is_answered(load, o) for o in on_it), load.check)
        load.affected = frozenset()
        load.go_on(SECONDS / 4)
    tries = (refusals(coordinator) - refused_before) / max(phase.unavailable, 1)
    print(f"the worker had {len(on_it)} of {len(load.organizations)} organizations and was dead for {started - died:.1f} s; the "
          f"last 503 came {max(0.0, phase.last_unavailable - started):.1f} s after it was started; for each 503, the coordinator "
          f"refused {tries:.0f} statements", flush=True)
    if tries > TRIES:
        load.faults.note("requests of a dead worker's organizations keep the coordinator busy",
                         f"{tries:.0f} statements for each request that was answered with 503, more than {TRIES}")
    if phase.silence > SILENCE_SECONDS:
        load.faults.note("organizations on living workers were not answered", f"the longest for {phase.silence:.1f} s")


def refusals(coordinator):
    """How many statements failed because a worker could not be reached."""
    with coordinator.log.open(errors="replace") as lines:
        return sum("ERROR:  connection to the remote node" in line for line in lines)


def probe(load, dead, living):
    """What others are told than identity providers, while a worker is dead."""
    for path in ("readyz", "livez"):
        status, text = get(f"{load.server.url}/{path}")
        if status != 200:
            load.faults.note(f"/{path} answered {status} while a worker was dead", text)
    for organization, expected in ((dead, 503), (living, 200)):
        status, text = api(load.server, organization)
        if status != expected:
            load.faults.note(f"GetOrganization answered {status} instead of {expected} while a worker was dead", text)


def api(server, organization):
    body = json.dumps({"organizationId": organization.id}).encode()
    headers = {"Authorization": f"Bearer {organization.admin}", "Content-Type": "application/json"}
    return get(urllib.request.Request(f"{server.url}/api/gitpod.v1.OrganizationService/GetOrganization", body, headers))


def is_answered(load, organization):
    url = f"{load.server.scim_url}/Users?count=0"
    return get(urllib.request.Request(url, headers={"Authorization": f"Bearer {organization.scim}"}))[0] == 200


# --- The end ---


def listed(server, organization):
    """All users of an organization, and how many it says that there are."""
    users, cursor, totals = [], "", set()
    while cursor is not None:
        query = urllib.parse.urlencode({"cursor": cursor, "count": 1000, "attributes": "userName,title"})
        request = urllib.request.Request(
            f"{server.scim_url}/Users?{query}", headers={"Authorization": f"Bearer {organization.scim}"}
        )
        status, text = get(request)
        if status != 200:
            raise Failed(f"the list of the users of organization {organization.id}: {status} {text}")
        page = json.loads(text)
        users += [(u["userName"], u["id"], u.get("title")) for u in page.get("Resources", [])]
        totals.add(page["totalResults"])
        cursor = page.get("nextCursor")
    return sorted(users), totals


def verify(server, coordinator, organizations, faults):
    """Everything acknowledged is there, exactly once, as it was acknowledged last, and nothing else is."""
    rows = psql(coordinator.url, """
        select o.id, (select count(*) from scim_users s where s.organization_id = o.id),
            (select count(*) from users u where u.organization_id = o.id) from organizations o""")
    stored = {organization: (int(scim), int(members)) for organization, scim, members in
              (row.split("|") for row in rows.splitlines())}
    for organization in organizations:
        expected = sorted((u.name, u.id, u.title) for u in organization.users)
        actual, totals = listed(server, organization)
        if actual != expected:
            missing, extra = set(expected) - set(actual), set(actual) - set(expected)
            faults.note("the users are not those that were acknowledged",
                        f"organization {organization.id}: missing {sorted(missing)[:5]}, instead {sorted(extra)[:5]}, "
                        f"{len(actual)} instead of {len(expected)}")
        if totals != {len(expected)}:
            faults.note("totalResults is wrong", f"organization {organization.id}: {totals} instead of {len(expected)}")
        if stored[organization.id] != (len(expected), len(expected)):
            faults.note("the tables have other users or members",
                        f"organization {organization.id}: {stored[organization.id]} instead of {len(expected)} of each")


def settings_of(database):
    return {
        "DATABASE_URL": database,
        "ROLLCALL_ENCRYPTION_KEYS": command({}, "keys", "generate"),
        "ROLLCALL_BOOTSTRAP_ORGANIZATION": "Acme",
        "ROLLCALL_BOOTSTRAP_TOKEN": command({}, "token", "generate"),
    }


def live_through(cluster, server, settings, faults):
    nodes = [Node(cluster, f"node{number}") for number in range(3)]
    coordinator, *workers = nodes
    prepare(nodes)
    began = time.monotonic()
    server.start()
    print(f"{must_be_distributed(coordinator)}, {time.monotonic() - began:.0f} s after the start of the server", flush=True)

    began = time.monotonic()
    organizations = make_organizations(server, settings)
    print(f"{len(organizations)} organizations made in {time.monotonic() - began:.0f} s", flush=True)

    load = Load(server, organizations, faults)
    adds_a_worker(load, coordinator, workers, cluster)
    must_have_settings(workers, faults)
    a_worker_dies(load, coordinator, workers[0])
    known = sum(faults.counts.values())
    verify(server, coordinator, organizations, faults)
    if sum(faults.counts.values()) == known:
        print(f"all {load.writes} acknowledged writes are there, and nothing else", flush=True)
    server.stop()


def main(cluster):
    # So that what was started is ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        log = pathlib.Path(name, "server.log")
        settings, faults = settings_of(os.environ["DATABASE_URL"]), Faults(log)
        server = Server(log, settings)
        try:
            live_through(cluster, server, settings, faults)
            faults.report()
            if faults.counts:
                print(f"FAILED: {sum(faults.counts.values())} faults")
                return 1
            print(f"the cluster was lived through: {time.monotonic() - began:.0f} s")
            return 0
        except Failed as failure:
            faults.report()
            print(f"FAILED: {failure}")
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            print("--- the server's log, its end, without the requests that succeeded: ---")
            print("\n".join([line for line in lines if "status=2" not in line][-100:]))
            return 1
        finally:
            server.discard()


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1])))
