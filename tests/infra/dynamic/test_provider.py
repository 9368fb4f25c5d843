"""Our own resources end with the engine that started them, however it was started."""

from __future__ import annotations

import base64
import pickle
import socket
import subprocess
import sys
import traceback

import pytest

from infra.dynamic.engine import Tenths
from infra.release.failure import ReleaseFailed
from tests.infra.mock_runtime import ROOT, changed, run

PROVIDER = """
import time
from infra.dynamic.engine import exit_with_the_engine
exit_with_the_engine()
print("watching", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("flags", [[], ["--logtostderr", "-v=9"], ["--tracing", "file:/tmp/trace"]])
def test_a_provider_ends_with_its_engine_whose_address_is_the_last_argument(flags: list[str]) -> None:
    """Arguments as sdk/go/common/resource/plugin/plugin.go of the engine builds them, where the address comes last."""
    with socket.create_server(("127.0.0.1", 0)) as engine:
        address = f"127.0.0.1:{engine.getsockname()[1]}"
        provider = subprocess.Popen(
            [sys.executable, "-c", PROVIDER, *flags, address], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert provider.stdout is not None
        with provider.stdout:
            assert provider.stdout.readline() == "watching\n"
    try:
        assert provider.wait(timeout=20) == 1
    finally:
        provider.kill()
        provider.wait()


def test_progress_is_worth_a_line_at_every_tenth() -> None:
    tenths = Tenths()
    assert [percent for done in range(0, 1001, 5) if (percent := tenths.passed(done, 1000))] == [*range(10, 101, 10)]


def test_an_error_is_printed_without_the_path_of_its_module() -> None:
    """The host of dynamic providers hands `traceback.format_exc()` to the engine."""
    try:
        raise ReleaseFailed("endpoint e: rolled back", "rolledBack")
    except ReleaseFailed as error:
        assert traceback.format_exception_only(error) == ["ReleaseFailed: endpoint e: rolled back\n"]


def test_the_path_of_each_provider_is_the_one_in_the_state_of_every_stack() -> None:
    """Pulumi pickles a dynamic provider by reference: under another path, no stack could refresh or destroy what it
    deployed. Keep the old path importable if a provider has to move."""
    stacks = [run("dev"), run("prod"), changed("dev", image={"mirror": False})]
    states = [resource.inputs["__provider"] for stack in stacks for resource in stack.resources
              if resource.type.startswith("pulumi-python:")]  # fmt: skip
    providers = {type(pickle.loads(base64.b64decode(state))) for state in states}
    assert {f"{provider.__module__}:{provider.__qualname__}" for provider in providers} == {
        "infra.dynamic.endpoint:EndpointProvider",
        "infra.dynamic.log_group:LogGroupProvider",
        "infra.dynamic.mirrored_image:MirroredImageProvider",
        "infra.dynamic.packed_model:PackedModelProvider",
        "infra.dynamic.released_artifact:ReleasedArtifactProvider",
        "infra.dynamic.resolved_image:ResolvedImageProvider",
        "infra.dynamic.stack_guard:StackGuardProvider",
    }
