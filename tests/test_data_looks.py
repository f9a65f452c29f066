"""Copies of pictures, groups of rows, and columns that predict the label, compared with brute force."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from transfer_cli.data.groups import Groups
from transfer_cli.data.quality.near_duplicates import FAR, SURE, _hashes, _met, alike, small
from transfer_cli.data.quality.telling_columns import share_told

DATA = Path(os.environ.get("TRANSFER_DATA", "/nowhere"))


def photo(seed: int, side: int = 96) -> Image.Image:
    """Smooth blobs of colour that differ from each other like photographs."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
    return coarse.resize((side, side), Image.Resampling.BICUBIC)


def again(picture: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file)


COPIES = {
    "JPEG": lambda p: again(p, 40),
    "half": lambda p: p.resize((p.width // 2, p.height // 2), Image.Resampling.BICUBIC),
    "twice": lambda p: p.resize((p.width * 2, p.height * 2), Image.Resampling.BILINEAR),
    "stretched": lambda p: p.resize((p.width, p.height // 2), Image.Resampling.BILINEAR),
    "brighter": lambda p: ImageEnhance.Brightness(p).enhance(0.85),
}


def grouped(pictures: list[Image.Image]) -> list[list[int]]:
    groups = Groups(len(pictures))
    groups.of = alike(np.stack([small(picture) for picture in pictures]))
    return [rows.tolist() for rows in groups.lists()]


@pytest.mark.parametrize("kind", COPIES)
def test_a_changed_copy_is_found_among_others(kind: str) -> None:
    pictures = [photo(seed) for seed in range(40)]
    assert grouped(pictures) == []
    copies = [COPIES[kind](picture) for picture in pictures[:20]]
    assert grouped([*pictures, *copies]) == [[i, 40 + i] for i in range(20)]


def test_blank_pictures_and_other_hues_are_not_copies() -> None:
    rng = np.random.default_rng(0)
    blanks = [Image.fromarray(rng.integers(250, 256, (20, 20, 3), np.uint8)) for _ in range(20)]
    assert grouped([*blanks, Image.new("L", (9, 9), 255), Image.new("L", (9, 9), 255)]) == []
    signs = [Image.new("RGB", (40, 40), "white") for _ in range(3)]
    for sign, hue in zip(signs, ("red", "#00a000", "red"), strict=True):
        sign.paste(hue, (10, 10, 30, 30))
    assert grouped(signs) == [[0, 2]]


def test_no_pictures_have_no_copies() -> None:
    assert alike(np.zeros((0, 16, 16, 3), np.uint8)).tolist() == []


def test_handwritten_digits_are_all_different() -> None:
    digits = np.load(Path(__file__).parents[1] / "transfer_cli" / "data" / "readers" / "digits.npz")
    pixels = next(digits[name] for name in digits.files if digits[name].ndim == 3)
    pixels = (pixels.astype(np.int64) * 255 // pixels.max()).astype(np.uint8)
    assert len(pixels) == 1797
    assert grouped([Image.fromarray(image) for image in pixels]) == []


@pytest.mark.skipif(not (DATA / "hymenoptera_data").is_dir(), reason="TRANSFER_DATA has no hymenoptera_data")
def test_photographs_saved_again_are_found_and_no_others() -> None:
    files = sorted((DATA / "hymenoptera_data" / "val").rglob("*.jpg"))
    photographs = [Image.open(file).convert("RGB") for file in files]
    copies = [again(p.resize((p.width * 2 // 3, p.height * 2 // 3)), 60) for p in photographs]
    assert len(files) == 153
    found = grouped([*photographs, *copies])
    assert all(len(rows) == 2 and rows[1] - rows[0] == len(files) for rows in found)
    assert len(found) >= 0.97 * len(files)


def test_no_close_pair_of_hashes_is_missed() -> None:
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 256, (300, 8), np.uint8)
    for row in range(150):  # half of them a few bits from another
        flipped = np.unpackbits(hashes[row])
        flipped[rng.choice(64, row % (FAR + 3), replace=False)] ^= 1
        hashes[150 + row] = np.packbits(flipped)
    bits = np.unpackbits(hashes, axis=1).astype(int)
    apart = (bits[:, None] != bits[None]).sum(2)
    want = {(i, j) for i in range(300) for j in range(i + 1, 300) if apart[i, j] <= FAR}
    found = {tuple(sorted(pair)) for one, two in _met(hashes) for pair in zip(one.tolist(), two.tolist(), strict=True)}
    assert found == want
    assert len(want) > 100


def test_the_hash_is_the_strong_coefficients_of_the_cosine_transform() -> None:
    scipy = pytest.importorskip("scipy.fft")
    picture = small(photo(3))
    # scipy's is four times the plain sum of two cosines
    want = scipy.dctn(picture.mean(axis=2, dtype=np.float64), type=2)[:8, :8] / 4 > SURE * picture.std()
    want[0, 0] = False
    found = _hashes(picture[None], np.array([picture.std()]), np.array([0]))
    assert np.array_equal(np.unpackbits(found[0]).astype(bool), want.ravel())
    assert 5 < want.sum() < 40


@pytest.mark.parametrize("seed", range(30))
def test_groups_are_the_connected_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, pairs = 20, rng.integers(0, 20, (2, int(rng.integers(1, 15))))
    groups = Groups(count)
    groups.join(*pairs[:, :5])
    groups.join(*pairs[:, 5:])
    want = list(range(count))
    for _ in range(count):
        for one, two in pairs.T:
            want[one] = want[two] = min(want[one], want[two])
    assert groups.of.tolist() == want
    listed = [rows.tolist() for rows in groups.lists()]
    assert listed == [
        same for least in sorted(set(want)) if len(same := [r for r in range(count) if want[r] == least]) > 1
    ]


# columns
@pytest.mark.parametrize("seed", range(30))
def test_the_information_of_a_cell_is_the_vote_of_other_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 40))
    cells, labels = rng.integers(0, rng.integers(1, 9), count), rng.integers(0, rng.integers(1, 5), count)
    right = 0
    for row in range(count):
        votes = np.bincount(labels[(cells == cells[row]) & (np.arange(count) != row)], minlength=6)
        mine, votes[labels[row]] = votes[labels[row]], 0
        right += mine > votes.max()
    assert share_told([f"v{cell}" for cell in cells], labels) == pytest.approx(right / count)


def test_numbers_are_compared_by_order_and_names_are_not() -> None:
    labels = np.repeat([0, 1], 200)
    scores = [f"{x:.6f}" for x in np.random.default_rng(0).random(400) + labels]
    assert share_told(scores, labels) > 0.99
    assert share_told([f"id {score}" for score in scores], labels) == 0
    assert share_told(["7"] * 400, labels) < 0.6  # equal numbers have no order, though the rows of the file have one
    half = [score if i % 3 else "" for i, score in enumerate(scores)]
    assert share_told(half, labels) < 0.9
