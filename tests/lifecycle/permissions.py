"""Every call of a stack's deployments is one that the stack's own deployer policy allows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pulumi import automation

from infra.diagnostics.problem import ConfigurationError
from infra.policies.document import Policy
from infra.policies.principals import deployer, release_operator
from infra.policies.stack_names import StackNames
from infra.settings.load import SECRET_KEYS, load
from sandbox.aws.policy import Verdict, evaluate
from sandbox.stacks import Stack
from tests.infra.mock_runtime import ACCOUNT, texts
from tests.infra.policies.iam_requests import of_call

if TYPE_CHECKING:
    from tests.lifecycle.account import Account

ONLY_THE_STAND_INS = {"iam:ListRoleTags"}
"""What terraform-provider-aws does not ask: it reads a role's tags from GetRole."""

FORCED = ":alarm:forced-"
"""An alarm that a test forces itself while the engine works."""


class DeployedByPolicy(Stack):
    """A stack whose calls are checked while the engine works on it. The former documents apply together with the
    new ones, as docs/permissions.md asks of a change."""

    operated = False
    """Whether somebody runs `python -m infra release` while the engine works: the operator's documents apply too."""

    def __init__(self, account: Account, name: str, config: dict[str, Any]) -> None:
        super().__init__(account.sandbox, name, config)
        self.python = account.python
        self._account = account
        self._documents: list[Policy] = []
        self._boundary: str | None = None

    @contextlib.contextmanager
    def _operation(
        self, existing: bool = False, ignore_protect: bool = False, override_freeze: str | None = None
    ) -> Iterator[automation.Stack]:
        self._print_policy()
        before = self._account.now()
        try:
            with super()._operation(existing, ignore_protect, override_freeze) as stack:
                yield stack
        finally:
            self._account.denied += self._denied(before)

    def _print_policy(self) -> None:
        with contextlib.suppress(ConfigurationError):  # a stack file that the program refuses
            secret = {f"triton-sagemaker:{key}" for key in SECRET_KEYS}
            settings = load(texts(self.config or {}), "triton-sagemaker", secret, stack=self.name)
            self._boundary = settings.role.permissions_boundary
            names = StackNames(settings, self.name, "aws", ACCOUNT)
            self._documents += deployer(names)
            if self.operated:
                self._documents += release_operator(names)

    def _denied(self, before: int) -> list[str]:
        requests = {
            (request.action, request.resource, tuple(request.context.items()))
            for call in self._account.calls(before)
            for request in of_call(call["service"], call["operation"], call["params"], self._boundary)
        }
        return [
            f"{self.name}: {action} on {resource}"
            for action, resource, context in sorted(requests)
            if action not in ONLY_THE_STAND_INS
            and FORCED not in resource
            and evaluate(self._documents, action, resource, dict(context)) is not Verdict.ALLOWED
        ]
