"""An application on a port of this machine, for this machine alone."""

import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from transfer_cli.errors import ConfigError, Fault

HOST = "127.0.0.1"
MOST_CONNECTIONS = 32  # each may hold a whole picture in memory


def listening(port: int) -> socket.socket:
    """A socket that listens, on a free port for 0. Raises ConfigError where the port cannot be had."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not to wait a minute after the last server
    try:
        made.bind((HOST, port))
        made.listen()
    except OSError as error:
        made.close()
        text = f"cannot be used: {(error.strerror or str(error)).lower()}"
        raise ConfigError(Fault("--port", text, str(port), do="--port 0 takes a free one")) from None
    return made


class Server(uvicorn.Server):
    """Calls `ready` once requests are answered and Ctrl-C ends it."""

    def __init__(self, app: ASGIApp, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app, loop="asyncio", http="h11", ws="none", lifespan="off", interface="asgi3", log_config=None,
                log_level="critical", access_log=False, proxy_headers=False, server_header=False,
                limit_concurrency=MOST_CONNECTIONS, timeout_graceful_shutdown=3,
            )
        )  # fmt: skip
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def serve(app: ASGIApp, made: socket.socket, ready: Callable[[], None]) -> None:
    """Answers requests until Ctrl-C."""
    with suppress(KeyboardInterrupt):  # uvicorn ends in order, then raises it once more
        Server(app, ready).run(sockets=[made])
