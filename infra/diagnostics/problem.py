"""One problem of a stack: in its settings, in the text of its file or in a model repository that it names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from infra.diagnostics.printable import printable
from infra.diagnostics.suggest import nearest
from infra.errors import UserError

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
_ENDPOINT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}")
"""The name of an endpoint, or of a variable whose endpoint is missing."""
_ASSIGNMENT = re.compile(r"([A-Z_][A-Z0-9_]*)=.+", re.DOTALL)
"""A variable with its value in the place of a key, perhaps above `environment`."""
_TOKEN = re.compile(
    r"(?=[A-Za-z]*\d)(?:[A-Z0-9]{16,}|[a-z0-9]{20,}|(?=[A-Z0-9]*[a-z])(?=[a-z0-9]*[A-Z])[A-Za-z0-9]{16,})"
)
"""The form of access keys, digests and API keys."""
_PLAIN = re.compile(r"[^.\[\]\"\s]+")

Location = tuple[str | int, ...]
"""The keys, names and positions in lists that lead to a setting."""

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Problem:
    """A mistake, or, as a warning, something valid that is probably a mistake.

    Attributes:
        rule: the kebab-case id of the rule that it violates: `min-over-max`.
        message: the value, the rule and the way out.
        path: the keys that lead to it in the stack file: `("triton-sagemaker:endpoints", "ranking", "autoscaling")`.
        file: the file that it is in, where that is known: a file of a model repository, or the stack file.
        line: the line of the file, from 1.
        column: the column of the line, from 1.
    """

    rule: str
    message: str
    severity: Severity = "error"
    path: Location = ()
    file: str | None = None
    line: int | None = None
    column: int | None = None

    @property
    def key(self) -> str:
        """The path as Pulumi spells it: `triton-sagemaker:endpoints.ranking.autoscaling.min`."""
        return key_of(self.path)

    @property
    def position(self) -> str:
        """`FILE:LINE:COLUMN`, as far as it is known."""
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    @property
    def text(self) -> str:
        """`KEY: message [rule]`."""
        key = [self.key] if self.path or not self.file else []
        return printable(": ".join([*key, f"{self.message} [{self.rule}]"]))

    def __str__(self) -> str:
        """`FILE:LINE:COLUMN: warning: KEY: message [rule]`, without the parts that it does not have."""
        severity = "warning" if self.severity == "warning" else ""
        return printable(": ".join(filter(None, (self.position, severity, self.text))))


class ConfigurationError(UserError):
    """The stack's configuration is invalid. The text lists every error on its own line.

    Attributes:
        problems: the errors.
        warnings: those that do not follow from an error.
    """

    exit_code = 2

    def __init__(self, problems: Sequence[Problem], warnings: Sequence[Problem] = ()) -> None:
        self.problems, self.warnings = tuple(problems), tuple(warnings)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"the stack's configuration has {count}; nothing was changed:\n{lines}")


def key_of(path: Location) -> str:
    """A path in the stack file as Pulumi spells it."""
    first, *below = path or ("config",)
    return printable(str(first) + "".join(map(_part, _without_values(str(first), below))))


def path_of(location: Location, project: str) -> Location:
    """The path in the stack file of a setting of a Pulumi project."""
    if not location:
        return ()
    first, *below = location
    return ("aws:region" if first == "region" else f"{project}:{first}", *below)


def _without_values(first: str, below: Sequence[str | int]) -> Iterator[str | int]:
    """In an environment, a value may be in the place of a name by mistake, and it may be a secret."""
    above: str | int = first.rpartition(":")[2]
    environment, form = None, _ENDPOINT
    for part in below:
        if key := nearest(str(above), ("environment", "secretEnvironment")):
            environment, form = key, _ENDPOINT
        elif environment:
            form = _VARIABLE
        is_name = environment and isinstance(part, str)
        if is_name:
            yield _name(str(part), form if environment == "secretEnvironment" else None)
        else:
            yield _ASSIGNMENT.sub(r"\1…", part) if isinstance(part, str) else part
        above = part


def _name(part: str, form: re.Pattern[str] | None) -> str:
    """The name in `KEY=value` or `KEY:value`; where all values are secret, only what has the form of a name."""
    name = re.split(r"(?<=\w)[:=]", part, maxsplit=1)[0]
    if form and (not form.fullmatch(name) or _TOKEN.search(name)):
        return "…"
    return name if name == part else f"{name}…"


def _part(part: str | int) -> str:
    """A part of a path in the syntax of `pulumi config set --path`."""
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _PLAIN.fullmatch(part) else f"[{json.dumps(part, ensure_ascii=False)}]"
