"""Runs an application on a local port, reachable from this machine only."""

import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from transfer_cli.errors import ConfigError, Fault

HOST = "127.0.0.1"
MOST_CONNECTIONS = 32  # each may keep a whole picture in memory


def listening(port: int) -> socket.socket:
    """A listening socket; port 0 chooses a free port. Raises ConfigError if the port cannot be used."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # avoids a wait of a minute after the last server
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        text = f"cannot be used: {(error.strerror or str(error)).lower()}"
        raise ConfigError(Fault("--port", text, str(port), do="--port 0 takes a free one")) from None
    return listener


class Server(uvicorn.Server):
    """Calls `ready` when it accepts requests and Ctrl-C stops it."""

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


def serve(app: ASGIApp, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Answers requests until Ctrl-C."""
    with suppress(KeyboardInterrupt):  # uvicorn shuts down cleanly, then raises it again
        Server(app, ready).run(sockets=[listener])
