"""`python -m infra` lists its commands, imports only the one that runs, and shows no traceback for bad input."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from typer.main import get_command

from infra.__main__ import COMMANDS, main
from tests.infra.mock_runtime import ROOT


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_of_a_command_is_the_first_sentence_of_its_help(name: str) -> None:
    command = get_command(import_module(f"infra.cli.{name}").app)
    assert (command.help or "").split("\n")[0] == COMMANDS[name]


@pytest.mark.parametrize("name", ["mirror", "model"])
def test_a_command_without_settings_starts_without_pydantic(name: str) -> None:
    program = f"import sys, infra.cli.{name}; assert 'pydantic' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_help_imports_no_command() -> None:
    program = "import sys; from infra.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    program += "assert not [name for name in sys.modules if name.startswith(('infra.cli.', 'pydantic', 'botocore'))]"
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, ""),
        (["plan"], 2, "No such command 'plan'."),
        (["relase"], 2, "Did you mean 'release'?"),
        (["validate", "--format", "xml"], 2, "--format"),
        (["validate", "--cwd", "nowhere"], 2, "'nowhere' does not exist."),
        (["explain", "--cwd", "/"], 2, "Pulumi.yaml does not exist in"),
        (["explain", "--write"], 2, "docs/configuration.md: File exists."),
        (["schema"], 2, "schema/stack.schema.json: File exists."),
        (["policy", "deployer"], 2, "--stack"),
        (["policy", "nobody", "-s", "x"], 2, "nobody"),
        (["policy", "deployer", "-s", "../x"], 2, "Pulumi.x.yaml does not exist"),
        (["policy", "deployer", "-s", "x", "--account", "12"], 2, "12 digits"),
        (["policy", "deployer", "-s", "x", "--also", ""], 2, "--also"),
        (["release", "status", "-s", "x"], 2, "Pulumi.x.yaml does not exist"),
        (["release", "history", "-s", "x", "--limit", "0"], 2, "--limit"),
        (["model", "check", "nowhere"], 2, "nowhere does not exist."),
        (["model", "pack", "nowhere"], 2, ""),
    ],
)
def test_bad_input_is_a_message_and_an_exit_code(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    for name in ("docs", "schema"):
        (project / name).touch()
    monkeypatch.chdir(project)
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == code
    printed = capsys.readouterr()
    assert words in " ".join((printed.out + printed.err).split())


def test_an_interrupt_while_a_command_is_imported_shows_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("infra.__main__.import_module", interrupt)
    with pytest.raises(SystemExit) as ended:
        main(["validate"])
    assert ended.value.code == 130


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["policy", "deployer", "-s", "dev", "--account", "123456789012"], 0), (["model", "check", "s3://b/k"], 2)],
)
def test_a_profile_that_does_not_exist_is_no_traceback(
    arguments: list[str], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nope")
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert (ended.value.code or 0) == code
    assert ("(nope)" in capsys.readouterr().err) is bool(code)
