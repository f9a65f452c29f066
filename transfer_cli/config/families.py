"""Nets by name that a family of models builds, beside the group's options: `model=resnet50`, `model=timm/resnet50`.
A family says its names in its signature; of timm they are read from the installed package."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfer_cli.config import timm
from transfer_cli.config.folders import find_option
from transfer_cli.config.signatures import signature
from transfer_cli.config.yamls import read
from transfer_cli.errors import ConfigError, Fault, nearest
from transfer_cli.extras import absent

Settings = dict[str, Any]


def chosen(word: str, value: str, known: Sequence[str], search: Sequence[Path], plugins: Sequence[str]) -> Settings:
    """{"option": the family, and its settings} of the net called `value`, `known` being the options; empty if none is.
    Raises ConfigError for a name that a family which is named does not have, and for a missing extra."""
    family, slash, name = value.partition("/")
    if slash and family in known and _is_family(family, search):
        return {"option": family, **_of_family(word, family, name, plugins)}
    found = next((family for family in known if value in bare(family, search, plugins)), None)
    return {"option": found, "name": value} if found else {}


def bare(option: str, search: Sequence[Path], plugins: Sequence[str]) -> list[str]:
    """Names that stand for nets of this option without saying it; none if it is not the family itself."""
    return _said(option, plugins) if _is_family(option, search) else []


def _said(family: str, plugins: Sequence[str]) -> list[str]:
    name = signature("model", family, plugins).params.get("name")
    return [str(choice) for choice in name.choices] if name else []


def _is_family(option: str, search: Sequence[Path]) -> bool:
    path = find_option("model", option, search)
    return path is not None and read(path).get("family") == option


def _of_family(word: str, family: str, name: str, plugins: Sequence[str]) -> Settings:
    value = f"{family}/{name}"
    if family != "timm":
        return _one_of(word, value, name, _said(family, plugins))
    if missing := absent("timm", word, value):
        raise ConfigError(*missing)
    try:
        return {"name": name, "input": timm.published(name).input}
    except KeyError:
        _one_of(word, value, name, timm.names())
        do = f"model=timm model.name={name}, and model.input"
        raise ConfigError(Fault(word, "timm says in code what pictures it wants", value, do=do)) from None


def _one_of(word: str, value: str, name: str, names: Sequence[str]) -> Settings:
    if name in names:
        return {"name": name}
    family = value.partition("/")[0]
    near = nearest(name, names)
    raise ConfigError(Fault(word, f"{family} has no such net", value, nearest=near and f"{family}/{near}"))
