"""Checking `model.input` for every kind: a frozen dataclass a kind, filled from a YAML node."""

from collections.abc import Mapping
from dataclasses import MISSING
from typing import Any, TypeVar

from transfer_cli.errors import ConfigError, Fault

Spec = TypeVar("Spec")


def spec_of(cls: type[Spec], given: Mapping[str, Any]) -> Spec:
    """The dataclass `cls` from a node. Raises ConfigError for missing or unknown keys and for wrong
    types."""
    fields = cls.__dataclass_fields__  # type: ignore[attr-defined]
    required = [name for name, field in fields.items() if field.default is MISSING]
    if not set(required) <= given.keys() <= fields.keys():
        raise ConfigError(Fault("model.input", f"wants {', '.join(required)}"))
    try:
        return cls(**{name: _typed(value) for name, value in given.items()})
    except (TypeError, ValueError):
        raise ConfigError(Fault("model.input", "wants whole numbers and lists of numbers", str(dict(given)))) from None


def input_fault(name: str, value: Any, text: str) -> Fault:
    return Fault(f"model.input.{name}", text, str(value))


def _typed(value: Any) -> Any:
    """Lists of numbers as tuples of float, names as they are, all else whole numbers."""
    if isinstance(value, str):
        return value
    return tuple(map(float, value)) if isinstance(value, list | tuple) else int(value)
