"""Unpacks downloaded archives: checks number and size of the members, and uses the data filter of tarfile."""

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from transfer_cli.errors import DataError, Fault

MEMBERS = 100_000
BYTES = 10_000_000_000
RATIO = 100  # unpacked to packed bytes


def unpack(archive: Path, dest: Path) -> None:
    """Extracts a .tar, .tar.gz or .tar.bz2 into `dest`. Raises DataError, and writes nothing, if the archive has too
    many members or bytes, expands more than 100 times, or contains devices, or paths or links that lead outside."""
    try:
        with tarfile.open(archive) as tar:
            members = list(_counted(tar, archive))
            tar.extractall(dest, members=members, filter="data")
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(Fault(str(archive), f"not unpacked: {error}")) from None


def _counted(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    """Yields the members. Each one is checked by its header, before its content is unpacked."""
    limit = min(BYTES, RATIO * max(1, archive.stat().st_size))
    total = 0
    for count, member in enumerate(tar, 1):
        total += max(0, member.size)
        if count > MEMBERS:
            raise tarfile.TarError(f"more than {MEMBERS:,} members")
        if total > limit:
            raise tarfile.TarError(f"would be more than {limit:,} bytes")
        tarfile.data_filter(member, ".")
        yield member
