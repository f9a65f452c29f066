"""Decodes one picture from a file or from memory, and resizes and crops it for a net. PIL and numpy. Only listed
formats are read; a picture above PIL's pixel limit is an error."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from transfer_cli.data.contracts import bad_file

FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
THINNEST = 1000  # resizing the shorter side enlarges a thin picture: 1 x 80,000 resized to 224 has 12 GB of pixels

# PIL only warns between one and two times its limit; `_small` raises there, so the warning would say it twice.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module="PIL.TiffImagePlugin")  # EXIF that cannot be read


def picture(path: Path) -> Image.Image:
    """The picture of a file, as `decoded` gives it."""
    try:
        with path.open("rb") as stream:
            return decoded(stream, str(path))
    except FileNotFoundError:
        raise bad_file(path, "no such file") from None
    except OSError as error:
        raise bad_file(path, f"unreadable: {error}") from None


def decoded(stream: BinaryIO, name: str) -> Image.Image:
    """The decoded picture as "L" or "RGB", rotated as its EXIF data say; errors call it `name`. DataError if it is no
    picture, is cut short, or is too large or too thin to be resized for a net."""
    try:
        with Image.open(stream, formats=FORMATS) as image:
            _small(image)
            if max(image.size) > THINNEST * min(image.size):
                text = f"{image.width:,} x {image.height:,} pixels: one side is more than {THINNEST:,} times the other"
                raise bad_file(name, text)
            image.load()
            return _plain(_turned(image))
    except Image.DecompressionBombError:
        raise bad_file(name, f"more than {Image.MAX_IMAGE_PIXELS or 0:,} pixels") from None
    except UnidentifiedImageError:
        raise bad_file(name, "no PNG, JPEG, BMP or WebP picture") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise bad_file(name, _cut(stream) or f"unreadable: {error}") from None


def _cut(stream: BinaryIO) -> str | None:
    stream.seek(0)
    return ending(stream.read())


def _small(image: Image.Image) -> None:
    if image.width * image.height > (Image.MAX_IMAGE_PIXELS or 0):
        raise Image.DecompressionBombError


def _turned(image: Image.Image) -> Image.Image:
    """The picture rotated as its EXIF data say; unchanged where they cannot be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # EXIF is a TIFF inside the picture; its parser fails in many ways
        return image


def _plain(image: Image.Image) -> Image.Image:
    """Grey stays grey, all else becomes RGB; 16-bit grey keeps its upper 8 bits (PIL's convert would clip)."""
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    return image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")


def ending(data: bytes) -> str | None:
    """How a file is cut short ("PNG ends at byte 2,048 of 4,100"), None if it is whole or no guess is possible."""
    if data[:2] == b"\xff\xd8":
        return None if b"\xff\xd9" in data[-64:] else f"JPEG ends at byte {len(data):,} without its end mark"
    known = _length(data)
    if known is None or known[1] <= len(data):
        return None
    return f"{known[0]} ends at byte {len(data):,} of {known[1]:,}"


def _length(data: bytes) -> tuple[str, int] | None:
    """Format and the length that the file's own headers promise."""
    if data[:2] == b"BM":
        return "BMP", int.from_bytes(data[2:6], "little")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP", int.from_bytes(data[4:8], "little") + 8
    return ("PNG", _png_length(data)) if data[:8] == b"\x89PNG\r\n\x1a\n" else None


def _png_length(data: bytes) -> int:
    """The end of the last chunk that begins in the file; a PNG without IEND lacks at least 12 bytes."""
    at = 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] == b"IEND" or end > len(data):
            return end
        at = end
    return at + 12


class Fit(NamedTuple):
    """The form that pictures get: shorter side to `size` by `interpolation`, centre `crop`, grey for one channel."""

    channels: int
    size: int
    crop: int
    interpolation: str = "bilinear"

    @classmethod
    def of(cls, input: Mapping[str, Any]) -> "Fit":
        """The fit that the `input` of a model node describes."""
        return cls(**{name: input[name] for name in cls._fields if name in input})

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.crop, self.crop


def fitted(image: Image.Image, fit: Fit) -> np.ndarray:
    """uint8 [channels, crop, crop]: resized (antialiased), cropped, then grey <-> RGB (ITU-R 601 luma). The same
    pixels as torchvision's Resize and CenterCrop on a PIL picture."""
    channels, size, crop, interpolation = fit
    image = image.convert("L" if channels == 1 else "RGB")
    width, height = image.size
    short = min(width, height)
    if short != size:
        way = Image.Resampling[interpolation.upper()]
        image = image.resize((size * width // short, size * height // short), way)
    left, top = round((image.width - crop) / 2), round((image.height - crop) / 2)
    pixels = np.asarray(image.crop((left, top, left + crop, top + crop)))
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def grey(pixels: np.ndarray) -> np.ndarray:
    """ITU-R 601 luma of uint8 [..., 3], rounded as PIL's convert("L") does."""
    red, green, blue = np.moveaxis(pixels.astype(np.uint32), -1, 0)
    luma: np.ndarray = ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).astype(np.uint8)
    return luma
