"""An editor with the YAML language server completes and checks stack files."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from infra.cli.schema import FILE
from tests.infra.editor.language_server import LanguageServer
from tests.infra.mock_runtime import ROOT

EDITOR_LINE = f"# yaml-language-server: $schema=./{FILE}"
HEAD = f"""\
{EDITOR_LINE}
config:
  aws:region: ap-northeast-1
  triton-sagemaker:environment: staging
  triton-sagemaker:tags: {{CostEnv: test, CostService: x}}
  triton-sagemaker:endpoints:
    ranking:
      model: {{artifact: artifacts/model_7.tar.gz}}
"""
names = count()


@pytest.fixture(scope="module")
def server() -> Iterator[LanguageServer]:
    with LanguageServer(ROOT) as server:
        yield server


def underlined(server: LanguageServer, text: str) -> list[tuple[int, str, str]]:
    """The diagnostics of a text: the line, counted from 1, the underlined text and the message."""
    lines = text.splitlines()
    return [
        (start["line"] + 1, lines[start["line"]][start["character"] : end["character"]], diagnostic["message"])
        for diagnostic in server.diagnostics(server.open(f"Pulumi.x{next(names)}.yaml", text))
        for start, end in [(diagnostic["range"]["start"], diagnostic["range"]["end"])]
    ]


def offered(server: LanguageServer, text: str) -> set[str]:
    """The completions at the `|` of a text."""
    before, _, after = text.partition("|")
    uri = server.open(f"Pulumi.x{next(names)}.yaml", before + after)
    line = before.count("\n")
    return set(server.completions(uri, line, len(before) - before.rfind("\n") - 1))


@pytest.mark.parametrize("stack", ["dev", "prod", "modes"])
def test_nothing_is_underlined_in_the_projects_stack_files(server: LanguageServer, stack: str) -> None:
    file = ROOT / f"Pulumi.{stack}.yaml"
    assert file.read_text().startswith(EDITOR_LINE + "\n")
    assert underlined(server, file.read_text()) == []


@pytest.mark.parametrize(
    ("line", "part", "message"),
    [
        ("      instanceType: ml.c5.xlargee", "ml.c5.xlargee", "Not an amd64 hosting instance type"),
        ("      instanceType: ml.c7g.xlarge", "ml.c7g.xlarge", "Not an amd64 hosting instance type"),
        ("      autoscaling: {min: 0, max: 0}", "0", "below the minimum of 1"),
        ("      volumeSizeGB: 5", "volumeSizeGB", "Property volumeSizeGB is not allowed."),
        ("      release: {strategy: canary, percent: 51}", "51", "above the maximum of 50"),
        ("      asynchronous: {maxConcurrentInvocationsPerInstance: 1001}", "1001", "above the maximum of 1000"),
        ("      serverless: {memoryMb: 1500, maxConcurrency: 5}", "1500", "is not divisible by 1024"),
        ("      batch: {instanceType: ml.r5.xlarge}", "ml.r5.xlarge", "Not an amd64 batch transform instance type"),
        ("      release: {strategy: canari}", "canari", "Value must be"),
        ("  triton-sagemaker:endpoint: {}", "triton-sagemaker:endpoint", "is not allowed"),
        ("  triton-sagemaker:image: {version: latest}", "latest", "does not match the pattern"),
    ],
)
def test_a_mistake_is_underlined_where_it_is(server: LanguageServer, line: str, part: str, message: str) -> None:
    ((number, text, shown),) = underlined(server, f"{HEAD}{line}\n")
    assert (number, text) == (9, part)
    assert message in shown


def test_a_second_mode_is_underlined(server: LanguageServer) -> None:
    both = "      batch: {}\n      serverless: {memoryMb: 1024, maxConcurrency: 5}\n"
    assert any("only one must validate" in message for _, _, message in underlined(server, HEAD + both))


def test_the_modes_and_then_their_keys_are_offered(server: LanguageServer) -> None:
    assert {"asynchronous", "serverless", "batch"} <= offered(server, f"{HEAD}      |\n")
    for mode, keys in (
        ("asynchronous", {"maxConcurrentInvocationsPerInstance", "notify", "outputLocation"}),
        ("serverless", {"memoryMb", "maxConcurrency", "provisionedConcurrency", "autoscaling"}),
        ("batch", {"instanceType", "maxPayloadMb", "strategy"}),
    ):
        assert keys <= offered(server, f"{HEAD}      {mode}:\n        |\n")


def test_top_level_keys_are_offered(server: LanguageServer) -> None:
    keys = offered(server, f"{EDITOR_LINE}\nconfig:\n  |\n")
    assert {"aws:region", "triton-sagemaker:endpoints", "triton-sagemaker:tags"} <= keys


def test_the_cost_allocation_tags_are_offered(server: LanguageServer) -> None:
    keys = offered(server, f"{EDITOR_LINE}\nconfig:\n  triton-sagemaker:tags:\n    |\n")
    assert {"CostEnv", "CostService"} <= keys


def test_the_keys_of_an_endpoint_are_offered_without_those_it_has(server: LanguageServer) -> None:
    keys = offered(server, f"{HEAD}      |\n")
    assert {"instanceType", "autoscaling", "alarms", "release"} <= keys
    assert "model" not in keys


def test_strategies_and_then_the_keys_of_the_strategy_are_offered(server: LanguageServer) -> None:
    strategies = offered(server, f"{HEAD}      release:\n        strategy: |\n")
    assert strategies == {"allAtOnce", "canary", "linear", "rolling"}
    keys = offered(server, f"{HEAD}      release:\n        strategy: canary\n        percent: 10\n        |\n")
    assert {"bakeSeconds", "terminationWaitSeconds", "timeoutSeconds"} <= keys
    assert "intervalSeconds" not in keys


def test_instance_types_are_offered_without_arm(server: LanguageServer) -> None:
    types = offered(server, f"{HEAD}      instanceType: |\n")
    assert {"ml.c5.xlarge", "ml.g5.xlarge"} <= types
    assert not any(type_.startswith("ml.c7g") for type_ in types)


def test_a_hover_shows_range_effect_and_source(server: LanguageServer) -> None:
    uri = server.open("Pulumi.hover.yaml", HEAD + "      startupHealthCheckSeconds: 60\n")
    text = server.hover(uri, HEAD.count("\n"), 10)
    assert "Seconds that the container may take to answer /ping" in text
    assert "Range: 60 to 3600." in text
    assert "A change: new release" in text
    assert "Source: SageMaker API ProductionVariantContainerStartupHealthCheckTimeoutInSeconds" in text
