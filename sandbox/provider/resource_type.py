"""What a resource type is: the operations of AWS that make its life, and how Pulumi's names and values differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sandbox.provider.difference import Rules
from sandbox.provider.mapping import Decoding, Names
from sandbox.provider.naming import AutoName

if TYPE_CHECKING:
    from sandbox.provider.lifecycle import Work


class InvalidId(Exception):
    """An import names a resource by an id that is not of its type's form."""


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
        run: gives the properties instead of a plain call, or None where the resource is gone.
        parameters: further ones of the operation.
    """

    operation: str
    result: str = ""
    run: Callable[[Work], dict[str, Any] | None] | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


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
        replaces: properties whose change makes a new resource; `*`: every one but the tags and the paths in `in_place`.
        delete_before_replace: whether the old one must go first.
        defaults: values for properties left out, by path (`productionVariants.initialVariantWeight`).
        documents, json, sets, computed: see `difference.Rules`.
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
    in_place: str = ""
    delete_before_replace: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)
    documents: str = ""
    json: str = ""
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
            json=frozenset(self.json.split()),
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

    def forces_replacement(self, path: str) -> bool:
        """Whether a change at the path makes a new resource."""
        name = top_level(path)
        if self.replaces == "*":
            return name not in ("tags", "tagsAll") and path not in self.in_place.split()
        return name in self.replaces.split() or name == "region"

    def identify(self, import_id: str) -> dict[str, str]:
        """The properties that an id holds.

        Raises:
            InvalidId: the id is not of the type's form.
        """
        fields = re.findall(r"{(\w+)}", self.id)
        last = len(fields) - 1
        pattern = self.import_id or re.sub(
            r"{(\w+)}", lambda m: f"(?P<{m[1]}>.+{'' if fields.index(m[1]) == last else '?'})", self.id
        )
        if (match := re.fullmatch(pattern, import_id)) is None:
            raise InvalidId(
                f"{import_id!r} is not an id of {self.token}: expected the form {self.import_id or self.id}"
            )
        return match.groupdict()


def top_level(path: str) -> str:
    """The property that a path such as `productionVariants[0].instanceType` starts with."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]
