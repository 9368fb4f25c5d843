"""An error that people can act on ends a command with its text and exit code, never with a traceback."""

from __future__ import annotations

import pytest

from infra import __main__ as command_line
from infra.diagnostics.problem import ConfigurationError
from infra.errors import UserError


@pytest.mark.parametrize(("error", "code"), [(UserError("the cause\nthe way out\x1b"), 1), (ConfigurationError([]), 2)])
def test_a_user_error_ends_a_command_with_its_text_and_exit_code(
    error: UserError, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(command_line.CommandGroup, "main", fail)
    with pytest.raises(SystemExit) as ended:
        command_line.main(["validate"])
    assert ended.value.code == code
    assert capsys.readouterr().err == f"error: {error}\n".replace("\x1b", "\\x1b")
