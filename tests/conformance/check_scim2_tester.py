"""Every check of scim2-tester, on the server that SCIM_URL and SCIM_TOKEN name.

The tester learns the schemas from the server, and makes values up at random: it runs once for each of a few seeds.
"""

import collections
import os
import random
import sys

from httpx2 import Client
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_tester import Status, check_server

SEEDS = range(3)

# A MUST that holds, a SHOULD that holds. Rollcall offers every feature that the tester asks for, so a check that is
# SKIPPED is a feature that got lost.
GOOD = {Status.SUCCESS, Status.COMPLIANT}


def is_meant(result):
    """Whether Rollcall means to differ: a removed `active` stays as it was, so that no user leaves open who has access."""
    is_active = isinstance(result.data, dict) and result.data.get("urn") == "active"
    return result.title == "check_remove_attribute" and result.resource_type == "User" and is_active


def main():
    headers = {"Authorization": f"Bearer {os.environ['SCIM_TOKEN']}"}
    bad = 0
    for seed in SEEDS:
        random.seed(seed)
        with Client(base_url=os.environ["SCIM_URL"], headers=headers, timeout=20, trust_env=False) as http:
            results = check_server(SyncSCIMClient(http))
        counts = collections.Counter(result.status.name for result in results)
        print(f"seed {seed}: {len(results)} results:", ", ".join(f"{n} {name}" for name, n in sorted(counts.items())))
        for result in results:
            if result.status not in GOOD and not is_meant(result):
                bad += 1
                print(f"  {result.status.name} {result.resource_type or ''} {result.title}: {result.reason}")
                print(f"    {result.data!r:.2000}")
        kinds = {result.resource_type for result in results}
        if not {"User", "Group"} <= kinds:
            bad += 1
            print(f"  the checks did not get as far as users and groups: {kinds}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
