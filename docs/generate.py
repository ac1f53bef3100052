"""Write the pages that follow from the code: commands, errors, anomalies, and the demo's output in the README.

``python docs/generate.py`` writes them; ``--pages`` writes the first three; ``--check`` writes nothing and exits 1
when one of these is stale. The demo's output holds timings, so it is written by the first form alone.
"""

# ruff: noqa: INP001  # a script, not a package

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from enum import Enum
from itertools import groupby
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import typer.main
from anomaly_codes import MEANINGS
from error_codes import PRECISE_CODES

import foldstore
from foldstore import errors
from foldstore.api import problem
from foldstore.api.resources import list_routes
from foldstore.api.sdk_routes import HANDLES, PACKAGE, RESULTS, routes_in
from foldstore.api.tokens import TokenVault
from foldstore.cli.app import app
from foldstore.datastore.catalog_tables.declarations import TABLES
from foldstore.remote.handles import list_handles
from foldstore.remote.local_only import SEAM
from foldstore.types import Severity
from foldstore.validation.anomaly import CODES

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
_NOTE = "<!-- Written by docs/generate.py; change the code, then run `make docs`. -->\n"
_BEGIN, _END = "<!-- demo: written by docs/generate.py -->\n", "<!-- end of demo -->\n"
_LEFT_OUT = re.compile(r"^ flights@(?:[3-9]|10|11) .*\n", re.MULTILINE)
_EXAMPLES = re.compile(r"^ +rows \d+ \(.*\n", re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Write the pages, or check them."""
    check = arguments == ["--check"]
    if arguments not in ([], ["--check"], ["--pages"]):
        sys.stderr.write("usage: python docs/generate.py [--pages | --check]\n")
        return 2
    if check:
        stale = stale_pages()
        for page in stale:
            sys.stderr.write(f"docs/{page} is stale: run `make docs`.\n")
        return 1 if stale else 0
    for name, write in PAGES.items():
        (DOCS / name).write_text(write(), encoding="utf-8")
    if not arguments:
        README.write_text(_with_demo(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def stale_pages() -> list[str]:
    """Return the names of the generated pages that do not say what the code says."""
    found = ((name, DOCS / name) for name in PAGES)
    return [name for name, page in found if not page.is_file() or page.read_text(encoding="utf-8") != PAGES[name]()]


def write_commands() -> str:
    """Return the reference of the command."""
    root = typer.main.get_command(app)
    lines = [
        "# Commands\n",
        _NOTE,
        "stdout is data, stderr is talk: messages, errors and progress never mix with results. `--output` prints\n"
        "`table`, `json`, `jsonl` or `csv`. The store is `--store DIR`, else `FOLDSTORE_STORE`, else the current "
        "folder.\n",
        "## Exit codes\n",
        _EXIT_CODES,
    ]
    for path, command in _leaves(root, ("foldstore",)):
        lines += _command_page(path, command)
    return "\n".join(lines)


_EXIT_CODES = """\
| code | means |
| --- | --- |
| 0 | done; every check passed |
| 1 | checks ran and failed: data refused by a schema or limit, a model refused by a pool, damage that `verify` found |
| 2 | the request was wrong: an option, a name, a query, something that does not exist |
| 3 | could not decide: a file, a store or a database cannot be read; another writer won |
| 4 | refused by policy: a pool that is spent or too small, rows of another pool, sealed files, a read-only store |
| 70 | a fault of Foldstore's own; `FOLDSTORE_DEBUG=1` shows the traceback |
| 130 | interrupted |
| 141 | nobody reads its output any more, as with `\\| head` |

[Errors](errors.md) lists the code of each error with its exit code.
"""


def _leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, child in command.commands.items():
        if not child.hidden:  # another word for a command that is there
            yield from _leaves(child, (*path, name))


def _command_page(path: tuple[str, ...], command: Any) -> list[str]:
    words, examples = _split_help(command.help or "")
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    shown = [p for p in command.params if p.name != "help" and not getattr(p, "hidden", False)]
    options = [p for p in shown if p.param_type_name == "option"]
    usage = " ".join([*path, *(["[OPTIONS]"] if options else []), *(_metavar(p) for p in arguments)])
    lines = [f"## {' '.join(path)}\n", f"{words}\n", f"```text\n{usage}\n```\n"]
    if len(examples) == 1:
        lines.append(f"For example: `{examples[0]}`\n")
    elif examples:
        lines.append("For example:\n\n```text\n" + "\n".join(examples) + "\n```\n")
    if arguments:
        rows = [f"| `{_metavar(p)}` | {_cell(p.help)}{_default(p)} |" for p in arguments]
        lines += ["| argument | is |\n| --- | --- |\n" + "\n".join(rows) + "\n"]
    if options:
        rows = [f"| {_flags(p)} | {_cell(p.help)}{_default(p)} |" for p in options]
        lines += ["| option | does |\n| --- | --- |\n" + "\n".join(rows) + "\n"]
    return lines


def _split_help(text: str) -> tuple[str, list[str]]:
    """Return what a command does, and its examples: one behind a word, or several in paragraphs of their own."""
    told, _, several = text.partition("Examples:\n")
    words, _, example = " ".join(told.split()).partition(" Example: ")
    return words, [" ".join(each.split()) for each in (example, *several.split("\n\n")) if each.strip()]


def _metavar(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name).upper() + ("..." if parameter.nargs == -1 else "")
    return name if parameter.required else f"[{name}]"


def _flags(parameter: Any) -> str:
    names = ", ".join(f"`{flag}`" for flag in sorted(parameter.opts, key=len, reverse=True))
    return names if parameter.is_flag else f"{names} {_value(parameter.type_descriptor.annotation)}"


def _value(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " \\| ".join(f"`{choice.value}`" for choice in annotation)
    return {Path: "PATH", int: "NUMBER"}.get(annotation, "TEXT")


def _default(parameter: Any) -> str:
    said = "repeatable" in (parameter.help or "").lower()
    notes = ["Repeatable."] if getattr(parameter, "multiple", False) and not said else []
    default = parameter.default
    if not getattr(parameter, "is_flag", False) and default not in (None, "", []):
        shown = getattr(default, "value", str(default))
        notes.append(f"Default: {'the current folder' if shown == '.' else f'`{shown}`'}.")
    if parameter.envvar:
        notes.append(f"Environment: `{parameter.envvar}`.")
    return "".join(f" {note}" for note in notes)


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def write_errors() -> str:
    """Return the reference of the errors."""
    lines = [
        "# Errors\n",
        _NOTE,
        "Every error of Foldstore's own is a `FoldstoreError` with four things: `message`, `hint` (what exists, or "
        "what\nto do), `code` (stable, in kebab-case) and `facts` (what the message says, as plain data). The "
        "command prints\n`error[code]: message`, then the hint, and exits with the exit code. An error may carry a "
        "more precise code\nthan its class; those are in the second table.\n",
        "Data that fails a check raises nothing: it is a [report](glossary.md).\n",
        "| class | code | exit | also a | means |\n| --- | --- | --- | --- | --- |",
    ]
    precise = [f"| `{code}` | `{kind.__name__}` | {words} |" for code, (kind, words) in PRECISE_CODES.items()]
    table = ["\n## More precise codes\n", "| code | class | means |\n| --- | --- | --- |", *precise]
    return "\n".join([*lines, *map(_error_row, family()), *table, *_over_http()]) + "\n"


def write_openapi() -> str:
    """Return the description of the API by its own app, as the server gives it."""
    return json.dumps(_served_app().openapi(), indent=1, ensure_ascii=False) + "\n"


def _served_app() -> Any:
    from foldstore.api.app import create_app

    with tempfile.TemporaryDirectory() as folder, foldstore.connect(folder) as store:
        described = create_app(store.features, TokenVault(store.registry("token")), store=store)
        described.openapi()  # while the store is there
        described.version = "v1"  # of the API: a release that changes no route changes no page
        described.openapi_schema = None
        described.openapi()
        return described


def write_rest() -> str:
    """Return the reference of the routes."""
    lines = ["# REST\n", _NOTE, _REST]
    for tag, routes in groupby(sorted(list_routes(), key=lambda route: route.tag), key=lambda route: route.tag):
        lines.append(f"## {tag.capitalize()}\n\n| route | scope | |\n| --- | --- | --- |")
        for route in routes:
            scope = f"`{route.scope}`" if route.scope else "any token"
            asked = ", ".join(f"`{each.name}`" for each in route.asked)
            later = " *Later.*" if route.is_long else ""
            lines.append(
                f"| `{route.method} {route.path}` | {scope} | {_cell(route.summary).rstrip('.')}."
                f"{f' Parameters: {asked}.' if asked else ''}{_takes(route)}{_forms(route)}{later} |"
            )
        lines.append("")
    lines.append("## Forms\n\n| form | `Accept` | is |\n| --- | --- | --- |\n" + "\n".join(_form_rows()) + "\n")
    return "\n".join([*lines, "## Parameters\n\n| parameter | says |\n| --- | --- |", *_parameter_rows()]) + "\n"


def _parameter_rows() -> list[str]:
    """Say what each parameter means; where routes mean different things by it, each of them."""
    meanings: dict[str, dict[str, str]] = {}
    for route in list_routes():
        for each in route.asked:
            example = f" Such as `{each.example}`." if each.example else ""
            meanings.setdefault(each.name, {}).setdefault(f"{_cell(each.what).rstrip('.')}.", example)
    return [
        f"| `{name}` | {' Or: '.join(what + example for what, example in said.items())} |"
        for name, said in sorted(meanings.items())
    ]


_LOOKUP_EXAMPLE = (
    "[Serve features](how-to/serve-features.md#serve) has its members. "
    'Body: `{"service": "arrival@1", "entities": {"carrier": ["UA", "B6"]}, "at": "2013-12-30T12:00:00Z"}`'
)
_FEAST_EXAMPLE = 'Body: `{"feature_service": "arrival", "entities": {"carrier": ["UA", "B6"]}}`'
_REST = (
    """\
`foldstore serve` answers these routes. [`openapi.json`](openapi.json) describes them for machines; so does
`GET /openapi.json` of a running server. [Serve over HTTP](how-to/serve-over-http.md) shows them at work.

Every request needs `Authorization: Bearer foldstore_...`, but for `GET /healthz`, `/readyz` and `/version`. A token has
the scopes of its role, and may be for some names alone. [Use curl](how-to/use-curl.md) goes through it from the first
row to a test pool.

- **Errors** are `application/problem+json` with a stable `code`, a `hint`, and the number of the instance: see
  [errors](errors.md). A hint that speaks Python names the routes that do the same;
  its `evolve=True` is `?evolve=true`, or a member of the body where the route takes it there.
- **Lists** come by pages: `limit` goes up to 1,000, and the `next_cursor` of one page is the `cursor` of the next.
- **Rows** come by `Accept`: `application/json` (1,000 rows unless `limit` says otherwise), `application/x-ndjson`,
  `text/csv`, or `application/vnd.apache.arrow.stream`, which is exact. A stream that breaks off ends without its end
  mark, and the connection is closed.
- **Documents**: a route with *Also as* gives its result in other [forms](#forms), by `Accept` or by `form=` and the
  form's name: `?form=html`. A page carries a policy by which it loads and runs nothing. What no form fits is answered
  with 406, and with what there is.
- **What a client keeps**: versions and profiles carry an `ETag`; `If-None-Match` is answered with 304 while nothing
  changed. A seal, an erasure or a new status changes it.
- **Retries**: a commit with an `Idempotency-Key` is made once; the same key with another request is refused.
- **Later**: a route with *Later* may be asked with `Prefer: respond-async`. It is then answered with 202 and a
  `Location`, where progress and the result are:
  see [ask now, be answered later](how-to/serve-over-http.md#ask-now-be-answered-later).
- **Names in paths**: `{ref}` is a version's number, a branch, an alias, a tag, or `latest`; `{part}` is `train`,
  `validation` or `test`. In bodies a version may be a number or text.
- **Unknown parameters and members** are refused, with what was meant. [Parameters](#parameters) says what each means. A
  body of JSON that needs no member may be left out.

## Lookups, metrics, probes

| route | scope | |
| --- | --- | --- |
| `POST /v1/features:get` | `features:read` | Look features up, of one entity or many. """
    + _LOOKUP_EXAMPLE
    + """ |
| `POST /get-online-features` | `features:read` | The same in Feast's shape. """
    + _FEAST_EXAMPLE
    + """ |
| `GET /metrics` | `metrics:read` | Counts and times for Prometheus. |
| `GET /openapi.json` | any token | Describe the routes for machines. |
| `GET /healthz`, `/readyz`, `/version` | no token | Say whether the process lives, whether it serves, and what it is. |

"""
)


_TAKES_TOO = {
    "either": ", or {rows}.",
    "parts": "; rows of steps may come as [parts](how-to/use-curl.md#several-changes-one-version).",
    "parts or rows": ", or {rows}; or both, as [parts](how-to/use-curl.md#several-changes-one-version).",
}


def _takes(route: Any) -> str:
    rows = "rows, as Arrow, CSV, JSON, JSON lines or Parquet"
    if route.example is not None and route.body != "text":
        example = f" Body: `{json.dumps(route.example, ensure_ascii=False)}`".replace("|", "\\|")
        return example + _TAKES_TOO.get(route.body, "").format(rows=rows)
    if route.body == "text":
        return f" Body: text, such as `{_cell(route.example)}`."
    return f" Body: {rows}." if route.body == "rows" else ""


def _forms(route: Any) -> str:
    return f" *Also as {', '.join(form.name for form in route.forms)}.*" if route.forms else ""


def _form_rows() -> list[str]:
    forms = {form.name: form.media for route in list_routes() for form in route.forms}
    return [f"| {name} | `{media}` | {_FORM_WORDS[name]} |" for name, media in forms.items()]


_FORM_WORDS = {
    "html": "a page that needs nothing else, for a browser",
    "text": "what the SDK prints",
    "jsonl": "a line of JSON for each finding",
    "junit": "JUnit's XML, for CI",
    "sarif": "SARIF 2.1.0, for code scanning; `source=` is the file that findings are shown beside",
    "github": "annotations for a step of GitHub Actions to print; `source=` as above",
    "github-status": "the body of a commit status of GitHub: pass or fail alone",
    "gitlab-status": "the body of a commit status of GitLab",
    "yaml": "a schema for people to review and edit",
    "odcs": "a data contract of the Open Data Contract Standard 3.1, in YAML",
    "json-schema": "a JSON Schema of one row",
    "pandera": "the YAML of pandera's polars backend",
    "svg": "the plots as one drawing",
}


def _over_http() -> list[str]:
    rows = [
        f"| `{kind.__name__}` | `{kind.code}` | {status} | {_cell((kind.__doc__ or '').split(chr(10) * 2)[0])} |"
        for kind, status in problem.STATUS_BY_ERROR.items()
    ]
    return [
        "\n## Over HTTP\n",
        f"The server answers every error as `{problem.MEDIA_TYPE}` (RFC 9457): `type`, `title`, `status`, `detail`,\n"
        "`instance`, and our `code`, `hint` and `error`, the class; of a conflict also `retry`. The nearest class in\n"
        "an error's line of descent decides the status.\n"
        "From 500 on the answer names an `instance` alone; the server's log has what went wrong.\n",
        "| class | code | status | means |\n| --- | --- | --- | --- |",
        *rows,
    ]


def family() -> list[type[errors.FoldstoreError]]:
    """Return the classes of errors, each before its children."""
    return [errors.FoldstoreError, *_subclasses(errors.FoldstoreError)]


def _subclasses(parent: type[errors.FoldstoreError]) -> Iterator[type[errors.FoldstoreError]]:
    for child in parent.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from _subclasses(child)


def _error_row(error: type[errors.FoldstoreError]) -> str:
    depth = len([each for each in error.__mro__ if issubclass(each, errors.FoldstoreError)]) - 1
    plain = [each.__name__ for each in error.__mro__ if each.__module__ == "builtins" and each not in _ALL]
    first = (error.__doc__ or "").strip().split("\n\n")[0]
    also = f"`{plain[0]}`" if plain else ""
    return f"| {'· ' * depth}`{error.__name__}` | `{error.code}` | {error.exit_code} | {also} | {_cell(first)} |"


_ALL = (Exception, BaseException, object, OSError)


def write_anomalies() -> str:
    """Return the reference of the anomaly codes."""
    weights = {
        Severity.ERROR: "the report does not pass",
        Severity.WARN: "shown; the report passes",
        Severity.INFO: "noted; the report passes",
        Severity.OFF: "not reported",
    }
    rows = [f"| `{code}` | {each.severity} | {MEANINGS[code]} | {each.template} |" for code, each in CODES.items()]
    return "\n".join(
        [
            "# Anomalies\n",
            _NOTE,
            "A report lists anomalies. Each has one of these codes, which never change their meaning, a severity, the\n"
            "evidence, and where it makes sense a fix that `accept` can apply to the schema.\n",
            "| severity | means |\n| --- | --- |",
            *(f"| `{severity}` | {words} |" for severity, words in weights.items()),
            "\nBelow are the severities unless a schema says otherwise: for all columns, or for one, it may hold\n"
            "`severity: {drift: warn}`. `drift`, `label_shift` and `missingness_drift` are warnings between their\n"
            "two limits, errors above the second. Words in braces are filled from the facts.\n",
            "| code | severity | means | message |\n| --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _with_demo(readme: str) -> str:
    before, begin, rest = readme.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    return f"{before}{begin}```text\n{_abridge(_run_demo())}```\n{end}{after}"


def _run_demo() -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("FOLDSTORE_", "COLUMNS"))}
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "foldstore", "demo", "flights_store"],
            cwd=folder, env={**kept, "NO_COLOR": "1"}, capture_output=True, text=True, check=True,
        )  # fmt: skip
    return done.stdout


def _abridge(output: str) -> str:
    text = "\n".join(line.rstrip() for line in output.splitlines()) + "\n"
    first = _LEFT_OUT.search(text)
    if first is not None:
        text = _LEFT_OUT.sub("", text[: first.start()] + " […]\n" + text[first.start() :])
    text = _EXAMPLES.sub("", text)
    return re.sub(r"\n{3,}", "\n\n", text).lstrip("\n")


def write_catalog_tables() -> str:
    """Return the reference of the catalog tables."""
    lines = [
        "# Catalog tables\n",
        _NOTE,
        "SQL can ask what the store knows of itself, in the same query as datasets and views:\n",
        "```sql\nSELECT address, rows, message FROM foldstore.versions WHERE author = 'ci' ORDER BY created_at\n```\n",
        "A table is made when a query names it, of the columns that the query may use, and shows the catalog as it is "
        "at\nthat moment. Where a query says `dataset = 'flights'` or `address = 'flights@3'` (or `IN`), nothing else "
        "is\nlooked up: ask in this way where there are many versions and fragments. `TIMESTAMP WITH TIME ZONE` is in "
        "UTC.\nJSON is text: `json_extract_string(properties, '$.source')` reads it.\n\nNo table holds anything of "
        "sealed cells or of erased rows: no extreme, count, message or schema that says\nsomething of them.\n",
        "\n".join(f"- [`foldstore.{each.name}`](#foldstore{each.name}): {_first(each.words)}" for each in _TABLES),
        "",
    ]
    for table in _TABLES:
        rows = [f"| `{each.name}` | {_sql_type(each.type)} | {_cell(each.words)} |" for each in table.columns]
        lines += [f"## foldstore.{table.name}\n", f"{table.words}\n"]
        lines += ["| column | type | says |\n| --- | --- | --- |\n" + "\n".join(rows) + "\n"]
    return "\n".join(lines)


_TABLES = tuple(TABLES.values())


def _first(words: str) -> str:
    return words[0].lower() + words[1:].partition(". ")[0].removesuffix(".") + "."


def _sql_type(kind: Any) -> str:
    with duckdb.connect() as connection:
        connection.register("t", pa.table({"x": pa.array([], kind)}))
        return f"`{connection.sql('FROM t').types[0]}`"


def write_remote() -> str:
    """Return the list of what a store over the network does not have, and how curl asks for what it has."""
    lines = [
        "# What stays local\n",
        _NOTE,
        "A store over the network has the verbs of a folder's, but for these. Each of them says so: an error of the\n"
        "code `local-only`. [Use a store over the network](how-to/use-a-remote-store.md) shows the rest at work.\n",
        "| of | not there | why |\n| --- | --- | --- |",
    ]
    for handle in list_handles():
        by_reason: dict[str, list[str]] = {}
        for verb, reason in handle.LOCAL_ONLY.items():
            if reason == SEAM:
                continue
            by_reason.setdefault(reason, []).append(verb)
        for reason, verbs in by_reason.items():
            lines.append(f"| {handle.NOUN} | {', '.join(f'`{each}`' for each in sorted(verbs))} | {reason} |")
    return "\n".join([*lines, *_verb_rows()]) + "\n"


def _verb_rows() -> Iterator[str]:
    """Yield, for each verb of the SDK, how it is asked over HTTP."""
    yield (
        "\n## Each verb, and its route\n\n"
        "What the SDK does is a request, and curl can make it: [REST](rest.md) says what each route takes. A verb\n"
        "without one is worked out by whoever asks, and its row says so.\n"
    )
    for title, table in (("foldstore", PACKAGE), *HANDLES.items(), *RESULTS.items()):
        yield f"### {_HEADINGS.get(title, title)}\n\n| verb | over HTTP |\n| --- | --- |"
        by_words: dict[str, list[str]] = {}
        for verb, words in table.items():
            by_words.setdefault(words, []).append(verb)
        for words, verbs in by_words.items():
            routes = routes_in(words)
            said = "<br>".join(f"`{method} {path}`" for method, path in routes) if routes else words
            yield f"| {', '.join(f'`{each}`' for each in verbs)} | {_cell(said)} |"
        yield ""


_HEADINGS = {"report": "report, a result", "schema": "schema, a result", "profile": "profile, a result"}


PAGES: dict[str, Callable[[], str]] = {
    "remote.md": write_remote,
    "cli.md": write_commands,
    "errors.md": write_errors,
    "anomalies.md": write_anomalies,
    "catalog-tables.md": write_catalog_tables,
    "rest.md": write_rest,
    "openapi.json": write_openapi,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
