"""Receivers that do not behave: what becomes of their events, and that nobody else waits for them.

All of them hear the same events at once, and a good one beside them. At the end they behave, and must get everything.
"""

import json
import socket
import sys
import threading
import time

import support
from hooks import Receiver, Site, at, must_have_all, wait_for
from server import Failed

# How many changes a second, for how long, with and without hostile receivers.
RATE, SECONDS = 30, 20
PEOPLE = 60


class Hostile:
    """A receiver that reads a request and does something with the connection. When it is `good`, it takes everything."""

    scheme = "http"

    def __init__(self, name, act):
        self.name, self.act, self.good = name, act, False
        self.arrivals, self.taken, self.sent, self.calls = [], [], 0, 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"{self.scheme}://127.0.0.1:{self.listener.getsockname()[1]}/hooks"
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            connection, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            with connection, connection.makefile("rb") as reader:
                while (event := self.request(reader)) is not None:
                    with self.lock:
                        self.calls += 1
                    if self.good:
                        self.take(event)
                        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
                    elif not self.act(self, connection, event):
                        return
        except OSError:
            pass

    def take(self, event):
        with self.lock:
            self.arrivals.append(event)

    @staticmethod
    def request(reader):
        length, line = 0, reader.readline()
        if not line:
            return None
        while line.strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            line = reader.readline()
        body = json.loads(reader.read(length))
        return {"id": body["id"], "subject": body["subject"]["id"], "at": time.time_ns()}

    def send(self, connection, data):
        connection.sendall(data)
        with self.lock:
            self.sent += len(data)


def after(seconds):
    """Takes an event, and says so late."""
    def act(self, connection, event):
        time.sleep(seconds)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self.take(event)
        return True
    return act


def answers(*head, body=b"no"):
    def act(_, connection, __):
        lines = "".join(f"{line}\r\n" for line in head)
        connection.sendall(f"HTTP/1.1 {lines}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return True
    return act


def hangs(_, connection, __):
    while connection.recv(4096):
        pass


def huge(self, connection, event):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
    self.take(event)
    for _ in range(1600):
        self.send(connection, b"x" * 65536)


def endless(self, connection, event):
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    self.take(event)
    while True:
        self.send(connection, b"10000\r\n" + b"x" * 65536 + b"\r\n")


def drips(self, connection, event):
    """A header line that never ends."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while True:
        self.send(connection, b"x" * 65536)


def breaks_off(_, connection, __):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of ")


def no_http(_, connection, __):
    connection.sendall(b"220 mail.example.com ESMTP\r\n")


class WrongTls(Hostile):
    """It is called over https, and does not speak TLS."""

    scheme = "https"

    def __init__(self, name):
        super().__init__(name, None)

    def serve(self, connection):
        with connection:
            with self.lock:
                self.calls += 1
            connection.recv(4096)
            connection.sendall(b"\x16\x03\x03\x00\x02not TLS")


def steady(site, seconds, name):
    """So many changes a second, and when each was answered."""
    answered, began, threads = {}, time.monotonic(), 4

    def work(client, thread):
        for number in range(thread, RATE * seconds, threads):
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            value = f"{name} {number}"
            site.change_for_sure(client, number % PEOPLE, "displayName", value)
            answered[value] = time.time()

    site.each(threads, work)
    return answered


def delays(answered, receiver):
    arrived = {}
    for one in receiver.read("list"):
        arrived.setdefault(one["name"], one["at"] / 1e9)
    missing = [name for name in answered if name not in arrived]
    if missing:
        raise Failed(f"{len(missing)} events did not come to the good receiver in time")
    return [arrived[name] - when for name, when in answered.items()]


def told(times):
    return f"p50 {at(times, 0.5) * 1000:.0f} ms, p99 {at(times, 0.99) * 1000:.0f} ms, at most {max(times) * 1000:.0f} ms"


def nobody_waits_for_a_hostile_receiver(place):
    site = Site(place, PEOPLE)
    good = Receiver(place, "go")
    hook, _ = site.webhook(good.url)
    time.sleep(5)  # The first webhook of all is found within four seconds.
    alone = delays_of(site, good, "Alone", 8)
    memory = [server.memory("VmRSS") for server in site.servers]

    redirected = Receiver(place, "go")
    hostile = [
        Hostile("answers after 9 s", after(9)),
        Hostile("answers after 7 s, when the lease of 6 s would be over", after(7)),
        Hostile("hangs", hangs),
        Hostile("answers with 100 MB", huge),
        Hostile("answers without end", endless),
        Hostile("sends a header without end", drips),
        Hostile("500", answers("500 Internal Server Error")),
        Hostile("301 to another address", answers("301 Moved Permanently", f"Location: {redirected.url}")),
        Hostile("breaks off in the middle", breaks_off),
        Hostile("speaks something else", no_http),
        WrongTls("wrong TLS"),
        Hostile("429 with Retry-After: 20", answers("429 Too Many Requests", "Retry-After: 20")),
        Hostile("410", answers("410 Gone")),
    ]
    cursor = site.events("", [])[1]
    hooks = {one: site.webhook(one.url)[0] for one in hostile}
    beside = delays_of(site, good, "Beside", SECONDS)
    time.sleep(11)  # so that those have ended that hang
    print(f"        the good one alone: {told(alone)}; beside {len(hostile)} hostile ones: {told(beside)}")
    peak = [server.memory("VmHWM") for server in site.servers]
    print("        memory of the servers before: " + ", ".join(f"{size:.0f} MiB" for size in memory)
          + "; at most: " + ", ".join(f"{size:.0f} MiB" for size in peak))
    if max(peak) - min(memory) > 300:
        raise Failed("hostile answers fill the memory")
    for one in hostile:
        webhook = site.get(hooks[one])
        lines = site.deliveries(hooks[one])
        waiting = [line for line in lines if line["status"] == "DELIVERY_STATUS_WAITING"]
        said = next((line for line in lines if line.get("tries") and line["status"] == "DELIVERY_STATUS_WAITING"),
                    next(iter(lines), {}))
        text = said.get("answer", "")
        state = "on" if webhook.get("enabled") else f"off: {webhook.get('disabledReason')}"
        sent = f", {one.sent / 2**20:.1f} MiB got rid of" if one.sent else ""
        print(f"        {one.name}: {one.calls} calls{sent}; {len(lines) - len(waiting)} taken, {len(waiting)} wait; "
              f"{said.get('httpStatus', '-')} {text[:70]!r}; {state}")
        if one.name != "410" and not webhook.get("enabled"):
            raise Failed(f"{one.name} was switched off")
    if redirected.count():
        raise Failed("a redirect was followed")

    # They behave from now on, and somebody switches them on again.
    for one in hostile:
        one.good = True
        if isinstance(one, WrongTls):
            one.replacement = Hostile(one.name, None)
            one.replacement.good = True
            site.update(hooks[one], url=one.replacement.url)
        site.update(hooks[one], enabled=True)
    wanted = {event["id"] for event in site.events(cursor, [])[0] if event["type"] == "member.updated"}
    again = {}
    for one in hostile:
        receiver = getattr(one, "replacement", one)
        wait_for(f"all events at the one that was: {one.name}", 150,
                 lambda: wanted <= {event["id"] for event in list(receiver.arrivals)})
        # In the order in which they were taken: those that say it late were behind others.
        again[one.name] = must_have_all(site, cursor, sorted(receiver.arrivals, key=lambda event: event["at"]))[1]
    site.end()
    twice = ", ".join(f"{name}: {count}" for name, count in again.items() if count)
    return f"{len(wanted)} events came to all {len(hostile)} in the end, in order (twice: {twice or 'none'})"


def delays_of(site, receiver, name, seconds):
    answered = steady(site, seconds, name)
    time.sleep(3)
    return delays(answered, receiver)


if __name__ == "__main__":
    sys.exit(support.main(nobody_waits_for_a_hostile_receiver))
