"""Features before and after transfer: planes against numpy, which nets are looked through, test rows for the eye."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from transfer_cli.data.examples import examples
from transfer_cli.data.open import describe
from transfer_cli.engine.feature_views import FeatureViews, _plane
from transfer_cli.kinds.pictures import Pictures
from transfer_cli.store.store import Store

DIGITS = {"family": "digits", "val_fraction": 0.2}


def test_the_plane_is_that_of_principal_components() -> None:
    torch.manual_seed(0)
    features = {"target": torch.randn(30, 5) * torch.tensor([1.0, 4, 1, 2, 1]), "source": torch.randn(20, 5) + 3}
    plane, explained = _plane(features)
    x = torch.cat([features["target"], features["source"]]).double().numpy()
    values, vectors = np.linalg.eigh(np.cov(x.T))
    by_hand = (x - x.mean(0)) @ vectors[:, [-1, -2]]
    found = torch.cat([plane["target"], plane["source"]]).numpy()
    np.testing.assert_allclose(np.abs(found), np.abs(by_hand), atol=1e-9)
    assert explained == pytest.approx(values[-2:].sum() / values.sum())
    assert [len(part) for part in plane.values()] == [30, 20]


def test_a_feature_of_one_number_has_a_plane() -> None:
    plane, explained = _plane({"target": torch.tensor([[1.0], [2.0], [4.0]])})
    assert plane["target"][:, 1].tolist() == [0, 0, 0]
    assert explained == pytest.approx(1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: Any) -> tuple[Path, list[dict[str, Any]]]:
    """Two short runs with a source, one of which tunes the whole net, the other its head."""
    from transfer_cli.cli.main import main
    from transfer_cli.rundir.runs import find, summary

    folder = tmp_path_factory.mktemp("clouds")
    few = ["data=digits", "source=digits", "data.shots=3", "trainer.steps=3", "pretrain.trainer.steps=3"]
    for strategy in ("fine_tune", "linear_probe"):
        assert main(["run", f"strategy={strategy}", *few, "--runs", str(folder), "-q"]) == 0
    return folder, [summary(path) for path in find(folder, "last:2")]


def test_before_and_after(made: tuple[Path, list[dict[str, Any]]]) -> None:
    folder, (tuned, probed) = made
    data = {side: describe(DIGITS, cache=folder / ".cache") for side in ("target", "source")}
    looking = FeatureViews(Store(folder / ".store", create=False), folder / ".cache")
    seen, same = looking(tuned["stages"], data), looking(probed["stages"], data)  # type: ignore[arg-type]
    assert seen.after is not None
    assert not torch.equal(seen.before.features["target"], seen.after.features["target"])
    assert same.after is None  # its net is frozen
    assert torch.equal(same.before.features["target"], seen.before.features["target"])  # one source model
    # source and target are the same rows here, so nothing tells them apart: chance, or worse
    assert seen.before.accuracy is not None
    assert seen.before.accuracy < 0.6
    assert seen.before.distance == pytest.approx(2 * (2 * seen.before.accuracy - 1))
    alone = looking(tuned["stages"], {"target": data["target"]})  # type: ignore[dict-item]
    assert (alone.before.accuracy, set(alone.classes)) == (None, {"target"})
    assert len(alone.classes["target"]) == len(alone.before.plane["target"])


def test_examples_are_the_rows_they_are_called(tmp_path: Path) -> None:
    data = describe(DIGITS, cache=tmp_path)
    assert data is not None
    rows = data.rows("test")
    wanted = [rows.name(3), rows.name(10)]
    found = examples(data, Pictures(), {*wanted, "digits/all/99999", data.rows("train").name(0)})
    assert list(found) == wanted  # neither a row that is not there nor one of train
    picture = found[wanted[0]]
    assert isinstance(picture, bytes)
    pixels = data.raw.parts[rows.part].rows
    assert pixels is not None
    np.testing.assert_array_equal(np.asarray(Image.open(BytesIO(picture))), pixels()[rows.index[3]])
