"""Looks at an endpoint, its alarms, its requests and its history, and tells how its release is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from infra.aws.errors import AwsRequestRefused, aws_calls
from infra.release import alarms
from infra.release.estimate import Duration
from infra.release.live import EndpointDescription, EndpointReader
from infra.release.policy import ReleasePolicy, policy_of, rollback_alarms
from infra.release.progress import CurrentStep, Requests
from infra.release.records import ReleaseHistory, ReleaseRecord
from infra.release.status import (
    RECENT_SECONDS,
    Observation,
    ReleaseStatus,
    policy_under_way,
    status,
    tells_of_rollout,
)

_RECORDS = 5
"""Records that are searched for the last release that was not refused before it began."""


class ReleaseObserver:
    """Looks at one endpoint, once or again and again.

    Args:
        client: gives boto3's client of a service.
        name: the endpoint's name.
        bucket: the model bucket; None takes the one that the live model was loaded from.
        relatives: other endpoints of the stack, whose models come from the same bucket.
        existing_alarms: those in the settings that were there before.
        planned: the policy in the settings; None takes that of the last deployment.
        provisioning: how long new instances take to answer; None if it is not known.
        note: called with what could not be read.
    """

    def __init__(
        self,
        client: Callable[[str], Any],
        name: str,
        *,
        bucket: str | None,
        relatives: Sequence[str] = (),
        existing_alarms: list[str],
        planned: ReleasePolicy | None,
        provisioning: Duration | None,
        note: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._cloudwatch, self._s3 = client("cloudwatch"), client("s3")
        self.name, self._bucket, self._relatives, self._existing = name, bucket, relatives, existing_alarms
        self._planned, self._provisioning, self._note, self._now = planned, provisioning, note, now
        self._reader = EndpointReader(client("sagemaker"))
        self._step = CurrentStep()
        self._attempted: str | None = None
        self._reason = ""

    def endpoint(self) -> EndpointDescription | None:
        """The endpoint as it is now; None if there is none."""
        with aws_calls(f"endpoint {self.name}"):
            return self._reader.endpoint(self.name)

    def look(self) -> ReleaseStatus | None:
        """How the endpoint's release is now; None if there is no endpoint."""
        endpoint, now = self.endpoint(), self._now()
        if endpoint is None:
            return None
        endpoint = self._with_what_was_seen(endpoint)
        with aws_calls(f"metrics of endpoint {self.name}"):
            requests = self._requests(endpoint, now)
        seen = Observation(
            endpoint=endpoint,
            alarms=alarms.readings(self._cloudwatch, self._alarms(endpoint), now),
            requests=requests,
            record=None if endpoint.in_progress else self._last_release(endpoint),
            now=now,
            attempted=self._attempted,
        )
        planned = self._planned or policy_of(endpoint.deployment)
        self._step.see(endpoint, policy_under_way(endpoint, planned), requests.get(endpoint.heading_for, {}))
        return status(seen, self._step, planned, self._provisioning)

    def history(self, limit: int) -> list[ReleaseRecord]:
        """The last releases, newest first; empty where no bucket is known that could hold any."""
        return self._records(self.endpoint(), limit)

    def _with_what_was_seen(self, endpoint: EndpointDescription) -> EndpointDescription:
        """The endpoint with the reason of the rollback that was seen: SageMaker may drop it."""
        if endpoint.is_rolling_out and endpoint.heading_for != self._attempted:
            self._attempted, self._reason = endpoint.heading_for, ""
        self._reason = endpoint.failure_reason or self._reason
        return endpoint if endpoint.serves(self._attempted or "") else endpoint.with_reason(self._reason)

    def _alarms(self, endpoint: EndpointDescription) -> list[str]:
        if tells_of_rollout(endpoint):
            return rollback_alarms(endpoint.deployment)
        return [*self._existing, *alarms.names_of_configuration(self._cloudwatch, endpoint.heading_for)]

    def _requests(self, endpoint: EndpointDescription, now: float) -> dict[str, Requests]:
        fleets = {endpoint.config_name: endpoint.live_variants, endpoint.heading_for: endpoint.variants}
        since = min(now - RECENT_SECONDS, endpoint.rollout_began or now)
        requests: dict[str, Requests] = {}
        for config, variants in fleets.items():
            counted = Counter[float]()
            for variant in variants:
                counted.update(
                    alarms.invocations_by_minute(
                        self._cloudwatch, endpoint.name, variant.name, config, since, until=now
                    )
                )
            requests[config] = counted
        return requests

    def _last_release(self, endpoint: EndpointDescription) -> ReleaseRecord | None:
        try:
            records = self._records(endpoint, _RECORDS)
        except AwsRequestRefused as refusal:
            self._note(f"the history of releases is left out: {refusal}")
            return None
        return next((each for each in records if each.result not in ("refused", "deleted")), None)

    def _records(self, endpoint: EndpointDescription | None, limit: int) -> list[ReleaseRecord]:
        bucket = self._bucket or self._bucket_of(endpoint) or next(self._buckets_of_relatives(), None)
        return ReleaseHistory(self._s3, bucket, self._note).latest(self.name, limit) if bucket else []

    def _buckets_of_relatives(self) -> Iterator[str]:
        for name in self._relatives:
            with aws_calls(f"endpoint {name}"):
                endpoint = self._reader.endpoint(name)
            if bucket := self._bucket_of(endpoint):
                yield bucket

    def _bucket_of(self, endpoint: EndpointDescription | None) -> str | None:
        """The bucket that the live model was loaded from."""
        if endpoint is None:
            return None
        with aws_calls(f"model of endpoint {endpoint.name}"):
            config = self._reader.configuration(endpoint.config_name)
            model = self._reader.model(config["ProductionVariants"][0]["ModelName"]) if config else None
        url = urlsplit((model or {}).get("PrimaryContainer", {}).get("ModelDataUrl", ""))
        return url.netloc if url.scheme == "s3" else None
