"""What the Python clients share: where the server is, and fresh data for every test."""

import base64
import json
import os
import re
import urllib.request
import uuid
from datetime import datetime, timedelta, timezone
from typing import NamedTuple

URL = os.environ["ROLLCALL_URL"]
API = f"{URL}/api"
TOKEN = os.environ["ROLLCALL_TOKEN"]
ORGANIZATION_ID = os.environ["ROLLCALL_ORGANIZATION_ID"]

ONLY_EXAMPLE_COM = 'claims.email_verified && claims.email.endsWith("@example.com")'
DAY = 86_400
SCIM_TOKEN = re.compile(r"rcscim_[0-9a-f]{64}_[0-9A-Za-z]{49}")
SOME_ID = str(uuid.uuid4())

# Every client secret starts like this, so that one in a response is easy to find.
SECRET_MARK = "must-never-come-back-"

# Requests that break one rule each: (method, what is wrong, the field at fault).
INVALID_SSO = [
    ({"client_id": ""}, "client_id"),
    ({"client_secret": ""}, "client_secret"),
    ({"issuer_url": "not a url"}, "issuer_url"),
    ({"organization_id": "not-a-uuid"}, "organization_id"),
    ({"email_domains": ["nodot"]}, "email_domains"),
    ({"display_name": "x" * 129}, "display_name"),
    ({"additional_scopes": [""]}, "additional_scopes"),
    ({"claims_expression": "claims."}, "claims_expression"),
    ({"claims_expression": '"text"'}, "claims_expression"),
    ({"claims_expression": "user.admin"}, "claims_expression"),
]


class Exchange(NamedTuple):
    """One HTTP request and what came back, as it stood on the wire."""

    method: str
    path: str
    status: int
    headers: dict[str, str]
    body: bytes


def sso_fields(**changes) -> dict:
    """Every field of a CreateSSOConfigurationRequest, unlike that of any other test."""
    name = uuid.uuid4().hex[:12]
    return {
        "organization_id": ORGANIZATION_ID,
        "client_id": f"client-{name}",
        "client_secret": f"{SECRET_MARK}{name}",
        "issuer_url": f"https://{name}.idp.example.com",
        "email_domains": [f"{name}.example.com", f"{name}.example.org"],
        "display_name": f"Example {name}",
        "additional_scopes": ["groups", "offline_access"],
        "claims_expression": ONLY_EXAMPLE_COM,
        **changes,
    }


def scim(token: str, method: str, path: str, body: dict | None = None) -> dict:
    """What an identity provider does with the token of a SCIM configuration."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/scim+json"}
    if body is not None:
        [kind] = re.findall("^/(User|Group)s", path)
        body = {"schemas": [f"urn:ietf:params:scim:schemas:core:2.0:{kind}"], **body}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{URL}/scim/v2{path}", data, headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read() or b"{}")


def push_user(token: str, name: str) -> dict:
    """Provisions a person, who becomes a member, with an address unlike that of any other test."""
    address = f"{uuid.uuid4().hex[:12]}@example.com"
    emails = [{"value": address, "primary": True}]
    return scim(token, "POST", "/Users", {"userName": address, "displayName": name, "emails": emails})


def push_group(token: str, name: str, users: list[dict]) -> dict:
    members = [{"value": user["id"]} for user in users]
    return scim(token, "POST", "/Groups", {"displayName": name, "members": members})


def some_name(prefix: str) -> str:
    """A name unlike that of any other test."""
    return f"{prefix} {uuid.uuid4().hex[:12]}"


def is_in_days(moment: datetime, days: int) -> bool:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return abs(moment - datetime.now(timezone.utc) - timedelta(days=days)) < timedelta(minutes=1)


def named_in_violations(details: list[dict]) -> bytes:
    """The violations among a JSON error's details, undecoded: field names stand in them as text."""
    [violations] = [d["value"] for d in details if d["type"] == "buf.validate.Violations"]
    return base64.b64decode(violations + "==")
