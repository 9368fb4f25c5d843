"""`python -m infra logs`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.__main__ import main
from infra.monitoring import logs
from tests.infra.cli.test_stack_file import BASE, project
from tests.infra.monitoring.test_logs import Logs, event

ERROR = event(1_764_320_400, "E1128 09:00:00.123456 7 model.cc:3] failed\x1b[2J")


@pytest.fixture
def aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Logs:
    client = Logs([[ERROR]])
    session = type("Session", (), {"client": lambda _self, _service: client})()
    monkeypatch.setattr("infra.cli.release_target.aws_session", lambda *_, **__: session)
    monkeypatch.chdir(project(tmp_path, BASE))
    return client


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["logs", "-s", "dev", *arguments])
    return int(ended.value.code or 0)


def test_a_line_has_time_instance_severity_and_no_control_characters(
    aws: Logs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 0
    assert capsys.readouterr().out == "2025-11-28T09:00:00Z AllTraffic/i-1 ERROR   model.cc:3] failed\\x1b[2J\n"


def test_json_has_a_line_for_each_event(aws: Logs, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts == {
        "time": "2025-11-28T09:00:00Z",
        "stream": "AllTraffic/i-1",
        "level": "error",
        "message": "model.cc:3] failed\x1b[2J",
    }


def test_following_ends_with_an_interrupt(aws: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(logs.EndpointLog.follow, "__defaults__", (True, interrupt))
    assert run("--follow", "--since", "2h", "--filter", "failed") == 130
    assert aws.requests[0]["filterPattern"] == "failed"


def test_what_is_awaited_and_that_nothing_was_found_is_a_note_on_stderr(
    aws: Logs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(_seconds: float) -> None:
        if len(aws.requests) == 3:
            raise KeyboardInterrupt

    aws.polls = ["ResourceNotFoundException", "ResourceNotFoundException", []]
    monkeypatch.setattr(logs.EndpointLog.follow, "__defaults__", (True, sleep))
    assert run("--follow") == 130
    assert capsys.readouterr().err.count("/aws/sagemaker/Endpoints/iris does not exist") == 1
    aws.polls = [[]]
    assert run("--since", "1m") == 0
    assert "no line since 1m" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--since", "yesterday"], 2), (["--since", "999999d"], 2), (["--filter", "a.b"], 2), ([], 1)],
)
def test_bad_input_is_a_message(aws: Logs, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int) -> None:
    aws.polls = ["InvalidParameterException" if "--filter" in arguments else "ResourceNotFoundException"]
    assert run(*arguments) == code
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--follow"]])
@pytest.mark.parametrize(("exists", "code", "what"), [(False, 2, "endpoint"), (True, 1, "log group /aws/sagemaker")])
def test_the_log_of_an_endpoint_that_the_stack_file_does_not_have_is_not_awaited(
    aws: Logs,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    exists: bool,
    code: int,
    what: str,
) -> None:
    aws.polls = ["ResourceNotFoundException"]
    monkeypatch.setattr("infra.cli.release_target.ReleaseTarget.require_owned", lambda _: None)
    monkeypatch.setattr("infra.release.observer.ReleaseObserver.endpoint", lambda _: object() if exists else None)
    assert run("irsi", *arguments) == code
    error = capsys.readouterr().err
    assert error.startswith(f"error: {what}") and ("iris" in error) != exists
