"""Plain gRPC over HTTP/2 without TLS, with the messages the server itself describes."""

from urllib.parse import urlsplit

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from support import ORGANIZATION_ID, SOME_ID, TOKEN, URL, sso_fields

SERVICE = "gitpod.v1.OrganizationService"
BEARER = [("authorization", f"Bearer {TOKEN}")]


@pytest.fixture(scope="module")
def channel():
    with grpc.insecure_channel(urlsplit(URL).netloc) as channel:
        yield channel


@pytest.fixture(scope="module")
def described(channel):
    """The server's own descriptors, by reflection."""
    return DescriptorPool(ProtoReflectionDescriptorDatabase(channel))


@pytest.fixture(scope="module")
def call(channel, described):
    def call(method, fields, metadata=BEARER, prefix=""):
        description = described.FindServiceByName(SERVICE).FindMethodByName(method)
        request = message_factory.GetMessageClass(description.input_type)(**fields)
        response = message_factory.GetMessageClass(description.output_type)
        rpc = channel.unary_unary(
            f"{prefix}/{SERVICE}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        return rpc(request, metadata=metadata, timeout=20)

    return call


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
