"""What the checks of webhooks share: two servers on one PostgreSQL, changes over SCIM, webhooks, and receivers."""

import http.client
import json
import os
import subprocess
import threading
import time

import crash
from server import Failed, wait_until
from support import ask

CACHE = os.environ["ROLLCALL_RECEIVERS"]
COMMANDS = {
    "python": [f"{CACHE}/python/bin/python", "-B", os.environ["ROLLCALL_RECEIVER_SOURCES"] + "/python/receiver.py"],
    "node": ["node", f"{CACHE}/node/receiver.mjs"],
    "go": [f"{CACHE}/receiver"],
}


class Receiver:
    """A process that prints its port, and can be asked what it got."""

    def __init__(self, place, kind):
        self.process = subprocess.Popen(COMMANDS[kind], stdout=subprocess.PIPE, text=True)
        place.cleanup.append(self.end)
        self.kind, self.port = kind, int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/hooks"

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def tell(self, what, text=""):
        answer = ask(self.port, "POST", f"/{what}", body=text)
        if answer.status >= 300:
            raise Failed(f"the receiver in {self.kind} answers {answer.status} to /{what}")

    def read(self, what):
        return json.loads(ask(self.port, "GET", f"/{what}", timeout=60).body)

    def count(self):
        return self.read("count")


class Site:
    """Two servers on the PostgreSQL of the place, an organization with people in it, and its webhooks."""

    def __init__(self, place, people):
        self.place = place
        settings = {"ROLLCALL_ALLOW_INSECURE_ISSUERS": "true", "ROLLCALL_DRAIN": "0s"}
        self.servers = [place.server(**settings) for _ in range(2)]
        # One after the other: the first migrates.
        for server in self.servers:
            server.start()
        self.scim = place.scim_token(self.servers[0])
        self.prefix = f"{time.monotonic_ns():x}"
        self.people = [None] * people
        self.numbers = iter(range(people))
        self.each(8, self.add_people)

    def each(self, threads, work):
        """Runs `work(client, number)` in threads, each with a connection of its own, and raises what one of them raises."""
        raised = []

        def run(number):
            client = crash.Client(self.servers[number % 2], self.scim)
            try:
                work(client, number)
            except Exception as error:
                raised.append(error)
            finally:
                client.close()

        running = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        if raised:
            raise raised[0]

    def add_people(self, client, _):
        while (number := next(self.numbers, None)) is not None:
            name = f"{self.prefix}-{number}@example.com"
            answer = client.once("POST", "/Users", {
                "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name,
                "displayName": f"Person {number}",
                "emails": [{"value": name, "type": "work", "primary": True}], "active": True,
            })
            if not answer or answer[0] != 201:
                raise Failed(f"POST /Users: {answer}")
            self.people[number] = answer[1]["id"]

    def change(self, client, number, path, value):
        """One change of a person. `None` when there is no answer."""
        return client.once("PATCH", f"/Users/{self.people[number]}", {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "path": path, "value": value}],
        })

    def change_for_sure(self, client, number, path, value):
        """One change, again until somebody says that it is done, at either server."""
        deadline = time.monotonic() + 120
        while True:
            answer = self.change(client, number, path, value)
            if answer and answer[0] in (200, 204):
                return
            if answer and answer[0] not in crash.TRY_AGAIN:
                raise Failed(f"PATCH: {answer}")
            if time.monotonic() > deadline:
                raise Failed(f"nobody took a change for 120 s, at last {answer}")
            client.close()
            client.server = self.servers[1 - self.servers.index(client.server)]
            time.sleep(0.1)

    def ask(self, service, method, **body):
        """A method of Rollcall's own API, at the first server that runs."""
        server = next(server for server in self.servers if server.process.poll() is None)
        headers = {"Authorization": f"Bearer {self.place.admin}", "Content-Type": "application/json"}
        answer = ask(server.port, "POST", f"/rollcall.v1.{service}/{method}", headers, json.dumps(body), timeout=60)
        if answer.status != 200:
            raise Failed(f"{method}: {answer.status} {answer.body.decode(errors='replace')}")
        return json.loads(answer.body)

    def webhook(self, url, types=("member.*",)):
        """A new webhook's id and secret."""
        made = self.ask("WebhookService", "CreateWebhook", url=url, types=list(types))
        return made["webhook"]["id"], made["secret"]

    def update(self, webhook, **fields):
        return self.ask("WebhookService", "UpdateWebhook", webhookId=webhook, **fields)["webhook"]

    def get(self, webhook):
        return self.ask("WebhookService", "GetWebhook", webhookId=webhook)["webhook"]

    def deliveries(self, webhook, **fields):
        found, token = [], ""
        while True:
            page = self.ask("WebhookService", "ListWebhookDeliveries", webhookId=webhook,
                            pagination={"pageSize": 100, "token": token}, **fields)
            found += page.get("deliveries", [])
            token = page.get("pagination", {}).get("nextToken", "")
            if not token:
                return found

    def now(self):
        """The cursor behind everything that happened."""
        return self.events("", [])[1]

    def events(self, cursor, types):
        """The events behind a cursor, and the cursor behind them."""
        found = []
        while True:
            page = self.ask("EventService", "ListEvents", cursor=cursor, types=types, pageSize=1000)
            found += page.get("events", [])
            cursor = page["cursor"]
            if not page.get("hasMore"):
                return found, cursor

    def end(self):
        for server in self.servers:
            if server.process.poll() is None:
                server.stop()


def place_of(event_id):
    """The place in the log that an event's id has in it."""
    digits = event_id.replace("-", "")
    return int(digits[13:16] + digits[20:32], 16)


def wait_for(what, seconds, is_so):
    wait_until(what, seconds, is_so)


def at(values, share):
    """The value below which a share of the values is."""
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def must_have_all(site, cursor, arrivals, types=("member.*",)):
    """Everything behind the cursor came, for each subject in order, where only the first arrival of each counts. Returns how many
    there are, and how many came again."""
    wanted = [event for event in site.events(cursor, [])[0] if event["type"].startswith("member.")]
    first = dict.fromkeys(one["id"] for one in arrivals)
    missing = [event["id"] for event in wanted if event["id"] not in first]
    if missing:
        raise Failed(f"{len(missing)} of {len(wanted)} events never came, such as {missing[0]}")
    last, seen = {}, set()
    for one in arrivals:
        if one["id"] in seen:
            continue
        seen.add(one["id"])
        place, before = place_of(one["id"]), last.get(one["subject"], 0)
        if place < before:
            raise Failed(f"{one['id']} came behind a later event of its subject")
        last[one["subject"]] = place
    return len(wanted), len(arrivals) - len(first)
