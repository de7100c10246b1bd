"""JSON Schema (draft 2020-12) of the files that people write, for editors that complete and check.

`gateway check` decides: a schema knows nothing of what belongs together. What a text must look
like for its own validator is left open here but for the commonest kinds.
"""

from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

if TYPE_CHECKING:
    from gateway.driver import DriverSpec

KINDS = ("gateway", "profile", "rules", "cases")
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REF = "#/$defs/{model}"
_SCALARS = ["string", "number", "boolean", "array", "null"]


class _Written(GenerateJsonSchema):
    """What stands in the file, before a validator of ours makes a value of it."""

    def function_before_schema(
        self, schema: core_schema.BeforeValidatorFunctionSchema
    ) -> JsonSchemaValue:
        inner = super().function_before_schema(schema)
        if schema["schema"]["type"] == "model-fields":  # a validator of the whole section
            return inner
        return {"anyOf": [inner, {"type": _SCALARS}]}

    def function_plain_schema(
        self, _schema: core_schema.PlainValidatorFunctionSchema
    ) -> JsonSchemaValue:
        return {}

    def decimal_schema(self, _schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        return {"type": ["number", "string"]}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Without the default: it is told as it is held, e.g. in seconds, not as it is written."""
        return self.generate_inner(schema["schema"])

    def get_title_from_name(self, _name: str) -> str:
        return ""


def schema(kind: str) -> dict[str, Any]:
    """Of a configuration, a profile, a file of rules or one of test cases. Raises KeyError."""
    made = {"gateway": _gateway, "profile": _profile, "rules": _rules, "cases": _cases}[kind]()
    return {"$schema": DIALECT, "title": f"Community Gateway: {kind}", **_untitled(made)}


def _model(model: Any) -> dict[str, Any]:
    made: dict[str, Any] = model.model_json_schema(schema_generator=_Written, ref_template=_REF)
    return made


# Each imports its own models: all of them take three times as long.


def _profile() -> dict[str, Any]:
    from gateway.profile import Profile  # noqa: PLC0415 -- see above

    return _model(Profile)


def _rules() -> dict[str, Any]:
    from rules.section import RuleFile, RuleSection  # noqa: PLC0415 -- see above
    from rules.template import OWN, TemplateSection  # noqa: PLC0415 -- see above

    whole, rule = _model(RuleFile), _model(RuleSection)
    definitions = rule.pop("$defs", {})
    rule["required"].remove("when")  # rules with `at` need none
    definitions["AtSection"] = {"anyOf": [definitions["AtSection"], {"type": "string"}]}  # "07:30"
    whole["$defs"] = whole.get("$defs", {}) | definitions
    template = _model(TemplateSection)
    definitions |= template.pop("$defs", {})
    use = {
        "type": "object", "additionalProperties": False, "required": ["id", "template"],
        "properties": {
            **{key: rule["properties"][key] for key in sorted(OWN)},
            "template": {"type": "string"}, "inputs": {"type": "object"},
        },
    }  # fmt: skip
    either = {"if": {"required": ["template"]}, "then": use, "else": rule}
    whole["$defs"] = whole["$defs"] | definitions
    whole["properties"]["rules"] = {"type": "array", "items": either}
    whole["properties"]["templates"] = {"type": "object", "additionalProperties": template}
    return whole


def _cases() -> dict[str, Any]:
    from gateway.case import FilePart  # noqa: PLC0415 -- see above

    return _model(FilePart)


def _gateway() -> dict[str, Any]:
    """With the sections of the installed drivers. Included files need no `version` and `gateway`."""
    from gateway.driver import installed  # noqa: PLC0415 -- see above
    from gateway.sections import File  # noqa: PLC0415 -- see above

    whole = _model(File)
    definitions = whole.setdefault("$defs", {})
    specs = {name: load() for name, load in sorted(installed().items())}
    for name, spec in specs.items():
        for part, model in (("link", spec.link), ("device", spec.device)):
            made = _model(model)
            definitions |= made.pop("$defs", {})
            definitions[f"{name}_{part}"] = made
    properties = whole["properties"]
    properties["links"] = {"type": "object", "additionalProperties": _links(specs)}
    devices = [{"$ref": _REF.format(model=f"{name}_device")} for name in specs]
    many = {"type": "object", "required": ["for", "profile", "link"]}
    properties["devices"] = {
        "type": "object",
        "patternProperties": {r"\{": many},
        "additionalProperties": {"type": "object", "anyOf": devices},
    }
    whole.pop("required", None)
    return whole


def _links(specs: dict[str, "DriverSpec"]) -> dict[str, Any]:
    """`driver` tells which keys there are."""
    by_driver = [
        {
            "if": {"properties": {"driver": {"const": name}}, "required": ["driver"]},
            "then": {"$ref": _REF.format(model=f"{name}_link")},
        }
        for name in specs
    ]
    driver = {"enum": list(specs)}
    return {
        "type": "object",
        "required": ["driver"],
        "properties": {"driver": driver},
        "allOf": by_driver,
    }


def _untitled(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            k: _untitled(v) for k, v in value.items() if not (k == "title" and isinstance(v, str))
        }
    return [_untitled(part) for part in value] if isinstance(value, list) else value
