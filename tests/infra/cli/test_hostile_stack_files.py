"""Hostile stack files are refused quickly, with the bound that they exceed, and forge no output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from infra.diagnostics.problem import ConfigurationError
from infra.settings.bounds import MAX_BYTES, MAX_DEPTH, MAX_VALUES
from infra.settings.load import load
from tests.infra.cli.conftest import Validate

HEAD = """config:
  aws:region: us-east-1
  triton-sagemaker:environment: development
  triton-sagemaker:tags: {CostEnv: dev, CostService: x}
"""


def endpoints(count: int, more: str = "") -> str:
    line = "    e%d: {model: {artifact: artifacts/m.tar.gz}, instanceType: ml.c5.xlarge%s}\n"
    return f"{HEAD}  triton-sagemaker:endpoints:\n" + "".join(line % (number, more) for number in range(count))


def aliases(first: str, following: str, levels: int = 9) -> str:
    """Each level names the one below nine times."""
    lines = [f"  a0: &a0 {first}"]
    for level in range(1, levels):
        below = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"  a{level}: &a{level} {following.format(below)}")
    return "\n".join(["x:", *lines, "config:", f"  triton-sagemaker:tags: *a{levels - 1}", ""])


@pytest.mark.parametrize(
    "text",
    [
        aliases("[x]", "[{}]"),
        aliases("{k: v}", "{{<<: [{}], z: 1}}"),
        aliases("{k: v}", "{{<<: [{}], z: 1}}").replace("config:\n", "config:\n  x: *a8\n"),
    ],
)
def test_aliases_that_explode_are_refused_where_they_exceed_the_bound(
    validate: Validate, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.cli.stack_yaml.MAX_VALUES", MAX_VALUES // 10)
    assert len(text) < 1000
    assert [problem.rule for problem in validate(text)] == ["too-many-values"]


@pytest.mark.parametrize(
    "deep",
    [
        "[" * 1000 + "]" * 1000,
        "{a: " * 1000 + "1" + "}" * 1000,
        "[" * 5000,
        "".join("\n" + " " * (number + 4) + "a:" for number in range(1000)),
    ],
)
@pytest.mark.parametrize("place", ["config:\n  triton-sagemaker:tags: {}\n", "config: {{}}\nx: {}\n"])
def test_deep_nesting_is_refused(validate: Validate, deep: str, place: str) -> None:
    text = place.replace("{}", deep, 1) if "{{" not in place else f"config: {{}}\nx: {deep}\n"
    assert [problem.rule for problem in validate(text)] == ["too-deep"]


def test_values_that_are_deep_by_aliases_only_are_refused(validate: Validate) -> None:
    lines = "".join(f"  a{n}: &a{n} {{x: {{x: {{x: {{x: *a{n - 1}}}}}}}}}\n" for n in range(1, 400))
    text = f"x:\n  a0: &a0 1\n{lines}config:\n  triton-sagemaker:tags: *a399\n"
    assert [problem.rule for problem in validate(text)] == ["too-deep"]


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 1000, 100_000])
def test_up_refuses_deep_nesting_too(opening: str, depth: int) -> None:
    value = opening * depth + "1" + {"[": "]", '{"a":': "}"}[opening] * depth
    with pytest.raises(ConfigurationError, match=f"deeper than {MAX_DEPTH} levels"):
        load({"triton-sagemaker:tags": value}, "triton-sagemaker")


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "f" * 5000, "0" + "7" * 5000, "-" + "9" * 5000])
def test_a_number_of_thousands_of_digits_is_text(validate: Validate, number: str) -> None:
    (problem,) = validate(endpoints(1, f", initialInstanceCount: {number}"))
    assert (problem.line, problem.rule) == (6, "long-number")


def test_a_file_that_is_too_large_is_not_read(validate: Validate) -> None:
    with pytest.raises(Exception, match=f"larger than {MAX_BYTES:,} bytes"):
        validate("x" * (MAX_BYTES + 1))


@pytest.mark.parametrize("tagged", ["!!int foo", "!!float bar", "!!bool x"])
def test_a_tag_on_the_wrong_value_is_a_problem(validate: Validate, tagged: str) -> None:
    assert validate(f"config:\n  triton-sagemaker:tags: {{a: {tagged}}}\n")


def work(call: Callable[[], object]) -> int:
    """The number of Python calls: unlike time, it does not depend on the load of the machine."""
    count = 0

    def counted(frame: object, event: str, argument: object) -> object:
        nonlocal count
        count += event == "call"
        return None

    sys.setprofile(counted)
    try:
        call()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize(
    "more",
    [
        "",
        ", instnceType: 3",
        ", initialInstanceCount: -1",
        ", autoscaling: {min: 3, max: 2, invocationsPerInstance: 7}",
        ", environment: {API_PASSWORD: a}",
    ],
)
def test_the_work_grows_with_the_number_of_endpoints_and_not_with_its_square(validate: Validate, more: str) -> None:
    validate(endpoints(1, more))
    least, most = (work(lambda: validate(endpoints(count, more))) for count in (20, 80))  # noqa: B023
    assert most < 5 * least


def test_a_secret_in_a_setting_that_cannot_be_secret_is_refused_by_up_and_validate(validate: Validate) -> None:
    (problem,) = validate(endpoints(1).replace("CostEnv: dev", "CostEnv: {secure: v1:AAAA:AAAA}"))
    assert (problem.rule, problem.key) == ("misplaced-secret", "triton-sagemaker:tags.CostEnv")
    config = {"triton-sagemaker:tags": json.dumps({"CostEnv": "a", "CostService": "b"}), "aws:region": "us-east-1"}
    with pytest.raises(ConfigurationError) as refused:
        load(config, "triton-sagemaker", secret=["triton-sagemaker:tags"])
    assert "misplaced-secret" in {problem.rule for problem in refused.value.problems}


@pytest.mark.parametrize(
    "name",
    [
        *("hunter2!", "hunter 2", "A%3Dhunter2", "hunter2'", "x" * 64, "0a" * 16),
        *("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIK7MDENGbPxRfiCY", "sk_live_51HxYzAbCdEfGhIjKl"),
        "sk-proj-hunter2aaaaaaaaaaaaaaa",
    ],
)
def test_a_name_that_looks_like_a_value_is_not_shown_below_secret_environment(validate: Validate, name: str) -> None:
    endpoint = HEAD + "  triton-sagemaker:secretEnvironment:\n    e: {" + json.dumps(name) + ": x}\n"
    stack = HEAD + "  triton-sagemaker:secretEnvironment: {" + json.dumps(name) + ": x, e: {A: [y]}}\n"
    secure = endpoint.replace(": x}", ": {secure: x}}")
    for text in (endpoint, stack, secure):
        assert name not in "\n".join(map(str, validate(text)))


@pytest.mark.parametrize(
    "text",
    [
        HEAD + '  "triton-sagemaker:\\e[31m\\nevil": 1\n',
        HEAD + '  "\\nevil": 1\n',
        HEAD + '  triton-sagemaker:endpoints:\n    "e\\e[2J\\n::error::x": {model: {path: x}}\n',
        HEAD + '  triton-sagemaker:endpoints:\n    e: {model: {path: "\\0\\e[1m"}, instanceType: "ml\\n"}\n',
        HEAD + '  triton-sagemaker:endpoints:\n    e: {model: {path: "\\u202e\\n"}, instanceType: ml.c5.xlarge}\n',
        HEAD + '  triton-sagemaker:endpoints:\n    e: {model: {artifact: "a/\\e[1m.tar.gz"}}\n',
        HEAD + '  triton-sagemaker:tags: {"\\ud800": 1}\n',
        HEAD + '  "triton-sagemaker:\\ud800": 1\n',
    ],
)
def test_no_problem_has_control_characters_or_line_breaks(validate: Validate, text: str) -> None:
    problems = validate(text)
    assert problems
    assert all(str(problem).isprintable() for problem in problems)
