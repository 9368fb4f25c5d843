"""`python -m infra policy` prints what `infra.policies` grants, for the stack's account."""

from __future__ import annotations

import json

import pytest

from infra.__main__ import main
from tests.infra.mock_runtime import ROOT


@pytest.mark.parametrize(("principal", "documents"), [("deployer", 2), ("release-operator", 1)])
def test_the_documents_are_of_the_stack_and_the_account(
    capsys: pytest.CaptureFixture[str], principal: str, documents: int
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["policy", principal, "-s", "prod", "--account", "210987654321", "--cwd", str(ROOT)])
    assert not ended.value.code
    printed = json.loads(capsys.readouterr().out)
    assert [each["Version"] for each in printed] == ["2012-10-17"] * documents
    assert "arn:aws:sagemaker:ap-northeast-1:210987654321:endpoint/sagemaker-endpoint" in json.dumps(printed)
