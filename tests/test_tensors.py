"""Tensors as bytes: the same in, the same out; hostile bytes are refused with a sentence."""

import json
import struct
from typing import Any

import pytest
import safetensors.torch
import torch

from transfer_cli.errors import StoreError
from transfer_cli.models.tensors import DTYPES, InvalidFile, pack, parse, unpack


def raw(header: Any, body: bytes = b"", size: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + body


def entry(start: int, end: int, shape: Any = (1,), dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


def test_tensors_and_meta_come_back() -> None:
    tensors = {
        "a": torch.randn(3, 4),
        "half": torch.randn(5).bfloat16(),
        "count": torch.tensor(7),
        "mask": torch.tensor([True, False]),
        "nothing": torch.empty(0, 3),
        "view": torch.arange(10.0)[2:8:2],
    }
    got, meta = unpack(pack(tensors, {"step": 3, "classes": ["ä", "b"]}))
    assert meta == {"step": 3, "classes": ["ä", "b"]}
    assert got.keys() == tensors.keys()
    for name, x in tensors.items():
        assert got[name].dtype == x.dtype
        assert torch.equal(got[name], x)


def test_the_same_content_gives_the_same_bytes() -> None:
    a, b = torch.randn(3), torch.randn(2, 2)
    meta = {f"key{i}": i for i in range(20)}
    first = pack({"a": a, "b": b}, meta)
    assert pack({"b": b.clone(), "a": a.clone()}, dict(reversed(meta.items()))) == first
    assert pack({"a": a, "b": b}, meta | {"key0": 1}) != first


def test_safetensors_itself_reads_what_is_packed() -> None:
    x = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    read = safetensors.torch.load(pack({"x": x}, {}))
    assert torch.equal(read["x"], x)


def test_tied_tensors_are_written_once_and_tied_again() -> None:
    x = torch.randn(1000)
    data = pack({"b": x, "a": x, "c": x.clone()}, {})
    assert len(data) < 2 * 4000 + 500
    got, _ = unpack(data)
    assert got["a"] is got["b"]
    assert got["c"] is not got["a"]
    assert torch.equal(got["c"], x)


def test_views_of_one_tensor_that_differ_are_not_tied() -> None:
    x = torch.arange(12.0).reshape(3, 4)
    got, _ = unpack(pack({"x": x, "t": x.T, "top": x[:1], "flat": x.flatten()}, {}))
    assert torch.equal(got["t"], x.T)
    assert torch.equal(got["top"], x[:1])
    assert torch.equal(got["flat"], x.flatten())


def test_what_is_read_can_be_written_to() -> None:
    data = pack({"x": torch.zeros(3)}, {})
    unpack(data)[0]["x"].add_(1)
    assert unpack(data)[0]["x"].sum() == 0


def test_meta_must_be_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        pack({}, {"loss": float("nan")})


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_every_dtype_is_read_as_safetensors_reads_it(dtype: str) -> None:
    x = torch.tensor([0, 1, 1, 0]).to(DTYPES[dtype])
    tensors, _ = parse(safetensors.torch.save({"x": x}))
    assert tensors["x"].dtype == DTYPES[dtype]
    assert torch.equal(tensors["x"], x)


HOSTILE = {
    "empty": (b"", r"cut short \(0 bytes\)"),
    "text": (b"hello there, world", r"not a safetensors file"),
    "claims 9 exabytes": (raw({}, size=2**63), r"not a safetensors file, or cut short"),
    "header too large": (raw(b" " * (16 * 2**20 + 1)), r"header of 16,777,217 bytes, allowed 16,777,216"),
    "not JSON": (raw(b"{nope"), r"header is not JSON"),
    "not UTF-8": (raw(b'{"\xff\xfe": 1}'), r"header is not JSON"),
    "deep JSON": (raw(b"[" * 200_000), r"header is not JSON"),
    "a list": (raw([1]), r"header is damaged"),
    "metadata of numbers": (raw({"__metadata__": {"j": 1}}), r"header is damaged"),
    "the same name twice": (
        raw(
            b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}',
            b"x",
        ),
        r"names a tensor twice",
    ),
    "too many": (raw({str(i): entry(0, 0, (0,)) for i in range(100_001)}), r"100,001 tensors, allowed 100,000"),
    "unknown type": (raw({"a": entry(0, 4, dtype="F1")}, b"1234"), r"tensor a has a damaged or unknown description"),
    "wrong size": (raw({"a": entry(0, 4, (2,))}, b"1234"), r"tensor a of shape \[2\] does not match its bytes"),
    "overflow": (raw({"a": entry(0, 4, (2**62, 4))}, b"1234"), r"does not match its bytes"),
    "negative": (raw({"a": entry(0, 4, (-1, -1))}, b"1234"), r"does not match its bytes"),
    "truth as a number": (raw({"a": entry(0, 4, (True,))}, b"1234"), r"does not match its bytes"),
    "overlap": (raw({"a": entry(0, 4), "b": entry(2, 6)}, b"123456"), r"tensor b do not start"),
    "hole": (raw({"a": entry(0, 4), "b": entry(8, 12)}, b"x" * 12), r"tensor b do not start"),
    "behind the end": (raw({"a": entry(0, 8, (2,))}, b"1234"), r"4 bytes of tensors, the header says 8"),
    "trailing": (raw({"a": entry(0, 4)}, b"123456"), r"6 bytes of tensors, the header says 4"),
    "endless name": (raw({"n" * 501: entry(0, 4)}, b"1234"), r"a tensor has a name of 501 characters"),
    "NaN in the header": (raw(b'{"a": NaN}'), r"header is not JSON"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_bytes_are_refused(kind: str) -> None:
    data, text = HOSTILE[kind]
    with pytest.raises(InvalidFile, match=text):
        parse(data)


def test_every_truncation_is_noticed() -> None:
    data = pack({"x": torch.arange(6.0)}, {"step": 1})
    for length in range(len(data)):
        with pytest.raises(StoreError):
            unpack(data[:length])


@pytest.mark.parametrize("note", [None, "[]", "{}", '{"aliases": {"a": "gone"}, "meta": {}}', "{"])
def test_tensors_without_our_note_are_refused_by_name(note: str | None) -> None:
    data = safetensors.torch.save({"x": torch.zeros(1)}, {"j": note} if note else None)
    with pytest.raises(StoreError, match=r"^model-final: ") as raised:
        unpack(data, "model-final")
    assert raised.value.code == 5
