"""AWS as a release sees it: a SageMaker that ends each change as a test decides, alarms, autoscaling and a clock."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.exceptions import ClientError

from infra.aws.mode import Mode
from infra.errors import UserError
from infra.release.autoscaling import Record, ScalingRecords
from infra.release.driver import ReleaseDriver
from infra.release.live import EndpointDescription
from infra.release.policy import BatchSize, ReleasePolicy
from infra.release.records import ReleaseRecord, ReleaseRecorder
from infra.release.request import OWNER_TAG, EndpointRequest, PreviousRelease
from infra.release.waiting import Clock

ARN = "arn:aws:sagemaker:ap-northeast-1:123456789012:endpoint/e"
OLD: dict[str, Any] = {
    "EndpointStatus": "InService",
    "EndpointConfigName": "old",
    "ProductionVariants": [{"VariantName": "AllTraffic"}],
}
NEW = {**OLD, "EndpointConfigName": "new"}
CREATING = {"EndpointStatus": "Creating", "EndpointConfigName": "new"}
UPDATING = {
    "EndpointStatus": "Updating",
    "EndpointConfigName": "old",
    "PendingDeploymentSummary": {"EndpointConfigName": "new"},
}
ELSEWHERE = {**UPDATING, "PendingDeploymentSummary": {"EndpointConfigName": "other"}}
ROLLING_BACK = {"EndpointStatus": "RollingBack", "EndpointConfigName": "old", "FailureReason": "ping failed"}
FAILED = {"EndpointStatus": "Failed", "EndpointConfigName": "new", "FailureReason": "ping failed"}
CANARY = ReleasePolicy("canary", wait_seconds=600, batch=BatchSize("percent", 50))


def serving(config: str, *variants: str, count: int = 1) -> dict[str, Any]:
    """DescribeEndpoint while these variants are in service, each with `count` instances."""
    fleet = [{"VariantName": name, "CurrentInstanceCount": count, "DesiredInstanceCount": count} for name in variants]
    return {"EndpointStatus": "InService", "EndpointConfigName": config, "ProductionVariants": fleet}


def serverless(config: str, provisioned: int | None = None, most: int = 20) -> dict[str, Any]:
    """DescribeEndpoint while a serverless variant is in service."""
    settings = {"MemorySizeInMB": 2048, "MaxConcurrency": most}
    settings |= {"ProvisionedConcurrency": provisioned} if provisioned else {}
    variant = {"VariantName": "AllTraffic", "DesiredServerlessConfig": settings, "CurrentServerlessConfig": settings}
    return {"EndpointStatus": "InService", "EndpointConfigName": config, "ProductionVariants": [variant]}


def asynchronous(state: dict[str, Any]) -> dict[str, Any]:
    """A state of an asynchronous endpoint."""
    return {**state, "AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/async/e/output"}}}


def rolling_out(stage: str, since: float | None = None) -> dict[str, Any]:
    """DescribeEndpoint while two instances of the new fleet are in `stage`, since a time of the fake clock."""
    status: dict[str, Any] = {"Status": stage}
    if since is not None:
        status["StartTime"] = datetime.fromtimestamp(since, UTC)
    variant = {
        "VariantName": "AllTraffic",
        "CurrentInstanceCount": 2,
        "DesiredInstanceCount": 2,
        "VariantStatus": [status],
    }
    return {**UPDATING, "PendingDeploymentSummary": {"EndpointConfigName": "new", "ProductionVariants": [variant]}}


def refused(operation: str, message: str) -> ClientError:
    return ClientError({"Error": {"Code": "ValidationException", "Message": message}}, operation)


TARGET = {
    "ResourceId": "endpoint/e/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    "MinCapacity": 2,
    "MaxCapacity": 10,
}
POLICY = {
    "PolicyName": "invocations",
    "ResourceId": "endpoint/e/variant/AllTraffic",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    "PolicyType": "TargetTrackingScaling",
    "TargetTrackingScalingPolicyConfiguration": {"TargetValue": 70.0},
}


class Autoscaling:
    """Application Auto Scaling with what a test registered before."""

    def __init__(self, calls: list[tuple[str, dict[str, Any]]]) -> None:
        self.calls = calls
        self.registered: dict[str, list[dict[str, Any]]] = {}
        self.tags = {"CostEnv": "prod"}

    def register(self, *variants: str) -> None:
        arn = {"ScalableTargetARN": "arn:target", "ServiceNamespace": "sagemaker"}
        other = {**TARGET, "ResourceId": "endpoint/e2/variant/AllTraffic"}
        resources = [{"ResourceId": f"endpoint/e/variant/{name}"} for name in variants or ["AllTraffic"]]
        self.registered = {
            "ScalableTargets": [*({**TARGET, **arn, **resource} for resource in resources), other],
            "ScalingPolicies": [{**POLICY, "Alarms": [], **resource} for resource in resources],
        }

    def get_paginator(self, operation: str) -> Any:
        keys = {
            "describe_scalable_targets": "ScalableTargets",
            "describe_scaling_policies": "ScalingPolicies",
            "describe_scheduled_actions": "ScheduledActions",
        }
        page = {keys[operation]: self.registered.get(keys[operation], [])}

        class Pages:
            def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
                yield page

        return Pages()

    def list_tags_for_resource(self, ResourceARN: str) -> dict[str, Any]:
        return {"Tags": self.tags}

    def deregister_scalable_target(self, **request: Any) -> None:
        self.calls.append(("deregister", request))
        self.registered = {}

    def register_scalable_target(self, **request: Any) -> dict[str, str]:
        assert "Tags" not in request, "refused for a target that exists"
        self.calls.append(("register", request))
        return {"ScalableTargetARN": "arn:target"}

    def tag_resource(self, **request: Any) -> None:
        self.calls.append(("tag target", request))

    def untag_resource(self, **request: Any) -> None:
        self.calls.append(("untag target", request))

    def put_scaling_policy(self, **request: Any) -> dict[str, str]:
        self.calls.append(("policy", request))
        return {"PolicyARN": "arn:new-policy"}

    def put_scheduled_action(self, **request: Any) -> None:
        if "at(2000" in request["Schedule"]:
            raise refused("PutScheduledAction", "Scheduled time is in the past")
        self.calls.append(("action", request))


class S3:
    """A bucket that holds the records of autoscaling that is off."""

    def __init__(self, calls: list[tuple[str, dict[str, Any]]]) -> None:
        self.calls = calls
        self.objects: dict[str, str] = {}

    def put_object(self, Bucket: str, Key: str, Body: str, ContentType: str) -> None:
        self.calls.append(("record", {"Key": Key}))
        self.objects[Key] = Body

    def get_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        if Key not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey", "Message": "no such key"}}, "GetObject")
        return {"Body": io.BytesIO(self.objects[Key].encode())}

    def delete_object(self, Bucket: str, Key: str) -> None:
        self.calls.append(("forget", {"Key": Key}))
        del self.objects[Key]


class SageMaker:
    """Answers DescribeEndpoint with `now`, one state a call; the last one stays. Create and update begin the given
    states."""

    def __init__(
        self,
        *now: dict[str, Any] | None,
        created: list[Any] | None = None,
        updated: list[Any] | None = None,
        owner: str = "p/s",
    ) -> None:
        self.states, self.created, self.updated = list(now), created, updated
        self.tags = {OWNER_TAG: owner} if owner else {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.variants = {"old": ["AllTraffic"], "new": ["AllTraffic"]}
        self.counts = {"old": 1, "new": 1}
        self.types = {"old": "ml.c5.xlarge", "new": "ml.c5.xlarge"}
        self.modes: dict[str, Mode] = {}
        self.deleted_configs: set[str] = set()
        self.autoscaling = Autoscaling(self.calls)
        self.s3 = S3(self.calls)
        self.update_errors: Iterator[Exception] = iter(())

    def describe_endpoint(self, EndpointName: str) -> dict[str, Any]:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if state is None:
            raise refused("DescribeEndpoint", f'Could not find endpoint "{ARN}".')
        return {"EndpointName": EndpointName, "EndpointArn": ARN, **state}

    def describe_endpoint_config(self, EndpointConfigName: str) -> dict[str, Any]:
        if EndpointConfigName in self.deleted_configs:
            raise refused("DescribeEndpointConfig", 'Could not find endpoint configuration "x".')
        fleet = {
            "ModelName": f"model-{EndpointConfigName}",
            "InitialInstanceCount": self.counts[EndpointConfigName],
            "InitialVariantWeight": 1.0,
            "InstanceType": self.types[EndpointConfigName],
        }
        mode = self.modes.get(EndpointConfigName)
        if mode is Mode.SERVERLESS:
            settings = {"MemorySizeInMB": 2048, "MaxConcurrency": 20}
            fleet = {"ModelName": fleet["ModelName"], "InitialVariantWeight": 1.0, "ServerlessConfig": settings}
        variants = [{"VariantName": name, **fleet} for name in self.variants[EndpointConfigName]]
        return {"ProductionVariants": variants, **(asynchronous({}) if mode is Mode.ASYNCHRONOUS else {})}

    def describe_model(self, ModelName: str) -> dict[str, Any]:
        return {"PrimaryContainer": {"Image": "image", "ModelDataUrl": f"s3://b/{ModelName}.tar.gz"}}

    def create_endpoint(self, **request: Any) -> None:
        self.calls.append(("create", request))
        self.tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        self.states = list(self.created or [])

    def update_endpoint(self, **request: Any) -> None:
        self.calls.append(("update", request))
        for error in self.update_errors:
            raise error
        self.states = list(self.updated or [])

    def update_endpoint_weights_and_capacities(self, EndpointName: str, **request: Any) -> None:
        self.calls.append(("scale", request))
        self.states = list(self.updated or [])

    def delete_endpoint(self, EndpointName: str) -> None:
        self.calls.append(("delete", {"EndpointName": EndpointName}))
        self.states = [{**self.states[0], "EndpointStatus": "Deleting"}, None]  # type: ignore[dict-item]

    def add_tags(self, ResourceArn: str, Tags: list[dict[str, str]]) -> None:
        self.calls.append(("tag", {tag["Key"]: tag["Value"] for tag in Tags}))
        self.tags |= {tag["Key"]: tag["Value"] for tag in Tags}

    def delete_tags(self, ResourceArn: str, TagKeys: list[str]) -> None:
        self.calls.append(("untag", {"keys": TagKeys}))
        for key in TagKeys:
            del self.tags[key]

    def get_paginator(self, _operation: str) -> Any:
        sagemaker = self

        class Pages:
            def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
                yield {"Tags": [{"Key": key, "Value": value} for key, value in sagemaker.tags.items()]}

        return Pages()

    def recorded(self, record: Record) -> None:
        """An interrupted release has left this record."""
        self.s3.objects["autoscaling/e.json"] = json.dumps(record)

    @property
    def operations(self) -> list[str]:
        return [name for name, _ in self.calls]


class Logs:
    def get_paginator(self, _operation: str) -> Any:
        class Pages:
            def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
                yield {
                    "logStreams": [{"logStreamName": "AllTraffic/i-1", "creationTime": 1_000_000}],
                    "events": [
                        {"timestamp": 1, "message": "E1122 03:30:00.000001 7 model_lifecycle.cc:654] failed to load"}
                    ],
                }

        return Pages()


def state_update(alarm: str, state: str, reason: str) -> dict[str, Any]:
    """An item of an alarm's history; its HistoryData is as in the AWS CLI's example of describe-alarm-history."""
    before = {"stateValue": "OK" if state == "ALARM" else "ALARM", "stateReason": "testing purposes"}
    data = {"version": "1.0", "oldState": before, "newState": {"stateValue": state, "stateReason": reason}}
    summary = f"Alarm updated from {before['stateValue']} to {state}"
    item = {"AlarmName": alarm, "HistoryItemType": "StateUpdate", "HistorySummary": summary}
    return {**item, "HistoryData": json.dumps(data)}


class CloudWatch:
    """Alarms by name, each with its states one after the other; the last one stays. `history` has the items of alarms,
    the newest first. `counts` are the invocations that each look at the metric finds."""

    def __init__(self, counts: list[int] | None = None, **alarms: list[str]) -> None:
        self.alarms, self.counts = alarms, counts or [0]
        self.asked: list[dict[str, Any]] = []
        self.refuse = False
        self.history: dict[str, list[dict[str, Any]]] = {}
        self.histories_asked: list[dict[str, Any]] = []
        self.refused_histories: set[str] = set()
        self.actions: dict[str, list[str]] = {}
        self.tags: dict[str, str] = {}
        self.meta = boto3.client("cloudwatch", region_name="us-east-1").meta

    def describe_alarms(self, AlarmNames: list[str], AlarmTypes: list[str]) -> dict[str, Any]:
        if self.refuse:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeAlarms")
        described = []
        for name in sorted(self.alarms.keys() & set(AlarmNames)):
            state = self.alarms[name].pop(0) if len(self.alarms[name]) > 1 else self.alarms[name][0]
            alarm: dict[str, Any] = {"AlarmName": name, "StateValue": state, "StateReason": f"{name} is {state}"}
            alarm["AlarmArn"] = f"arn:alarm:{name}"
            described.append({**alarm, "AlarmActions": self.actions.get(name, []), "Threshold": 1.0})
        kinds = {"MetricAlarms": "MetricAlarm", "CompositeAlarms": "CompositeAlarm"}
        return {
            answer: [
                alarm for alarm in described if (kind == "CompositeAlarm") == alarm["AlarmName"].startswith("composite")
            ]
            for answer, kind in kinds.items()
            if kind in AlarmTypes
        }

    def describe_alarm_history(self, **asked: Any) -> dict[str, Any]:
        self.histories_asked.append(asked)
        if asked["AlarmName"] in self.refused_histories:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "DescribeAlarmHistory")
        return {"AlarmHistoryItems": self.history.get(asked["AlarmName"], [])}

    def tag_resource(self, ResourceARN: str, Tags: list[dict[str, str]]) -> None:
        self.tags |= {tag["Key"]: tag["Value"] for tag in Tags}

    def untag_resource(self, ResourceARN: str, TagKeys: list[str]) -> None:
        for key in TagKeys:
            self.tags.pop(key, None)

    def put_metric_alarm(self, AlarmName: str, AlarmActions: list[str], Threshold: float) -> None:
        self.actions[AlarmName] = AlarmActions

    def get_metric_statistics(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        count = self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]
        return {"Datapoints": [{"Timestamp": asked["StartTime"], "Sum": float(count)}]}


class Sts:
    def get_caller_identity(self) -> dict[str, str]:
        return {"Arn": "arn:aws:sts::123456789012:assumed-role/deployer/ci"}


class FakeTime:
    def __init__(self) -> None:
        self.at = 1_000.0
        self.sleeps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.at += seconds
        self.sleeps.append(seconds)

    def clock(self) -> Clock:
        return Clock(now=lambda: self.at, sleep=self.sleep)


def request(before: Mapping[str, Any] | None = None, **changes: Any) -> EndpointRequest:
    """Of an endpoint that is autoscaled as it was before.

    Args:
        before: fields of `PreviousRelease` that differ.
    """
    previous = PreviousRelease("", "p/s", changes.get("autoscaled", False), {})
    plain = EndpointRequest(
        "e", "new", "p/s", {"CostEnv": "prod"}, autoscaled=False, deadline_seconds=600, policy=ReleasePolicy()
    )
    return replace(plain, previous=replace(previous, **(before or {})), **changes)


def driver(sagemaker: SageMaker, lines: list[str], cloudwatch: CloudWatch | None = None, **more: Any) -> ReleaseDriver:
    """A driver that adds what it reports and warns of to `lines`.

    Args:
        more: `keep` of the recorder, and arguments of the driver.
    """
    clients = {
        "sagemaker": sagemaker,
        "logs": Logs(),
        "application-autoscaling": sagemaker.autoscaling,
        "cloudwatch": cloudwatch or CloudWatch(),
        "sts": Sts(),
    }
    return ReleaseDriver(
        clients.__getitem__,
        scaling_records=ScalingRecords(sagemaker.s3, "b"),
        recorder=ReleaseRecorder(clients.__getitem__, more.pop("keep", ()), lines.append),
        report=lines.append,
        warn=lines.append,
        clock=FakeTime().clock(),
        **more,
    )


@dataclass
class Outcome:
    """How a release ended."""

    sagemaker: SageMaker
    live: EndpointDescription | None = None
    error: UserError | None = None
    lines: list[str] = field(default_factory=list)
    """What was reported and warned of."""
    records: list[ReleaseRecord] = field(default_factory=list)

    @property
    def operations(self) -> list[str]:
        return self.sagemaker.operations

    @property
    def serves(self) -> bool:
        return self.live is not None and self.live.serves("new")

    @property
    def result(self) -> str | None:
        """Of the only record; None if there is none."""
        assert len(self.records) <= 1
        return self.records[0].result if self.records else None

    @property
    def text(self) -> str:
        """Everything that a person reads."""
        return "\n".join([*self.lines, str(self.error or "")])

    def sent(self, operation: str) -> Any:
        """The only request of an operation."""
        (request,) = [request for name, request in self.sagemaker.calls if name == operation]
        return request


def release(
    sagemaker: SageMaker, asked: EndpointRequest | None = None, cloudwatch: CloudWatch | None = None, **more: Any
) -> Outcome:
    """Release the requested endpoint; an error is part of the outcome."""
    outcome = Outcome(sagemaker)
    more["keep"] = [*more.get("keep", ()), outcome.records.append]
    try:
        outcome.live = driver(sagemaker, outcome.lines, cloudwatch, **more).release(asked or request())
    except UserError as error:
        outcome.error = error
    return outcome


def watched(**changes: Any) -> EndpointRequest:
    return request(**{"policy": CANARY, "rollback_alarms": ("rate", "latency"), **changes})
