"""Test rows for display in reports: a small picture, or the beginning of a text. PIL and numpy."""

from collections.abc import Collection
from io import BytesIO

from PIL import Image

from transfer_cli.data.contracts import RowKind
from transfer_cli.data.dataset import DataSet
from transfer_cli.data.formats.decode import picture

SIDE = 128  # pixels of the longest side of reduced pictures, twice the displayed size
TINY = 40  # pictures up to this side length keep their size
LETTERS = 240  # maximal length of a text


def examples(data: DataSet, kind: RowKind, names: Collection[str], seed: int = 0) -> dict[str, bytes | str]:
    """Those of `names` that are rows of the test part: a PNG (tiny) or JPEG, or text. Nothing where rows of the `kind`
    look like neither. Raises DataError for a picture that cannot be read."""
    rows = data.rows("test", seed=seed)
    part = data.raw.parts[rows.part]
    wanted = {name: int(rows.index[at]) for at in range(len(rows.index)) if (name := rows.name(at)) in names}
    if kind.looks == "words":
        texts = part.read()
        return {name: _beginning(texts[row]) for name, row in wanted.items()}
    if kind.looks != "pixels":
        return {}
    if part.files is not None:
        return {name: _small(picture(part.files[row])) for name, row in wanted.items()}
    pixels = part.read()
    return {name: _small(Image.fromarray(pixels[row])) for name, row in wanted.items()}


def _beginning(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LETTERS else text[: LETTERS - 1] + "…"


def _small(image: Image.Image) -> bytes:
    stream = BytesIO()
    if max(image.size) <= TINY:
        image.save(stream, "PNG")
        return stream.getvalue()
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    image.save(stream, "JPEG", quality=82)
    return stream.getvalue()
