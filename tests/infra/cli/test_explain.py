"""Every key is documented, the documentation is current, and a key is found however one writes it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from ruamel.yaml import YAML

from infra.__main__ import main
from infra.cli.explain import FILE, matching
from infra.settings.document import SECOND_ENDPOINT, TWO_VARIANTS, markdown
from infra.settings.load import validate
from infra.settings.reference import keys
from infra.settings.stack import Settings
from tests.infra.mock_runtime import ROOT, stack_file

KEYS = keys()


def test_the_documentation_is_current() -> None:
    assert (ROOT / FILE).read_text() == markdown("triton-sagemaker"), "run: make schema"


@pytest.mark.parametrize("key", KEYS, ids=lambda key: f"{key.name} {','.join(key.tags)}")
def test_every_key_has_a_description_and_an_example(key: object) -> None:
    assert isinstance(key, type(KEYS[0]))
    assert key.description.endswith((".", "…"))
    assert key.below or key.example or key.choices, "no example"


def test_every_key_of_the_settings_is_listed() -> None:
    names = {key.name for key in KEYS}
    assert {"aws:region", "tags", "endpoints.*.variants.*.model.path", "endpoints.*.release.rollbackPercent"} <= names
    assert {key.path[0] for key in KEYS} == {str(field.alias) for field in Settings.model_fields.values()}


def test_a_default_and_a_range_are_those_of_the_settings() -> None:
    (key,) = matching(KEYS, "startupHealthCheckSeconds")
    assert (key.type, key.default, key.range, key.example) == ("integer", "60", "60 to 3600", "300")
    rolling = {key.tags: key.range for key in matching(KEYS, "release.percent")}
    assert rolling == {("canary",): "1 to 50", ("linear",): "10 to 50", ("rolling",): "5 to 50"}
    (strategy,) = matching(KEYS, "endpoints.*.release.strategy")
    assert (strategy.type, strategy.default) == ("one of allAtOnce, canary, linear, rolling", "allAtOnce")
    (retention,) = matching(KEYS, "logRetentionDays")
    assert retention.type.endswith(", 3653, null")


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("endpoints.*.model.path", "required, or artifact"),
        ("endpoints.*.variants.*.model.artifact", "required, or path"),
        ("notifications.topicArn", "required, or subscriptions"),
        ("endpoints.*.variants.*.batch", ""),  # or instanceType, which is no tag
        ("endpoints.*.autoscaling.min", "required"),
    ],
)
def test_a_key_of_which_an_alternative_exists_is_not_required_alone(name: str, default: str) -> None:
    assert [key.default for key in matching(KEYS, name)] == [default]


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("endpoints.*.autoscaling.min", "endpoints.*.autoscaling.min"),
        ("endpoints.ranking.autoscaling.min", "endpoints.*.autoscaling.min"),
        ("endpoints.ranking.variants.A.autoscaling.min", "endpoints.*.variants.*.autoscaling.min"),
        ("invocationsPerInstance", "endpoints.*.autoscaling.invocationsPerInstance"),
        ("aws:region", "aws:region"),
        ("bucket", "bucket"),
        ("freezeWindows[]", "freezeWindows"),
        ("freezeWindows[0].timeZone", "freezeWindows[].timeZone"),
        ("freezeWindows[].timeZone", "freezeWindows[].timeZone"),
        ("secretEnvironment.ranking.LICENSE_KEY", "secretEnvironment"),
        ("endpoints.ranking", "endpoints"),
        ("endpoints.ranking.variants.x", "endpoints.*.variants"),
        ("endpoints.ranking.variants.x.environment.A", "endpoints.*.variants.*.environment"),
        ("variants.x.instanceType", "endpoints.*.variants.*.instanceType"),
        ('tags["a.b"]', "tags"),
        ("vpc.subnetIds[1]", "vpc.subnetIds"),
        ("existing[0]", "endpoints.*.alarms.existing"),
    ],
)
def test_a_key_is_found_by_its_whole_name_or_its_end(written: str, name: str) -> None:
    assert {key.name for key in matching(KEYS, written)} == {name}


@pytest.mark.parametrize("written", ["bucket.x", "secretEnvironment.a.b.c", "endpoints.a.model.path.b", "*", "[0]", ""])
def test_an_unknown_key_does_not_match(written: str) -> None:
    assert matching(KEYS, written) == []


def test_every_key_of_the_documentation_is_found() -> None:
    section, names = "", []
    for line in (ROOT / FILE).read_text().splitlines():
        if title := re.match("### `(.+)`", line):
            section = title[1]
            names.append(section)
        elif section and (row := re.match(r"\*\*`([^`]+)`\*\*", line)):
            names.append(f"{section}.{row[1]}")
    assert len(names) > 60
    assert [name for name in names if not matching(KEYS, name)] == []


def explained(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as exit_:
        main(["explain", *arguments, "--cwd", str(ROOT)])
    assert isinstance(exit_.value.code, int)
    return exit_.value.code, capsys.readouterr().out


def test_a_key_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = explained(capsys, "triton-sagemaker:endpoints.ranking.autoscaling.min")
    assert code == 0
    assert text.startswith("triton-sagemaker:endpoints.*.autoscaling.min\n  Minimum number of instances.")
    assert "range:    0 or more" in text
    assert "a change: in place" in text
    assert "source:   SageMaker guide, Register a model" in text


@pytest.mark.parametrize(
    ("key", "default"),
    [
        ("release", "strategy: allAtOnce, "),
        ("image", "version: 23.10-py3, "),
        ("bucket", "noncurrentVersionExpirationDays: "),
        ("adopt", "bucket: false, "),
    ],
)
def test_the_default_of_a_section_is_that_of_its_keys(
    capsys: pytest.CaptureFixture[str], key: str, default: str
) -> None:
    _, text = explained(capsys, key)
    (line,) = (line for line in text.partition("\n\ntriton")[0].splitlines() if line.startswith("  default:"))
    assert default in line
    assert "null" not in line.lower()
    assert "None" not in line


@pytest.mark.parametrize("key", ["vpc", "autoscaling", "role.name"])
def test_a_key_without_default_shows_none(capsys: pytest.CaptureFixture[str], key: str) -> None:
    assert "  default:  none\n" in explained(capsys, key)[1]


@pytest.mark.parametrize(
    ("written", "near"),
    [
        ("endpoints.*.release.bakeSecond", "endpoints.*.release.bakeSeconds"),
        ("instanceTyp", "endpoints.*.instanceType"),
        ("minCapacity", "endpoints.*.autoscaling.min"),
        ("autoscalng", "endpoints.*.autoscaling"),
        ("repositry", "image.repository"),
        ("xyzzy", None),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest(
    capsys: pytest.CaptureFixture[str], written: str, near: str | None
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["explain", written, "--cwd", str(ROOT)])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert f"KEY: {written} is not a key of stack files." in error
    assert re.findall(r"Did you mean (\S+)\?", error) == ([near] if near else [])


def test_the_example_of_the_region_has_its_namespace(capsys: pytest.CaptureFixture[str]) -> None:
    assert "aws:region: ap-northeast-1" in explained(capsys, "aws:region")[1]


def test_without_a_key_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = explained(capsys)
    assert code == 0
    assert text.splitlines()[:2] == ["aws:region", "triton-sagemaker:environment"]


@pytest.mark.parametrize(
    ("example", "strategy", "variants"),
    [
        (YAML(typ="safe").load(SECOND_ENDPOINT)["triton-sagemaker:endpoints"], "canary", ["AllTraffic"]),
        (YAML(typ="safe").load(TWO_VARIANTS), "allAtOnce", ["Stable", "Trial"]),
    ],
)
def test_the_examples_of_the_documentation_are_valid_in_production(
    example: dict[str, Any], strategy: str, variants: list[str]
) -> None:
    added = example["ranking-v2"]
    config = stack_file("prod")
    config["triton-sagemaker:endpoints"]["ranking-v2"] = added
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    settings, validation = validate(texts, "triton-sagemaker")
    endpoint = settings.endpoints["ranking-v2"]
    assert (endpoint.release.strategy, list(endpoint.variants)) == (strategy, variants)
    assert validation.problems == []
