"""The JSON generation of the Python SDK (0.7 to 0.11)."""

from itertools import islice
from uuid import UUID

import gitpod
import pytest
from gitpod import DefaultHttpxClient, Gitpod

from support import (
    API,
    DAY,
    INVALID_SSO,
    ORGANIZATION_ID,
    SCIM_TOKEN,
    SOME_ID,
    TOKEN,
    Exchange,
    is_in_days,
    named_in_violations,
    sso_fields,
)


def connect(wire, token=TOKEN) -> Gitpod:
    def record(response):
        response.read()
        request = response.request
        wire.append(
            Exchange(request.method, request.url.path, response.status_code, response.headers, response.content)
        )

    http = DefaultHttpxClient(event_hooks={"response": [record]})
    return Gitpod(bearer_token=token, base_url=API, http_client=http, timeout=20)


@pytest.fixture
def client(wire):
    client = connect(wire)
    yield client
    # Lists are counted exactly, so a test leaves the organization as empty as it found it.
    for scim in everything(client.organizations.scim_configurations.list()):
        client.organizations.scim_configurations.delete(scim_configuration_id=scim.id)
    for sso in everything(client.organizations.sso_configurations.list(organization_id=ORGANIZATION_ID)):
        client.organizations.sso_configurations.delete(sso_configuration_id=sso.id)


@pytest.fixture
def ssos(client):
    return client.organizations.sso_configurations


@pytest.fixture
def scims(client):
    return client.organizations.scim_configurations


@pytest.fixture
def sso(ssos):
    return create_sso(ssos)


def everything(page, at_most=50):
    """All items of all pages; a list that never ends is cut off, and then counts wrong."""
    return list(islice(page, at_most))


def fields_of(model, **changes):
    """The declared fields that have a value; beside them a model keeps the raw answer."""
    fields = {name: getattr(model, name) for name in type(model).model_fields} | changes
    return {name: value for name, value in fields.items() if value is not None}


def create_sso(ssos, **changes):
    return ssos.create(**sso_fields(**changes)).sso_configuration


def read_sso(ssos, sso):
    return ssos.retrieve(sso_configuration_id=sso.id).sso_configuration


def create_scim(scims, sso, **changes):
    return scims.create(organization_id=ORGANIZATION_ID, sso_configuration_id=sso.id, **changes)


def read_scim(scims, scim):
    return scims.retrieve(scim_configuration_id=scim.id).scim_configuration


def test_the_token_belongs_to_the_organization(client):
    identity = client.identity.get_authenticated_identity()
    assert identity.organization_id == ORGANIZATION_ID
    assert UUID(identity.subject.id)
    assert identity.subject.principal in ("PRINCIPAL_USER", "PRINCIPAL_SERVICE_ACCOUNT")


def test_a_created_sso_configuration_has_every_field(ssos):
    fields = sso_fields()
    sso = ssos.create(**fields).sso_configuration
    assert fields_of(sso) == {
        "id": sso.id,
        "organization_id": ORGANIZATION_ID,
        "client_id": fields["client_id"],
        "issuer_url": fields["issuer_url"],
        "state": "SSO_CONFIGURATION_STATE_ACTIVE",
        "provider_type": "PROVIDER_TYPE_CUSTOM",
        "email_domain": fields["email_domains"][0],
        "email_domains": fields["email_domains"],
        "display_name": fields["display_name"],
        "additional_scopes": fields["additional_scopes"],
        "claims_expression": fields["claims_expression"],
    }
    assert UUID(sso.id).version == 7
    assert read_sso(ssos, sso) == sso
    assert everything(ssos.list(organization_id=ORGANIZATION_ID)) == [sso]


def test_the_single_email_domain_joins_the_list_in_front(ssos):
    several = sso_fields()["email_domains"]
    sso = create_sso(ssos, email_domain="first.example.com", email_domains=several)
    assert sso.email_domain == "first.example.com"
    assert sso.email_domains == ["first.example.com", *several]


def test_an_update_leaves_absent_and_null_fields_alone(ssos, sso):
    assert ssos.update(sso_configuration_id=sso.id, display_name="Renamed") == {}
    nulls = dict.fromkeys(
        ["client_id", "client_secret", "issuer_url", "state", "email_domain", "additional_scopes", "claims_expression"]
    )
    ssos.update(sso_configuration_id=sso.id, **nulls)
    assert fields_of(read_sso(ssos, sso)) == fields_of(sso, display_name="Renamed")


def test_an_update_replaces_and_clears(ssos, sso):
    ssos.update(sso_configuration_id=sso.id, claims={"email": "mail", "name": "display"})
    ssos.update(
        sso_configuration_id=sso.id,
        claims={"name": "full_name"},
        additional_scopes={"scopes": []},
        claims_expression="",
        email_domains=["new.example.com"],
        state="SSO_CONFIGURATION_STATE_INACTIVE",
    )
    updated = read_sso(ssos, sso)
    assert updated.claims == {"name": "full_name"}
    assert not updated.additional_scopes
    assert not updated.claims_expression
    assert updated.email_domains == ["new.example.com"]
    assert updated.email_domain == "new.example.com"
    assert updated.state == "SSO_CONFIGURATION_STATE_INACTIVE"


def test_an_update_rotates_the_credentials(ssos, sso):
    rotated = sso_fields()
    ssos.update(
        sso_configuration_id=sso.id, client_id=rotated["client_id"], client_secret=rotated["client_secret"]
    )
    assert fields_of(read_sso(ssos, sso)) == fields_of(sso, client_id=rotated["client_id"])


@pytest.mark.parametrize("given, days", [({}, 365), ({"token_expires_in": f"{90 * DAY}s"}, 90)])
def test_a_created_scim_configuration_comes_with_a_token(scims, sso, given, days):
    created = create_scim(scims, sso, **given)
    scim = created.scim_configuration
    assert SCIM_TOKEN.fullmatch(created.token)
    assert is_in_days(created.token_expires_at, days)
    assert scim.token_expires_at == created.token_expires_at
    assert scim.organization_id == ORGANIZATION_ID
    assert scim.sso_configuration_id == sso.id
    assert scim.name == "SCIM Configuration"
    assert scim.enabled is True
    assert is_in_days(scim.created_at, 0)
    assert UUID(scim.id).version == 7


def test_a_token_is_shown_once(scims, sso, wire):
    created = create_scim(scims, sso, name="Shown once")
    assert created.token.encode() in wire[-1].body
    assert read_scim(scims, created.scim_configuration) == created.scim_configuration
    assert created.token.encode() not in wire[-1].body
    assert everything(scims.list()) == [created.scim_configuration]
    assert created.token.encode() not in wire[-1].body


def test_a_scim_configuration_is_updated_field_by_field(ssos, scims, sso):
    scim = create_scim(scims, sso, name="Before").scim_configuration
    other = create_sso(ssos)

    renamed = scims.update(scim_configuration_id=scim.id, name="After").scim_configuration
    assert renamed.updated_at > scim.updated_at
    assert fields_of(renamed) == fields_of(scim, name="After", updated_at=renamed.updated_at)

    disabled = scims.update(scim_configuration_id=scim.id, enabled=False).scim_configuration
    assert not disabled.enabled
    assert disabled.name == "After"

    linked = scims.update(scim_configuration_id=scim.id, sso_configuration_id=other.id).scim_configuration
    assert linked.sso_configuration_id == other.id
    assert not linked.enabled
    assert read_scim(scims, scim) == linked


def test_a_regenerated_token_keeps_its_lifetime_unless_given_another(scims, sso):
    created = create_scim(scims, sso, token_expires_in=f"{90 * DAY}s")
    scim = created.scim_configuration

    same = scims.regenerate_token(scim_configuration_id=scim.id)
    other = scims.regenerate_token(scim_configuration_id=scim.id, token_expires_in=f"{30 * DAY}s")
    assert len({created.token, same.token, other.token}) == 3
    assert is_in_days(same.token_expires_at, 90)
    assert is_in_days(other.token_expires_at, 30)
    assert read_scim(scims, scim).token_expires_at == other.token_expires_at


def test_a_linked_sso_configuration_is_not_deleted(ssos, scims, sso):
    scim = create_scim(scims, sso, name="Keeps it").scim_configuration
    with pytest.raises(gitpod.BadRequestError) as refused:
        ssos.delete(sso_configuration_id=sso.id)
    assert refused.value.code == "failed_precondition"
    assert scim.id in refused.value.body["message"] or "Keeps it" in refused.value.body["message"]
    assert read_sso(ssos, sso) == sso


def test_what_is_deleted_is_gone(ssos, scims, sso):
    scim = create_scim(scims, sso).scim_configuration
    assert scims.delete(scim_configuration_id=scim.id) == {}
    assert ssos.delete(sso_configuration_id=sso.id) == {}
    for call in (
        lambda: scims.retrieve(scim_configuration_id=scim.id),
        lambda: scims.delete(scim_configuration_id=scim.id),
        lambda: ssos.retrieve(sso_configuration_id=sso.id),
        lambda: ssos.delete(sso_configuration_id=sso.id),
    ):
        with pytest.raises(gitpod.NotFoundError) as refused:
            call()
        assert refused.value.code == "not_found"


def test_a_conflict_is_refused_and_not_retried(ssos, sso, wire):
    before = len(wire)
    with pytest.raises(gitpod.ConflictError) as refused:
        create_sso(ssos, issuer_url=sso.issuer_url, client_id=sso.client_id)
    assert refused.value.code == "already_exists"
    assert len(wire) == before + 1

    other = create_sso(ssos)
    before = len(wire)
    with pytest.raises(gitpod.ConflictError) as refused:
        ssos.update(sso_configuration_id=other.id, issuer_url=sso.issuer_url, client_id=sso.client_id)
    assert refused.value.code == "already_exists"
    assert len(wire) == before + 1


@pytest.mark.parametrize("wrong, field", INVALID_SSO)
def test_an_invalid_request_names_the_field(ssos, wrong, field):
    with pytest.raises(gitpod.BadRequestError) as refused:
        create_sso(ssos, **wrong)
    assert refused.value.code == "invalid_argument"
    assert field in refused.value.body["message"]
    assert field.encode() in named_in_violations(refused.value.body["details"])


@pytest.mark.parametrize("lifetime", [f"{DAY - 1}s", f"{730 * DAY + 1}s"])
def test_a_token_lifetime_has_bounds(scims, sso, lifetime):
    with pytest.raises(gitpod.BadRequestError) as refused:
        create_scim(scims, sso, token_expires_in=lifetime)
    assert refused.value.code == "invalid_argument"
    assert b"token_expires_in" in named_in_violations(refused.value.body["details"])


def test_an_unknown_sso_configuration_cannot_be_linked(scims, sso):
    scim = create_scim(scims, sso).scim_configuration
    with pytest.raises(gitpod.NotFoundError):
        scims.create(organization_id=ORGANIZATION_ID, sso_configuration_id=SOME_ID)
    with pytest.raises(gitpod.NotFoundError):
        scims.update(scim_configuration_id=scim.id, sso_configuration_id=SOME_ID)


def test_another_organization_is_out_of_reach(ssos):
    with pytest.raises(gitpod.PermissionDeniedError) as refused:
        create_sso(ssos, organization_id=SOME_ID)
    assert refused.value.code == "permission_denied"


@pytest.mark.parametrize("token", ["wrong", f"{TOKEN}x"], ids=["wrong", "mistyped"])
def test_a_wrong_token_is_refused(wire, token):
    with pytest.raises(gitpod.AuthenticationError) as refused:
        connect(wire, token).identity.get_authenticated_identity()
    assert refused.value.code == "unauthenticated"
    assert refused.value.response.headers["www-authenticate"].startswith("Bearer")


def test_a_method_that_is_not_there_is_not_retried(client, wire):
    with pytest.raises(gitpod.InternalServerError) as refused:
        client.organizations.custom_domains.retrieve(organization_id=ORGANIZATION_ID)
    assert refused.value.status_code == 501
    assert refused.value.code == "unimplemented"
    assert len(wire) == 1


# The iterator adds `?token=` and sends the first body again, whichever way the size was given.
@pytest.mark.parametrize("size", [{"page_size": 1}, {"pagination": {"page_size": 1}}])
def test_the_iterator_walks_all_pages(ssos, scims, wire, size):
    expected_ssos = [create_sso(ssos) for _ in range(3)]
    expected_scims = [create_scim(scims, sso).scim_configuration for sso in expected_ssos]
    for page, expected in (
        (ssos.list(organization_id=ORGANIZATION_ID, **size), expected_ssos),
        (scims.list(**size), expected_scims),
    ):
        before = len(wire)
        found = everything(page, at_most=10)
        assert sorted(found, key=lambda c: c.id) == sorted(expected, key=lambda c: c.id)
        assert len(wire) - before == 2, "the first page was there, one request each for the others"
