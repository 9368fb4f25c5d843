"""Serverless endpoints: what their configuration must be, and compute that comes and goes with the requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.sandbox.conftest import Host, unique
from tests.sandbox.test_runtime import QUIET, answering, ask

SMALL = {"MemorySizeInMB": 1024, "MaxConcurrency": 2}


def serverless(host: Host, model: str | None = None, **config: int) -> dict[str, Any]:
    """A serverless variant."""
    return {
        "VariantName": "AllTraffic",
        "ModelName": model or host.model(),
        "ServerlessConfig": {**SMALL, **config},
    }


def serverless_config(
    host: Host, model: str | None = None, changes: Mapping[str, Any] | None = None, **config: int
) -> str:
    name = unique("config")
    host.sagemaker.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[serverless(host, model, **config)], **(changes or {})
    )
    return name


def test_a_real_triton_answers_a_serverless_endpoint(triton_host: Host) -> None:
    host = triton_host
    name = host.endpoint(serverless_config(host, host.model(answering(7), QUIET)))
    assert ask(host, name) == 7
