"""A connection to a Redis server, and the names of a store's keys there; all that the others know of the client."""

from collections.abc import Sequence
from typing import Any, Final

from foldstore.errors import StoreError, UsageError

_SECONDS: Final = 5


class RedisConnection:
    """Commands to a server; each name begins with what is the store's own.

    Parameters
    ----------
    url : str
        ``redis://host:6379/0``.
    prefix : str
        What the names of its keys begin with: each store has its own.

    Raises
    ------
    UsageError
        When the client is not installed, or the URL is none.
    """

    def __init__(self, url: str, *, prefix: str) -> None:
        try:
            import redis
        except ImportError as error:
            raise UsageError(
                "The online store is in Redis, whose client is not installed.",
                hint="pip install 'foldstore[redis]'",
            ) from error
        self._error = redis.RedisError
        self._watch_error = redis.WatchError
        self._no_script_error = redis.exceptions.NoScriptError
        self._prefix = prefix.encode()
        try:
            # Of commands that are sent once; a write that is sent twice is two writes with one meaning.
            self._server: Any = redis.Redis.from_url(url, socket_timeout=_SECONDS, socket_connect_timeout=_SECONDS)
        except ValueError as error:
            raise UsageError("online_store is no URL of Redis.", hint="Write redis://host:6379/0.") from error

    def name(self, part: bytes) -> bytes:
        """Return the name of one of the store's keys."""
        return self._prefix + b":" + part

    def ask(self, *command: Any) -> Any:
        """Send one command."""
        try:
            return self._server.execute_command(*command)
        except self._error as error:
            raise _not_answering(error) from error

    def pipeline(self) -> Any:
        """Return a pipeline whose commands are all done or none; `run` sends it."""
        return self._server.pipeline(transaction=True)

    def run(self, pipe: Any) -> list[Any]:
        """Send a pipeline."""
        try:
            answers: list[Any] = pipe.execute()
        except self._error as error:
            raise _not_answering(error) from error
        return answers

    def change(self, function: Any, *watched: bytes) -> bool:
        """Run a function of a pipeline whose commands count only while nobody changes what is watched; once.

        Returns
        -------
        bool
            False when somebody did.
        """
        try:
            with self._server.pipeline(transaction=True) as pipe:
                pipe.watch(*watched)
                function(pipe)
                pipe.execute()
        except self._watch_error:
            return False
        except self._error as error:
            raise _not_answering(error) from error
        return True

    def script(self, text: str) -> Any:
        """Return a script of the server; `call` runs it, and nothing else runs meanwhile."""
        return self._server.register_script(text)

    def call(self, script: Any, names: Sequence[bytes], given: Sequence[Any]) -> Any:
        """Run a script."""
        try:
            return script(keys=names, args=given)
        except self._error as error:
            raise _not_answering(error) from error

    def call_all(self, script: Any, calls: Sequence[tuple[Sequence[bytes], Sequence[Any]]]) -> list[Any]:
        """Run a script several times, in one round trip: for each of some names with what is given."""
        try:
            try:
                return self._call_all(script, calls)
            except self._no_script_error:  # the server was started anew, or never had it
                self._server.script_load(script.script)
                return self._call_all(script, calls)
        except self._error as error:
            raise _not_answering(error) from error

    def _call_all(self, script: Any, calls: Sequence[tuple[Sequence[bytes], Sequence[Any]]]) -> list[Any]:
        pipe = self._server.pipeline(transaction=False)
        for names, given in calls:
            pipe.evalsha(script.sha, len(names), *names, *given)
        answers: list[Any] = pipe.execute()
        return answers

    def memory_policy(self) -> str:
        """Return what the server does when its memory is full; ``noeviction`` where it may take what it likes."""
        try:
            info = self._server.info("memory")
        except self._error as error:
            raise _not_answering(error) from error
        return str(info.get("maxmemory_policy", "noeviction")) if int(info.get("maxmemory", 0)) else "noeviction"

    def close(self) -> None:
        """Let go of the connections."""
        self._server.close()


def _not_answering(error: Exception) -> StoreError:
    return StoreError(
        f"The Redis server of the online store does not answer: {type(error).__name__}.",
        hint="Look at the server; a push may or may not have happened, and can be sent again.",
        code="online-store-unreachable",
    )
