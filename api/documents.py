"""The forms in which a result leaves beside JSON: a page, a text, what CI and code scanning read.

A client asks for one by ``Accept``, or by ``form=`` where headers are out of reach, as in a browser's line. Texts of
data are escaped by whoever writes the form; a page may load nothing and run nothing all the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import methodcaller
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from foldstore.api.answers import json_answer
from foldstore.api.media import choose_media
from foldstore.api.query import Query, QueryParameter
from foldstore.api.row_forms import JSON, LINES
from foldstore.validation.pools.gate_answer import Forge
from foldstore.validation.reporting.markup import Markup, element
from foldstore.validation.reporting.page import CONTENT_POLICY, page
from foldstore.validation.reporting.wording import visible

if TYPE_CHECKING:
    from foldstore.api.route import Call

HTML: Final = "text/html"
# A page of ours asks for nothing; what a value might smuggle in could not, either, nor be framed by another page.
_SHOWN_HEADERS: Final = {
    "content-security-policy": f"{CONTENT_POLICY}; frame-ancestors 'none'; sandbox",
    "referrer-policy": "no-referrer",
}


@dataclass(frozen=True, slots=True)
class DocumentForm:
    """A form of a result.

    Attributes
    ----------
    name : str
        What ``form=`` calls it.
    media : str
        What ``Accept`` calls it.
    write : callable
        Writes a result in it; is told of a file that findings are shown beside, where it `takes_source`.
    takes_source : bool
        Whether it is told.
    """

    name: str
    media: str
    write: Callable[..., str]
    takes_source: bool = False


def _write_text(found: Any) -> str:
    """Write what the SDK prints; nothing in it steers a terminal."""
    text = str(found)
    return visible(text, most=len(text) + 1).rstrip("\n") + "\n"


def _write_page(found: Any) -> str:
    """Write what a notebook shows as a page of its own."""
    shown = found._repr_html_()  # the notebook protocol has no public name
    title = type(found).__name__
    inside = Markup(visible(shown, most=len(shown) + 1))
    return page(title, element("header", element("h1", title)), element("main", inside))


PAGE_FORM: Final = DocumentForm("html", HTML, methodcaller("to_html"))
NOTEBOOK_FORM: Final = DocumentForm("html", HTML, _write_page)
TEXT_FORM: Final = DocumentForm("text", "text/plain", _write_text)
LINES_FORM: Final = DocumentForm("jsonl", LINES, methodcaller("to_json_lines"))
JUNIT_FORM: Final = DocumentForm("junit", "application/xml", methodcaller("to_junit"))
SVG_FORM: Final = DocumentForm("svg", "image/svg+xml", methodcaller("to_svg"))
SARIF_FORM: Final = DocumentForm(
    "sarif",
    "application/sarif+json",
    lambda found, source: found.to_sarif(source=source),
    takes_source=True,
)
GITHUB_FORM: Final = DocumentForm(
    "github",
    "text/x-github-annotations",
    lambda found, source: found.to_github(source=source),
    takes_source=True,
)
EXPLAINED_FORM: Final = DocumentForm("text", "text/plain", lambda found: f"{found.explain()}\n")
_STATUS: Final = "application/vnd.foldstore.{}-status+json"

REPORT_FORMS: Final = (PAGE_FORM, TEXT_FORM, LINES_FORM, JUNIT_FORM, SARIF_FORM, GITHUB_FORM)
HISTORY_FORMS: Final = (PAGE_FORM, TEXT_FORM, LINES_FORM)
PLAN_TABLE_FORMS: Final = (PAGE_FORM, TEXT_FORM, SVG_FORM)
PAGE_FORMS: Final = (PAGE_FORM, TEXT_FORM)
NOTEBOOK_FORMS: Final = (NOTEBOOK_FORM, TEXT_FORM)
TEXT_FORMS: Final = (TEXT_FORM,)
# What a pool said, for the services of a forge.
GATE_FORMS: Final = (
    JUNIT_FORM,
    *(
        DocumentForm(f"{forge}-status", _STATUS.format(forge), methodcaller("to_commit_status", forge))
        for forge in Forge
    ),
)
SOURCE: Final = QueryParameter(
    "source", "The file that findings of SARIF and GitHub are shown beside.", "data/february.csv"
)


def form_parameters(forms: Sequence[DocumentForm]) -> tuple[QueryParameter, ...]:
    """Return the parameters that choose among forms."""
    form = QueryParameter("form", "The name of a form of the answer, in place of Accept.", forms[0].name)
    return (form, SOURCE) if any(each.takes_source for each in forms) else (form,)


def choose_form(forms: Sequence[DocumentForm], query: Query, accept: str) -> DocumentForm | None:
    """Return the form that a request asks for; None for JSON.

    Raises
    ------
    UsageError
        When ``form=`` names none of them.
    NotAcceptableError
        When the client takes none of them.
    """
    if query.text("form") is not None:
        named = query.choice("form", ["json", *(form.name for form in forms)])
        return next((form for form in forms if form.name == named), None)
    media = choose_media(accept, [JSON, *(form.media for form in forms)])
    return next((form for form in forms if form.media == media), None)


def document_answer(call: "Call", found: Any, plain: Any = None) -> Response:
    """Answer with a result in the form that is asked for: JSON of its `to_dict`, or another of the route's.

    Parameters
    ----------
    call : Call
        The request.
    found : object
        The result.
    plain : object, optional
        What JSON says, where it is not what `to_dict` gives.
    """
    form = call.form
    if form is None:
        return json_answer(found.to_dict() if plain is None else plain)
    text = form.write(found, call.query.text("source")) if form.takes_source else form.write(found)
    headers = {"vary": "accept"} | (_SHOWN_HEADERS if form.media in (HTML, SVG_FORM.media) else {})
    return Response(text.encode(), headers=headers, media_type=form.media)
