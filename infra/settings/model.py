"""The settings of which Triton model repository is served."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, Tag, WithJsonSchema

from infra import names
from infra.settings.section import Section, refuse_unknown_keys, violation
from infra.settings.source import according_to

MAX_ARTIFACT_KEY = 800
"""Bytes of an artifact's key. A ModelDataUrl has 1024 characters (API ``Url``), and that of the released copy repeats
the artifact's name after `s3://`, the bucket, the endpoint and the KMS key, before the version: up to 181
characters."""


_ModelName = Annotated[str, StringConstraints(pattern=r"^[^/\s]+$", max_length=255)]


_ARTIFACT_SCHEMA = {
    "type": "string",
    "pattern": rf"^(?!{'|'.join(names.RESERVED)})(?!.*\$\{{)(?:(?!\.\.?/)[^/:]+/)*[^/:]+\.tar\.gz$",
    "maxLength": MAX_ARTIFACT_KEY,
    "patternErrorMessage": "This is no key of a .tar.gz inside the bucket, such as artifacts/model_7.tar.gz.",
}


def _artifact_key(key: str) -> str:
    if not PurePosixPath(key).name.removesuffix(".tar.gz") or not key.endswith(".tar.gz"):
        raise violation(
            "not-tar-gz",
            f"{key!r} does not name a .tar.gz; SageMaker unpacks nothing else (CreateModel, ModelDataUrl).",
        )
    if ":" in key or not {"", ".", ".."}.isdisjoint(key.split("/")):
        raise violation(
            "artifact-key",
            f"{key!r} must be a key inside the model bucket, such as artifacts/model_7.tar.gz: no address, and without "
            "empty parts, . and .. between its slashes.",
        )
    if not key.isprintable():  # Amazon S3 User Guide, "Object key naming guidelines": characters to avoid
        raise violation(
            "artifact-key", f"{key!r} has a control character, or another one that is not printed. Rename the object."
        )
    if "${" in key:
        raise violation(
            "expression-in-key", f"{key!r}: nothing is put in for ${{…}} in a stack file. Write the key out."
        )
    if key.startswith(names.RESERVED):
        raise violation(
            "reserved-prefix",
            f"{key!r} lies under {key.partition('/')[0]}/, where the program alone writes; upload under artifacts/.",
        )
    if (size := len(key.encode())) > MAX_ARTIFACT_KEY:
        raise violation(
            "artifact-key-length",
            f"the key has {size} bytes; at most {MAX_ARTIFACT_KEY}, so that the address of the released copy fits in "
            "SageMaker's 1024 characters (CreateModel, ModelDataUrl).",
        )
    return key


class _ServedModel(Section):
    default_model_name: _ModelName | None = Field(
        None,
        description="The model that answers, by its directory (SAGEMAKER_TRITON_DEFAULT_MODEL_NAME); needed when there "
        "are several.",
        examples=["iris"],
        json_schema_extra=according_to(
            "Triton, docker/sagemaker/serve; this project: the name of a directory, 255 characters"
        ),
    )


class ModelRepositorySettings(_ServedModel):
    """A Triton model repository on disk."""

    path: str = Field(
        min_length=1,
        description="A Triton model repository on disk, relative to Pulumi.yaml; packed and uploaded by `pulumi up`. "
        "Give this or artifact.",
        examples=["examples/models"],
        json_schema_extra=according_to("Triton docs, Model Repository"),
    )


class ModelArtifactSettings(_ServedModel):
    """A model repository that was packed and uploaded beforehand."""

    artifact: Annotated[str, AfterValidator(_artifact_key), WithJsonSchema(_ARTIFACT_SCHEMA)] = Field(
        description="Key of a .tar.gz in the model bucket, uploaded beforehand; a new version of it is a new release. "
        "Give this or path.",
        examples=["artifacts/model_7.tar.gz"],
        json_schema_extra=according_to(
            "SageMaker API Url; this project: 800 bytes of the 1024, for the address of the released copy is longer"
        ),
    )


def _source(model: Any) -> str | None:
    """Which of the two a model is, if it is one of them."""
    if isinstance(model, dict):
        given = [key for key in ("path", "artifact") if key in model]
        return given[0] if len(given) == 1 else None
    return "artifact" if isinstance(model, ModelArtifactSettings) else "path"


ModelSettings = Annotated[
    Annotated[ModelRepositorySettings, Tag("path")] | Annotated[ModelArtifactSettings, Tag("artifact")],
    Discriminator(
        _source,
        custom_error_type="path-or-artifact",
        custom_error_message="give exactly one of path (a directory to pack) and artifact (a key in the model bucket).",
    ),
    refuse_unknown_keys(ModelRepositorySettings, ModelArtifactSettings),
]
"""Which Triton model repository an endpoint serves."""
