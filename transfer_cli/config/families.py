"""Names of nets that a family of models can build: `model=resnet50`, `model=timm/resnet50`. A family declares its names
in its signature; the names of timm are read from the installed package."""

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
    """Returns the settings of the net `value`, with its family under "option"; empty if no family has this net.
    `known`: the options of the group. Raises ConfigError if `value` names a family that does not have this net, or a
    family whose extra is not installed."""
    family, slash, name = value.partition("/")
    if slash and family in known and _is_family(family, search):
        return {"option": family, **_of_family(word, family, name, plugins)}
    owner = next((family for family in known if value in short_names(family, search, plugins)), None)
    return {"option": owner, "name": value} if owner else {}


def short_names(option: str, search: Sequence[Path], plugins: Sequence[str]) -> list[str]:
    """The nets of an option that can be named without its family; empty if the option is not a family itself."""
    return _declared(option, plugins) if _is_family(option, search) else []


def _declared(family: str, plugins: Sequence[str]) -> list[str]:
    name = signature("model", family, plugins).params.get("name")
    return [str(choice) for choice in name.choices] if name else []


def _is_family(option: str, search: Sequence[Path]) -> bool:
    path = find_option("model", option, search)
    return path is not None and read(path).get("family") == option


def _of_family(word: str, family: str, name: str, plugins: Sequence[str]) -> Settings:
    value = f"{family}/{name}"
    if family != "timm":
        return _one_of(word, value, name, _declared(family, plugins))
    if missing := absent("timm", word, value):
        raise ConfigError(*missing)
    try:
        return {"name": name, "input": timm.published(name).input}
    except KeyError:
        _one_of(word, value, name, timm.names())
        do = f"model=timm model.name={name}, and model.input"
        raise ConfigError(Fault(word, "timm defines the input of this net in code", value, do=do)) from None


def _one_of(word: str, value: str, name: str, names: Sequence[str]) -> Settings:
    if name in names:
        return {"name": name}
    family = value.partition("/")[0]
    near = nearest(name, names)
    raise ConfigError(Fault(word, f"{family} has no such net", value, nearest=near and f"{family}/{near}"))
