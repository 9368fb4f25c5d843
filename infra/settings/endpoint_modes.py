"""Rules on the mode of an endpoint: what SageMaker does not combine with it."""

from __future__ import annotations

from collections.abc import Iterable

from infra.aws.mode import Mode
from infra.settings.endpoint_sections import EndpointSections
from infra.settings.environment import ONE_MODE
from infra.settings.section import Broken, rule


class EndpointModes(EndpointSections):
    """The keys of an endpoint, and the rules on its mode."""

    @rule("asynchronous")
    def several_modes(self) -> str | None:
        if self.asynchronous is None or self.mode is Mode.ASYNCHRONOUS:
            return None
        return f"is combined with {self.mode}. {ONE_MODE} Remove one of the two."

    @rule("variants")
    def kinds_of_variants(self) -> str | None:
        """This project: the mode is that of the endpoint."""
        variants: dict[Mode, Iterable[str]] = {
            Mode.ASYNCHRONOUS if self.asynchronous else Mode.REAL_TIME: self.instance_variants,
            Mode.SERVERLESS: self.serverless_variants,
            Mode.BATCH: self.batch_variants,
        }
        listed = [f"{', '.join(names)}: {mode}" for mode, names in variants.items() if names]
        if len(listed) == 1:
            return None
        return f"combines variants of several modes ({'; '.join(listed)}). {ONE_MODE} Use an endpoint for each mode."

    @rule("variants")
    def several_serverless_variants(self) -> str | None:
        """SageMaker guide, Serverless Inference, Feature exclusions."""
        if self.mode is not Mode.SERVERLESS or len(self.variants) == 1:
            return None
        return (
            f"a serverless endpoint has one variant, and this one has {len(self.variants)} (SageMaker guide, "
            "Serverless Inference, Feature exclusions). Use an endpoint for each, or serve them on instances."
        )

    @rule("variants")
    def several_batch_variants(self) -> str | None:
        """SageMaker API CreateTransformJob, ModelName."""
        if self.mode is not Mode.BATCH or len(self.variants) == 1:
            return None
        return (
            f"a transform job uses one Model, and there are {len(self.variants)} (API CreateTransformJob). Give each "
            "its own name below endpoints."
        )

    @rule("volumeKmsKeyArn")
    def volume_key_without_volume(self) -> str | None:
        """SageMaker API CreateEndpointConfig, KmsKeyId."""
        if self.volume_kms_key_arn is None or self.mode in (Mode.REAL_TIME, Mode.ASYNCHRONOUS):
            return None
        return (
            "encrypts the volumes of an endpoint's instances (API CreateEndpointConfig, KmsKeyId), and there are none: "
            f"the mode is {self.mode}. Remove the key."
        )

    @rule("variants")
    def single_instance_without_effect(self) -> Broken:
        """SageMaker guide, Asynchronous inference: requests wait in the queue."""
        if self.mode is not Mode.ASYNCHRONOUS:
            return None
        return {
            (name, "allowSingleInstance"): "has no effect: the requests to an asynchronous endpoint wait in its queue "
            "while an instance is replaced, so production does not require two. Remove the key."
            for name, variant in self.instance_variants.items()
            if variant.allow_single_instance
        }
