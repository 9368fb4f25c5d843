"""A rule of the model check, and the register of all rules that the check runs and the documentation lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from infra.diagnostics.problem import Severity

if TYPE_CHECKING:
    from infra.triton.deployment import Deployment
    from infra.triton.model import Model


class Finding(NamedTuple):
    """What a rule found.

    Attributes:
        text: what is wrong, without the remedy.
        at: the field of the configuration, such as `input[0].dims[1]`.
        file: the path in the repository if the finding is not about a field.
        line: the line in `file`.
        severity: another one than the rule's, where Triton may serve the model nevertheless.
    """

    text: str
    at: str = ""
    file: str | None = None
    line: int | None = None
    severity: Severity | None = None


Findings = Iterator[Finding]
ModelCheck = Callable[["Model", "Deployment"], Findings]
RepositoryCheck = Callable[["Deployment"], Findings]


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        id: kebab-case.
        reason: what Triton or SageMaker does otherwise.
        remedy: what to do, imperative; ends the message.
        source: the function or document that the rule restates.
    """

    id: str
    severity: Severity
    reason: str
    remedy: str
    source: str


MODEL_RULES: dict[Rule, ModelCheck] = {}
"""The rules about one model."""
REPOSITORY_RULES: dict[Rule, RepositoryCheck] = {}
"""The rules about the repository as a whole."""


def model_rule(id: str, remedy: str, source: str, severity: Severity = "error") -> Callable[[ModelCheck], ModelCheck]:
    """Register a check of one model; its docstring is the rule's reason."""

    def register(check: ModelCheck) -> ModelCheck:
        MODEL_RULES[Rule(id, severity, _reason(check), remedy, source)] = check
        return check

    return register


def repository_rule(
    id: str, remedy: str, source: str, severity: Severity = "error"
) -> Callable[[RepositoryCheck], RepositoryCheck]:
    """Register a check of the repository; its docstring is the rule's reason."""

    def register(check: RepositoryCheck) -> RepositoryCheck:
        REPOSITORY_RULES[Rule(id, severity, _reason(check), remedy, source)] = check
        return check

    return register


def _reason(check: Callable[..., Findings]) -> str:
    assert check.__doc__
    return " ".join(check.__doc__.split())
