"""Rules of `ValidateModelConfig`: the name, the backend, batching, priorities, the response cache and metrics."""

from __future__ import annotations

import re
from typing import Any

from infra.diagnostics.problem import Severity
from infra.diagnostics.suggest import nearest
from infra.triton.backends import BACKENDS, ENSEMBLE, PAIRS, alias
from infra.triton.config import MAX_CONFIG_BYTES
from infra.triton.deployment import Deployment
from infra.triton.model import Model
from infra.triton.rule import Finding, Findings, model_rule

VALIDATE = "core: ValidateModelConfig"


@model_rule(
    "config-syntax",
    "Correct the text; fields and values are those of model_config.proto",
    "protobuf: TextFormat::Parse; common: model_config.proto",
)
def syntax(model: Model, _: Deployment) -> Findings:
    """Triton does not load a model whose config.pbtxt does not parse."""
    if model.unparsed and not model.byte_order_mark and not model.is_too_large:
        template = ". `${…}` is left over from a template" if "$" in model.unparsed.reason else ""
        yield Finding(model.unparsed.reason.rstrip(".") + template, file=model.config_file, line=model.unparsed.line)


@model_rule("config-size", "Remove comments and generated parts", "this project", "warning")
def config_size(model: Model, _: Deployment) -> Findings:
    """The check does not parse a config.pbtxt that is larger; Triton does."""
    if model.is_too_large:
        yield Finding(f"has more than {MAX_CONFIG_BYTES:,} bytes, and is not checked", file=model.config_file)


@model_rule(
    "byte-order-mark",
    "Save the file as UTF-8 without a byte order mark",
    "protobuf: TextFormat::Parse",
)
def byte_order_mark(model: Model, _: Deployment) -> Findings:
    """Triton's parser does not accept a byte order mark."""
    if model.byte_order_mark:
        yield Finding("begins with a byte order mark", file=model.config_file, line=1)


@model_rule("model-name", "Rename the directory, or remove `name`", "core: InitializeModelInfo; serve")
def name(model: Model, _: Deployment) -> Findings:
    """`name` must be the directory's name, and the shell of `serve` splits a directory's name at blanks."""
    if model.config.name and model.config.name != model.name:
        yield Finding(f"name is {model.config.name!r}, and the directory is {model.name!r}", "name")
    if re.search(r"\s", model.name):
        yield Finding(f"the directory {model.name!r} has a blank in its name", "name")


@model_rule("backend-missing", "Set `backend`", "core: AutoCompleteBackendFields")
def backend_missing(model: Model, _: Deployment) -> Findings:
    """Triton infers the backend from the name of the model file or from a directory called `name.backend` only."""
    if model.backend_name is not None or model.unparsed:
        return
    if model.config.platform:
        yield Finding(f"the platform {model.config.platform!r} is not known", "platform")
    else:
        files = ", ".join(file for backend in BACKENDS.values() for file in backend.files)
        yield Finding(f"no backend is set, and no file has a name that implies one ({files})", "name")


@model_rule(
    "backend-platform", "Remove `platform`, or set that of the backend", f"{VALIDATE}, GetBackendTypeFromPlatform"
)
def backend_platform(model: Model, _: Deployment) -> Findings:
    """Triton's own backends accept their own platforms only."""
    accepted = PAIRS.get(model.backend_name or "")
    if accepted and model.config.platform and model.config.platform not in accepted:
        text = f"platform {model.config.platform!r} does not belong to the backend {model.backend_name!r}"
        yield Finding(f"{text}, which accepts {' or '.join(accepted)}", "platform")


@model_rule("backend-name", "Set the backend's name", "core: GetBackendRuntimeLibraryName")
def backend_name(model: Model, deployment: Deployment) -> Findings:
    """Triton loads libtriton_<backend>.so, and no image has one of this name."""
    known = alias(model.backend_name or "")
    if known and not model.brings_backend and not model.config.runtime:
        severity: Severity | None = "warning" if deployment.image and not deployment.has_known_backends else None
        text = f"the backend {model.backend_name!r} does not exist; it is called {known!r}"
        yield Finding(text, "backend", severity=severity)


@model_rule(
    "backend-not-in-image",
    "Use an image that has the backend, or put libtriton_<backend>.so into the model directory",
    "server: build.py; NVIDIA's release notes",
    "warning",
)
def backend_not_in_image(model: Model, deployment: Deployment) -> Findings:
    """AWS's images have the backends of NVIDIA's `YY.MM-py3` images."""
    named = model.backend_name
    if not deployment.has_known_backends or not named or named == ENSEMBLE or alias(named) or model.brings_backend:
        return
    backend, release = BACKENDS.get(named), deployment.release or ""
    if backend is None:
        near = nearest(named, BACKENDS)
        hint = f"; the nearest is {near!r}" if near else ""
        yield Finding(f"the image {deployment.image} has no backend {named!r}{hint}", "backend")
    elif not backend.in_image or release >= backend.until or (backend.needs_gpu and deployment.has_cpu_image):
        yield Finding(f"the image {deployment.image} does not have the backend {named!r}", "backend")


@model_rule(
    "backend-needs-gpu",
    "Use an instance type with GPUs (ml.g4dn, ml.g5, …), or another backend",
    "tensorrt_backend, tensorrtllm_backend: models run on GPUs only",
)
def backend_needs_gpu(model: Model, deployment: Deployment) -> Findings:
    """TensorRT engines run on NVIDIA's GPUs only; vLLM runs on CPUs only in builds for them."""
    if deployment.gpus == 0:
        if model.backend.needs_gpu:
            yield Finding(f"the backend {model.backend_name} needs a GPU, and {deployment.target} has none", "backend")
        elif model.backend_name == "vllm" and "inf" not in deployment.target and "trn" not in deployment.target:
            text = f"the backend vllm needs a GPU unless it is built for CPUs, and {deployment.target} has none"
            yield Finding(text, "backend", severity="warning")


@model_rule("runtime", "Set the name of a library in the backend's directory, or remove `runtime`", "core: TritonModel")
def runtime(model: Model, _: Deployment) -> Findings:
    """Triton looks for `runtime` in the version, model and backend directory and does not follow a path out of them."""
    value = model.config.runtime
    if ".." in value.split("/"):
        yield Finding(f"runtime {value!r} leaves the backend's directory", "runtime")
    elif value and not value.endswith((".so", ".py")):
        yield Finding(f"runtime {value!r} is not the name of a library", "runtime")


FIELD_SINCE = {
    "model_namespace": "23.03",
    "oldest.preserve_ordering": "23.09",
    "iterative_sequence": "23.11",
    "use_same_buffer_for_input_output": "23.11",
    "use_growable_memory": "23.11",
    "runtime": "24.01",
    "is_non_linear_format_io": "24.08",
    "model_metrics": "24.11",
    "max_inflight_requests": "25.11",
}
"""The first release of each field newer than 23.02 (tritonclient of that release, model_config_pb2)."""


@model_rule("field-newer-than-image", "Remove the field, or use a newer image", "common: model_config.proto")
def newer_fields(model: Model, deployment: Deployment) -> Findings:
    """An older Triton does not parse a config.pbtxt with a field that it does not know."""
    for path in model.lines if deployment.release else ():
        plain = re.sub(r"\[\d+\]", "", path)
        for field, since in FIELD_SINCE.items():
            if (plain == field or plain.endswith(f".{field}")) and since > str(deployment.release):
                yield Finding(f"{field} exists from {since} on, and the image is {deployment.image}", path)


@model_rule("max-batch-size", "Set 0 for no batching, or the largest batch", VALIDATE)
def max_batch_size(model: Model, _: Deployment) -> Findings:
    """`max_batch_size` must not be negative."""
    if model.config.max_batch_size < 0:
        yield Finding(f"max_batch_size is {model.config.max_batch_size}", "max_batch_size")


@model_rule("preferred-batch-size", "Prefer sizes from 1 to max_batch_size", VALIDATE)
def preferred_batch_size(model: Model, _: Deployment) -> Findings:
    """A preferred batch must be positive and at most `max_batch_size`."""
    batchers = {
        "dynamic_batching": model.config.dynamic_batching,
        "sequence_batching.oldest": model.config.sequence_batching.oldest,
    }
    for path, batcher in batchers.items():
        for index, size in enumerate(batcher.preferred_batch_size):
            if not 1 <= size <= model.config.max_batch_size:
                text = f"a preferred batch size is {size}, and max_batch_size is {model.config.max_batch_size}"
                yield Finding(text, f"{path}.preferred_batch_size[{index}]")


@model_rule("priority-level", "Use levels from 1 to priority_levels, and set default_priority_level", VALIDATE)
def priority_level(model: Model, _: Deployment) -> Findings:
    """With `priority_levels`, the default and each queue policy must name one of them."""
    batching = model.config.dynamic_batching
    levels = batching.priority_levels
    if not levels:
        return
    if not 1 <= batching.default_priority_level <= levels:
        text = f"default_priority_level is {batching.default_priority_level}, and there are {levels} levels"
        yield Finding(text, "dynamic_batching.default_priority_level")
    for level in sorted(batching.priority_queue_policy):
        if not 1 <= level <= levels:
            text = f"a queue policy has the level {level}, and there are {levels} levels"
            yield Finding(text, "dynamic_batching.priority_queue_policy")


@model_rule("preserve-ordering", "Remove preserve_ordering, or use one level and timeout_action REJECT", VALIDATE)
def preserve_ordering(model: Model, _: Deployment) -> Findings:
    """Responses cannot keep their order across priority levels or with delayed requests."""
    batching = model.config.dynamic_batching
    if not batching.preserve_ordering:
        return
    if batching.priority_levels > 1:
        text = f"preserve_ordering is set with {batching.priority_levels} priority levels"
        yield Finding(text, "dynamic_batching.priority_levels")
    policies: dict[str, Any] = {"dynamic_batching.default_queue_policy": batching.default_queue_policy}
    for level in sorted(batching.priority_queue_policy):
        policies[f"dynamic_batching.priority_queue_policy[{level}]"] = batching.priority_queue_policy[level]
    for at, policy in policies.items():
        if policy.default_timeout_microseconds and policy.timeout_action == policy.DELAY:
            yield Finding("preserve_ordering is set with the timeout action DELAY", at)


@model_rule("response-cache", "Disable response_cache", VALIDATE)
def response_cache(model: Model, _: Deployment) -> Findings:
    """Triton does not cache responses of decoupled models and of sequences."""
    if not model.config.response_cache.enable:
        return
    if model.config.model_transaction_policy.decoupled:
        yield Finding("response_cache is enabled for a decoupled model", "response_cache")
    if model.config.HasField("sequence_batching"):
        yield Finding("response_cache is enabled with sequence_batching", "response_cache")


@model_rule(
    "metric-control", "Set metric_identifier.family and histogram_options.buckets", "core: ValidateModelMetrics"
)
def metric_control(model: Model, _: Deployment) -> Findings:
    """A metric control must name a family and the buckets of its histogram."""
    for index, control in enumerate(model.config.model_metrics.metric_control):
        at = f"model_metrics.metric_control[{index}]"
        if not control.metric_identifier.family:
            yield Finding("a metric control has no metric_identifier.family", at)
        if not control.histogram_options.buckets:
            yield Finding("a metric control has no histogram_options.buckets", at)


@model_rule("batch-strategy", "Remove TRITON_BATCH_STRATEGY_PATH", "core: TritonModel::Create", "warning")
def batch_strategy(model: Model, _: Deployment) -> Findings:
    """Triton does not combine a custom batching strategy with the sequence batcher."""
    if model.config.HasField("sequence_batching") and "TRITON_BATCH_STRATEGY_PATH" in model.config.parameters:
        yield Finding("TRITON_BATCH_STRATEGY_PATH is set with sequence_batching", "parameters")


@model_rule(
    "repository-agent", "Use an image that has the agent", "core: CreateAgentModelListWithLoadAction", "warning"
)
def repository_agent(model: Model, _: Deployment) -> Findings:
    """Triton's images have the repository agent `checksum` only."""
    for index, agent in enumerate(model.config.model_repository_agents.agents):
        if agent.name != "checksum":
            at = f"model_repository_agents.agents[{index}]"
            yield Finding(f"the agent {agent.name!r} must exist in the image", at)
