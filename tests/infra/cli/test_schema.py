"""The JSON Schema of stack files is current, and accepts the same files as far as a schema can."""

from __future__ import annotations

import json
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from infra.__main__ import main
from infra.aws import instance_types
from infra.cli.schema import FILE, text
from tests.infra.mock_runtime import ROOT

SCHEMA = json.loads(text("triton-sagemaker"))
PROD = YAML(typ="safe").load(ROOT / "Pulumi.prod.yaml")


def refused(document: Any) -> list[str]:
    """The places that a validator refuses, such as `config/aws:region`."""
    return ["/".join(map(str, error.absolute_path)) for error in Draft202012Validator(SCHEMA).iter_errors(document)]


def changed(path: str, value: Any) -> Any:
    """Pulumi.prod.yaml with one value set, or removed if it is None."""
    document = deepcopy(PROD)
    *parents, last = path.split("/")
    at: Any = document
    for part in parents:
        at = at.setdefault(part, {})
    at[last] = value
    if value is None:
        del at[last]
    return document


def test_the_file_is_current(tmp_path: Path) -> None:
    assert (ROOT / FILE).read_text() == text("triton-sagemaker"), "run: python -m infra schema"
    shutil.copy(ROOT / "Pulumi.yaml", tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["schema", "--cwd", str(tmp_path)])
    assert exit_.value.code == 0
    assert (tmp_path / FILE).read_text() == text("triton-sagemaker")


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("stack", ["dev", "prod", "modes"])
def test_the_projects_stack_files_are_accepted(stack: str) -> None:
    assert refused(YAML(typ="safe").load(ROOT / f"Pulumi.{stack}.yaml")) == []


@pytest.mark.parametrize("value", [["shared"], {"imports": ["shared"]}])
def test_environments_of_pulumi_cloud_are_accepted(value: Any) -> None:
    assert refused(changed("environment", value)) == []


def test_a_setting_is_not_mistaken_for_environments_of_pulumi_cloud() -> None:
    assert refused(changed("environment", "production")) == ["environment"]


CONFIG = "config/triton-sagemaker:"
ENDPOINT = f"{CONFIG}endpoints/sagemaker-endpoint"
SECRET = {"secure": "AAAB"}
TOPIC = "arn:aws:sns:ap-northeast-1:123456789012:releases"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("config/aws:profile", "ops"),
        ("environment", ["shared"]),
        (f"{CONFIG}secretEnvironment", SECRET),
        (f"{CONFIG}secretEnvironment", {"sagemaker-endpoint": {"KEY": SECRET}}),
        (f"{ENDPOINT}/environment", {"KEY": SECRET, "OTHER": "x"}),
        (f"{ENDPOINT}/instanceType", "ml.c7i.xlarge"),
        (f"{ENDPOINT}/release", {"timeoutSeconds": 7200}),
        (f"{ENDPOINT}/model", {"path": "examples/models"}),
        (f"{ENDPOINT}/model/artifact", "a/..b/.c/d$e.tar.gz"),
        (f"{CONFIG}tags/größe", "大 1/2"),
        (f"{CONFIG}notifications", {"topicArn": TOPIC}),
    ],
)
def test_a_valid_value_is_accepted(path: str, value: Any) -> None:
    assert refused(changed(path, value)) == []


@pytest.mark.parametrize(
    ("path", "value", "at"),
    [
        ("config/aws:region", None, "config"),
        (f"{CONFIG}environment", "prod", f"{CONFIG}environment"),
        (f"{CONFIG}endpoint", {}, "config"),
        ("config/endpoints", {}, "config"),
        (f"{CONFIG}secretEnvironment", {"sagemaker-endpoint": {"KEY": "hunter2"}}, f"{CONFIG}secretEnvironment"),
        (f"{CONFIG}endpoints/a_b", {"model": {"path": "x"}}, f"{CONFIG}endpoints"),
        (f"{ENDPOINT}/model", {"path": "x", "artifact": "y.tar.gz"}, f"{ENDPOINT}/model"),
        (f"{ENDPOINT}/model/artifact", "models/x.tar.gz", f"{ENDPOINT}/model"),
        (f"{ENDPOINT}/model/artifact", "a/../x.tar.gz", f"{ENDPOINT}/model"),
        *(
            (f"{ENDPOINT}/model/artifact", key, f"{ENDPOINT}/model")
            for key in ("https://b/x.tar.gz", "./x.tar.gz", "a//x.tar.gz", "/x.tar.gz", ".tar.gz", "a/${B}.tar.gz")
        ),
        (f"{CONFIG}vpc", {"subnetIds": ["subnet-1"] * 2, "securityGroupIds": ["sg-1"]}, f"{CONFIG}vpc/subnetIds"),
        (f"{CONFIG}tags", {"CostEnv": "x"}, f"{CONFIG}tags"),
        (f"{CONFIG}tags/CostEnv", "", f"{CONFIG}tags/CostEnv"),
        (f"{CONFIG}notifications", {"topicArn": f"{TOPIC}.fifo"}, f"{CONFIG}notifications"),
        (f"{ENDPOINT}/instanceType", "ml.c5.xlargee", f"{ENDPOINT}/instanceType"),
        (f"{ENDPOINT}/instanceType", "ml.c9g.xlarge", f"{ENDPOINT}/instanceType"),
        (f"{ENDPOINT}/autoscaling/max", 0, f"{ENDPOINT}/autoscaling/max"),
        (f"{ENDPOINT}/release", {"strategy": "canary"}, f"{ENDPOINT}/release"),
        (f"{ENDPOINT}/release", {"strategy": "linear", "percent": 9}, f"{ENDPOINT}/release"),
        (f"{ENDPOINT}/environment", {"a-b": "x"}, f"{ENDPOINT}/environment"),
        (f"{ENDPOINT}/alarms/existing", ["arn:aws:x"], f"{ENDPOINT}/alarms/existing/0"),
    ],
)
def test_an_invalid_value_is_refused_at_its_place(path: str, value: Any, at: str) -> None:
    assert at in refused(changed(path, value))


def test_the_same_instance_types_are_accepted_as_in_the_settings() -> None:
    for name in instance_types.hosting_instance_types():
        fleet = {"model": {"path": "x"}, "instanceType": name}
        assert bool(refused(changed(ENDPOINT, fleet))) == instance_types.is_arm(name), name
