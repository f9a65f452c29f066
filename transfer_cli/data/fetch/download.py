"""Downloads single files over https, and checks them before they get their name. Only this file and hub.py open network
connections."""

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from transfer_cli.errors import DataError, Fault, ResourceError

CHUNK = 1 << 20
TIMEOUT_S = 30
Talk = Callable[[str], None]


class Remote(NamedTuple):
    """A published file: address, checksum (md5 if it has 32 hex digits, else the beginning of a sha256), approximate
    size in megabytes, and its path inside the folder of the data set."""

    url: str
    checksum: str
    mb: float
    place: str

    @property
    def name(self) -> str:
        return self.url.rsplit("/", 1)[1]


def forbidden(offline: bool = False) -> bool:
    """Whether network access is off: --offline is given, or TRANSFER_OFFLINE is set to anything but 0."""
    return offline or os.environ.get("TRANSFER_OFFLINE", "0") not in ("", "0")


def download(remote: Remote, dest: Path, talk: Talk) -> Path:
    """Downloads one file to `dest`. Raises DataError if it is unavailable or its checksum is wrong, ResourceError if it
    cannot be written."""
    talk(f"fetching {remote.url}, {remote.mb:,.0f} MB")
    try:
        with _opener().open(Request(remote.url, headers={"User-Agent": "transfer"}), timeout=TIMEOUT_S) as answer:
            return _keep(answer, remote, dest)
    except (URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        do = f"try again, or bring {remote.name} yourself: transfer fetch NAME --from FILE"
        raise DataError(Fault(remote.url, f"cannot be fetched: {reason}", do=do)) from None


def place(file: Path, remote: Remote, dest: Path) -> Path:
    """Copies a local file to `dest`. Raises DataError if its checksum is wrong, ResourceError if it cannot be
    written."""
    try:
        with file.open("rb") as stream:
            return _keep(stream, remote, dest)
    except OSError as error:
        raise DataError(Fault("--from", (error.strerror or "unreadable").lower(), str(file))) from None


def matches(file: Path, remote: Remote) -> bool:
    """Whether the local file has the checksum of the published one."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, _algorithm(remote)).hexdigest().startswith(remote.checksum)


class _HttpsOnly(HTTPRedirectHandler):
    def redirect_request(self, req: Request, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Request | None:
        if not newurl.startswith("https://"):
            raise URLError(f"redirected to {newurl.split(':', 1)[0]}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> OpenerDirector:
    return build_opener(_HttpsOnly)


def _algorithm(remote: Remote) -> Callable[[], "hashlib._Hash"]:
    if len(remote.checksum) == 32:
        return lambda: hashlib.md5(usedforsecurity=False)
    return hashlib.sha256


def _keep(stream: IO[bytes], remote: Remote, dest: Path) -> Path:
    """Writes a temporary file, checks it, then renames it to `dest`. Leaves no file if that fails."""
    tmp = dest.with_name(f".{dest.name}.{os.getpid()}.tmp")
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        checksum = _copy(stream, tmp, remote)
        if not checksum.startswith(remote.checksum):
            text = f"is another file: checksum {checksum[:8]}..., published {remote.checksum[:8]}..."
            raise DataError(Fault(remote.name, text))
        tmp.replace(dest)
        return dest
    except OSError as error:
        if isinstance(error, URLError | TimeoutError | ConnectionError):
            raise
        raise ResourceError(Fault(str(dest.parent), f"cannot keep data here: {error.strerror or error}")) from None
    finally:
        with suppress(OSError):
            tmp.unlink()


def _copy(stream: IO[bytes], tmp: Path, remote: Remote) -> str:
    """Writes the stream to `tmp` and returns its checksum. Stops at four times the published size, so that an endless
    response ends."""
    digest, limit, written = _algorithm(remote)(), int(remote.mb * 4e6) + CHUNK, 0
    if (free := shutil.disk_usage(tmp.parent).free) < remote.mb * 1e6:
        raise ResourceError(Fault(str(tmp.parent), f"no space: need {remote.mb:,.0f} MB, have {free / 1e6:,.0f} MB"))
    with tmp.open("xb") as file:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            file.write(chunk)
            written += len(chunk)
            if written > limit:
                raise DataError(
                    Fault(remote.name, f"does not end after {limit:,} bytes, published size {remote.mb:,.0f} MB")
                )
    return digest.hexdigest()
