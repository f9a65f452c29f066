"""Converts tensors to bytes and back: reproducible safetensors, read without trusting the file.

The one metadata key "j" holds sorted JSON, because the order of several keys would differ from save to save. The header
is checked here, because the format's own reader silently takes the last of two tensors with the same name."""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from transfer_cli.errors import Fault, StoreError

MAX_HEADER = 16 * 2**20
MAX_TENSORS = 100_000
MAX_NAME = 500
DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "BOOL": torch.bool},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8},
    **{"U64": torch.uint64, "U32": torch.uint32, "U16": torch.uint16},
}


class InvalidFile(Exception):
    """Raised for bytes that are not what they claim to be; the message gives the reason."""


class Entry(NamedTuple):
    """One tensor of a header, with the byte range `start` to `end` of its data after the header."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    end: int


def pack(tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """Writes tensors and JSON as bytes; equal inputs give equal bytes. Tensors are written contiguously, and a tensor
    with several names is written once. Raises ValueError if `meta` is not valid JSON (NaN, infinity)."""
    unique, aliases = _untied(tensors)
    note = json.dumps({"aliases": aliases, "meta": dict(meta)}, sort_keys=True, allow_nan=False)
    # Each tensor is cloned because safetensors refuses tensors that share memory.
    copies = {name: x.detach().cpu().clone(memory_format=torch.contiguous_format) for name, x in unique.items()}
    return safetensors.torch.save(copies, {"j": note})


def unpack(data: bytes, where: str = "tensors") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what `pack` wrote; names that shared one tensor share it again. Raises StoreError naming `where` for other
    bytes."""
    try:
        tensors, notes = parse(data)
        note = _json(notes["j"])
        tensors |= {name: tensors[first] for name, first in note["aliases"].items()}
        return tensors, dict(note["meta"])
    except InvalidFile as bad:
        raise StoreError(Fault(where, str(bad))) from bad
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise StoreError(Fault(where, "holds tensors, but not the metadata that transfer writes")) from error


def parse(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Returns copies of the tensors and the metadata of safetensors bytes. Raises InvalidFile for anything else."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        raise InvalidFile(f"not a safetensors file, or cut short ({len(data):,} bytes)")
    if size > MAX_HEADER:
        raise InvalidFile(f"safetensors header of {size:,} bytes, allowed {MAX_HEADER:,}")
    header = _json(data[8 : 8 + size])
    notes = header.pop("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        raise InvalidFile("safetensors header is damaged")
    entries = _entries(header, len(data) - 8 - size)
    body = memoryview(data)[8 + size :]
    return {entry.name: _tensor(entry, body) for entry in entries}, notes


def same_bits(x: Tensor, y: Tensor) -> bool:
    """Returns whether two tensors have the same type, shape and bits, whatever their device and memory layout."""
    if x.dtype != y.dtype or x.shape != y.shape:
        return False
    one, other = (z.detach().cpu().flatten().contiguous().view(torch.uint8) for z in (x, y))
    return torch.equal(one, other)


def _untied(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Returns each tensor under its alphabetically first name, and {further name: first name} for shared tensors."""
    first_name: dict[tuple[Any, ...], str] = {}
    aliases = {}
    for name in sorted(tensors):
        x = tensors[name]
        memory = (x.untyped_storage().data_ptr(), x.storage_offset(), x.dtype, x.shape, x.stride())
        if x.numel() and memory in first_name:
            aliases[name] = first_name[memory]
        first_name.setdefault(memory, name)
    return {name: x for name, x in tensors.items() if name not in aliases}, aliases


def _json(text: bytes | str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidFile("safetensors header is not JSON") from error


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        raise InvalidFile("safetensors header names a tensor twice")
    return keys


def _no_constant(word: str) -> Any:
    raise ValueError(word)


def _entries(header: dict[str, Any], size: int) -> list[Entry]:
    """Returns the checked entries; they cover `size` bytes without gap or overlap."""
    if len(header) > MAX_TENSORS:
        raise InvalidFile(f"{len(header):,} tensors, allowed {MAX_TENSORS:,}")
    entries = sorted((_entry(name, value) for name, value in header.items()), key=lambda e: (e.start, e.end))
    end = 0
    for entry in entries:
        if entry.start != end:
            raise InvalidFile(f"the bytes of tensor {entry.name} do not start where the previous tensor ends")
        end = entry.end
    if end != size:
        raise InvalidFile(f"{size:,} bytes of tensors, the header says {end:,}")
    return entries


def _entry(name: str, value: Any) -> Entry:
    if len(name) > MAX_NAME:
        raise InvalidFile(f"a tensor has a name of {len(name):,} characters")
    try:
        dtype, shape, (start, end) = DTYPES[value["dtype"]], tuple(value["shape"]), value["data_offsets"]
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidFile(f"tensor {name} has a damaged or unknown description") from error
    numbers = (*shape, start, end)
    if any(type(n) is not int or n < 0 for n in numbers) or math.prod(shape) * dtype.itemsize != end - start:
        raise InvalidFile(f"tensor {name} of shape {list(shape)} does not match its bytes")
    return Entry(name, dtype, shape, start, end)


def _tensor(entry: Entry, body: memoryview) -> Tensor:
    if entry.start == entry.end:
        return torch.empty(entry.shape, dtype=entry.dtype)
    stored = torch.uint8 if entry.dtype is torch.bool else entry.dtype
    flat = torch.frombuffer(bytearray(body[entry.start : entry.end]), dtype=stored)
    return flat.to(entry.dtype).reshape(entry.shape)
