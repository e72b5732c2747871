"""The directory over the JSON generation of the Python SDK (0.7 to 0.11): members, groups, roles, the audit log.

It has no methods for service accounts, nor to make a personal access token or to read one entry of the audit log.
Service accounts are made here with the client's own `post`.
"""

from datetime import datetime, timedelta, timezone
from typing import NamedTuple
from uuid import UUID

import gitpod
import pytest

from support import (
    API,
    DAY,
    ORGANIZATION_ID,
    SOME_ID,
    TOKEN,
    is_in_days,
    named_in_violations,
    push_group,
    push_user,
    scim,
    some_name,
)
from test_stainless import connect, create_scim, create_sso, everything, fields_of

# The fixture.
from test_stainless import client  # noqa: F401

ADMIN, MEMBER = "ORGANIZATION_ROLE_ADMIN", "ORGANIZATION_ROLE_MEMBER"
ACTIVE, SUSPENDED, LEFT = "USER_STATUS_ACTIVE", "USER_STATUS_SUSPENDED", "USER_STATUS_LEFT"


class Member(NamedTuple):
    id: str
    email: str
    scim_id: str

    @property
    def subject(self):
        return {"id": self.id, "principal": "PRINCIPAL_USER"}


class Provider:
    """An identity provider that pushes to a SCIM configuration."""

    def __init__(self, client):
        self.client = client
        sso = create_sso(client.organizations.sso_configurations)
        created = create_scim(client.organizations.scim_configurations, sso)
        self.token, self.id = created.token, created.scim_configuration.id

    def push(self, name) -> Member:
        pushed = push_user(self.token, name)
        [member] = list_members(self.client, search=pushed["userName"])
        return Member(member.user_id, member.email, pushed["id"])

    def delete(self):
        self.client.organizations.scim_configurations.delete(scim_configuration_id=self.id)
        self.id = None


@pytest.fixture
def provider(client):
    provider = Provider(client)
    yield provider
    if provider.id:
        for user in scim(provider.token, "GET", "/Users")["Resources"]:
            scim(provider.token, "DELETE", f"/Users/{user['id']}")


@pytest.fixture
def groups(client):
    yield client.groups
    for group in everything(client.groups.list(filter={"system_managed": False})):
        client.groups.delete(group_id=group.id)


@pytest.fixture
def robot(client):
    """A service account, by its id."""
    valid_until = (datetime.now(timezone.utc) + timedelta(days=30)).isoformat()
    id = call(client, "CreateServiceAccount", name="Robot", validUntil=valid_until)["serviceAccount"]["id"]
    yield id
    call(client, "DeleteServiceAccount", serviceAccountId=id)


@pytest.fixture
def me(client):
    return client.identity.get_authenticated_identity().subject


def call(client, method, **body):
    return client.post(f"/gitpod.v1.ServiceAccountService/{method}", body=body, cast_to=object)


def subject_of(robot):
    return {"id": robot, "principal": "PRINCIPAL_SERVICE_ACCOUNT"}


def list_members(client, **filters):
    return everything(client.organizations.list_members(organization_id=ORGANIZATION_ID, filter=filters))


def create_group(groups, name=None, **fields):
    return groups.create(organization_id=ORGANIZATION_ID, name=name or some_name("Group"), **fields).group


def refused(error, code, rpc, *arguments, **fields):
    with pytest.raises(error) as caught:
        rpc(*arguments, **fields)
    assert caught.value.code == code
    return caught.value


def not_found(rpc, **fields):
    refused(gitpod.NotFoundError, "not_found", rpc, **fields)


def already_exists(rpc, **fields):
    refused(gitpod.ConflictError, "already_exists", rpc, **fields)


def failed_precondition(rpc, **fields):
    refused(gitpod.BadRequestError, "failed_precondition", rpc, **fields)


def permission_denied(rpc, **fields):
    refused(gitpod.PermissionDeniedError, "permission_denied", rpc, **fields)


def invalid(field, rpc, **fields):
    error = refused(gitpod.BadRequestError, "invalid_argument", rpc, **fields)
    assert field.encode() in named_in_violations(error.body["details"])


# --- The organization and its members. ---


def test_an_organization_is_renamed_and_lets_in_domains(client):
    def update(**changes):
        return client.organizations.update(organization_id=ORGANIZATION_ID, **changes).organization

    def read():
        return client.organizations.retrieve(organization_id=ORGANIZATION_ID).organization

    before = read()
    renamed = update(name="Acme")
    assert (renamed.id, renamed.name, renamed.tier) == (ORGANIZATION_ID, "Acme", "ORGANIZATION_TIER_ENTERPRISE")
    assert renamed.created_at == before.created_at
    assert renamed.updated_at > before.updated_at

    opened = update(invite_domains={"domains": ["Acme.example", "acme.test"]}, name=None)
    assert (opened.name, opened.invite_domains.domains) == ("Acme", ["acme.example", "acme.test"])
    assert read() == opened
    invalid("invite_domains", update, invite_domains={"domains": ["nodot"]})
    invalid("name", update, name="")

    closed = update(name=before.name, invite_domains={"domains": []})
    assert (closed.name, closed.invite_domains) == (before.name, None)


def test_only_operators_make_organizations(client):
    permission_denied(client.organizations.create, name="Another one")
    # Which could be deleted, if it were the caller's.
    permission_denied(client.organizations.delete, organization_id=SOME_ID)


def test_an_invitation_is_read_until_a_newer_one_takes_its_place(client, provider):
    invites = client.organizations.invites
    first = invites.create(organization_id=ORGANIZATION_ID).invite
    assert UUID(first.invite_id)
    assert invites.retrieve(organization_id=ORGANIZATION_ID).invite == first
    provider.push("Ada Lovelace")
    summary = invites.get_summary(invite_id=first.invite_id)
    assert summary.organization_id == ORGANIZATION_ID
    assert summary.organization_name == client.organizations.retrieve(organization_id=ORGANIZATION_ID).organization.name
    assert summary.organization_member_count == len(list_members(client, statuses=[ACTIVE]))

    second = invites.create(organization_id=ORGANIZATION_ID).invite
    assert second != first
    assert invites.retrieve(organization_id=ORGANIZATION_ID).invite == second
    not_found(invites.get_summary, invite_id=first.invite_id)


def test_what_is_for_people_is_refused_to_a_service_account(client, provider, me):
    invite = client.organizations.invites.create(organization_id=ORGANIZATION_ID).invite
    failed_precondition(client.organizations.join, invite_id=invite.invite_id)
    invalid("invite_id", client.organizations.join)
    failed_precondition(client.accounts.list_joinable_organizations)
    failed_precondition(client.accounts.retrieve)
    failed_precondition(client.users.get_authenticated_user)
    # Nor does it act for a member.
    for id in provider.push("Ada Lovelace").id, me.id:
        permission_denied(client.organizations.leave, user_id=id)


def test_a_pushed_person_is_a_member(client, provider):
    ada = provider.push("Ada Lovelace")
    user = client.users.get_user(user_id=ada.id).user
    assert fields_of(user) == {
        "id": ada.id,
        "organization_id": ORGANIZATION_ID,
        "name": "Ada Lovelace",
        "email": ada.email,
        "status": ACTIVE,
        "created_at": user.created_at,
    }
    assert is_in_days(user.created_at, 0)
    [member] = list_members(client, user_ids=[ada.id])
    assert fields_of(member) == {
        "user_id": ada.id,
        "role": MEMBER,
        "member_since": user.created_at,
        "full_name": "Ada Lovelace",
        "email": ada.email,
        "status": ACTIVE,
        "login_provider": "custom",
    }
    not_found(client.users.get_user, user_id=SOME_ID)


def test_a_member_becomes_an_administrator_and_one_is_left(client, provider):
    ada, grace = provider.push("Ada Lovelace"), provider.push("Grace Hopper")

    def set_role(**fields):
        return client.organizations.set_role(organization_id=ORGANIZATION_ID, **fields)

    def administrators():
        return [member.full_name for member in list_members(client, user_ids=[ada.id, grace.id], roles=[ADMIN])]

    assert set_role(user_id=ada.id, role=ADMIN) == {}
    assert administrators() == ["Ada Lovelace"]
    failed_precondition(set_role, user_id=ada.id, role=MEMBER)
    set_role(user_id=grace.id, role=ADMIN)
    assert administrators() == ["Ada Lovelace", "Grace Hopper"]
    set_role(user_id=ada.id, role=MEMBER)
    assert administrators() == ["Grace Hopper"]
    invalid("role", set_role, user_id=ada.id)
    not_found(set_role, user_id=SOME_ID, role=ADMIN)


def test_a_member_is_suspended_until_that_is_lifted(client, provider):
    ada = provider.push("Ada Lovelace")

    def status():
        return client.users.get_user(user_id=ada.id).user.status

    assert client.users.set_suspended(user_id=ada.id, suspended=True) == {}
    assert status() == SUSPENDED
    assert [member.user_id for member in list_members(client, user_ids=[ada.id], statuses=[SUSPENDED])] == [ada.id]
    client.users.set_suspended(user_id=ada.id, suspended=False)
    assert status() == ACTIVE
    assert list_members(client, user_ids=[ada.id], statuses=[SUSPENDED]) == []
    not_found(client.users.set_suspended, user_id=SOME_ID, suspended=True)


def test_a_member_is_deleted_once_nobody_provisions_it(client, provider):
    ada = provider.push("Ada Lovelace")

    def status():
        return client.users.get_user(user_id=ada.id).user.status

    failed_precondition(client.users.delete_user, user_id=ada.id)
    provider.delete()
    assert status() == ACTIVE
    assert client.users.delete_user(user_id=ada.id) == {}
    assert status() == LEFT
    not_found(client.users.delete_user, user_id=ada.id)


def test_only_members_have_personal_access_tokens(client, provider):
    ada = provider.push("Ada Lovelace")
    assert everything(client.users.pats.list()) == []
    assert everything(client.users.pats.list(filter={"user_ids": [ada.id]})) == []
    not_found(client.users.pats.get, personal_access_token_id=SOME_ID)
    not_found(client.users.pats.delete, personal_access_token_id=SOME_ID)


# --- Groups. ---


def test_a_group_is_made_read_changed_and_deleted(groups):
    name = some_name("Engineering")
    made = create_group(groups, name, description="Who builds it")
    assert fields_of(made) == {
        "id": made.id,
        "organization_id": ORGANIZATION_ID,
        "name": name,
        "description": "Who builds it",
        "created_at": made.created_at,
        "updated_at": made.created_at,
    }
    assert UUID(made.id).version == 7
    assert is_in_days(made.created_at, 0)
    for which in {"id": made.id}, {"name": name}, {"group_id": made.id}:
        assert groups.retrieve(**which).group == made
    already_exists(create_group, groups=groups, name=name)
    invalid("name", create_group, groups=groups, name="ab")
    invalid("name", create_group, groups=groups, name="x" * 81)

    new_name = some_name("Builders")
    updated = groups.update(group_id=made.id, name=new_name, description="Who built it").group
    changes = {"name": new_name, "description": "Who built it", "updated_at": updated.updated_at}
    assert fields_of(updated) == fields_of(made, **changes)
    assert updated.updated_at > made.updated_at
    assert groups.retrieve(name=new_name).group == updated
    not_found(groups.retrieve, name=name)

    assert groups.delete(group_id=made.id) == {}
    not_found(groups.retrieve, id=made.id)
    not_found(groups.update, group_id=made.id, name=name)
    not_found(groups.delete, group_id=made.id)


def test_groups_are_found_by_every_filter(groups, provider):
    first = create_group(groups, some_name("First"), description="Red")
    second = create_group(groups, some_name("Second"), description="Blue")
    push_group(provider.token, "Pushed", [])

    def names(**filters):
        return [group.name for group in everything(groups.list(filter=filters, page_size=1))]

    assert names() == [first.name, second.name, "Pushed"]
    assert names(search="fIRST") == [first.name]
    assert names(search="blu") == [second.name]
    assert names(search=first.id) == [first.name]
    assert names(group_ids=[second.id, SOME_ID]) == [second.name]
    assert names(system_managed=True) == ["Pushed"]
    assert names(system_managed=False) == [first.name, second.name]
    assert names(direct_share=False) == [first.name, second.name, "Pushed"]
    assert names(direct_share=True) == []


def test_a_pushed_group_is_read_alone(groups, provider):
    pushed = push_group(provider.token, "Pushed", [push_user(provider.token, "Ada Lovelace")])
    group = groups.retrieve(name="Pushed").group
    assert (group.id, group.system_managed, group.member_count) == (pushed["id"], True, 1)
    [member] = everything(groups.memberships.list(group_id=group.id))
    assert (member.name, member.group_id, member.subject.principal) == ("Ada Lovelace", group.id, "PRINCIPAL_USER")
    failed_precondition(groups.update, group_id=group.id, name="Renamed")
    failed_precondition(groups.delete, group_id=group.id)
    failed_precondition(groups.memberships.create, group_id=group.id, subject=subject_of(SOME_ID))


def test_people_and_service_accounts_are_members_of_a_group(groups, provider, robot):
    ada, group, memberships = provider.push("Ada Lovelace"), create_group(groups), groups.memberships

    def found(**options):
        return [fields_of(member) for member in everything(memberships.list(group_id=group.id, **options))]

    person = memberships.create(group_id=group.id, subject=ada.subject).member
    program = memberships.create(group_id=group.id, subject=subject_of(robot)).member
    assert (person.group_id, person.name, dict(person.subject)) == (group.id, "Ada Lovelace", ada.subject)
    assert (program.group_id, program.name, dict(program.subject)) == (group.id, "Robot", subject_of(robot))
    already_exists(memberships.create, group_id=group.id, subject=ada.subject)
    not_found(memberships.create, group_id=group.id, subject=subject_of(SOME_ID))

    assert memberships.retrieve(group_id=group.id, subject=ada.subject).member == person
    assert memberships.retrieve(group_id=group.id, subject=subject_of(robot)).member == program
    assert found(page_size=1) == [fields_of(person), fields_of(program)]
    assert found(filter={"search": "LOVE"}) == [fields_of(person)]
    assert found(filter={"search": robot}) == [fields_of(program)]
    assert groups.retrieve(id=group.id).group.member_count == 2

    assert memberships.delete(membership_id=person.id) == {}
    not_found(memberships.delete, membership_id=person.id)
    not_found(memberships.retrieve, group_id=group.id, subject=ada.subject)
    assert found() == [fields_of(program)]
    assert groups.retrieve(id=group.id).group.member_count == 1


def test_role_assignments_are_made_found_and_deleted(groups, provider):
    ada, group, other = provider.push("Ada Lovelace"), create_group(groups), create_group(groups)
    groups.memberships.create(group_id=group.id, subject=ada.subject)

    def assign(group, role, type="RESOURCE_TYPE_ORGANIZATION", id=ORGANIZATION_ID):
        return groups.role_assignments.create(
            group_id=group.id, resource_type=type, resource_id=id, resource_role=role
        ).assignment

    def found(**filters):
        return [fields_of(a) for a in everything(groups.role_assignments.list(filter=filters, page_size=1))]

    reader = assign(group, "RESOURCE_ROLE_ORG_AUDIT_LOG_READER")
    admin = assign(group, "RESOURCE_ROLE_GROUP_ADMIN", "RESOURCE_TYPE_GROUP", other.id)
    others = assign(other, "RESOURCE_ROLE_ORG_MEMBER")
    assert fields_of(reader) == {
        "id": reader.id,
        "group_id": group.id,
        "organization_id": ORGANIZATION_ID,
        "resource_type": "RESOURCE_TYPE_ORGANIZATION",
        "resource_id": ORGANIZATION_ID,
        "resource_role": "RESOURCE_ROLE_ORG_AUDIT_LOG_READER",
    }
    assert found() == [fields_of(reader), fields_of(admin), fields_of(others)]
    assert found(group_id=group.id) == [fields_of(reader), fields_of(admin)]
    assert found(user_id=ada.id) == [fields_of(reader), fields_of(admin)]
    assert found(resource_types=["RESOURCE_TYPE_GROUP"]) == [fields_of(admin)]
    assert found(resource_roles=["RESOURCE_ROLE_ORG_MEMBER"]) == [fields_of(others)]
    assert found(resource_id=ORGANIZATION_ID) == [fields_of(reader), fields_of(others)]
    assert found(resource_ids=[other.id]) == [fields_of(admin)]
    already_exists(assign, group=group, role="RESOURCE_ROLE_ORG_AUDIT_LOG_READER")
    invalid("resource_role", assign, group=group, role="RESOURCE_ROLE_GROUP_ADMIN")

    assert groups.role_assignments.delete(assignment_id=reader.id) == {}
    not_found(groups.role_assignments.delete, assignment_id=reader.id)
    assert found() == [fields_of(admin), fields_of(others)]


def test_a_service_account_may_do_what_its_groups_may(wire, client, groups, robot):
    token = call(client, "CreateServiceAccountAccessToken", serviceAccountId=robot)["token"]
    robots = connect(wire, token)
    assert dict(robots.identity.get_authenticated_identity().subject) == subject_of(robot)
    permission_denied(robots.events.list)

    group = create_group(groups)
    groups.memberships.create(group_id=group.id, subject=subject_of(robot))
    groups.role_assignments.create(
        group_id=group.id,
        resource_type="RESOURCE_TYPE_ORGANIZATION",
        resource_id=ORGANIZATION_ID,
        resource_role="RESOURCE_ROLE_ORG_ADMIN",
    )
    made = create_group(robots.groups)
    [entry] = everything(robots.events.list(filter={"subject_ids": [made.id]}))
    assert (entry.action, entry.actor_id) == ("CreateGroup", robot)

    client.users.set_suspended(user_id=robot, suspended=True)
    refused(gitpod.AuthenticationError, "unauthenticated", robots.events.list)


# --- Events. ---


def test_the_audit_log_tells_who_did_what(client, groups, me):
    yesterday = (datetime.now(timezone.utc) - timedelta(seconds=DAY)).isoformat()
    group = create_group(groups)
    groups.update(group_id=group.id, name=some_name("Renamed"))
    groups.delete(group_id=group.id)

    def found(sort=None, page_size=25, **filters):
        sorting = {"sort": sort} if sort else {}
        filter = {"subject_ids": [group.id], **filters}
        return everything(client.events.list(filter=filter, page_size=page_size, **sorting))

    entries = found()
    assert [entry.action for entry in entries] == ["DeleteGroup", "UpdateGroup", "CreateGroup"]
    for entry in entries:
        assert fields_of(entry) == {
            "id": entry.id,
            "actor_id": me.id,
            "actor_principal": "PRINCIPAL_SERVICE_ACCOUNT",
            "subject_id": group.id,
            "subject_type": "RESOURCE_TYPE_GROUP",
            "action": entry.action,
            "created_at": entry.created_at,
        }
        assert is_in_days(entry.created_at, 0)

    oldest_first = {"field": "createdAt", "order": "SORT_ORDER_ASC"}
    assert found(oldest_first) == entries[::-1]
    assert found(page_size=1) == entries
    assert found(oldest_first, page_size=1) == entries[::-1]
    assert found(subject_types=["RESOURCE_TYPE_GROUP"]) == entries
    assert found(subject_types=["RESOURCE_TYPE_USER"]) == []
    assert found(actor_ids=[me.id], actor_principals=["PRINCIPAL_SERVICE_ACCOUNT"]) == entries
    assert found(actor_ids=[group.id]) == []
    assert found(actor_principals=["PRINCIPAL_USER"]) == []
    assert found(**{"from": yesterday}) == entries
    assert found(to=yesterday) == []
    assert entries[0] not in found(to=entries[0].created_at)
    invalid("sort", found, sort={"field": "action"})


def test_changes_are_told_as_they_happen(groups):
    # Without the hook of the others, which reads an answer to its end.
    watcher = gitpod.Gitpod(bearer_token=TOKEN, base_url=API, timeout=20)
    events = watcher.events.watch(organization=True)
    group = create_group(groups)
    groups.delete(group_id=group.id)
    told = [event for _, event in zip(range(2), (e for e in events if e.resource_id == group.id))]
    watcher.close()
    assert [event.operation for event in told] == ["RESOURCE_OPERATION_CREATE", "RESOURCE_OPERATION_DELETE"]
    assert {event.resource_type for event in told} == {"RESOURCE_TYPE_GROUP"}


def test_there_are_no_environments_to_watch(client):
    invalid("environment_id", client.events.watch, environment_id=SOME_ID)
