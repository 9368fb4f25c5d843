"""`python -m sandbox.provider ENGINE_ADDRESS`: serves until the engine is gone; prints its port first."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import grpc
from pulumi.runtime.proto.provider_pb2_grpc import add_ResourceProviderServicer_to_server

from sandbox.provider.server import AwsProvider

_MAX_MESSAGE_BYTES = 400 * 1024 * 1024
"""What the engine takes and sends at most (Pulumi's own setting)."""


def main() -> None:
    engine = os.getppid()
    size = [(f"grpc.max_{direction}_message_length", _MAX_MESSAGE_BYTES) for direction in ("send", "receive")]
    server = grpc.server(ThreadPoolExecutor(max_workers=32), options=size)
    add_ResourceProviderServicer_to_server(AwsProvider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    with suppress(KeyboardInterrupt):  # the engine's way to end its plugins
        while os.getppid() == engine:  # a killed engine says no goodbye
            time.sleep(0.5)
    os._exit(0)  # without waiting for calls to AWS whose answers nobody will record


if __name__ == "__main__":
    main()
