"""What is killed in the middle of changes costs no event: a server, both servers, PostgreSQL."""

import sys
import threading
import time

import crash
import support
from hooks import Receiver, Site, must_have_all, wait_for
from server import Failed

CHANGES, PEOPLE, THREADS = 2000, 100, 8
# How long another server may need to go on.
PATIENCE = 10


class Flow:
    """Changes, each sent until it is acknowledged, while a receiver takes their events."""

    def __init__(self, place):
        self.site = Site(place, PEOPLE)
        self.cursor = self.site.events("", [])[1]
        self.receiver = Receiver(place, "go")
        # So that some are under way at every moment.
        self.receiver.tell("delay", "20ms")
        self.hook, secret = self.site.webhook(self.receiver.url)
        self.receiver.tell("secret", secret)
        time.sleep(5)  # The first webhook of all is found within four seconds.
        self.done, self.failure = 0, None
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        def work(client, thread):
            for number in range(thread, CHANGES, THREADS):
                # A person is changed by one thread alone, so that the last name is known.
                person = thread + THREADS * (number // THREADS % (PEOPLE // THREADS))
                self.site.change_for_sure(client, person, "displayName", f"Name {number:05}")
                self.done += 1

        try:
            self.site.each(THREADS, work)
        except Exception as error:
            self.failure = error

    def reach(self, share):
        def is_so():
            if self.failure:
                raise self.failure
            return self.done >= CHANGES * share

        wait_for(f"{share:.0%} of the changes", 120, is_so)

    def leaseholder(self):
        """The server that reads for the webhook, by what its connections wrote last."""
        return self.site.place.query(f"select lease_owner from receivers where id = '{self.hook}'")

    def finish(self):
        self.thread.join(180)
        if self.failure:
            raise self.failure
        if self.thread.is_alive():
            raise Failed("the changes do not end")
        site = self.site
        wanted = {event["id"] for event in site.events(self.cursor, [])[0] if event["type"].startswith("member.")}
        wait_for("the end of the events", 120, lambda: wanted <= {one["id"] for one in self.receiver.read("list")})
        time.sleep(1)
        arrivals = self.receiver.read("list")
        total, again = must_have_all(site, self.cursor, arrivals)
        # Each change has a name of its own. One that was sent again after its answer got lost changed nothing more.
        names = {one["name"] for one in arrivals}
        lost = [number for number in range(CHANGES) if f"Name {number:05}" not in names]
        if lost:
            raise Failed(f"{len(lost)} changes were acknowledged, and no event told of them")
        last = {}
        seen = set()
        for one in arrivals:
            if one["id"] not in seen:
                seen.add(one["id"])
                last[one["subject"]] = one["name"]
        now = {row["id"]: row["data"]["name"] for row in self.subjects()}
        wrong = [subject for subject, name in last.items() if now.get(subject) != name]
        if wrong:
            raise Failed(f"the last event of {len(wrong)} members is not what they are now")
        left = [line for line in site.deliveries(self.hook, status="DELIVERY_STATUS_WAITING")]
        if left:
            raise Failed(f"{len(left)} events wait still, although all came")
        site.end()
        return f"{total} events, all there and in order; {again} came twice"

    def subjects(self):
        token = ""
        while True:
            page = self.site.ask("EventService", "ListSubjects", pageSize=1000, pageToken=token)
            yield from (row for row in page.get("subjects", []) if row["type"] == "member")
            token = page.get("nextPageToken", "")
            if not token:
                return


def gap_behind(flow, moment):
    """How long after a moment the next event came that was not on its way already."""
    def next_arrivals():
        return [one["at"] / 1e9 for one in flow.receiver.read("list") if one["at"] / 1e9 > moment + 0.2]

    wait_for("an event after the crash", 60, next_arrivals)
    return min(next_arrivals()) - moment


def one_server_is_killed(place):
    """Twice, so that the one that reads for the webhook is hit at least once."""
    flow = Flow(place)
    gaps = []
    for share, victim in ((0.25, 0), (0.55, 1)):
        flow.reach(share)
        before = flow.leaseholder()
        moment = time.time()
        flow.site.servers[victim].kill()
        gaps.append(gap_behind(flow, moment))
        moved = flow.leaseholder() != before
        gaps[-1] = (gaps[-1], moved)
        flow.site.servers[victim].start()
    if max(gap for gap, _ in gaps) > PATIENCE:
        raise Failed(f"events came again only after {gaps} s")
    told = ", ".join(f"{gap:.1f} s ({'the one that sent' if moved else 'the other one'})" for gap, moved in gaps)
    return f"the next event after each kill: {told}; {flow.finish()}"


def both_servers_are_killed(place):
    flow = Flow(place)
    flow.reach(0.4)
    for server in flow.site.servers:
        server.kill()
    moment = time.time()
    for server in flow.site.servers:
        server.start()
    gap = gap_behind(flow, moment)
    return f"the next event {gap:.1f} s after the kill; {flow.finish()}"


def postgres_is_killed(place):
    flow = Flow(place)
    flow.reach(0.4)
    killed = place.postgres.kill()
    moment = time.time()
    time.sleep(2)
    place.postgres.start()
    started = time.time()
    gap = gap_behind(flow, started)
    return (f"{killed} processes of PostgreSQL killed, back after {started - moment:.1f} s, the next event {gap:.1f} s later; "
            f"{flow.finish()}")


def nobody_is_killed(place):
    """Both servers are stopped and started, as an update does it."""
    flow = Flow(place)
    for share, server in zip((0.3, 0.6), flow.site.servers):
        flow.reach(share)
        server.stop()
        server.start()
    result = flow.finish()
    return result


if __name__ == "__main__":
    sys.exit(support.main(nobody_is_killed, one_server_is_killed, both_servers_are_killed, postgres_is_killed))
