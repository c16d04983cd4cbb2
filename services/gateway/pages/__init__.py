"""The pages. A new one is two files: `pages/<page>.py` with its `router`, and `templates/<page>.html`.

Every module in here that has a `router` is part of the application: `install` finds it by itself, its place in the
navigation (`navigation`) and what its forms say when they are done (`said`) with it.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from fastapi import FastAPI

from .errors import problem_page

__all__ = ["install", "problem_page"]


def install(app: FastAPI) -> None:
    """Add every page to the application. What goes wrong on a page is shown by `problem_page`."""
    modules = _modules()
    for module in modules:
        app.include_router(module.router, include_in_schema=False)
    entries = (module.navigation for module in modules if hasattr(module, "navigation"))
    app.state.navigation = sorted(entries, key=lambda entry: (entry.side, entry.place))
    app.state.said = {what: text for module in modules for what, text in getattr(module, "said", {}).items()}


def _modules() -> list[ModuleType]:
    """The modules of all pages, by name."""
    found = (importlib.import_module(f"{__name__}.{each.name}") for each in pkgutil.iter_modules(__path__))
    return [module for module in found if hasattr(module, "router")]
