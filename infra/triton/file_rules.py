"""Rules about the files of a model: its configuration, versions, model files and the files that the configuration
names."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message

from infra.diagnostics.problem import Severity
from infra.triton.backends import Completion
from infra.triton.config import CONFIG_FILE
from infra.triton.deployment import MODEL_DIRECTORY, Deployment
from infra.triton.model import FOLDERS, MAX_VERSION, WARMUP, Model
from infra.triton.rule import Finding, Findings, model_rule
from infra.triton.tensor_rules import may_auto_complete

VERSIONS = "core: VersionsToLoad, std::stoll"
EXECUTION_ENVIRONMENT = "EXECUTION_ENV_PATH"
DIRECTORY_VARIABLE = "$$TRITON_MODEL_DIRECTORY"
FORCE_CPU = "FORCE_CPU_ONLY_INPUT_TENSORS"
LABELS_OUTSIDE_UNTIL = "26.01"
"""The last release that reads label files outside of the model directory (core #465)."""

_MISNAMED = re.compile(r"(model_?)?config(uration)?(\.pb)?\.?(pbtxt|pbtext|pbtx|prototxt|txt)(\.txt)?", re.IGNORECASE)
_FOREIGN = re.compile(r"(/home/|/Users/|/root/|/tmp/|/mnt/|/content/|/kaggle/|[A-Za-z]:[\\/]|~)")
"""Directories of people's machines and notebooks."""


@model_rule("config-missing", f"Add {CONFIG_FILE}", "core: InitializeModelInfo, Model::Init")
def config_missing(model: Model, deployment: Deployment) -> Findings:
    """Without a config.pbtxt, the backend must derive the whole configuration from the model file."""
    if model.configured:
        return
    if misnamed := _misnamed_configs(model):
        text = f"{misnamed[0]} is ignored: the configuration must be {model.config_file}"
        yield Finding(text, file=misnamed[0], severity="warning" if _serves_bare(model, deployment) else "error")
    elif not _serves_bare(model, deployment):
        unknown = model.backend.completion is Completion.UNKNOWN and deployment.auto_completes
        derives = "may not derive" if unknown else "does not derive"
        text = f"has no {CONFIG_FILE}, and the {model.backend_name or 'unknown'} backend {derives} it"
        yield Finding(text, severity="warning" if unknown else "error")
    elif model.backend.completion is Completion.SCRIPT and not may_auto_complete(model):
        text = f"has no {CONFIG_FILE}, and model.py has no auto_complete_config: it has no inputs and outputs"
        yield Finding(text, severity="warning")


def _serves_bare(model: Model, deployment: Deployment) -> bool:
    """Whether the model is loaded without a configuration."""
    derives = (Completion.ALL, Completion.EMPTY, Completion.SCRIPT)
    return deployment.auto_completes and model.backend.completion in derives


def _misnamed_configs(model: Model) -> list[str]:
    """Files that were meant to be the configuration: in a version directory, or under another name."""
    return sorted(
        f"{model.name}/{path}"
        for path in model.files
        if path.count("/") <= 1 and _MISNAMED.fullmatch(posixpath.basename(path))
        if "/" not in path or path.split("/")[0].isdigit()
    )


@model_rule(
    "version-missing",
    "Put the model into a version directory such as 1/ (a number without leading zeros)",
    "core: ModelLifeCycle::AsyncLoad, VersionsToLoad",
)
def version_missing(model: Model, _: Deployment) -> Findings:
    """At least one version directory must exist that the version policy loads. Ensembles need one too, even empty."""
    if not model.versions:
        loose = sorted(path for path in model.files if "/" not in path and path.startswith("model."))
        others = ", ".join(sorted(set(model.subdirectories) - set(FOLDERS)))
        text = f"{loose[0]} is not in a version directory" if loose else "has no version directory"
        yield Finding(f"{text}{f'; its directories are {others}' if others else ''}")
    elif not model.loaded_versions:
        versions = ", ".join(map(str, model.versions))
        yield Finding(f"version_policy loads none of the versions {versions}", "version_policy")


@model_rule(
    "ensemble-version",
    "Keep the directory in Git with an empty file in it",
    "core: ModelLifeCycle::AsyncLoad; gitfaq: empty directories",
    "warning",
)
def ensemble_version(model: Model, deployment: Deployment) -> Findings:
    """Triton does not load an ensemble without a version directory, and Git does not keep empty directories: if the
    directory is missing on disk, the program adds it to the archive."""
    if f"{model.name}/1" in deployment.listing.added:
        yield Finding("the ensemble has no version directory, so 1/ is added to the archive")


@model_rule("version-policy", "Remove the version from the policy, or add its directory", VERSIONS, "warning")
def version_policy(model: Model, _: Deployment) -> Findings:
    """Triton does not load a version that the policy names and that does not exist."""
    for version in model.config.version_policy.specific.versions:
        if model.loaded_versions and version not in model.versions:
            yield Finding(f"version_policy names version {version}, which does not exist", "version_policy.specific")


@model_rule("version-ignored", "Rename it to a number without leading zeros", VERSIONS, "warning")
def version_ignored(model: Model, _: Deployment) -> Findings:
    """Triton ignores directories that do not begin with a number, and numbers with leading zeros."""
    for directory in model.subdirectories:
        if re.fullmatch(r"0[0-9].*|v(ersion)?[-_.]?[0-9][0-9._-]*", directory, re.IGNORECASE):
            yield Finding(f"the directory {directory!r} is not a version")


@model_rule("version-name", "Name version directories by the number alone", VERSIONS)
def version_name(model: Model, _: Deployment) -> Findings:
    """Triton reads the number at the beginning of a directory's name, and then opens the directory of that number."""
    if model.is_ensemble:
        return
    for version in model.loaded_versions:
        if str(version) not in model.subdirectories or version > MAX_VERSION:
            read = [name for name in model.subdirectories if re.match(rf"\s*\+?{version}(?!\d)", name)]
            name = read[0] if read else str(version)
            yield Finding(f"the directory {name!r} counts as version {version}, and Triton opens {version}/")


@model_rule("model-file", "Add the file, or set default_model_filename", "core: constants.h; the backend")
def model_file(model: Model, _: Deployment) -> Findings:
    """Each loaded version must hold the file that the backend loads."""
    config = model.config
    accepted = model.backend.files
    severity: Severity | None = None
    if config.default_model_filename:
        accepted = (config.default_model_filename, *(["dali.py"] if model.backend_name == "dali" else []))
        severity = None if model.backend.files or model.backend_name in ("dali", "fil") else "warning"
    elif model.backend_name == "pytorch" and config.runtime:
        accepted = (config.runtime, *accepted)
    if not accepted or not model.backend_name or model.is_ensemble or config.cc_model_filenames:
        return
    for version in model.loaded_versions:
        if str(version) in model.subdirectories and not any(model.holds(f"{version}/{file}") for file in accepted):
            near = _other_spelling(model, version, accepted)
            text = f"version {version} has no {' or '.join(accepted)}, which the {model.backend_name} backend loads"
            yield Finding(f"{text}{f'; it has {near}' if near else ''}", severity=severity)


def _other_spelling(model: Model, version: int, accepted: tuple[str, ...]) -> str | None:
    """A file of the version that differs from an accepted one in case or extension only."""
    stems = {file.lower() for file in accepted} | {posixpath.splitext(file)[0].lower() for file in accepted}
    extensions = {posixpath.splitext(file)[1].lower() for file in accepted}
    for path in sorted(model.files):
        folder, _, name = path.rpartition("/")
        extension = posixpath.splitext(name)[1].lower()
        if folder == str(version) and (name.lower() in stems or (extension and extension in extensions)):
            return name
    return None


@model_rule("label-file-missing", "Add the file to the model directory, or remove label_filename", "core: Model::Init")
def label_files(model: Model, deployment: Deployment) -> Findings:
    """Triton reads label files from the model directory, and until 26.01 from other directories too."""
    for index, output in enumerate(model.config.output):
        path, at = output.label_filename, f"output[{index}].label_filename"
        if path and not deployment.has_file(model, path):
            yield Finding(f"output {output.name} names the file {path}, which does not exist", at)
        elif path and not posixpath.normpath(f"{model.name}/{path}").startswith(f"{model.name}/"):
            severity: Severity = "error" if (deployment.release or "") > LABELS_OUTSIDE_UNTIL else "warning"
            yield Finding(f"output {output.name} names {path}, outside of the model directory", at, severity=severity)


@model_rule("warmup-file", f"Add the file to {WARMUP}/, or remove the sample", "core: GenerateWarmupData")
def warmup_files(model: Model, deployment: Deployment) -> Findings:
    """Triton reads the data of warm-up samples when it loads the model. It skips a sample of batch_size 0."""
    for index, sample in enumerate(model.config.model_warmup):
        for name, data in sorted(sample.inputs.items() if sample.batch_size else ()):
            at = f"model_warmup[{index}]"
            if data.input_data_file and not deployment.has_file(model, WARMUP, data.input_data_file):
                yield Finding(f"warm-up input {name} names the file {data.input_data_file}, which does not exist", at)
            elif data.WhichOneof("input_data_type") is None:
                yield Finding(f"warm-up input {name} has no data", at)
            elif any(size == -1 for size in data.dims):
                yield Finding(f"warm-up input {name} has a variable size", at)


@model_rule(
    "execution-environment",
    f"Write {DIRECTORY_VARIABLE}/<file>, with two dollar signs, for a file of the model directory",
    "python_backend: README, ModelState; core: LocalizePythonBackendExecutionEnvironmentPath",
)
def execution_environment(model: Model, deployment: Deployment) -> Findings:
    """The Python backend unpacks the environment from a path that must exist in the container."""
    value = model.config.parameters[EXECUTION_ENVIRONMENT].string_value if _has_environment(model) else ""
    if not value or re.match(r"\w+://", value):
        return
    if "${" in value:
        return  # template-leftover
    at, inside = "parameters", f"{MODEL_DIRECTORY}/{model.name}"
    path = posixpath.normpath(value.replace(DIRECTORY_VARIABLE, inside, 1))
    if "TRITON_MODEL_DIRECTORY" in value and not value.startswith(f"{DIRECTORY_VARIABLE}/"):
        yield Finding(f"{EXECUTION_ENVIRONMENT} is {value!r}", at)
    elif _FOREIGN.match(value):
        severity: Severity = "error" if deployment.has_known_backends or not deployment.image else "warning"
        yield Finding(f"{EXECUTION_ENVIRONMENT} is {value!r}, a path of another machine", at, severity=severity)
    elif not path.startswith("/"):
        yield Finding(f"{EXECUTION_ENVIRONMENT} is {value!r}, a relative path", at)
    elif not path.startswith(f"{MODEL_DIRECTORY}/"):
        text = f"{EXECUTION_ENVIRONMENT} is {value!r}, which must exist in the image"
        yield Finding(text, at, severity="warning")
    else:
        relative = path.removeprefix(f"{MODEL_DIRECTORY}/")
        if relative not in deployment.listing.sizes and relative not in deployment.listing.directories:
            yield Finding(f"{EXECUTION_ENVIRONMENT} names {relative}, which does not exist", at)
        elif not f"{path}/".startswith(f"{inside}/"):
            text = f"{EXECUTION_ENVIRONMENT} leaves the model directory, which its documentation calls undefined"
            yield Finding(text, at, severity="warning")


def _has_environment(model: Model) -> bool:
    return model.backend_name == "python" and EXECUTION_ENVIRONMENT in model.config.parameters


@model_rule("force-cpu-input", 'Write "yes" or "no"', "python_backend: ModelState")
def force_cpu_input(model: Model, _: Deployment) -> Findings:
    """The Python backend accepts "yes" and "no" for FORCE_CPU_ONLY_INPUT_TENSORS."""
    if model.backend_name == "python" and FORCE_CPU in model.config.parameters:
        value = model.config.parameters[FORCE_CPU].string_value
        if value not in ("yes", "no"):
            yield Finding(f"{FORCE_CPU} is {value!r}", "parameters")


@model_rule("template-leftover", "Replace it with its value", "tensorrtllm_backend: fill_template.py", "warning")
def template_leftover(model: Model, _: Deployment) -> Findings:
    """Triton does not expand `${…}`; a template's tool did not fill it in."""
    for at, text in _texts(model.config):
        if found := re.search(r"\$\{[^{}]*\}", text):
            yield Finding(f"{found[0]} is left over from a template", at)


def _texts(message: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The place and the value of each string."""
    for field, value in message.ListFields():
        of_map = field.message_type is not None and field.message_type.GetOptions().map_entry
        values = value.values() if of_map else value if field.is_repeated else [value]
        for index, item in enumerate(values):
            path = f"{prefix}{field.name}[{index}]"
            if isinstance(item, str):
                yield path, item
            elif isinstance(item, Message):
                yield from _texts(item, f"{path}.")
