"""`python -m infra policy` prints what `infra.policies` grants, for the stack's account."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from infra.__main__ import main
from tests.infra.mock_runtime import ROOT, stack_file


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, cwd: Path = ROOT) -> tuple[list[Any], str]:
    """The documents, and what is said on stderr."""
    with pytest.raises(SystemExit) as ended:
        main(["policy", *arguments, "-s", "prod", "--account", "210987654321", "--cwd", str(cwd)])
    said = capsys.readouterr()
    assert not ended.value.code, said.err
    return json.loads(said.out), said.err


@pytest.mark.parametrize(
    ("principal", "resource"),
    [
        ("deployer", "arn:aws:sagemaker:ap-northeast-1:210987654321:endpoint/sagemaker-endpoint"),
        ("release-operator", "arn:aws:sagemaker:ap-northeast-1:210987654321:endpoint/sagemaker-endpoint"),
        ("uploader", "arn:aws:s3:::sagemaker-models/artifacts/*"),
        ("execution-role", "arn:aws:ecr:ap-northeast-1:210987654321:repository/sagemaker-tritonserver"),
    ],
)
def test_the_documents_are_of_the_stack_and_the_account(
    capsys: pytest.CaptureFixture[str], principal: str, resource: str
) -> None:
    documents, said = printed(capsys, principal)
    assert {each["Version"] for each in documents} == {"2012-10-17"}
    assert f'"{resource}"' in json.dumps(documents)
    assert said == ""


def test_an_endpoint_that_is_being_removed_is_named_beside_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    documents, _ = printed(capsys, "deployer", "--also", "old", "--also", "sagemaker-endpoint.canary")
    assert "endpoint/old" in json.dumps(documents)
    assert "model/sagemaker-endpoint-canary-???????" in json.dumps(documents)


def test_what_is_no_endpoints_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["policy", "deployer", "-s", "prod", "--account", "210987654321", "--also", "a*", "--cwd", str(ROOT)])
    assert ended.value.code
    assert "--also: 'a*'" in capsys.readouterr().err


def test_more_documents_than_iam_attaches_are_explained(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = stack_file("prod")
    endpoint = config["triton-sagemaker:endpoints"]["sagemaker-endpoint"]
    config["triton-sagemaker:endpoints"] = {f"e{number}": endpoint for number in range(80)}
    (tmp_path / "Pulumi.yaml").write_text("name: triton-sagemaker\nruntime: python\n")
    YAML().dump({"config": config}, tmp_path / "Pulumi.prod.yaml")
    documents, said = printed(capsys, "deployer", cwd=tmp_path)
    assert len(documents) > 10
    assert said.startswith(f"{len(documents)} documents: IAM attaches 10")
