"""The model whose `config.pbtxt` a command reads: the repository of the stack file, else the released artifact."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from infra.cli.release_target import ReleaseTarget
from infra.invocation.endpoint import ServedModel
from infra.invocation.request_source import files_of_artifact, files_of_settings
from infra.settings.model import ModelRepositorySettings
from infra.triton.model_files import ModelFiles, UnsupportedModel


def model_files(target: ReleaseTarget, variant: str, model: Callable[[], ServedModel]) -> tuple[ModelFiles, str]:
    """The model's files, and where they were read.

    Args:
        model: reads the Model that answers now, which requires `sagemaker:DescribeModel`.

    Raises:
        AwsRequestRefused: the caller may not read the Model or its artifact.
        UnsupportedModel: the artifact cannot be read.
    """
    served = target.settings.variants.get(variant) if target.settings else None
    if served and isinstance(served.model, ModelRepositorySettings):
        with contextlib.suppress(UnsupportedModel):  # perhaps this machine does not have it
            return files_of_settings(served.model, target.root), served.model.path
    released = model()
    return files_of_artifact(target.session.client("s3"), released), str(released.artifact)
