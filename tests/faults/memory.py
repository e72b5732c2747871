"""Bodies that are big, and many at once: the server does not grow with them, and all are taken in the end."""

import json
import sys
import time

from server import Failed
from support import ask, in_threads, main

# How many requests at once, of how many bytes.
REQUESTS = 60
BYTES = 1_200_000
OPERATIONS = 1000
# What a small container of 256 MiB leaves beside the program's own pages, which the system takes back when it needs them.
LIMIT = 224
# How long it may take until everybody was let in.
SECONDS = 90


def bulk(number):
    def operation(at):
        name = f"user-{number}-{at}"
        return {"method": "POST", "path": "/Users", "bulkId": name, "data": {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": name,
            "name": {"givenName": "User", "familyName": name, "formatted": "x" * (BYTES // OPERATIONS - 215)},
            "active": True,
        }}

    return json.dumps({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [operation(at) for at in range(OPERATIONS)],
    }).encode()


def many_big_bulks(place):
    server = place.server()
    server.start()
    headers = {"Authorization": f"Bearer {place.scim_token(server)}", "Content-Type": "application/scim+json"}
    if ask(server.port, "GET", "/scim/v2/Users?count=1", headers).status != 200:
        raise Failed("the first request was not answered")
    before = server.memory("RssAnon")
    bodies = [bulk(number) for number in range(REQUESTS)]

    again = []

    def send(number):
        deadline = time.monotonic() + SECONDS
        while True:
            answer = ask(server.port, "POST", "/scim/v2/Bulk", headers, bodies[number], timeout=SECONDS)
            after = answer.headers.get("Retry-After")
            if answer.status not in (429, 503) or after is None or time.monotonic() > deadline:
                return answer
            again.append(answer.status)
            # As it was told, and not all at the same moment.
            time.sleep(float(after) + number / REQUESTS)

    began = time.monotonic()
    results = in_threads(REQUESTS, send, 2 * SECONDS)
    took = time.monotonic() - began
    most = server.memory("VmHWM") - server.memory("RssFile")
    counts = {}
    wrong = []
    for number, result in enumerate(results):
        if isinstance(result, Exception):
            name = f"{type(result).__name__}: {result}"
            wrong.append(name)
        else:
            name = str(result.status)
            if result.status == 200:
                made = sum(o["status"] in ("201", 201) for o in json.loads(result.body)["Operations"])
                if made != OPERATIONS:
                    wrong.append(f"a bulk made {made} of {OPERATIONS}")
            else:
                wrong.append(f"{result.status} with Retry-After: {result.headers.get('Retry-After')}")
        counts[name] = counts.get(name, 0) + 1
    measured = (f"{REQUESTS} bulks of {len(bodies[0]) / 1e6:.1f} MB: at most {most:.0f} MiB ({before:.0f} before), answered "
                f"{', '.join(f'{count} times {name}' for name, count in sorted(counts.items()))} in {took:.1f} s, "
                f"after {len(again)} were told to come again")
    if wrong or most >= LIMIT:
        raise Failed(measured + (f"; {wrong[0]}" if wrong else ""))
    server.end(30)
    return measured


if __name__ == "__main__":
    sys.exit(main(many_big_bulks))
