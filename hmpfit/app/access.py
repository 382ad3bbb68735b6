"""Access control of the local page: a browser needs the key, the page's own address, and the page as origin.

Starting a fit is running a program, so three things are checked of every request. The key (in the address that is
printed, then in a cookie) keeps other users of the machine out. The host must be an address or localhost, which a
foreign site cannot make its own (DNS rebinding). What changes something must come from the page itself (CSRF).
"""

import ipaddress
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

KEY = "key"
_SAFE = ("GET", "HEAD")


class Gate:
    """ASGI middleware that answers 403 to other pages and programs, and adds security headers to every response."""

    def __init__(self, app: ASGIApp, key: str, host: str) -> None:
        self._app, self._key, self._host = app, key, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        request = Request(scope)
        refusal = refused(request.headers, scope["method"], self._host)
        if refusal is not None:
            await PlainTextResponse(refusal, 403)(scope, receive, send)
        elif request.query_params.get(KEY) is not None:
            await self._enter(request)(scope, receive, send)
        elif not secrets.compare_digest(request.cookies.get(_cookie(request), "").encode(), self._key.encode()):
            await PlainTextResponse("Open the address that hmpfit app printed.", 403)(scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send, request.headers["host"]))

    def _enter(self, request: Request) -> PlainTextResponse | RedirectResponse:
        """Change the key in the address for a cookie, so that it stays in no history and no referrer."""
        if not secrets.compare_digest(request.query_params[KEY].encode(), self._key.encode()):
            return PlainTextResponse("This is not the key of this page: it changes with every start.", 403)
        entered = RedirectResponse("/", 303, {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        entered.set_cookie(_cookie(request), self._key, httponly=True, samesite="strict")
        return entered


def _cookie(request: Request) -> str:
    """Return the cookie's name, with the port: cookies ignore ports, and two pages may run side by side."""
    return f"hmpfit_key_{request.url.port or 80}"


def refused(headers: Mapping[str, str], method: str, own_host: str) -> str | None:
    """Return why a request is not the page's own, or None."""
    host = headers.get("host", "")
    name = urlsplit(f"//{host}").hostname or ""
    if name not in ("localhost", own_host) and not _is_address(name):
        return "This page is opened by its address (127.0.0.1), not by a name."
    if method in _SAFE:
        return None
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin != f"http://{host}" or site not in (None, "same-origin"):
        return "Only the page itself may ask for that."
    return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _with_headers(send: Send, host: str) -> Send:
    """Add headers that keep scripts, frames and readers of other sites out."""
    name = urlsplit(f"//{host}").hostname or ""
    frames = f"http://{f'[{name}]' if ':' in name else name}:*"
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; "
        f"connect-src 'self'; frame-src {frames}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = Headers(raw=message["headers"])
            more = {
                "Content-Security-Policy": policy,
                "X-Content-Type-Options": "nosniff",
                "Referrer-Policy": "no-referrer",
                "Cross-Origin-Resource-Policy": "same-origin",
                "Cross-Origin-Opener-Policy": "same-origin",
                "Cache-Control": "no-store",
            }
            message["headers"] = [
                *message["headers"],
                *((name.encode(), value.encode()) for name, value in more.items() if name not in given),
            ]
        await send(message)

    return sending
