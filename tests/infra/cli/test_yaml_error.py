"""A text that is no YAML is told of once, at the mistake, and in words of whoever wrote it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infra.cli.validate import check
from tests.infra.mock_runtime import ROOT

VALID = """\
config:
  aws:region: ap-northeast-1
  triton-sagemaker:tags: {CostEnv: test, CostService: x}
  triton-sagemaker:endpoints:
    ranking:
      model:
        artifact: artifacts/model_7.tar.gz
      autoscaling:
        min: 2
        max: 10
      alarms: {errorRatePercent: 5, existing: [pager, pager2]}
      inferenceAmiVersion: al2-ami
"""


def told(directory: Path, text: str) -> str:
    """The one problem of a text, as `LINE:COLUMN: what is meant`."""
    shutil.copy(ROOT / "Pulumi.yaml", directory)
    file = directory / "Pulumi.x.yaml"
    file.write_text(text, encoding="utf-8", newline="")
    (problem,) = check(file)
    assert problem.rule == "yaml-syntax"
    return f"{problem.line}:{problem.column}: {problem.message.removeprefix('this is no YAML: ')}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # brackets
        ("2]}", "2]", "11:15: the { opened here is not closed."),
        ("pager2]}\n      inferenceAmiVersion: al2-ami\n", "pager2]", "11:15: the { opened here is not closed."),
        ("pager2]}", "pager2}", "11:47: the [ opened here is not closed."),
        ("pager2]}", "pager2", "11:47: the [ opened here is not closed."),
        ("5, existing", "5 existing", "11:44: a comma or } is missing before this."),
        ("pager, pager2", '"pager" "pager2"', "11:56: a comma or ] is missing before this."),
        ("{errorRatePercent: 5, ", "{\n  errorRatePercent: 5\n        ", "13:17: a comma or } is missing before this."),
        ("2]}", "2]}}", "11:63: there is nothing that this } closes."),
        ("min: 2", "min: ]", "9:14: there is nothing that this ] closes."),
        ("5, existing", "5,, existing", "11:36: there is nothing before this comma."),
        # colons
        ("min: 2", "min:2", '9:9: a space is missing after the ":".'),
        ("max: 10", "max:10", '10:9: a space is missing after the ":".'),
        ("min: 2", "min= 2", '9:9: a ":" is missing in this line.'),
        ("model:", "model", '6:7: a ":" is missing in this line.'),
        ("autoscaling:", "autoscaling", '8:7: a ":" is missing in this line.'),
        ("config:", "config", '1:1: a ":" is missing in this line.'),
        ("min: 2", "min: 2: 3", '9:15: a second ":" in the line. Put the value in quotes.'),
        ("model:", "model: :", '6:14: a second ":" in the line. Put the value in quotes.'),
        # indentation
        ("        min", "          min", "10:9: the line continues none of those above: its indentation is wrong, or"),
        ("        max", "       max", "10:8: the line continues none of those above: its indentation is wrong, or"),
        ("  triton-sagemaker:e", "    triton-sagemaker:e", "4:5: the line continues none of those above: its indentat"),
        (
            "        max",
            "          max",
            "10:11: this line is indented below one whose key has its value already. Inde",
        ),
        (
            "        min",
            "       min",
            "10:9: this line is indented below one whose key has its value already. Indent b",
        ),
        ("        max: 10", "        - 10", "10:9: an item of a list cannot stand here. The indentation is wrong, or"),
        ("min: 2", "min: - 2", "9:14: an item of a list cannot stand here. The indentation is wrong, or the list be"),
        ("        min", "\tmin", "9:1: a tab, where only spaces can stand."),
        ("min: 2", "min:\t2", "9:13: a tab, where only spaces can stand."),
        ("        min", "\u00a0       min", "9:1: a no-break space, where only spaces can stand."),
        # quotes
        ("artifacts/", '"artifacts/', "7:19: the quote opened here is not closed."),
        ("artifacts/", "'artifacts/", "7:19: the quote opened here is not closed."),
        ("max: 10", 'max: "10\n      x: "y"', "10:14: the quote opened here is closed in line 11 only."),
        ("max: 10", 'max: "10\n      x: "y"\n      z: 1', "10:14: the quote opened here is closed in line 11 only."),
        ("5, existing: [pager", '5, "existing: ["pager"', "11:50: a comma or } is missing before this."),
        ("5,", '"5,\n        x: "y",', "11:34: the quote opened here is closed in line 12 only."),
        ("artifacts/model", '"artifacts"/model', "7:30: the text goes on after the closing quote. Put the whole value"),
        ("artifacts/model", '"\\model', "7:21: in double quotes, \\ begins an escape sequence. Write \\\\, or take "),
        # what a value cannot begin with
        ("min: 2", "min: @x", "9:14: a value cannot begin with @. Put it in quotes."),
        ("min: 2", "min: `x`", "9:14: a value cannot begin with `. Put it in quotes."),
        ("min: 2", "min: *.gz", "9:14: a value that begins with * is an alias in YAML. Put it in quotes."),
        ("min: 2", "min: & 2", "9:14: a value that begins with & is an anchor in YAML. Put it in quotes."),
        ("min: 2", "min: >= 2", "9:14: a value that begins with > is a block of text in YAML. Put it in quotes."),
        ("min: 2", "min: !{a} 2", "9:14: a value that begins with ! is a tag in YAML. Put it in quotes."),
        ("config:", "% x\nconfig:", "1:1: a value that begins with % is a directive in YAML. Put it in quotes."),
        # the rest
        ("min: 2", "min: \x07", "9:14: a control character (U+0007). Take it out."),
        ("ami\n", "ami\n---\nconfig: {}\n", "13:1: a second document begins here, and Pulumi would not read it."),
        ("config:", "%x\nconfig:", "2:1: expected …,)."),
    ],
)
def test_a_mistake_is_told_where_it_was_made(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in VALID
    for text in (VALID.replace(old, new), VALID.replace(old, new).replace("\n", "\r\n")):
        assert told(tmp_path, text).startswith(expected)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("        min", "<<<<<<< HEAD\n        min: 3\n=======\n        min", 9),
        ("        min: 2\n", "        min: 2\n=======\n        min: 3\n", 10),
        ("        max: 10\n", "        max: 10\n>>>>>>> feature\n", 11),
    ],
)
def test_what_is_left_of_a_merge_conflict_is_told_of(tmp_path: Path, old: str, new: str, line: int) -> None:
    assert told(tmp_path, VALID.replace(old, new)) == f"{line}:1: a merge conflict was left here."


@pytest.mark.parametrize(
    "written",
    [
        "{secure: hunter2",
        "{secure hunter2: x: y}",
        "'hunter2",
        "'hunter2' hunter2",
        "*hunter2",
        "*hunter2'\"hunter2",
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
def test_nothing_that_may_be_a_secret_is_shown(tmp_path: Path, written: str) -> None:
    assert "hunter" not in told(tmp_path, f"{VALID}      environment: {{A: 1}}\n      b: {written}\n")
