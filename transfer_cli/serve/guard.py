"""Protection against requests from other web pages. Any page in the user's browser can send requests to this machine,
and after DNS rebinding such a page looks local. So the Host header must be our address, and the Origin header, if any,
must be our page."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    # blob: the preview of a picture; data: its drawings
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Rejects requests (403) that are not addressed to loopback at `port` or come from another origin. Adds HEADERS to
    every response."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self.app, self.port = app, port
        names = ("127.0.0.1", "localhost", "[::1]")
        self.hosts = {f"{name}:{port}" for name in names} | (set(names) if port == 80 else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        wrong = self._wrong(Headers(scope=scope)) if scope["type"] == "http" else ""
        app = JSONResponse({"error": wrong}, 403) if wrong else self.app
        await app(scope, receive, send_with_headers)

    def _wrong(self, headers: Headers) -> str:
        hosts = [host.lower() for host in headers.getlist("host")]
        if len(hosts) != 1 or hosts[0] not in self.hosts:
            return f"this page answers at http://127.0.0.1:{self.port} only"
        if any(origin.lower() != f"http://{hosts[0]}" for origin in headers.getlist("origin")):
            return "requests from another page are not allowed"
        return ""
