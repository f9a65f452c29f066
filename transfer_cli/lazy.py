"""Libraries that are imported at first use. Files that commands without torch read (kinds/) name torch by it."""

import importlib
from typing import Any


class Lazy:
    """Stands for a module: `torch = Lazy("torch")`. An attribute imports it."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)
