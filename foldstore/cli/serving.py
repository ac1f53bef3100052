"""The verbs that serve: features, materialize, serve, token."""

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldstore.cli import feedback, training_sets, usage
from foldstore.cli.feature_definitions import features_app
from foldstore.cli.online import materialize
from foldstore.cli.output import (
    Format,
    FormatOption,
    ReportFormat,
    ReportFormatOption,
    StoreOption,
    print_json,
    print_mapping,
    print_rows,
    say,
)
from foldstore.cli.place import folder_of
from foldstore.cli.service_aliases import alias_app
from foldstore.cli.shadows import shadow_app

if TYPE_CHECKING:
    from socket import socket

    from foldstore.api.rules import RuleBook
    from foldstore.api.running import Running
    from foldstore.api.tokens import TokenVault
    from foldstore.api.workers import Workers
    from foldstore.store import Store

_HERE = "."

token_app = typer.Typer(no_args_is_help=True, help="Tokens: who may ask the server.")

rule_app = typer.Typer(no_args_is_help=True, help="Rules: which columns and rows are hidden from whom.")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    for each in (training_sets, feedback, usage):
        each.register(features_app)
    features_app.add_typer(alias_app, name="alias")
    features_app.add_typer(shadow_app, name="shadow")
    app.add_typer(features_app, name="features")
    app.add_typer(token_app, name="token")
    app.add_typer(rule_app, name="rule")
    app.command()(materialize)
    app.command()(serve)


@features_app.command()
def log(
    service: Annotated[str, typer.Argument(help="The service's name; all its versions.")],
    store: StoreOption = _HERE,
    share: Annotated[float, typer.Option(help="Which share of the lookups is kept; 0 for none.")] = 1.0,
    dataset: Annotated[str | None, typer.Option(help="Where; SERVICE.served unless given.")] = None,
) -> None:
    """Keep what is served as a dataset, for a schema's `serving` and `skew` to look at.

    Example: foldstore features log arrival --share 0.01
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        name = opened.features.log_lookups(service, share=share, dataset=dataset)
        say(
            f"{share:.0%} of the lookups of {service} go into {name}."
            if share
            else f"{service} is not logged any more."
        )


@features_app.command()
def get(
    service: Annotated[str, typer.Argument(help="The service: arrival@1.")],
    entity: Annotated[list[str], typer.Argument(help="KEY=VALUE, one for each key.")],
    store: StoreOption = _HERE,
    at: Annotated[str | None, typer.Option(help="The instant, RFC 3339; now unless given.")] = None,
) -> None:
    """Look one entity up in this process; the answer is what the server gives.

    Example: foldstore features get arrival@1 carrier=UA origin=EWR --at 2013-12-30T12:00:00Z
    """
    import foldstore
    from foldstore.api.lookup_text import write_answer

    pairs: dict[str, Any] = dict(item.partition("=")[::2] for item in entity)
    with foldstore.connect(store, create=False) as opened:
        definition = opened.features.service(service)
        for selection in definition.selections:
            for key, column in zip(selection.view.join_keys, selection.label_keys, strict=True):
                if column in pairs:
                    pairs[column] = _read_key(pairs[column], selection.view.keys[key])
        if definition.transform is not None:
            pairs |= _read_brought(pairs, opened.transforms.get(definition.transform).kinds)
        print_json(json.loads(write_answer(opened.features.get_online_features(service, [pairs], at))))


@features_app.command()
def audit(
    service: Annotated[str, typer.Argument(help="The service: arrival, or one version, arrival@1.")],
    store: StoreOption = _HERE,
    since: Annotated[str | None, typer.Option(help="Only what was served from this instant on, RFC 3339.")] = None,
    until: Annotated[str | None, typer.Option(help="Only what was served before this instant.")] = None,
    output: ReportFormatOption = ReportFormat.TABLE,
) -> None:
    """Compute logged lookups again by the training join; exit 1 when any value differs by a bit.

    Example: foldstore features audit arrival --since 2013-12-01
    """
    import foldstore

    with foldstore.connect(store, create=False) as opened:
        found = opened.features.audit(service, since=since, until=until)
    if output is ReportFormat.JSON:
        print_json(found.to_dict())
    else:
        typer.echo(str(found))
    if not found.equal:
        raise typer.Exit(1)


def _read_key(text: Any, kind: str) -> Any:
    """Read what was typed as a value of a key's type; what does not fit is left for the lookup to refuse."""
    if isinstance(text, str) and "int" in kind and text.lstrip("-").isdigit():
        return int(text)
    return {"true": True, "false": False}.get(text, text) if kind == "bool" else text


def _read_brought(pairs: dict[str, Any], kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Read what was typed beside the keys as values of the transform's types; what does not fit is left to it."""
    read: dict[str, Any] = {}
    for name, kind in kinds.items():
        with suppress(ValueError):
            if name in pairs and ("int" in str(kind) or str(kind) in ("double", "float")):
                read[name] = int(pairs[name]) if "int" in str(kind) else float(pairs[name])
            elif name in pairs and str(kind) == "bool":
                read[name] = {"true": True, "false": False}.get(pairs[name], pairs[name])
    return read


def serve(
    store: StoreOption = _HERE,
    host: Annotated[str, typer.Option(help="Where to listen; this machine alone unless told otherwise.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Which port; 0 for one that is free.")] = 8765,
    workers: Annotated[int, typer.Option(help="How many processes.", min=1, max=256)] = 1,
    tls_cert: Annotated[
        Path | None, typer.Option(help="A certificate with its chain, PEM; then HTTPS is spoken.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key, PEM.")] = None,
    rate: Annotated[
        float | None, typer.Option(help="How often a token may ask, a second and process.", min=0.001)
    ] = None,
    drain: Annotated[
        float, typer.Option(help="Seconds in which it is not ready, and still answers, before it ends.", min=0)
    ] = 0.0,
    grace: Annotated[float, typer.Option(help="Seconds that begun requests may take to be finished.", min=1)] = 30.0,
    log_level: Annotated[str, typer.Option(help="debug (lookups, too), info, warning or error.")] = "info",
    descriptor: Annotated[int | None, typer.Option(hidden=True)] = None,
    announce: Annotated[int | None, typer.Option(hidden=True)] = None,
    parent: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Serve the store over HTTP until interrupted; every request needs a token (`foldstore token create`).

    The log goes to stderr, a line of JSON for each request but lookups. SIGTERM ends the server when what was begun
    is finished; SIGHUP replaces its processes one by one, each when its successor serves.

    Example: foldstore serve --workers 4 --drain 5
    """
    import foldstore
    from foldstore.api.request_body import Limits
    from foldstore.api.request_log import log_to_stderr
    from foldstore.api.running import Running
    from foldstore.api.server import serve as run_server

    if log_level not in ("debug", "info", "warning", "error"):
        raise typer.BadParameter("write debug, info, warning or error", param_hint="--log-level")
    running = Running(
        certificate=tls_cert,
        key=tls_key,
        drain_seconds=drain,
        grace_seconds=grace,
        descriptor=descriptor,
        announce=announce,
        parent=parent,
        followed_by=partial(_workers, 1, drain + grace) if workers == 1 and descriptor is None else None,
    ).check()
    folder_of(store, "serve")
    log_to_stderr(log_level)
    if workers > 1:
        _serve_by_many(store, host, port, workers, running)
        return
    with foldstore.connect(folder_of(store, "serve"), create=False) as opened:
        left = run_server(
            opened.features,
            _vault(opened),
            store=opened,
            host=host,
            port=port,
            limits=Limits(requests_per_second=rate),
            running=running,
            on_start=lambda url: say(f"Serving at {url}") if descriptor is None else None,
        )
    if left is not None:
        left.run()


def _serve_by_many(store: str, host: str, port: int, count: int, running: "Running") -> None:
    import foldstore
    from foldstore.api.server import listen, refuse_without_token, url_of

    with foldstore.connect(store, create=False) as opened:
        refuse_without_token(host, _vault(opened))
    with listen(host, port) as listener:
        url = url_of(listener, secure=running.certificate is not None)
        _workers(count, running.drain_seconds + running.grace_seconds, listener).run(lambda: say(f"Serving at {url}"))


def _workers(count: int, seconds: float, listener: "socket") -> "Workers":
    from foldstore.api.workers import Workers

    # The same words; of two values of an option the later one counts.
    command = [sys.executable, "-m", "foldstore", *sys.argv[1:], "--workers", "1"]
    return Workers(command, listener, count, seconds + 5)


@token_app.command()
def create(
    role: Annotated[
        str, typer.Argument(help="viewer, editor, serving, evaluator, steward, keeper, monitor or admin.")
    ] = "serving",
    store: StoreOption = _HERE,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    days: Annotated[int | None, typer.Option(help="How long it counts.", min=1, max=36_500)] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="What it is for: a dataset, view, service or pool, such as 'team-a.*'.")
    ] = None,
) -> None:
    """Make a token and print it, this once; only its hash is kept."""
    from datetime import timedelta

    import foldstore

    with foldstore.connect(folder_of(store, "token"), create=False) as opened:
        expires = None if days is None else timedelta(days=days)
        text, token = _vault(opened).create(
            role, author=opened.author, label=label, expires_in=expires, names=name or ("*",)
        )
        typer.echo(text)
        say(f"Token {token.id} for {role}; it is shown this once.")


@token_app.command("ls")
def list_tokens(store: StoreOption = _HERE, output: FormatOption = Format.TABLE) -> None:
    """List tokens; their texts are not kept."""
    import foldstore

    with foldstore.connect(folder_of(store, "token"), create=False) as opened:
        kept = [token.to_dict() for token in _vault(opened).list()]
    columns = list(dict.fromkeys(name for token in kept for name in token)) or ["id"]
    print_rows(columns, [[token.get(name) for name in columns] for token in kept], output)


@token_app.command()
def rotate(
    token: Annotated[str, typer.Argument(help="The token's id.")],
    store: StoreOption = _HERE,
    hours: Annotated[float, typer.Option(help="For how long the old one still counts.", min=0, max=876_000)] = 24.0,
) -> None:
    """Make a token that may do the same and print it, this once; the old one expires.

    Example: foldstore token rotate abcd1234 --hours 24
    """
    from datetime import timedelta

    import foldstore

    with foldstore.connect(folder_of(store, "token"), create=False) as opened:
        text, made = _vault(opened).rotate(token, author=opened.author, overlap=timedelta(hours=hours))
        typer.echo(text)
        say(f"Token {made.id} takes the place of {token}, which counts for {hours:g} h more.")


@token_app.command()
def revoke(token: Annotated[str, typer.Argument(help="The token's id.")], store: StoreOption = _HERE) -> None:
    """Revoke a token: the server refuses it from now on."""
    import foldstore

    with foldstore.connect(folder_of(store, "token"), create=False) as opened:
        print_mapping(_vault(opened).revoke(token, author=opened.author).to_dict(), Format.TABLE)


def _vault(store: "Store") -> "TokenVault":
    from foldstore.api.tokens import TokenVault

    return TokenVault(store.registry("token"), clock=store.clock)


@rule_app.command("set")
def set_rule(
    name: Annotated[str, typer.Argument(help="The rule's name; another of that name is replaced.")],
    dataset: Annotated[list[str], typer.Option(help="About which datasets: 'people', 'team-a.*'.")],
    store: StoreOption = _HERE,
    role: Annotated[list[str] | None, typer.Option(help="Whom it meets: holders of tokens of this role.")] = None,
    token: Annotated[
        list[str] | None, typer.Option(help="Whom it meets: the holder of the token with this id.")
    ] = None,
    hide: Annotated[list[str] | None, typer.Option(help="A column that they do not see, or a pattern.")] = None,
    where: Annotated[str | None, typer.Option(help="What the rows that they see meet, as in SQL's WHERE.")] = None,
) -> None:
    """Hide columns and rows of datasets from roles and tokens; running servers notice within seconds.

    It is said when nothing there has such a name, or the condition does not fit.

    Example: foldstore rule set no-pay --dataset people --role viewer --hide salary --where "country = 'NO'"
    """
    import foldstore
    from foldstore.api.rules import AccessRule, doubts_of

    with foldstore.connect(folder_of(store, "rule"), create=False) as opened:
        rule = AccessRule(
            name=name,
            datasets=tuple(dataset),
            roles=tuple(role or ()),
            tokens=tuple(token or ()),
            hide=tuple(hide or ()),
            where=where,
        )
        _rules(opened).put(rule, author=opened.author)
        say(f"Rule {name} holds.")
        for doubt in doubts_of(rule, opened):
            say(f"warning: {doubt}")


@rule_app.command("ls")
def list_rules(store: StoreOption = _HERE, output: FormatOption = Format.TABLE) -> None:
    """List what is hidden from whom."""
    import foldstore

    with foldstore.connect(folder_of(store, "rule"), create=False) as opened:
        kept = [rule.to_dict() for rule in _rules(opened).list()]
    columns = ["name", "datasets", "roles", "tokens", "hide", "where"]
    rows = [[", ".join(v) if isinstance(v := rule[column], tuple) else v for column in columns] for rule in kept]
    print_rows(columns, rows, output)


@rule_app.command("rm")
def remove_rule(name: Annotated[str, typer.Argument(help="The rule's name.")], store: StoreOption = _HERE) -> None:
    """Have a rule hold no longer."""
    import foldstore

    with foldstore.connect(folder_of(store, "rule"), create=False) as opened:
        _rules(opened).remove(name, author=opened.author)
        say(f"Rule {name} holds no longer.")


def _rules(store: "Store") -> "RuleBook":
    from foldstore.api.rules import KIND, RuleBook

    return RuleBook(store.registry(KIND), clock=store.clock)
