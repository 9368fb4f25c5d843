"""The stand-in for pulumi-aws, called as the engine calls it."""

from __future__ import annotations

import importlib
import json
import re
import selectors
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pulumi
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import provider_pb2 as proto
from pulumi.runtime.proto import status_pb2
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderStub

from sandbox.aws.metric_streams import PRINCIPAL as STREAMS_PRINCIPAL
from sandbox.aws.metric_streams import PUT
from sandbox.provider.difference import Rules, canonical_document, changes
from sandbox.provider.mapping import Decoding, Encoding
from sandbox.provider.naming import AutoName
from sandbox.provider.server import AwsProvider
from sandbox.provider.table import TYPES
from sandbox.provider.wire import UNKNOWN, Secret, decode, encode
from tests.sandbox import streams
from tests.sandbox.conftest import PROJECT, REGION, TRITON_IMAGE, Host, RunningAws, policy_document, unique

BUCKET = "aws:s3/bucket:Bucket"
OBJECT = "aws:s3/bucketObjectv2:BucketObjectv2"
ROLE = "aws:iam/role:Role"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
REPOSITORY = "aws:ecr/repository:Repository"
LIFECYCLE_POLICY = "aws:ecr/lifecyclePolicy:LifecyclePolicy"
MODEL = "aws:sagemaker/model:Model"
CONFIGURATION = "aws:sagemaker/endpointConfiguration:EndpointConfiguration"
TARGET = "aws:appautoscaling/target:Target"
SCALING_POLICY = "aws:appautoscaling/policy:Policy"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
COMPOSITE = "aws:cloudwatch/compositeAlarm:CompositeAlarm"
MUTE_RULE = "aws:cloudwatch/alarmMuteRule:AlarmMuteRule"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
DASHBOARD = "aws:cloudwatch/dashboard:Dashboard"
BODY = '{"widgets": [], "order": [1, 2]}'
TOPIC = "aws:sns/topic:Topic"
DELIVERY = "aws:kinesis/firehoseDeliveryStream:FirehoseDeliveryStream"
STREAM = "aws:cloudwatch/metricStream:MetricStream"

TRUST = policy_document(
    {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
)
PERMISSIONS = policy_document({"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::models/*"]})
OTHER_PERMISSIONS = PERMISSIONS.replace("GetObject", "PutObject")
UNLISTED_PERMISSIONS = policy_document(
    {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::models/*"}
)
UNTAGGED = {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}
CLEANING = json.dumps({"rules": [{"rulePriority": 1, "selection": UNTAGGED, "action": {"type": "expire"}}]})
ROLE_ARN = "arn:aws:iam::123456789012:role/models"
CONTAINER = {"image": TRITON_IMAGE, "modelDataUrl": "s3://models/model_7.tar.gz", "environment": {"QUIET": "1"}}
VARIANT = {
    "variantName": "AllTraffic",
    "modelName": "model",
    "instanceType": "ml.c5.xlarge",
    "initialInstanceCount": 1,
    "containerStartupHealthCheckTimeoutInSeconds": 60,
}


BUDGET = "aws:budgets/budget:Budget"


def notified(percent: float, *emails: str, type_: str = "ACTUAL") -> dict[str, Any]:
    return {
        "notificationType": type_,
        "comparisonOperator": "GREATER_THAN",
        "threshold": percent,
        "thresholdType": "PERCENTAGE",
        "subscriberEmailAddresses": list(emails),
    }


FORECAST = notified(100, "a@example.com", "b@example.com", type_="FORECASTED")
BUDGET_INPUTS = {
    "budgetType": "COST",
    "timeUnit": "MONTHLY",
    "limitAmount": "2500.0",
    "limitUnit": "USD",
    "costFilters": [{"name": "TagKeyValue", "values": ["user:CostEnv$dev"]}],
    "notifications": [notified(80, "a@example.com"), FORECAST],
}


class Refused(Exception):
    """What the engine gets for a call that failed."""

    def __init__(self, message: str, metadata: Any) -> None:
        super().__init__(message)
        self.metadata = dict(metadata or ())

    @property
    def kept(self) -> proto.ErrorResourceInitFailed:
        """The resource that exists although its creation failed."""
        status = status_pb2.Status.FromString(self.metadata["grpc-status-details-bin"])
        kept = proto.ErrorResourceInitFailed()
        assert status.details[0].Unpack(kept)
        return kept


class Context:
    metadata: Any = None

    def set_trailing_metadata(self, metadata: Any) -> None:
        self.metadata = metadata

    def abort(self, code: grpc.StatusCode, message: str) -> None:
        raise Refused(message, self.metadata)


@dataclass(frozen=True)
class Resource:
    """A resource in the engine's state."""

    type: str
    id: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]


class Engine:
    """Calls a provider in the order and with the messages of Pulumi's engine."""

    def __init__(self, **config: Any) -> None:
        self.provider = AwsProvider()
        arguments = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
        self._call(self.provider.Configure, proto.ConfigureRequest(args=encode({"region": REGION, **arguments})))

    def _call(self, method: Any, request: Any) -> Any:
        return method(request, Context())

    def raw_check(
        self, type_: str, inputs: Mapping[str, Any], olds: Mapping[str, Any] | None = None, **request: Any
    ) -> proto.CheckResponse:
        request = {"name": "it", "randomSeed": b"seed", **request}
        response: proto.CheckResponse = self._call(
            self.provider.Check,
            proto.CheckRequest(
                urn=f"urn:pulumi:dev::project::{type_}::{request['name']}",
                type=type_,
                news=encode(inputs),
                olds=encode(olds or {}),
                **request,
            ),
        )
        return response

    def check(self, type_: str, inputs: Mapping[str, Any], *args: Any, **request: Any) -> dict[str, Any]:
        response = self.raw_check(type_, inputs, *args, **request)
        assert not response.failures, response.failures
        return decode(response.inputs)

    def failures(self, type_: str, inputs: Mapping[str, Any], **request: Any) -> dict[str, str]:
        return {failure.property: failure.reason for failure in self.raw_check(type_, inputs, **request).failures}

    def create(self, type_: str, inputs: Mapping[str, Any], preview: bool = False, **request: Any) -> Resource:
        checked = self.check(type_, inputs, **{"randomSeed": unique("seed").encode(), **request})
        created = self._call(
            self.provider.Create, proto.CreateRequest(type=type_, properties=encode(checked), preview=preview)
        )
        return Resource(type_, created.id, checked, decode(created.properties))

    def diff(self, old: Resource, inputs: Mapping[str, Any], **request: Any) -> proto.DiffResponse:
        response: proto.DiffResponse = self._call(
            self.provider.Diff,
            proto.DiffRequest(
                type=old.type,
                id=old.id,
                olds=encode(old.outputs),
                old_inputs=encode(old.inputs),
                news=encode(self.check(old.type, inputs, old.inputs)),
                **request,
            ),
        )
        return response

    def update(self, old: Resource, inputs: Mapping[str, Any], preview: bool = False) -> Resource:
        checked = self.check(old.type, inputs, old.inputs)
        updated = self._call(
            self.provider.Update,
            proto.UpdateRequest(
                type=old.type,
                id=old.id,
                olds=encode(old.outputs),
                old_inputs=encode(old.inputs),
                news=encode(checked),
                preview=preview,
            ),
        )
        return Resource(old.type, old.id, checked, decode(updated.properties))

    def read(self, type_: str, id_: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Resource | None:
        response = self._call(
            self.provider.Read,
            proto.ReadRequest(type=type_, id=id_, inputs=encode(inputs), properties=encode(outputs)),
        )
        return (
            Resource(type_, response.id, decode(response.inputs), decode(response.properties)) if response.id else None
        )

    def refresh(self, old: Resource) -> Resource | None:
        return self.read(old.type, old.id, old.inputs, old.outputs)

    def delete(self, old: Resource) -> None:
        self._call(self.provider.Delete, proto.DeleteRequest(type=old.type, id=old.id, properties=encode(old.outputs)))

    def invoke(self, token: str, **arguments: Any) -> dict[str, Any]:
        response = self._call(self.provider.Invoke, proto.InvokeRequest(tok=token, args=encode(arguments)))
        return decode(getattr(response, "return"))


@pytest.fixture(scope="module")
def aws_environment(control_plane: RunningAws) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", control_plane.url)
        patch.setenv("AWS_ACCESS_KEY_ID", control_plane.access_key.id)
        patch.setenv("AWS_SECRET_ACCESS_KEY", control_plane.access_key.secret)
        patch.delenv("AWS_PROFILE", raising=False)
        yield


@pytest.fixture(scope="module")
def engine(aws_environment: None) -> Engine:
    return Engine()


# Names


def test_a_name_is_the_logical_name_and_seven_hex_digits(engine: Engine) -> None:
    inputs = engine.check(MODEL, {"executionRoleArn": ROLE_ARN, "primaryContainer": CONTAINER}, name="iris")
    assert re.fullmatch(r"iris-[0-9a-f]{7}", inputs["name"])
    assert inputs["__defaults"] == ["name"]


def test_the_same_seed_gives_the_same_name_and_another_seed_another(engine: Engine) -> None:
    first, again, other = (engine.check(REPOSITORY, {}, randomSeed=seed)["name"] for seed in (b"1", b"1", b"2"))
    assert first == again != other


def test_an_automatic_name_stays_until_the_program_gives_one(engine: Engine) -> None:
    old = engine.check(REPOSITORY, {}, randomSeed=b"1")
    assert engine.check(REPOSITORY, {}, old, randomSeed=b"2")["name"] == old["name"]
    named = engine.check(REPOSITORY, {"name": "sagemaker-tritonserver"}, old)
    assert named["name"] == "sagemaker-tritonserver" and "name" not in named["__defaults"]
    assert engine.check(REPOSITORY, {}, named)["name"] != "sagemaker-tritonserver"


def test_bucket_names_are_lower_case(engine: Engine) -> None:
    assert re.fullmatch(r"models-[0-9a-f]{7}", engine.check(BUCKET, {}, name="Models")["bucket"])


def test_a_fifo_topic_ends_in_fifo(engine: Engine) -> None:
    assert engine.check(TOPIC, {"fifoTopic": True})["name"].endswith(".fifo")


def test_an_objects_key_is_its_logical_name(engine: Engine) -> None:
    assert engine.check(OBJECT, {"bucket": "models", "content": ""}, name="model.tar.gz")["key"] == "model.tar.gz"


@pytest.mark.parametrize(("type_", "longest"), [(BUCKET, 63), (ROLE, 64), (MODEL, 63), (CONFIGURATION, 63)])
def test_a_name_that_would_be_too_long_is_refused(engine: Engine, type_: str, longest: int) -> None:
    auto = TYPES[type_].autoname
    assert auto
    fits = "n" * (longest - 8)
    assert auto.property not in engine.failures(type_, {}, name=fits)
    assert f"has {longest + 1} characters" in engine.failures(type_, {}, name=fits + "n")[auto.property]


def test_the_engines_naming_rules_are_followed(engine: Engine) -> None:
    options = proto.CheckRequest.AutonamingOptions
    proposed = engine.check(BUCKET, {}, autonaming=options(mode=options.PROPOSE, proposed_name="Team-Models"))
    assert proposed["bucket"] == "team-models"
    enforced = engine.check(REPOSITORY, {}, autonaming=options(mode=options.ENFORCE, proposed_name="team-models"))
    assert enforced["name"] == "team-models"
    disabled = engine.failures(REPOSITORY, {}, autonaming=options(mode=options.DISABLE))
    assert "automatic naming is disabled" in disabled["name"]


def test_without_a_seed_names_are_random() -> None:
    request = proto.CheckRequest()
    assert AutoName().propose(request, "it", {}) != AutoName().propose(request, "it", {})


# Check


@pytest.mark.parametrize(
    ("type_", "inputs", "path", "reason"),
    [
        (BUCKET, {"versioning": {"enabled": True}}, "versioning", "no such property"),
        (MODEL, {"primaryContainer": {"imageUri": "x"}}, "primaryContainer.imageUri", "no such property"),
        (CONFIGURATION, {"productionVariants": [{**VARIANT, "instanceType": "ml.c5.huge"}]},
         "productionVariants[0].instanceType", "'ml.c5.huge' is not one of"),
        (CONFIGURATION, {"productionVariants": [{**VARIANT, "inferenceAmiVersion": "al2023-gpu-9"}]},
         "productionVariants[0].inferenceAmiVersion", "'al2023-gpu-9' is not one of"),
        (CONFIGURATION, {"productionVariants": [{**VARIANT, "containerStartupHealthCheckTimeoutInSeconds": 59}]},
         "productionVariants[0].containerStartupHealthCheckTimeoutInSeconds", "59, where AWS takes 60 to 3600"),
        (CONFIGURATION, {"productionVariants": []}, "productionVariants", "0 items, where AWS takes 1 to 10"),
        (CONFIGURATION, {"productionVariants": [{**VARIANT, "initialInstanceCount": "two"}]},
         "productionVariants[0].initialInstanceCount", "expected a integer, got 'two'"),
        (CONFIGURATION, {"productionVariants": [{**VARIANT, "serverlessConfig": {"maxConcurrency": 1}}]},
         "productionVariants[0].serverlessConfig.memorySizeInMb", "missing"),
        (TARGET, {"serviceNamespace": "sagemaker", "resourceId": "x", "scalableDimension": "sagemaker:variant"},
         "scalableDimension", "is not one of"),
        (REPOSITORY, {"imageScanningConfiguration": "yes"}, "imageScanningConfiguration", "expected an object"),
        (ALARM, {"metricQueries": [{"id": "m", "metric": {"metricName": "X"}}]}, "metricQueries[0].metricStat.period",
         "missing"),
    ],
)  # fmt: skip
def test_what_aws_would_refuse_is_refused_before_anything_is_made(
    engine: Engine, type_: str, inputs: dict[str, Any], path: str, reason: str
) -> None:
    assert reason in engine.failures(type_, inputs)[path]


def test_unknown_values_pass(engine: Engine) -> None:
    variant = {**VARIANT, "modelName": UNKNOWN, "initialInstanceCount": UNKNOWN}
    assert (
        engine.check(CONFIGURATION, {"productionVariants": [variant]})["productionVariants"][0]["modelName"] == UNKNOWN
    )


def test_a_document_given_as_an_object_is_its_json(engine: Engine) -> None:
    inputs = engine.check(ROLE, {"assumeRolePolicy": json.loads(TRUST)})
    assert json.loads(inputs["assumeRolePolicy"]) == json.loads(TRUST)


def test_a_document_with_an_unknown_part_is_unknown(engine: Engine) -> None:
    assert (
        engine.check(ROLE_POLICY, {"role": "r", "policy": {"Statement": [{"Resource": UNKNOWN}]}})["policy"] == UNKNOWN
    )


def test_defaults_of_the_provider_are_filled_in_and_noted(engine: Engine) -> None:
    inputs = engine.check(ROLE, {"assumeRolePolicy": TRUST, "path": "/models/"})
    assert (inputs["maxSessionDuration"], inputs["path"]) == (3600, "/models/")
    assert inputs["__defaults"] == ["forceDetachPolicies", "maxSessionDuration", "name"]
    variants = engine.check(CONFIGURATION, {"productionVariants": [VARIANT]})["productionVariants"]
    assert variants[0]["initialVariantWeight"] == 1
    model = engine.check(MODEL, {"executionRoleArn": ROLE_ARN, "primaryContainer": CONTAINER})
    assert model["primaryContainer"]["mode"] == "SingleModel"


def test_the_providers_default_tags_are_merged_below_a_resources_own(aws_environment: None) -> None:
    engine = Engine(defaultTags={"tags": {"CostEnv": "prod", "Owner": "ml"}})
    inputs = engine.check(REPOSITORY, {"tags": {"CostEnv": "dev"}})
    assert inputs["tagsAll"] == {"CostEnv": "dev", "Owner": "ml"} and inputs["tags"] == {"CostEnv": "dev"}
    assert engine.check(REPOSITORY, {"tags": {"CostEnv": UNKNOWN}})["tagsAll"] == UNKNOWN


def test_a_type_that_is_not_in_the_table_is_named(engine: Engine) -> None:
    with pytest.raises(Refused, match=r"^aws:sqs/queue:Queue is not among .*sandbox/provider/table\.py"):
        engine.check("aws:sqs/queue:Queue", {})


# Diff


SAME, UPDATE, REPLACE = "same", "update", "replace"
EVENINGS = {"duration": "PT1H", "expression": "cron(0 18 * * FRI)", "timezone": "Asia/Tokyo"}
ALARM_INPUTS = {
    "comparisonOperator": "GreaterThanThreshold",
    "evaluationPeriods": 1,
    "metricName": "ModelLatency",
    "namespace": "AWS/SageMaker",
    "period": 60,
    "extendedStatistic": "p99",
    "threshold": 1.5,
    "dimensions": {"EndpointName": "e"},
    "alarmActions": ["arn:a", "arn:b"],
}
TRACKING = {
    "targetValue": 70,
    "scaleInCooldown": 600,
    "scaleOutCooldown": 30,
    "predefinedMetricSpecification": {"predefinedMetricType": "SageMakerVariantInvocationsPerInstance"},
}
PLACE = {
    "serviceNamespace": "sagemaker",
    "resourceId": "endpoint/e/variant/AllTraffic",
    "scalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
MODEL_INPUTS = {
    "executionRoleArn": ROLE_ARN,
    "primaryContainer": CONTAINER,
    "vpcConfig": {"subnets": ["subnet-1", "subnet-2"], "securityGroupIds": ["sg-1"]},
}
DELIVERY_ROLE = f"{ROLE_ARN}-firehose"
DELIVERY_INPUTS: dict[str, Any] = {
    "destination": "http_endpoint",
    "httpEndpointConfiguration": {
        "url": "https://intake.example.com/v1",
        "name": "Datadog",
        "roleArn": DELIVERY_ROLE,
        "bufferingSize": 4,
        "bufferingInterval": 60,
        "requestConfiguration": {
            "contentEncoding": "GZIP",
            "commonAttributes": [{"name": "team", "value": "ranking"}],
        },
        "secretsManagerConfiguration": {"enabled": True, "secretArn": "arn:secret"},
        "s3Configuration": {"roleArn": DELIVERY_ROLE, "bucketArn": "arn:aws:s3:::models", "errorOutputPrefix": "x/"},
    },
}
STREAM_INPUTS: dict[str, Any] = {
    "firehoseArn": "arn:firehose",
    "roleArn": ROLE_ARN,
    "outputFormat": "opentelemetry1.0",
    "includeFilters": [{"namespace": "AWS/SageMaker"}, {"namespace": "AWS/S3", "metricNames": ["a", "b"]}],
    "statisticsConfigurations": [
        {
            "includeMetrics": [{"namespace": "AWS/SageMaker", "metricName": "ModelLatency"}],
            "additionalStatistics": ["p50", "p99"],
        }
    ],
}


def endpoint_with(**changes: Any) -> dict[str, Any]:
    """Another destination of a delivery stream."""
    return {"httpEndpointConfiguration": {**DELIVERY_INPUTS["httpEndpointConfiguration"], **changes}}


def statistics(*percentiles: str) -> list[dict[str, Any]]:
    return [{**STREAM_INPUTS["statisticsConfigurations"][0], "additionalStatistics": [*percentiles]}]


DIFFS = [
    (BUCKET, {}, {"tags": {"CostEnv": "dev"}}, UPDATE),
    (BUCKET, {}, {"forceDestroy": True}, UPDATE),
    (BUCKET, {"bucket": "a-1"}, {"bucket": "a-2"}, REPLACE),
    (BUCKET, {}, {"region": "us-east-1"}, REPLACE),
    ("aws:s3/bucketVersioning:BucketVersioning", {"bucket": "a-1", "versioningConfiguration": {"status": "Enabled"}},
     {"versioningConfiguration": {"status": "Suspended"}}, UPDATE),
    ("aws:s3/bucketPolicy:BucketPolicy", {"bucket": "a-1", "policy": PERMISSIONS}, {"bucket": "a-2"}, REPLACE),
    ("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", {"bucket": "a-1"}, {"blockPublicAcls": False}, SAME),
    (REPOSITORY, {}, {"imageTagMutability": "IMMUTABLE"}, UPDATE),
    (REPOSITORY, {}, {"encryptionConfigurations": [{"encryptionType": "KMS"}]}, REPLACE),
    (REPOSITORY, {"imageScanningConfiguration": {"scanOnPush": True}}, {"imageScanningConfiguration": None}, UPDATE),
    (LIFECYCLE_POLICY, {"repository": "r-1", "policy": CLEANING}, {"policy": CLEANING.replace("14", "7")}, REPLACE),
    (LIFECYCLE_POLICY, {"repository": "r-1", "policy": CLEANING}, {"policy": f" {CLEANING}"}, SAME),
    (ROLE, {"assumeRolePolicy": TRUST}, {"description": "runs models"}, UPDATE),
    (ROLE, {"assumeRolePolicy": TRUST}, {"path": "/models/"}, REPLACE),
    (ROLE, {"assumeRolePolicy": TRUST}, {"maxSessionDuration": "3600"}, SAME),
    (ROLE, {"assumeRolePolicy": TRUST}, {"assumeRolePolicy": json.dumps(json.loads(TRUST), indent=1)}, SAME),
    (ROLE_POLICY, {"role": "r", "policy": PERMISSIONS}, {"policy": OTHER_PERMISSIONS}, UPDATE),
    (ROLE_POLICY, {"role": "r", "policy": PERMISSIONS}, {"policy": UNLISTED_PERMISSIONS}, SAME),
    (ROLE_POLICY, {"role": "r", "policy": PERMISSIONS}, {"role": "s"}, REPLACE),
    ("aws:iam/policy:Policy", {"policy": PERMISSIONS}, {"policy": OTHER_PERMISSIONS}, UPDATE),
    ("aws:iam/policy:Policy", {"policy": PERMISSIONS}, {"description": "reads"}, REPLACE),
    ("aws:iam/rolePolicyAttachment:RolePolicyAttachment", {"role": "r", "policyArn": ROLE_ARN}, {"role": "s"}, REPLACE),
    (BUDGET, BUDGET_INPUTS, {"limitAmount": "3000.0"}, UPDATE),
    (BUDGET, BUDGET_INPUTS, {"notifications": [FORECAST, notified(80, "a@example.com")]}, SAME),
    (BUDGET, BUDGET_INPUTS, {"notifications": [FORECAST]}, UPDATE),
    (BUDGET, BUDGET_INPUTS, {"costFilters": [{"name": "TagKeyValue", "values": ["user:CostEnv$prod"]}]}, UPDATE),
    (BUDGET, BUDGET_INPUTS, {"costFilters": None}, SAME),
    (BUDGET, BUDGET_INPUTS, {"name": "other"}, REPLACE),
    (MODEL, MODEL_INPUTS, {"tags": {"CostEnv": "dev"}}, UPDATE),
    (MODEL, MODEL_INPUTS, {"executionRoleArn": f"{ROLE_ARN}-2"}, REPLACE),
    (MODEL, MODEL_INPUTS, {"primaryContainer": {**CONTAINER, "image": f"{TRITON_IMAGE}-cpu"}}, REPLACE),
    (MODEL, MODEL_INPUTS, {"primaryContainer": {**CONTAINER, "environment": {"QUIET": "01"}}}, REPLACE),
    (MODEL, MODEL_INPUTS, {"primaryContainer": {**CONTAINER, "environment": {"QUIET": "1", "EMPTY": ""}}}, REPLACE),
    (MODEL, MODEL_INPUTS, {"primaryContainer": {**CONTAINER, "mode": "SingleModel"}}, SAME),
    (MODEL, MODEL_INPUTS, {"enableNetworkIsolation": False}, SAME),
    (MODEL, MODEL_INPUTS, {"enableNetworkIsolation": True}, REPLACE),
    (MODEL, MODEL_INPUTS, {"vpcConfig": {"subnets": ["subnet-2", "subnet-1"], "securityGroupIds": ["sg-1"]}}, SAME),
    (MODEL, MODEL_INPUTS, {"vpcConfig": None}, REPLACE),
    (CONFIGURATION, {"productionVariants": [VARIANT]}, {"productionVariants": [{**VARIANT, "initialInstanceCount": 2}]},
     REPLACE),
    (CONFIGURATION, {"productionVariants": [VARIANT]},
     {"productionVariants": [{**VARIANT, "initialVariantWeight": 1.0}]}, SAME),
    (CONFIGURATION, {"productionVariants": [VARIANT]},
     {"productionVariants": [VARIANT, {**VARIANT, "variantName": "Other"}]}, REPLACE),
    (CONFIGURATION, {"productionVariants": [VARIANT]}, {"tags": {"CostEnv": "dev"}}, UPDATE),
    (TARGET, {**PLACE, "minCapacity": 1, "maxCapacity": 2}, {"maxCapacity": 10}, UPDATE),
    (TARGET, {**PLACE, "minCapacity": 1, "maxCapacity": 2}, {"resourceId": "endpoint/f/variant/AllTraffic"}, REPLACE),
    (SCALING_POLICY, {**PLACE, "targetTrackingScalingPolicyConfiguration": TRACKING},
     {"targetTrackingScalingPolicyConfiguration": {**TRACKING, "targetValue": 50}}, UPDATE),
    (SCALING_POLICY, {**PLACE, "targetTrackingScalingPolicyConfiguration": TRACKING}, {"resourceId": "x"}, REPLACE),
    (ALARM, ALARM_INPUTS, {"threshold": 2}, UPDATE),
    (ALARM, ALARM_INPUTS, {"actionsEnabled": False}, UPDATE),
    (ALARM, ALARM_INPUTS, {"alarmActions": ["arn:b", "arn:a"]}, SAME),
    (ALARM, ALARM_INPUTS, {"dimensions": {"EndpointName": "f"}}, UPDATE),
    (DELIVERY, DELIVERY_INPUTS, endpoint_with(retryDuration=300), SAME),
    (DELIVERY, DELIVERY_INPUTS, endpoint_with(retryDuration=60), UPDATE),
    (DELIVERY, DELIVERY_INPUTS, endpoint_with(url="https://intake.example.eu/v1"), UPDATE),
    (DELIVERY, DELIVERY_INPUTS, endpoint_with(s3BackupMode="AllData"), UPDATE),
    (DELIVERY, DELIVERY_INPUTS, {"name": "other"}, REPLACE),
    (STREAM, STREAM_INPUTS, {"includeFilters": STREAM_INPUTS["includeFilters"][::-1]}, SAME),
    (STREAM, STREAM_INPUTS, {"includeFilters": [{"namespace": "AWS/SageMaker"}]}, UPDATE),
    (STREAM, STREAM_INPUTS, {"statisticsConfigurations": statistics("p99", "p50")}, SAME),
    (STREAM, STREAM_INPUTS, {"statisticsConfigurations": statistics("p99")}, UPDATE),
    (STREAM, STREAM_INPUTS, {"includeLinkedAccountsMetrics": False}, SAME),
    (STREAM, STREAM_INPUTS, {"outputFormat": "json"}, UPDATE),
    (STREAM, STREAM_INPUTS, {"name": "other"}, REPLACE),
    (COMPOSITE, {"alarmName": "a", "alarmRule": "TRUE"}, {"alarmRule": "FALSE"}, UPDATE),
    (COMPOSITE, {"alarmName": "a", "alarmRule": "TRUE"}, {"alarmName": "b"}, REPLACE),
    (COMPOSITE, {"alarmName": "a", "alarmRule": "TRUE", "okActions": ["arn:a", "arn:b"]},
     {"okActions": ["arn:b", "arn:a"]}, SAME),
    (MUTE_RULE, {"name": "r", "rule": {"schedule": EVENINGS}}, {"rule": {"schedule": EVENINGS | {"duration": "PT2H"}}},
     UPDATE),
    (MUTE_RULE, {"name": "r", "rule": {"schedule": EVENINGS}}, {"name": "silence"}, REPLACE),
    (ALARM, ALARM_INPUTS, {"warmUpConfiguration": {"warmUpPeriodDurationInMinutes": 5}}, UPDATE),
    (DASHBOARD, {"dashboardName": "d", "dashboardBody": BODY}, {"dashboardBody": BODY.replace(" ", "\n")}, SAME),
    (DASHBOARD, {"dashboardName": "d", "dashboardBody": BODY}, {"dashboardBody": BODY.replace("1, 2", "2, 1")}, UPDATE),
    (DASHBOARD, {"dashboardName": "d", "dashboardBody": BODY}, {"dashboardName": "e"}, REPLACE),
    (LOG_GROUP, {"retentionInDays": 7}, {"retentionInDays": None}, UPDATE),
    (LOG_GROUP, {}, {"retentionInDays": 0}, SAME),
    (LOG_GROUP, {}, {"name": "/aws/x"}, REPLACE),
    (TOPIC, {"displayName": "Alarms"}, {"displayName": None}, UPDATE),
    (TOPIC, {}, {"fifoTopic": True, "name": "t.fifo"}, REPLACE),
    ("aws:kms/key:Key", {"enableKeyRotation": True}, {"enableKeyRotation": False}, UPDATE),
    ("aws:kms/key:Key", {}, {"multiRegion": True}, REPLACE),
    (OBJECT, {"bucket": "a-1", "content": "x"}, {"content": "y"}, UPDATE),
    (OBJECT, {"bucket": "a-1", "content": "x"}, {"key": "y"}, REPLACE),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "old", "changed", "expected"), DIFFS)
def test_a_change_updates_or_replaces_as_in_pulumi_aws(
    engine: Engine, type_: str, old: dict[str, Any], changed: dict[str, Any], expected: str
) -> None:
    resource = stated(engine, type_, old, region=REGION)
    diff = engine.diff(resource, {**old, **changed})
    assert (SAME if diff.changes == diff.DIFF_NONE else REPLACE if diff.replaces else UPDATE) == expected
    assert all(kind.kind % 2 == (expected == REPLACE) for kind in diff.detailedDiff.values()), "…_REPLACE kinds are odd"
    assert set(diff.replaces) <= set(diff.diffs)


def stated(engine: Engine, type_: str, inputs: Mapping[str, Any], **outputs: Any) -> Resource:
    """A resource whose state holds its inputs and `outputs`."""
    checked = engine.check(type_, inputs)
    return Resource(type_, "id", checked, {**without(checked, "__defaults"), **outputs})


def test_a_diff_names_the_paths_that_change(engine: Engine) -> None:
    model = stated(engine, MODEL, {**MODEL_INPUTS, "tags": {"a": "1", "b.c": "2"}})
    container = {**CONTAINER, "environment": {"QUIET": "0", "NEW": "1"}}
    diff = engine.diff(model, {**MODEL_INPUTS, "primaryContainer": container, "tags": {"a": "1"}})
    kinds = {path: proto.PropertyDiff.Kind.Name(each.kind) for path, each in diff.detailedDiff.items()}
    assert kinds == {
        "primaryContainer.environment.NEW": "ADD_REPLACE",
        "primaryContainer.environment.QUIET": "UPDATE_REPLACE",
        'tags["b.c"]': "DELETE",
        'tagsAll["b.c"]': "DELETE",
    }
    assert (list(diff.diffs), list(diff.replaces)) == (["primaryContainer", "tags", "tagsAll"], ["primaryContainer"])
    assert diff.hasDetailedDiff


def test_a_model_named_by_the_program_must_go_before_its_successor_comes(engine: Engine) -> None:
    """Only an automatic name lets old and new exist side by side."""
    automatic, named = MODEL_INPUTS, {**MODEL_INPUTS, "name": "iris"}
    isolated = {"enableNetworkIsolation": True}
    assert not engine.diff(stated(engine, MODEL, automatic), {**automatic, **isolated}).deleteBeforeReplace
    assert engine.diff(stated(engine, MODEL, named), {**named, **isolated}).deleteBeforeReplace
    assert engine.diff(stated(engine, MODEL, named), {**named, "name": "another"}).deleteBeforeReplace
    assert not engine.diff(stated(engine, MODEL, named), {**named, "tags": {"a": "b"}}).deleteBeforeReplace


def test_a_lifecycle_policy_goes_before_its_successor_comes(engine: Engine) -> None:
    policy = stated(engine, LIFECYCLE_POLICY, {"repository": "r-1", "policy": CLEANING})
    assert engine.diff(policy, {"repository": "r-2", "policy": CLEANING}).deleteBeforeReplace


def test_an_unknown_value_is_a_change(engine: Engine) -> None:
    configuration = stated(engine, CONFIGURATION, {"productionVariants": [VARIANT]})
    diff = engine.diff(configuration, {"productionVariants": [{**VARIANT, "modelName": UNKNOWN}]})
    assert list(diff.replaces) == ["productionVariants"]
    assert list(diff.detailedDiff) == ["productionVariants[0].modelName"]


def test_a_secret_is_compared_by_its_value(engine: Engine) -> None:
    def inputs(secret: str) -> dict[str, Any]:
        return {**MODEL_INPUTS, "primaryContainer": {**CONTAINER, "environment": {"TOKEN": Secret(secret)}}}

    model = stated(engine, MODEL, inputs("one"))
    assert engine.diff(model, inputs("one")).changes == proto.DiffResponse.DIFF_NONE
    assert engine.diff(model, inputs("two")).replaces == ["primaryContainer"]
    plainly = {**MODEL_INPUTS, "primaryContainer": {**CONTAINER, "environment": {"TOKEN": "one"}}}
    assert engine.diff(model, plainly).changes == proto.DiffResponse.DIFF_NONE


def test_saying_what_aws_had_chosen_anyway_is_no_change(engine: Engine) -> None:
    encryption = [{"encryptionType": "AES256"}]
    repository = stated(engine, REPOSITORY, {}, encryptionConfigurations=encryption)
    assert engine.diff(repository, {"encryptionConfigurations": encryption}).changes == proto.DiffResponse.DIFF_NONE
    assert engine.diff(repository, {"encryptionConfigurations": [{"encryptionType": "KMS"}]}).replaces


def test_leaving_out_what_aws_computes_is_no_change(engine: Engine) -> None:
    configuration = stated(engine, CONFIGURATION, {"productionVariants": [{**VARIANT, "volumeSizeInGb": 30}]})
    assert engine.diff(configuration, {"productionVariants": [VARIANT]}).changes == proto.DiffResponse.DIFF_NONE


def test_the_subnets_of_a_model_change_in_the_state_only(engine: Engine) -> None:
    """As terraform-provider-aws has it: the model on AWS keeps its subnets."""
    vpc = {"subnets": ["subnet-3"], "securityGroupIds": ["sg-1"]}
    diff = engine.diff(stated(engine, MODEL, MODEL_INPUTS), {**MODEL_INPUTS, "vpcConfig": vpc})
    assert (list(diff.diffs), list(diff.replaces)) == (["vpcConfig"], [])


def test_the_state_is_compared_and_not_the_former_inputs(engine: Engine) -> None:
    """As in Terraform's plan: what AWS answered last decides (pulumi-terraform-bridge, `Provider.Diff`)."""
    before = {"productionVariants": [VARIANT]}
    answered = {"productionVariants": [{**VARIANT, "initialVariantWeight": 1, "instanceType": "ml.r5.xlarge"}]}
    diff = engine.diff(stated(engine, CONFIGURATION, before, **answered), before)
    assert list(diff.detailedDiff) == ["productionVariants[0].instanceType"]
    assert list(diff.replaces) == ["productionVariants"]


def test_a_path_that_is_to_be_ignored_is_no_change_whatever_the_state_holds(engine: Engine) -> None:
    """pulumi-terraform-bridge, `newIgnoreChanges`."""
    inputs = {"productionVariants": [{**VARIANT, "initialInstanceCount": 2, "volumeSizeInGb": 9}]}
    configuration = stated(engine, CONFIGURATION, {"productionVariants": [VARIANT]})
    ignored = ["productionVariants[0].initialInstanceCount"]
    diff = engine.diff(configuration, inputs, ignoreChanges=ignored)
    assert list(diff.detailedDiff) == ["productionVariants[0].volumeSizeInGb"]
    assert not engine.diff(configuration, inputs, ignoreChanges=["productionVariants"]).detailedDiff
    assert len(engine.diff(configuration, inputs, ignoreChanges=["production"]).detailedDiff) == 2


def test_another_region_in_the_providers_configuration_replaces(engine: Engine) -> None:
    diff = engine.diff(stated(engine, REPOSITORY, {}, region="us-east-1"), {})
    assert list(diff.replaces) == ["region"]


@pytest.mark.parametrize(
    ("one", "other", "equivalent"),
    [
        ({"Action": ["a", "b"]}, {"Action": ["b", "a"]}, True),
        ({"Action": "a"}, {"Action": ["a"]}, True),
        ({"Principal": "*"}, {"Principal": {"AWS": "*"}}, True),
        ({"Condition": {"Bool": {"k": True}}}, {"Condition": {"Bool": {"k": "true"}}}, True),
        ({"Action": "a"}, {"Action": ["a", "b"]}, False),
        ({"Effect": "Allow"}, {"Effect": "Deny"}, False),
    ],
)
def test_policy_documents_are_compared_by_what_they_say(one: Any, other: Any, equivalent: bool) -> None:
    documents = (canonical_document(json.dumps({"Statement": [each]})) for each in (one, other))
    assert (next(documents) == next(documents)) is equivalent


def test_a_set_is_compared_without_order_and_without_what_aws_adds() -> None:
    rules = Rules(sets=frozenset({"queries"}), computed=frozenset({"returnData"}))
    old = {"queries": [{"id": "b", "returnData": True}, {"id": "a"}]}
    assert not changes(old, {"queries": [{"id": "a"}, {"id": "b"}]}, rules)
    assert changes(old, {"queries": [{"id": "a"}, {"id": "c"}]}, rules)


# Life


@dataclass(frozen=True)
class Sample:
    """Realistic inputs of a type.

    Attributes:
        changed: what an update changes.
        unread: inputs that AWS does not give back, so that an import lacks them.
        import_id: what people give to an import, where it is not the id.
        remains: whether AWS keeps a trace of a resource that was deleted.
    """

    inputs: dict[str, Any]
    changed: dict[str, Any] = field(default_factory=dict)
    unread: frozenset[str] = frozenset()
    import_id: str = ""
    remains: bool = False


TAGS = {"CostEnv": "dev", "CostService": "ranking"}
OTHER_TAGS = {"CostEnv": "prod", "Team": "ml"}


def in_bucket(**inputs: Any) -> Callable[[Host], dict[str, Any]]:
    return lambda host: {"bucket": host.bucket, **inputs}


def bucket_policy(host: Host, effect: str) -> str:
    arn = f"arn:aws:s3:::{host.bucket}/*"
    return policy_document({"Effect": effect, "Principal": "*", "Action": "s3:GetObject", "Resource": arn})


def repository(host: Host) -> str:
    name = unique("repository")
    host.aws.client("ecr").create_repository(repositoryName=name)
    return name


def role(host: Host) -> str:
    return host.role.split("/")[-1]


def managed_policy(host: Host) -> str:
    policy = host.aws.client("iam").create_policy(PolicyName=unique("policy"), PolicyDocument=PERMISSIONS)
    return str(policy["Policy"]["Arn"])


def dashboard(text: str) -> str:
    widget = {"type": "text", "x": 0, "y": 0, "width": 6, "height": 2, "properties": {"markdown": text}}
    return json.dumps({"widgets": [widget]})


def topic(host: Host) -> str:
    return str(host.aws.client("sns").create_topic(Name=unique("topic"))["TopicArn"])


def alarm(host: Host) -> str:
    name = unique("alarm")
    host.aws.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        Namespace="n",
        MetricName="m",
        Period=60,
        Statistic="Sum",
        Threshold=1,
    )
    return name


def scalable(host: Host) -> dict[str, str]:
    return {**PLACE, "resourceId": f"endpoint/{host.endpoint()}/variant/AllTraffic"}


def scaled(host: Host) -> dict[str, str]:
    place = scalable(host)
    parameters = {key[0].upper() + key[1:]: value for key, value in place.items()}
    host.aws.client("application-autoscaling").register_scalable_target(**parameters, MinCapacity=1, MaxCapacity=2)
    return place


def rules(days: int) -> list[dict[str, Any]]:
    return [
        {"id": "old", "status": "Enabled", "filter": {}, "noncurrentVersionExpiration": {"noncurrentDays": days}},
        {
            "id": "uploads",
            "status": "Enabled",
            "filter": {"and": {"prefix": "artifacts/", "tags": {"a": "b"}}},
            "abortIncompleteMultipartUpload": {"daysAfterInitiation": 7},
        },
    ]


def queries(stat: str) -> list[dict[str, Any]]:
    metric = {"metricName": "Invocations", "namespace": "AWS/SageMaker", "period": 60, "stat": stat}
    dimensions = {"EndpointName": "e", "VariantName": "AllTraffic"}
    return [
        {"id": "rate", "expression": "calls / 60", "label": "a second", "returnData": True},
        {"id": "calls", "metric": {**metric, "dimensions": dimensions}},
    ]


def model_sample(host: Host) -> Sample:
    container = {**CONTAINER, "modelDataUrl": host.upload(b"model")}
    inputs = {"executionRoleArn": host.role, "primaryContainer": container, "vpcConfig": MODEL_INPUTS["vpcConfig"]}
    return Sample({**inputs, "tags": TAGS}, {"tags": OTHER_TAGS})


def target_sample(host: Host) -> Sample:
    place = scalable(host)
    inputs = {**place, "minCapacity": 2, "maxCapacity": 10, "tags": TAGS}
    return Sample(inputs, {"maxCapacity": 4, "tags": OTHER_TAGS}, import_id="/".join(place.values()))


def scaling_policy_sample(host: Host) -> Sample:
    place, name = scaled(host), unique("policy")
    tracking = {"targetTrackingScalingPolicyConfiguration": TRACKING, "policyType": "TargetTrackingScaling"}
    changed = {"targetTrackingScalingPolicyConfiguration": {**TRACKING, "targetValue": 50.5}}
    return Sample({**place, **tracking, "name": name}, changed, import_id="/".join((*place.values(), name)))


def delivery(host: Host) -> dict[str, Any]:
    """The inputs of a delivery stream that AWS accepts."""
    configured = dict(DELIVERY_INPUTS["httpEndpointConfiguration"])
    role = streams.role(host, streams.FIREHOSE)
    configured |= {"roleArn": role, "s3Configuration": {**configured["s3Configuration"], "roleArn": role}}
    configured["secretsManagerConfiguration"] = {"enabled": True, "secretArn": streams.secret(host)}
    return {**DELIVERY_INPUTS, "httpEndpointConfiguration": configured, "tags": TAGS}


def delivery_sample(host: Host) -> Sample:
    inputs = delivery(host)
    configured = {**inputs["httpEndpointConfiguration"], "retryDuration": 60, "url": "https://intake.example.eu/v1"}
    return Sample(inputs, {"httpEndpointConfiguration": configured, "tags": OTHER_TAGS})


def stream_sample(host: Host) -> Sample:
    arn = streams.create(host, streams.destination(host, streams.secret(host)))
    role = streams.role(host, STREAMS_PRINCIPAL, streams.allow([*PUT], arn))
    inputs = {**STREAM_INPUTS, "firehoseArn": arn, "roleArn": role, "tags": TAGS}
    return Sample(inputs, {"includeFilters": [{"namespace": "AWS/S3"}], "tags": OTHER_TAGS})


SAMPLES: Mapping[str, Callable[[Host], Sample]] = {
    BUCKET: lambda host: Sample(
        {"forceDestroy": True, "tags": TAGS}, {"tags": OTHER_TAGS}, frozenset({"forceDestroy"})
    ),
    "aws:s3/bucketVersioning:BucketVersioning": lambda host: Sample(
        in_bucket(versioningConfiguration={"status": "Enabled"})(host),
        {"versioningConfiguration": {"status": "Suspended"}},
        remains=True,
    ),
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": lambda host: Sample(
        in_bucket(rules=[{"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}}])(host),
        {
            "rules": [
                {
                    "applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": "alias/models"},
                    "bucketKeyEnabled": True,
                }
            ]
        },
        remains=True,
    ),
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": lambda host: Sample(
        in_bucket(blockPublicAcls=True, blockPublicPolicy=True, ignorePublicAcls=True, restrictPublicBuckets=True)(
            host
        ),
        {"restrictPublicBuckets": False},
    ),
    "aws:s3/bucketPolicy:BucketPolicy": lambda host: Sample(
        in_bucket(policy=bucket_policy(host, "Deny"))(host),
        {"policy": bucket_policy(host, "Deny").replace("Get", "Put")},
    ),
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": lambda host: Sample(
        in_bucket(rules=rules(30))(host), {"rules": rules(60)}
    ),
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": lambda host: Sample(
        in_bucket(rule={"objectOwnership": "BucketOwnerEnforced"})(host),
        {"rule": {"objectOwnership": "BucketOwnerPreferred"}},
    ),
    OBJECT: lambda host: Sample(
        in_bucket(key="artifacts/model.json", content="{}", contentType="application/json", tags=TAGS)(host),
        {"content": "[]", "tags": OTHER_TAGS},
        frozenset({"content"}),
    ),
    REPOSITORY: lambda host: Sample(
        {
            "imageTagMutability": "IMMUTABLE",
            "imageScanningConfiguration": {"scanOnPush": True},
            "forceDelete": True,
            "tags": TAGS,
        },
        {"imageTagMutability": "MUTABLE", "imageScanningConfiguration": None, "tags": OTHER_TAGS},
        frozenset({"forceDelete"}),
    ),
    LIFECYCLE_POLICY: lambda host: Sample({"repository": repository(host), "policy": CLEANING}),
    ROLE: lambda host: Sample(
        {"assumeRolePolicy": TRUST, "description": "runs models", "tags": TAGS},
        {
            "assumeRolePolicy": TRUST.replace("sagemaker", "ec2"),
            "description": None,
            "maxSessionDuration": 7200,
            "permissionsBoundary": managed_policy(host),
            "tags": OTHER_TAGS,
        },
    ),
    ROLE_POLICY: lambda host: Sample({"role": role(host), "policy": PERMISSIONS}, {"policy": OTHER_PERMISSIONS}),
    "aws:iam/policy:Policy": lambda host: Sample(
        {"policy": PERMISSIONS, "description": "reads models", "tags": TAGS},
        {"policy": OTHER_PERMISSIONS, "tags": OTHER_TAGS},
    ),
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": lambda host: Sample(
        {"role": role(host), "policyArn": managed_policy(host)}
    ),
    MODEL: model_sample,
    CONFIGURATION: lambda host: Sample(
        {"productionVariants": [{**VARIANT, "modelName": host.model()}], "tags": TAGS}, {"tags": OTHER_TAGS}
    ),
    TARGET: target_sample,
    SCALING_POLICY: scaling_policy_sample,
    ALARM: lambda host: Sample(
        {**ALARM_INPUTS, "alarmDescription": "slow", "alarmActions": [topic(host)], "tags": TAGS},
        {"alarmDescription": None, "dimensions": {"EndpointName": "f"}, "actionsEnabled": False, "tags": OTHER_TAGS},
    ),
    DELIVERY: delivery_sample,
    STREAM: stream_sample,
    COMPOSITE: lambda host: Sample(
        {
            "alarmName": unique("health"),
            "alarmRule": f'ALARM("{alarm(host)}")',
            "okActions": [topic(host)],
            "tags": TAGS,
        },
        {"alarmRule": "FALSE", "alarmDescription": "never", "okActions": None, "tags": OTHER_TAGS},
    ),
    "aws:cloudwatch/dashboard:Dashboard": lambda host: Sample(
        {"dashboardName": unique("models"), "dashboardBody": dashboard("Answers")}, {"dashboardBody": dashboard("All")}
    ),
    MUTE_RULE: lambda host: Sample(
        {
            "name": unique("silence"),
            "rule": {"schedule": EVENINGS},
            "muteTargets": {"alarmNames": [alarm(host)]},
            "tags": TAGS,
        },
        {"rule": {"schedule": EVENINGS | {"duration": "PT2H"}}, "description": "longer", "tags": OTHER_TAGS},
    ),
    LOG_GROUP: lambda host: Sample({"retentionInDays": 7, "tags": TAGS}, {"retentionInDays": None, "tags": OTHER_TAGS}),
    TOPIC: lambda host: Sample({"displayName": "Alarms", "tags": TAGS}, {"displayName": None, "tags": OTHER_TAGS}),
    "aws:sns/topicSubscription:TopicSubscription": lambda host: Sample(
        {"topic": topic(host), "protocol": "sqs", "endpoint": f"arn:aws:sqs:{REGION}:123456789012:alarms"},
        {"rawMessageDelivery": True},
    ),
    BUDGET: lambda host: Sample(
        {**BUDGET_INPUTS, "tags": TAGS},
        {"limitAmount": "3000.0", "notifications": [notified(90, "a@example.com"), FORECAST], "tags": OTHER_TAGS},
    ),
    "aws:kms/key:Key": lambda host: Sample(
        {"description": "models", "enableKeyRotation": True, "deletionWindowInDays": 7, "tags": TAGS},
        {"description": "artifacts", "enableKeyRotation": False, "isEnabled": False, "tags": OTHER_TAGS},
        frozenset({"deletionWindowInDays"}),
    ),
}


def test_every_type_of_the_table_has_a_sample() -> None:
    assert SAMPLES.keys() == TYPES.keys()


@pytest.mark.parametrize("type_", sorted(TYPES))
def test_a_resource_lives(engine: Engine, host: Host, type_: str) -> None:
    """Created, unchanged, refreshed, changed, imported and deleted."""
    sample = SAMPLES[type_](host)
    made = engine.create(type_, sample.inputs)
    assert made.id and made.outputs.items() >= without(made.inputs, "__defaults").items()
    assert set(TYPES[type_].outputs.split()) <= made.outputs.keys()
    assert engine.diff(made, sample.inputs).changes == proto.DiffResponse.DIFF_NONE
    assert engine.refresh(made) == made, "a refresh right after the creation finds no drift"

    wanted = {name: value for name, value in {**sample.inputs, **sample.changed}.items() if value is not None}
    diff = engine.diff(made, wanted)
    assert set(diff.diffs) - {"tagsAll"} == set(sample.changed)
    assert not diff.replaces
    changed = engine.update(made, wanted)
    assert changed.outputs.items() >= without(changed.inputs, "__defaults").items()
    assert engine.refresh(changed) == changed, "a refresh right after the update finds no drift"
    assert engine.diff(changed, wanted).changes == proto.DiffResponse.DIFF_NONE

    imported = engine.read(type_, sample.import_id or changed.id, {}, {})
    assert imported and imported.id == changed.id
    auto = TYPES[type_].autoname
    named = wanted | ({auto.property: changed.outputs[auto.property]} if auto else {})
    assert set(engine.diff(imported, named).diffs) == sample.unread

    engine.delete(changed)
    assert sample.remains or engine.refresh(changed) is None
    engine.delete(changed)


def without(properties: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if name not in names}


def test_a_preview_makes_nothing_and_leaves_open_what_aws_decides(engine: Engine, host: Host) -> None:
    before = host.aws.last_call()
    planned = engine.create(REPOSITORY, {"imageTagMutability": "IMMUTABLE"}, preview=True)
    assert (planned.id, planned.outputs["imageTagMutability"]) == ("", "IMMUTABLE")
    assert {planned.outputs[name] for name in ("arn", "registryId", "repositoryUrl")} == {UNKNOWN}
    assert planned.outputs["name"] == planned.inputs["name"] and "__defaults" not in planned.outputs
    assert host.aws.last_call() == before


def test_a_preview_of_an_update_keeps_what_stays(engine: Engine, host: Host) -> None:
    inputs = in_bucket(key="a", content="1")(host)
    made = engine.create(OBJECT, inputs)
    planned = engine.update(made, {**inputs, "content": "2"}, preview=True)
    assert (planned.outputs["arn"], planned.outputs["content"]) == (made.outputs["arn"], "2")
    assert planned.outputs["versionId" if "versionId" in made.outputs else "etag"] == UNKNOWN
    assert engine.refresh(made) == made


def test_what_came_in_secret_goes_out_secret(engine: Engine, host: Host) -> None:
    container = {**CONTAINER, "modelDataUrl": host.upload(b""), "environment": {"TOKEN": Secret("t0k3n"), "QUIET": "1"}}
    made = engine.create(MODEL, {"executionRoleArn": host.role, "primaryContainer": container})
    for properties in (made.inputs, made.outputs):
        assert properties["primaryContainer"]["environment"] == {"TOKEN": Secret("t0k3n"), "QUIET": "1"}
    assert engine.refresh(made) == made
    described = host.sagemaker.describe_model(ModelName=made.id)
    assert described["PrimaryContainer"]["Environment"]["TOKEN"] == "t0k3n"


def test_a_secret_tag_stays_secret_among_all_tags(engine: Engine) -> None:
    inputs = engine.check(REPOSITORY, {"tags": {"Owner": Secret("somebody"), "CostEnv": "dev"}})
    assert inputs["tagsAll"] == inputs["tags"] == {"Owner": Secret("somebody"), "CostEnv": "dev"}


def test_a_document_with_a_secret_part_is_secret(engine: Engine) -> None:
    policy = {"Statement": [{"Resource": Secret("arn:aws:s3:::hidden")}]}
    inputs = engine.check(ROLE_POLICY, {"role": "r", "policy": policy})
    assert inputs["policy"] == Secret('{"Statement":[{"Resource":"arn:aws:s3:::hidden"}]}')


def asset(**content: str) -> dict[str, str]:
    return {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "hash": "0", **content}


def test_an_objects_content_comes_from_a_file_a_text_or_base_64(engine: Engine, host: Host, tmp_path: Path) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(b"\x00file")
    sources: dict[bytes, dict[str, Any]] = {
        b"\x00file": {"source": asset(path=str(file))},
        b"asset": {"source": asset(text="asset")},
        b"text": {"content": "text"},
        b"\x00bytes": {"contentBase64": "AGJ5dGVz"},
    }
    for content, source in sources.items():
        made = engine.create(OBJECT, in_bucket(**source)(host), name=unique("object"))
        assert host.aws.client("s3").get_object(Bucket=host.bucket, Key=made.outputs["key"])["Body"].read() == content
    with pytest.raises(Refused, match=r"^PutObject .*: source: the sandbox takes a FileAsset or a StringAsset$"):
        engine.create(OBJECT, in_bucket(source=asset(uri="https://example.com/model"))(host))


def test_default_tags_reach_aws_and_stay_out_of_the_resources_own(aws_environment: None, host: Host) -> None:
    engine = Engine(defaultTags={"tags": {"Owner": "ml", "CostEnv": "prod"}})
    made = engine.create(REPOSITORY, {"tags": {"CostEnv": "dev"}})
    ecr = host.aws.client("ecr")
    tags = {tag["Key"]: tag["Value"] for tag in ecr.list_tags_for_resource(resourceArn=made.outputs["arn"])["tags"]}
    assert tags == made.outputs["tagsAll"] == {"Owner": "ml", "CostEnv": "dev"}
    assert made.outputs["tags"] == {"CostEnv": "dev"}
    assert engine.refresh(made) == made


def test_a_resource_may_live_in_another_region(engine: Engine, host: Host) -> None:
    made = engine.create(REPOSITORY, {"region": "us-east-1", "name": unique("there")})
    assert ":us-east-1:" in made.outputs["arn"]
    assert engine.refresh(made) == made
    engine.delete(made)
    assert not host.aws.client("ecr", region="us-east-1").describe_repositories()["repositories"]


def test_a_refresh_finds_what_others_changed(engine: Engine, host: Host) -> None:
    inputs = {"assumeRolePolicy": TRUST, "description": "runs models", "tags": {"CostEnv": "dev"}}
    made, iam = engine.create(ROLE, inputs), host.aws.client("iam")
    iam.update_role(RoleName=made.id, Description="mine now")
    iam.tag_role(RoleName=made.id, Tags=[{"Key": "Owner", "Value": "me"}])
    found = engine.refresh(made)
    assert found
    assert found.inputs["description"] == found.outputs["description"] == "mine now"
    assert found.inputs["tags"] == {"CostEnv": "dev", "Owner": "me"}
    diff = engine.diff(found, inputs)
    assert set(diff.detailedDiff) == {"description", "tags.Owner", "tagsAll.Owner"}
    assert engine.refresh(engine.update(found, inputs)) == engine.update(made, inputs)
    assert iam.get_role(RoleName=made.id)["Role"]["Description"] == "runs models"


def test_a_refresh_finds_what_others_set_and_the_program_does_not(engine: Engine, host: Host) -> None:
    made = engine.create(LOG_GROUP, {})
    host.aws.client("logs").put_retention_policy(logGroupName=made.id, retentionInDays=1)
    found = engine.refresh(made)
    assert found and found.inputs["retentionInDays"] == 1
    assert list(engine.diff(found, {}).diffs) == ["retentionInDays"]


def test_a_weight_is_read_back_in_single_precision(engine: Engine, host: Host) -> None:
    """AWS's SDK for Go has it as `*float32`, and Terraform's `TypeFloat` holds what that is as a double."""
    variant = {**VARIANT, "modelName": host.model()}
    inputs = {"productionVariants": [{**variant, "initialVariantWeight": 0.1}]}
    made = engine.create(CONFIGURATION, inputs)
    read = made.outputs["productionVariants"][0]["initialVariantWeight"]
    assert read == 0.10000000149011612
    assert list(engine.diff(made, inputs).replaces) == ["productionVariants"]
    assert not engine.diff(made, {"productionVariants": [{**variant, "initialVariantWeight": read}]}).replaces


def test_an_update_sends_what_aws_chose_at_creation(engine: Engine, host: Host) -> None:
    """terraform-provider-aws, `resourceTargetUpdate`: `role_arn` is optional and computed, so the plan holds it."""
    place = scalable(host)
    made = engine.create(TARGET, {**place, "minCapacity": 1, "maxCapacity": 2})
    before = host.aws.last_call()
    updated = engine.update(made, {**place, "minCapacity": 1, "maxCapacity": 3})
    (call,) = [call for call in host.aws.calls(before) if call["operation"] == "RegisterScalableTarget"]
    assert call["params"]["RoleARN"] == made.outputs["roleArn"]
    assert updated.outputs == {**made.outputs, "maxCapacity": 3}
    assert "roleArn" not in updated.inputs


def test_a_bucket_that_holds_objects_is_deleted_only_by_force(engine: Engine, host: Host) -> None:
    s3 = host.aws.client("s3")
    made = engine.create(BUCKET, {})
    s3.put_bucket_versioning(Bucket=made.id, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        s3.put_object(Bucket=made.id, Key="a", Body=body)
    s3.delete_object(Bucket=made.id, Key="a")
    with pytest.raises(Refused, match=f"^DeleteBucket {made.id}: BucketNotEmpty: "):
        engine.delete(made)
    engine.delete(engine.update(made, {"forceDestroy": True}))
    assert engine.refresh(made) is None


def test_a_repository_that_holds_images_is_deleted_only_by_force(engine: Engine, host: Host) -> None:
    made = engine.create(REPOSITORY, {})
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}
    host.aws.client("ecr").put_image(repositoryName=made.id, imageManifest=json.dumps(manifest), imageTag="1")
    with pytest.raises(Refused, match=f"^DeleteRepository {made.id}: RepositoryNotEmptyException: "):
        engine.delete(made)
    engine.delete(engine.update(made, {"forceDelete": True}))
    assert engine.refresh(made) is None


def test_a_role_that_still_has_policies_is_deleted_only_by_force(engine: Engine, host: Host) -> None:
    made, iam = engine.create(ROLE, {"assumeRolePolicy": TRUST}), host.aws.client("iam")
    iam.put_role_policy(RoleName=made.id, PolicyName="inline", PolicyDocument=PERMISSIONS)
    iam.attach_role_policy(RoleName=made.id, PolicyArn=managed_policy(host))
    with pytest.raises(Refused, match=f"^DeleteRole {made.id}: DeleteConflict: "):
        engine.delete(made)
    engine.delete(engine.update(made, {"assumeRolePolicy": TRUST, "forceDetachPolicies": True}))
    assert engine.refresh(made) is None


def test_what_an_own_operation_takes_away_is_taken_away(engine: Engine, host: Host) -> None:
    boundary = {"permissionsBoundary": managed_policy(host)}
    made = engine.create(ROLE, {"assumeRolePolicy": TRUST, **boundary})
    assert made.outputs.items() >= boundary.items()
    bare = engine.update(made, {"assumeRolePolicy": TRUST})
    assert "permissionsBoundary" not in bare.outputs
    assert "PermissionsBoundary" not in host.aws.client("iam").get_role(RoleName=made.id)["Role"]


def test_skip_destroy_leaves_the_resource_on_aws(engine: Engine, host: Host) -> None:
    made = engine.create(LOG_GROUP, {"skipDestroy": True})
    engine.delete(made)
    assert engine.refresh(made) == made


def test_a_managed_policy_can_change_more_often_than_aws_keeps_versions(engine: Engine, host: Host) -> None:
    type_ = "aws:iam/policy:Policy"
    policy = engine.create(type_, {"policy": PERMISSIONS})
    for number in range(6):
        policy = engine.update(policy, {"policy": PERMISSIONS.replace("models", f"models-{number}")})
    assert "models-5" in policy.outputs["policy"]
    assert len(host.aws.client("iam").list_policy_versions(PolicyArn=policy.id)["Versions"]) == 5
    engine.delete(policy)
    assert engine.refresh(policy) is None


def test_a_variant_without_a_name_gets_one(engine: Engine, host: Host) -> None:
    variant = without({**VARIANT, "modelName": host.model()}, "variantName")
    made = engine.create(CONFIGURATION, {"productionVariants": [variant]})
    assert made.outputs["productionVariants"][0]["variantName"].startswith("terraform-")
    assert engine.refresh(made) == made
    assert engine.diff(made, {"productionVariants": [variant]}).changes == proto.DiffResponse.DIFF_NONE


# Errors


def test_an_error_of_aws_names_operation_and_resource(engine: Engine, host: Host) -> None:
    name = repository(host)
    with pytest.raises(Refused, match=f"^CreateRepository {name}: RepositoryAlreadyExistsException: "):
        engine.create(REPOSITORY, {"name": name})


def test_an_error_shows_no_secret(engine: Engine, host: Host) -> None:
    with pytest.raises(Refused) as refused:
        engine.create(ROLE, {"assumeRolePolicy": TRUST, "name": Secret("no such name/"), "description": "x"})
    assert "CreateRole [secret]: ValidationError" in str(refused.value)
    assert "no such name/" not in str(refused.value)


def test_a_resource_whose_creation_fails_half_way_is_kept_and_completed_later(engine: Engine, host: Host) -> None:
    inputs = {"tags": {"aws:reserved": "x"}}
    with pytest.raises(Refused, match=r"^PutBucketTagging ") as refused:
        engine.create(BUCKET, inputs)
    kept = refused.value.kept
    assert list(kept.reasons) == [str(refused.value)]
    half = Resource(BUCKET, kept.id, decode(kept.inputs), decode(kept.properties))
    host.aws.client("s3").head_bucket(Bucket=half.id)
    whole = engine.update(half, {"tags": {"CostEnv": "dev"}})
    assert whole.outputs["tagsAll"] == {"CostEnv": "dev"}


def test_an_update_without_a_change_does_everything_again(engine: Engine, host: Host) -> None:
    """After a creation that failed half-way, the engine updates with the same inputs."""
    inputs = {"tags": {"CostEnv": "dev"}}
    made = engine.create(BUCKET, inputs)
    host.aws.client("s3").delete_bucket_tagging(Bucket=made.id)
    assert engine.update(made, inputs).outputs["tagsAll"] == {"CostEnv": "dev"}


def test_an_id_that_is_not_of_the_types_form_is_refused(engine: Engine) -> None:
    with pytest.raises(Refused, match=r"^'e' is not an id of aws:appautoscaling/target:Target: expected the form"):
        engine.read(TARGET, "e", {}, {})


def test_a_missing_import_is_missing(engine: Engine) -> None:
    assert engine.read(MODEL, "no-such-model", {}, {}) is None


# Functions and configuration


def test_the_caller_the_region_and_the_partition_can_be_asked_for(engine: Engine) -> None:
    assert engine.invoke("aws:index/getCallerIdentity:getCallerIdentity")["accountId"] == "123456789012"
    region = engine.invoke("aws:index/getRegion:getRegion")
    assert (region["region"], region["description"]) == (REGION, "Asia Pacific (Tokyo)")
    assert engine.invoke("aws:index/getRegion:getRegion", region="cn-north-1")["endpoint"].endswith(".amazonaws.com.cn")
    partition = engine.invoke("aws:index/getPartition:getPartition")
    assert (partition["partition"], partition["reverseDnsPrefix"]) == ("aws", "com.amazonaws")


def test_a_function_that_is_not_provided_is_named(engine: Engine) -> None:
    with pytest.raises(Refused, match=r"^aws:iam/getPolicyDocument:getPolicyDocument is not among .*plain dict"):
        engine.invoke("aws:iam/getPolicyDocument:getPolicyDocument")


def test_the_provider_assumes_the_roles_of_its_configuration(aws_environment: None, host: Host) -> None:
    engine = Engine(assumeRoles=[{"roleArn": host.role, "sessionName": "deploy"}])
    caller = engine.invoke("aws:index/getCallerIdentity:getCallerIdentity")["arn"]
    assert caller.endswith(f"{role(host)}/deploy")


def test_a_configuration_that_is_not_known_yet_is_tolerated(engine: Engine) -> None:
    config = encode({"region": REGION, "profile": UNKNOWN})
    assert engine.provider.CheckConfig(proto.CheckRequest(news=config), Context()).inputs == config
    diff = engine.provider.DiffConfig(proto.DiffRequest(olds=encode({"region": REGION}), news=config), Context())
    assert list(diff.diffs) == ["profile"]


def test_a_configuration_that_aws_cannot_be_reached_with_is_refused(aws_environment: None) -> None:
    with pytest.raises(Refused, match=r"^The config profile \(nobody\) could not be found$"):
        Engine(profile="nobody").check(REPOSITORY, {})


def test_a_change_of_the_providers_configuration_is_no_replacement(engine: Engine) -> None:
    for old_inputs in ({}, {"old_inputs": encode({"region": REGION})}):
        for region, changed in ((REGION, []), ("us-east-1", ["region"])):
            request = proto.DiffRequest(olds=encode({"region": REGION}), news=encode({"region": region}), **old_inputs)
            diff = engine.provider.DiffConfig(request, Context())
            assert (list(diff.diffs), list(diff.replaces)) == (changed, [])


# The table and pulumi-aws


def properties_of(token: str) -> tuple[set[str], set[str]]:
    """Inputs and properties of the SDK's class for a type."""
    module, name = re.fullmatch(r"aws:(\w+)/\w+:(\w+)", token).groups()  # type: ignore[union-attr]
    sdk = importlib.import_module(f"pulumi_aws.{module}")
    cls = getattr(sdk, name)
    assert cls.pulumi_type == token
    code = importlib.import_module(cls.__module__)
    arguments = getattr(code, f"{name}InitArgs", None) or getattr(code, f"{name}Args")
    names = pulumi._types.input_type_py_to_pulumi_names
    return set(names(arguments).values()), set(pulumi._types.resource_types(cls)) | set(names(arguments).values())


@pytest.mark.parametrize("token", sorted(TYPES))
def test_the_table_uses_the_names_of_pulumi_aws(token: str) -> None:
    inputs, properties = properties_of(token)
    entry = TYPES[token]
    assert entry.input_names <= inputs
    assert entry.properties <= properties
    known = entry.input_names | set(entry.outputs.split())
    for listed in (entry.identity, entry.write_only, entry.documents, entry.renewed):
        assert set(listed.split()) <= known
    for path in (*entry.defaults, *entry.in_place.split(), *entry.replaces.replace("*", "").split()):
        assert path.split(".")[0] in entry.input_names


# The process


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-u", "-m", "sandbox.provider", *arguments],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    running = start("127.0.0.1:1")
    yield running
    running.kill()
    running.wait()


def test_the_process_prints_its_port_and_serves_there(process: subprocess.Popen[str]) -> None:
    assert process.stdout
    with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
        stub = ResourceProviderStub(channel)
        assert stub.GetPluginInfo(Empty()).version.startswith("7.")
        assert json.loads(stub.GetSchema(proto.GetSchemaRequest()).schema)["name"] == "aws"
        assert stub.Handshake(proto.ProviderHandshakeRequest()).accept_secrets
        with pytest.raises(grpc.RpcError) as refused:
            stub.Check(proto.CheckRequest(type="aws:sqs/queue:Queue", news=Struct()))
    assert "not among the" in refused.value.details()
    assert "Traceback" not in refused.value.details()


def test_the_process_ends_with_its_engine() -> None:
    engine = subprocess.Popen(
        ["sh", "-c", f"{sys.executable} -u -m sandbox.provider 127.0.0.1:1 & wait"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert engine.stdout
    assert int(engine.stdout.readline())
    engine.kill()
    engine.wait()
    with selectors.DefaultSelector() as ends:  # unlike select(), it takes a descriptor of any number
        ends.register(engine.stdout, selectors.EVENT_READ)
        readable = ends.select(30)
    assert readable and engine.stdout.read() == "", "the provider's end of the pipe closes when the provider ends"


# Names and shapes


def test_a_list_of_one_block_is_a_structure_of_aws_and_back() -> None:
    from botocore.session import get_session

    shape = get_session().get_service_model("sagemaker").shape_for("ProductionVariant")
    names = {"routingConfigs": "RoutingConfig"}
    value = {"variantName": "v", "routingConfigs": [{"routingStrategy": "RANDOM"}]}
    encoded = Encoding(names).value(shape, value, "")
    assert encoded == {"VariantName": "v", "RoutingConfig": {"RoutingStrategy": "RANDOM"}}
    assert Decoding(nested_names=names).value(shape, encoded, "") == value
