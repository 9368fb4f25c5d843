"""What would keep Triton from serving a model repository on SageMaker, found before anything is deployed.

Each rule is one function, named after what it finds. The rules are those of Triton's core (model_config_utils.cc,
model_lifecycle.cc, model_repository_manager.cc), of its `docker/sagemaker/serve` script, and of how that loads models:
explicit model control, one default model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from infra.diagnostics.problem import Problem
from infra.triton import ensemble
from infra.triton.config import messages
from infra.triton.model import BACKEND_FILES, FOLDERS, Model, read_models
from infra.triton.problem import named
from infra.triton.repository import ModelRepository

ADDITIONAL_ARGS = "SAGEMAKER_TRITON_ADDITIONAL_ARGS"
EXECUTION_ENVIRONMENT = "EXECUTION_ENV_PATH"
MODEL_DIRECTORY_VARIABLE = "$$TRITON_MODEL_DIRECTORY/"

# Backends that derive the whole configuration from the model file; a Python model may, with auto_complete_config.
AUTO_COMPLETING_BACKENDS = ("onnxruntime", "tensorrt", "openvino", "tensorflow", "python")


def check_repository(
    repository: ModelRepository,
    default_model: str | None,
    *,
    gpu: bool | None = None,
    environment: Mapping[str, str] | None = None,
) -> list[Problem]:
    """What Triton would refuse (errors) or ignore (warnings) on SageMaker, by file and line.

    Args:
        gpu: whether the instances have a GPU; None if that is not known.
        environment: the container's environment variables.
    """
    models = read_models(repository)
    problems = [
        *named("default-model", default_model_is_one_of_the_models(repository, default_model)),
        *named("stray-directory", stray_directories(repository)),
        *named("not-loaded", models_that_are_not_loaded(models, default_model, environment or {})),
    ]
    by_name = {each.name: each for each in models}
    for model in models:
        problems += check_model(model, gpu)
        problems += ensemble.check_ensemble(model, by_name)
    return sorted(set(problems), key=lambda problem: (problem.file or "", problem.line or 0, problem.message))


def check_model(model: Model, gpu: bool | None) -> Iterator[Problem]:
    """Findings within one model directory; a configuration that does not parse hides all others."""
    if model.unparsed:
        yield model.unparsed
        return
    yield from named("model-name", name_with_blanks(model))
    yield from named("model-name", name_other_than_the_directory(model))
    yield from named("config-missing", missing_configuration(model))
    yield from named("version-missing", no_version_to_load(model))
    yield from named("version-ignored", ignored_version_directories(model))
    yield from named("backend", unknown_backend(model))
    yield from named("model-file", missing_model_file(model))
    yield from named("max-batch-size", negative_batch_size(model))
    yield from named("tensor", incomplete_tensors(model))
    yield from named("dims", impossible_dims(model))
    yield from named("preferred-batch-size", preferred_batch_sizes(model))
    yield from named("instance-group", instance_groups(model, gpu))
    yield from named("named-file", missing_named_files(model))


def default_model_is_one_of_the_models(repository: ModelRepository, default_model: str | None) -> Iterator[Problem]:
    names = ", ".join(repository.model_names)
    if default_model is None and len(repository.model_names) > 1:
        message = f"holds several models ({names}): name the one that answers in `defaultModelName`"
        yield Problem("", message, file=".")
    if default_model is not None and default_model not in repository.model_names:
        yield Problem("", f"has no model {default_model!r} (defaultModelName); it has {names}", file=".")


def stray_directories(repository: ModelRepository) -> Iterator[Problem]:
    models = set(repository.model_names)
    for directory in repository.directories:
        if "/" not in directory and directory not in models:
            message = "is no model directory (neither config.pbtxt nor a version directory), and is packed all the same"
            yield Problem("", message, "warning", file=directory)


def models_that_are_not_loaded(
    models: list[Model], default_model: str | None, environment: Mapping[str, str]
) -> Iterator[Problem]:
    """Model control is explicit: the default model and, for an ensemble, its steps are loaded, and nothing else."""
    by_name = {model.name: model for model in models}
    asked_for = re.findall(r"--load-model[= ](\S+)", environment.get(ADDITIONAL_ARGS, ""))
    pending = [name for name in (default_model, *asked_for) if name in by_name]
    if default_model is None or "*" in asked_for:
        return
    loaded: set[str] = set()
    while pending:
        name = pending.pop()
        if name in loaded:
            continue
        loaded.add(name)
        steps = by_name[name].config.ensemble_scheduling.step
        pending += [step.model_name for step in steps if step.model_name in by_name]
    for model in models:
        if model.name not in loaded:
            yield model.warning(
                f"is not loaded: Triton loads {default_model} and its ensemble steps only. A model that another one "
                f"calls (BLS) needs `{ADDITIONAL_ARGS}: --load-model={model.name}` in `environment`"
            )


def name_with_blanks(model: Model) -> Iterator[Problem]:
    if len(model.name.split()) != 1 or model.name != model.name.strip():
        yield model.error("has a blank in its name, at which the image's `serve` script splits it")


def name_other_than_the_directory(model: Model) -> Iterator[Problem]:
    if model.config.name and model.config.name != model.name:
        message = f"is named {model.config.name!r}, but its directory {model.name!r}: Triton wants the same name"
        yield model.error(message, at="name")


def missing_configuration(model: Model) -> Iterator[Problem]:
    if model.configured:
        return
    if model.backend in AUTO_COMPLETING_BACKENDS:
        yield model.warning(
            "has no config.pbtxt: fine only if the model file says it all (ONNX, TensorRT, OpenVINO, TensorFlow "
            "SavedModel, Python with auto_complete_config)"
        )
    else:
        yield model.error(
            f"has no config.pbtxt, and the {model.backend or 'unknown'} backend derives none from its files"
        )


def no_version_to_load(model: Model) -> Iterator[Problem]:
    if not model.versions:
        others = ", ".join(sorted(model.directories - set(FOLDERS))) or "no directory at all"
        yield model.error(
            f"has no version directory such as {model.name}/1 (a number without leading zeros); it has {others}"
        )
    elif not model.loaded_versions:
        yield model.error(
            f"has the versions {_joined(model.versions)}, of which its policy loads none", at="version_policy"
        )
    there = set(model.versions)
    for version in model.config.version_policy.specific.versions:
        if there and version not in there:
            yield model.warning(f"names version {version}, which has no directory", at="version_policy.specific")


def ignored_version_directories(model: Model) -> Iterator[Problem]:
    for directory in sorted(model.directories):
        if re.fullmatch(r"0[0-9]+|v(ersion)?[-_.]?[0-9][0-9._-]*|[0-9]+[._-][0-9._-]*", directory, re.IGNORECASE):
            yield model.warning(
                f"has the directory {directory!r}, which Triton ignores: versions are numbers such as 1"
            )


def unknown_backend(model: Model) -> Iterator[Problem]:
    if model.config.platform and not model.config.backend and model.backend is None:
        yield model.error(f"has the platform {model.config.platform!r}, which Triton does not know", at="platform")
    elif model.backend is None and model.versions:
        files = ", ".join(file for files in BACKEND_FILES.values() for file in files)
        yield model.error(f"names no backend, and none follows from its files (no {files})", at="name")


def missing_model_file(model: Model) -> Iterator[Problem]:
    wanted: tuple[str, ...] = BACKEND_FILES.get(model.backend or "", ())
    if model.config.default_model_filename:
        wanted = (model.config.default_model_filename,)
    elif model.backend == "pytorch" and model.config.runtime:
        wanted = (model.config.runtime,)
    if not wanted or model.is_ensemble or model.config.cc_model_filenames:
        return
    for version in model.loaded_versions:
        if not any(model.holds(f"{version}/{file}") for file in wanted):
            yield model.error(
                f"version {version} has no {' or '.join(wanted)}, which the {model.backend} backend loads"
            )


def negative_batch_size(model: Model) -> Iterator[Problem]:
    if model.config.max_batch_size < 0:
        yield model.error(
            f"max_batch_size is {model.config.max_batch_size}: 0 means no batching, above 0 the largest batch",
            at="max_batch_size",
        )


def incomplete_tensors(model: Model) -> Iterator[Problem]:
    for kind, tensors in (("input", model.config.input), ("output", model.config.output)):
        for index, tensor in enumerate(tensors):
            missing = [
                field
                for field, there in (("name", tensor.name), ("data_type", tensor.data_type), ("dims", len(tensor.dims)))
                if not there
            ]
            if missing:
                yield model.error(f"{kind} {tensor.name or index} lacks {' and '.join(missing)}", at=f"{kind}[{index}]")


def impossible_dims(model: Model) -> Iterator[Problem]:
    for kind, tensors in (("input", model.config.input), ("output", model.config.output)):
        for index, tensor in enumerate(tensors):
            for place, size in enumerate(tensor.dims):
                if size < 1 and size != -1:
                    yield model.error(
                        f"{kind} {tensor.name or index} has the dimension {size}: at least 1, or -1 if it varies",
                        at=f"{kind}[{index}].dims[{place}]",
                    )


def preferred_batch_sizes(model: Model) -> Iterator[Problem]:
    batchers = {
        "dynamic_batching": model.config.dynamic_batching,
        "sequence_batching.oldest": model.config.sequence_batching.oldest,
    }
    for path, batcher in batchers.items():
        for index, size in enumerate(batcher.preferred_batch_size):
            if not 1 <= size <= max(model.config.max_batch_size, 0):
                yield model.error(
                    f"prefers batches of {size}: from 1 to max_batch_size, which is {model.config.max_batch_size}",
                    at=f"{path}.preferred_batch_size[{index}]",
                )


def instance_groups(model: Model, gpu: bool | None) -> Iterator[Problem]:
    for index, group in enumerate(model.config.instance_group):
        kind = messages().ModelInstanceGroup.Kind.Name(group.kind)
        at = f"instance_group[{index}]"
        if kind in ("KIND_CPU", "KIND_MODEL") and group.gpus:
            yield model.error(f"lists GPUs {_joined(group.gpus)} for an instance group of {kind}", at=f"{at}.gpus")
        if kind == "KIND_GPU" and gpu is False:
            yield model.error("wants a GPU (KIND_GPU), which the instance type does not have", at=f"{at}.kind")


def missing_named_files(model: Model) -> Iterator[Problem]:
    """Files that the configuration names and that Triton reads when it loads the model."""
    for index, sample in enumerate(model.config.model_warmup):
        # A sample of batch_size 0, the default, is never run.
        for name, data in sorted(sample.inputs.items() if sample.batch_size else ()):
            if data.input_data_file and f"warmup/{data.input_data_file}" not in model.files:
                yield model.error(
                    f"warm-up input {name} names the file warmup/{data.input_data_file}, which is not there",
                    at=f"model_warmup[{index}]",
                )
    for index, output in enumerate(model.config.output):
        if output.label_filename and output.label_filename not in model.files:
            yield model.error(
                f"output {output.name} names the file {output.label_filename}, which is not there",
                at=f"output[{index}].label_filename",
            )
    execution_environment = model.config.parameters.get(EXECUTION_ENVIRONMENT)
    if execution_environment and execution_environment.string_value.startswith(MODEL_DIRECTORY_VARIABLE):
        file = execution_environment.string_value.removeprefix(MODEL_DIRECTORY_VARIABLE)
        if not model.holds(file):
            yield model.error(
                f"{EXECUTION_ENVIRONMENT} names {file}, which is not in the model directory", at="parameters"
            )


def _joined(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers)
