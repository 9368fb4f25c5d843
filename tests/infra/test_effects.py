"""What the documentation says of a change is what the program does with it."""

from __future__ import annotations

import shutil
from copy import deepcopy
from typing import Any

import pytest

from infra.dynamic.stack_guard import losses
from infra.settings.reference import keys
from infra.settings.section import Effect
from tests.infra.changes import (
    CHANGES,
    CHANGES_OF_AN_ENDPOINT,
    ENDPOINT,
    STACK,
    changed,
    deployed,
    endpoint_with,
    name_of,
)
from tests.infra.mock_runtime import ROOT, Deployment, Registered

RELEASED = {"Model", "EndpointConfiguration", "MirroredImage", "ResolvedImage", "ReleasedArtifact", "PackedModel"}
NAMES = {"Bucket": "bucket", "Repository": "name", "Role": "name"}
BESIDE_THE_FLEET = {"LogGroup", "MetricAlarm", "Target", "Policy"}
BESIDE_THE_FLEET |= {"CompositeAlarm", "AlarmMuteRule", "Topic", "TopicSubscription"}


EFFECTS = {key.name: key.effect for key in keys() if not key.below}
GUARDED = {key.name for key in keys() if "--ignore-protect" in key.description}
ENVIRONMENTS = ["staging", "production"]


def test_every_key_is_among_the_changes() -> None:
    changes = {*CHANGES, *(f"endpoints.*.{key}" for key in CHANGES_OF_AN_ENDPOINT)}
    assert {name for name in EFFECTS if "variants" not in name} - {"aws:region"} == changes


def test_a_variants_keys_do_what_those_of_an_endpoint_do() -> None:
    for name, effect in EFFECTS.items():
        assert EFFECTS[name.replace(".variants.*", "")] == effect


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("key", [key for key in CHANGES if key != "environment"])
def test_a_change_does_what_is_written(key: str, environment: str) -> None:
    more, value = CHANGES[key]
    stack = STACK | more | {"environment": environment}
    before, after = deployed(stack), deployed(changed(stack, key, value))
    assert observed(before, after) == EFFECTS[key]
    assert bool(lost(before, after)) == (environment == "production" and key in GUARDED)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_another_environment_does_what_is_written(environment: str) -> None:
    (other,) = {*ENVIRONMENTS} - {environment}
    before, after = (deployed(STACK | {"environment": each}) for each in (environment, other))
    assert observed(before, after) == EFFECTS["environment"]
    assert lost(before, after) == []


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize(
    ("key", "before", "after"),
    [
        ("endpoints", {"e": ENDPOINT, "f": ENDPOINT}, {"e": ENDPOINT}),
        ("endpoints", {"e": ENDPOINT}, {"f": ENDPOINT}),
        ("endpoints.*.autoscaling", {"e": ENDPOINT | {"autoscaling": {"min": 2, "max": 3}}}, {"e": ENDPOINT}),
    ],
)
def test_in_production_what_goes_is_refused_as_it_is_written(
    key: str, before: dict[str, Any], after: dict[str, Any], environment: str
) -> None:
    stack = STACK | {"environment": environment}
    runs = [deployed(stack | {"endpoints": each}) for each in (before, after)]
    assert key in GUARDED
    assert bool(lost(*runs)) == (environment == "production")


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def endpoints(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Deployment, Deployment]:
    """Two deployments of one stack with an endpoint for each key, which changes in the second."""
    other = tmp_path_factory.mktemp("other") / "models"
    shutil.copytree(ROOT / "examples/models", other)
    (other / "iris/1/notes.txt").write_text("changed")
    values = {key: value for key, (_, value) in CHANGES_OF_AN_ENDPOINT.items()} | {"model.path": str(other)}
    before = {name_of(key): endpoint_with(more) for key, (more, _) in CHANGES_OF_AN_ENDPOINT.items()}
    after = {name_of(key): changed(before[name_of(key)], key, value) for key, value in values.items()}
    stack = STACK | {"environment": request.param}
    first, second = (deployed(stack | {"endpoints": each}) for each in (before, after))
    assert lost(first, second) == []
    return first, second


@pytest.mark.parametrize("key", CHANGES_OF_AN_ENDPOINT)
def test_a_change_of_an_endpoint_does_what_is_written(endpoints: tuple[Deployment, Deployment], key: str) -> None:
    name = name_of(key)
    first, second = (
        Deployment([each for each in run.resources if each.name == name or each.name.startswith(f"{name}-")])
        for run in endpoints
    )
    assert observed(first, second) == EFFECTS[f"endpoints.*.{key}"]


def lost(before: Deployment, after: Deployment) -> list[str]:
    """What the guard of a production stack finds."""
    old, new = (run.one("StackGuard", "first").inputs for run in (before, after))
    return [*losses(old, new)] if old["production"] else []


def observed(before: Deployment, after: Deployment) -> Effect:
    """The most that happens to an endpoint when one deployment follows the other."""
    # a bucket or role that gets a name from the settings is called otherwise in the program, and is the same
    old, new = (
        {(each.type, "" if kind_of(each) in NAMES else each.name): each for each in run.resources}
        for run in (before, after)
    )
    both = [(old[key], new[key]) for key in old.keys() & new.keys()]
    kinds = {kind.split(":")[-1] for kind, _ in old.keys() ^ new.keys()}
    kinds |= {kind_of(one) for one, other in both if inputs(one) != inputs(other)}
    names = [(one.inputs.get(key), other.inputs.get(key)) for one, other in both if (key := NAMES.get(kind_of(one)))]
    if any(one != other for one, other in names):
        return Effect.REPLACEMENT
    if kinds & RELEASED:
        return Effect.NEW_RELEASE
    tagged = any(one.inputs.get("tags") != other.inputs.get("tags") for one, other in both)
    return Effect.IN_PLACE if tagged or kinds & BESIDE_THE_FLEET else Effect.NOTHING


def kind_of(resource: Registered) -> str:
    return resource.type.split(":")[-1]


def inputs(resource: Registered) -> dict[str, Any]:
    """What a resource is made of, without tags and what the engine is told to ignore."""
    found = deepcopy({key: value for key, value in resource.inputs.items() if key != "tags"})
    for ignored in resource.request.ignoreChanges:
        if ignored in ("path", "maxSessionDuration", "permissionsBoundary"):  # of the role, which are not given
            continue
        if ignored in ("tags", "tagsAll"):  # of the scalable target: Endpoint brings a change to it
            continue
        if ignored == "input":  # of the Stash, which keeps the Region
            continue
        prefix, *keys = ignored.split(".")
        assert prefix == "productionVariants[0]"
        *above, last = keys
        section = found["productionVariants"][0]
        for key in above:
            section = section[key]
        del section[last]
    return found
