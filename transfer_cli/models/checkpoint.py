"""Reads checkpoint files from other programs into named tensors.

This is the only place that calls torch.load, and only on bytes that were checked first. No code in a file is executed:
safetensors files cannot hold code, and pickles are read with weights_only."""

import io
import re
import warnings
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from transfer_cli.models.tensors import MAX_NAME, MAX_TENSORS, InvalidFile, parse

PICKLES = (".pt", ".pth", ".th", ".bin", ".ckpt", ".tar")
MAX_BYTES = 16 * 2**30
NESTS = ("state_dict", "model_state_dict", "model")


def read(path: Path) -> tuple[dict[str, Tensor], str]:
    """Returns the tensors of a checkpoint by name, and the sha256 of the bytes they were read from. Raises InvalidFile
    with the reason if the file cannot be read as tensors."""
    if path.suffix not in (".safetensors", *PICKLES):
        raise InvalidFile(f"weights are files of .safetensors {' '.join(PICKLES)}")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidFile(f"{path.stat().st_size:,} bytes, allowed {MAX_BYTES:,}")
        data = path.read_bytes()
    except OSError as error:
        raise InvalidFile((error.strerror or str(error)).lower()) from error
    tensors = _plain(data) if path.suffix == ".safetensors" else _unpickle(data)
    if not tensors:
        raise InvalidFile("holds no tensors")
    return tensors, sha256(data).hexdigest()


def _plain(data: bytes) -> dict[str, Tensor]:
    tensors, notes = parse(data)
    if '"parent": {' in notes.get("j", ""):
        raise InvalidFile("holds only what its stage changed; name the run instead, weights=RUN")
    return tensors


def _unpickle(data: bytes) -> dict[str, Tensor]:
    if data.startswith(b"PK") or zipfile.is_zipfile(io.BytesIO(data)):
        _check_zip(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # a hostile file can make the reader fail in any way; every failure means the same
        forbidden = re.search(r"GLOBAL ([\w.]+)", str(error))
        why = f"it asks for {forbidden[1]}; only plain tensors are read" if forbidden else "damaged or cut short"
        raise InvalidFile(f"not a file of tensors: {why}") from error
    named = {k: x for k, x in _state(content).items() if isinstance(k, str) and isinstance(x, Tensor)}
    for name, x in named.items():
        _check_tensor(name, x)
    return named


def _state(content: Any) -> Mapping[Any, Any]:
    """Returns the innermost dict of tensors. Training scripts nest it, as in {"state_dict": ..., "epoch": ...}."""
    for _ in NESTS:
        if isinstance(content, Mapping) and (
            inner := [content[n] for n in NESTS if isinstance(content.get(n), Mapping)]
        ):
            content = inner[0]
    return content if isinstance(content, Mapping) else {}


def _check_zip(data: bytes) -> None:
    """Rejects zip bombs: torch.save never compresses records, so a compressed record, or records larger than the file,
    are refused."""
    try:
        records = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InvalidFile("not a file of tensors: damaged or cut short") from error
    if any(record.compress_type != zipfile.ZIP_STORED for record in records):
        raise InvalidFile("compressed records, which torch.save never writes")
    if sum(record.file_size for record in records) > len(data) or len(records) > MAX_TENSORS:
        raise InvalidFile("records that claim more than the file holds")


def _check_tensor(name: str, x: Tensor) -> None:
    if len(name) > MAX_NAME:
        raise InvalidFile(f"a tensor has a name of {len(name):,} characters")
    if x.layout is not torch.strided or x.device.type != "cpu" or x.is_quantized:
        raise InvalidFile(f"tensor {name} is not a plain one")
    # With strides of 0, a file of one kilobyte could claim terabytes.
    if x.numel() * x.itemsize > x.untyped_storage().nbytes():
        raise InvalidFile(
            f"tensor {name} claims {x.numel() * x.itemsize:,} bytes, the file has {x.untyped_storage().nbytes():,}"
        )
