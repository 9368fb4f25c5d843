"""The version of Triton in an image's tag."""

from __future__ import annotations

import re
from dataclasses import dataclass

AWS_VERSION = r"\d\d\.(0[1-9]|1[0-2])-py3(-cpu)?"
"""The tags of AWS's image (AWS Deep Learning Containers, NVIDIA Triton Inference Containers)."""


@dataclass(frozen=True)
class TritonVersion:
    """A release of Triton and what NVIDIA or AWS built of it.

    Attributes:
        release: `23.10`; two digits each, so that alphabetical order is the order of the releases.
        flavor: the rest of the tag: `py3`, `py3-cpu`, `trtllm-python-py3`.
    """

    release: str
    flavor: str

    @classmethod
    def parse(cls, tag: str) -> TritonVersion | None:
        """The version in a tag, or None if the tag does not start with a release."""
        match = re.match(r"(\d\d\.\d\d)-", tag)
        return cls(match[1], tag[match.end() :]) if match else None

    @property
    def is_published_by_aws(self) -> bool:
        """Whether the tag has the form of AWS's tags."""
        return re.fullmatch(AWS_VERSION, str(self)) is not None

    @property
    def is_cpu_only(self) -> bool:
        """Whether the image cannot use GPUs."""
        return self.flavor.endswith("-cpu")

    def __str__(self) -> str:
        return f"{self.release}-{self.flavor}"
