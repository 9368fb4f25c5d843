"""A rehearsal runs the upload that an error asks for, and goes on."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import rehearsal
from sandbox.home import Sandbox, SandboxError
from sandbox.stacks import Stack, StackFailed, Update

ERROR = "no such object. Upload it:\n\n    aws s3 cp {name}.tar.gz s3://models/artifacts/{name}.tar.gz\n\nthen go on"
DEPLOYED = Update({"create": 1}, (), "")


class StackThatAsks(Stack):
    """Fails with these texts, one an `up`, then deploys."""

    def __init__(self, sandbox: Sandbox, *errors: str) -> None:
        super().__init__(sandbox, "prod")
        self.errors = list(errors)

    def up(self, on_output: object = None, color: str = "never", ignore_protect: bool = False) -> Update:
        if self.errors:
            text = self.errors.pop(0)
            raise StackFailed(text, text)
        return DEPLOYED


@pytest.fixture
def uploaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    commands: list[str] = []
    monkeypatch.setattr(rehearsal, "upload_example", lambda sandbox, command: commands.append(command))
    return commands


def test_each_upload_that_an_error_asks_for_is_done_once_and_said(tmp_path: Path, uploaded: list[str]) -> None:
    said: list[str] = []
    both = ERROR.format(name="a") + ERROR.format(name="b")
    stack = StackThatAsks(Sandbox(tmp_path, tmp_path, said.append), both, ERROR.format(name="c"))

    assert rehearsal.up(stack) is DEPLOYED
    assert uploaded == [f"aws s3 cp {name}.tar.gz s3://models/artifacts/{name}.tar.gz" for name in "abc"]
    assert all("prod goes on" in line for line in said)


def test_an_error_that_asks_for_the_same_again_ends_it(tmp_path: Path, uploaded: list[str]) -> None:
    stack = StackThatAsks(Sandbox(tmp_path, tmp_path, print), *[ERROR.format(name="a")] * 2)

    with pytest.raises(StackFailed):
        rehearsal.up(stack)
    assert len(uploaded) == 1


@pytest.mark.parametrize(("speed", "told"), [(60, "a minute in 1 s"), (1, "in real time")])
def test_time_passes_faster_as_long_as_the_rehearsal_lasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speed: float, told: str
) -> None:
    said: list[str] = []
    imposed: list[float] = []
    sandbox = Sandbox(tmp_path, tmp_path, said.append)
    monkeypatch.setattr(sandbox, "impose", lambda timeFactor: imposed.append(timeFactor))
    with pytest.raises(StackFailed), rehearsal.at_speed(sandbox, speed):
        assert imposed == [speed]
        raise StackFailed("rolled back")
    assert imposed == [speed, 1]
    assert told in said[0]


def test_any_other_error_ends_it(tmp_path: Path, uploaded: list[str]) -> None:
    stack = StackThatAsks(Sandbox(tmp_path, tmp_path, print), "AccessDenied")

    with pytest.raises(StackFailed, match="AccessDenied"):
        rehearsal.up(stack)
    assert uploaded == []


def test_no_other_command_than_an_upload_of_a_file_by_its_name_is_run() -> None:
    assert rehearsal.uploads("aws s3 rm s3://models/a; aws s3 cp /etc/passwd s3://models/a") == set()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path_factory.mktemp("rehearsal"), say=print)
    sandbox.start()
    yield sandbox
    sandbox.stop()


def test_the_command_uploads_the_example_model(sandbox: Sandbox) -> None:
    client = sandbox.client("s3", "us-east-1")
    client.create_bucket(Bucket="models")

    rehearsal.upload_example(sandbox, "aws s3 cp model_7.tar.gz s3://models/artifacts/model_7.tar.gz")

    archive = client.get_object(Bucket="models", Key="artifacts/model_7.tar.gz")["Body"].read()
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        assert "iris/config.pbtxt" in packed.getnames()


def test_a_command_that_fails_shows_its_own_words(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="NoSuchBucket"):
        rehearsal.upload_example(sandbox, "aws s3 cp model_7.tar.gz s3://nowhere/artifacts/model_7.tar.gz")
