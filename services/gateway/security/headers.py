"""Headers that go with every answer."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


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
        self.cookie_attributes = "HttpOnly; Path=/; SameSite=lax" + ("; Secure" if secure else "")
        if secure:
            self.headers["strict-transport-security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add the headers to its answer unless it has its own."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        state = scope.setdefault("state", {})  # what `csrf_token` leaves in request.state arrives here

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if "new_visitor" in state:
                    headers.append(
                        "set-cookie", f"{state['new_cookie']}={state['new_visitor']}; {self.cookie_attributes}"
                    )
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
                # Nobody's bill belongs in a shared cache. What may be kept (logo, stylesheet) says so itself.
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self.app(scope, receive, with_headers)
