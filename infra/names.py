"""Every name that the program gives: to resources in the stack's state, to resources on AWS, and to keys in the bucket.

The patterns of the IAM policies are made from the same names, so that a renamed resource keeps its permissions.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

# Resources in the Pulumi program

BUCKET = "models"
BUDGET = "budget"
NOTIFICATIONS, FREEZE_WINDOWS = "notifications", "freeze-windows"
IMAGE = "image"
EXECUTION_ROLE = "execution-role"
METRIC_STREAM = "datadog"
HOME = "home"
DASHBOARD = "dashboard"
FIRST_GUARD, LAST_GUARD = "first", "last"

ONLY_VARIANT = "AllTraffic"
"""The variant of an endpoint that has one model (the name that AWS's console and SDKs use)."""


def variant_resource(endpoint: str, variant: str) -> str:
    """The resources of one variant. The only variant of an endpoint has the endpoint's name."""
    return endpoint if variant == ONLY_VARIANT else f"{endpoint}-{variant}"


def variant_key(variant: str, key: str) -> str:
    """A key of a variant in the stack file, below its endpoint. The keys of the only variant are on the endpoint."""
    return key if variant == ONLY_VARIANT else f"variants.{variant}.{key}"


def success_topic(endpoint: str) -> str:
    """The SNS topic that receives a message for each answer of an asynchronous endpoint."""
    return f"{endpoint}-success"


def error_topic(endpoint: str) -> str:
    """The SNS topic that receives a message for each failure of an asynchronous endpoint."""
    return f"{endpoint}-error"


def rollback_resource(variant_resource: str) -> str:
    """The alarms on the new fleet of a variant."""
    return f"{variant_resource}-rollback"


# Resources on AWS

AUTONAMED = "-???????"
"""What Pulumi adds to the name of a resource in the program, as an IAM pattern: a hyphen and 7 hexadecimal digits
(Pulumi docs, Resource names, Autonaming)."""

AUTONAMED_REGEX = "-[0-9a-f]{7}"
"""The same as a regular expression."""

MAX_STACK = 40
"""Characters that a stack contributes to a name: `execution-role-<stack>-1a2b3c4` fits in the 64 of an IAM role (API
`roleNameType`), `models-<stack>-1a2b3c4` in the 63 of a bucket."""

REPOSITORY = "sagemaker-tritonserver"
"""The ECR repository of AWS's Triton image, and of its copy in production."""

ERROR_RATE, SERVER_ERROR_RATE, P99_MODEL_LATENCY = "error-rate", "server-error-rate", "p99-model-latency"
AGE_OF_OLDEST_REQUEST, BACKLOG = "age-of-oldest-request", "backlog"
CONCURRENCY_UTILIZATION, P99_MODEL_SETUP_TIME = "concurrency-utilization", "p99-model-setup-time"
CPU_UTILIZATION, MEMORY_UTILIZATION, DISK_UTILIZATION = "cpu-utilization", "memory-utilization", "disk-utilization"
GPU_UTILIZATION, GPU_MEMORY_UTILIZATION = "gpu-utilization", "gpumemory-utilization"
NO_TRAFFIC, SCALING_LIMIT = "no-traffic", "scaling-limit"
RELEASE_FAILED, RELEASE_STUCK = "release-failed", "release-stuck"
"""The purposes of alarms: what they watch, at the end of their names."""

HEALTH = "health"
"""The end of the name of the composite alarm on an endpoint."""

BACKLOG_WITHOUT_CAPACITY = "backlog-without-capacity"
"""The end of the name of `backlog_alarm`."""

LOG_GROUPS = "/aws/sagemaker/Endpoints"
"""Prefix of the endpoints' log groups, and the CloudWatch namespace of their instances' metrics."""

TRANSFORM_JOBS = "/aws/sagemaker/TransformJobs"
"""The log group of all transform jobs of the account in the region, and the namespace of their instances' metrics."""


def of_stack(stack: str) -> str:
    """A stack's name as a part of other names: lower-case letters, digits and single hyphens, at most `MAX_STACK`
    characters, which S3, ECR and IAM all accept. Pulumi accepts more (`Staging`, `A.B_c`, 100 characters): such a name
    is changed, and ends in a digest of the original, so that no two stacks have the same part."""
    plain = re.sub(r"[^a-z0-9]+", "-", stack.lower()).strip("-")
    if plain == stack and len(stack) <= MAX_STACK:
        return stack
    digest = hashlib.sha256(stack.encode()).hexdigest()[:7]
    return f"{plain[: MAX_STACK - 8].strip('-')}-{digest}".lstrip("-")


def budget(stack: str) -> str:
    """The beginning of the name of the stack's AWS Budget; Pulumi completes it."""
    return f"{BUDGET}-{of_stack(stack)}"


def bucket(stack: str) -> str:
    """The beginning of the bucket's name if the settings give none; Pulumi completes it."""
    return f"{BUCKET}-{of_stack(stack)}"


def execution_role(stack: str) -> str:
    """The beginning of the role's name if the settings give none; Pulumi completes it."""
    return f"{EXECUTION_ROLE}-{of_stack(stack)}"


def metric_stream(stack: str) -> str:
    """The beginning of the name of the metric stream to Datadog, and of its delivery stream; Pulumi completes it."""
    return f"{METRIC_STREAM}-{of_stack(stack)}"


def metric_stream_role(stack: str) -> str:
    """The beginning of the name of the role that CloudWatch assumes for the metric stream; Pulumi completes it."""
    return f"metric-stream-{of_stack(stack)}"


def delivery_role(stack: str) -> str:
    """The beginning of the name of the role that Firehose assumes; Pulumi completes it."""
    return f"firehose-{of_stack(stack)}"


def notification_topic(stack: str) -> str:
    """The beginning of the name of the SNS topic that the settings have created; Pulumi completes it."""
    return f"{NOTIFICATIONS}-{of_stack(stack)}"


def subscription(protocol: str, endpoint: str) -> str:
    """A subscription to that topic in the Pulumi program. The engine prints names in every log, so it is a digest: the
    endpoint is an email address, or an address that may hold a key."""
    return f"{NOTIFICATIONS}-{protocol}-{hashlib.sha256(endpoint.encode()).hexdigest()[:7]}"


def repository(stack: str, production: bool, configured: str | None = None) -> str:
    """The ECR repository: the configured one, or one that stacks in the same account do not share."""
    return configured or (REPOSITORY if production else f"{REPOSITORY}-{of_stack(stack)}")


def alarm(variant_resource: str, purpose: str) -> str:
    """The alarm on the fleet of one configuration, with the variant's name as in `variant_resource`, and the resource
    of every alarm in the program."""
    return f"{variant_resource}-{purpose}"


def backlog_alarm(endpoint: str, variant: str) -> str:
    """The alarm that brings a variant of an asynchronous endpoint from zero instances to one."""
    return alarm(variant_resource(endpoint, variant), BACKLOG_WITHOUT_CAPACITY)


def operators_alarm(variant_resource: str, purpose: str) -> str:
    """The alarm on an endpoint or on one of its variants that operators are notified of. No endpoint has a slash in its
    name, so that a policy can name all of an endpoint's alarms."""
    return f"{variant_resource}/{purpose}"


def composite_alarm(endpoint: str) -> str:
    """The alarm that notifies operators when any other one on the endpoint fires."""
    return operators_alarm(endpoint, HEALTH)


def alarm_rule(alarms: Iterable[str]) -> str:
    """The rule of a composite alarm that fires with any of these alarms (CloudWatch API AlarmRule)."""
    return " OR ".join(f'ALARM("{name}")' for name in alarms)


def mute_rule(stack: str, window: int | str) -> str:
    """The rule that silences the composite alarms in a freeze window, by the place of the window in the settings."""
    return f"{FREEZE_WINDOWS}-{of_stack(stack)}-{window}"


def stop_alarm(config_name: str) -> str:
    """The alarm with which `python -m infra release stop` stops the release of an endpoint configuration."""
    return f"{config_name}-stop"


def dashboard(stack: str) -> str:
    """The CloudWatch dashboard, whose name is unique in the account: dashboards belong to no region (CloudWatch API
    PutDashboard)."""
    return f"triton-{of_stack(stack)}"


def log_group(endpoint: str) -> str:
    """The log group of the containers (SageMaker guide, Log groups and streams that Amazon SageMaker AI sends to
    CloudWatch Logs)."""
    return f"{LOG_GROUPS}/{endpoint}"


def scalable_target(endpoint: str, variant: str = "") -> str:
    """The resource ID of a variant in Application Auto Scaling; without a variant, the beginning of all the
    endpoint's."""
    return f"endpoint/{endpoint}/variant/{variant}"


# Prefixes of keys in the bucket; artifacts are uploaded under any other one

RELEASED = "models/"
"""The released artifacts that Models name."""

HISTORY = "releases/"
"""The result of each release."""

AUTOSCALING = "autoscaling/"
"""The autoscaling of an endpoint while an update has removed it."""

ASYNC = "async/"
"""Requests to asynchronous endpoints, their answers and failures, which expire."""

BATCH = "batch/"
"""Records for transform jobs and their answers, which expire."""

FAILED_METRICS = "datadog/"
"""Metrics that could not be delivered to Datadog, which expire."""

EXPIRING = (ASYNC, BATCH, FAILED_METRICS)
"""Prefixes of what expires."""

RESERVED = (RELEASED, HISTORY, AUTOSCALING, *EXPIRING)
"""Prefixes of what is not an uploaded artifact."""

UPLOADED = "artifacts/"
"""Where people upload by convention, and where `python -m infra policy uploader` allows it."""


def released(endpoint: str, variant: str = ONLY_VARIANT) -> str:
    """The prefix of the artifacts of an endpoint or of one of its variants. No endpoint's prefix is the beginning of
    another one's, because names contain no slash."""
    return f"{RELEASED}{endpoint}/" if variant == ONLY_VARIANT else f"{RELEASED}{endpoint}/{variant}/"


def async_input(endpoint: str) -> str:
    """The prefix of requests to an asynchronous endpoint."""
    return f"{ASYNC}{endpoint}/input/"


def async_output(endpoint: str) -> str:
    """The prefix of the answers of an asynchronous endpoint."""
    return f"{ASYNC}{endpoint}/output/"


def async_failure(endpoint: str) -> str:
    """The prefix of the failures of an asynchronous endpoint."""
    return f"{ASYNC}{endpoint}/failure/"


def batch_data(endpoint: str) -> str:
    """The prefix of the records for transform jobs of a Model, and of their answers."""
    return f"{BATCH}{endpoint}/"
