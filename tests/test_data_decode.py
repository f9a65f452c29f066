"""Pictures from files: the same pixels as torchvision, and every way a file can be bad."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from transfer_cli.data.cache import from_array
from transfer_cli.data.formats.decode import Fit, decoded, fitted, grey, picture
from transfer_cli.errors import DataError


def noise(*shape) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def saved(tmp_path, format: str, array=None):
    path = tmp_path / f"x.{format.lower()}"
    Image.fromarray(noise(40, 50, 3) if array is None else array).save(path, format)
    return path


def message(error) -> str:
    return error.value.faults[0].line()


@pytest.mark.parametrize("shape", [(40, 50), (50, 40), (33, 33), (300, 41)])
@pytest.mark.parametrize(("size", "crop"), [(32, 28), (40, 40), (64, 56), (27, 27)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_fitted_equals_torchvision_on_a_pil_picture(shape, size, crop, interpolation):
    transforms = pytest.importorskip("torchvision.transforms")
    image, way = Image.fromarray(noise(*shape, 3)), transforms.InterpolationMode(interpolation)
    want = transforms.CenterCrop(crop)(transforms.Resize(size, way)(image))
    np.testing.assert_array_equal(fitted(image, Fit(3, size, crop, interpolation)), np.asarray(want).transpose(2, 0, 1))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("stored", [(28, 28), (28, 28, 3)])
@pytest.mark.parametrize("size", [28, 32])
def test_arrays_and_pictures_give_equal_results(channels, stored, size):
    array = noise(5, *stored)
    want = np.stack([fitted(Image.fromarray(row), Fit(channels, size, size)) for row in array])
    got = from_array(array, Fit(channels, size, size))
    np.testing.assert_array_equal(got, want)
    assert got.flags["C_CONTIGUOUS"]


def test_grey_is_itu_601_luma():
    colours = noise(20, 20, 3)
    np.testing.assert_array_equal(grey(colours), np.asarray(Image.fromarray(colours).convert("L")))
    assert grey(np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)).tolist() == [76, 150, 29]


@pytest.mark.parametrize("format", ["PNG", "BMP", "WEBP", "JPEG"])
def test_each_format_is_read(tmp_path, format):
    assert picture(saved(tmp_path, format)).size == (50, 40)


def test_unusual_modes(tmp_path):
    Image.fromarray(noise(4, 4).astype(np.uint16) * 256).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(np.asarray(picture(tmp_path / "deep.png")), noise(4, 4))
    for mode in ("P", "RGBA", "CMYK", "1", "LA"):
        name = tmp_path / (f"{mode}.jpg" if mode == "CMYK" else f"{mode}.png")
        Image.new(mode, (4, 4)).save(name)
        assert picture(name).mode == ("L" if mode in ("1", "LA") else "RGB")


def test_a_picture_is_rotated_according_to_exif(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate right
    Image.new("RGB", (30, 20)).save(tmp_path / "x.jpg", exif=exif)
    assert picture(tmp_path / "x.jpg").size == (20, 30)


def test_invalid_exif_does_not_change_the_picture(tmp_path):
    """Bytes of EXIF overwritten in every place, one and eight at a time: only the rotation of the picture may
    change."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "maker"
    Image.new("RGB", (30, 20)).save(tmp_path / "x.jpg", exif=exif)
    whole = (tmp_path / "x.jpg").read_bytes()
    start = whole.index(b"Exif\0\0") + 6
    length = struct.unpack(">H", whole[start - 8 : start - 6])[0] - 8
    sizes = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for at in range(start, start + length):
            for broken in (b"\xff", b"\0", b"\xff" * 8):
                data = whole[:at] + broken[: start + length - at] + whole[at + len(broken[: start + length - at]) :]
                sizes.add(decoded(io.BytesIO(data), "x").size)
    assert sizes == {(20, 30), (30, 20)}


def test_a_picture_in_memory_is_the_one_of_the_file(tmp_path):
    path = saved(tmp_path, "PNG")
    stream = io.BytesIO(path.read_bytes())
    np.testing.assert_array_equal(np.asarray(decoded(stream, "upload")), np.asarray(picture(path)))
    for data, text in ((b"hello", "no PNG, JPEG"), (path.read_bytes()[:700], "PNG ends at byte 700 of ")):
        with pytest.raises(DataError) as error:
            decoded(io.BytesIO(data), "upload")
        assert message(error).startswith(f"upload: {text}")


@pytest.mark.parametrize("shape", [(1, 1001), (1001, 1), (2, 2002)])
def test_a_thin_picture_is_refused(tmp_path, shape):
    """Resizing it to a shorter side of 224 would need gigabytes."""
    path = saved(tmp_path, "PNG", noise(*shape))
    with pytest.raises(DataError, match="one side is more than 1,000 times the other"):
        picture(path)
    assert 2000 in picture(saved(tmp_path, "PNG", noise(2, 2000))).size


@pytest.mark.parametrize(("format", "name"), [("PNG", "PNG"), ("BMP", "BMP"), ("WEBP", "WebP")])
def test_a_truncated_file_says_how_much_is_missing(tmp_path, format, name):
    path = saved(tmp_path, format)
    whole = path.read_bytes()
    path.write_bytes(whole[:700])
    with pytest.raises(DataError) as error:
        picture(path)
    # the end of a PNG is known chunk by chunk: its only big chunk ends 12 bytes (IEND) before the file does
    length = len(whole) - (12 if format == "PNG" else 0)
    assert message(error) == f"{path}: {name} ends at byte 700 of {length:,}"


def test_a_truncated_jpeg(tmp_path):
    path = saved(tmp_path, "JPEG")
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(DataError) as error:
        picture(path)
    assert message(error) == f"{path}: JPEG ends at byte 900 without its end mark"


@pytest.mark.parametrize(("data", "text"), [(b"hello", "no PNG, JPEG, BMP or WebP picture"), (b"", "no PNG, JPEG")])
def test_a_file_that_is_not_a_picture(tmp_path, data, text):
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(DataError, match=text):
        picture(tmp_path / "x.png")


def test_a_format_that_is_not_on_the_list(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png", "TIFF")
    with pytest.raises(DataError, match="no PNG, JPEG, BMP or WebP picture"):
        picture(tmp_path / "x.png")


def test_a_missing_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        picture(tmp_path / "x.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [40, 60])  # between one and two times the limit PIL would only warn
def test_a_picture_above_the_size_limit_is_an_error(tmp_path, monkeypatch, side):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1500)
    Image.new("L", (side, side)).save(tmp_path / "x.png")
    with pytest.raises(DataError) as error:
        picture(tmp_path / "x.png")
    assert message(error) == f"{tmp_path}/x.png: more than 1,500 pixels"


def test_a_picture_above_the_size_limit_is_not_decoded(tmp_path):
    """A header of 30000 x 30000 is enough to refuse: 900 MB are never allocated."""
    header = struct.pack(">II5B", 30_000, 30_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    data = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    with pytest.raises(DataError, match="more than 89,478,485 pixels"):
        picture(tmp_path / "x.png")
