"""Probes that anybody may ask (does the process live, can it answer, which release is it), and metrics."""

from collections.abc import Callable
from importlib.metadata import version

from fastapi import FastAPI
from starlette.responses import PlainTextResponse, Response

from foldstore.api.metrics import MEDIA_TYPE, Metrics
from foldstore.api.problem import NotReadyError


class HealthRoutes:
    """Answers probes.

    Parameters
    ----------
    is_ready : callable
        Whether lookups can be answered now.
    metrics : Metrics
        What was counted.
    """

    __slots__ = ("_is_ready", "_metrics", "_release")

    def __init__(self, is_ready: Callable[[], bool], metrics: Metrics) -> None:
        self._is_ready = is_ready
        self._metrics = metrics
        self._release = version("foldstore")

    def add_to(self, app: FastAPI) -> None:
        """Give the app these routes."""
        app.add_api_route("/healthz", self.alive, tags=["health"], summary="Whether the process lives")
        app.add_api_route("/readyz", self.ready, tags=["health"], summary="Whether lookups can be answered")
        app.add_api_route("/version", self.version, tags=["health"], summary="Which release answers")
        app.add_api_route(
            "/metrics",
            self.measures,
            tags=["health"],
            summary="What was counted, for Prometheus; needs the scope metrics:read",
            response_class=PlainTextResponse,
        )

    async def alive(self) -> dict[str, str]:
        """Say that the process lives; nothing is read for it."""
        return {"status": "ok"}

    async def ready(self) -> dict[str, str]:
        """Say whether lookups can be answered."""
        if not self._is_ready():
            raise NotReadyError("The server is not ready.", hint="Try again in a few seconds.")
        return {"status": "ready"}

    def measures(self) -> Response:
        """Say what was counted."""
        return Response(self._metrics.write(), media_type=MEDIA_TYPE)

    async def version(self) -> dict[str, str]:
        """Say which release answers."""
        return {"foldstore": self._release, "api": "v1"}
