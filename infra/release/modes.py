"""Changes of an endpoint's mode: which SageMaker refuses, and which it does not roll back. No calls are made here."""

from __future__ import annotations

from infra.aws.mode import Mode

WAY_OUT = "Add an endpoint under another name, move the callers to it, and then remove this one."

_TO_SERVERLESS = "SageMaker does not update instances to serverless (SageMaker guide, Update a serverless endpoint)"

_REASONS = {
    (Mode.REAL_TIME, Mode.SERVERLESS): _TO_SERVERLESS,
    (Mode.ASYNCHRONOUS, Mode.SERVERLESS): _TO_SERVERLESS,
    # UpdateEndpoint's answer in https://github.com/aws/sagemaker-python-sdk/pull/3124
    (Mode.ASYNCHRONOUS, Mode.REAL_TIME): "SageMaker does not remove AsyncInferenceConfig from an endpoint",
}
"""Of the changes that SageMaker is known to refuse."""


def refusal(endpoint: str, live: Mode, requested: Mode) -> str | None:
    """Why an endpoint that exists must not change its mode, with the way out; None if it can.

    Only the change from serverless to real time is documented to work. A change that AWS does not document could not be
    undone: an asynchronous endpoint never becomes another one, and refuses the callers of InvokeEndpoint.
    """
    if live is requested or (live, requested) == (Mode.SERVERLESS, Mode.REAL_TIME):
        return None
    undocumented = "AWS does not document this update, and it could not be undone"
    reason = _REASONS.get((live, requested), undocumented)
    if requested is Mode.BATCH:
        reason = "a model that only transform jobs use has no endpoint, so this one would be deleted"
    return f"endpoint {endpoint} is {live} and cannot become {requested}: {reason}. It is unchanged. {WAY_OUT}"


def caution(endpoint: str, live: Mode, requested: Mode) -> str | None:
    """What to know before a change of mode that becomes a release; None without one."""
    if live is requested:
        return None
    return (
        f"endpoint {endpoint} is {live} and becomes {requested}: SageMaker does not roll this update back, and the "
        f"endpoint cannot become {live} again (SageMaker guide, Update a serverless endpoint)."
    )
