"""Checks one node of a configuration: unknown keys, wrong types, values that are not allowed. Fills in defaults and
converts types. Every fault names the word or the file that caused it."""

from collections.abc import Callable, Mapping
from typing import Any

from transfer_cli.config.synonyms import KEYS
from transfer_cli.config.syntax import Param
from transfer_cli.config.values import dotted, fit, look, plain
from transfer_cli.errors import Fault, nearest

Json = dict[str, Any]
SHOWN = 8  # the most allowed names in a message; if there are more, only the nearest is shown


class Binder:
    """`typed`: the values of the user's words, as text; `before`: the values without these words; `origin`: returns the
    file that set a key. `faults` collects the faults."""

    def __init__(self, typed: Mapping[str, str], before: Json, origin: Callable[[str], str | None]) -> None:
        self.typed, self.before, self.origin = typed, before, origin
        self.faults: list[Fault] = []

    def bind(self, params: Mapping[str, Param], node: Any, at: str, owner: str, *, fill: bool = True) -> Json:
        """The checked values of the node at the key `at`; `owner` is its name in messages. With `fill`, absent keys get
        their defaults."""
        bound: Json = {}
        if not isinstance(node, dict):
            self.fault(at, "settings as {key: value}", node)
            node = {}
        for name, value in node.items():
            if param := params.get(str(name)):
                bound[param.name] = self._value(param, value, dotted(at, param.name))
            else:
                self._unknown(str(name), params, at, owner)
        for param in params.values() if fill else ():
            if param.required and param.name not in node:
                self.fault(dotted(at, param.name), f"has no value; allowed: {param.allowed()}", None)
            if param.name not in bound:
                bound[param.name] = _copy(param.default)
        return bound

    def _value(self, param: Param, value: Any, key: str) -> Any:
        if param.kind == "str" and key in self.typed and isinstance(value, int | float):
            return self.typed[key]  # the value of a text setting is text, even 010 or 1e3
        try:
            return fit(param, value)
        except ValueError:
            near = nearest(str(value), [str(c) for c in param.choices]) if param.choices else None
            now = self._now(key)
            text = param.allowed() if len(param.choices) <= SHOWN else "not one of the names"
            text += "" if now is None or now == value else f", now {plain(now)}"
            shown = self.typed.get(key, plain(value))
            self.faults.append(Fault(key, text, shown, tuple(map(str, param.choices)), near, see=self._where(key)))
            return value

    def _by_word(self, key: str) -> bool:
        return any(f"{key}.".startswith(f"{word}.") or word.startswith(f"{key}.") for word in self.typed)

    def _now(self, key: str) -> Any:
        """The value that the key would have without the user's words; None if no word set it."""
        return look(self.before, key) if self._by_word(key) else None

    def _unknown(self, name: str, params: Mapping[str, Param], at: str, owner: str) -> None:
        key = dotted(at, name)
        near = KEYS.get(name) if KEYS.get(name) in params else nearest(name, list(params))
        hint = None
        if near:
            now = look(self.before, dotted(at, near))
            now = params[near].default if now is None else now
            hint = f"{near} ({params[near].allowed()}" + (f", now {plain(now)})" if now is not None else ")")
        see = self._where(key)
        if not near and params:
            see = "; ".join(filter(None, [f"keys: {', '.join(params)}", see]))
        self.faults.append(Fault(key, f"{owner} has no such key", None, tuple(params), hint, see=see))

    def fault(self, key: str, text: str, value: Any) -> None:
        """Records a fault of `key`, with the file that set it if no word did."""
        shown = None if value is None else self.typed.get(key, plain(value))
        self.faults.append(Fault(key, text, shown, see=self._where(key)))

    def _where(self, key: str) -> str | None:
        place = None if self._by_word(key) else self.origin(key)
        return place and f"in {place}"


def _copy(value: Any) -> Any:
    return type(value)(value) if isinstance(value, dict | list) else value
