"""Rules about a repository as a whole: its layout, the default model and the models that are loaded."""

from __future__ import annotations

from infra.triton.config import CONFIG_FILE
from infra.triton.deployment import Deployment
from infra.triton.rule import Finding, Findings, repository_rule
from infra.triton.serve_options import ADDITIONAL_ARGS, OLD_SHM_BYTES, OLD_SHM_UNTIL, SHM_DEFAULT_BYTE_SIZE

MAX_LISTED = 20


@repository_rule("config-at-top", "Use the directory that contains this one as the model repository", "serve")
def config_at_top(deployment: Deployment) -> Findings:
    """`serve` stops if the repository itself holds a config.pbtxt."""
    if CONFIG_FILE in deployment.listing.sizes:
        yield Finding(f"{CONFIG_FILE} is not in a model directory: this is a model, not a repository", file=CONFIG_FILE)


@repository_rule("wrapping-directory", "Use the inner directory as the model repository", "serve")
def wrapping_directory(deployment: Deployment) -> Findings:
    """Triton looks for models in the repository itself, not in directories below it."""
    if deployment.models or CONFIG_FILE in deployment.listing.sizes:
        return
    for path in sorted(deployment.listing.directories):
        if path.count("/") == 1 and deployment.listing.is_model(path):
            yield Finding(f"{path} is a model, and must be at the top of the repository", file=path.split("/")[0])


@repository_rule("no-model", f"Add a directory with {CONFIG_FILE} and a version directory, such as iris/1", "serve")
def no_model(deployment: Deployment) -> Findings:
    """`serve` stops if the repository has no model."""
    listing = deployment.listing
    wrapped = any(path.count("/") == 1 and listing.is_model(path) for path in listing.directories)
    if not deployment.models and not wrapped and CONFIG_FILE not in listing.sizes:
        yield Finding("the repository has no model")


@repository_rule("default-model", "Set `defaultModelName` to the model that answers", "serve")
def default_model(deployment: Deployment) -> Findings:
    """`serve` loads the default model; without one, it loads the only top directory, and stops if there are more."""
    name, directories = deployment.default_model, deployment.listing.top_directories
    models = ", ".join(list(deployment.models)[:MAX_LISTED])
    if not deployment.models:
        return
    if name is None and len(directories) > 1:
        yield Finding(f"the repository has {len(directories)} top directories ({', '.join(directories[:MAX_LISTED])})")
    if name is not None and name not in deployment.models:
        yield Finding(f"the default model {name!r} does not exist; the models are {models}")


@repository_rule(
    "stray-directory",
    "Move it out of the repository, or make it a model",
    "core: ModelRepositoryManager::Poll",
    "warning",
)
def stray_directory(deployment: Deployment) -> Findings:
    """A directory without a configuration and a version is not a model, and is packed nevertheless."""
    for directory in deployment.listing.top_directories:
        if directory not in deployment.models and deployment.models:
            yield Finding("is not a model: it has no config.pbtxt and no version directory", file=directory)


@repository_rule(
    "not-loaded",
    f"If a Python model calls it, set `{ADDITIONAL_ARGS}: --load-model=<name>` in `environment`",
    "serve: --model-control-mode=explicit",
    "warning",
)
def not_loaded(deployment: Deployment) -> Findings:
    """Triton loads the default model, the models of its steps and those of `--load-model` only."""
    for name in deployment.models:
        if name not in deployment.loaded:
            yield Finding("is not loaded", file=name)


@repository_rule("load-model", "Name a model of the repository, without a path", "core: ModelRepositoryManager::Create")
def load_model(deployment: Deployment) -> Findings:
    """`--load-model` must name models of the repository, and `*` cannot be combined with the default model, which the
    container always loads."""
    for name in deployment.arguments.load_models:
        if name == "*":
            yield Finding(f"{ADDITIONAL_ARGS}: --load-model=* is combined with the default model")
        elif name not in deployment.models:
            models = ", ".join(list(deployment.models)[:MAX_LISTED])
            yield Finding(f"{ADDITIONAL_ARGS}: --load-model={name} is not a model; the models are {models}")


@repository_rule("shm-size", f"Set at least {OLD_SHM_BYTES}, or use a newer image", "python_backend #291")
def shm_size(deployment: Deployment) -> Findings:
    """Before 23.09 the Python backend requires 4 MiB of shared memory."""
    size = (deployment.environment or {}).get(SHM_DEFAULT_BYTE_SIZE, "")
    if deployment.release and deployment.release < OLD_SHM_UNTIL and size.isdecimal() and int(size) < OLD_SHM_BYTES:
        yield Finding(f"{SHM_DEFAULT_BYTE_SIZE} is below {OLD_SHM_BYTES} bytes, and the image is {deployment.image}")
