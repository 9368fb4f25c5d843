"""What a resource type is, and its life on AWS: created, read, updated and deleted by the operations its table entry names."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from botocore.model import ListShape, OperationModel, StructureShape

from infra.aws_session import AwsSession
from sandbox.provider.difference import Rules
from sandbox.provider.mapping import Decoding, Encoding, Names, Problem, locate, shape_at
from sandbox.provider.naming import AutoName

_GONE = re.compile(r"NotFound|NoSuch|^404$")
_ZERO = {"string": "", "boolean": False, "list": [], "map": {}, "structure": {}}


class AwsCallFailed(Exception):
    """AWS refused a call."""

    def __init__(self, operation: str, resource: str, code: str, message: str) -> None:
        super().__init__(f"{operation} {resource}: {code}: {message}" if code else f"{operation} {resource}: {message}")
        self.code, self.reason = code, message


@dataclass(frozen=True)
class Step:
    """Something done on AWS: one operation, or a function where one call does not do.

    Attributes:
        operation: the operation whose input shape says which properties it carries.
        run: does it instead of a plain call of the operation.
        on: the properties whose change calls for it, where those that the operation carries are not the ones.
    """

    operation: str
    run: Callable[[Work], Any] | None = None
    on: str = ""


@dataclass(frozen=True)
class Read:
    """A look at AWS.

    Attributes:
        operation: the operation, called with the properties that identify the resource.
        result: where in the answer the resource is; of a list, the element with the resource's identity.
        whole: the property that the result is as a whole.
        run: gives the properties instead of a plain call, or None where the resource is gone.
    """

    operation: str
    result: str = ""
    whole: str = ""
    run: Callable[[Work], dict[str, Any] | None] | None = None


@dataclass(frozen=True)
class TagCalls:
    """The operations on a resource's tags; `all_at_once` where adding means replacing all of them, as S3 does."""

    read: str
    add: str
    remove: str
    result: str = "Tags"
    all_at_once: bool = False


@dataclass(frozen=True)
class ResourceType:
    """One Pulumi type: which operations make its life, and how its names and values differ from AWS's.

    Lists of property names are written as one string, separated by spaces.

    Attributes:
        token: Pulumi's type.
        service: boto3's name of the service.
        inputs: the properties a program may give; others are refused, so that nothing is silently ignored.
        identity: the inputs or outputs that name the resource in every call.
        create, reads, updates, delete: the operations. The first read decides whether the resource exists.
        outputs: further properties.
        id: the resource's id, as a template; `import_id` reads one that people give to an import.
        autoname: how the physical name is made up.
        names, nested_names, within, maps, strings: see `mapping`.
        prepare: rewrites inputs that differ from AWS's in more than names.
        replaces: properties whose change makes a new resource; `*`: every one but the tags.
        delete_before_replace: whether the old one must go first.
        defaults: values for properties left out, by path (`productionVariants.initialVariantWeight`).
        documents, sets, computed: see `difference.Rules`.
        write_only: inputs that AWS does not give back.
        renewed: outputs that every update changes.
        unset: the operation that removes a property, where sending it empty does not.
        tags: how tags are kept.
        complete: adds what AWS's answers lack or name otherwise.
        gone: a text in an error that means "no such resource", where its code does not say so.
        regional: whether the resource lives in a region.
    """

    token: str
    service: str
    inputs: str
    identity: str
    create: Step | str
    reads: tuple[Read, ...]
    delete: Step | str
    updates: tuple[Step | str, ...] = ()
    outputs: str = ""
    id: str = "{name}"
    import_id: str = ""
    autoname: AutoName | None = None
    names: Names = field(default_factory=dict)
    nested_names: Names = field(default_factory=dict)
    within: str = ""
    maps: str = ""
    strings: str = ""
    prepare: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    replaces: str = ""
    delete_before_replace: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)
    documents: str = ""
    sets: str = ""
    computed: str = ""
    write_only: str = ""
    renewed: str = ""
    unset: Mapping[str, str] = field(default_factory=dict)
    tags: TagCalls | None = None
    complete: Callable[[Work, dict[str, Any]], dict[str, Any]] | None = None
    gone: str = ""
    regional: bool = True

    @cached_property
    def properties(self) -> frozenset[str]:
        """Every property a resource of the type has."""
        return self.input_names | set(self.outputs.split()) | ({"tagsAll"} if self.tags else set())

    @cached_property
    def input_names(self) -> frozenset[str]:
        extra = ("tags",) * bool(self.tags) + ("region",) * self.regional
        return frozenset((*self.inputs.split(), *extra))

    @cached_property
    def rules(self) -> Rules:
        return Rules(
            documents=frozenset(self.documents.split()),
            sets=frozenset(self.sets.split()),
            computed=frozenset(self.computed.split()) | {"region"},
            defaults={path: value for path, value in self.defaults.items() if "." not in path},
        )

    @cached_property
    def all_names(self) -> Names:
        """`names`, and the one that every tagging operation has for an ARN."""
        own = self.names.get("arn", ())
        return {**self.names, "arn": (*((own,) if isinstance(own, str) else own), "ResourceArn")}

    @cached_property
    def decoding(self) -> Decoding:
        return Decoding(
            self.all_names,
            self.nested_names,
            frozenset(("tags", "tagsAll", *self.maps.split())),
            frozenset(self.strings.split()),
        )

    def forces_replacement(self, name: str) -> bool:
        """Whether a change of the top-level property makes a new resource."""
        if self.replaces == "*":
            return name not in ("tags", "tagsAll")
        return name in self.replaces.split() or name == "region"

    def identify(self, import_id: str) -> dict[str, str]:
        """The properties that an id holds.

        Raises:
            ValueError: the id is not of the type's form.
        """
        fields = re.findall(r"{(\w+)}", self.id)
        last = len(fields) - 1
        pattern = self.import_id or re.sub(
            r"{(\w+)}", lambda m: f"(?P<{m[1]}>.+{'' if fields.index(m[1]) == last else '?'})", self.id
        )
        if (match := re.fullmatch(pattern, import_id)) is None:
            raise ValueError(
                f"{import_id!r} is not an id of {self.token}: expected the form {self.import_id or self.id}"
            )
        return match.groupdict()


class Clients:
    """boto3 clients of the provider's session, made when first used."""

    def __init__(self, session: AwsSession) -> None:
        self.session = session
        self._made: dict[tuple[str, str | None], Any] = {}
        self._lock = threading.Lock()  # boto3 makes clients on one thread at a time

    def get(self, service: str, region: str | None) -> Any:
        with self._lock:
            if (service, region) not in self._made:
                self._made[service, region] = self.session.client(service, region)
            return self._made[service, region]


class Work:
    """One resource of a type, while something is done to it.

    Attributes:
        state: its properties, without secrets: outputs from before and inputs from now.
        given: its inputs now.
        changed: the names of inputs that change; all that were given while the resource is created.
    """

    def __init__(
        self, type_: ResourceType, clients: Clients, state: Mapping[str, Any], given: Mapping[str, Any]
    ) -> None:
        self.type = type_
        self.state = dict(state)
        self.given = {name: value for name, value in given.items() if value is not None}
        self.changed = frozenset(self.given)
        self.created = True
        self.client = clients.get(type_.service, self.state.get("region"))

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
        encoding = Encoding(self.type.nested_names)
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

    def _call(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        names: dict[str, str] = self.client.meta.method_to_api_mapping
        method = next(method for method, name in names.items() if name == operation)
        try:
            answer: dict[str, Any] = getattr(self.client, method)(**parameters)
        except ClientError as error:
            details = error.response.get("Error", {})
            raise AwsCallFailed(
                operation, self._label, details.get("Code", ""), details.get("Message", str(error))
            ) from error
        except BotoCoreError as error:
            raise AwsCallFailed(operation, self._label, "", str(error)) from error
        return answer

    @property
    def _label(self) -> str:
        """What people know the resource by, as far as it exists."""
        with suppress(KeyError):
            return self.id
        named = self.type.autoname and self.state.get(self.type.autoname.property)
        return str(named or self.type.token)


def problems(type_: ResourceType, clients: Clients, properties: Mapping[str, Any]) -> list[Problem]:
    """What AWS would refuse in the inputs, as far as its shapes say; unknown values pass."""
    service = clients.get(type_.service, None).meta.service_model
    found = [
        Problem(
            name, f"{type_.token} has no such property here; the ones it has are listed in sandbox/provider/table.py"
        )
        for name in sorted(properties.keys() - type_.input_names - {"tagsAll"})
    ]
    left = {name: value for name, value in properties.items() if name in type_.input_names - {"region", "tags"}}
    for step in (type_.create, *type_.updates):
        encoding = Encoding(type_.nested_names, found)
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


def update(work: Work, old: Mapping[str, Any]) -> None:
    """Changes what `work.changed` names; `old` are the resource's former inputs and outputs."""
    work.created = False
    removed = {name for name in work.changed if name not in work.given and name in work.type.unset}
    for name in sorted(removed):
        work.call(work.type.unset[name])
    for step in work.type.updates:
        if (work.changed - removed) & _on(work, step):
            _run(work, step)
    if work.type.tags and "tagsAll" in work.changed:
        _change_tags(work, old.get("tagsAll") or {}, work.state.get("tagsAll") or {})


def delete(work: Work) -> None:
    """Deletes the resource. One that is gone already is no error."""
    step = work.type.delete
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
    return {name for name in work.type.input_names if work.carries(_operation(step), name)} - {"tags", "region"}


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
                emptied[way[0]] = _ZERO.get(shape.members[way[0]].type_name)
    work.send(operation, **{name: value for name, value in emptied.items() if value is not None})


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
        answer = work.call(look.operation)
    except AwsCallFailed as error:
        if work.missing(error):
            return None
        raise
    way = look.result.split(".") if look.result else []
    shape, value = shape_at(work.model(look.operation).output_shape, way), answer
    for step in way:
        value = value.get(step, {})
    if isinstance(shape, ListShape):
        identity = {name: work.state[name] for name in work.type.identity.split() if work.state.get(name)}
        elements = (work.type.decoding.properties(shape.member, element) for element in value)
        return next((element for element in elements if all(element.get(k, v) == v for k, v in identity.items())), None)
    if isinstance(shape, StructureShape):
        properties = work.type.decoding.properties(shape, value)
        return {look.whole: properties} if look.whole else properties
    return {look.whole: value}


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
        work.call(calls.remove, **{next(key for key in members if key.lower() == "tagkeys"): removed})
    if added:
        _add_tags(work, added)
    work.state["tagsAll"] = dict(new)
