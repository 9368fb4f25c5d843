"""Stack files are checked where they stand: every problem with its place, and in the words of `pulumi preview`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pulumi
import pytest
from ruamel.yaml import YAML

from infra.__main__ import main
from infra.cli.validate import check
from tests.infra.mock_runtime import ROOT, run

VALID = """\
config:
  aws:region: ap-northeast-1
  triton-sagemaker:environment: staging
  triton-sagemaker:tags: {CostEnv: test, CostService: x}
  triton-sagemaker:endpoints:
    ranking:
      model:
        artifact: artifacts/model_7.tar.gz
      autoscaling:
        min: 2
        max: 10
"""

PROJECT_VALUES = """\
name: triton-sagemaker
runtime: python
config:
  aws:region: ap-northeast-1
  unused:
    description: declared, without a value
  environment: {value: development}
"""

Validate = Callable[[str], list[str]]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "Pulumi.yaml", tmp_path)
    return tmp_path


@pytest.fixture
def found(project: Path) -> Validate:
    """Validate a text; each problem as `LINE:COLUMN: KEY: MESSAGE`, without the rule."""

    def validate(text: str) -> list[str]:
        file = project / "Pulumi.x.yaml"
        file.write_text(text, encoding="utf-8")
        return [str(each).removeprefix(f"{file}:").removesuffix(f" [{each.rule}]") for each in check(file)]

    return validate


def test_the_projects_own_stack_files_are_valid(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT / "infra")
    with pytest.raises(SystemExit) as exit_:
        main(["validate"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out.endswith("Pulumi.prod.yaml: valid\n")


def test_every_problem_stands_with_line_and_column(found: Validate) -> None:
    text = VALID.replace("min: 2", "min: 12").replace("model:", "instanceType: ml.c5.xlargee\n      model:")
    pins = f"boto3 {version('boto3')} and pulumi-aws {version('pulumi-aws')}"
    assert found(text) == [
        "7:7: triton-sagemaker:endpoints.ranking.instanceType: 'ml.c5.xlargee' is not a SageMaker hosting instance "
        f"type that {pins} know. Did you mean ml.c5.xlarge? If AWS added it later, raise both in "
        "requirements.in, and run `make lock`.",
        "11:9: triton-sagemaker:endpoints.ranking.autoscaling.min: 12 is more than max (10). Raise max or lower min.",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "artifact:",
            "artefact:",
            "8:9: triton-sagemaker:endpoints.ranking.model.artefact: unknown key; did you mean a",
        ),
        ("        max: 10\n", "", "9:7: triton-sagemaker:endpoints.ranking.autoscaling.max: is required."),
        ("min: 2", "mini: 2", "10:9: triton-sagemaker:endpoints.ranking.autoscaling.mini: unknown key; did you mean"),
        ("{CostEnv: test, CostService: x}", "{CostEnv: test}", "4:3: triton-sagemaker:tags: CostService must be set"),
        ("CostService: x", "CostService: x, a.b: 1", '4:58: triton-sagemaker:tags["a.b"]: 1: must be a valid string'),
        ("aws:region: ap-northeast-1", "x:region: y", "1:1: aws:region: is required."),
        ("aws:region", "aws:Region", "2:3: aws:Region: unknown key; did you mean aws:region?"),
        ("aws:region: ap", "xyzzy: ap", "2:3: xyzzy: keys are written NAMESPACE:NAME."),
        ("        max: 10\n", "        max: 10\n        min: 3\n", "the key is there twice, first in line 10."),
        ("triton-sagemaker:tags", "triton-sagemeker:tags", "4:3: triton-sagemeker:tags: unknown namespace; did you"),
        ("triton-sagemaker:tags", "tags", "4:3: tags: keys are written NAMESPACE:NAME; did you mean"),
        ("min: 2", "min: 02", "10:9: triton-sagemaker:endpoints.ranking.autoscaling.min: Pulumi reads a number that b"),
        ("autoscaling:", "autoscaling: &a\n        max: *a\n        x:", "the value contains itself, by an alias."),
        ("min: 2", "[min, 2]: 2", "10:9: triton-sagemaker:endpoints.ranking.autoscaling: a key is a list or a mapp"),
        ("min: 2", "min: 2026-13-45", "10:9: triton-sagemaker:endpoints.ranking.autoscaling.min: '2026-13-45': must"),
        (
            "min: 2",
            "min:",
            "10:9: triton-sagemaker:endpoints.ranking.autoscaling.min: is empty. Give it a value.",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_told_at_its_place(found: Validate, old: str, new: str, expected: str) -> None:
    assert old in VALID
    assert expected in "\n".join(found(VALID.replace(old, new)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: a stack file is a mapping with the key `config`."),
        ("- a\n", "1:1: a stack file is a mapping with the key `config`."),
        ("config: 5\n", "1:9: config is a mapping of keys to values."),
    ],
)
def test_a_file_without_configuration_is_told_of_as_a_whole(found: Validate, text: str, expected: str) -> None:
    assert expected in found(text)[0]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("config:", "confg:", "1:1: confg: unknown key; did you mean config?"),
        ("config:", "configs:", "1:1: configs: unknown key; did you mean config?"),
        ("config:", "xyzzy:", "1:1: xyzzy: unknown key; a stack file has: config, environment, secretsprovider, encr"),
        ("aws:region:", "region:", "2:3: region: keys are written NAMESPACE:NAME; did you mean aws:region?"),
        ("aws:region:", "AWS_REGION:", "2:3: AWS_REGION: keys are written NAMESPACE:NAME; did you mean aws:reg"),
        ("aws:region:", "aws.region:", "2:3: aws.region: keys are written NAMESPACE:NAME; did you mean aws:reg"),
        (
            "aws:region:",
            "aws:config:region:",
            "2:3: aws:config:region: keys are written NAMESPACE:NAME; did you mean aws",
        ),
        (
            "tags:",
            "tags::",
            "4:3: triton-sagemaker:tags:: keys are written NAMESPACE:NAME; did you mean triton-sagemaker",
        ),
        ("  aws:r", "  aws:r:x: y\n  aws:r", "2:3: aws:r:x: keys are written NAMESPACE:NAME; did you mean aws:x?"),
        (
            "\n        min: 2\n        max: 10",
            " {min:2, max: 10}",
            '9:21: triton-sagemaker:endpoints.ranking.autoscaling.min:2: a space is missing after the ":".',
        ),
    ],
)
def test_a_key_out_of_place_is_one_problem(found: Validate, old: str, new: str, expected: str) -> None:
    (line,) = found(VALID.replace(old, new))
    assert line.startswith(expected)


@pytest.mark.parametrize("written", ["0123", "'0123'"])
def test_a_leading_zero_is_never_dropped(found: Validate, written: str) -> None:
    lines = found(VALID.replace("CostService: x", f"CostService: x, Center: {written}"))
    assert len(lines) == (written == "0123")
    assert all("put it in quotes: '0123'." in line for line in lines)


@pytest.mark.parametrize("namespace", ["", "triton-sagemaker:"])
@pytest.mark.parametrize("name", ["environment", "tags"])
def test_a_setting_that_is_not_indented_is_one_problem(found: Validate, namespace: str, name: str) -> None:
    (setting,) = (line for line in VALID.splitlines() if line.startswith(f"  triton-sagemaker:{name}: "))
    unindented = namespace + setting.removeprefix("  triton-sagemaker:")
    (line,) = found(VALID.replace(f"{setting}\n", "") + unindented)
    meant = f"did you mean triton-sagemaker:{name}, indented below config?"
    assert line == f"11:1: {namespace}{name}: unknown key here; {meant}"


@pytest.mark.parametrize(
    "written",
    ["2024-01-01", "2024-1-1", "2024-01-01 10:00:00", "2024-01-01T10:00:00.5Z", "010", "-010", ".inf", "-.INF"],
)
def test_a_value_that_pulumi_reads_otherwise_is_one_problem(found: Validate, written: str) -> None:
    for place, text in (
        ("4:42", VALID.replace("CostService: x", f"CostService: {written}")),
        ("12:21", f"{VALID}      environment: {{BUILD: {written}}}\n"),
        ("10:9", VALID.replace("min: 2", f"min: {written}")),
    ):
        (line,) = found(text)
        assert line.startswith(f"{place}: ")
        assert " Pulumi " in line


@pytest.mark.parametrize("written", ["'2024-01-01'", "2024-13-45", "!!str 2024-01-01", "'010'", "20240101x", "1e400"])
def test_a_text_that_pulumi_reads_as_it_is_written_is_taken(found: Validate, written: str) -> None:
    assert found(VALID.replace("CostService: x", f"CostService: {written}")) == []


@pytest.mark.parametrize("written", ["null", "~", "0x10", "010", "1_000", "1.50", "True", "2024-01-01", ".inf"])
def test_a_key_that_pulumi_reads_otherwise_is_told_of(found: Validate, written: str) -> None:
    lines = found(VALID.replace("ranking:", f"{written}:"))
    assert "Pulumi reads the key as something else than this text. Put it in quotes." in "\n".join(lines)
    assert "Pulumi reads" not in "".join(found(VALID.replace("ranking:", f'"{written}":')))


@pytest.mark.parametrize("written", ["16", "true", "1.5", "on", "ranking"])
def test_a_key_that_pulumi_reads_as_it_is_written_is_taken(found: Validate, written: str) -> None:
    assert "Pulumi reads" not in "".join(found(VALID.replace("ranking:", f"{written}:")))


def test_merged_and_aliased_values_are_read_and_found(found: Validate) -> None:
    text = VALID + "    second:\n      <<: &more {instanceType: ml.c7g.xlarge}\n      model: {path: nowhere}\n"
    assert [line.partition(": ")[0] for line in found(text)] == ["13:18"]


def test_numbers_are_those_that_pulumi_makes_of_them(found: Validate) -> None:
    assert found(VALID.replace("min: 2", "min: 2.0").replace("max: 10", "max: 0xA")) == []


def test_a_wrong_model_repository_is_told_of_beside_wrong_settings(found: Validate) -> None:
    text = VALID + "    second:\n      model:\n        path: nowhere\n    third:\n      modl: {path: x}\n"
    assert [line.split(": ")[0] for line in found(text)] == ["14:9", "16:7"]


@pytest.mark.parametrize("wrong", ["autoscaling: {min: 2, max: ten}", "xyzzy: 1", "alarms:", "release: {percent: 5}"])
def test_a_wrong_model_repository_is_told_of_beside_another_mistake_of_its_endpoint(
    found: Validate, wrong: str
) -> None:
    lines = found(VALID + f"    second:\n      {wrong}\n      model:\n        path: nowhere\n")
    assert len(lines) == 2
    assert lines[1].startswith("15:9: triton-sagemaker:endpoints.second.model.path: nowhere")


def test_a_model_repository_is_not_judged_by_instances_that_nobody_meant(found: Validate, project: Path) -> None:
    model = project / "models" / "iris"
    (model / "1").mkdir(parents=True)
    (model / "1" / "model.onnx").touch()
    (model / "config.pbtxt").write_text('backend: "onnxruntime"\ninstance_group [{kind: KIND_GPU}]\n')
    text = VALID + "    second:\n      model: {path: models}\n      instanceType: ml.g5.xlargee\n"
    (line,) = found(text)
    assert "Did you mean ml.g5.xlarge?" in line


def test_warnings_are_shown_and_are_no_failure(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "Pulumi.x.yaml"
    file.write_text(VALID + "      instanceType: ml.inf2.xlarge\n")
    with pytest.raises(SystemExit) as exit_:
        main(["validate", str(file)])
    assert exit_.value.code == 0
    out = capsys.readouterr().out
    assert f"{file}:12:7: warning: triton-sagemaker:endpoints.ranking.instanceType: ml.inf2.xlarge" in out


SECURE = "{secure: AAABAJ0hW7pK3mX9qR2tLw8vZ5dY1cN4A+==}"


@pytest.mark.parametrize(
    "addition",
    [
        f"  triton-sagemaker:secretEnvironment: {SECURE}\n",
        f"  triton-sagemaker:secretEnvironment: {{ranking: {{KEY: {SECURE}}}}}\n",
        f"      environment: {{KEY: {SECURE}}}\n",
        f"  datadog:apiKey: {SECURE}\n",
        f"  aws:secretKey: {SECURE}\nencryptionsalt: v1:abc\n",
    ],
)
def test_secrets_are_taken_where_they_may_be(found: Validate, addition: str) -> None:
    assert found(VALID + addition) == []


@pytest.mark.parametrize("ciphertext", ["v1:3c0JjrVgHJUuOEgt:OAZ7Lys8kR9BMmT2nFwqYtVxQ4e3", "AAABAJ0hW7pK3mX9qR2tLw8v"])
def test_what_pulumi_encrypts_is_taken_for_it(found: Validate, ciphertext: str) -> None:
    assert found(VALID + f"      environment: {{KEY: {{secure: '{ciphertext}'}}}}\n") == []


@pytest.mark.parametrize(
    "written", ["hunter2", "hunter22", "v1:hunter2", "", "{a: hunter2}", "a password of 24 letters"]
)
def test_what_pulumi_cannot_have_encrypted_is_refused_and_not_shown(found: Validate, written: str) -> None:
    (line,) = found(VALID + f"  triton-sagemaker:secretEnvironment: {{ranking: {{KEY: {{secure: {written}}}}}}}\n")
    assert line.startswith("12:50: triton-sagemaker:secretEnvironment.ranking.KEY: is nothing that Pulumi enc")
    assert line.endswith("config set --secret -s x --path 'triton-sagemaker:secretEnvironment.ranking.KEY'")
    assert "hunter" not in line


@pytest.mark.parametrize(
    "written",
    ["KEY: *hunter2", "KEY: !hunter2! x", "KEY:hunter2", "KEY=hunter2: x", "{A: &hunter2 x, B: &hunter2 y}: x"],
)
@pytest.mark.parametrize("above", ["  triton-sagemaker:secretEnvironment: {ranking: {%s}}", "      environment: {%s}"])
def test_a_secret_that_was_written_wrong_is_not_shown(
    found: Validate, above: str, written: str, recwarn: pytest.WarningsRecorder
) -> None:
    (line,) = found(VALID + above % written + "\n")
    assert "hunter2" not in line
    assert list(recwarn) == []


@pytest.mark.parametrize("key", ["secretEnvironment: {}", "freezeWindows: []", "adopt: {role: false}"])
def test_a_key_of_the_top_level_is_not_taken_for_another_one(found: Validate, key: str) -> None:
    (line,) = found(VALID + f"      {key}\n")
    assert line.endswith(f"unknown key here; {key.partition(':')[0]} stands at the top level, beside endpoints.")


@pytest.mark.parametrize(
    ("strategy", "key", "meant"),
    [("linear", "bakeSeconds", "intervalSeconds"), ("canary", "intervalSeconds", "bakeSeconds")],
)
def test_the_wait_of_another_strategy_is_named_as_this_one_calls_it(
    found: Validate, strategy: str, key: str, meant: str
) -> None:
    lines = found(VALID + f"      release: {{strategy: {strategy}, percent: 50, {key}: 600}}\n")
    (line,) = [each for each in lines if f"release.{key}" in each]
    assert f"unknown key with {strategy}, which calls it {meant}; only " in line


@pytest.mark.parametrize("key", ["kmsKeyArn", "name"])
def test_a_key_without_a_value_is_not_taken_for_one_that_is_not_there(found: Validate, key: str) -> None:
    (line,) = found(VALID + f"  triton-sagemaker:bucket: {{{key}: }}\n")
    assert line.endswith(f"triton-sagemaker:bucket.{key}: is empty. Give it a value, or take the key out.")


def test_a_secret_elsewhere_is_refused_and_hides_no_other_problem(found: Validate) -> None:
    text = VALID.replace("min: 2", f"min: {SECURE}").replace("CostService: x", "CostService: 5")
    assert [line.split(": ")[0] for line in found(text)] == ["4:42", "10:9"]
    (line,) = found(VALID.split("  triton-sagemaker:endpoints")[0] + f"  triton-sagemaker:endpoints: {SECURE}\n")
    assert line.startswith("5:3: triton-sagemaker:endpoints: is secret, and nobody could check it. Only secretEnv")


def test_a_command_is_given_for_no_place_that_takes_no_secret(found: Validate) -> None:
    (line,) = found(VALID.replace("min: 2", "min: {secure: hunter2}"))
    assert "nobody could check it" in line
    assert "pulumi config set" not in line


def test_a_secret_in_plain_text_beside_an_encrypted_one_is_refused(found: Validate) -> None:
    text = VALID + f"  triton-sagemaker:secretEnvironment: {{ranking: {{A: {SECURE}, B: hunter2}}}}\n"
    (line,) = found(text)
    assert line.startswith("12:101: triton-sagemaker:secretEnvironment.ranking.B: stands here in plain text")


def test_what_an_environment_may_bring_is_not_missed_and_the_rest_is_checked(found: Validate) -> None:
    text = VALID.replace("  aws:region: ap-northeast-1\n", "").replace("CostEnv: test, ", "")
    assert len(found(text)) == 2
    (warning,) = found(text + "environment: [team/shared, more]\n")
    assert warning.startswith("11:1: warning: environment: some values come from environments (team/shared, more)")
    inline = "environment:\n  imports: [team/shared]\n  values: {pulumiConfig: {aws:region: us-east-1}}\n"
    wrong, warning = found(text.replace("min: 2", "min: two") + inline)
    assert "(team/shared)" in warning
    assert wrong.startswith("9:9: triton-sagemaker:endpoints.ranking.autoscaling.min: ")


@pytest.mark.parametrize("config", ["", VALID])
def test_what_only_the_engine_can_check_is_not_called_valid(
    project: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = project / "Pulumi.x.yaml"
    file.write_text(config + "environment: [team/shared]\n")
    with pytest.raises(SystemExit) as exit_:
        main(["validate", str(file)])
    said = capsys.readouterr().out
    assert exit_.value.code == 0
    assert "valid" not in said
    assert "values from environments were not checked" in said


def test_values_of_the_project_count_and_have_their_place_there(project: Path) -> None:
    (project / "Pulumi.yaml").write_text(PROJECT_VALUES)
    file = project / "Pulumi.x.yaml"
    file.write_text(VALID.replace("  aws:region: ap-northeast-1\n  triton-sagemaker:environment: staging\n", ""))
    assert check(file) == []
    (project / "Pulumi.yaml").write_text(PROJECT_VALUES.replace("{value: development}", "{default: dev}"))
    (wrong,) = check(file)
    assert (wrong.file, wrong.line, wrong.key) == (str(project / "Pulumi.yaml"), 7, "triton-sagemaker:environment")


def test_a_value_of_the_stack_replaces_that_of_the_project(project: Path) -> None:
    (project / "Pulumi.yaml").write_text(PROJECT_VALUES.replace("development", "dev") + "  tags: {value: {A: b}}\n")
    (project / "Pulumi.x.yaml").write_text(VALID)
    assert check(project / "Pulumi.x.yaml") == []


def test_a_mapping_of_the_project_needs_its_value_key(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "Pulumi.yaml").write_text(PROJECT_VALUES + "  tags: {CostEnv: dev}\n")
    (project / "Pulumi.x.yaml").write_text(VALID)
    with pytest.raises(SystemExit) as exit_:
        main(["validate", str(project / "Pulumi.x.yaml")])
    assert exit_.value.code == 2
    assert "Pulumi.yaml:8: config.tags: " in capsys.readouterr().err


def test_json_says_the_same(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "Pulumi.x.yaml"
    file.write_text(VALID.replace("min: 2", "min: 12"))
    with pytest.raises(SystemExit) as exit_:
        main(["validate", "--json", str(file)])
    assert exit_.value.code == 1
    assert json.loads(capsys.readouterr().out) == [
        {
            "file": str(file),
            "line": 10,
            "column": 9,
            "key": "triton-sagemaker:endpoints.ranking.autoscaling.min",
            "rule": "min-is-not-over-max",
            "message": "12 is more than max (10). Raise max or lower min.",
            "severity": "error",
        }
    ]


def test_github_gets_annotations(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "Pulumi.x.yaml"
    file.write_text(VALID.replace("min: 2", "min: '100%'"))
    with pytest.raises(SystemExit):
        main(["validate", "--format", "github", str(file)])
    (line,) = capsys.readouterr().out.splitlines()
    title = "triton-sagemaker%3Aendpoints.ranking.autoscaling.min"
    assert line.startswith(f"::error file={file},line=10,col=9,title={title}::'100%25': must be")


def test_what_cannot_be_read_is_no_finding(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["validate", str(project / "Pulumi.no.yaml")], "Pulumi.no.yaml cannot be read: No such file"),
        (["validate", "--cwd", str(project)], "there is no stack file"),
        (["validate", "--cwd", "/"], "there is no Pulumi.yaml in / or above it. Go to the project, or give --cwd."),
        (["validate", "/Pulumi.x.yaml"], "there is no Pulumi.yaml in / or above it. A stack file lies in its project"),
    ):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 2
        assert words in capsys.readouterr().err


def test_what_cannot_be_read_hides_no_finding_in_other_files(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "Pulumi.x.yaml"
    file.write_text(VALID.replace("min: 2", "min: 12"))
    with pytest.raises(SystemExit) as exit_:
        main(["validate", *(str(project / f"Pulumi.{name}.yaml") for name in ("no", "x", "none"))])
    assert exit_.value.code == 2
    out, err = capsys.readouterr()
    assert out.startswith(f"{file}:10:9: triton-sagemaker:endpoints.ranking.autoscaling.min: 12 is more than max")
    assert "Pulumi.no.yaml cannot be read" in err
    assert "Pulumi.none.yaml cannot be read" in err


@pytest.mark.parametrize(
    ("changes", "addition", "count"),
    [
        ({"min: 2": "min: 12"}, "    second:\n      model: {path: nowhere}\n      instanceTyp: x\n", 3),
        ({"artifact:": "artefact:", "min: 2": "minCapacity: 2", "staging": "Prod"}, "", 4),
        ({"min: 2": "min: 2m"}, "      release: {strategy: canry}\n      alarms: {existing: pager}\n", 4),
        ({}, "  triton-sagemaker:secretEnvironment: {ranking: {A: hunter2, B: {secret: hunter2}, c-d: x}}\n", 3),
    ],
)
def test_a_preview_says_the_same_words(found: Validate, changes: dict[str, str], addition: str, count: int) -> None:
    text = VALID + addition
    for old, new in changes.items():
        text = text.replace(old, new)
    said = [line.split(": ", 1)[1] for line in found(text)]
    with pytest.raises(pulumi.RunError) as refused:
        run("x", YAML(typ="safe").load(text)["config"])
    assert sorted(said) == sorted(line.strip().rpartition(" [")[0] for line in str(refused.value).splitlines()[1:])
    assert len(said) == count
    assert "hunter2" not in str(refused.value)


def test_nothing_heavy_is_loaded_to_validate() -> None:
    program = "import sys; from infra.__main__ import main\ntry: main(['validate'])\nexcept SystemExit: pass\n"
    program += "heavy = {'pulumi', 'pulumi_aws', 'boto3', 'grpc', 'numpy', 'moto'} & sys.modules.keys()\n"
    program += "assert not heavy, heavy"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_an_unknown_key_that_was_merged_in_is_told_at_its_place(found: Validate) -> None:
    assert "2:3: settings: unknown key" in "\n".join(found(f"<<:\n  settings: 1\n{VALID}"))


@pytest.mark.parametrize(
    ("release", "way_out"),
    [
        (
            "strategy: linear, percent: 10",
            "Set 4560, or count in instances: AWS does not say to how many steps it rounds",
        ),
        ("strategy: linear, instances: 1, intervalSeconds: 300", "Set 4560."),
        (
            "strategy: rolling, percent: 5, intervalSeconds: 1400, timeoutSeconds: 28800",
            "Take larger or shorter steps, or count in instances",
        ),
    ],
)
def test_a_release_that_may_take_too_long_is_a_warning_with_the_way_out(
    found: Validate, release: str, way_out: str
) -> None:
    lines = found(VALID + f"      release: {{{release}}}\n")
    (line,) = [each for each in lines if "may be too short" in each]
    assert f"rolls back a release that exceeds it. {way_out}" in line
