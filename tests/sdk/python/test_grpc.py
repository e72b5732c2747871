"""Plain gRPC over HTTP/2 without TLS, with the messages the server itself describes."""

import itertools
import time
from urllib.parse import urlsplit

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from support import ORGANIZATION_ID, SOME_ID, TOKEN, URL, some_name, sso_fields

SERVICE = "gitpod.v1.OrganizationService"
EVENTS = "gitpod.v1.EventService"
GROUPS = "gitpod.v1.GroupService"
BEARER = [("authorization", f"Bearer {TOKEN}")]


@pytest.fixture(scope="module")
def channel():
    with grpc.insecure_channel(urlsplit(URL).netloc) as channel:
        yield channel


@pytest.fixture(scope="module")
def described(channel):
    """The server's own descriptors, by reflection."""
    return DescriptorPool(ProtoReflectionDescriptorDatabase(channel))


class Method:
    """A method as the server describes it."""

    def __init__(self, described, service, name, prefix=""):
        description = described.FindServiceByName(service).FindMethodByName(name)
        self.path = f"{prefix}/{service}/{name}"
        self.request = message_factory.GetMessageClass(description.input_type)
        self.response = message_factory.GetMessageClass(description.output_type)

    def on(self, of_kind):
        return of_kind(
            self.path,
            request_serializer=self.request.SerializeToString,
            response_deserializer=self.response.FromString,
        )


@pytest.fixture(scope="module")
def call(channel, described):
    def call(name, fields, metadata=BEARER, prefix="", service=SERVICE):
        method = Method(described, service, name, prefix)
        return method.on(channel.unary_unary)(method.request(**fields), metadata=metadata, timeout=20)

    return call


@pytest.fixture
def watch(channel, described):
    """Begins streams of events, which end with the test."""
    streams = []

    def watch(**fields):
        method = Method(described, EVENTS, "WatchEvents")
        stream = method.on(channel.unary_stream)(method.request(**fields), metadata=BEARER, timeout=20)
        streams.append(stream)
        # The stream has begun when the server answers.
        stream.initial_metadata()
        return stream

    yield watch
    for stream in streams:
        stream.cancel()


@pytest.fixture
def group(call):
    fields = {"organization_id": ORGANIZATION_ID, "name": some_name("Group"), "description": "Red"}
    group = call("CreateGroup", fields, service=GROUPS).group
    yield group
    try:
        call("DeleteGroup", {"group_id": group.id}, service=GROUPS)
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.NOT_FOUND


@pytest.fixture
def sso(call):
    sso = call("CreateSSOConfiguration", sso_fields()).sso_configuration
    yield sso
    call("DeleteSSOConfiguration", {"sso_configuration_id": sso.id})


def refused(code, call, *arguments, **options) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    assert caught.value.code() is code, caught.value.details()
    return caught.value


@pytest.mark.parametrize("service", ["", SERVICE])
def test_the_server_is_healthy(channel, service):
    health = health_pb2_grpc.HealthStub(channel)
    response = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
    assert response.status == health_pb2.HealthCheckResponse.SERVING


def test_the_health_of_an_unknown_service_is_not_known(channel):
    health = health_pb2_grpc.HealthStub(channel)
    refused(grpc.StatusCode.NOT_FOUND, health.Check, health_pb2.HealthCheckRequest(service="no.Such"), timeout=20)


# v1 and v1alpha have the same messages; tools ask for either.
@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_lists_the_service(channel, version):
    rpc = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    [response] = rpc(iter([reflection_pb2.ServerReflectionRequest(list_services="*")]), timeout=20)
    assert SERVICE in [service.name for service in response.list_services_response.service]


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_a_unary_call_answers(call, sso, prefix):
    answer = call("GetSSOConfiguration", {"sso_configuration_id": sso.id}, prefix=prefix)
    assert answer.sso_configuration == sso
    assert sso.organization_id == ORGANIZATION_ID
    assert sso.state == 2
    assert sso.provider_type == 2


@pytest.mark.parametrize("metadata", [[], [("authorization", "Bearer wrong")]], ids=["missing", "wrong"])
def test_a_missing_or_wrong_token_is_refused(call, metadata):
    request = {"sso_configuration_id": SOME_ID}
    refused(grpc.StatusCode.UNAUTHENTICATED, call, "GetSSOConfiguration", request, metadata=metadata)


def test_what_is_not_there_is_not_found(call):
    refused(grpc.StatusCode.NOT_FOUND, call, "GetSSOConfiguration", {"sso_configuration_id": SOME_ID})


def test_a_conflict_is_refused(call, sso):
    taken = sso_fields(issuer_url=sso.issuer_url, client_id=sso.client_id)
    refused(grpc.StatusCode.ALREADY_EXISTS, call, "CreateSSOConfiguration", taken)


def test_an_invalid_request_names_the_field(call):
    error = refused(grpc.StatusCode.INVALID_ARGUMENT, call, "CreateSSOConfiguration", sso_fields(client_id=""))
    [status] = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    assert b"buf.validate.Violations" in status
    assert b"client_id" in status


def test_a_method_that_is_not_there_is_unimplemented(channel):
    rpc = channel.unary_unary(f"/{SERVICE}/NoSuchMethod")
    refused(grpc.StatusCode.UNIMPLEMENTED, rpc, b"", metadata=BEARER, timeout=20)


def test_a_group_has_a_service_account_and_a_role(call, group):
    accounts = "gitpod.v1.ServiceAccountService"
    fields = {"name": "Robot", "valid_until": {"seconds": int(time.time()) + 3600}}
    robot = call("CreateServiceAccount", fields, service=accounts).service_account
    which = {"group_id": group.id, "subject": {"id": robot.id, "principal": 5}}
    member = call("CreateMembership", which, service=GROUPS).member
    assert (member.name, member.group_id, member.subject.id) == ("Robot", group.id, robot.id)
    assert call("GetMembership", which, service=GROUPS).member == member
    assert list(call("ListMemberships", {"group_id": group.id}, service=GROUPS).members) == [member]

    role = {"group_id": group.id, "resource_type": 7, "resource_id": ORGANIZATION_ID, "resource_role": 1}
    assignment = call("CreateRoleAssignment", role, service=GROUPS).assignment
    assert (assignment.resource_type, assignment.resource_role) == (7, 1)
    token = call("CreateServiceAccountAccessToken", {"service_account_id": robot.id}, service=accounts).token
    administrator = [("authorization", f"Bearer {token}")]
    renamed = {"group_id": group.id, "name": some_name("Renamed")}
    assert call("UpdateGroup", renamed, administrator, service=GROUPS).group.name == renamed["name"]
    call("DeleteServiceAccount", {"service_account_id": robot.id}, service=accounts)
    refused(grpc.StatusCode.UNAUTHENTICATED, call, "UpdateGroup", renamed, administrator, service=GROUPS)


def test_an_entry_of_the_audit_log_says_what_changed(call, group):
    call("UpdateGroup", {"group_id": group.id, "name": group.name, "description": "Blue"}, service=GROUPS)
    logs = call("ListAuditLogs", {"filter": {"subject_ids": [group.id]}}, service=EVENTS)
    updated, created = logs.entries
    assert (updated.action, created.action) == ("UpdateGroup", "CreateGroup")

    def change(entry):
        answer = call("GetAuditLog", {"audit_log_entry_id": entry.id}, service=EVENTS)
        assert answer.entry == entry
        assert answer.details.WhichOneof("payload") == "resource_change"
        return answer.details.resource_change

    red, blue = change(updated).before, change(updated).after
    assert (red["name"], red["description"]) == (group.name, "Red")
    assert (blue["name"], blue["description"]) == (group.name, "Blue")
    assert not change(created).HasField("before")
    assert change(created).after == red


def test_changes_are_told_as_they_happen_and_again_after_a_cursor(call, group, watch):
    of_group = {"resource_type": 12, "resource_ids": [group.id]}
    stream = watch(organization=True, resource_type_filters=[of_group])
    call("UpdateGroup", {"group_id": group.id, "name": some_name("Renamed")}, service=GROUPS)
    call("DeleteGroup", {"group_id": group.id}, service=GROUPS)
    update, delete = next(stream), next(stream)
    assert (update.operation, update.resource_type, update.resource_id) == (2, 12, group.id)
    assert (delete.operation, delete.resource_type, delete.resource_id) == (3, 12, group.id)

    # It may tell of what was before the cursor again, but misses nothing after it.
    again = watch(organization=True, resource_type_filters=[of_group], after=update.cursor)
    assert delete in itertools.islice(again, 3)
