"""What an editor with the YAML language server shows to whoever edits a stack file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from infra.cli.schema import EDITOR_LINE
from tests.infra.editor.language_server import LanguageServer
from tests.infra.mock_runtime import ROOT

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
    """What is underlined in a text: its line, counted from 1, the text itself and the message."""
    found = server.diagnostics(server.open(f"Pulumi.x{next(names)}.yaml", text))
    lines = text.splitlines()
    return [
        (at["line"] + 1, lines[at["line"]][at["character"] : each["range"]["end"]["character"]], each["message"])
        for each in found
        for at in [each["range"]["start"]]
    ]


def offered(server: LanguageServer, text: str) -> set[str]:
    """What is offered where a text has a `|`."""
    before, _, after = text.partition("|")
    uri = server.open(f"Pulumi.x{next(names)}.yaml", before + after)
    line = before.count("\n")
    return set(server.completions(uri, line, len(before) - before.rfind("\n") - 1))


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_nothing_is_underlined_in_the_projects_stack_files(server: LanguageServer, stack: str) -> None:
    file = ROOT / f"Pulumi.{stack}.yaml"
    assert file.read_text().startswith(EDITOR_LINE + "\n")
    assert underlined(server, file.read_text()) == []


@pytest.mark.parametrize(
    ("line", "part", "message"),
    [
        ("      instanceType: ml.c5.xlargee", "ml.c5.xlargee", "no amd64 hosting instance type"),
        ("      instanceType: ml.c7g.xlarge", "ml.c7g.xlarge", "no amd64 hosting instance type"),
        ("      autoscaling: {min: 0, max: 1}", "0", "below the minimum of 1"),
        ("      volumeSizeGB: 5", "volumeSizeGB", "Property volumeSizeGB is not allowed."),
        ("      release: {strategy: canary, percent: 51}", "51", "above the maximum of 50"),
        ("      release: {strategy: canari}", "canari", "Value must be"),
        ("  triton-sagemaker:endpoint: {}", "triton-sagemaker:endpoint", "is not allowed"),
        ("      instanceType: ml.t2.medium\n      autoscaling: {min: 1, max: 2}", "autoscaling", "not allowed"),
        ("  triton-sagemaker:image: {source: x/y:1, version: 24.05-py3}", "version", "not allowed"),
        ("  triton-sagemaker:image: {version: latest}", "latest", "does not match the pattern"),
    ],
)
def test_a_mistake_is_underlined_where_it_is(server: LanguageServer, line: str, part: str, message: str) -> None:
    ((number, text, said),) = underlined(server, f"{HEAD}{line}\n")
    assert (number, text) == (8 + len(line.splitlines()), part)
    assert message in said


def test_top_level_keys_are_offered(server: LanguageServer) -> None:
    keys = offered(server, f"{EDITOR_LINE}\nconfig:\n  |\n")
    assert {"aws:region", "triton-sagemaker:endpoints", "triton-sagemaker:tags"} <= keys


def test_the_tags_that_costs_are_booked_by_are_offered(server: LanguageServer) -> None:
    keys = offered(server, f"{EDITOR_LINE}\nconfig:\n  triton-sagemaker:tags:\n    |\n")
    assert {"CostEnv", "CostService"} <= keys


def test_the_keys_of_an_endpoint_are_offered_without_those_that_are_there(server: LanguageServer) -> None:
    keys = offered(server, f"{HEAD}      |\n")
    assert {"instanceType", "autoscaling", "alarms", "release"} <= keys
    assert "model" not in keys


def test_strategies_and_then_the_keys_of_the_one_taken_are_offered(server: LanguageServer) -> None:
    strategies = offered(server, f"{HEAD}      release:\n        strategy: |\n")
    assert strategies == {"allAtOnce", "canary", "linear", "rolling"}
    keys = offered(server, f"{HEAD}      release:\n        strategy: canary\n        percent: 10\n        |\n")
    assert {"bakeSeconds", "terminationWaitSeconds", "timeoutSeconds"} <= keys
    assert "intervalSeconds" not in keys


def test_instance_types_are_offered_without_arm(server: LanguageServer) -> None:
    types = offered(server, f"{HEAD}      instanceType: |\n")
    assert {"ml.c5.xlarge", "ml.g5.xlarge"} <= types
    assert not [each for each in types if each.startswith("ml.c7g")]


def test_a_hover_says_what_a_change_does_and_whose_rule_it_is(server: LanguageServer) -> None:
    uri = server.open("Pulumi.hover.yaml", HEAD + "      startupHealthCheckSeconds: 60\n")
    said = server.hover(uri, HEAD.count("\n"), 10)
    assert "Seconds until /ping must answer (60 to 3600" in said
    assert "A change: new release" in said
    assert "Source: SageMaker API ProductionVariantContainerStartupHealthCheckTimeoutInSeconds" in said
