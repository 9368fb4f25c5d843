"""Stack files are read as Pulumi reads them; what is not valid YAML has a position, and no value of it is quoted."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.cli.project import Project, StackFileError
from tests.infra.cli.conftest import VALID, Validate, brief


@pytest.mark.parametrize(
    ("old", "new", "position"),
    [
        ("x}", "x", "5:29"),
        ("x}", "x}}", "4:57"),
        ("model:", "model", "8:17"),
        ("        max", "       max", "11:8"),
        ("        min", "\tmin", "10:1"),
        ("artifacts/", '"artifacts/', "12:1"),
        ("min: 2", "min: *.gz", "10:14"),
        ("min: 2", "min: \x07", "10:14"),
        ("max: 10\n", "max: 10\n---\nconfig: {}\n", "12:1"),
        ("        min", "<<<<<<< HEAD\n        min", "11:12"),
        ("config:", "%YAML x\n---\nconfig:", "1:7"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_syntax_error_is_one_problem_where_the_parser_stopped(
    validate: Validate, old: str, new: str, position: str, line_end: str
) -> None:
    assert old in VALID
    assert brief(validate(VALID.replace(old, new).replace("\n", line_end))) == [f"{position} yaml-syntax"]


@pytest.mark.parametrize(
    "written",
    [
        "{secure: hunter2",
        "{secure hunter2: x: y}",
        "'hunter2",
        "'hunter2' hunter2",
        "*hunter2",
        "*hunter2'\"hunter2",
        "*hunter2',',hunter2",
        "!hunter2!x y",
        "%hunter2",
        "hunter2: hunter2: x",
        '"\\hunter2"',
        "@hunter2",
        "\x07hunter2",
        "x\nhunter2",
        "x\n--- hunter2",
        "x\n%hunter2 hunter2\n---",
    ],
)
def test_a_syntax_error_never_quotes_a_value(validate: Validate, written: str) -> None:
    (problem,) = validate(f"{VALID}      environment: {{A: 1}}\n      b: {written}\n")
    assert problem.rule == "yaml-syntax"
    assert "hunter" not in str(problem)
    assert "'h'" not in str(problem)


def test_a_syntax_error_of_the_project_never_quotes_a_value(project: Path) -> None:
    (project / "Pulumi.yaml").write_text('name: x\nconfig:\n  a: "hunter2\n')
    with pytest.raises(StackFileError) as refused:
        Project.at(project)
    assert "Pulumi.yaml:4:1: not valid YAML: " in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("2024-01-01", "date"),
        ("2024-1-1", "date"),
        ("2024-01-01 10:00:00", "date"),
        ("2024-01-01T10:00:00.5Z", "date"),
        ("010", "octal-number"),
        ("-010", "octal-number"),
        (".inf", "non-finite-number"),
        ("-.INF", "non-finite-number"),
        ("9" * 400, "long-number"),
    ],
)
def test_a_value_that_pulumi_reads_differently_is_one_problem(validate: Validate, written: str, rule: str) -> None:
    for position, text in (
        ("4:42", VALID.replace("CostService: x", f"CostService: {written}")),
        ("12:21", f"{VALID}      environment: {{BUILD: {written}}}\n"),
        ("10:9", VALID.replace("min: 2", f"min: {written}")),
    ):
        assert brief(validate(text)) == [f"{position} {rule}"]


@pytest.mark.parametrize(
    "written", ["'2024-01-01'", "2024-13-45", "!!str 2024-01-01", "'010'", "'0123'", "20240101x", "1e400"]
)
def test_text_that_pulumi_reads_as_text_is_valid(validate: Validate, written: str) -> None:
    assert validate(VALID.replace("CostService: x", f"CostService: {written}")) == []


@pytest.mark.parametrize("written", ["null", "~", "0x10", "010", "1_000", "1.50", "True", "2024-01-01", ".inf"])
def test_a_key_that_pulumi_reads_differently_is_a_problem(validate: Validate, written: str) -> None:
    assert brief(validate(VALID.replace("ranking:", f"{written}:"))) == ["6:5 misread-key"]
    rules = {problem.rule for problem in validate(VALID.replace("ranking:", f'"{written}":'))}
    assert "misread-key" not in rules


@pytest.mark.parametrize("written", ["16", "true", "1.5", "on", "ranking"])
def test_a_key_that_pulumi_reads_as_it_is_written_is_none(validate: Validate, written: str) -> None:
    rules = {problem.rule for problem in validate(VALID.replace("ranking:", f"{written}:"))}
    assert "misread-key" not in rules


def test_numbers_are_those_that_pulumi_reads(validate: Validate) -> None:
    assert validate(VALID.replace("min: 2", "min: 2.0").replace("max: 10", "max: 0xA")) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("        max: 10\n", "        max: 10\n        min: 3\n", "12:9 duplicate-key"),
        ("min: 2", "[min, 2]: 2", "10:9 key-not-text"),
        ("\n        min: 2\n        max: 10", " {min:2, max: 10}", "9:21 missing-space"),
        ("min: 2", 'min: "\\ud800"', "10:14 surrogate"),
        ("autoscaling:", "autoscaling: &a\n        max: *a\n        x:", "9:20 too-deep"),
    ],
)
def test_what_pulumi_refuses_is_one_problem(validate: Validate, old: str, new: str, expected: str) -> None:
    assert old in VALID
    assert brief(validate(VALID.replace(old, new))) == [expected]


def test_merged_and_aliased_values_have_positions(validate: Validate) -> None:
    text = VALID + "    second:\n      <<: &more {instanceType: ml.c7g.xlarge}\n      model: {path: nowhere}\n"
    assert [problem.line for problem in validate(text)] == [13, 14]


def test_own_keys_hide_merged_ones_and_the_first_merge_hides_the_second(validate: Validate) -> None:
    merges = "x: [&a {CostEnv: 1, CostService: a}, &b {CostEnv: b, CostService: 2}]\n"
    own = VALID.replace("{CostEnv: test, CostService: x}", "{<<: [*a, *b], CostEnv: test}")
    assert brief(validate(merges + own)) == ["1:1 unknown-key"]
    merged = VALID.replace("{CostEnv: test, CostService: x}", "{<<: [*a, *b], CostService: x}")
    assert brief(validate(merges + merged)) == ["1:1 unknown-key", "1:9 wrong-type"]
