"""The JSON Schema of a stack file, for completion and checks in editors."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from infra.aws import gpus, instance_types
from infra.settings.reference import by_section
from infra.settings.stack import Settings
from infra.settings.tags import COST_TAGS

Schema = dict[str, Any]

_SECRET: Schema = {
    "description": "A secret, encrypted by `pulumi config set --secret`.",
    "type": "object",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
}


def stack_schema(project: str) -> Schema:
    """The JSON Schema (2020-12) of `Pulumi.<stack>.yaml`.

    Rules across keys are left to `python -m infra validate`.

    Args:
        project: name of the Pulumi project, the namespace of its settings.
    """
    settings = Settings.model_json_schema()
    definitions = settings.pop("$defs")
    _hint(settings, definitions)
    for (section, name), key in by_section().items():
        properties = (settings if section == Settings.__name__ else definitions[section])["properties"]
        if key.range:
            properties[name]["description"] += f"\n\nRange: {key.range}."
        if not key.below:
            properties[name]["description"] += f"\n\nA change: {key.effect.value}; {key.effect.explanation}."
        properties[name]["description"] += f"\n\nSource: {key.source}."
    for schema in (*_schemas(settings), *_schemas(definitions)):
        _simplify(schema)
    names = {name: "aws:region" if name == "region" else f"{project}:{name}" for name in settings["properties"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A stack of {project}",
        "type": "object",
        "properties": {
            "config": {
                "description": "The settings of the stack and of Pulumi's providers.",
                "type": "object",
                "properties": {names[name]: value for name, value in settings["properties"].items()},
                "patternProperties": {f"^(?!{project.replace('.', '[.]')}:)[^:]+:.+$": True},
                "additionalProperties": False,
            },
            "environment": {
                "description": "Environments of Pulumi Cloud to import configuration from.",
                "type": ["array", "object"],
            },
            **{
                key: {"description": "Written by Pulumi: the encryption of secrets.", "type": "string"}
                for key in ("secretsprovider", "encryptedkey", "encryptionsalt")
            },
        },
        "additionalProperties": False,
        "required": ["config"],
        "if": {"required": ["environment"]},
        "else": {"properties": {"config": {"required": [names[name] for name in settings["required"]]}}},
        "$defs": {**definitions, "Secret": _SECRET},
    }


def _hint(settings: Schema, definitions: Schema) -> None:
    """Add what types do not express: names to complete, and where Pulumi's secrets are accepted."""
    secret = {"$ref": "#/$defs/Secret"}
    hosting = _instance_type(instance_types.hosting_instance_types(), "hosting")
    for name in ("EndpointSettings", "InstanceVariant"):
        definitions[name]["properties"]["instanceType"] |= hosting
        amis = {"type": "string", "enum": [*gpus.INFERENCE_AMIS]}
        definitions[name]["properties"]["inferenceAmiVersion"] |= amis
    transform = _instance_type(instance_types.transform_instance_types(), "batch transform")
    definitions["BatchSettings"]["properties"]["instanceType"] |= transform
    for name in ("EndpointSettings", "InstanceVariant", "ServerlessVariant", "BatchVariant"):
        environment = definitions[name]["properties"]["environment"]["patternProperties"]
        for key, value in environment.items():
            environment[key] = {"anyOf": [value, secret]}
    tags = settings["properties"]["tags"]
    tags["properties"] = {key: tags["additionalProperties"] | {"minLength": 1} for key in COST_TAGS}
    tags["required"] = [*COST_TAGS]
    secrets = settings["properties"]["secretEnvironment"]
    of_endpoint = {"type": "object", "additionalProperties": secret}
    secrets["anyOf"] = [secret, {"type": "object", "additionalProperties": {"anyOf": [secret, of_endpoint]}}]
    for key in ("type", "patternProperties", "additionalProperties"):
        secrets.pop(key, None)


def _instance_type(known_types: Collection[str], purpose: str) -> Schema:
    """A pattern, because editors show all values of an enum for a misspelt one."""
    sizes: dict[str, list[str]] = {}
    types = sorted(type_ for type_ in known_types if not instance_types.is_arm(type_))
    for _, family, size in (type_.split(".") for type_ in types):
        sizes.setdefault(family, []).append(size)
    known = "|".join(rf"{family}\.(?:{'|'.join(of_family)})" for family, of_family in sizes.items())
    return {
        "pattern": rf"^ml\.(?:{known})$",
        "patternErrorMessage": f"Not an amd64 {purpose} instance type of SageMaker.",
        "defaultSnippets": [{"label": type_, "body": type_} for type_ in types],
    }


def _schemas(value: Any) -> Iterator[Schema]:
    """Every schema in a schema, the inner ones first."""
    if isinstance(value, dict):
        for key, below in value.items():
            if key not in ("default", "defaultSnippets", "examples", "enum", "const"):
                yield from _schemas(below)
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _schemas(item)


def _simplify(schema: Schema) -> None:
    """Remove what does not help a reader: generated titles, defaults that are sections, and null for optional keys."""
    if isinstance(schema.get("title"), str):
        del schema["title"]
    if schema.get("default", ...) is None or isinstance(schema.get("default"), dict):
        del schema["default"]
    for key in ("secret", "effect", "rule_source"):
        schema.pop(key, None)
    nullable = schema.pop("null", False)
    options = [option for option in schema.get("anyOf", ()) if nullable or option != {"type": "null"}]
    if len(options) == 1:
        del schema["anyOf"]
        schema |= options[0] | {key: schema[key] for key in schema.keys() & {"description", "default"}}
    if "patternProperties" in schema and "additionalProperties" not in schema:
        schema["additionalProperties"] = False
