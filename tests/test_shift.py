"""Artificial domain shifts: results compared with the formulas, dependence on the position of rows, and keys."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from transfer_cli.cli.main import main
from transfer_cli.config.signatures import PACKAGE, signature_of
from transfer_cli.data.open import describe
from transfer_cli.data.shift import AMOUNTS, SHIFTS, Shift
from transfer_cli.errors import ConfigError, DataError
from transfer_cli.kinds.pictures import Pictures

KINDS = tuple(SHIFTS)


def pictures(rows: int = 6, channels: int = 3, size: int = 12) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, channels, size, size), np.uint8)


def applied(kind: str, pixels: np.ndarray, part: str = "train", amount: float | None = None) -> np.ndarray:
    return Shift.of(kind, amount, "data").applied(pixels, part)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_shifted_row_depends_only_on_its_position_and_part(kind: str, channels: int) -> None:
    pixels = pictures(channels=channels)
    made = applied(kind, pixels)
    assert (made.shape, made.dtype) == (pixels.shape, np.uint8)
    assert (made != pixels).any()
    assert np.array_equal(applied(kind, pixels), made)
    assert np.array_equal(applied(kind, pixels[:4]), made[:4])  # later rows have no influence
    changed = pixels.copy()
    changed[1] = 7
    assert np.array_equal(np.delete(applied(kind, changed), 1, 0), np.delete(made, 1, 0))  # nor do pixels of other rows
    drawn = kind in ("coloured", "blended", "noisy")
    assert np.array_equal(applied(kind, pixels, "test"), made) != drawn
    alike = applied(kind, np.repeat(pixels[:1], 6, 0))
    assert (alike == alike[:1]).all() != drawn


def test_rows_after_the_first_thousand_have_other_draws() -> None:
    made = applied("coloured", np.full((2001, 3, 1, 1), 255, np.uint8))
    assert len(np.unique(made.reshape(-1, 3), axis=0)) > 1900  # of 2,001; a few are equal by chance
    assert np.array_equal(applied("coloured", np.full((1003, 3, 1, 1), 255, np.uint8)), made[:1003])


def test_inverted_and_rotated_by_hand() -> None:
    pixels = pictures()
    assert np.array_equal(applied("inverted", pixels).astype(int), 255 - pixels.astype(int))
    assert np.array_equal(applied("rotated", pixels, amount=90), np.rot90(pixels, axes=(2, 3)))
    assert np.array_equal(applied("rotated", pixels, amount=0), pixels)
    assert (applied("rotated", np.full((1, 1, 12, 12), 255, np.uint8))[:, :, 0, 0] == 0).all()  # the border is black


def test_noise_has_the_requested_deviation() -> None:
    middle = np.full((40, 3, 32, 32), 128, np.uint8)
    noise = applied("noisy", middle, amount=0.1).astype(float) - 128
    assert abs(noise.mean()) < 0.3
    assert abs(noise.std() - 25.5) < 0.3
    assert abs((np.abs(noise) < 25.5).mean() - 0.683) < 0.01  # as of a Gaussian
    assert np.array_equal(applied("noisy", middle, amount=0.0), middle)


def test_a_tint_is_one_colour_per_picture() -> None:
    grey = np.repeat(pictures(channels=1), 3, 1)
    grey[:, :, 0, 0] = 255
    made = applied("coloured", grey)
    colours = made[:, :, 0, 0].astype(float)
    assert (colours.max(1) == 255).all()
    assert len(np.unique(colours, axis=0)) == len(grey)
    assert np.abs(made - grey * colours[:, :, None, None] / 255).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("channels", [1, 3])
def test_blended_is_the_distance_to_a_patch_of_one_of_the_photos(channels: int) -> None:
    pixels = pictures(rows=3, channels=channels)
    black = applied("blended", np.zeros_like(pixels))  # the patches themselves
    assert np.array_equal(applied("blended", pixels), np.abs(pixels.astype(int) - black))
    photos = load_sample_images().images
    if channels == 1:
        photos = [np.asarray(Image.fromarray(photo).convert("L"))[..., None] for photo in photos]
    for patch in black.transpose(0, 2, 3, 1):
        found = [
            (photo[top : top + 12, left : left + 12] == patch).all()
            for photo in photos
            for top, left in zip(*np.nonzero((photo[:-11, :-11] == patch[0, 0]).all(-1)), strict=True)
        ]
        assert any(found)


def test_pictures_larger_than_the_photos_are_refused() -> None:
    with pytest.raises(DataError, match="photos of 640 x 427, the net takes pictures of 500 x 500"):
        applied("blended", np.zeros((1, 3, 500, 500), np.uint8))


@pytest.mark.parametrize(
    ("kind", "amount", "text"),
    [
        ("inverted", 1.0, "source.shift_amount=1: inverted has no amount; rotated and noisy have one"),
        ("rotated", 200.0, "source.shift_amount=200: of rotated: -180 to 180"),
    ],
)
def test_an_invalid_amount_is_refused(kind: str, amount: float, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        Shift.of(kind, amount, "source")
    assert error.value.faults[0].line() == text


def test_the_setting_lists_all_shifts() -> None:
    allowed = signature_of(PACKAGE / "data" / "view.py", "View").params["shift"].choices
    assert set(allowed) == set(SHIFTS) >= set(AMOUNTS)


# as a data set
def digits(tmp_path: Path, **view: Any) -> Any:
    return describe({"family": "digits", **view}, cache=tmp_path / "cache")


def test_title_and_key_contain_the_shift_and_the_split_does_not_change(tmp_path: Path) -> None:
    plain, shifts = digits(tmp_path), [digits(tmp_path, shift=kind) for kind in KINDS]
    turned = [digits(tmp_path, shift="rotated", shift_amount=angle) for angle in (30.0, 45.0)]
    assert [data.title for data in (plain, *shifts)] == ["digits", *(f"digits {kind}" for kind in KINDS)]
    assert [data.title for data in turned] == ["digits rotated 30", "digits rotated"]
    assert len({data.fingerprint for data in (plain, *shifts, turned[0])}) == len(KINDS) + 2
    assert turned[1].fingerprint == shifts[KINDS.index("rotated")].fingerprint  # the default amount, given explicitly
    assert all(np.array_equal(data.rows("test").index, plain.rows("test").index) for data in shifts)


def test_pictures_are_shifted_once_and_cached(tmp_path: Path) -> None:
    model, cpu = {"input": {"channels": 3, "size": 8, "crop": 8}}, torch.device("cpu")
    plain, data = digits(tmp_path), digits(tmp_path, shift="blended")
    shifted = Pictures().store(data, "train", model, tmp_path / "cache", cpu, lambda: None)
    original = Pictures().store(plain, "train", model, tmp_path / "cache", cpu, lambda: None)
    assert np.array_equal(shifted.numpy(), applied("blended", original.numpy()))
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "cache" / "arrays").iterdir()}
    assert torch.equal(Pictures().store(data, "train", model, tmp_path / "cache", cpu, lambda: None), shifted)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "cache" / "arrays").iterdir()} == times


def test_a_shift_on_the_command_line(tmp_path: Path, capsys: Any) -> None:
    words = ["strategy=none", "source=digits", "data=digits", "trainer=tiny", "runtime=cpu", "--runs", str(tmp_path)]
    shift = ["data.shift=blended", "model=lenet", "model.input.channels=3"]
    assert main(["run", *words, *shift]) == 0
    assert "none  digits → digits blended   lenet" in capsys.readouterr().err
    assert main(["run", *words, "data.shift=blurred"]) == 2
    assert "data.shift=blurred: one of rotated, coloured, blended, noisy, inverted" in capsys.readouterr().err
    assert main(["run", "strategy=scratch", "data=docstrings", "data.shift=noisy", "--runs", str(tmp_path)]) == 4
    assert "data.shift=noisy: makes pictures of pictures, and" in capsys.readouterr().err
