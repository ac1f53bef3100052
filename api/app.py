"""The app: routes behind the gate. Nothing runs on import, and nothing is global."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI

from foldstore.api.authentication import Authenticator, Gate
from foldstore.api.health import HealthRoutes
from foldstore.api.lookup import DESCRIBED, LookupRoutes, OnlineFeatures
from foldstore.api.problem import add_problem_handlers
from foldstore.api.request_body import Limits
from foldstore.api.tokens import TokenVault


def create_app(
    features: OnlineFeatures,
    tokens: TokenVault,
    *,
    limits: Limits | None = None,
    is_ready: Callable[[], bool] | None = None,
) -> FastAPI:
    """Build the app.

    Parameters
    ----------
    features : OnlineFeatures
        What can be looked up.
    tokens : TokenVault
        Who may ask.
    limits : Limits, optional
        How much a request may ask.
    is_ready : callable, optional
        Whether lookups can be answered now; always, unless given.
    """
    # Slashes are not redirected: a redirect would tell apart what exists from what does not.
    app = _DescribedApp(
        title="Foldstore",
        version=version("foldstore"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    # Straight into the app, not by routers of their own: `app.routes` shows every route to whoever audits them.
    LookupRoutes(features, limits or Limits()).add_to(app)
    HealthRoutes(is_ready or _always).add_to(app)
    add_problem_handlers(app)
    app.add_middleware(Gate, authenticator=Authenticator(tokens))
    return app


class _DescribedApp(FastAPI):
    """FastAPI, with the routes in its description that are not its own."""

    def openapi(self) -> dict[str, Any]:
        """Describe every route."""
        schema = super().openapi()
        schema["paths"] = {**schema["paths"], **DESCRIBED}
        return schema


def _always() -> bool:
    return True
