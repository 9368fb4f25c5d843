"""Stack files read without the engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.aws.session import AwsSession
from infra.cli.project import StackFileError
from infra.cli.session import aws_session
from infra.cli.stack_file import StackFile
from infra.cli.stack_yaml import SECRET

BASE = """
config:
  aws:region: ap-northeast-1
  p:environment: development
  p:tags: {CostEnv: dev, CostService: iris}
  p:endpoints:
    iris:
      model: {path: models}
"""


def project(directory: Path, stack: str = BASE) -> Path:
    (directory / "Pulumi.yaml").write_text("name: p\nruntime: python\n")
    (directory / "Pulumi.dev.yaml").write_text(stack)
    return directory


@pytest.fixture(autouse=True)
def _account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AwsSession, "account_id", "123456789012")


def test_a_stack_is_found_upwards(tmp_path: Path) -> None:
    below = project(tmp_path) / "infra" / "cli"
    below.mkdir(parents=True)
    found = StackFile.find("dev", below)
    assert (found.project.name, found.stack, found.path) == ("p", "dev", tmp_path / "Pulumi.dev.yaml")
    assert list(found.settings().endpoints) == ["iris"]


def test_a_stack_may_be_named_in_full(tmp_path: Path) -> None:
    assert StackFile.find("acme/p/dev", project(tmp_path)).stack == "dev"


def test_a_missing_project_and_a_missing_stack_are_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(StackFileError, match=r"Pulumi\.yaml does not exist in .* --cwd"):
        StackFile.find("dev", tmp_path)
    with pytest.raises(StackFileError, match=r"Pulumi\.prod\.yaml does not exist in .*Stack files: Pulumi\.dev\.yaml"):
        StackFile.find("prod", project(tmp_path))


@pytest.mark.parametrize(("text", "place"), [("config: [", "1:10"), ("just words", "1:1")])
def test_a_file_that_is_no_mapping_is_refused_at_its_place(tmp_path: Path, text: str, place: str) -> None:
    with pytest.raises(StackFileError, match=rf"^the stack file has 1 problem:\n  .*Pulumi\.dev\.yaml:{place}: "):
        StackFile.find("dev", project(tmp_path, text))


def test_wrong_settings_are_refused_at_their_places(tmp_path: Path) -> None:
    wrong = BASE.replace("development", "dev").replace("path", "pth")
    with pytest.raises(StackFileError) as refused:
        StackFile.find("dev", project(tmp_path, wrong)).settings()
    first, *others = str(refused.value).splitlines()
    assert first == "the stack file has 2 problems:"
    file = tmp_path / "Pulumi.dev.yaml"
    assert others[0].startswith(f"  {file}:4:3: p:environment: 'dev': must be")
    assert others[1].startswith(f"  {file}:8:15: p:endpoints.iris.model.pth: unknown key; did you mean path?")


def test_stack_files_may_be_in_a_directory_of_their_own(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "Pulumi.yaml").write_text("name: p\nruntime: python\nstackConfigDir: stacks\n")
    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.dev.yaml").rename(tmp_path / "stacks" / "Pulumi.dev.yaml")
    assert StackFile.find("dev", tmp_path).project.root == tmp_path


def test_values_of_the_project_count(tmp_path: Path) -> None:
    project(tmp_path, BASE.replace("  aws:region: ap-northeast-1\n  p:environment: development\n", ""))
    values = "  aws:region: ap-northeast-1\n  p:environment: {default: staging, type: string}\n"
    (tmp_path / "Pulumi.yaml").write_text(f"name: p\nruntime: python\nconfig:\n{values}")
    found = StackFile.find("dev", tmp_path)
    assert (found.settings().region, found.settings().environment) == ("ap-northeast-1", "staging")
    assert aws_session(found).region == "ap-northeast-1"


def test_what_environments_keep_from_a_command_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = StackFile.find("dev", project(tmp_path, "environment: [triton/base]\n"))
    assert "Pulumi.dev.yaml:1:1: warning: environment: some values come from environments" in capsys.readouterr().err
    with pytest.raises(
        StackFileError, match=r"this command requires: aws:region, p:environment, p:tags"
    ):
        found.settings()
    complete = StackFile.find("dev", project(tmp_path, BASE + "environment: [triton/base]\n"))
    assert complete.settings().region == "ap-northeast-1"


def test_a_secret_value_leaves_the_rest_readable(tmp_path: Path) -> None:
    stack = BASE + "      environment: {TOKEN: {secure: v1:abc}}\n  p:bucket: {name: my-models}\n"
    settings = StackFile.find("dev", project(tmp_path, stack)).settings()
    assert settings.endpoints["iris"].variants["AllTraffic"].environment == {"TOKEN": SECRET}
    assert settings.bucket.name == "my-models"


@pytest.mark.parametrize("secret", ["{iris: {KEY: {secure: v1:abc}}}", "{secure: v1:abc}"])
def test_a_secret_setting_is_taken_encrypted(tmp_path: Path, secret: str) -> None:
    found = StackFile.find("dev", project(tmp_path, BASE + f"  p:secretEnvironment: {secret}\n")).settings()
    assert found.secret_environment in ({"iris": {"KEY": SECRET}}, {})


def test_endpoints_that_are_secret_as_a_whole_cannot_be_read(tmp_path: Path) -> None:
    stack = BASE.split("  p:endpoints:")[0] + "  p:endpoints: {secure: v1:abc}\n"
    with pytest.raises(StackFileError, match="p:endpoints is secret as a whole"):
        StackFile.find("dev", project(tmp_path, stack)).settings()


@pytest.mark.parametrize(
    "key", ["aws:secretKey: {secure: v1:abc}", "aws:assumeRoles: [{roleArn: r, externalId: {secure: v1:abc}}]"]
)
def test_a_secret_of_the_provider_is_refused_with_the_way_out(tmp_path: Path, key: str) -> None:
    name = key.partition(": ")[0]
    with pytest.raises(StackFileError, match=f"{name} is secret.*credentials in the environment"):
        aws_session(StackFile.find("dev", project(tmp_path, f"{BASE}  {key}\n")))


def test_aws_is_asked_as_the_provider_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    stack = f"{BASE}  aws:endpoints: [{{sagemaker: 'http://127.0.0.1:1'}}]\n  aws:maxRetries: 3\n"
    client = aws_session(StackFile.find("dev", project(tmp_path, stack))).client("sagemaker")
    assert (client.meta.region_name, client.meta.endpoint_url) == ("ap-northeast-1", "http://127.0.0.1:1")
    assert client.meta.config.retries["total_max_attempts"] == 3


def test_a_tolerant_session_reads_misspelt_keys_of_the_provider_and_leaves_unknown_ones_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    stack = BASE.replace("aws:region", "aws:regoin") + "  aws:nonsense: 1\n"
    found = StackFile.find("dev", project(tmp_path, stack))
    assert aws_session(found, tolerant=True).region == "ap-northeast-1"
    found = StackFile.find("dev", project(tmp_path, BASE.replace("  aws:region: ap-northeast-1\n", "")))
    with pytest.raises(StackFileError, match=r"dev\.yaml has no readable aws:region\. Set AWS_REGION\."):
        aws_session(found, tolerant=True)
