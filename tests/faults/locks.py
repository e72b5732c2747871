"""Somebody locks a table: who needs another is answered as ever."""

import json
import sys
import time

from server import Failed, wait_until
from support import Load, ask, in_threads, main, rpc, who_am_i, within

# How many want what nobody can read.
CLIENTS = 100
# How long the table is locked.
LOCKED_SECONDS = 15
# What promptly is.
PROMPT_SECONDS = 2


def locked_users(place):
    server = place.server()
    server.start()
    scim = {"Authorization": f"Bearer {place.scim_token(server)}"}
    organization = json.loads(who_am_i(server.port, place.admin).body)["organizationId"]
    list_body = json.dumps({"organizationId": organization})

    def users(_):
        return ask(server.port, "GET", "/scim/v2/Users?count=1", scim, timeout=60)

    others = (
        ("GetAuthenticatedIdentity", lambda: who_am_i(server.port, place.admin)),
        ("ListSSOConfigurations",
         lambda: rpc(server.port, place.admin, "OrganizationService/ListSSOConfigurations", list_body)),
        ("/login", lambda: ask(server.port, "GET", "/login?email=somebody%40nowhere.example.net")),
        ("/readyz", lambda: ask(server.port, "GET", "/readyz")),
    )
    wait_until("users", 10, lambda: users(0).status == 200)
    with Load(CLIENTS, users, pause=0.2) as wanting, Load(4, lambda n: others[n][1](), pause=0.2) as needing:
        with place.locked("scim_users"):
            locked_at = time.monotonic()
            wait_until("somebody to wait for the table", 10, lambda: place.waiting_for("scim_users") > 0)
            # As many as there are wait: for the table, or to be let at it.
            wait_until("everybody to want users", 10, lambda: len(wanting.pending) >= CLIENTS * 3 // 4)
            time.sleep(max(0.0, locked_at + LOCKED_SECONDS - time.monotonic()))
            meanwhile = needing.since(locked_at)
            waited = needing.oldest()
            refused = wanting.bad(locked_at)
        free_at = time.monotonic()
        back = within("users after the lock", 20, lambda: len(wanting.good(free_at)) >= 2 * CLIENTS, server.must_run)
        within("an answer for everybody", 20, lambda: all(began > free_at for began in list(wanting.pending.values())))
        after = wanting.bad(free_at)
    results = in_threads(16, lambda n: users(n).status, 20)
    server.end()
    bad = [answer for answer in meanwhile if answer[2] != 200]
    slowest = max([answered - asked for asked, answered, _ in meanwhile] + [waited])
    statuses = sorted({str(answer[2]) for answer in refused})
    measured = (f"while {CLIENTS} clients want users for {LOCKED_SECONDS} s ({len(refused)} were refused: {', '.join(statuses)}), "
                f"{len(bad)} of {len(meanwhile)} other requests fail, the slowest takes {slowest:.1f} s; afterwards "
                f"{2 * CLIENTS} are answered within {back:.1f} s, {len(after)} are not")
    if bad or len(meanwhile) < 50 or slowest > PROMPT_SECONDS or after or results != [200] * 16:
        raise Failed(measured + (f"; {bad[0][2]}" if bad else ""))
    if any(status != "503" for status in statuses):
        raise Failed(measured)
    return measured


if __name__ == "__main__":
    sys.exit(main(locked_users))
