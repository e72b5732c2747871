"""The directory over the Connect generation of the Python SDK (1.2): members, groups, service accounts, events."""

import queue
import threading
import time
from datetime import datetime, timedelta, timezone
from typing import NamedTuple
from uuid import UUID

import pytest
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from gitpod.v1 import account_pb2 as account_api
from gitpod.v1 import event_pb2 as event_api
from gitpod.v1 import group_pb2 as group_api
from gitpod.v1 import identity_pb2 as identity_api
from gitpod.v1 import organization_pb2 as api
from gitpod.v1 import service_account_pb2 as service_account_api
from gitpod.v1 import user_pb2 as user_api
from gitpod.v1.pagination_pb2 import SORT_ORDER_ASC, Sort
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from support import DAY, ORGANIZATION_ID, SOME_ID, is_in_days, push_group, push_user, scim, some_name
from test_connect import create_scim, create_sso, everything, fields_at_fault, refused

# The fixtures.
from test_connect import connect, organization  # noqa: F401

USER = identity_api.PRINCIPAL_USER
SERVICE_ACCOUNT = identity_api.PRINCIPAL_SERVICE_ACCOUNT


class Member(NamedTuple):
    id: str
    name: str
    email: str
    scim_id: str

    @property
    def subject(self):
        return identity_api.Subject(id=self.id, principal=USER)


class Provider:
    """An identity provider that pushes to a SCIM configuration."""

    def __init__(self, organization):
        self.organization = organization
        created = create_scim(organization, create_sso(organization))
        self.token, self.id = created.token, created.scim_configuration.id

    def push(self, name) -> Member:
        pushed = push_user(self.token, name)
        [member] = list_members(self.organization, email=pushed["userName"])
        return Member(member.user_id, name, member.email, pushed["id"])

    def delete(self):
        request = api.DeleteSCIMConfigurationRequest(scim_configuration_id=self.id)
        self.organization.delete_scim_configuration(request)
        self.id = None


@pytest.fixture
def services(connect):
    return connect()


@pytest.fixture
def provider(organization):
    provider = Provider(organization)
    yield provider
    if provider.id:
        for user in scim(provider.token, "GET", "/Users")["Resources"]:
            scim(provider.token, "DELETE", f"/Users/{user['id']}")


@pytest.fixture
def groups(services):
    yield services.group
    for group in everything(list_groups(services.group, system_managed=False), "groups"):
        services.group.delete_group(group_api.DeleteGroupRequest(group_id=group.id))


@pytest.fixture
def accounts(services):
    accounts = services.service_account
    yield accounts
    for account in everything(list_accounts(accounts, include_suspended=True), "service_accounts"):
        if not account.system_managed:
            request = service_account_api.DeleteServiceAccountRequest(service_account_id=account.id)
            accounts.delete_service_account(request)


@pytest.fixture
def me(services):
    return who_is(services)


def who_is(services):
    return services.identity.get_authenticated_identity(identity_api.GetAuthenticatedIdentityRequest()).subject


def list_members(organization, **filters):
    filter = api.ListMembersRequest.Filter(**filters)
    return organization.list_members(api.ListMembersRequest(organization_id=ORGANIZATION_ID, filter=filter)).members


def set_role(organization, member, role):
    return organization.set_role(
        api.SetRoleRequest(organization_id=ORGANIZATION_ID, user_id=member.id, role=role)
    )


def read_user(services, member, **options):
    return services.user.get_user(user_api.GetUserRequest(user_id=member.id), **options).user


def set_suspended(services, subject, suspended):
    return services.user.set_suspended(user_api.SetSuspendedRequest(user_id=subject.id, suspended=suspended))


def create_group(groups, name=None, description=""):
    request = group_api.CreateGroupRequest(
        organization_id=ORGANIZATION_ID, name=name or some_name("Group"), description=description
    )
    return groups.create_group(request).group


def read_group(groups, **which):
    return groups.get_group(group_api.GetGroupRequest(**which)).group


def list_groups(groups, **filters):
    filter = group_api.ListGroupsRequest.Filter(**filters)
    return lambda pagination: groups.list_groups(group_api.ListGroupsRequest(filter=filter, pagination=pagination))


def names(groups, **filters):
    return [group.name for group in everything(list_groups(groups, **filters), "groups")]


def add(groups, group, subject):
    return groups.create_membership(group_api.CreateMembershipRequest(group_id=group.id, subject=subject)).member


def list_memberships(groups, group, search=""):
    filter = group_api.ListMembershipsRequest.Filter(search=search)
    return lambda pagination: groups.list_memberships(
        group_api.ListMembershipsRequest(group_id=group.id, filter=filter, pagination=pagination)
    )


def assign(groups, group, role, resource_type=event_api.RESOURCE_TYPE_ORGANIZATION, resource_id=ORGANIZATION_ID):
    request = group_api.CreateRoleAssignmentRequest(
        group_id=group.id, resource_type=resource_type, resource_id=resource_id, resource_role=role
    )
    return groups.create_role_assignment(request).assignment


def list_assignments(groups, **filters):
    filter = group_api.ListRoleAssignmentsRequest.Filter(**filters)

    def list_page(pagination):
        request = group_api.ListRoleAssignmentsRequest(filter=filter, pagination=pagination)
        return groups.list_role_assignments(request)

    return everything(list_page, "assignments", page_size=1)


def create_account(accounts, name=None, days=30, **fields):
    valid_until = Timestamp()
    valid_until.FromDatetime(datetime.now(timezone.utc) + timedelta(days=days))
    request = service_account_api.CreateServiceAccountRequest(
        name=name or some_name("Robot"), valid_until=valid_until, **fields
    )
    return accounts.create_service_account(request).service_account


def read_account(accounts, account):
    request = service_account_api.GetServiceAccountRequest(service_account_id=account.id)
    return accounts.get_service_account(request).service_account


def list_accounts(accounts, **filters):
    filter = service_account_api.ListServiceAccountsRequest.Filter(**filters)
    return lambda pagination: accounts.list_service_accounts(
        service_account_api.ListServiceAccountsRequest(filter=filter, pagination=pagination)
    )


def list_account_tokens(accounts):
    def list_page(pagination):
        request = service_account_api.ListServiceAccountTokensRequest(pagination=pagination)
        return accounts.list_service_account_tokens(request)

    return everything(list_page, "tokens", page_size=1)


def access_token(accounts, account):
    request = service_account_api.CreateServiceAccountAccessTokenRequest(service_account_id=account.id)
    return accounts.create_service_account_access_token(request).token


def subject_of(account):
    return identity_api.Subject(id=account.id, principal=SERVICE_ACCOUNT)


def list_logs(events, sort=None, page_size=0, **filters):
    filter = event_api.ListAuditLogsRequest.Filter(**filters)

    def list_page(pagination):
        request = event_api.ListAuditLogsRequest(filter=filter, sort=sort, pagination=pagination)
        return events.list_audit_logs(request)

    return everything(list_page, "entries", page_size=page_size)


# --- The organization and its members. ---


def test_an_organization_is_renamed_and_lets_in_domains(organization):
    get = api.GetOrganizationRequest(organization_id=ORGANIZATION_ID)

    def update(**changes):
        request = api.UpdateOrganizationRequest(organization_id=ORGANIZATION_ID, **changes)
        return organization.update_organization(request).organization

    before = organization.get_organization(get).organization
    renamed = update(name="Acme")
    assert (renamed.id, renamed.name, renamed.tier) == (ORGANIZATION_ID, "Acme", api.ORGANIZATION_TIER_ENTERPRISE)
    assert renamed.created_at == before.created_at
    assert renamed.updated_at.ToDatetime() > before.updated_at.ToDatetime()

    opened = update(invite_domains=api.InviteDomains(domains=["Acme.example", "acme.test"]))
    assert (opened.name, opened.invite_domains.domains) == ("Acme", ["acme.example", "acme.test"])
    assert organization.get_organization(get, use_get=True).organization == opened

    error = refused(Code.INVALID_ARGUMENT, update, invite_domains=api.InviteDomains(domains=["nodot"]))
    assert fields_at_fault(error) == ["invite_domains"]
    error = refused(Code.INVALID_ARGUMENT, update, name="")
    assert fields_at_fault(error) == ["name"]

    closed = update(name=before.name, invite_domains=api.InviteDomains())
    assert (closed.name, closed.HasField("invite_domains")) == (before.name, False)


def test_only_operators_make_organizations(organization):
    create = api.CreateOrganizationRequest(name="Another one")
    refused(Code.PERMISSION_DENIED, organization.create_organization, create)
    # Which could be deleted, if it were the caller's.
    delete = api.DeleteOrganizationRequest(organization_id=SOME_ID)
    refused(Code.PERMISSION_DENIED, organization.delete_organization, delete)


def test_an_invitation_is_read_until_a_newer_one_takes_its_place(organization, provider):
    def summary(invite_id):
        request = api.GetOrganizationInviteSummaryRequest(invite_id=invite_id)
        return organization.get_organization_invite_summary(request)

    def create():
        request = api.CreateOrganizationInviteRequest(organization_id=ORGANIZATION_ID)
        return organization.create_organization_invite(request).invite.invite_id

    def read():
        request = api.GetOrganizationInviteRequest(organization_id=ORGANIZATION_ID)
        return organization.get_organization_invite(request).invite.invite_id

    name = organization.get_organization(api.GetOrganizationRequest(organization_id=ORGANIZATION_ID)).organization.name
    first = create()
    assert UUID(first)
    assert read() == first
    before = summary(first)
    assert (before.organization_id, before.organization_name) == (ORGANIZATION_ID, name)
    provider.push("Ada Lovelace")
    assert summary(first).organization_member_count == before.organization_member_count + 1

    second = create()
    assert second != first
    assert read() == second
    assert summary(second).organization_id == ORGANIZATION_ID
    refused(Code.NOT_FOUND, summary, first)


def test_what_is_for_people_is_refused_to_a_service_account(services, organization, provider, me):
    create = api.CreateOrganizationInviteRequest(organization_id=ORGANIZATION_ID)
    invite = organization.create_organization_invite(create).invite
    join = api.JoinOrganizationRequest(invite_id=invite.invite_id)
    refused(Code.FAILED_PRECONDITION, organization.join_organization, join)
    error = refused(Code.INVALID_ARGUMENT, organization.join_organization, api.JoinOrganizationRequest())
    assert fields_at_fault(error) == ["invite_id"]

    joinable = account_api.ListJoinableOrganizationsRequest()
    refused(Code.FAILED_PRECONDITION, services.account.list_joinable_organizations, joinable, use_get=True)
    refused(Code.FAILED_PRECONDITION, services.account.get_account, account_api.GetAccountRequest())
    refused(Code.FAILED_PRECONDITION, services.user.get_authenticated_user, user_api.GetAuthenticatedUserRequest())

    # Nor does it act for a member.
    member = provider.push("Ada Lovelace")
    for id in member.id, me.id:
        leave = api.LeaveOrganizationRequest(user_id=id)
        refused(Code.PERMISSION_DENIED, organization.leave_organization, leave)
        create = user_api.CreatePersonalAccessTokenRequest(user_id=id, valid_for=Duration(seconds=DAY))
        refused(Code.PERMISSION_DENIED, services.user.create_personal_access_token, create)


def test_a_pushed_person_is_a_member(services, organization, provider):
    ada = provider.push("Ada Lovelace")
    user = read_user(services, ada, use_get=True)
    assert user == user_api.User(
        id=ada.id,
        organization_id=ORGANIZATION_ID,
        name="Ada Lovelace",
        email=ada.email,
        status=user_api.USER_STATUS_ACTIVE,
        created_at=user.created_at,
    )
    assert is_in_days(user.created_at.ToDatetime(), 0)
    assert list_members(organization, user_ids=[ada.id]) == [
        api.OrganizationMember(
            user_id=ada.id,
            role=api.ORGANIZATION_ROLE_MEMBER,
            member_since=user.created_at,
            full_name="Ada Lovelace",
            email=ada.email,
            status=user_api.USER_STATUS_ACTIVE,
            login_provider="custom",
        )
    ]
    refused(Code.NOT_FOUND, services.user.get_user, user_api.GetUserRequest(user_id=SOME_ID))


def test_a_member_becomes_an_administrator_and_one_is_left(organization, provider):
    ada, grace = provider.push("Ada Lovelace"), provider.push("Grace Hopper")

    def administrators():
        both = list_members(organization, user_ids=[ada.id, grace.id], roles=[api.ORGANIZATION_ROLE_ADMIN])
        return [member.full_name for member in both]

    assert set_role(organization, ada, api.ORGANIZATION_ROLE_ADMIN) == api.SetRoleResponse()
    assert administrators() == ["Ada Lovelace"]
    refused(Code.FAILED_PRECONDITION, set_role, organization, ada, api.ORGANIZATION_ROLE_MEMBER)
    set_role(organization, grace, api.ORGANIZATION_ROLE_ADMIN)
    assert administrators() == ["Ada Lovelace", "Grace Hopper"]
    set_role(organization, ada, api.ORGANIZATION_ROLE_MEMBER)
    assert administrators() == ["Grace Hopper"]

    error = refused(Code.INVALID_ARGUMENT, set_role, organization, ada, api.ORGANIZATION_ROLE_UNSPECIFIED)
    assert fields_at_fault(error) == ["role"]
    other = api.SetRoleRequest(organization_id=ORGANIZATION_ID, user_id=SOME_ID, role=api.ORGANIZATION_ROLE_ADMIN)
    refused(Code.NOT_FOUND, organization.set_role, other)


def test_a_member_is_suspended_until_that_is_lifted(services, organization, provider):
    ada = provider.push("Ada Lovelace")
    assert set_suspended(services, ada, True) == user_api.SetSuspendedResponse()
    assert read_user(services, ada).status == user_api.USER_STATUS_SUSPENDED
    suspended = [user_api.USER_STATUS_SUSPENDED]
    assert [m.user_id for m in list_members(organization, user_ids=[ada.id], statuses=suspended)] == [ada.id]
    set_suspended(services, ada, False)
    assert read_user(services, ada).status == user_api.USER_STATUS_ACTIVE
    assert list_members(organization, user_ids=[ada.id], statuses=suspended) == []
    refused(Code.NOT_FOUND, services.user.set_suspended, user_api.SetSuspendedRequest(user_id=SOME_ID, suspended=True))


def test_a_member_is_deleted_once_nobody_provisions_it(services, provider):
    ada = provider.push("Ada Lovelace")
    delete = user_api.DeleteUserRequest(user_id=ada.id)
    refused(Code.FAILED_PRECONDITION, services.user.delete_user, delete)
    assert read_user(services, ada).status == user_api.USER_STATUS_ACTIVE

    provider.delete()
    assert read_user(services, ada).status == user_api.USER_STATUS_ACTIVE
    assert services.user.delete_user(delete) == user_api.DeleteUserResponse()
    assert read_user(services, ada).status == user_api.USER_STATUS_LEFT
    refused(Code.NOT_FOUND, services.user.delete_user, delete)


def test_only_members_have_personal_access_tokens(services, provider):
    ada = provider.push("Ada Lovelace")
    for ids in [], [ada.id]:
        filter = user_api.ListPersonalAccessTokensRequest.Filter(user_ids=ids)
        list_tokens = user_api.ListPersonalAccessTokensRequest(filter=filter)
        assert services.user.list_personal_access_tokens(list_tokens).personal_access_tokens == []
    get = user_api.GetPersonalAccessTokenRequest(personal_access_token_id=SOME_ID)
    refused(Code.NOT_FOUND, services.user.get_personal_access_token, get, use_get=True)
    delete = user_api.DeletePersonalAccessTokenRequest(personal_access_token_id=SOME_ID)
    refused(Code.NOT_FOUND, services.user.delete_personal_access_token, delete)

    too_long = Duration(seconds=90 * DAY + 1)
    create = user_api.CreatePersonalAccessTokenRequest(user_id=ada.id, valid_for=too_long)
    error = refused(Code.INVALID_ARGUMENT, services.user.create_personal_access_token, create)
    assert fields_at_fault(error) == ["valid_for"]


# --- Groups. ---


def test_a_group_is_made_read_changed_and_deleted(groups):
    name = some_name("Engineering")
    made = create_group(groups, name, "Who builds it")
    assert made == group_api.Group(
        id=made.id,
        organization_id=ORGANIZATION_ID,
        name=name,
        description="Who builds it",
        created_at=made.created_at,
        updated_at=made.created_at,
    )
    assert UUID(made.id).version == 7
    assert is_in_days(made.created_at.ToDatetime(), 0)
    assert read_group(groups, id=made.id) == made
    assert read_group(groups, name=name) == made
    assert read_group(groups, group_id=made.id) == made
    refused(Code.ALREADY_EXISTS, create_group, groups, name)

    new_name = some_name("Builders")
    update = group_api.UpdateGroupRequest(group_id=made.id, name=new_name, description="Who built it")
    updated = groups.update_group(update).group
    assert (updated.id, updated.name, updated.description) == (made.id, new_name, "Who built it")
    assert updated.created_at == made.created_at
    assert updated.updated_at.ToDatetime() > made.updated_at.ToDatetime()
    assert read_group(groups, name=new_name) == updated
    refused(Code.NOT_FOUND, read_group, groups, name=name)

    delete = group_api.DeleteGroupRequest(group_id=made.id)
    assert groups.delete_group(delete) == group_api.DeleteGroupResponse()
    refused(Code.NOT_FOUND, read_group, groups, id=made.id)
    refused(Code.NOT_FOUND, groups.update_group, update)
    refused(Code.NOT_FOUND, groups.delete_group, delete)


@pytest.mark.parametrize("name", ["ab", "x" * 81])
def test_a_group_has_a_name_of_3_to_80_characters(groups, name):
    error = refused(Code.INVALID_ARGUMENT, create_group, groups, name)
    assert fields_at_fault(error) == ["name"]


def test_groups_are_found_by_every_filter(groups, provider):
    first, second = create_group(groups, some_name("First"), "Red"), create_group(groups, some_name("Second"), "Blue")
    push_group(provider.token, "Pushed", [])
    assert names(groups) == [first.name, second.name, "Pushed"]
    assert names(groups, search="fIRST") == [first.name]
    assert names(groups, search="blu") == [second.name]
    assert names(groups, search=first.id) == [first.name]
    assert names(groups, group_ids=[second.id, SOME_ID]) == [second.name]
    assert names(groups, system_managed=True) == ["Pushed"]
    assert names(groups, system_managed=False) == [first.name, second.name]
    assert names(groups, direct_share=False) == [first.name, second.name, "Pushed"]
    assert names(groups, direct_share=True) == []

    assign(groups, first, group_api.RESOURCE_ROLE_ORG_MEMBER)
    assigned = group_api.ListGroupsRequest.Filter.ExcludeAssignedToResource(
        resource_type=event_api.RESOURCE_TYPE_ORGANIZATION, resource_id=ORGANIZATION_ID
    )
    assert names(groups, exclude_assigned_to_resource=assigned) == [second.name, "Pushed"]

    pages = everything(list_groups(groups), "groups", page_size=1)
    assert [group.name for group in pages] == [first.name, second.name, "Pushed"]


def test_a_pushed_group_is_read_alone(groups, provider):
    pushed = push_group(provider.token, "Pushed", [push_user(provider.token, "Ada Lovelace")])
    group = read_group(groups, name="Pushed")
    assert (group.id, group.system_managed, group.member_count) == (pushed["id"], True, 1)
    [member] = everything(list_memberships(groups, group), "members")
    assert (member.name, member.group_id, member.subject.principal) == ("Ada Lovelace", group.id, USER)

    update = group_api.UpdateGroupRequest(group_id=group.id, name="Renamed")
    refused(Code.FAILED_PRECONDITION, groups.update_group, update)
    refused(Code.FAILED_PRECONDITION, groups.delete_group, group_api.DeleteGroupRequest(group_id=group.id))
    refused(Code.FAILED_PRECONDITION, add, groups, group, member.subject)


def test_people_and_service_accounts_are_members_of_a_group(groups, accounts, provider):
    ada, robot = provider.push("Ada Lovelace"), create_account(accounts, "Robot")
    group = create_group(groups)
    memberships = [add(groups, group, ada.subject), add(groups, group, subject_of(robot))]
    assert memberships == [
        group_api.GroupMembership(id=memberships[0].id, group_id=group.id, subject=ada.subject, name="Ada Lovelace"),
        group_api.GroupMembership(id=memberships[1].id, group_id=group.id, subject=subject_of(robot), name="Robot"),
    ]
    refused(Code.ALREADY_EXISTS, add, groups, group, ada.subject)
    refused(Code.NOT_FOUND, add, groups, group, identity_api.Subject(id=SOME_ID, principal=USER))

    for membership in memberships:
        get = group_api.GetMembershipRequest(group_id=group.id, subject=membership.subject)
        assert groups.get_membership(get, use_get=True).member == membership
    assert everything(list_memberships(groups, group), "members", page_size=1) == memberships
    assert everything(list_memberships(groups, group, "LOVE"), "members") == memberships[:1]
    assert everything(list_memberships(groups, group, robot.id), "members") == memberships[1:]
    assert read_group(groups, id=group.id).member_count == 2

    delete = group_api.DeleteMembershipRequest(membership_id=memberships[0].id)
    assert groups.delete_membership(delete) == group_api.DeleteMembershipResponse()
    refused(Code.NOT_FOUND, groups.delete_membership, delete)
    get = group_api.GetMembershipRequest(group_id=group.id, subject=ada.subject)
    refused(Code.NOT_FOUND, groups.get_membership, get)
    assert everything(list_memberships(groups, group), "members") == memberships[1:]
    assert read_group(groups, id=group.id).member_count == 1


def test_who_has_left_is_in_no_group(groups, provider):
    ada, group = provider.push("Ada Lovelace"), create_group(groups)
    add(groups, group, ada.subject)
    scim(provider.token, "DELETE", f"/Users/{ada.scim_id}")
    assert everything(list_memberships(groups, group), "members") == []
    assert read_group(groups, id=group.id).member_count == 0


def test_role_assignments_are_made_found_and_deleted(groups, provider):
    ada, group, other = provider.push("Ada Lovelace"), create_group(groups), create_group(groups)
    add(groups, group, ada.subject)
    reader = assign(groups, group, group_api.RESOURCE_ROLE_ORG_AUDIT_LOG_READER)
    admin = assign(groups, group, group_api.RESOURCE_ROLE_GROUP_ADMIN, event_api.RESOURCE_TYPE_GROUP, other.id)
    others = assign(groups, other, group_api.RESOURCE_ROLE_ORG_MEMBER)
    assert reader == group_api.RoleAssignment(
        id=reader.id,
        group_id=group.id,
        organization_id=ORGANIZATION_ID,
        resource_type=event_api.RESOURCE_TYPE_ORGANIZATION,
        resource_id=ORGANIZATION_ID,
        resource_role=group_api.RESOURCE_ROLE_ORG_AUDIT_LOG_READER,
    )
    assert (admin.resource_type, admin.resource_id) == (event_api.RESOURCE_TYPE_GROUP, other.id)

    assert list_assignments(groups) == [reader, admin, others]
    assert list_assignments(groups, group_id=group.id) == [reader, admin]
    assert list_assignments(groups, user_id=ada.id) == [reader, admin]
    assert list_assignments(groups, resource_types=[event_api.RESOURCE_TYPE_GROUP]) == [admin]
    assert list_assignments(groups, resource_roles=[group_api.RESOURCE_ROLE_ORG_MEMBER]) == [others]
    assert list_assignments(groups, resource_id=ORGANIZATION_ID) == [reader, others]
    assert list_assignments(groups, resource_ids=[other.id]) == [admin]

    refused(Code.ALREADY_EXISTS, assign, groups, group, group_api.RESOURCE_ROLE_ORG_AUDIT_LOG_READER)
    error = refused(Code.INVALID_ARGUMENT, assign, groups, group, group_api.RESOURCE_ROLE_GROUP_ADMIN)
    assert fields_at_fault(error) == ["resource_role"]

    delete = group_api.DeleteRoleAssignmentRequest(assignment_id=reader.id)
    assert groups.delete_role_assignment(delete) == group_api.DeleteRoleAssignmentResponse()
    refused(Code.NOT_FOUND, groups.delete_role_assignment, delete)
    assert list_assignments(groups, group_id=group.id) == [admin]
    groups.delete_group(group_api.DeleteGroupRequest(group_id=group.id))
    assert list_assignments(groups) == [others]


# --- Service accounts. ---


def test_a_service_account_is_made_read_changed_and_deleted(accounts, services, me):
    made = create_account(accounts, "Robot", description="Builds it")
    assert made == service_account_api.ServiceAccount(
        id=made.id,
        organization_id=ORGANIZATION_ID,
        name="Robot",
        description="Builds it",
        creator=me,
        created_at=made.created_at,
        valid_until=made.valid_until,
    )
    assert is_in_days(made.created_at.ToDatetime(), 0)
    assert is_in_days(made.valid_until.ToDatetime(), 30)
    assert read_account(accounts, made) == made
    other = create_account(accounts, "Helper")

    def listed(**filters):
        found = everything(list_accounts(accounts, **filters), "service_accounts", page_size=1)
        return [account for account in found if not account.system_managed]

    assert listed() == [made, other]
    assert listed(search="rOB") == [made]
    assert listed(service_account_ids=[other.id]) == [other]
    set_suspended(services, other, True)
    assert listed() == [made]
    [suspended] = listed(include_suspended=True, service_account_ids=[other.id])
    assert suspended.suspended

    update = service_account_api.UpdateServiceAccountRequest(service_account_id=made.id, description="")
    updated = accounts.update_service_account(update).service_account
    assert (updated.name, updated.description) == ("Robot", "")
    update = service_account_api.UpdateServiceAccountRequest(service_account_id=made.id, name="Android")
    updated = accounts.update_service_account(update).service_account
    assert (updated.name, updated.description, updated.valid_until) == ("Android", "", made.valid_until)
    assert read_account(accounts, made) == updated

    delete = service_account_api.DeleteServiceAccountRequest(service_account_id=made.id)
    assert accounts.delete_service_account(delete) == service_account_api.DeleteServiceAccountResponse()
    refused(Code.NOT_FOUND, read_account, accounts, made)
    refused(Code.NOT_FOUND, accounts.delete_service_account, delete)
    refused(Code.NOT_FOUND, accounts.update_service_account, update)


def test_a_service_account_is_valid_until_a_moment_to_come(accounts):
    error = refused(Code.INVALID_ARGUMENT, create_account, accounts, days=-1)
    assert fields_at_fault(error) == ["valid_until"]
    absent = service_account_api.CreateServiceAccountRequest(name="Robot")
    error = refused(Code.INVALID_ARGUMENT, accounts.create_service_account, absent)
    assert fields_at_fault(error) == ["valid_until"]


def test_an_access_token_makes_lasting_ones(accounts, services, connect):
    robot = create_account(accounts)
    robots = connect(access_token(accounts, robot))
    assert who_is(robots) == subject_of(robot)

    def create(description, **fields):
        request = service_account_api.CreateServiceAccountTokenRequest(description=description, **fields)
        return robots.service_account.create_service_account_token(request)

    def get(token):
        request = service_account_api.GetServiceAccountTokenRequest(service_account_token_id=token.id)
        return accounts.get_service_account_token(request).token

    def delete(token):
        request = service_account_api.DeleteServiceAccountTokenRequest(service_account_token_id=token.id)
        return accounts.delete_service_account_token(request)

    lasting, other = create("Lasting", valid_for=Duration(seconds=7 * DAY)), create("As long as the account")
    token = lasting.service_account_token
    assert token == service_account_api.ServiceAccountToken(
        id=token.id,
        service_account_id=robot.id,
        description="Lasting",
        creator=subject_of(robot),
        created_at=token.created_at,
        expires_at=token.expires_at,
    )
    assert is_in_days(token.expires_at.ToDatetime(), 7)
    assert is_in_days(other.service_account_token.expires_at.ToDatetime(), 30)
    assert lasting.token not in str(token)

    assert get(token) == token
    both = [token, other.service_account_token]
    assert list_account_tokens(accounts) == both
    assert list_account_tokens(robots.service_account) == both
    assert who_is(connect(lasting.token)) == subject_of(robot)
    assert get(token).HasField("last_used")

    assert delete(token) == service_account_api.DeleteServiceAccountTokenResponse()
    refused(Code.UNAUTHENTICATED, who_is, connect(lasting.token))
    refused(Code.NOT_FOUND, get, token)
    refused(Code.NOT_FOUND, delete, token)
    assert list_account_tokens(accounts) == both[1:]
    assert who_is(connect(other.token)) == subject_of(robot)

    accounts.delete_service_account(service_account_api.DeleteServiceAccountRequest(service_account_id=robot.id))
    refused(Code.UNAUTHENTICATED, who_is, connect(other.token))
    refused(Code.UNAUTHENTICATED, who_is, robots)
    assert list_account_tokens(accounts) == []


def test_a_suspended_service_account_is_kept_out(accounts, services, connect):
    robot = create_account(accounts)
    robots = connect(access_token(accounts, robot))
    set_suspended(services, robot, True)
    refused(Code.UNAUTHENTICATED, who_is, robots)
    set_suspended(services, robot, False)
    assert who_is(robots) == subject_of(robot)


def test_a_service_account_may_do_what_its_groups_may(groups, accounts, connect):
    robot, other = create_account(accounts), create_account(accounts)
    robots = connect(access_token(accounts, robot))
    group = create_group(groups, "Robots")
    add(groups, group, subject_of(robot))

    def may_make_groups():
        return create_group(robots.group)

    def may_read_the_log():
        return list_logs(robots.event, subject_ids=[group.id])

    def may_administer():
        return access_token(robots.service_account, other)

    everything_else = [may_make_groups, may_read_the_log, may_administer]
    for role, may in [
        (None, []),
        (group_api.RESOURCE_ROLE_ORG_MEMBER, []),
        (group_api.RESOURCE_ROLE_ORG_AUDIT_LOG_READER, [may_read_the_log]),
        (group_api.RESOURCE_ROLE_ORG_GROUPS_ADMIN, [may_make_groups]),
        (group_api.RESOURCE_ROLE_ORG_ADMIN, everything_else),
        (None, []),
    ]:
        assignment = role and assign(groups, group, role)
        for call in everything_else:
            if call in may:
                assert call()
            else:
                refused(Code.PERMISSION_DENIED, call)
        if assignment:
            groups.delete_role_assignment(group_api.DeleteRoleAssignmentRequest(assignment_id=assignment.id))


# --- Events. ---


def test_the_audit_log_tells_who_did_what(groups, accounts, services, connect, me):
    events = services.event
    before = Timestamp()
    before.GetCurrentTime()
    group = create_group(groups)
    groups.update_group(group_api.UpdateGroupRequest(group_id=group.id, name=some_name("Renamed")))
    robot = create_account(accounts)
    add(groups, group, subject_of(robot))
    groups.delete_group(group_api.DeleteGroupRequest(group_id=group.id))

    groups_alone = [event_api.RESOURCE_TYPE_GROUP]
    entries = list_logs(events, subject_ids=[group.id], subject_types=groups_alone)
    assert [entry.action for entry in entries] == ["DeleteGroup", "UpdateGroup", "CreateGroup"]
    for entry in entries:
        assert entry == event_api.ListAuditLogsResponse.AuditLogEntry(
            id=entry.id,
            actor_id=me.id,
            actor_principal=SERVICE_ACCOUNT,
            subject_id=group.id,
            subject_type=event_api.RESOURCE_TYPE_GROUP,
            action=entry.action,
            created_at=entry.created_at,
            kind=event_api.AUDIT_LOG_ENTRY_KIND_RESOURCE_CHANGE,
        )
        assert is_in_days(entry.created_at.ToDatetime(), 0)

    ids = [group.id, robot.id]
    everything_done = list_logs(events, subject_ids=ids)
    assert [(entry.action, entry.subject_id) for entry in everything_done] == [
        ("DeleteGroup", group.id),
        ("CreateMembership", group.id),
        ("CreateServiceAccount", robot.id),
        ("UpdateGroup", group.id),
        ("CreateGroup", group.id),
    ]
    assert everything_done[1].subject_type == event_api.RESOURCE_TYPE_GROUP_MEMBERSHIP_CHANGED
    oldest_first = Sort(field="created_at", order=SORT_ORDER_ASC)
    assert list_logs(events, oldest_first, subject_ids=ids) == everything_done[::-1]
    assert list_logs(events, page_size=2, subject_ids=ids) == everything_done
    assert list_logs(events, oldest_first, page_size=2, subject_ids=ids) == everything_done[::-1]

    assert list_logs(events, subject_ids=ids, subject_types=groups_alone) == entries
    assert list_logs(events, subject_ids=ids, actor_ids=[me.id]) == everything_done
    assert list_logs(events, subject_ids=ids, actor_ids=[robot.id]) == []
    assert list_logs(events, subject_ids=ids, actor_principals=[SERVICE_ACCOUNT]) == everything_done
    assert list_logs(events, subject_ids=ids, actor_principals=[USER]) == []
    assert list_logs(events, subject_ids=ids, **{"from": before}) == everything_done
    assert list_logs(events, subject_ids=ids, to=before) == []
    since, until = entries[1].created_at, entries[0].created_at
    assert entries[1] in list_logs(events, subject_ids=[group.id], **{"from": since}, to=until)
    assert entries[0] not in list_logs(events, subject_ids=[group.id], to=until)
    assert entries[2] not in list_logs(events, subject_ids=[group.id], **{"from": since})

    error = refused(Code.INVALID_ARGUMENT, list_logs, events, Sort(field="action"))
    assert fields_at_fault(error) == ["sort"]


def test_an_identity_provider_acts_as_nobody_that_the_api_names(services, provider):
    ada = provider.push("Ada Lovelace")
    [entry] = list_logs(services.event, subject_ids=[ada.id])
    assert (entry.action, entry.subject_type) == ("CreateUser", event_api.RESOURCE_TYPE_USER)
    assert (entry.actor_id, entry.actor_principal) == (provider.id, identity_api.PRINCIPAL_UNSPECIFIED)
    unspecified = [identity_api.PRINCIPAL_UNSPECIFIED]
    assert list_logs(services.event, subject_ids=[ada.id], actor_principals=unspecified) == [entry]


def test_an_entry_of_the_audit_log_has_details(groups, services):
    group = create_group(groups)
    [entry] = list_logs(services.event, subject_ids=[group.id])
    get = event_api.GetAuditLogRequest(audit_log_entry_id=entry.id)
    answer = services.event.get_audit_log(get, use_get=True)
    assert answer.entry == entry
    # What the details say is our own, which this SDK does not know.
    assert answer.HasField("details")
    assert answer.details.WhichOneof("payload") is None
    refused(Code.NOT_FOUND, services.event.get_audit_log, event_api.GetAuditLogRequest(audit_log_entry_id=SOME_ID))


class Watch:
    """A stream of events, read beside the test."""

    def __init__(self, services, wire, **request):
        self.events = queue.Queue()
        stream = services.event.watch_events(event_api.WatchEventsRequest(**request))
        before = len(wire)
        threading.Thread(target=self.read, args=[stream], daemon=True).start()
        # The stream has begun when the server answers.
        deadline = datetime.now() + timedelta(seconds=20)
        while len(wire) == before:
            assert datetime.now() < deadline, "the stream does not begin"
            time.sleep(0.01)

    def read(self, stream):
        try:
            for event in stream:
                self.events.put(event)
        except ConnectError as error:
            self.events.put(error)

    def next(self):
        event = self.events.get(timeout=20)
        assert not isinstance(event, ConnectError), event
        return event.operation, event.resource_type, event.resource_id


def test_changes_are_told_as_they_happen(groups, accounts, services, connect, wire):
    every = Watch(services, wire, organization=True)
    filter = event_api.WatchEventsRequest.ResourceTypeFilter(resource_type=event_api.RESOURCE_TYPE_SERVICE_ACCOUNT)
    some = Watch(connect(), wire, organization=True, resource_type_filters=[filter])

    group, robot = create_group(groups), create_account(accounts)
    groups.update_group(group_api.UpdateGroupRequest(group_id=group.id, name=some_name("Renamed")))
    set_suspended(services, robot, True)
    groups.delete_group(group_api.DeleteGroupRequest(group_id=group.id))

    is_group, is_account = event_api.RESOURCE_TYPE_GROUP, event_api.RESOURCE_TYPE_SERVICE_ACCOUNT
    of_account = [
        (event_api.RESOURCE_OPERATION_CREATE, is_account, robot.id),
        (event_api.RESOURCE_OPERATION_UPDATE_STATUS, is_account, robot.id),
    ]
    assert [every.next() for _ in range(5)] == [
        (event_api.RESOURCE_OPERATION_CREATE, is_group, group.id),
        of_account[0],
        (event_api.RESOURCE_OPERATION_UPDATE, is_group, group.id),
        of_account[1],
        (event_api.RESOURCE_OPERATION_DELETE, is_group, group.id),
    ]
    assert [some.next() for _ in range(2)] == of_account
    assert wire[-1].status == 200


def test_there_are_no_environments_to_watch(services):
    request = event_api.WatchEventsRequest(environment_id=SOME_ID)
    error = refused(Code.INVALID_ARGUMENT, lambda: list(services.event.watch_events(request)))
    assert fields_at_fault(error) == ["environment_id"]
