"""The pages. A new one is two files: `pages/<page>.py` with its `router`, and `templates/<page>.html`.

Every module in here that has a `router` is part of the application: `install` finds it by itself.
"""

from __future__ import annotations

import importlib
import pkgutil

from fastapi import APIRouter, FastAPI

from .errors import problem_page

__all__ = ["install", "problem_page", "routers"]


def routers() -> list[APIRouter]:
    """The routers of all pages, by the names of their modules."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return [module.router for module in modules if hasattr(module, "router")]


def install(app: FastAPI) -> None:
    """Add every page to the application. What goes wrong on a page is shown by `problem_page`."""
    for router in routers():
        app.include_router(router, include_in_schema=False)
