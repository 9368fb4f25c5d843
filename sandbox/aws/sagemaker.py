"""SageMaker's control plane: models, endpoint configurations, endpoints and their tags, kept whole in memory.

Where AWS lets something through that breaks a live endpoint, this stand-in refuses, so that tests see it: deleting an
endpoint configuration, or a model of one, that an endpoint serves or is heading for. See `live` for other services.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from sandbox.aws.async_settings import AsyncSettings, check_async_config, check_same_kind
from sandbox.aws.endpoint import IN_PROGRESS, Endpoint
from sandbox.aws.endpoint_rules import (
    check_change,
    check_concurrency_quota,
    check_conversion,
    check_variants,
    rollout_of,
)
from sandbox.aws.fleet import Fleet, Place, Variant
from sandbox.aws.hosting import (
    Answer,
    Definition,
    Hosting,
    Hostings,
    arn_of,
    configs_in_use,
    page_of,
    summaries_of,
    tags_of,
)
from sandbox.aws.model_server import Launch
from sandbox.aws.models import check_model, containers_of
from sandbox.aws.protocol import AwsError, RequestContext, invalid, not_in_sandbox
from sandbox.aws.serverless import check_serverless
from sandbox.aws.transform import TransformJobs

ScalableVariants = Callable[[str, str, str], set[str]]
Deregister = Callable[[str, str, str], None]


class SageMaker:
    """The service.

    `launch` starts a model server, None where there is none on this machine. `scalable_variants` tells the variants of
    an endpoint that are registered as scalable targets, `deregister` ends these registrations.
    """

    def __init__(
        self,
        hostings: Hostings,
        directory: Path,
        launch: Launch | None,
        scalable_variants: ScalableVariants,
        deregister: Deregister,
    ) -> None:
        self._hostings = hostings
        self._directory = directory
        self._launch = launch
        self._scalable_variants = scalable_variants
        self._deregister = deregister
        self._lock = threading.RLock()
        jobs = TransformJobs(self._model, directory.parent / "transform-jobs", launch)
        self._operations: Mapping[str, Callable[[Hosting, Answer, RequestContext], Answer | None]] = {
            "AddTags": self._add_tags,
            "CreateEndpoint": self._create_endpoint,
            "CreateEndpointConfig": self._create_endpoint_config,
            "CreateModel": self._create_model,
            "CreateTransformJob": jobs.create,
            "DeleteEndpoint": self._delete_endpoint,
            "DeleteEndpointConfig": self._delete_endpoint_config,
            "DeleteModel": self._delete_model,
            "DeleteTags": self._delete_tags,
            "DescribeEndpoint": self._describe_endpoint,
            "DescribeEndpointConfig": self._describe_endpoint_config,
            "DescribeModel": self._describe_model,
            "DescribeTransformJob": jobs.describe,
            "ListEndpointConfigs": self._list_endpoint_configs,
            "ListEndpoints": self._list_endpoints,
            "ListModels": self._list_models,
            "ListTags": self._list_tags,
            "ListTransformJobs": jobs.list,
            "StopTransformJob": jobs.stop,
            "UpdateEndpoint": self._update_endpoint,
            "UpdateEndpointWeightsAndCapacities": self._update_endpoint_weights_and_capacities,
        }

    def handle(self, operation: str, params: Answer, context: RequestContext) -> Answer | None:
        if operation not in self._operations:
            raise not_in_sandbox(f"SageMaker {operation}")
        with self._lock:
            return self._operations[operation](self._hostings[context.account, context.region], params, context)

    def close(self) -> None:
        """Ends every container of endpoints and jobs."""
        with self._lock:
            hostings = list(self._hostings.values())
            ends: list[Callable[[], None]] = [each.close for hosting in hostings for each in hosting.endpoints.values()]
            ends += [job.run.stop for hosting in hostings for job in hosting.jobs.values()]
        with ThreadPoolExecutor(len(ends) + 1) as at_once:
            list(at_once.map(lambda end: end(), ends))

    def _create_model(self, hosting: Hosting, params: Answer, context: RequestContext) -> Answer:
        name = params["ModelName"]
        arn = arn_of(context, "model", name)
        if name.lower() in hosting.models:
            # https://github.com/aws/sagemaker-python-sdk/issues/987
            raise invalid(f'Cannot create already existing model "{arn}".')
        check_model(params, context.account, context.region)
        hosting.models[name.lower()] = Definition(params, arn, tags_of(params))
        return {"ModelArn": arn}

    def _describe_model(self, hosting: Hosting, params: Answer, context: RequestContext) -> Answer:
        model = self._model(hosting, params["ModelName"], context)
        defaults = {"EnableNetworkIsolation": False}
        return {**defaults, **model.request, "ModelArn": model.arn, "CreationTime": model.created}

    def _delete_model(self, hosting: Hosting, params: Answer, context: RequestContext) -> None:
        """AWS lets a model in use be deleted and breaks the endpoint at its next scale-out; the sandbox refuses."""
        model = self._model(hosting, params["ModelName"], context)
        name = model.request["ModelName"]
        for endpoint in hosting.endpoints.values():
            for config in configs_in_use(hosting, endpoint):
                if any(variant["ModelName"] == name for variant in config.request["ProductionVariants"]):
                    raise _in_use(f'model "{model.arn}"', endpoint)
        del hosting.models[name.lower()]

    def _list_models(self, hosting: Hosting, params: Answer, context: RequestContext) -> Answer:
        return page_of("Models", "Model", summaries_of("Model", hosting.models.values()), params)

    def _create_endpoint_config(self, hosting: Hosting, params: Answer, context: RequestContext) -> Answer:
        name = params["EndpointConfigName"]
        arn = arn_of(context, "endpoint-config", name)
        if name.lower() in hosting.configs:
            # https://github.com/awslabs/spot-tagging-bot-for-digital-assets/issues/2
            raise invalid(f'Cannot create already existing endpoint configuration "{arn}".')
        request = {**params, "ProductionVariants": [{**_NEW_VARIANT, **v} for v in params["ProductionVariants"]]}
        variants = request["ProductionVariants"] + request.get("ShadowProductionVariants", [])
        check_variants(variants)
        check_async_config(request)
        models = {name: self._model(hosting, name, context).request for name in {v["ModelName"] for v in variants}}
        check_serverless(request, models)
        hosting.configs[name.lower()] = Definition(request, arn, tags_of(params))
        return {"EndpointConfigArn": arn}

    def _describe_endpoint_config(self, hosting: Hosting, params: Answer, context: RequestContext) -> Answer:
        config = self._config(hosting, params["EndpointConfigName"], context)
        defaults = {"EnableNetworkIsolation": False}
        return {**defaults, **config.request, "EndpointConfigArn": config.arn, "CreationTime": config.created}

    def _delete_endpoint_config(self, hosting: Hosting, params: Answer, context: RequestContext) -> None:
        """AWS: "You must not delete an EndpointConfig in use by an endpoint that is live or while the UpdateEndpoint or
        CreateEndpoint operations are being performed on the endpoint", and lets it through; the sandbox refuses.
        """
        config = self._config(hosting, params["EndpointConfigName"], context)
        for endpoint in hosting.endpoints.values():
            if config in configs_in_use(hosting, endpoint):
                raise _in_use(f'endpoint configuration "{config.arn}"', endpoint)
        del hosting.configs[config.request["EndpointConfigName"].lower()]

    def _list_endpoint_configs(self, hosting: Hosting, params: Answer, context: RequestContext) -> Answer:
        summaries = summaries_of("EndpointConfig", hosting.configs.values())
        return page_of("EndpointConfigs", "EndpointConfig", summaries, params)

    def _create_endpoint(self, hosting: Hosting, params: Answer, context: RequestContext) -> Answer:
        name = params["EndpointName"]
        arn = arn_of(context, "endpoint", name)
        if hosting.endpoint(name) is not None:
            # https://github.com/aws/sagemaker-python-sdk/issues/101
            raise invalid(f'Cannot create already existing endpoint "{arn}".')
        config = self._config(hosting, params["EndpointConfigName"], context)
        place = Place(context.account, context.region, name, self._directory / context.account / context.region / name)
        endpoint = Endpoint(place, arn, tags_of(params))
        variants = self._variants(hosting, config, {}, context)
        policy = params.get("DeploymentConfig")
        check_concurrency_quota(name, variants, hosting, context.region)
        rollout = rollout_of(policy, None, variants, context)
        fleet = self._fleet(place, config, variants)
        hosting.endpoints[name.lower()] = endpoint
        endpoint.deploy(fleet, policy, rollout, context.conditions)
        return {"EndpointArn": arn}

    def _describe_endpoint(self, hosting: Hosting, params: Answer, context: RequestContext) -> Answer:
        return self._endpoint(hosting, params["EndpointName"], context).describe()

    def _update_endpoint(self, hosting: Hosting, params: Answer, context: RequestContext) -> Answer:
        """Also to the configuration that is served already: AWS documents no refusal, and deploys it anew."""
        endpoint = self._settled_endpoint(hosting, params["EndpointName"], context)
        policy = params.get("DeploymentConfig")
        if params.get("RetainDeploymentConfig"):
            policy = endpoint.last_deployment_config
        config = self._config(hosting, params["EndpointConfigName"], context)
        check_same_kind(endpoint.name, endpoint.is_asynchronous, "AsyncInferenceConfig" in config.request)
        self._check_scalable_variants(endpoint, config, context)
        variants = self._variants(hosting, config, _retained(endpoint, params), context)
        check_conversion(endpoint, variants)
        check_concurrency_quota(endpoint.name, variants, hosting, context.region)
        rollout = rollout_of(policy, endpoint.fleet, variants, context)
        fleet = self._fleet(endpoint.place, config, variants)
        endpoint.deploy(fleet, policy, rollout, context.conditions)
        return {"EndpointArn": endpoint.arn}

    def _update_endpoint_weights_and_capacities(
        self, hosting: Hosting, params: Answer, context: RequestContext
    ) -> Answer:
        endpoint = self._settled_endpoint(hosting, params["EndpointName"], context)
        changes = {change["VariantName"]: change for change in params["DesiredWeightsAndCapacities"]}
        for name, change in changes.items():
            variant = endpoint.fleet.variant(name) if endpoint.fleet else None
            if variant is None:
                served = ", ".join(endpoint.config_names)
                message = f'The variant name(s) "{name}" is/are not present within endpoint configuration "{served}".'
                raise invalid(message)
            check_change(variant, change, is_asynchronous=endpoint.is_asynchronous)
        endpoint.scale(changes, context.conditions)
        return {"EndpointArn": endpoint.arn}

    def _delete_endpoint(self, hosting: Hosting, params: Answer, context: RequestContext) -> None:
        """Deregisters its variants as scalable targets, as AWS does (developer guide, endpoint-delete-with-scaling)."""
        endpoint = self._endpoint(hosting, params["EndpointName"], context)
        if endpoint.status in IN_PROGRESS:
            raise _in_progress(endpoint)
        endpoint.enter("Deleting")
        self._deregister(context.account, context.region, endpoint.name)

        def delete() -> None:
            endpoint.close()
            with self._lock:
                del hosting.endpoints[endpoint.name.lower()]

        threading.Thread(target=delete, name=f"deletion of {endpoint.name}", daemon=True).start()

    def _list_endpoints(self, hosting: Hosting, params: Answer, context: RequestContext) -> Answer:
        described = [endpoint.describe() for endpoint in hosting.endpoints.values()]
        wanted = params.get("StatusEquals")
        listed = [each for each in described if wanted in (None, each["EndpointStatus"])]
        return page_of("Endpoints", "Endpoint", listed, params)

    def _add_tags(self, hosting: Hosting, params: Answer, context: RequestContext) -> Answer:
        self._tagged(hosting, params["ResourceArn"]).tags.update(tags_of(params))
        return {"Tags": params["Tags"]}

    def _list_tags(self, hosting: Hosting, params: Answer, context: RequestContext) -> Answer:
        tags = self._tagged(hosting, params["ResourceArn"]).tags
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _delete_tags(self, hosting: Hosting, params: Answer, context: RequestContext) -> Answer:
        tags = self._tagged(hosting, params["ResourceArn"]).tags
        for key in params["TagKeys"]:
            tags.pop(key, None)
        return {}

    def _model(self, hosting: Hosting, name: str, context: RequestContext) -> Definition:
        if name.lower() not in hosting.models:
            # aws/amazon-sagemaker-operator-for-k8s, clientwrapper: DescribeModel404MessagePrefix
            raise invalid(f'Could not find model "{arn_of(context, "model", name)}".')
        return hosting.models[name.lower()]

    def _config(self, hosting: Hosting, name: str, context: RequestContext) -> Definition:
        if name.lower() not in hosting.configs:
            # https://github.com/hashicorp/terraform-provider-aws/issues/40048
            raise invalid(f'Could not find endpoint configuration "{arn_of(context, "endpoint-config", name)}".')
        return hosting.configs[name.lower()]

    def _endpoint(self, hosting: Hosting, name: str, context: RequestContext) -> Endpoint:
        endpoint = hosting.endpoint(name)
        if endpoint is None:
            # https://github.com/aws/amazon-sagemaker-examples/issues/2402
            raise invalid(f'Could not find endpoint "{arn_of(context, "endpoint", name)}".')
        return endpoint

    def _settled_endpoint(self, hosting: Hosting, name: str, context: RequestContext) -> Endpoint:
        """An endpoint that takes a change: "DeleteEndpoint is the only operation that can be performed on a failed
        endpoint" (DescribeEndpoint, EndpointStatus).
        """
        endpoint = self._endpoint(hosting, name, context)
        if endpoint.status in IN_PROGRESS:
            raise _in_progress(endpoint)
        if endpoint.status != "InService":
            message = f'Cannot update endpoint "{endpoint.arn}" with status {endpoint.status}; it can only be deleted.'
            raise invalid(message)
        return endpoint

    def _tagged(self, hosting: Hosting, arn: str) -> Definition | Endpoint:
        resources: Iterable[Definition | Endpoint] = (
            *hosting.models.values(),
            *hosting.configs.values(),
            *hosting.endpoints.values(),
            *hosting.jobs.values(),
        )
        for resource in resources:
            if resource.arn == arn.lower():
                return resource
        raise invalid(f'Could not find {_KINDS.get(arn.split(":")[5].split("/")[0], "resource")} "{arn}".')

    def _variants(
        self, hosting: Hosting, config: Definition, retained: Mapping[str, Mapping[str, Any]], context: RequestContext
    ) -> list[Variant]:
        """The variants of a configuration, to be started; `retained` has live properties that win over its own."""
        for member in ("ShadowProductionVariants", "ExplainerConfig"):
            if member in config.request:
                raise not_in_sandbox(f"an endpoint with {member}")
        variants = []
        for settings in config.request["ProductionVariants"]:
            model = self._model(hosting, settings["ModelName"], context).request
            if len(containers_of(model)) != 1:
                raise not_in_sandbox("an endpoint with several containers in a variant")
            live = retained.get(settings["VariantName"], {})
            count = live.get("DesiredInstanceCount", settings.get("InitialInstanceCount", 0))
            weight = live.get("DesiredWeight", settings["InitialVariantWeight"])
            variants.append(Variant(settings, model, count, weight))
        return variants

    def _fleet(self, place: Place, config: Definition, variants: list[Variant]) -> Fleet:
        name = config.request["EndpointConfigName"]
        return Fleet(place, name, variants, self._launch, AsyncSettings.of(config.request))

    def _check_scalable_variants(self, endpoint: Endpoint, config: Definition, context: RequestContext) -> None:
        """A variant under autoscaling keeps its name and instance type (developer guide, endpoint-scaling-update)."""
        registered = self._scalable_variants(context.account, context.region, endpoint.name)
        new_types = {v["VariantName"]: v.get("InstanceType") for v in config.request["ProductionVariants"]}
        old = endpoint.fleet.variants if endpoint.fleet else []
        changed = [v.name for v in old if v.name in registered and new_types.get(v.name) != v.instance_type]
        if changed:
            # The wording is not checked against AWS.
            raise invalid(
                f'The variant(s) "[{", ".join(changed)}]" must be deregistered as scalable targets with AutoScaling '
                "before they can be removed or have their instance type updated."
            )


#: What AWS adds to a variant that says nothing of it (API_ProductionVariant, InitialVariantWeight).
_NEW_VARIANT = {"InitialVariantWeight": 1.0}

_KINDS = {"model": "model", "endpoint-config": "endpoint configuration", "endpoint": "endpoint", "transform-job": "job"}


def _in_progress(endpoint: Endpoint) -> AwsError:
    # aws/amazon-sagemaker-operator-for-k8s, clientwrapper: DeleteEndpointInProgressMessagePrefix
    return invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')


def _in_use(what: str, endpoint: Endpoint) -> AwsError:
    message = (
        f'Cannot delete {what}: endpoint "{endpoint.arn}" serves it or is being updated to it. '
        "(The sandbox refuses this; AWS would delete it and break the endpoint.)"
    )
    return invalid(message)


def _retained(endpoint: Endpoint, params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The live properties that an update keeps, by variant (RetainAllVariantProperties). A serverless variant has no
    instance count."""
    if not params.get("RetainAllVariantProperties") or endpoint.fleet is None:
        return {}
    excluded = {each["VariantPropertyType"] for each in params.get("ExcludeRetainedVariantProperties", [])}
    live = {
        variant.name: {"DesiredInstanceCount": variant.desired_count, "DesiredWeight": variant.desired_weight}
        for variant in endpoint.fleet.variants
    }
    excluded |= {"DesiredInstanceCount"} if any(v.serverless is not None for v in endpoint.fleet.variants) else set()
    return {name: {k: v for k, v in kept.items() if k not in excluded} for name, kept in live.items()}
