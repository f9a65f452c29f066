"""Unpacking an archive from outside: counted first, then only through tarfile's own data filter."""

import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from transfer_cli.errors import DataError, Fault

MEMBERS = 100_000
BYTES = 10_000_000_000
RATIO = 100


def unpack(archive: Path, dest: Path) -> None:
    """Extract a .tar, .tar.gz or .tar.bz2 below `dest`. DataError, with nothing written, if it has too many members,
    too many bytes, swells more than 100 times; DataError for paths or links that lead out, and for devices."""
    try:
        with tarfile.open(archive) as tar:
            members = list(_counted(tar, archive))
            tar.extractall(dest, members=members, filter="data")
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(Fault(str(archive), f"not unpacked: {error}")) from None


def _counted(tar: tarfile.TarFile, archive: Path) -> Iterator[tarfile.TarInfo]:
    """Members one by one. Each is judged by its header, before the bytes behind it are unpacked."""
    most = min(BYTES, RATIO * max(1, archive.stat().st_size))
    total = 0
    for count, member in enumerate(tar, 1):
        total += max(0, member.size)
        if count > MEMBERS:
            raise tarfile.TarError(f"more than {MEMBERS:,} members")
        if total > most:
            raise tarfile.TarError(f"would be more than {most:,} bytes")
        tarfile.data_filter(member, ".")
        yield member
