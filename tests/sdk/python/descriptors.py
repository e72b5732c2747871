"""Writes the published SDK's descriptors to standard output, for the clients that have no SDK of their own."""

import sys

from gitpod.v1 import identity_pb2, organization_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet

collected = FileDescriptorSet()
seen = set()


def collect(file):
    if file.name not in seen:
        seen.add(file.name)
        for dependency in file.dependencies:
            collect(dependency)
        file.CopyToProto(collected.file.add())


collect(identity_pb2.DESCRIPTOR)
collect(organization_pb2.DESCRIPTOR)
sys.stdout.buffer.write(collected.SerializeToString())
