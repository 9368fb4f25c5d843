"""Reads an endpoint, its alarms, its requests and its history, for the status of its release."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from infra.aws.errors import AwsRequestRefused, aws_calls
from infra.aws.metrics import BACKLOG, REQUESTS
from infra.aws.mode import Mode
from infra.release import alarms
from infra.release.estimate import Duration
from infra.release.live import EndpointDescription, EndpointReader
from infra.release.policy import ReleasePolicy, rollback_alarms
from infra.release.progress import CurrentStep
from infra.release.records import ReleaseHistory, ReleaseRecord
from infra.release.status import (
    RECENT_SECONDS,
    Observation,
    ReleaseStatus,
    describes_rollout,
    policy_in_progress,
    status,
)


class ReleaseObserver:
    """Polls one endpoint.

    Args:
        client: creates boto3's client of a service.
        name: the endpoint's name.
        bucket: the model bucket; if None, the one that the live model was loaded from.
        siblings: other endpoints of the stack, which load their models from the same bucket.
        existing_alarms: those that the settings name.
        planned: the policy in the settings; if None, that of the last deployment.
        provisioning: how long new instances take to answer; None if it is not known.
        note: called with each part that could not be read.
    """

    def __init__(
        self,
        client: Callable[[str], Any],
        name: str,
        *,
        bucket: str | None,
        siblings: Sequence[str] = (),
        existing_alarms: list[str],
        planned: ReleasePolicy | None,
        provisioning: Duration | None,
        note: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._cloudwatch, self._s3 = client("cloudwatch"), client("s3")
        self.name, self._bucket, self._siblings, self._existing = name, bucket, siblings, existing_alarms
        self._planned, self._provisioning, self._note, self._now = planned, provisioning, note, now
        self._reader = EndpointReader(client("sagemaker"))
        self._step = CurrentStep()
        self._attempted: str | None = None
        self._attempted_since = 0.0
        self._reason = ""
        self.awaits_record = False
        """Whether the last poll did not find the record of a release that earlier polls observed: `pulumi up` writes it
        a little after the end. A status other than InService says how the release ended without it."""
        self.polled: EndpointDescription | None = None
        """The endpoint as the last poll found it."""

    def endpoint(self) -> EndpointDescription | None:
        """The endpoint as it is now; None if it does not exist."""
        with aws_calls(f"endpoint {self.name}"):
            return self._reader.endpoint(self.name)

    def poll(self) -> ReleaseStatus | None:
        """The status of the endpoint's release now; None if the endpoint does not exist."""
        self.polled, now = self.endpoint(), self._now()
        if self.polled is None:
            return None
        endpoint = self._with_last_reason(self.polled)
        with aws_calls(f"metrics of endpoint {self.name}"):
            requests, backlog = self._requests(endpoint, now), self._backlog(endpoint, now)
        observation = Observation(
            endpoint=endpoint,
            alarms=alarms.readings(self._cloudwatch, self._alarms(endpoint), now),
            requests=requests,
            record=self._last_release(endpoint),
            now=now,
            attempted=self._attempted,
            backlog=backlog,
        )
        planned = self._planned or ReleasePolicy.of_deployment(endpoint.deployment)
        self._step.observe(endpoint, policy_in_progress(endpoint, planned))
        return status(observation, self._step, planned, self._provisioning)

    def history(self, limit: int) -> list[ReleaseRecord]:
        """The last releases, newest first; empty if the bucket is not known."""
        records = self._records(self.endpoint())
        return records.latest(self.name, limit) if records else []

    def _with_last_reason(self, endpoint: EndpointDescription) -> EndpointDescription:
        """The endpoint with the reason of the rollback that was observed: SageMaker may clear it."""
        began = endpoint.created if endpoint.status == "Creating" else endpoint.rollout_began
        is_release = endpoint.is_rolling_out or endpoint.status == "Creating"
        if is_release and (endpoint.target_config != self._attempted or (began or 0) > self._attempted_since):
            self._attempted, self._attempted_since, self._reason = endpoint.target_config, began or self._now(), ""
        self._reason = endpoint.failure_reason or self._reason
        return endpoint if endpoint.serves(self._attempted or "") else endpoint.with_reason(self._reason)

    def _alarms(self, endpoint: EndpointDescription) -> list[str]:
        if describes_rollout(endpoint):
            return rollback_alarms(endpoint.deployment)
        return [*self._existing, *alarms.names_of_configuration(self._cloudwatch, endpoint.target_config)]

    def _requests(self, endpoint: EndpointDescription, now: float) -> dict[str, int]:
        """By configuration; empty while there are two of which the metric counts both (see `Metric.scope`)."""
        fleets = {endpoint.config_name: endpoint.live_variants, endpoint.target_config: endpoint.variants}
        if len(fleets) > 1 and not all(metric.scope == "fleet" for metric in REQUESTS[endpoint.mode]):
            return {}
        since, read = now - RECENT_SECONDS, partial(alarms.invocations, self._cloudwatch, endpoint.name)
        return {
            config: sum(read(variant.name, config, since, now, endpoint.mode) for variant in variants)
            for config, variants in fleets.items()
        }

    def _backlog(self, endpoint: EndpointDescription, now: float) -> int | None:
        if endpoint.mode is not Mode.ASYNCHRONOUS:
            return None
        size = alarms.latest(self._cloudwatch, endpoint.name, BACKLOG, now)
        return None if size is None else round(size)

    def _last_release(self, endpoint: EndpointDescription) -> ReleaseRecord | None:
        """None during a release, without a record, or if it cannot be read."""
        self.awaits_record = False
        if endpoint.in_progress:
            return None
        try:
            records = self._records(endpoint)
            last = next(iter(records.rollouts(self.name, 1) if records else []), None)
        except AwsRequestRefused as refusal:
            self._note(f"the history of releases is left out: {refusal}")
            return None
        if last and last.to_config == self._attempted and last.ended < self._attempted_since:
            last = None  # of an earlier release of the same configuration
        is_expected = bool(records and self._attempted and endpoint.status == "InService")
        self.awaits_record = is_expected and (last is None or last.to_config != self._attempted)
        return last

    def _records(self, endpoint: EndpointDescription | None) -> ReleaseHistory | None:
        """None if the bucket is not known."""
        bucket = self._bucket or self._bucket_of(endpoint) or next(self._buckets_of_siblings(), None)
        return ReleaseHistory(self._s3, bucket, self._note) if bucket else None

    def _buckets_of_siblings(self) -> Iterator[str]:
        for name in self._siblings:
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
            name = config["ProductionVariants"][0].get("ModelName") if config else None  # none: inference components
            model = self._reader.model(name) if name else None
        url = urlsplit((model or {}).get("PrimaryContainer", {}).get("ModelDataUrl", ""))
        return url.netloc if url.scheme == "s3" else None
