"""The model's files that a request is generated from and checked against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infra.aws.s3_object import S3Object
from infra.invocation.endpoint import ServedModel
from infra.invocation.message import JSON, InferenceRequest, InvalidRequest
from infra.settings.model import ModelRepositorySettings
from infra.triton.model_files import ModelFiles, UnsupportedModel
from infra.triton.repository import ModelRepository, ModelRepositoryError
from infra.triton.request_check import request_problem
from infra.triton.sample_request import request_for_files


def files_of_settings(model: ModelRepositorySettings, root: Path) -> ModelFiles:
    """The files of the repository that the stack file names.

    Args:
        root: the directory of the project.

    Raises:
        UnsupportedModel: the repository cannot be read.
    """
    try:
        repository = ModelRepository.read(root / model.path)
    except ModelRepositoryError as error:
        raise UnsupportedModel(str(error)) from None
    except OSError as error:
        raise UnsupportedModel(f"{model.path} cannot be read: {error.strerror}") from None
    if (name := model.default_model_name or repository.only_model) is None:
        raise UnsupportedModel(f"{model.path} has several models, and defaultModelName is not set")
    return ModelFiles.of_repository(repository, name)


def files_of_artifact(s3: Any, model: ServedModel) -> ModelFiles:
    """The files of the released artifact of a Model, which is streamed once.

    Raises:
        AwsRequestRefused: the caller may not read the artifact.
        UnsupportedModel: it cannot be read.
    """
    with S3Object.find(s3, model.artifact.bucket, model.artifact.key).open() as stream:
        return ModelFiles.of_artifact(stream, model.default_model)


def sample(files: ModelFiles) -> InferenceRequest:
    """The sample request of a model.

    Raises:
        UnsupportedModel: none can be generated.
    """
    return InferenceRequest.parse(request_for_files(files).body, JSON)


def require_accepted(files: ModelFiles, request: InferenceRequest, source: str) -> None:
    """
    Raises:
        InvalidRequest: the model does not accept the request.
        UnsupportedModel: the model has no configuration to check it against.
    """
    if problem := request_problem(files.config, request.header):
        raise InvalidRequest(f"{source} is not a request that model {files.model} accepts: {problem}")
