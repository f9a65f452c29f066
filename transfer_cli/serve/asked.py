"""What a request asks: a file as the body itself, {"text": "..."} or {"vector": [...]}. Its size is counted while it is
read, whatever its headers promise. No torch."""

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request

MOST_BYTES = 32_000_000
MOST_CHARACTERS = 100_000  # of a text; nets read far fewer
READ_ON = 4  # times MOST_BYTES: who sends too much hears why only where all of it is taken from the wire
SECONDS = 60.0  # to send a body
Asked = Any  # bytes, or what the field of a kind holds


class Refused(Exception):
    """A rejected request: the HTTP status, and one line for the client."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


async def asked(request: Request, field: str, noun: str, like: str) -> Asked:
    """What a run is asked that reads `noun`, in the body itself, of a content-type like `like`, or in the `field` of a
    JSON object. Raises Refused."""
    data = await _body(request)
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not field:
        if media.partition("/")[0] == like.partition("/")[0] or media == "application/octet-stream":
            return data
        raise Refused(415, f"the run reads {noun}: send the file itself, with its content-type ({like} ...)")
    if media != "application/json":
        raise Refused(415, f'the run reads {noun}: send {{"{field}": ...}} with content-type application/json')
    value = _field(data, field)
    return FIELDS[field](value) if field in FIELDS else value


async def _body(request: Request) -> bytes:
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= MOST_BYTES:
                    body += chunk
                elif size > READ_ON * MOST_BYTES:
                    break
    except TimeoutError:
        raise Refused(408, f"the request did not arrive within {SECONDS:.0f} seconds") from None
    except ClientDisconnect:
        raise Refused(400, "the request was incomplete") from None
    if size > MOST_BYTES:
        raise Refused(413, f"larger than {MOST_BYTES // 1_000_000} MB")
    if not size:
        raise Refused(400, "nothing was sent")
    return bytes(body)


def _field(data: bytes, name: str) -> Any:
    try:
        document = json.loads(data, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not valid JSON") from None
    if not isinstance(document, dict) or name not in document:
        raise Refused(400, f'expected {{"{name}": ...}}')
    return document[name]


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Refused(400, "text: must be a string")
    if len(value) > MOST_CHARACTERS:
        raise Refused(413, f"more than {MOST_CHARACTERS:,} characters")
    if not value.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise Refused(400, "text: contains half a character (a lone surrogate)")
    if not value.strip():
        raise Refused(422, "the text is empty")
    return value


def _vector(value: Any) -> list[float]:
    if not isinstance(value, list) or not all(type(number) in (int, float) for number in value):
        raise Refused(400, "vector: must be a list of numbers")
    try:
        numbers = [float(number) for number in value]
    except OverflowError:
        numbers = [math.inf]
    if not all(abs(number) < 3e38 for number in numbers):
        raise Refused(422, "vector: contains a number that is too large")
    return numbers


FIELDS: dict[str, Callable[[Any], Asked]] = {"text": _text, "vector": _vector}
