"""The settings of the Triton model repository that a variant serves."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, StringConstraints, Tag, WithJsonSchema

from infra import names
from infra.settings.section import Effect, Section, setting, violation

MAX_ARTIFACT_KEY = 800
"""Bytes of an artifact's key. A ModelDataUrl has 1024 characters (API `Url`). That of the released copy precedes the
artifact's name with `s3://`, the bucket, the endpoint and the KMS key: up to 181 characters, with the version."""

_ModelName = Annotated[str, StringConstraints(pattern=r"^[^/\s]+$", max_length=255)]


def _artifact_key(key: str) -> str:
    if not PurePosixPath(key).name.removesuffix(".tar.gz") or not key.endswith(".tar.gz"):
        raise violation(
            "artifact-suffix",
            f"{key!r} is not the key of a .tar.gz, the only format that ModelDataUrl accepts. Pack the model with "
            "`python -m infra model pack`.",
        )
    if ":" in key or not {"", ".", ".."}.isdisjoint(key.split("/")):
        raise violation(
            "artifact-key",
            f"{key!r} must be a key in the model bucket, such as artifacts/model_7.tar.gz, not a URL, and without "
            "empty, . or .. parts.",
        )
    if not key.isprintable():
        raise violation(
            "artifact-characters",
            f"{key!r} contains a nonprintable character (S3 guide, Object key naming guidelines). Rename the object.",
        )
    if "${" in key:
        raise violation("artifact-variable", f"{key!r}: `${{…}}` is not expanded in stack files. Write out the key.")
    if key.startswith(names.RESERVED):
        raise violation(
            "artifact-prefix",
            f"{key!r} is under {key.partition('/')[0]}/, which is reserved for releases. Upload it under artifacts/.",
        )
    if (size := len(key.encode())) > MAX_ARTIFACT_KEY:
        raise violation(
            "artifact-key-length",
            f"the key has {size} bytes; at most {MAX_ARTIFACT_KEY}, because the address of the released copy must fit "
            "in the 1024 characters of ModelDataUrl. Use a shorter key.",
        )
    return key


_ArtifactKey = Annotated[
    str,
    AfterValidator(_artifact_key),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": rf"^(?!{'|'.join(names.RESERVED)})(?!.*\$\{{)(?:(?!\.\.?/)[^/:]+/)*[^/:]+\.tar\.gz$",
            "maxLength": MAX_ARTIFACT_KEY,
            "patternErrorMessage": "Not a valid key of a .tar.gz in the bucket, such as artifacts/model_7.tar.gz.",
        }
    ),
]


class _ServedModel(Section):
    default_model_name: _ModelName | None = setting(
        "Directory of the model that answers requests (SAGEMAKER_TRITON_DEFAULT_MODEL_NAME). Required if the "
        "repository has several models.",
        default=None,
        example="iris",
        source="Triton, docker/sagemaker/serve; this project: 255 characters, the length of a directory's name",
    )


class ModelRepositorySettings(_ServedModel):
    """A Triton model repository on disk."""

    path: str = setting(
        "Directory of a Triton model repository, relative to Pulumi.yaml. `pulumi up` packs and uploads it. Set either "
        "this or artifact.",
        min_length=1,
        example="examples/models",
        source="Triton docs, Model Repository",
    )


class ModelArtifactSettings(_ServedModel):
    """A packed model repository that was uploaded before."""

    artifact: _ArtifactKey = setting(
        "Key of a .tar.gz in the model bucket, uploaded before `pulumi up`. A new version of the object is a new "
        "release. Set either this or path.",
        example="artifacts/model_7.tar.gz",
        source="SageMaker API Url; this project: 800 bytes of the 1024, because the address of the released copy is "
        "longer",
    )
    check_artifact: bool = setting(
        "Whether previews and deployments check each new version of the artifact, as the files of a path are checked. "
        "The check downloads the artifact once.",
        default=True,
        example=False,
        source="this project: a link may be too slow for a large artifact",
        effect=Effect.NOTHING,
    )


def _kind(model: Any) -> str | None:
    if isinstance(model, dict):
        kinds = [key for key in ("path", "artifact") if key in model]
        return kinds[0] if len(kinds) == 1 else None
    return "artifact" if isinstance(model, ModelArtifactSettings) else "path"


ModelSettings = Annotated[
    Annotated[ModelRepositorySettings, Tag("path")] | Annotated[ModelArtifactSettings, Tag("artifact")],
    Discriminator(
        _kind,
        custom_error_type="path-or-artifact",
        custom_error_message="requires exactly one of path (a directory to pack) and artifact (a key in the bucket).",
    ),
]
"""The Triton model repository that a variant serves."""
