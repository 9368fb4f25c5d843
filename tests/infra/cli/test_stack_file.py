"""Stack files read without the engine."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from infra.aws.session import AwsSession
from infra.cli.project import StackFileError
from infra.cli.session import aws_session
from infra.cli.stack_file import StackFile
from infra.cli.validate import check
from infra.settings.environment import SECRET

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
    file = StackFile.find("dev", below)
    assert (file.project.name, file.stack, file.path) == ("p", "dev", tmp_path / "Pulumi.dev.yaml")
    assert list(file.settings().endpoints) == ["iris"]


def test_a_stack_may_be_named_in_full(tmp_path: Path) -> None:
    assert StackFile.find("acme/p/dev", project(tmp_path)).stack == "dev"


def test_a_missing_project_and_a_missing_stack_are_errors_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(StackFileError, match=r"Pulumi\.yaml does not exist in .* --cwd"):
        StackFile.find("dev", tmp_path)
    with pytest.raises(typer.BadParameter, match=r"Pulumi\.prod\.yaml does not .*Stack files: Pulumi\.dev\.yaml"):
        StackFile.find("prod", project(tmp_path))


def test_no_command_reads_a_secret_variable_of_a_transform_job(tmp_path: Path) -> None:
    job = BASE + "      batch: {environment: {KEY: {secure: v1:AAAA:AAAA}}}\n"
    with pytest.raises(StackFileError, match="KEY: must not be a secret"):
        StackFile.find("dev", project(tmp_path, job)).settings()


@pytest.mark.parametrize("text", ["config: [", "just words"])
def test_a_file_with_problems_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(StackFileError, match=r"^the stack file has 1 problem:\n  .*Pulumi\.dev\.yaml:1:"):
        StackFile.find("dev", project(tmp_path, text))


def test_settings_with_problems_are_refused_as_validate_shows_them(tmp_path: Path) -> None:
    wrong = BASE.replace("development", "dev").replace("{path: models}", "{artefact: artifacts/m.tar.gz}")
    file = StackFile.find("dev", project(tmp_path, wrong))
    with pytest.raises(StackFileError) as refused:
        file.settings()
    assert str(refused.value).splitlines()[1:] == [f"  {problem}" for problem in check(file.path)]


def test_stack_files_may_be_in_a_directory_of_their_own(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "Pulumi.yaml").write_text("name: p\nruntime: python\nstackConfigDir: stacks\n")
    (tmp_path / "stacks").mkdir()
    (tmp_path / "Pulumi.dev.yaml").rename(tmp_path / "stacks" / "Pulumi.dev.yaml")
    assert StackFile.find("dev", tmp_path).project.root == tmp_path


def test_values_of_the_project_apply(tmp_path: Path) -> None:
    project(tmp_path, BASE.replace("  aws:region: ap-northeast-1\n  p:environment: development\n", ""))
    values = "  aws:region: ap-northeast-1\n  p:environment: {default: staging, type: string}\n"
    (tmp_path / "Pulumi.yaml").write_text(f"name: p\nruntime: python\nconfig:\n{values}")
    file = StackFile.find("dev", tmp_path)
    assert (file.settings().region, file.settings().environment) == ("ap-northeast-1", "staging")
    assert aws_session(file).region == "ap-northeast-1"


def test_an_error_names_the_values_that_only_environments_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = StackFile.find("dev", project(tmp_path, "environment: [triton/base]\n"))
    assert "Pulumi.dev.yaml:1:1: warning: environment: " in capsys.readouterr().err
    with pytest.raises(StackFileError, match=r"this command requires: aws:region, p:environment, p:tags"):
        file.settings()
    complete = StackFile.find("dev", project(tmp_path, BASE + "environment: [triton/base]\n"))
    assert complete.settings().region == "ap-northeast-1"


def test_a_secret_value_leaves_the_rest_readable(tmp_path: Path) -> None:
    stack = BASE + "      environment: {TOKEN: {secure: v1:abc}}\n  p:bucket: {name: my-models}\n"
    settings = StackFile.find("dev", project(tmp_path, stack)).settings()
    assert settings.endpoints["iris"].variants["AllTraffic"].environment == {"TOKEN": SECRET}
    assert settings.bucket.name == "my-models"


@pytest.mark.parametrize("secret", ["{iris: {KEY: {secure: v1:abc}}}", "{secure: v1:abc}"])
def test_a_secret_setting_may_be_encrypted(tmp_path: Path, secret: str) -> None:
    file = StackFile.find("dev", project(tmp_path, BASE + f"  p:secretEnvironment: {secret}\n")).settings()
    assert file.secret_environment in ({"iris": {"KEY": SECRET}}, {})


def test_endpoints_that_are_secret_as_a_whole_cannot_be_read(tmp_path: Path) -> None:
    stack = BASE.split("  p:endpoints:")[0] + "  p:endpoints: {secure: v1:abc}\n"
    with pytest.raises(StackFileError, match="p:endpoints: must not be a secret"):
        StackFile.find("dev", project(tmp_path, stack)).settings()


@pytest.mark.parametrize(
    "key", ["aws:secretKey: {secure: v1:abc}", "aws:assumeRoles: [{roleArn: r, externalId: {secure: v1:abc}}]"]
)
def test_a_secret_of_the_provider_is_refused_with_the_way_out(tmp_path: Path, key: str) -> None:
    name = key.partition(": ")[0]
    with pytest.raises(StackFileError, match=f"{name} is secret.*credentials in the environment"):
        aws_session(StackFile.find("dev", project(tmp_path, f"{BASE}  {key}\n")))


def test_a_session_has_the_provider_s_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    stack = f"{BASE}  aws:endpoints: [{{sagemaker: 'http://127.0.0.1:1'}}]\n  aws:maxRetries: 3\n"
    client = aws_session(StackFile.find("dev", project(tmp_path, stack))).client("sagemaker")
    assert (client.meta.region_name, client.meta.endpoint_url) == ("ap-northeast-1", "http://127.0.0.1:1")
    assert client.meta.config.retries["total_max_attempts"] == 3


def test_a_tolerant_session_reads_misspelt_keys_of_the_provider_and_ignores_unknown_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    stack = BASE.replace("aws:region", "aws:regoin") + "  aws:nonsense: 1\n"
    file = StackFile.find("dev", project(tmp_path, stack))
    assert aws_session(file, tolerant=True).region == "ap-northeast-1"
    file = StackFile.find("dev", project(tmp_path, BASE.replace("  aws:region: ap-northeast-1\n", "")))
    with pytest.raises(StackFileError, match=r"dev\.yaml has no readable aws:region"):
        aws_session(file, tolerant=True)
