"""Protects what a stack must not lose by mistake, before the stack changes and before anything is deleted."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, UpdateResult

from infra.aws.errors import aws_calls
from infra.aws.mode import Mode
from infra.dynamic.provider import AwsResourceProvider, changed
from infra.errors import UserError
from infra.release import freeze, gates, modes
from infra.release.live import EndpointReader


class StackGuardProvider(AwsResourceProvider):
    """In production a loss replaces this resource, which the engine refuses while it is protected. In any stack an open
    freeze window prevents the deletion of endpoints that serve."""

    _is_update = False
    """Whether the program ran: an update calls `diff` before anything is deleted, and `destroy` does not."""

    def diff(self, _id: str, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        self._is_update = True
        self._require_unfrozen(news["project"], sorted(olds["endpoints"].keys() - news["endpoints"].keys()))
        self._require_mode_changes(olds["modes"], news["modes"])
        changes = changed(olds, news, "production", "bucket", "repository", "endpoints", "modes")
        lost = [*losses(olds, news)] if olds["production"] else []
        if not lost:
            return DiffResult(changes=bool(changes))
        listed = "\n  ".join(lost)
        if not news["production"]:  # one update cannot both leave production and delete what production protects
            raise UserError(
                f"{listed}\n  Production protects it until an update has changed environment. First change only "
                "environment and run `pulumi up`; then make the other changes."
            )
        _warn_once(
            f"{listed}\n  Production protects it: the update is refused before it begins. To confirm it, run:\n\n"
            f"    pulumi up -s {news['stack']} --ignore-protect\n"
        )
        return DiffResult(changes=True, replaces=changes)

    def create(self, props: dict[str, Any]) -> CreateResult:
        self._require_mode_changes({}, props["modes"])
        return CreateResult(props["stack"], props)

    def update(self, _id: str, _olds: dict[str, Any], news: dict[str, Any]) -> UpdateResult:
        return UpdateResult(news)

    def delete(self, _id: str, props: dict[str, Any]) -> None:
        if not self._is_update:
            self._require_unfrozen(props["project"], sorted(props["endpoints"]))

    def _require_mode_changes(self, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """
        Raises:
            ReleaseRefused: SageMaker cannot update an endpoint that serves to the mode that the settings have now. What
                it serves decides, not the state: an earlier change of mode may have failed, and an endpoint that is new
                to the stack may be adopted.
        """
        requested = {name: Mode(mode) for name, mode in after.items() if mode != before.get(name, Mode.BATCH)}
        if not requested:
            return
        reader = EndpointReader(self.aws.client("sagemaker"))
        for name, mode in requested.items():
            with aws_calls(f"endpoint {name}"):
                live = reader.endpoint(name)
            if live is None or live.status == "Failed":
                continue
            gates.require_mode(name, live.mode, mode)
            if warning := modes.caution(name, live.mode, mode):
                _warn_once(warning)

    def _require_unfrozen(self, project: str, deleted: Sequence[str]) -> None:
        """
        Raises:
            ReleaseRefused: a freeze window is open and not overridden, and one of these endpoints serves.
        """
        now = datetime.now(UTC)
        if not deleted or freeze.override(os.environ):
            return
        windows = freeze.windows_in(self.stack_config, project)
        if freeze.open_window(windows, now) is None:
            return
        reader = EndpointReader(self.aws.client("sagemaker"))
        for name in deleted:
            with aws_calls(f"endpoint {name}"):
                freeze.require_deletable(reader.endpoint(name), windows, now, None)


@cache
def _warn_once(message: str) -> None:
    """Once for the two guards of a stack."""
    pulumi.log.warn(message)


def losses(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """What an update replaces or deletes of what production protects, one sentence each.

    Args:
        before: the properties of a `StackGuard`.
        after: its new ones.
    """
    # a stack that leaves production may replace bucket and repository: they are registered without protection
    if after["production"] and before["repository"] and not after["repository"]:
        yield f"The repository {before['repository']} is no longer in the stack; it stays in the account."
    for kind in ("bucket", "repository") if after["production"] else ():
        old, new = (props[kind] or "of a generated name" for props in (before, after))
        if old != new and (kind == "bucket" or (before[kind] and after[kind])):
            yield f"The update would replace the {kind} {old} with the {kind} {new}; the old one stays in the account."
    for name, scaled in before["endpoints"].items():
        if name not in after["endpoints"]:
            yield f"The update would delete the endpoint {name}, with its autoscaling and alarms."
            continue
        was_serverless, is_serverless = (props["modes"][name] == Mode.SERVERLESS for props in (before, after))
        for variant in scaled:
            target = f"the scalable target of endpoint {name}, variant {variant}, with all its policies"
            if variant not in after["endpoints"][name]:
                yield f"The update would delete {target}."
            elif was_serverless != is_serverless:  # instances and provisioned concurrency are different dimensions
                yield f"The update would replace {target}, because the mode changes."


class StackGuard(Resource, module="infra", name="StackGuard"):
    """The first resource of a stack, on which all others depend, and the last one, which depends on all others.

    In production both are protected. Protecting the endpoint alone is too late: an update or `pulumi destroy` that
    deletes it first deletes its alarms and scaling policies, which depend on it.

    - An update that would delete or replace what is protected replaces the first guard. The engine refuses that in the
      preview, and before anything changes.
    - `pulumi destroy` begins with the last guard. If a resource cannot be deleted, the engine keeps everything that it
      depends on.
    - After such an update with `--ignore-protect` has failed, the next one replaces the last guard: without the option
      the engine refuses it before anything is deleted.

    Args:
        production: whether the stack is in production.
        bucket: the bucket's name; None if Pulumi chooses one.
        repository: the repository's name; empty if the image is used in place.
        endpoints: by endpoint, the variants with autoscaling.
        mode_of: by the name in the settings, how an endpoint or a Model for batch transform serves.
    """

    def __init__(
        self,
        resource_name: str,
        *,
        production: bool,
        bucket: str | None,
        repository: str,
        endpoints: Mapping[str, Sequence[str]],
        mode_of: Mapping[str, Mode],
        opts: pulumi.ResourceOptions,
    ) -> None:
        props = {
            "project": pulumi.get_project(),
            "stack": pulumi.get_stack(),
            "production": production,
            "bucket": bucket or "",  # Pulumi drops None
            "repository": repository,
            "endpoints": {name: [*variants] for name, variants in endpoints.items()},
            "modes": {name: mode.value for name, mode in mode_of.items()},
        }
        super().__init__(StackGuardProvider(), resource_name, props, opts)
