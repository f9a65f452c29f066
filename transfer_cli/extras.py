"""Optional libraries: imported where they are needed, one line where they are missing. Standard library only."""

import importlib
from importlib.util import find_spec
from typing import Any

from transfer_cli.errors import ConfigError, Fault


def extra(module: str, name: str, key: str, value: str | None = None) -> Any:
    """The module of an optional library that `key=value` asks for; `name` is the extra of pyproject.toml that brings
    it. Raises ConfigError with the command if it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(_needed(name, key, value)) from None


def absent(name: str, key: str, value: str | None = None, *, module: str | None = None) -> list[Fault]:
    """The fault of asking for what needs the extra `name` where its library `module` (None: called as the extra) is not
    installed. The library is not imported."""
    return [] if find_spec(module or name) else [_needed(name, key, value)]


def _needed(name: str, key: str, value: str | None) -> Fault:
    return Fault(key, f"needs an extra: pip install 'transfer-cli[{name}]'", value)
