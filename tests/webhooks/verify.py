"""Receivers in three languages verify every event with the published libraries, also while the secret is replaced."""

import sys
import threading
import time

import support
from hooks import Receiver, Site, wait_for
from server import Failed

CHANGES = 1000
KINDS = ("python", "node", "go")


def every_delivery_is_verified(place):
    site = Site(place, 50)
    cursor = site.events("", [])[1]
    receivers = {kind: Receiver(place, kind) for kind in KINDS}
    hooks = {}
    for kind, receiver in receivers.items():
        hooks[kind], secret = site.webhook(receiver.url)
        receiver.tell("secret", secret)
        sent = site.ask("WebhookService", "SendTestEvent", webhookId=hooks[kind])
        if not sent.get("delivered"):
            raise Failed(f"the receiver in {kind} does not take the test event: {sent}")
    done = threading.Event()

    def work(client, thread):
        for number in range(thread, CHANGES, 4):
            site.change_for_sure(client, number % 50, "displayName", f"Name {number}")
            time.sleep(0.02)

    def changes():
        try:
            site.each(4, work)
        finally:
            done.set()

    traffic = threading.Thread(target=changes, daemon=True)
    traffic.start()
    time.sleep(1)
    for kind, receiver in receivers.items():
        rotated = site.ask("WebhookService", "RotateWebhookSecret", webhookId=hooks[kind], keepPreviousFor="3600s")
        # The receiver has the old secret until it has seen events that both have signed.
        wait_for(f"an event that two secrets signed, in {kind}", 60, lambda: receiver.read("report")["with_two"] > 2)
        receiver.tell("secret", rotated["secret"])
    if done.is_set():
        raise Failed("the changes were over before the secrets were replaced")
    traffic.join(60)
    wanted = {event["id"] for event in site.events(cursor, [])[0] if event["type"].startswith("member.")}
    shown = []
    for kind, receiver in receivers.items():
        wait_for(f"the end of the events, in {kind}", 60, lambda: wanted <= set(receiver.read("report")["ids"]))
        report = receiver.read("report")
        if report["refused"]:
            raise Failed(f"{kind} refused {report['refused']}: {report['why']}")
        shown.append(f"{kind} verified {report['verified']}, {report['with_two']} of them with two signatures")
    site.end()
    return f"{len(wanted)} events: " + "; ".join(shown)


def a_receiver_with_the_wrong_secret_loses_nothing(place):
    site = Site(place, 5)
    receivers = {kind: Receiver(place, kind) for kind in KINDS}
    hooks, secrets = {}, {}
    for kind, receiver in receivers.items():
        hooks[kind], secret = site.webhook(receiver.url)
        receiver.tell("secret", secret)
        # Without a time in which both count.
        secrets[kind] = site.ask("WebhookService", "RotateWebhookSecret", webhookId=hooks[kind])["secret"]
    cursor = site.events("", [])[1]
    site.each(1, lambda client, _: [site.change_for_sure(client, number, "displayName", "Late") for number in range(5)])
    for kind, receiver in receivers.items():
        wait_for(f"that {kind} refuses", 60, lambda: receiver.read("report")["refused"] >= 5)
        receiver.tell("secret", secrets[kind])
    wanted = {event["id"] for event in site.events(cursor, [])[0]}
    for kind, receiver in receivers.items():
        wait_for(f"that {kind} has all", 60, lambda: wanted <= set(receiver.read("report")["ids"]))
    site.end()
    refused = [receiver.read("report")["refused"] for receiver in receivers.values()]
    return f"{len(wanted)} events, refused {refused} times with the old secret, then taken with the new one"


if __name__ == "__main__":
    sys.exit(support.main(every_delivery_is_verified, a_receiver_with_the_wrong_secret_loses_nothing))
