"""Modules that are imported at first use, for files such as kinds/ that commands without torch import."""

import importlib
from typing import Any


class Lazy:
    """A placeholder for a module, `torch = Lazy("torch")`: the first access to an attribute imports the module."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)
