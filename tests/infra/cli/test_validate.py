"""Every problem of stack files is reported with its rule and position, and no problem follows from another one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pulumi
import pytest
from ruamel.yaml import YAML

from infra.__main__ import main
from infra.cli.validate import check
from tests.infra.cli.conftest import VALID, Validate, brief
from tests.infra.mock_runtime import ROOT, run

PROJECT_VALUES = """\
name: triton-sagemaker
runtime: python
config:
  aws:region: ap-northeast-1
  unused:
    description: declared, without a value
  environment: {value: development}
"""

SECURE = "{secure: AAABAJ0hW7pK3mX9qR2tLw8vZ5dY1cN4A+==}"


def exit_code(*arguments: str) -> int:
    """That of `validate`."""
    with pytest.raises(SystemExit) as exit_:
        main(["validate", *arguments])
    assert isinstance(exit_.value.code, int)
    return exit_.value.code


def test_the_projects_own_stack_files_are_valid(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT / "infra")
    assert exit_code() == 0
    assert capsys.readouterr().out.endswith("Pulumi.prod.yaml: valid\n")


def test_a_file_is_relative_to_the_working_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "infra")
    assert exit_code("../Pulumi.prod.yaml") == 0


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("artifact:", "artefact:", "8:9 unknown-key"),
        ("        max: 10\n", "", "9:7 missing"),
        ("min: 2", "mini: 2", "10:9 unknown-key"),
        ("min: 2", "min: two", "10:9 wrong-type"),
        ("min: 2", "min:", "10:9 empty"),
        ("CostService: x", "CostService: x, a.b: 1", "4:58 wrong-type"),
        ("aws:region", "aws:Region", "2:3 unknown-key"),
        ("triton-sagemaker:tags", "triton-sagemeker:tags", "4:3 unknown-key"),
        # keys of config that are not of the form NAMESPACE:NAME
        ("aws:region:", "region:", "2:3 key-form"),
        ("aws:region:", "AWS_REGION:", "2:3 key-form"),
        ("aws:region:", "aws.region:", "2:3 key-form"),
        ("aws:region:", "aws:config:region:", "2:3 key-form"),
        ("config:\n", "config:\n  a:b:c: x\n", "2:3 key-form"),
        ("config:\n", "config:\n  triton-sagemaker:endpoints:ranking:model: x\n", "2:3 key-form"),
        ("tags:", "tags::", "4:3 key-form"),
        ("triton-sagemaker:tags", "tags", "4:3 key-form"),
        # the file as a whole
        ("config:", "confg:", "1:1 unknown-key"),
        ("config:", "- config:", "1:1 not-a-mapping"),
        (VALID, "config: 5", "1:9 not-a-mapping"),
        ("config:", "<<: {settings: 1}\nconfig:", "1:6 unknown-key"),
        ("config:", "settings: 1\nconfig:", "1:1 unknown-key"),
    ],
)
def test_a_mistake_is_one_problem_at_its_position(validate: Validate, old: str, new: str, expected: str) -> None:
    assert old in VALID
    assert brief(validate(VALID.replace(old, new))) == [expected]


def test_what_the_files_lack_is_missing_at_config(validate: Validate) -> None:
    assert {"1:1 missing"} == {*brief(validate(""))}
    assert "2:1 missing" in brief(validate(VALID.replace("config:", "# comment\nconfig:").replace("aws:region", "x:y")))


@pytest.mark.parametrize("namespace", ["", "triton-sagemaker:"])
@pytest.mark.parametrize("name", ["environment", "tags"])
def test_a_setting_that_is_not_indented_is_one_problem_and_read_nevertheless(
    validate: Validate, namespace: str, name: str
) -> None:
    (setting,) = (line for line in VALID.splitlines() if line.startswith(f"  triton-sagemaker:{name}: "))
    unindented = namespace + setting.removeprefix("  triton-sagemaker:")
    text = VALID.replace(f"{setting}\n", "") + unindented
    assert brief(validate(text)) == ["11:1 unknown-key"]
    if not namespace:
        assert len(validate(text.replace("staging", "stagin").replace("CostEnv: test, ", ""))) == 3


def test_a_problem_of_a_model_repository_is_reported_with_those_of_settings(validate: Validate) -> None:
    text = VALID + "    second:\n      model:\n        path: nowhere\n    third:\n      modl: {path: x}\n"
    assert [(problem.line, problem.column) for problem in validate(text)] == [(14, 9), (16, 7), (16, 14)]


@pytest.mark.parametrize("wrong", ["autoscaling: {min: 2, max: ten}", "xyzzy: 1", "alarms:", "release: {percent: 5}"])
def test_a_problem_of_a_model_repository_is_reported_with_those_of_its_endpoint(validate: Validate, wrong: str) -> None:
    problems = validate(VALID + f"    second:\n      {wrong}\n      model:\n        path: nowhere\n")
    assert len(problems) == 2
    assert (problems[1].line, problems[1].key) == (15, "triton-sagemaker:endpoints.second.model.path")


def test_a_problem_in_a_model_repository_has_its_position_there(validate: Validate, project: Path) -> None:
    (project / "models" / "iris" / "1").mkdir(parents=True)
    (project / "models" / "iris" / "config.pbtxt").write_text('backend: "onnxruntime"\nmax_batch_sizes: 1\n')
    problems = validate(VALID + "    second:\n      model: {path: models}\n")
    assert (str(project / "models" / "iris" / "config.pbtxt"), 2) in {(item.file, item.line) for item in problems}


def test_a_model_repository_is_not_checked_for_an_instance_type_that_is_misspelt(
    validate: Validate, project: Path
) -> None:
    model = project / "models" / "iris"
    (model / "1").mkdir(parents=True)
    (model / "1" / "model.onnx").touch()
    (model / "config.pbtxt").write_text('backend: "onnxruntime"\ninstance_group [{kind: KIND_GPU}]\n')
    text = VALID + "    second:\n      model: {path: models}\n      instanceType: ml.g5.xlargee\n"
    assert [problem.key for problem in validate(text)] == ["triton-sagemaker:endpoints.second.instanceType"]


def test_warnings_are_printed_and_are_no_failure(
    project: Path, validate: Validate, capsys: pytest.CaptureFixture[str]
) -> None:
    (warning,) = validate(VALID + "      instanceType: ml.inf2.xlarge\n")
    assert (warning.severity, warning.line, warning.column) == ("warning", 12, 7)
    assert exit_code(str(project / "Pulumi.x.yaml")) == 0
    assert capsys.readouterr().out.startswith(f"{warning}\n")


def test_warnings_are_shown_with_errors_in_the_order_of_lines(
    project: Path, validate: Validate, capsys: pytest.CaptureFixture[str]
) -> None:
    text = VALID.replace("min: 2", "min: 12") + "      instanceType: ml.inf2.xlarge\n      volumeSizeGb: 0\n"
    problems = validate(text)
    assert brief(problems) == ["10:9 min-over-max", "12:7 neuron-runtime-missing", "13:7 out-of-range"]
    assert [problem.severity for problem in problems] == ["error", "warning", "error"]
    assert exit_code(str(project / "Pulumi.x.yaml")) == 1
    assert capsys.readouterr().out == "".join(f"{problem}\n" for problem in problems)


def test_an_error_of_the_file_hides_the_warnings_of_its_key(validate: Validate) -> None:
    text = VALID + "      instanceType: ml.inf2.xlarge\n      instanceType: ml.c5.xlarge\n"
    assert brief(validate(text)) == ["13:7 duplicate-key"]
    text = VALID + "      instanceType: ml.g5.xlarge\n  triton-sagemaker:image: {version: 24.05-py3%s}\n"
    assert brief(validate(text % "")) == ["12:7 old-gpu-driver"]
    assert brief(validate(text % ", version: 23.03-py3")) == ["13:48 duplicate-key"]
    text = VALID + f"      instanceType: ml.inf2.xlarge\n  triton-sagemaker:image: {SECURE}\n"
    assert brief(validate(text)) == ["13:3 misplaced-secret"]


def test_the_command_of_a_warning_names_the_stack(validate: Validate) -> None:
    (warning,) = validate(VALID + "      environment: {DB_PASSWORD: x}\n")
    assert (
        "pulumi config set --secret -s x --path 'triton-sagemaker:secretEnvironment.ranking.DB_PASSWORD'"
        in warning.message
    )


@pytest.mark.parametrize(
    ("mistake", "shown"),
    [("", True), ("      volumeSizeGb: 0\n", True), ("      instanceType: ml.c5.xlargee\n", False),
     ("      modle: {path: models}\n", True), ("      xyzzy: 1\n", False), ("  triton-sagemaker:image: x\n", False)],
)  # fmt: skip
def test_a_warning_of_a_model_repository_is_shown_if_what_it_is_checked_for_is_valid(
    validate: Validate, project: Path, mistake: str, shown: bool
) -> None:
    (project / "models" / "iris" / "1").mkdir(parents=True)
    (project / "models" / "iris" / "01").mkdir()
    (project / "models" / "iris" / "1" / "model.onnx").touch()
    (project / "models" / "iris" / "config.pbtxt").write_text('backend: "onnxruntime"\n')
    problems = validate(VALID + "    second:\n      model: {path: models}\n" + mistake)
    assert [problem.severity for problem in problems] == ["error"] * bool(mistake) + ["warning"] * shown


@pytest.mark.parametrize(
    "addition",
    [
        f"  triton-sagemaker:secretEnvironment: {SECURE}\n",
        f"  triton-sagemaker:secretEnvironment: {{ranking: {{KEY: {SECURE}}}}}\n",
        f"      environment: {{KEY: {SECURE}}}\n",
        "      environment: {KEY: {secure: 'v1:3c0JjrVgHJUuOEgt:OAZ7Lys8kR9BMmT2nFwqYtVxQ4e3'}}\n",
        "      environment: {KEY: {secure: AAABAJ0hW7pK3mX9qR2tLw8v}}\n",
        *(
            f"      environment: {{SAGEMAKER_TRITON_{option}: {SECURE}}}\n"
            for option in ("LOG_VERBOSE", "SHM_DEFAULT_BYTE_SIZE", "ADDITIONAL_ARGS", "DISABLE_MODEL_NAMESPACING")
        ),
        f"  datadog:apiKey: {SECURE}\n",
        f"  aws:secretKey: {SECURE}\nencryptionsalt: v1:abc\n",
    ],
)
def test_secrets_are_valid_where_they_may_be(validate: Validate, addition: str) -> None:
    assert validate(VALID + addition) == []


@pytest.mark.parametrize(
    "written", ["hunter2", "hunter22", "v1:hunter2", "", "{a: hunter2}", "a password of 24 letters"]
)
def test_what_pulumi_cannot_have_encrypted_is_refused_and_not_shown(validate: Validate, written: str) -> None:
    (problem,) = validate(
        VALID + f"  triton-sagemaker:secretEnvironment: {{ranking: {{KEY: {{secure: {written}}}}}}}\n"
    )
    assert brief([problem]) == ["12:50 not-encrypted"]
    assert str(problem).endswith(
        "config set --secret -s x --path 'triton-sagemaker:secretEnvironment.ranking.KEY' [not-encrypted]"
    )
    assert "hunter" not in str(problem)


@pytest.mark.parametrize(
    "written",
    ["KEY: *hunter2", "KEY: !hunter2! x", "KEY:hunter2", "KEY=hunter2: x", "{A: &hunter2 x, B: &hunter2 y}: x"],
)
@pytest.mark.parametrize("above", ["  triton-sagemaker:secretEnvironment: {ranking: {%s}}", "      environment: {%s}"])
def test_a_misspelt_secret_is_not_shown(
    validate: Validate, above: str, written: str, recwarn: pytest.WarningsRecorder
) -> None:
    (problem,) = validate(VALID + above % written + "\n")
    assert "hunter2" not in str(problem)
    assert list(recwarn) == []


def test_a_variable_with_its_value_in_the_place_of_a_key_is_not_shown_in_full(validate: Validate) -> None:
    (problem,) = validate(VALID + "      HF_TOKEN=hunter2: x\n")
    assert (problem.rule, problem.key.rpartition(".")[2]) == ("unknown-key", "HF_TOKEN…")
    assert "hunter2" not in str(problem)


def test_a_secret_elsewhere_is_refused_and_hides_no_other_problem(validate: Validate) -> None:
    text = VALID.replace("min: 2", "min: {secure: hunter2}").replace("CostService: x", "CostService: 5")
    problems = validate(text)
    assert brief(problems) == ["4:42 wrong-type", "10:9 misplaced-secret"]
    assert "pulumi config set" not in str(problems[1]), "there is no command that makes it valid"
    whole = VALID.split("  triton-sagemaker:endpoints")[0] + f"  triton-sagemaker:endpoints: {SECURE}\n"
    assert brief(validate(whole)) == ["5:3 misplaced-secret"]


def test_a_secret_variable_of_a_transform_job_is_refused_because_the_job_shows_it(validate: Validate) -> None:
    text = VALID.split("  triton-sagemaker:endpoints")[0] + (
        "  triton-sagemaker:endpoints:\n    e:\n      model: {artifact: a.tar.gz}\n"
        f"      environment: {{KEY: {SECURE}}}\n      batch:\n        environment: {{KEY: {SECURE}}}\n"
    )
    (problem,) = validate(text)
    assert (problem.rule, problem.key) == ("misplaced-secret", "triton-sagemaker:endpoints.e.batch.environment.KEY")
    assert "secretEnvironment" in problem.message and "plaintext" not in problem.message


@pytest.mark.parametrize("name", ["secretEnv", "secretEnvironment.ranking.KEY", "quite-new"])
@pytest.mark.parametrize("secret", [SECURE, f"{{ranking: {{KEY: {SECURE}}}}}"])
def test_a_secret_of_an_unknown_key_is_not_to_be_decrypted(validate: Validate, name: str, secret: str) -> None:
    problems = validate(VALID + f"  triton-sagemaker:{name}: {secret}\n")
    assert brief(problems) == ["12:3 unknown-key"]
    assert "plaintext" not in str(problems)


def test_plaintext_next_to_a_secret_is_refused(validate: Validate) -> None:
    text = VALID + f"  triton-sagemaker:secretEnvironment: {{ranking: {{A: {SECURE}, B: hunter2}}}}\n"
    (problem,) = validate(text)
    assert brief([problem]) == ["12:101 plaintext-secret"]
    assert "hunter2" not in str(problem)


def test_values_that_an_environment_may_add_are_not_missing_and_the_rest_is_checked(validate: Validate) -> None:
    text = VALID.replace("  aws:region: ap-northeast-1\n", "").replace("CostEnv: test, ", "")
    assert len(validate(text)) == 2
    (warning,) = validate(text + "environment: [team/shared, more]\n")
    assert (brief([warning]), warning.severity) == (["11:1 environment-values"], "warning")
    inline = "environment:\n  imports: [team/shared]\n  values: {pulumiConfig: {aws:region: us-east-1}}\n"
    wrong, _ = validate(text.replace("min: 2", "min: two") + inline)
    assert brief([wrong]) == ["9:9 wrong-type"]


@pytest.mark.parametrize("config", ["", VALID])
def test_what_only_the_engine_can_check_is_not_called_valid(
    project: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = project / "Pulumi.x.yaml"
    file.write_text(config + "environment: [team/shared]\n")
    assert exit_code(str(file)) == 0
    assert "valid" not in capsys.readouterr().out


def test_values_of_the_project_apply_and_have_their_position_there(project: Path) -> None:
    (project / "Pulumi.yaml").write_text(PROJECT_VALUES)
    file = project / "Pulumi.x.yaml"
    file.write_text(VALID.replace("  aws:region: ap-northeast-1\n  triton-sagemaker:environment: staging\n", ""))
    assert check(file) == []
    (project / "Pulumi.yaml").write_text(PROJECT_VALUES.replace("{value: development}", "{default: dev}"))
    (wrong,) = check(file)
    assert (wrong.file, wrong.line, wrong.key) == (str(project / "Pulumi.yaml"), 7, "triton-sagemaker:environment")


def test_a_value_of_the_stack_replaces_that_of_the_project(project: Path, validate: Validate) -> None:
    (project / "Pulumi.yaml").write_text(PROJECT_VALUES.replace("development", "dev") + "  tags: {value: {A: b}}\n")
    assert validate(VALID) == []


def test_a_mapping_of_the_project_must_be_below_value(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "Pulumi.yaml").write_text(PROJECT_VALUES + "  tags: {CostEnv: dev}\n")
    (project / "Pulumi.x.yaml").write_text(VALID)
    assert exit_code(str(project / "Pulumi.x.yaml")) == 2
    assert "Pulumi.yaml:8: config.tags: " in capsys.readouterr().err


def test_json_has_the_same_facts(validate: Validate, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (problem,) = validate(VALID.replace("min: 2", "min: two"))
    assert exit_code("--json", str(project / "Pulumi.x.yaml")) == 1
    assert json.loads(capsys.readouterr().out) == [
        {
            "file": str(project / "Pulumi.x.yaml"),
            "line": 10,
            "column": 9,
            "key": "triton-sagemaker:endpoints.ranking.autoscaling.min",
            "rule": "wrong-type",
            "severity": "error",
            "message": problem.message,
        }
    ]


def test_github_gets_annotations(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "Pulumi.x.yaml"
    file.write_text(VALID.replace("min: 2", "min: '100%'"))
    assert exit_code("--format", "github", str(file)) == 1
    (line,) = capsys.readouterr().out.splitlines()
    title = "triton-sagemaker%3Aendpoints.ranking.autoscaling.min"
    assert line.startswith(f"::error file={file},line=10,col=9,title={title}::must be a valid integer, not '100%25'")


def test_what_cannot_be_read_is_an_error_of_its_own(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "directory").mkdir()
    for arguments, words in (
        ([str(project / "Pulumi.no.yaml")], "Pulumi.no.yaml: No such file"),
        ([str(project / "directory")], "directory: Is a directory"),
        (["--cwd", str(project)], "contains no stack file"),
        (["--cwd", "/"], "Pulumi.yaml does not exist in / or above it"),
        (["/Pulumi.x.yaml"], "Pulumi.yaml does not exist in / or above it"),
    ):
        assert exit_code(*arguments) == 2
        assert words in capsys.readouterr().err


def test_what_cannot_be_read_hides_no_problem_of_other_files(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "Pulumi.x.yaml"
    file.write_text(VALID.replace("min: 2", "min: 12"))
    assert exit_code(*(str(project / f"Pulumi.{name}.yaml") for name in ("no", "x", "none"))) == 2
    out, err = capsys.readouterr()
    assert out.startswith(f"{file}:10:9: ")
    assert err.count(": No such file") == 2


@pytest.mark.parametrize(
    ("changes", "addition", "count"),
    [
        ({"min: 2": "min: 12"}, "    second:\n      model: {path: nowhere}\n      instanceTyp: x\n", 4),
        ({"artifact:": "artefact:", "min: 2": "minCapacity: 2", "staging": "Prod"}, "", 3),
        ({"min: 2": "min: 2m"}, "      release: {strategy: canry}\n      alarms: {existing: pager}\n", 3),
        ({}, "  triton-sagemaker:secretEnvironment: {ranking: {A: hunter2, B: {secret: hunter2}, c-d: x}}\n", 3),
    ],
)
def test_a_preview_reports_the_same_problems(
    validate: Validate, changes: dict[str, str], addition: str, count: int
) -> None:
    text = VALID + addition
    for old, new in changes.items():
        text = text.replace(old, new)
    lines = [problem.text for problem in validate(text)]
    with pytest.raises(pulumi.RunError) as refused:
        run("x", YAML(typ="safe").load(text)["config"])
    assert sorted(lines) == sorted(line.strip() for line in str(refused.value).splitlines()[1:])
    assert len(lines) == count
    assert "hunter2" not in str(refused.value)


def test_a_preview_logs_the_warnings_before_the_errors(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    text = VALID.replace("min: 2", "min: 12") + "      instanceType: ml.inf2.xlarge\n"
    error, warning = validate(text)
    logged: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", logged.append)
    with pytest.raises(pulumi.RunError) as refused:
        run("x", YAML(typ="safe").load(text)["config"])
    assert logged == [warning.text]
    assert str(refused.value).splitlines()[1:] == [f"  {error.text}"]


def test_nothing_heavy_is_loaded_to_validate() -> None:
    program = "import sys; from infra.__main__ import main\ntry: main(['validate'])\nexcept SystemExit: pass\n"
    program += "heavy = {'pulumi', 'pulumi_aws', 'boto3', 'grpc', 'numpy', 'moto'} & sys.modules.keys()\n"
    program += "assert not heavy, heavy"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
