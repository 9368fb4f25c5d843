"""What became of a release, told to the history and to those who want to know."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

from infra.aws.errors import aws_calls
from infra.release.changes import artifacts, changes
from infra.release.description import EndpointDescription
from infra.release.failure import ReleaseFailed, ReleaseTimeout
from infra.release.gate import ReleaseRefused
from infra.release.history import ReleaseRecord, Result
from infra.release.reader import EndpointReader
from infra.release.rollout import Rollout
from infra.release.waiting import Clock

_T = TypeVar("_T")


class ReleaseRecorder:
    """Records how releases end. Whatever fails in doing so is a warning: it changes no release's outcome.

    Args:
        sagemaker: boto3's `sagemaker` client, for what the configurations hold.
        sts: boto3's `sts` client, for who released.
        keep: called with each record.
        warn: called with what could not be read or kept.
    """

    def __init__(
        self, *, sagemaker: Any, sts: Any, keep: Sequence[Callable[[ReleaseRecord], None]], warn: Callable[[str], None]
    ) -> None:
        self._reader, self._sts = EndpointReader(sagemaker), sts
        self._keep, self._warn = keep, warn

    @contextlib.contextmanager
    def recording(self, endpoint: str, config_name: str, rollout: Rollout, clock: Clock) -> Iterator[None]:
        """Record how the rollout ends that is made inside; nothing if there was none to make."""
        try:
            yield
        except Exception as error:
            self._record(endpoint, config_name, rollout, clock.now(), error)
            raise
        self._record(endpoint, config_name, rollout, clock.now(), None)

    def _record(self, endpoint: str, config_name: str, rollout: Rollout, now: float, error: Exception | None) -> None:
        ended, resource = result(rollout, error), f"endpoint {endpoint}"
        if ended is None or not self._keep:
            return
        contents = self._or_warn(resource, lambda: self._contents(rollout.from_config, config_name))
        changed, artifacts = contents or ((), ())
        record = ReleaseRecord(
            endpoint=endpoint,
            result=ended,
            from_config=rollout.from_config,
            to_config=config_name,
            began=rollout.began,
            ended=now,
            who=self._or_warn(resource, self._caller) or "unknown",
            strategy=rollout.policy.strategy,
            changes=changed,
            reason=_reason(error) or rollout.note,
            alarms=tuple(rollout.fired),
            override=rollout.override,
            artifacts=artifacts,
        )
        self._keep_record(record)

    def deleted(self, endpoint: EndpointDescription, began: float, ended: float, override: str | None) -> None:
        """Record that an endpoint was deleted, which `override` says why it was in a freeze window."""
        if not self._keep:
            return
        self._keep_record(
            ReleaseRecord(
                endpoint=endpoint.name,
                result="deleted",
                from_config=endpoint.config_name or None,
                to_config=None,
                began=began,
                ended=ended,
                who=self._or_warn(f"endpoint {endpoint.name}", self._caller) or "unknown",
                strategy="",
                override=override,
            )
        )

    def _keep_record(self, record: ReleaseRecord) -> None:
        for keep in self._keep:
            self._or_warn(f"endpoint {record.endpoint}", partial(keep, record))

    def _or_warn(self, resource: str, work: Callable[[], _T]) -> _T | None:
        try:
            with aws_calls(resource):
                return work()
        except Exception as error:
            self._warn(f"the record of a release of {resource} is not complete: {error}")
            return None

    def _caller(self) -> str:
        return str(self._sts.get_caller_identity()["Arn"])

    def _contents(self, old_name: str | None, new_name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What the new configuration changes, and the artifacts that it serves. Nothing is known of a configuration
        that is gone."""
        old = self._reader.configuration(old_name) if old_name else None
        new = self._reader.configuration(new_name)
        configs = [config for config in (old, new) if config is not None]
        names = {variant["ModelName"] for config in configs for variant in config["ProductionVariants"]}
        read = {name: self._reader.model(name) for name in sorted(names)}
        models = {name: model for name, model in read.items() if model is not None}
        changed = changes(old, new, models) if old is not None and new is not None else ()
        return changed, artifacts(new, models) if new is not None else ()


def result(rollout: Rollout, error: Exception | None) -> Result | None:
    """How a release ended; None when there was nothing to release."""
    if not rollout.tried:
        return None
    if isinstance(error, ReleaseFailed):
        return error.result
    if isinstance(error, ReleaseTimeout):
        return "timedOut"
    if rollout.asked is None:
        return "refused" if error else None
    # no longer being able to look at a rollout is not its failure
    return "timedOut" if error else "succeeded"


def _reason(error: Exception | None) -> str:
    reason = error.reason if isinstance(error, (ReleaseFailed, ReleaseRefused)) else ""
    return next(iter((reason or str(error or "")).splitlines()), "")
