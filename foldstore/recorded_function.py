"""Functions whose calls are runs: their arguments are the parameters, the handles among them the inputs."""

import functools
import inspect
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, ParamSpec, Protocol, TypeVar

from foldstore.datastore.lineage.parameters import describe_arguments
from foldstore.errors import UsageError
from foldstore.names import check_label

_P = ParamSpec("_P")
_R = TypeVar("_R")
InputsOf = Callable[[object], list[tuple[str, str]] | None]


class Entered(Protocol):
    """A run that a function's call goes on in."""

    def __enter__(self) -> Any:
        """Begin it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""

    def use(self, what: Any) -> None:
        """Note an input."""


Start = Callable[..., Entered]


def record_calls(
    function: Callable[_P, _R], start: Start, inputs_of: InputsOf, *, name: str | None, message: str
) -> Callable[_P, _R]:
    """Return a function whose calls are runs.

    Parameters
    ----------
    start : callable
        Returns a run to enter.
    inputs_of : callable
        Says what a handle reads; None of anything else.
    name : str or None
        The name of the runs; that of the function unless given.
    message : str
        For people.
    """
    _check_recordable(function)
    run_name = check_label(name if name is not None else getattr(function, "__name__", ""), "run")
    signature = inspect.signature(function)

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Entered, list[Any]]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        used = [value for value in bound.arguments.values() if inputs_of(value) is not None]
        params = {key: _address_of(value, inputs_of) for key, value in bound.arguments.items()}
        return start(run_name, params=describe_arguments(params), message=message), used

    return _recorded(function, begin)


def _recorded(
    function: Callable[_P, _R], begin: Callable[[tuple[Any, ...], dict[str, Any]], tuple[Entered, list[Any]]]
) -> Callable[_P, _R]:
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_later(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            run, used = begin(args, kwargs)
            with run:
                _use_all(run, used)
                return await function(*args, **kwargs)

        return call_later  # type: ignore[return-value]  # a coroutine function is what it was and stays

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        run, used = begin(args, kwargs)
        with run:
            _use_all(run, used)
            return function(*args, **kwargs)

    return call


def _use_all(run: Entered, used: Iterable[Any]) -> None:
    for each in used:
        run.use(each)


def _check_recordable(function: object) -> None:
    if not callable(function):
        raise UsageError("store.runs.record() takes a function.", hint="Write @store.runs.record() above it.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise UsageError(
            "A generator cannot be recorded: its body runs after the call.",
            hint="Open a run inside it, with store.run().",
        )


def _address_of(value: object, inputs_of: InputsOf) -> object:
    pairs = inputs_of(value)
    if pairs is None:
        return value
    addresses = [address for _, address in pairs]
    return addresses[0] if len(addresses) == 1 else addresses
