"""The project's program within this process: it reaches its engine, whatever other engines did before."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import engine_pb2_grpc
from pulumi.runtime.proto.engine_pb2 import LogRequest

import sandbox.program  # noqa: F401  # it sets the options of Pulumi's channels


class Engine(engine_pb2_grpc.EngineServicer):
    def Log(self, request: LogRequest, context: grpc.ServicerContext) -> Empty:
        return Empty()


def stub(address: str) -> engine_pb2_grpc.EngineStub:
    """As `pulumi.runtime.settings.Settings` makes it."""
    return engine_pb2_grpc.EngineStub(grpc.insecure_channel(address, options=_GRPC_CHANNEL_OPTIONS))


def test_an_engine_is_reached_at_the_port_of_an_engine_that_is_gone() -> None:
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as the engine's server does
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
        former = stub(address)
        with pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
            former.Log(LogRequest())

        server = grpc.server(ThreadPoolExecutor(1))
        engine_pb2_grpc.add_EngineServicer_to_server(Engine(), server)
        server.add_insecure_port(address)
        server.start()
        try:
            stub(address).Log(LogRequest())
        finally:
            server.stop(0)
