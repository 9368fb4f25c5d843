"""The ways in which SageMaker serves a model."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """How SageMaker serves the model of an endpoint in the settings (SageMaker guide, Inference options)."""

    REAL_TIME = "real time"
    ASYNCHRONOUS = "asynchronous"
    SERVERLESS = "serverless"
    BATCH = "batch"
    """Transform jobs alone, without an endpoint on AWS."""
