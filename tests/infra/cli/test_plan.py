"""A plan shows what the program registers, says what it is not, and shows no secret."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pulumi
import pytest

from infra.__main__ import main
from infra.plan import DuplicateResource
from tests.infra.mock_runtime import ROOT, registered, run


def planned(capsys: pytest.CaptureFixture[str], *arguments: str, root: Path = ROOT) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit_:
        main(["plan", *arguments, "--cwd", str(root)])
    assert isinstance(exit_.value.code, int)
    printed = capsys.readouterr()
    return exit_.value.code, printed.out, printed.err


@pytest.fixture(scope="module")
def prod(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    capture = pytest.MonkeyPatch()
    printed: list[str] = []
    capture.setattr("builtins.print", lambda *each, **_: printed.append(str(each[0])))
    with pytest.raises(SystemExit):
        main(["plan", "-s", "prod", "--json", "--cwd", str(ROOT)])
    capture.undo()
    plan: dict[str, Any] = json.loads(printed[-1])
    return plan


def one(plan: dict[str, Any], type_: str, name: str = "sagemaker-endpoint") -> dict[str, Any]:
    (found,) = [each for each in plan["resources"] if each["type"].endswith(f":{type_}") and each["name"] == name]
    return dict(found)


def test_every_resource_of_the_program_is_there(prod: dict[str, Any]) -> None:
    registered = {(each.type, each.name) for each in run("prod").resources if each.type != "pulumi:pulumi:Stack"}
    assert {(each["type"], each["name"]) for each in prod["resources"]} == registered
    assert len(prod["resources"]) == len(registered)


def test_inputs_options_and_dependencies_are_shown(prod: dict[str, Any]) -> None:
    bucket = one(prod, "Bucket", "models")
    assert bucket["inputs"] == {"bucket": "sagemaker-models", "tags": {"CostEnv": "prod", "CostService": "ranking"}}
    assert bucket["options"] == {"protect": True, "retainOnDelete": True, "aliases": ["models-prod"]}
    configuration = one(prod, "EndpointConfiguration")
    assert configuration["options"] == {"ignoreChanges": ["productionVariants[0].initialInstanceCount"]}
    assert configuration["dependencies"] == ["Model:sagemaker-endpoint"]
    assert configuration["parent"].endswith("TritonEndpoint::sagemaker-endpoint")


def test_what_only_aws_can_tell_says_which_resource_would(prod: dict[str, Any]) -> None:
    container = one(prod, "Model")["inputs"]["primaryContainer"]
    assert container["image"] == "${Repository:image.repositoryUrl}@${MirroredImage:image.digest}"
    assert container["modelDataUrl"] == "s3://sagemaker-models/${ReleasedArtifact:sagemaker-endpoint.key}"
    assert prod["outputs"]["roleArn"] == "${Role:execution-role-prod.arn}"


def test_two_plans_of_a_stack_are_the_same_text(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (planned(capsys, "-s", "dev") for _ in range(2))
    assert first == second


def test_it_says_that_it_is_no_preview(capsys: pytest.CaptureFixture[str], prod: dict[str, Any]) -> None:
    code, text, _ = planned(capsys, "-s", "dev")
    assert code == 0
    assert text.startswith("dev: the program registers 25 resources.\nThis is not `pulumi preview`: ")
    assert "  PackedModel iris-dev\n" in text
    assert prod["note"].startswith("This is not `pulumi preview`: ")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for each in ("Pulumi.yaml", "__main__.py"):
        shutil.copy(ROOT / each, tmp_path)
    return tmp_path


CONFIG = """\
config:
  aws:region: ap-northeast-1
  triton-sagemaker:environment: staging
  triton-sagemaker:tags: {CostEnv: test, CostService: x}
  triton-sagemaker:endpoints: {ranking: {model: {artifact: artifacts/a.tar.gz}}}
"""


def test_secrets_are_covered(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "  triton-sagemaker:secretEnvironment: {ranking: {KEY: {secure: 'v1:AAAA:AAAA'}}}\n"
    (project / "Pulumi.x.yaml").write_text(CONFIG + secret)
    code, text, _ = planned(capsys, "-s", "x", "--json", root=project)
    assert code == 0
    assert one(json.loads(text), "Model", "ranking")["inputs"]["primaryContainer"]["environment"] == {
        "KEY": "(a secret)",
        "SAGEMAKER_TRITON_LOG_VERBOSE": "false",
    }


def test_plain_variables_beside_a_secret_one_are_shown(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environment = "environment: {TOKEN: {secure: 'v1:AAAA:AAAA'}, PLAIN: x}}}"
    (project / "Pulumi.x.yaml").write_text(CONFIG.replace("a.tar.gz}}}", f"a.tar.gz}}, {environment}"))
    code, text, _ = planned(capsys, "-s", "x", root=project)
    assert code == 0
    assert "PLAIN: x\n" in text
    assert "TOKEN: (a secret)\n" in text
    assert "AAAB" not in text


def test_how_long_a_release_takes_and_warnings_are_said_as_in_a_preview(
    project: Path, capsys: pytest.CaptureFixture[str], prod: dict[str, Any]
) -> None:
    (project / "Pulumi.x.yaml").write_text(CONFIG.replace("model:", "release: {bakeSeconds: 60}, model:"))
    _, text, _ = planned(capsys, "-s", "x", root=project)
    warning, estimate, *_ = text.splitlines()[2:]
    assert warning.startswith(
        "warning: triton-sagemaker:endpoints.ranking.alarms: none is given, so nothing is watched"
    )
    assert estimate == "ranking: a release takes 3 to 18 minutes: allAtOnce, 1 rollback alarm"
    assert prod["said"] == run("prod").said


def test_a_setting_that_is_secret_as_a_whole_is_left_out_and_told_of(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "Pulumi.x.yaml").write_text(CONFIG + "  triton-sagemaker:secretEnvironment: {secure: 'v1:AAAA:AAAA'}\n")
    code, _, said = planned(capsys, "-s", "organization/project/x", root=project)
    assert code == 0
    assert "triton-sagemaker:secretEnvironment is secret as a whole, and left out here." in said


def test_a_stack_with_a_mistake_is_not_planned(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "Pulumi.x.yaml").write_text(CONFIG.replace("model:", "modl:"))
    code, text, said = planned(capsys, "-s", "x", root=project)
    assert (code, text) == (1, "")
    assert "Pulumi.x.yaml:5:42: triton-sagemaker:endpoints.ranking.modl: unknown key; did you mean model?" in said


def test_a_urn_is_taken_once_as_by_the_engine() -> None:
    def program() -> None:
        for _ in range(2):
            pulumi.ComponentResource("infra:x:X", "twice")

    with pytest.raises(DuplicateResource, match=r"Duplicate resource URN '.*infra:x:X::twice'; try giving it a uni"):
        registered(program)
