"""What the models of the job file have in common: keys without a value are absent, values are text to be read."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, PlainValidator, WithJsonSchema, model_validator

from batchsum import filters
from batchsum.config import values

LENGTH = "^ *[0-9]{1,9} *[smhdw] *$"
"""How a duration looks to an editor."""


class Keys(BaseModel):
    """A mapping with these keys and no others; a key without a value is as good as absent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _leave_out_absent(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: v for k, v in value.items() if v is not None or k not in cls.model_fields}
        return value

    def given(self) -> dict[str, Any]:
        """The values that were written."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def read_one(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value is None:
            raise ValueError("is empty; write a value, or leave it out")
        if not isinstance(value, str):
            raise ValueError(f"must be one value, not a {'list' if isinstance(value, list) else 'mapping'}")
        return parse(value)

    return read


def as_value(parse: Callable[[str], Any], *types: str, **schema: Any) -> Any:
    """What is written as one value, read by `parse`; `types` and `schema` tell an editor how it looks."""
    kind = {"type": list(types) if len(types) > 1 else types[0]} if types else {"type": "string"}
    return PlainValidator(read_one(parse)), WithJsonSchema({**kind, **schema})


def whole_number(lowest: int, highest: int) -> Any:
    """A whole number from `lowest` to `highest`, both included."""
    return as_value(
        lambda text: values.parse_integer(text, lowest, highest), "integer", minimum=lowest, maximum=highest
    )


def not_empty(values: list[Any]) -> list[Any]:
    if not values:
        raise ValueError("is an empty list; write what belongs in it, or leave it out")
    return values


Text = Annotated[str, *as_value(filters.parse_text, "string", "number")]
Name = Annotated[str, *as_value(filters.parse_tax_id_or_name, "string", "integer")]
Flag = Annotated[bool, *as_value(filters.parse_boolean, "boolean", "string", enum=[True, False, "yes", "no"])]
