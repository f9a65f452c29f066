"""Turns words into values in one pass. After a fault it ignores the wrong word and continues, to report all faults."""

import copy
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfer_cli.config import choices as choosing
from transfer_cli.config import words as wording
from transfer_cli.config.folders import find_option, hidden, user_dirs
from transfer_cli.config.values import look
from transfer_cli.config.words import Word
from transfer_cli.config.yamls import read
from transfer_cli.errors import ConfigError, Fault, TransferError

Json = dict[str, Any]


class Loader:
    """Loads a configuration from words; `errors` contains the errors so far."""

    def __init__(self, words: Sequence[str], config_dirs: Sequence[Path]) -> None:
        self.errors: list[TransferError] = []
        parsed = [word for word in (self._try(wording.parse, text) for text in words) if word]
        self._fault(*wording.repeated(parsed))
        self.search = self._try(user_dirs, config_dirs) or ()
        self.search += self._try(_plugin_dirs, parsed, self.search) or ()
        self._fault(*hidden(self.search))
        recipe = {w.key: w.value for w in parsed if w.key in ("strategy", "experiment")}
        self.plain = self._try(choosing.plain_values, recipe, self.search) or {}
        stages = wording.stage_names(self._root_value(parsed, "stages") or [])
        known = list(dict.fromkeys((*wording.CHOICES, *wording.VALUES, *stages)))
        faults = {word: fault for word in parsed if (fault := wording.misplaced(word, known))}
        self._fault(*faults.values())
        self._sort([word for word in parsed if word not in faults], stages)

    def _sort(self, words: Sequence[Word], stages: Sequence[str]) -> None:
        """Separates the words that choose options from those that set values."""
        picks = [w for w in words if w.key in (*wording.CHOICES, *stages) and not w.value.startswith("{")]
        self.picked = {word.key for word in picks}
        self.typed = {word.key: word.value for word in words if word not in picks}
        self.weights = str(self._root_value(words, "weights") or "none")
        picks = [w for w in picks if w.key != "experiment" or w.value not in ("none", "null")]
        self.choices = choosing.choose(picks, self.weights, self.search, _plugins(words, self.plain))
        self.errors += self.choices.errors
        experiment = [word for word in picks if word.key == "experiment"]
        self.recipe = choosing.choose(experiment, self._root_value((), "weights") or "none", self.search, ()).slots

    def values(self, check: bool) -> tuple[Json, dict[str, tuple[Any, Any]]]:
        """The checked values, and the keys that the words changed. Faults are added to `errors`."""
        from transfer_cli.config import merge
        from transfer_cli.config.values import problems

        before = self._try(merge.composed, self.choices.slots, self.search)
        if before is None:
            return {}, {}
        before["strategy"] = self.choices.slots["strategy"]
        for word, values in self.choices.values.items():
            if values:
                merge.overlay(before, _place(choosing.slot_of(word)), values)
        now = copy.deepcopy(before)
        self._drop_replaced_defaults(now)
        for key, text in self.typed.items():
            merge.overlay(now, key, self._typed(key, text))
        now, faults = merge.resolved(now)
        self._fault(*self._replaced(), *faults, *problems(now))
        if not check:
            return now, {}
        checked, changed = self._checked(before, now)
        return checked, changed

    def _drop_replaced_defaults(self, values: Json) -> None:
        """Removes the trainer settings in a method's own file, which are defaults, if the words `trainer=NAME` or
        `trainer.lr=...` replace them. Settings of strategy or experiment for the stage are kept."""
        for slot, name in self.choices.slots.items():
            path = find_option("method", name, self.search) if slot.startswith("method@") else None
            defaults = read(path).get("trainer") if path else None
            stage = _place(slot)
            for key in defaults if isinstance(defaults, dict) else ():
                by_recipe = any(look(layer, f"{stage}.trainer.{key}") is not None for _, layer in self.plain.values())
                if not by_recipe and ("trainer" in self.picked or f"trainer.{key}" in self.typed):
                    values[stage]["trainer"].pop(key, None)

    def _typed(self, key: str, text: str) -> Any:
        from transfer_cli.config import merge

        if key in ("weights", "data.path", "source.path"):  # a path is not parsed
            return os.path.expanduser(text) if text.startswith("~/") else text
        if key == "plugins":  # one name needs no brackets, because some shells expand them
            return list(_plugins([Word(key, text)], {}))
        return self._try(merge.parse_value, key, text)

    def _checked(self, before: Json, now: Json) -> tuple[Json, dict[str, tuple[Any, Any]]]:
        from transfer_cli.config import merge
        from transfer_cli.config.check import Checker
        from transfer_cli.config.values import leaves

        before, _ = merge.resolved(before)
        plain = Checker({}, {}, lambda key: None).config(before)
        checker = Checker(self.typed, plain, self._origin)
        checked = checker.config(now)
        reported = {fault.key for error in self.errors for fault in error.faults}
        self._fault(*[f for f in checker.faults if f.key not in reported and not self._in_doubt(f.key)])
        keys = [key for key, _ in leaves(checked) if any(f"{key}.".startswith(f"{typed}.") for typed in self.typed)]
        return checked, {k: (look(plain, k), look(checked, k)) for k in keys if look(plain, k) != look(checked, k)}

    def _in_doubt(self, key: str) -> bool:
        """Whether a fault of this key may be caused by a wrong choice that is already reported."""
        faulty, top = self.choices.faulty, key.partition(".")[0]
        if "experiment" in faulty:
            return top not in ("trainer", "runtime", "seed", "oracle")
        if "strategy" in faulty:
            return top not in ("trainer", "runtime", "seed", "oracle", "data", "model")
        return top in faulty or ("data" in faulty and top == "model") or ("predictor" in faulty and "predictor" in key)

    def _replaced(self) -> list[Fault]:
        """Faults for values of the experiment that belong to a method, predictor or model that the words replaced."""
        from transfer_cli.config.check import settings
        from transfer_cli.config.values import leaves

        name, values = self.plain.get("experiment", ("", {}))
        faults = []
        for slot, now in self.choices.slots.items():
            was, place = self.recipe.get(slot), _place(slot)
            node = look(values, place) if slot.startswith(("method", "model", "predictor")) and was != now else None
            for key, _ in leaves(node) if isinstance(node, dict) else ():
                if key.partition(".")[0] not in settings("Stage") and f"{place}.{key}" not in self.typed:
                    text = f"experiment={name} sets it for {was}, here {choosing.word_of(slot)} is {now}"
                    faults.append(Fault(f"{place}.{key}", text, do=f"say {place}.{key}=..., or keep {was}"))
        return faults

    def _origin(self, key: str) -> str | None:
        """The file or option that set a key which no word set."""
        for group in ("experiment", "strategy"):
            name, values = self.plain.get(group, ("", {}))
            if look(values, key) is not None:
                return f"{group}={name}"
        for slot, name in self.choices.slots.items():
            if key.startswith(f"{_place(slot)}."):
                path = find_option(wording.group_of(choosing.word_of(slot)), name, self.search)
                return str(path) if path else None
        return None

    def _root_value(self, words: Sequence[Word], key: str) -> Any:
        """The value of a root key: the text of the words, otherwise the value of the experiment, otherwise that of the
        strategy."""
        layers = [self.plain[group][1] for group in ("experiment", "strategy") if group in self.plain]
        return next((word.value for word in words if word.key == key), None) or next(
            (layer[key] for layer in layers if key in layer), None
        )

    def _try(self, function: Any, *args: Any) -> Any:
        try:
            return function(*args)
        except TransferError as error:
            self.errors.append(error)
            return None

    def _fault(self, *faults: Fault) -> None:
        if faults:
            self.errors.append(ConfigError(*faults))


def _place(slot: str) -> str:
    """The key of a slot's settings in the configuration: `method@align` -> `align`."""
    return slot.rpartition("@")[2]


def search_path(words: Sequence[str], config_dirs: Sequence[Path]) -> tuple[Path, ...]:
    """User folders, then the conf folders of plugins. Raises ConfigError if one of them is absent."""
    search = user_dirs(config_dirs)
    return search + _plugin_dirs([Word(*text.split("=", 1)) for text in words if "=" in text], search)


def _plugin_dirs(words: Sequence[Word], search: Sequence[Path]) -> tuple[Path, ...]:
    from transfer_cli.config.signatures import package_dir

    recipe = {w.key: w.value for w in words if w.key in ("strategy", "experiment")}
    places = [package_dir(name) / "conf" for name in _plugins(words, choosing.plain_values(recipe, search))]
    return tuple(place for place in places if place.is_dir())


def _plugins(words: Sequence[Word], plain: dict[str, tuple[str, Json]]) -> tuple[str, ...]:
    """The plugin packages named by the words, otherwise those named by experiment or strategy."""
    for word in words:
        if word.key == "plugins":
            return tuple(re.findall(r"[^\s,'\"\[\]]+", word.value))
    named = [values["plugins"] for _, values in plain.values() if isinstance(values.get("plugins"), list)]
    return tuple(str(name) for names in named for name in names)
