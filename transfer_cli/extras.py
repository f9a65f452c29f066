"""Optional libraries: imports them on demand, and reports missing ones in one line. Standard library only."""

import importlib
from importlib.util import find_spec
from typing import Any

from transfer_cli.errors import ConfigError, Fault


def extra(module: str, name: str, key: str, value: str | None = None) -> Any:
    """The module of an optional library that `key=value` requires; `name` is the extra of pyproject.toml that installs
    it. Raises ConfigError with the install command if it is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(_needed(name, key, value)) from None


def absent(name: str, key: str, value: str | None = None, *, module: str | None = None) -> list[Fault]:
    """The fault, if any, that `key=value` needs the extra `name` and its library `module` (default: `name`) is not
    installed. Does not import the library."""
    return [] if find_spec(module or name) else [_needed(name, key, value)]


def _needed(name: str, key: str, value: str | None) -> Fault:
    return Fault(key, f"needs an extra: pip install 'transfer-cli[{name}]'", value)
