"""The probe of scim-sanity, on the server that SCIM_URL and SCIM_TOKEN name: every one of its checks passes."""

import json
import os
import pathlib
import subprocess
import sys

# As many as the pinned version has for users and groups.
CHECKS = 28

# What a server may do without: resources of a draft, which Rollcall does not list in /ResourceTypes.
NOT_OFFERED = {"Agent CRUD Lifecycle", "AgenticApplication CRUD Lifecycle", "Agent Rapid Lifecycle"}


def main():
    probe = subprocess.run(
        [
            pathlib.Path(sys.prefix, "bin", "scim-sanity"), "probe", os.environ["SCIM_URL"],
            "--token", os.environ["SCIM_TOKEN"], "--i-accept-side-effects", "--strict", "--json-output",
        ],
        stdout=subprocess.PIPE, text=True, timeout=120,
    )
    try:
        results = json.loads(probe.stdout)["results"]
    except (ValueError, KeyError):
        print(f"the probe ended with the status {probe.returncode} and without results:\n{probe.stdout}")
        return 1
    bad = [r for r in results if r["status"] != "pass" and not (r["status"] == "skip" and r["name"] in NOT_OFFERED)]
    passed = sum(r["status"] == "pass" for r in results)
    print(f"{passed} of {CHECKS} checks passed, {len(results) - passed - len(bad)} of features that are not offered")
    for result in bad:
        print(f"  {result['status']} {result.get('phase')}: {result['name']}: {result.get('message')}")
    return 0 if probe.returncode == 0 and passed == CHECKS and not bad else 1


if __name__ == "__main__":
    sys.exit(main())
