"""How fast events arrive, and how many a second. Nothing here must be faster than something, but everything must arrive in order."""

import sys
import threading
import time

import support
from hooks import Receiver, Site, at, must_have_all, wait_for
from server import Failed

RATE, SECONDS, PEOPLE, THREADS = 500, 20, 1000, 16
EVENTS = 20_000


def suspensions_arrive(place):
    """Each person is suspended and reactivated in turn."""
    site = Site(place, PEOPLE)
    receiver = Receiver(place, "go")
    site.webhook(receiver.url)
    time.sleep(5)  # The first webhook of all is found within four seconds.
    receiver.tell("forget")
    cursor = site.events("", [])[1]
    answered, lock = {}, threading.Lock()
    began = time.monotonic() + 0.5
    late = []

    def work(client, thread):
        for number in range(thread, RATE * SECONDS, THREADS):
            pause = began + number / RATE - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            else:
                late.append(-pause)
            person, is_active = number % PEOPLE, number // PEOPLE % 2 == 1
            answer = site.change(client, person, "active", is_active)
            if not answer or answer[0] not in (200, 204):
                raise Failed(f"PATCH: {answer}")
            if not is_active:
                with lock:
                    answered.setdefault(f"Person {person}", []).append(time.time())

    site.each(THREADS, work)
    took = time.monotonic() - began
    wait_for("the end of the events", 60, lambda: receiver.count() >= RATE * SECONDS)
    arrivals = receiver.read("list")
    must_have_all(site, cursor, arrivals)
    arrived, seen = {}, set()
    for one in arrivals:
        if one["type"] == "member.suspended" and one["id"] not in seen:
            seen.add(one["id"])
            arrived.setdefault(one["name"], []).append(one["at"] / 1e9)
    delays = [there - when for person, times in answered.items() for when, there in zip(times, arrived[person], strict=True)]
    site.end()
    return (f"{RATE * SECONDS / took:.0f} changes/s for {took:.0f} s; from SCIM's answer to a suspension's arrival: p50 {at(delays, 0.5) * 1000:.0f} ms, "
            f"p99 {at(delays, 0.99) * 1000:.0f} ms, at most {max(delays) * 1000:.0f} ms ({len(delays)} suspensions)")


def many_events_go_to_one_receiver(place):
    """From the log, where they are when a webhook is switched on, and again because somebody wants them again."""
    site = Site(place, PEOPLE)
    receiver = Receiver(place, "go")
    hook, _ = site.webhook(receiver.url)
    site.update(hook, enabled=False)
    cursor, began = site.events("", [])[1], time.time()
    # Straight into the table, whose triggers write the events.
    organization = place.query("select organization_id from users limit 1")
    people = int(place.query(f"select count(*) from users where organization_id = '{organization}'"))
    rounds = -(-EVENTS // people)
    for number in range(rounds):
        place.query(f"update users set name = 'Round {number}', updated_at = now() where organization_id = '{organization}'")
    wanted = people * rounds
    shown = []
    for how in ("from the log", "replayed"):
        receiver.tell("forget")
        if how == "from the log":
            site.update(hook, enabled=True)
        else:
            time.sleep(4)
            count = site.ask("WebhookService", "ReplayWebhookDeliveries", webhookId=hook,
                             startTime=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began)))["count"]
            if count < wanted:
                raise Failed(f"{count} of {wanted} are replayed")
        before = [used(server) for server in site.servers]
        wait_for(f"{wanted} events {how}", 120, lambda: receiver.count() >= wanted)
        times = [used(server) - was for server, was in zip(site.servers, before)]
        arrivals = receiver.read("list")
        must_have_all(site, cursor, arrivals)
        took = (arrivals[wanted - 1]["at"] - arrivals[0]["at"]) / 1e9
        shown.append(f"{how}: {wanted / took:.0f}/s (processor time of the servers: {' and '.join(f'{time:.1f} s' for time in times)})")
    site.end()
    return f"{wanted} events of {people} members; " + "; ".join(shown)


def used(server):
    """The processor time of a server, in seconds."""
    with open(f"/proc/{server.process.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


if __name__ == "__main__":
    sys.exit(support.main(suspensions_arrive, many_events_go_to_one_receiver))
