"""S3 URIs in a stack's settings."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, StringConstraints

from infra.settings.section import Effect, setting, unique, violation

MAX_URI = 512
"""Characters of an address in `AsyncInferenceOutputConfig` (API `DestinationS3Uri`)."""


def _prefix(uri: str) -> str:
    if "${" in uri:
        raise violation(
            "location-variable", f"{uri!r}: `${{…}}` is not expanded in stack files. Write out the address."
        )
    if not uri.isprintable() or "//" in uri.removeprefix("s3://") or not {"*", "?"}.isdisjoint(uri):
        raise violation(
            "location-characters",
            f"{uri!r} has an empty part, a wildcard or a nonprintable character. Use a bucket and a plain prefix, such "
            "as s3://bucket/results.",
        )
    return uri.rstrip("/")


S3Location = Annotated[
    str,
    StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/.*)?$", max_length=MAX_URI),
    AfterValidator(_prefix),
]
"""A bucket and a prefix, without the slash at its end."""

S3Locations = Annotated[list[S3Location], AfterValidator(unique)]


def accessible(description: str, example: str, source: str) -> Any:
    """The setting of places in S3 that the execution role may access, in addition to those in the stack's bucket."""
    return setting(
        description,
        default_factory=list,
        example=[example],
        source=f"{source}; this project: the execution role has access to nothing else",
        effect=Effect.NOTHING,
        schema={"uniqueItems": True},
    )
