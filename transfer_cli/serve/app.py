"""The web page of a finished run and its JSON endpoints, as an ASGI application. Uploads have no file names, and
nothing is written to disk."""

import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from transfer_cli.errors import DataError, TransferError
from transfer_cli.serve.answers import Answers
from transfer_cli.serve.asked import MOST_BYTES, MOST_CHARACTERS, Asked, Refused, asked
from transfer_cli.serve.guard import Guard

PAGE = Path(__file__).parent / "page"
FILES = {
    "/": ("index.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}
Json = dict[str, Any]


def application(answers: Answers, about: Mapping[str, Any], port: int, log: Callable[[str], None]) -> Guard:
    """The application. `about`: facts about the run for the page; `port`: the port of the page; `log` is called with
    one line for every internal error."""
    facts = {**about, **answers.about, "most_bytes": MOST_BYTES, "most_characters": MOST_CHARACTERS}

    async def describe(request: Request) -> Json:
        return facts

    async def row_of(request: Request) -> Asked:
        return await asked(request, answers.kind.field, answers.kind.noun, answers.kind.media)

    async def predict(request: Request) -> Json:
        return await run_in_threadpool(answers.predict, await row_of(request))

    async def explain(request: Request) -> Json:
        return await run_in_threadpool(answers.explain, await row_of(request))

    routes = [
        *(Route(path, _file(*file)) for path, file in FILES.items()),
        Route("/about", _endpoint(describe, log)),
        Route("/predict", _endpoint(predict, log), methods=["POST"]),
        Route("/explain", _endpoint(explain, log), methods=["POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _not_available})
    app.router.redirect_slashes = False
    return Guard(app, port)


def _file(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    content = (PAGE / name).read_bytes()

    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=kind)

    return endpoint


def _endpoint(
    work: Callable[[Request], Awaitable[Json]], log: Callable[[str], None]
) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that responds with the result of `work` or an error as JSON. Exceptions never stop the server."""

    async def endpoint(request: Request) -> Response:
        try:
            return _json(await work(request))
        except Refused as refused:
            return _error(refused.status, refused.text)
        except TransferError as error:
            return _error(422 if isinstance(error, DataError) else 500, error.faults[0].text)
        except Exception as error:
            log(f"internal error: {type(error).__name__}: {' '.join(str(error).split())}")
            return _error(500, f"internal error ({type(error).__name__}): the terminal of `transfer serve` says more")

    return endpoint


async def _not_available(request: Request, error: Exception) -> Response:
    """The response for an unknown path or method."""
    assert isinstance(error, HTTPException)
    text = "no such page" if error.status_code == 404 else f"{request.url.path} does not accept {request.method}"
    return _json({"error": text}, error.status_code, error.headers)


def _error(status: int, text: str) -> Response:
    return _json({"error": text}, status)


def _json(value: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    # ASCII: a class may have the name of a folder that is not valid Unicode
    content = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return Response(content, status, headers, "application/json")
