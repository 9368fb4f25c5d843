"""A resource's life on AWS: created, read, updated and deleted by the operations that its type names."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.model import ListShape, OperationModel, Shape, StructureShape

from infra.aws.session import AwsSession
from sandbox.provider.mapping import Encoding, Problem, locate, shape_at
from sandbox.provider.resource_type import Read, ResourceType, Step, TagCalls

_GONE = re.compile(r"NotFound|NoSuch|^404$")
_TABLE = "sandbox/provider/services"


class AwsCallFailed(Exception):
    """AWS refused a call."""

    def __init__(self, operation: str, resource: str, code: str, message: str) -> None:
        super().__init__(f"{operation} {resource}: {code}: {message}" if code else f"{operation} {resource}: {message}")
        self.code, self.reason = code, message


class Clients:
    """boto3 clients of the provider's session, made when first used."""

    def __init__(self, session: AwsSession) -> None:
        self.session = session
        self._made: dict[tuple[str, str | None], Any] = {}
        self._lock = threading.Lock()  # boto3 makes clients on one thread at a time

    @property
    def region(self) -> str:
        """The provider's own region."""
        return str(self.get("sts").meta.region_name)

    def get(self, service: str, region: str | None = None) -> Any:
        """A client of the service, in the provider's own region unless another one is given."""
        with self._lock:
            if (service, region) not in self._made:
                self._made[service, region] = self.session.client(service, region)
            return self._made[service, region]


class Work:
    """One resource of a type, while something is done to it.

    Attributes:
        state: its properties, without secrets: outputs from before and inputs from now.
        given: its inputs now.
        created: whether the resource is being created, not updated.
        changed: the names of the inputs that change; while it is created, all of them.
    """

    def __init__(
        self,
        type_: ResourceType,
        clients: Clients,
        state: Mapping[str, Any],
        given: Mapping[str, Any] | None = None,
        changed: frozenset[str] | None = None,
    ) -> None:
        self.type = type_
        self.state = dict(state)
        self.given = dict(given or {})
        self.created = changed is None
        self.changed = frozenset(self.given) if changed is None else changed
        self.client = clients.get(type_.service, self.state.get("region"))
        self._clients = clients

    @property
    def account(self) -> str:
        """The account of the provider's credentials."""
        return str(self._clients.get("sts").get_caller_identity()["Account"])

    @property
    def id(self) -> str:
        return self.type.id.format_map(self.state)

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Calls the operation with the properties that identify the resource, and `parameters`."""
        return self._call(operation, self.parameters(operation, (*self.type.identity.split(), "arn")) | parameters)

    def send(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """Calls the operation with every input that it carries, and `parameters`."""
        return self._call(operation, self.parameters(operation, self._sent(operation)) | parameters)

    def parameters(self, operation: str, properties: Iterable[str]) -> dict[str, Any]:
        """AWS's parameters for those of the properties that the operation carries.

        Raises:
            AwsCallFailed: a value does not fit AWS's shape.
        """
        encoding = Encoding(self.type.nested_names, self.type.rules.computed)
        parameters = _parameters(
            self.type, self.model(operation), encoding, {name: self.state.get(name) for name in properties}
        )
        if encoding.problems:
            problems = "; ".join(f"{problem.path}: {problem.reason}" for problem in encoding.problems)
            raise AwsCallFailed(operation, self._label, "", problems)
        return parameters

    def model(self, operation: str) -> OperationModel:
        model: OperationModel = self.client.meta.service_model.operation_model(operation)
        return model

    def carries(self, operation: str, name: str) -> bool:
        shape = self.model(operation).input_shape
        return shape is not None and locate(shape, name, self.type.all_names, self.type.within) is not None

    def missing(self, error: AwsCallFailed) -> bool:
        """Whether the error says that there is no such resource."""
        return bool(_GONE.search(error.code)) or (self.type.gone != "" and self.type.gone in error.reason)

    def _sent(self, operation: str) -> list[str]:
        tags = ["tagsAll"] if self.created else []
        return [*self.type.identity.split(), *(set(self.given) & self.type.input_names - {"tags", "region"}), *tags]

    def pages(self, operation: str, **parameters: Any) -> list[dict[str, Any]]:
        """All pages of the operation's answer, called as by `call`."""
        identity = self.parameters(operation, self.type.identity.split())
        paginator = self.client.get_paginator(self._method(operation))
        with self._errors(operation):
            return list(paginator.paginate(**identity, **parameters))

    def _call(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        with self._errors(operation):
            answer: dict[str, Any] = getattr(self.client, self._method(operation))(**parameters)
            return answer

    def _method(self, operation: str) -> str:
        names: dict[str, str] = self.client.meta.method_to_api_mapping
        return next(method for method, name in names.items() if name == operation)

    @contextmanager
    def _errors(self, operation: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            details = error.response.get("Error", {})
            raise AwsCallFailed(
                operation, self._label, details.get("Code", ""), details.get("Message", str(error))
            ) from error
        except BotoCoreError as error:
            raise AwsCallFailed(operation, self._label, "", str(error)) from error

    @property
    def _label(self) -> str:
        """What people know the resource by, as far as it exists."""
        with suppress(KeyError):
            return self.id
        named = self.type.autoname and self.state.get(self.type.autoname.property)
        return str(named or self.type.token)


def problems(type_: ResourceType, clients: Clients, properties: Mapping[str, Any]) -> list[Problem]:
    """What AWS would refuse in the inputs, as far as its shapes say; unknown values pass."""
    service = clients.get(type_.service).meta.service_model
    found = [
        Problem(name, f"the sandbox's {type_.token} has no such property: add it to its entry in {_TABLE}")
        for name in sorted(properties.keys() - type_.input_names - {"tagsAll"})
    ]
    left = {name: value for name, value in properties.items() if name in type_.input_names - {"region", "tags"}}
    for step in (type_.create, *type_.updates):
        encoding = Encoding(type_.nested_names, type_.rules.computed, found)
        model = service.operation_model(_operation(step))
        carried = {
            name: value
            for name, value in left.items()
            if locate(model.input_shape, name, type_.all_names, type_.within)
        }
        _parameters(type_, model, encoding, carried)
        left = {name: value for name, value in left.items() if name not in carried}
    return found


def create(work: Work) -> None:
    """Makes the resource; afterwards its id is known, and `finish` must follow."""
    step = work.type.create
    run = step.run if isinstance(step, Step) else None
    answer = run(work) if run else work.send(_operation(step))
    if isinstance(answer, dict):
        shape = work.model(_operation(step)).output_shape
        for name, value in _created(work.type, shape, answer).items():
            work.state.setdefault(name, value)


def finish(work: Work) -> None:
    """Sets what the creating operation does not carry."""
    first = _operation(work.type.create)
    for step in work.type.updates:
        later = {
            name
            for name in _on(work, step)
            if name in work.given and not work.carries(first, name) and work.given[name] != work.type.defaults.get(name)
        }
        if later and _operation(step) != first:
            _run(work, step)
    if work.type.tags and work.state.get("tagsAll") and not work.carries(first, "tagsAll"):
        _add_tags(work, work.state["tagsAll"])


def update(work: Work, old_tags: Mapping[str, str]) -> None:
    """Changes what `work.changed` names; `old_tags` are those that the resource has."""
    removed = {name for name in work.changed if name not in work.given and name in work.type.unset}
    for name in sorted(removed):
        work.call(work.type.unset[name])
    for step in work.type.updates:
        if (work.changed - removed) & _on(work, step):
            _run(work, step)
    if work.type.tags and "tagsAll" in work.changed:
        _change_tags(work, old_tags, work.state.get("tagsAll") or {})


def delete(work: Work) -> None:
    """Deletes the resource, unless its program says `skipDestroy`. One that is gone already is no error."""
    step = work.type.delete
    if work.state.get("skipDestroy"):
        return
    try:
        if isinstance(step, Step) and step.run:
            step.run(work)
        else:
            work.call(_operation(step), **work.parameters(_operation(step), work.type.write_only.split()))
    except AwsCallFailed as error:
        if not work.missing(error):
            raise


def read(work: Work) -> dict[str, Any] | None:
    """The resource's properties as AWS holds them, or None where there is no such resource."""
    found: dict[str, Any] = {name: work.state[name] for name in work.type.identity.split() if name in work.state}
    for index, look in enumerate(work.type.reads):
        properties = _look(work, look)
        if properties is None and index == 0:
            return None
        found |= properties or {}
        work.state |= found
    if work.type.complete:
        found |= work.type.complete(work, found)
        work.state |= found
    if work.type.tags:
        found["tagsAll"] = _tags(work, work.type.tags)
    return {name: value for name, value in found.items() if name in work.type.properties and value is not None}


def _operation(step: Step | str) -> str:
    return step.operation if isinstance(step, Step) else step


def _on(work: Work, step: Step | str) -> set[str]:
    """The inputs whose change calls for the step."""
    if isinstance(step, Step) and step.on:
        return set(step.on.split())
    mutable = work.type.input_names - {"tags", "region", *work.type.identity.split()}
    return {name for name in mutable if work.carries(_operation(step), name)}


def _run(work: Work, step: Step | str) -> None:
    if isinstance(step, Step) and step.run:
        step.run(work)
        return
    operation = _operation(step)
    shape = work.model(operation).input_shape
    emptied: dict[str, Any] = {}
    if operation != _operation(work.type.create):  # there, leaving a property out is how it is removed
        for name in work.changed - work.given.keys():
            if (way := locate(shape, name, work.type.all_names, work.type.within)) and len(way) == 1:
                emptied[way[0]] = _zero(shape.members[way[0]])
    work.send(operation, **{name: value for name, value in emptied.items() if value is not None})


def _zero(shape: Shape) -> Any:
    """The value that Terraform sends for an argument that was removed; None where there is no such value."""
    if isinstance(shape, StructureShape):
        return {key: False for key, member in shape.members.items() if member.type_name == "boolean"}
    return {"string": "", "boolean": False, "list": [], "map": {}}.get(shape.type_name)


def _parameters(
    type_: ResourceType, model: OperationModel, encoding: Encoding, properties: Mapping[str, Any]
) -> dict[str, Any]:
    shape = model.input_shape
    parameters: dict[str, Any] = {}
    for name, value in type_.prepare(properties).items():
        way = locate(shape, name, type_.all_names, type_.within) if shape else None
        if way is None or value is None:
            continue
        target = parameters
        for step in way[:-1]:
            target = target.setdefault(step, {})
        target[way[-1]] = encoding.value(shape_at(shape, way), value, name)
    return parameters


def _created(type_: ResourceType, shape: StructureShape | None, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The properties in a creating operation's answer: at its top, or in the one structure it holds."""
    if shape is None:
        return {}
    found = type_.decoding.properties(shape, {key: value for key, value in answer.items() if key in shape.members})
    for value in list(found.values()):
        if isinstance(value, dict):
            found |= value
    return {name: value for name, value in found.items() if name in type_.properties}


def _look(work: Work, look: Read) -> dict[str, Any] | None:
    try:
        if look.run:
            return look.run(work)
        answer = work.call(look.operation, **look.parameters)
    except AwsCallFailed as error:
        if work.missing(error):
            return None
        raise
    way = look.result.split(".") if look.result else []
    shape = shape_at(work.model(look.operation).output_shape, way)
    value: Any = answer
    for step in way:
        value = value.get(step, {})
    if isinstance(shape, ListShape):
        identity = {name: work.state[name] for name in work.type.identity.split() if work.state.get(name)}
        elements = (work.type.decoding.properties(shape.member, element) for element in value)
        return next((element for element in elements if all(element.get(k, v) == v for k, v in identity.items())), None)
    return work.type.decoding.properties(shape, value)


def _tags(work: Work, calls: TagCalls) -> dict[str, str]:
    try:
        answer = work.call(calls.read)
    except AwsCallFailed as error:
        if work.missing(error):
            return {}
        raise
    shape = shape_at(work.model(calls.read).output_shape, [calls.result])
    tags: dict[str, str] = work.type.decoding.value(shape, answer.get(calls.result) or {}, "tagsAll")
    return {key: value for key, value in tags.items() if not key.startswith("aws:")}


def _add_tags(work: Work, tags: Mapping[str, str]) -> None:
    assert work.type.tags
    operation = work.type.tags.add
    work.state["tagsAll"] = dict(tags)
    work.call(operation, **work.parameters(operation, ["tagsAll"]))


def _change_tags(work: Work, old: Mapping[str, str], new: Mapping[str, str]) -> None:
    calls = work.type.tags
    assert calls
    removed = sorted(old.keys() - new.keys())
    added = {key: value for key, value in new.items() if old.get(key) != value}
    if calls.all_at_once:
        if new:
            _add_tags(work, new)
        else:
            work.call(calls.remove)
        return
    if removed:
        members = work.model(calls.remove).input_shape.members
        work.call(calls.remove, **{next(key for key in members if key.lower().endswith("tagkeys")): removed})
    if added:
        _add_tags(work, added)
    work.state["tagsAll"] = dict(new)
