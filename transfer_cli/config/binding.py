"""One node of a configuration against the parameters it may have: unknown keys, types, ranges, allowed values; defaults
filled, types coerced. Says which word or file is to blame."""

from collections.abc import Callable, Mapping
from typing import Any

from transfer_cli.config.synonyms import KEYS
from transfer_cli.config.syntax import Param
from transfer_cli.config.values import dotted, fit, look, plain
from transfer_cli.errors import Fault, nearest

Json = dict[str, Any]
SHOWN = 8  # allowed names in a line; more are left to `nearest`


class Binder:
    """`typed` are the values of the user's words as text, `before` the values without these words, `origin` names the
    file that set a key. `faults` collects what is wrong."""

    def __init__(self, typed: Mapping[str, str], before: Json, origin: Callable[[str], str | None]) -> None:
        self.typed, self.before, self.origin = typed, before, origin
        self.faults: list[Fault] = []

    def bind(self, params: Mapping[str, Param], node: Any, at: str, owner: str, *, fill: bool = True) -> Json:
        """Values of one node against its parameters; what is absent gets the default if `fill`."""
        made: Json = {}
        if not isinstance(node, dict):
            self.fault(at, "settings as {key: value}", node)
            node = {}
        for name, value in node.items():
            if param := params.get(str(name)):
                made[param.name] = self._value(param, value, dotted(at, param.name))
            else:
                self._unknown(str(name), params, at, owner)
        for param in params.values() if fill else ():
            if param.required and param.name not in node:
                self.fault(dotted(at, param.name), f"has no value; wants {param.allowed()}", None)
            if param.name not in made:
                made[param.name] = _copy(param.default)
        return made

    def _value(self, param: Param, value: Any, key: str) -> Any:
        if param.kind == "str" and key in self.typed and isinstance(value, int | float):
            return self.typed[key]  # 010 or 1e3 after a key that wants text is text
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
        """The value the key would have without the word; None when no word is to blame."""
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
        shown = None if value is None else self.typed.get(key, plain(value))
        self.faults.append(Fault(key, text, shown, see=self._where(key)))

    def _where(self, key: str) -> str | None:
        place = None if self._by_word(key) else self.origin(key)
        return place and f"in {place}"


def _copy(value: Any) -> Any:
    return type(value)(value) if isinstance(value, dict | list) else value
