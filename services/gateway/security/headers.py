"""Headers that go with every answer."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class ApiCors:
    """ASGI middleware: pages of other origins may call the API, and only it, with a bearer token; never with our cookie."""

    def __init__(self, app: ASGIApp, *, origins: list[str]) -> None:
        self.app = app
        self.cors = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["Content-Disposition", "Retry-After"],
            max_age=600,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a preflight, or add the headers that let an allowed origin read the answer."""
        to_api = scope["type"] == "http" and scope["path"].startswith("/api/")
        await (self.cors if to_api else self.app)(scope, receive, send)


class SecurityHeaders:
    """ASGI middleware: a content security policy without inline anything, and its companions.

    `checkout_origins` are where a payment form's POST may be redirected: browsers apply `form-action` to the redirect
    too, so without them the way to the hosted payment page would be blocked.
    """

    def __init__(self, app: ASGIApp, *, checkout_origins: tuple[str, ...], secure: bool) -> None:
        self.app = app
        self.headers = {
            "content-security-policy": "; ".join(
                (
                    "default-src 'none'",
                    "script-src 'self'",
                    "style-src 'self'",
                    "img-src 'self'",
                    "font-src 'self'",
                    "connect-src 'self'",
                    "manifest-src 'self'",
                    " ".join(("form-action 'self'", *checkout_origins)),
                    "frame-ancestors 'none'",
                    "base-uri 'none'",
                )
            ),
            "x-content-type-options": "nosniff",
            # Pay links and invitations carry their secret in the path: no other site may learn it.
            "referrer-policy": "no-referrer",
            "cross-origin-opener-policy": "same-origin",
            "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=()",
        }
        if secure:
            self.headers["strict-transport-security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add the headers to its answer unless it has its own."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
                # Nobody's bill belongs in a shared cache. What may be kept (logo, stylesheet) says so itself.
                headers.setdefault("cache-control", "no-store")
                if message["status"] == 503:  # a form that comes back, too: nothing was done, and it may be sent again
                    headers.setdefault("retry-after", "2")
            await send(message)

        await self.app(scope, receive, with_headers)
