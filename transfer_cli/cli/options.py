"""Parses the options of a command line; table.py declares them. Words (`key=value`) are collected and not parsed."""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from transfer_cli.cli.table import COMMANDS, OPTIONS, Option, options_of
from transfer_cli.config.values import seconds
from transfer_cli.errors import ConfigError, Fault, nearest
from transfer_cli.runner.options import Options as Options
from transfer_cli.selection_rules import RULES

FORMATS = ("table", "tsv", "csv", "md", "latex", "json")
ONE_OF = {
    "format": FORMATS,
    "color": ("auto", "always", "never"),
    "rule": RULES,
    "interval": ("t", "bootstrap"),
    "to": ("safetensors", "onnx", "torch_export"),
    "quantize": ("int8",),
}
MANY = ("config_dirs", "without", "candidates")  # fields of the options that may be repeated
WORD = re.compile(r"[~+]{0,2}[A-Za-z_][\w.@/+-]*=", re.ASCII)  # `./a=b.png` is a path


def read(argv: Sequence[str]) -> Options:
    """The options of a command line, in any position. Raises ConfigError with all faults."""
    return _Reader(argv).options()


class _Reader:
    def __init__(self, argv: Sequence[str]) -> None:
        self.faults: list[Fault] = []
        self.given: list[tuple[Option, str]] = []
        self.unknown: list[str] = []
        self.bare: list[str] = []
        self.words: list[str] = []
        rest = iter(argv)
        for text in rest:
            if text == "--":
                self.bare += rest
            elif text.startswith("-") and len(text) > 1:
                self._option(text, rest)
            else:
                (self.words if WORD.match(text) else self.bare).append(text)

    def _option(self, text: str, rest: Iterator[str]) -> None:
        name, equals, value = text.partition("=")
        option = next((o for o in OPTIONS if name in (o.name, o.letter)), None)
        if option is None:
            self.unknown.append(name)
        elif option.value and not equals:
            value = next(rest, "")
            self.given.append((option, value))
            if not value:
                self.faults.append(Fault(name, f"needs {option.value}"))
        else:
            self.given.append((option, value))
            if equals and not option.value:
                self.faults.append(Fault(name, "takes no value", value))

    def options(self) -> Options:
        command = self._command()
        here = options_of(command) if command else list(OPTIONS)
        for name in self.unknown:
            near = nearest(name.strip("-"), [o.name[2:] for o in here])
            self.faults.append(
                Fault(name, "no such option", nearest=near and f"--{near}", see=f"all: transfer {command} --help")
            )
        for option in dict.fromkeys(option for option, _ in self.given):
            if option not in here:
                having = ", ".join(c for c in COMMANDS if option in options_of(c))
                self.faults.append(
                    Fault(option.name, f"transfer {command} has no such option", see=f"it belongs to {having}")
                )
        values = self._values()
        if self.faults:
            raise ConfigError(*self.faults)
        return Options(command=command, words=tuple(self.words), args=tuple(self.bare[1:]), **values)

    def _command(self) -> str:
        first = self.bare[0] if self.bare else ""
        if first in COMMANDS:
            return first
        if first:
            self.faults.append(
                Fault(first, "no such command", None, COMMANDS, nearest(first, COMMANDS), see="all: transfer --help")
            )
        elif self.words:
            self.faults.append(Fault(self.words[0], "a command comes first", do=f"transfer run {' '.join(self.words)}"))
        return "" if first or self.words else "first"

    def _values(self) -> dict[str, Any]:
        values: dict[str, Any] = {
            **{field: [] for field in MANY},
            "runs": Path(os.environ.get("TRANSFER_RUNS") or "runs"),
        }
        for option, text in self.given:
            try:
                value = self._read(option, text)
            except ValueError as error:
                self.faults.append(Fault(option.name, str(error), text))
                continue
            if option.field in MANY:
                values[option.field].append(value)
            elif values.get(option.field, value) != value and option.field != "runs":
                self.faults.append(Fault(option.name, "given twice", text))
            else:
                values[option.field] = value
        values["multirun"] = values.get("multirun", False) or bool({"seeds", "search"} & values.keys())
        return values | {
            "config_dirs": self._config_dirs(values["config_dirs"]),
            "without": tuple(values["without"]),
            "candidates": tuple(values["candidates"]),
        }

    def _config_dirs(self, folders: Sequence[Path]) -> tuple[Path, ...]:
        from transfer_cli.config.folders import user_dirs

        try:
            return user_dirs(folders)
        except ConfigError as error:
            self.faults += error.faults
            return ()

    @staticmethod
    def _read(option: Option, text: str) -> Any:
        """The value of an option. Raises ValueError whose text says what is allowed."""
        if not option.value:
            return True
        if option.value == "N":
            if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
                raise ValueError("whole number >= 1")
            return int(text)
        if option.value == "PORT":
            if not re.fullmatch(r"[0-9]{1,5}", text, re.ASCII) or int(text) > 65535:
                raise ValueError("whole number from 0 to 65535")
            return int(text)
        if option.value == "TIME":
            return seconds(text)
        if option.value == "WORDS":
            return tuple(shlex.split(text))
        if option.value in ("KEYS", "NAMES"):
            return tuple(part for part in text.split(",") if part)
        allowed = ONE_OF.get(option.field)
        if allowed and text not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return Path(text).expanduser() if option.value in ("FILE", "DIR") else text
