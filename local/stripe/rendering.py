from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

TEMPLATES = Path(__file__).parent / "templates"
_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
# No form-action: the browser must be able to follow the redirect from our form to the merchant's success_url.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
}


def render(template: str, status: int, **content: Any) -> Response:
    """A page of this sandbox."""
    return HTMLResponse(_ENVIRONMENT.get_template(template).render(content), status, _HEADERS)


def render_closed(status: int, title: str, text: str, back: str | None = None) -> Response:
    """A page where nothing is left to do but go back to the merchant."""
    return render("closed.html", status, title=title, text=text, back=back)
