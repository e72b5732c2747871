"""Writes the published SDK's descriptors to standard output, for the clients that have no SDK of their own."""

import sys

from gitpod.v1 import (
    account_pb2,
    event_pb2,
    group_pb2,
    identity_pb2,
    organization_pb2,
    service_account_pb2,
    user_pb2,
)
from google.protobuf.descriptor_pb2 import FileDescriptorSet

collected = FileDescriptorSet()
seen = set()


def collect(file):
    if file.name not in seen:
        seen.add(file.name)
        for dependency in file.dependencies:
            collect(dependency)
        file.CopyToProto(collected.file.add())


for module in (
    account_pb2,
    event_pb2,
    group_pb2,
    identity_pb2,
    organization_pb2,
    service_account_pb2,
    user_pb2,
):
    collect(module.DESCRIPTOR)
sys.stdout.buffer.write(collected.SerializeToString())
