"""The Connect generation of the Python SDK (1.2), in binary protobuf."""

from uuid import UUID

import pytest
from buf.validate import validate_pb2
from connectrpc.code import Code
from connectrpc.errors import ConnectError
from gitpod.v1 import account_pb2 as account_api
from gitpod.v1 import organization_pb2 as api
from gitpod.v1.identity_pb2 import GetAuthenticatedIdentityRequest
from gitpod.v1.organization_pb2 import SSOConfiguration
from gitpod.v1.pagination_pb2 import PaginationRequest
from google.protobuf.duration_pb2 import Duration
from ona_sdk import AuthenticationRequiredError, create_client, services
from ona_sdk.errors import map_error
from pyqwest import SyncResponse

from support import API, DAY, INVALID_SSO, ORGANIZATION_ID, SCIM_TOKEN, SOME_ID, TOKEN, Exchange, is_in_days, sso_fields

READ_BY_GET_TOO = pytest.mark.parametrize("use_get", [False, True], ids=["POST", "GET"])


@pytest.fixture
def connect(wire, monkeypatch):
    class Recorder(services._RedirectPreservingSyncTransport):
        def execute_sync(self, request):
            response = super().execute_sync(request)
            path = request.url.partition("?")[0]
            if path.endswith("/WatchEvents"):
                # Its answer does not end.
                wire.append(Exchange(request.method, path, response.status, dict(response.headers.items()), b""))
                return response
            body = b"".join(response.content)
            wire.append(Exchange(request.method, path, response.status, dict(response.headers.items()), body))
            return SyncResponse(status=response.status, headers=response.headers, content=body)

    monkeypatch.setattr(services, "_RedirectPreservingSyncTransport", Recorder)
    return lambda token=TOKEN, base_url=API: create_client(token, base_url=base_url, timeout=20).services


@pytest.fixture
def organization(connect):
    organization = connect().organization
    yield organization
    # Lists are counted exactly, so a test leaves the organization as empty as it found it.
    for scim in everything(list_scims(organization), "scim_configurations"):
        organization.delete_scim_configuration(api.DeleteSCIMConfigurationRequest(scim_configuration_id=scim.id))
    for sso in everything(list_ssos(organization), "sso_configurations"):
        organization.delete_sso_configuration(api.DeleteSSOConfigurationRequest(sso_configuration_id=sso.id))


@pytest.fixture
def sso(organization):
    return create_sso(organization)


def create_sso(organization, **changes):
    request = api.CreateSSOConfigurationRequest(**sso_fields(**changes))
    return organization.create_sso_configuration(request).sso_configuration


def read_sso(organization, sso, **options):
    request = api.GetSSOConfigurationRequest(sso_configuration_id=sso.id)
    return organization.get_sso_configuration(request, **options).sso_configuration


def update_sso(organization, sso, **changes):
    request = api.UpdateSSOConfigurationRequest(sso_configuration_id=sso.id, **changes)
    return organization.update_sso_configuration(request)


def create_scim(organization, sso, **changes):
    request = api.CreateSCIMConfigurationRequest(
        organization_id=ORGANIZATION_ID, sso_configuration_id=sso.id, **changes
    )
    return organization.create_scim_configuration(request)


def read_scim(organization, scim, **options):
    request = api.GetSCIMConfigurationRequest(scim_configuration_id=scim.id)
    return organization.get_scim_configuration(request, **options).scim_configuration


def update_scim(organization, scim, **changes):
    request = api.UpdateSCIMConfigurationRequest(scim_configuration_id=scim.id, **changes)
    return organization.update_scim_configuration(request).scim_configuration


def list_ssos(organization, **options):
    return lambda pagination: organization.list_sso_configurations(
        api.ListSSOConfigurationsRequest(organization_id=ORGANIZATION_ID, pagination=pagination), **options
    )


def list_scims(organization, **options):
    return lambda pagination: organization.list_scim_configurations(
        api.ListSCIMConfigurationsRequest(pagination=pagination), **options
    )


def everything(list_page, items, page_size=0):
    found, token = [], ""
    for _ in range(50):
        page = list_page(PaginationRequest(page_size=page_size, token=token))
        found += getattr(page, items)
        token = page.pagination.next_token
        if not token:
            return found
    pytest.fail("the list never ends")


def refused(code, rpc, *arguments, **options) -> ConnectError:
    with pytest.raises(ConnectError) as caught:
        rpc(*arguments, **options)
    assert caught.value.code is code, caught.value.message
    return caught.value


def fields_at_fault(error: ConnectError) -> list[str]:
    [detail] = [d for d in error.details if d.type_name == "buf.validate.Violations"]
    violations = validate_pb2.Violations.FromString(detail.message_bytes).violations
    return [violation.field.elements[0].field_name for violation in violations]


@READ_BY_GET_TOO
def test_the_token_belongs_to_the_organization(connect, wire, use_get):
    identity = connect().identity.get_authenticated_identity(GetAuthenticatedIdentityRequest(), use_get=use_get)
    assert identity.organization_id == ORGANIZATION_ID
    assert UUID(identity.subject.id)
    assert wire[-1].method == ("GET" if use_get else "POST")


def test_a_base_url_may_end_in_a_slash(connect, wire):
    identity = connect(base_url=f"{API}/").identity.get_authenticated_identity(GetAuthenticatedIdentityRequest())
    assert identity.organization_id == ORGANIZATION_ID
    assert "/api//gitpod.v1." in wire[-1].path


@READ_BY_GET_TOO
def test_a_created_sso_configuration_has_every_field(organization, wire, use_get):
    fields = sso_fields()
    sso = organization.create_sso_configuration(api.CreateSSOConfigurationRequest(**fields)).sso_configuration
    del fields["client_secret"]
    assert sso == SSOConfiguration(
        **fields,
        id=sso.id,
        state=api.SSO_CONFIGURATION_STATE_ACTIVE,
        provider_type=SSOConfiguration.PROVIDER_TYPE_CUSTOM,
        email_domain=fields["email_domains"][0],
    )
    assert UUID(sso.id).version == 7
    assert read_sso(organization, sso, use_get=use_get) == sso
    assert everything(list_ssos(organization, use_get=use_get), "sso_configurations") == [sso]
    assert [e.method for e in wire] == ["POST"] + ["GET" if use_get else "POST"] * 2


def test_an_update_leaves_absent_fields_alone(organization, sso, wire):
    update_sso(organization, sso, display_name="Renamed")
    assert (wire[-1].status, wire[-1].body) == (200, b"")
    sso.display_name = "Renamed"
    assert read_sso(organization, sso) == sso


def test_an_update_replaces_and_clears(organization, sso):
    update_sso(organization, sso, claims={"email": "mail", "name": "display"})
    update_sso(
        organization,
        sso,
        claims={"name": "full_name"},
        additional_scopes=api.AdditionalScopesUpdate(),
        claims_expression="",
        email_domain="new.example.com",
        state=api.SSO_CONFIGURATION_STATE_INACTIVE,
    )
    updated = read_sso(organization, sso)
    assert updated.claims == {"name": "full_name"}
    assert updated.additional_scopes == []
    assert updated.claims_expression == ""
    assert updated.email_domain == "new.example.com"
    assert updated.email_domains == ["new.example.com"]
    assert updated.state == api.SSO_CONFIGURATION_STATE_INACTIVE


def test_an_update_refuses_the_unspecified_state(organization, sso):
    error = refused(
        Code.INVALID_ARGUMENT, update_sso, organization, sso, state=api.SSO_CONFIGURATION_STATE_UNSPECIFIED
    )
    assert fields_at_fault(error) == ["state"]


@pytest.mark.parametrize("given, days", [({}, 365), ({"token_expires_in": Duration(seconds=90 * DAY)}, 90)])
def test_a_created_scim_configuration_comes_with_a_token(organization, sso, given, days):
    created = create_scim(organization, sso, allow_unverified_email_account_linking=True, **given)
    scim = created.scim_configuration
    assert SCIM_TOKEN.fullmatch(created.token)
    assert is_in_days(created.token_expires_at.ToDatetime(), days)
    assert scim.token_expires_at == created.token_expires_at
    assert scim.organization_id == ORGANIZATION_ID
    assert scim.sso_configuration_id == sso.id
    assert scim.name == "SCIM Configuration"
    assert scim.enabled
    assert scim.allow_unverified_email_account_linking
    assert is_in_days(scim.created_at.ToDatetime(), 0)
    assert UUID(scim.id).version == 7


@READ_BY_GET_TOO
def test_a_token_is_shown_once(organization, sso, wire, use_get):
    created = create_scim(organization, sso, name="Shown once")
    token, scim = created.token.encode(), created.scim_configuration
    assert token in wire[-1].body
    assert read_scim(organization, scim, use_get=use_get) == scim
    assert token not in wire[-1].body
    assert everything(list_scims(organization, use_get=use_get), "scim_configurations") == [scim]
    assert token not in wire[-1].body


def test_a_scim_configuration_is_updated_field_by_field(organization, sso):
    scim = create_scim(organization, sso, name="Before").scim_configuration
    other = create_sso(organization)

    renamed = update_scim(organization, scim, name="After")
    assert renamed.updated_at.ToDatetime() > scim.updated_at.ToDatetime()
    assert (renamed.name, renamed.enabled, renamed.sso_configuration_id) == ("After", True, sso.id)

    disabled = update_scim(organization, scim, enabled=False)
    assert (disabled.name, disabled.enabled, disabled.sso_configuration_id) == ("After", False, sso.id)

    linked = update_scim(
        organization, scim, sso_configuration_id=other.id, allow_unverified_email_account_linking=True
    )
    assert (linked.name, linked.enabled, linked.sso_configuration_id) == ("After", False, other.id)
    assert linked.allow_unverified_email_account_linking
    assert read_scim(organization, scim) == linked


def test_a_regenerated_token_keeps_its_lifetime_unless_given_another(organization, sso):
    created = create_scim(organization, sso, token_expires_in=Duration(seconds=90 * DAY))
    scim = created.scim_configuration

    def regenerate(**changes):
        request = api.RegenerateSCIMTokenRequest(scim_configuration_id=scim.id, **changes)
        return organization.regenerate_scim_token(request)

    same, other = regenerate(), regenerate(token_expires_in=Duration(seconds=30 * DAY))
    assert len({created.token, same.token, other.token}) == 3
    assert is_in_days(same.token_expires_at.ToDatetime(), 90)
    assert is_in_days(other.token_expires_at.ToDatetime(), 30)
    assert read_scim(organization, scim).token_expires_at == other.token_expires_at


def test_a_linked_sso_configuration_is_not_deleted(organization, sso, wire):
    scim = create_scim(organization, sso, name="Keeps it").scim_configuration
    request = api.DeleteSSOConfigurationRequest(sso_configuration_id=sso.id)
    error = refused(Code.FAILED_PRECONDITION, organization.delete_sso_configuration, request)
    assert scim.id in error.message or "Keeps it" in error.message
    assert wire[-1].status == 400


@READ_BY_GET_TOO
def test_what_is_deleted_is_gone(organization, sso, wire, use_get):
    scim = create_scim(organization, sso).scim_configuration
    delete_scim = api.DeleteSCIMConfigurationRequest(scim_configuration_id=scim.id)
    delete_sso = api.DeleteSSOConfigurationRequest(sso_configuration_id=sso.id)
    organization.delete_scim_configuration(delete_scim)
    organization.delete_sso_configuration(delete_sso)

    before = len(wire)
    refused(Code.NOT_FOUND, read_scim, organization, scim, use_get=use_get)
    refused(Code.NOT_FOUND, read_sso, organization, sso, use_get=use_get)
    refused(Code.NOT_FOUND, organization.delete_scim_configuration, delete_scim)
    refused(Code.NOT_FOUND, organization.delete_sso_configuration, delete_sso)
    # A refusal is JSON, although the request was protobuf.
    assert {(e.status, e.headers["content-type"]) for e in wire[before:]} == {(404, "application/json")}


def test_a_conflict_is_refused(organization, sso, wire):
    taken = {"issuer_url": sso.issuer_url, "client_id": sso.client_id}
    refused(Code.ALREADY_EXISTS, create_sso, organization, **taken)
    assert (wire[-1].status, wire[-1].headers["x-should-retry"]) == (409, "false")
    refused(Code.ALREADY_EXISTS, update_sso, organization, create_sso(organization), **taken)
    assert (wire[-1].status, wire[-1].headers["x-should-retry"]) == (409, "false")


@pytest.mark.parametrize("wrong, field", INVALID_SSO)
def test_an_invalid_request_names_the_field(organization, wire, wrong, field):
    error = refused(Code.INVALID_ARGUMENT, create_sso, organization, **wrong)
    assert fields_at_fault(error) == [field]
    assert field in error.message
    assert wire[-1].status == 400


def test_an_invalid_request_names_every_field(organization):
    error = refused(Code.INVALID_ARGUMENT, create_sso, organization, client_id="", issuer_url="not a url")
    assert set(fields_at_fault(error)) == {"client_id", "issuer_url"}


@pytest.mark.parametrize("seconds", [DAY - 1, 730 * DAY + 1])
def test_a_token_lifetime_has_bounds(organization, sso, seconds):
    error = refused(
        Code.INVALID_ARGUMENT, create_scim, organization, sso, token_expires_in=Duration(seconds=seconds)
    )
    assert fields_at_fault(error) == ["token_expires_in"]


def test_another_organization_is_out_of_reach(organization):
    refused(Code.PERMISSION_DENIED, create_sso, organization, organization_id=SOME_ID)


@READ_BY_GET_TOO
@pytest.mark.parametrize("token", ["", "wrong", f"{TOKEN}x"], ids=["none", "wrong", "mistyped"])
def test_a_missing_or_wrong_token_is_refused(connect, wire, token, use_get):
    rpc = connect(token).identity.get_authenticated_identity
    error = refused(Code.UNAUTHENTICATED, rpc, GetAuthenticatedIdentityRequest(), use_get=use_get)
    assert isinstance(map_error("identity", error), AuthenticationRequiredError)
    assert wire[-1].status == 401
    assert wire[-1].headers["www-authenticate"].startswith("Bearer")


@READ_BY_GET_TOO
def test_all_pages_are_walked(organization, use_get):
    ssos = [create_sso(organization) for _ in range(3)]
    scims = [create_scim(organization, sso).scim_configuration for sso in ssos]
    for list_page, items, expected in (
        (list_ssos(organization, use_get=use_get), "sso_configurations", ssos),
        (list_scims(organization, use_get=use_get), "scim_configurations", scims),
    ):
        found = everything(list_page, items, page_size=1)
        assert sorted(found, key=lambda c: c.id) == sorted(expected, key=lambda c: c.id)


def test_policies_are_kept(organization):
    def read():
        request = api.GetOrganizationPoliciesRequest(organization_id=ORGANIZATION_ID)
        return organization.get_organization_policies(request, use_get=True).policies

    def update(**changes):
        request = api.UpdateOrganizationPoliciesRequest(organization_id=ORGANIZATION_ID, **changes)
        assert organization.update_organization_policies(request) == api.UpdateOrganizationPoliciesResponse()

    agents = api.UpdateOrganizationPoliciesRequest.UpdateAgentPolicy(max_subagents_per_environment=3)
    update(restrict_account_creation_to_scim=True, allowed_editor_ids=["a", "b"], agent_policy=agents)
    assert read() == api.OrganizationPolicies(
        organization_id=ORGANIZATION_ID,
        restrict_account_creation_to_scim=True,
        allowed_editor_ids=["a", "b"],
        agent_policy=api.AgentPolicy(max_subagents_per_environment=3),
    )
    update(restrict_account_creation_to_scim=False)
    assert not read().restrict_account_creation_to_scim
    assert read().allowed_editor_ids == ["a", "b"]

    some_policy = "0190a6e0-1c2b-7def-8123-456789abcdef"
    denying = api.UpdateOrganizationPoliciesRequest.UpdateAgentPolicy(command_deny_list=["rm"], mcp_disabled=True)
    update(agent_policy=denying, security_policy_id=some_policy)
    assert (read().agent_policy.command_deny_list, read().security_policy_id) == (["rm"], some_policy)
    update(agent_policy=api.UpdateOrganizationPoliciesRequest.UpdateAgentPolicy(), security_policy_id="")
    assert (read().agent_policy.command_deny_list, read().security_policy_id) == ([], "")
    assert read().agent_policy.mcp_disabled

    day_and_a_second = Duration(seconds=DAY + 1)
    error = refused(Code.INVALID_ARGUMENT, update, archive_environments_after=day_and_a_second)
    assert fields_at_fault(error) == ["archive_environments_after"]


def test_a_domain_verification_is_made_read_and_deleted(organization):
    # The top-level domain is reserved (RFC 2606): nobody can set its records.
    create = api.CreateDomainVerificationRequest(organization_id=ORGANIZATION_ID, domain="Acme.invalid")
    made = organization.create_domain_verification(create).domain_verification
    assert made.domain == "acme.invalid"
    assert made.state == api.DOMAIN_VERIFICATION_STATE_PENDING
    assert made.verification_token
    assert not made.HasField("verified_at")
    refused(Code.ALREADY_EXISTS, organization.create_domain_verification, create)

    get = api.GetDomainVerificationRequest(domain_verification_id=made.id)
    assert organization.get_domain_verification(get, use_get=True).domain_verification == made

    def list_page(pagination):
        request = api.ListDomainVerificationsRequest(organization_id=ORGANIZATION_ID, pagination=pagination)
        return organization.list_domain_verifications(request)

    assert everything(list_page, "domain_verifications") == [made]

    verify = api.VerifyDomainRequest(domain_verification_id=made.id)
    error = refused(Code.FAILED_PRECONDITION, organization.verify_domain, verify)
    assert "_rollcall-challenge.acme.invalid" in error.message

    delete = api.DeleteDomainVerificationRequest(domain_verification_id=made.id)
    organization.delete_domain_verification(delete)
    refused(Code.NOT_FOUND, organization.get_domain_verification, get)


def test_the_way_to_sign_in_is_found_by_the_address(organization, connect):
    sso = create_sso(organization, email_domains=["login.example"], display_name="Acme staff")
    account = connect().account
    ask = account_api.GetSSOLoginURLRequest(email="ada@Login.example", return_to=f"{API.removesuffix('/api')}/account")
    url = account.get_sso_login_url(ask, use_get=True).login_url
    start = f"/auth/oidc/start?organization={ORGANIZATION_ID}&configuration={sso.id}"
    assert f"{start}&login_hint=ada%40Login.example&return_to=" in url

    listed = account.list_sso_logins(account_api.ListSSOLoginsRequest(email="grace@login.example"))
    assert [login.display_name for login in listed.logins] == ["Acme staff"]
    assert listed.logins[0].login_url.endswith("login_hint=grace%40login.example")

    elsewhere = account_api.GetSSOLoginURLRequest(email="ada@login.example", return_to="https://evil.example/")
    error = refused(Code.INVALID_ARGUMENT, account.get_sso_login_url, elsewhere)
    assert fields_at_fault(error) == ["return_to"]
    stranger = account_api.GetSSOLoginURLRequest(email="ada@elsewhere.example")
    refused(Code.NOT_FOUND, account.get_sso_login_url, stranger)

    providers = account.list_login_providers(account_api.ListLoginProvidersRequest()).login_providers
    assert [provider.provider for provider in providers] == ["custom"]
