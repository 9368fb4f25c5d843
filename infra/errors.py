"""The root of the errors that people read."""

from __future__ import annotations

from typing import ClassVar

INTERRUPTED = 130
"""The exit code of a command after Ctrl-C, as shells give it: 128 and the number of SIGINT."""


class UserError(Exception):
    """An error whose text is complete as it is: it names the cause and the way out.

    A command prints the text and exits with `exit_code`; it shows no traceback.

    Attributes:
        exit_code: 1 if what the command checks, runs or watches failed, 2 if the command could not do its work.
        hint: a further line of a command; other messages may quote the text without it.
    """

    exit_code: ClassVar[int] = 1
    hint: str = ""
    __module__ = "__main__"  # Pulumi prints a provider's error as a traceback does; this omits the module path

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__module__ = UserError.__module__
