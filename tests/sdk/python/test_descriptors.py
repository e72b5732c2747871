"""Every message, enum and method that the server describes, compared with those of the published SDK.

`WANTED` has the differences that are meant; the server has no other, and has all of these.
"""

import os
from urllib.parse import urlsplit

import grpc
import pytest
from google.protobuf import descriptor_pb2, json_format, message_factory
from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from support import URL

PACKAGE = "gitpod.v1"
IDEMPOTENCY = descriptor_pb2.MethodOptions.IdempotencyLevel
TYPES = descriptor_pb2.FieldDescriptorProto.Type

WHOLE_DAYS = "our validator has no int() of a duration: another expression, and a message with an example"
NO_LEAST = "a least of 0 rules nothing out, and our validator's comparison with it is a lint"

EITHER_SPELLING = "domains are taken in either spelling, with a dot at the end and blanks around: the server checks them"

OURS = "our own, far from the numbers of the contract: what else knows the message ignores it"
NO_ENVIRONMENTS = "there are no environments here, so no reports of what ran in one"

# What differs: the reason.
WANTED = {
    "AuditLogEntryDetails.payload: fields": OURS,
    "AuditLogEntryDetails.payload: rules": "what else knows the message sees no payload that it knows",
    "AuditLogEntryDetails.resource_change: not published": OURS,
    "AuditLogEntryDetails.veto_exec: missing": NO_ENVIRONMENTS,
    "CreateSSOConfigurationRequest.email_domains: rules": EITHER_SPELLING,
    "GetSSOLoginURLRequest.email: rules": EITHER_SPELLING,
    "InviteDomains.domains: rules": EITHER_SPELLING,
    "ListAuditLogsRequest.Filter.actor_ids: rules": NO_LEAST,
    "ListAuditLogsRequest.Filter.actor_principals: rules": NO_LEAST,
    "ListAuditLogsRequest.Filter.subject_ids: rules": NO_LEAST,
    "ListAuditLogsRequest.Filter.subject_types: rules": NO_LEAST,
    "ListPersonalAccessTokensRequest.Filter.user_ids: rules": NO_LEAST,
    "ListServiceAccountsRequest.Filter.service_account_ids: rules": NO_LEAST,
    "ListSSOLoginsRequest.email: rules": EITHER_SPELLING,
    "SSOConfiguration.email_domains: rules": EITHER_SPELLING,
    "UpdateSSOConfigurationRequest.email_domains: rules": EITHER_SPELLING,
    "ListMembersRequest.Filter.exclude_group_ids: rules": NO_LEAST,
    "ListMembersRequest.Filter.search: rules": NO_LEAST,
    "ListMembersRequest.Filter.user_ids: rules": NO_LEAST,
    "OrganizationPolicies.archive_environments_after: rules": WHOLE_DAYS,
    "UpdateOrganizationPoliciesRequest.archive_environments_after: rules": WHOLE_DAYS,
    "UpdateOrganizationPoliciesRequest.security_policy_id: rules": (
        "buf.validate has no IGNORE_IF_DEFAULT_VALUE any more: an expression that lets the empty text pass says the same"
    ),
    "WatchEventsRequest.after: not published": OURS,
    "WatchEventsResponse.cursor: not published": OURS,
}

# The methods of the services here that are answered with `unimplemented`.
NOT_SERVED = {
    "AccountService": "BlockAccount DeleteAccount UnblockAccount",
    "EventService": "",
    "GroupService": "ShareResourceWithPrincipal UnshareResourceWithPrincipal",
    "IdentityService": "ExchangeToken",
    "OrganizationService": """
        AcceptTermsOfService CreateCustomDomain DeleteCustomDomain GetAnnouncementBanner GetCustomDomain GetOIDCConfig
        GetTermsOfService GetTermsOfServiceAcceptancesExport ListTermsOfServiceAcceptances ListTermsOfServiceVersions
        SetStripeCustomerID UpdateAnnouncementBanner UpdateCustomDomain UpdateOIDCConfig UpdateTermsOfService
    """,
    "ServiceAccountService": "",
    "UserService": """
        DeletePreference GetDotfilesConfiguration GetPreference ListPreferences SetDotfilesConfiguration SetPreference
    """,
}


class Files:
    """Descriptors with everything that they import."""

    def __init__(self, files):
        self.pool = DescriptorPool()
        for file in files:
            self.pool.AddSerializedFile(file.SerializeToString())
        self.package = [file.name for file in files if file.package == PACKAGE]

    def options(self, descriptor, kind):
        """The options of a descriptor, with the extensions that these files define."""
        options = message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"google.protobuf.{kind}"))
        return options.FromString(descriptor.GetOptions().SerializeToString())

    def rules(self, descriptor, kind, extension):
        """The `buf.validate` rules of a descriptor, with enum values by number: their names change."""
        options = self.options(descriptor, kind)
        extension = self.pool.FindExtensionByName(f"buf.validate.{extension}")
        if not options.HasExtension(extension):
            return None
        return json_format.MessageToDict(
            options.Extensions[extension], preserving_proto_field_name=True, use_integers_for_enums=True
        )

    def field(self, field) -> dict:
        of = field.enum_type or field.message_type
        return {
            "number": field.number,
            "JSON name": field.json_name,
            "type": of.full_name if of else TYPES.Name(field.type),
            "repeated": field.is_repeated,
            "presence": field.has_presence,
            "oneof": field.containing_oneof and field.containing_oneof.name,
            "packed": field.is_packed,
            "deprecated": field.GetOptions().deprecated,
            "rules": self.rules(field, "FieldOptions", "field"),
        }

    def message(self, message) -> dict:
        found = {f"{message.full_name}": {"rules": self.rules(message, "MessageOptions", "message")}}
        for field in message.fields:
            found[field.full_name] = self.field(field)
        for oneof in message.oneofs:
            rules = self.rules(oneof, "OneofOptions", "oneof")
            found[oneof.full_name] = {"fields": [field.name for field in oneof.fields], "rules": rules}
        for inner in message.nested_types:
            found |= self.message(inner)
        for enum in message.enum_types:
            found |= self.enum(enum)
        return found

    def enum(self, enum: EnumDescriptor) -> dict:
        values = {v.name: (v.number, v.GetOptions().deprecated) for v in enum.values}
        return {enum.full_name: {"values": values, "closed": enum.is_closed}}

    def method(self, method) -> dict:
        return {
            "request": (method.input_type.full_name, method.client_streaming),
            "response": (method.output_type.full_name, method.server_streaming),
            "idempotency": IDEMPOTENCY.Name(method.GetOptions().idempotency_level),
            "deprecated": method.GetOptions().deprecated,
        }

    def everything(self) -> dict:
        """All that the package has: name → what there is to compare."""
        found = {}
        for name in self.package:
            file = self.pool.FindFileByName(name)
            for message in file.message_types_by_name.values():
                found |= self.message(message)
            for enum in file.enum_types_by_name.values():
                found |= self.enum(enum)
            for service in file.services_by_name.values():
                found |= {method.full_name: self.method(method) for method in service.methods}
        return {name.removeprefix(f"{PACKAGE}."): facts for name, facts in found.items()}


@pytest.fixture(scope="module")
def served():
    """What the server says of itself, by reflection."""
    with grpc.insecure_channel(urlsplit(URL).netloc) as channel:
        reflection = ProtoReflectionDescriptorDatabase(channel)
        files = {}

        def collect(file):
            if file.name not in files:
                for dependency in file.dependency:
                    collect(reflection.FindFileByName(dependency))
                files[file.name] = file

        for service in reflection.get_services():
            if service.startswith(f"{PACKAGE}."):
                collect(reflection.FindFileContainingSymbol(service))
        yield Files(list(files.values()))


@pytest.fixture(scope="module")
def published():
    """The descriptors that the published SDK carries."""
    with open(os.environ["ROLLCALL_DESCRIPTORS"], "rb") as file:
        return Files(list(descriptor_pb2.FileDescriptorSet.FromString(file.read()).file))


def parents(name):
    return [name[:i] for i, letter in enumerate(name) if letter == "."]


def test_no_description_differs_but_where_it_is_meant(served, published):
    ours, theirs = served.everything(), published.everything()
    differences = {f"{name}: not published": facts for name, facts in ours.items() if name not in theirs}
    for name, facts in theirs.items():
        if name in ours:
            for what, value in facts.items():
                if ours[name][what] != value:
                    differences[f"{name}: {what}"] = (ours[name][what], value)
        elif any(parent in ours for parent in parents(name)):
            differences[f"{name}: missing"] = facts
    unexpected = {name: what for name, what in differences.items() if name not in WANTED}
    assert unexpected == {}
    assert [name for name in WANTED if name not in differences] == [], "these differ no longer"
    assert len(ours) > 400, "the comparison saw the messages"


def test_the_methods_that_are_not_served_are_known(served, published):
    def methods(files):
        services = [s for name in files.package for s in files.pool.FindFileByName(name).services_by_name.values()]
        return {service.name: {method.name for method in service.methods} for service in services}

    ours, theirs = methods(served), methods(published)
    assert {name: set(listed.split()) for name, listed in NOT_SERVED.items()} == {
        name: theirs[name] - ours[name] for name in ours
    }
