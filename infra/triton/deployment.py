"""What a model repository is deployed on: the container's environment, the instance type and the image."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from infra.aws.hardware import Hardware, gpus
from infra.image.triton_version import TritonVersion
from infra.triton import serve_options
from infra.triton.listing import Listing
from infra.triton.model import Model

MODEL_DIRECTORY = "/opt/ml/model"
"""Where SageMaker unpacks the artifact (SageMaker guide, Custom Inference Code with Hosting Services)."""


@dataclass(frozen=True)
class Deployment:
    """A repository and what is known of its target.

    Attributes:
        models: by name.
        default_model: None lets `serve` load the only top directory.
        environment: of the container.
        hardware: such as `ml.g5.xlarge`; None if not known.
        image: the image's tag, such as `24.09-py3-cpu`; None if not known.
    """

    listing: Listing
    models: Mapping[str, Model]
    default_model: str | None = None
    environment: Mapping[str, str] | None = None
    hardware: Hardware | None = None
    image: str | None = None

    @property
    def version(self) -> TritonVersion | None:
        """The version of Triton, if the image's tag names it."""
        return TritonVersion.parse(self.image or "")

    @property
    def has_cpu_image(self) -> bool:
        return bool(self.version and self.version.is_cpu_only)

    @property
    def gpus(self) -> int | None:
        """The number of GPUs that Triton sees; None if not known."""
        if self.has_cpu_image:
            return 0
        return None if self.hardware is None else gpus(self.hardware)

    @property
    def target(self) -> str:
        """The instance type or image, for messages about GPUs."""
        return f"the image {self.image}" if self.has_cpu_image else str(self.hardware)

    @property
    def release(self) -> str | None:
        """Triton's release: `24.09` of `24.09-py3`."""
        return self.version.release if self.version else None

    @property
    def has_known_backends(self) -> bool:
        """Whether the image is `YY.MM-py3` or `YY.MM-py3-cpu`, whose backends are known."""
        return bool(self.version and self.version.is_published_by_aws)

    @cached_property
    def arguments(self) -> serve_options.Arguments:
        return serve_options.Arguments.of(self.environment or {})

    @property
    def auto_completes(self) -> bool:
        """Whether backends may complete configurations."""
        return not self.arguments.disables_auto_complete

    def has_file(self, model: Model, *segments: str) -> bool:
        """Whether a file exists below the model directory. `..` may leave that, and a leading slash means nothing, as
        in Triton's `JoinPath`."""
        return posixpath.normpath("/".join([model.name, *segments])) in self.listing.sizes

    @cached_property
    def loaded(self) -> frozenset[str]:
        """The names that Triton loads: explicit control loads the default model, `--load-model` and ensemble steps."""
        named = {*self.arguments.load_models, *([self.default_model] if self.default_model else [])}
        if "*" in named or not named:
            return frozenset(self.models)
        loaded: set[str] = set()
        while named:
            name = named.pop()
            loaded.add(name)
            if name in self.models:
                steps = self.models[name].config.ensemble_scheduling.step
                named |= {step.model_name for step in steps} - loaded
        return frozenset(loaded)
