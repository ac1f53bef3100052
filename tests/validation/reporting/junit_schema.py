"""The JUnit XML that Jenkins' xUnit plugin takes: elements and attributes of its junit-10.xsd, in tables of our own."""

import re
import xml.etree.ElementTree as ET

# For each element: the attributes that it must have, those that it may have, and its children.
_ELEMENTS = {
    "testsuites": ((), ("name", "time", "tests", "failures", "errors"), ("testsuite",)),
    "testsuite": (
        ("name", "tests", "failures", "errors"),
        ("group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"),
        ("testsuite", "properties", "testcase", "system-out", "system-err"),
    ),
    "testcase": (
        ("name",),
        ("time", "classname", "group"),
        (
            "skipped",
            "error",
            "failure",
            "rerunFailure",
            "rerunError",
            "flakyFailure",
            "flakyError",
            "system-out",
            "system-err",
        ),
    ),
    "properties": ((), (), ("property",)),
    "property": (("name", "value"), (), ()),
    "failure": ((), ("type", "message"), ()),
    "system-out": ((), (), ()),
}
_TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")


def check_junit(text):
    """Check a document as the schema would; return its root."""
    root = ET.fromstring(text.encode("utf-8"))  # noqa: S314  (our own text)
    assert root.tag == "testsuites"
    for each in root.iter():
        needed, allowed, children = _ELEMENTS[each.tag]
        assert set(needed) <= set(each.attrib) <= {*needed, *allowed}, each.tag
        assert {child.tag for child in each} <= set(children), each.tag
        if each.tag != "testcase":
            assert _TIME.fullmatch(each.get("time", "0"))
        if each.tag in ("testsuites", "testsuite", "testcase", "properties"):  # not mixed
            assert not "".join([each.text or "", *(child.tail or "" for child in each)]).strip()
    return root
