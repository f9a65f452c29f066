"""Checks `model.input`: fills the frozen dataclass of a kind from a YAML node."""

from collections.abc import Mapping
from dataclasses import MISSING
from typing import Any, TypeVar

from transfer_cli.errors import ConfigError, Fault

Spec = TypeVar("Spec")


def spec_of(cls: type[Spec], given: Mapping[str, Any]) -> Spec:
    """An instance of the dataclass `cls` from a node. Raises ConfigError for missing or unknown keys, and for values of
    wrong types."""
    fields = cls.__dataclass_fields__  # type: ignore[attr-defined]
    required = [name for name, field in fields.items() if field.default is MISSING]
    if not set(required) <= given.keys() <= fields.keys():
        raise ConfigError(Fault("model.input", f"needs {', '.join(required)}"))
    try:
        return cls(**{name: _typed(value) for name, value in given.items()})
    except (TypeError, ValueError):
        raise ConfigError(Fault("model.input", "needs integers and lists of numbers", str(dict(given)))) from None


def input_fault(name: str, value: Any, text: str) -> Fault:
    """A fault of one key of `model.input`."""
    return Fault(f"model.input.{name}", text, str(value))


def _typed(value: Any) -> Any:
    """Converts lists to tuples of float; keeps strings; converts everything else to int."""
    if isinstance(value, str):
        return value
    return tuple(map(float, value)) if isinstance(value, list | tuple) else int(value)
