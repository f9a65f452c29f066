"""A method that teaches no head: the net gets none, only its final state is handed on, and a predictor scores it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfer_cli.models.tensors import unpack

METHOD = '''
"""Features that lie close to the mean of their batch."""
from transfer_cli.contracts import Loss, Method, MethodInputs, Stream

class Closer(Method):
    """Owns the backbone alone: a head that nobody owns would be an error."""

    streams = {"target": Stream()}
    heads = False

    def __init__(self, given: MethodInputs) -> None:
        super().__init__()
        self.net = given.net

    def param_groups(self):
        return {"net": [self.net.backbone]}

    def step(self, batch, at):
        features = self.net.features(batch["target"].inputs)
        yield Loss("net", (features - features.mean(0)).square().mean())
'''


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "lib" / "package_without_heads"
    (folder / "methods").mkdir(parents=True)
    (folder / "conf" / "method").mkdir(parents=True)
    for file in (folder / "__init__.py", folder / "methods" / "__init__.py"):
        file.touch()
    (folder / "methods" / "closer.py").write_text(METHOD)
    (folder / "conf" / "method" / "closer.yaml").write_text("# Closer.\nmethod: closer\n")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    return folder.name


def test_a_method_that_teaches_no_head_leaves_none(package: str, transfer: Callable[..., Any], tmp_path: Path) -> None:
    words = ("data=digits", "model=mlp", "trainer=tiny", "runtime=cpu", "strategy=scratch", "predictor=knn", "-q")
    told = transfer("run", *words, f"plugins=[{package}]", "fine_tune=closer")
    assert told.code == 0, told.err
    (net,) = tmp_path.glob("runs/.store/*/model-*.safetensors")
    assert net.name == "model-final.safetensors"
    tensors, meta = unpack(net.read_bytes())
    assert meta["net"]["heads"] == {}
    assert all(name.startswith("net.backbone.") for name in tensors)
    (results,) = tmp_path.glob("runs/scratch-digits/*/results.json")
    assert json.loads(results.read_text())["metrics"]["final"]["test/accuracy"] > 0.2
