"""Pages as a browser draws them: light and dark, on a telephone's screen, nothing beside the paper.

Needs Chromium; skipped where there is none, a failure where there must be one.
"""

import os
import shutil
import subprocess
import zlib

import numpy as np
import pytest

import foldstore

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
if BROWSER is None and os.environ.get("FOLDSTORE_REQUIRE_BROWSER"):
    raise FileNotFoundError("Chromium must be there: FOLDSTORE_REQUIRE_BROWSER is set.")
WIDTH, HEIGHT = 500, 900
PAPER = {"light": (0xFF, 0xFF, 0xFF), "dark": (0x0D, 0x11, 0x17)}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    with foldstore.connect(folder / "store") as store:
        flights = store.create_dataset("flights", key=["id"])
        rows = 3_000
        first = flights.append(
            {
                "id": list(range(rows)),
                "a_name_that_is_longer_than_a_telephone_is_wide_and_has_no_place_to_break": [
                    f"v{n % 7}" for n in range(rows)
                ],
                "delay": [n * n % 97 for n in range(rows)],
            }
        )
        flights.set_schema(first.profile().infer_schema())
        worse = {
            "id": list(range(rows, 2 * rows)),
            "a_name_that_is_longer_than_a_telephone_is_wide_and_has_no_place_to_break": ["x" * 300] * rows,
            "delay": [n % 13 for n in range(rows)],
        }
        report = flights.validate(worse)
        assert not report.passed
        report.to_html(folder / "report.html")
        first.drift(first).to_html(folder / "drift.html")
        flights.report_history().to_html(folder / "history.html")
        (folder / "split.html").write_text(
            first.split("half", train=0.5, test=0.5).report().to_html(), encoding="utf-8"
        )
    return folder


def draw(folder, page, scheme):
    """Return the pixels of a page as (rows, columns, red green blue)."""
    picture = folder / f"{page}-{scheme}.png"
    settings = f"preferredColorScheme={0 if scheme == 'dark' else 1}"
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/user",
        f"--blink-settings={settings}", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={picture}",
        (folder / f"{page}.html").as_uri(),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return read_png(picture.read_bytes())


def read_png(raw):
    """Return the pixels of a PNG of eight bits a channel, without interlacing (RFC 2083, section 6)."""
    width, height, depth, kind = (*np.frombuffer(raw[16:24], ">u4").tolist(), raw[24], raw[25])
    assert (depth, kind in (2, 6), raw[28]) == (8, True, 0)
    size, data, at = (4 if kind == 6 else 3), b"", 8
    while at < len(raw):
        length = int.from_bytes(raw[at : at + 4])
        data += raw[at + 8 : at + 8 + length] if raw[at + 4 : at + 8] == b"IDAT" else b""
        at += length + 12
    lines = np.frombuffer(zlib.decompress(data), np.uint8).reshape(height, 1 + width * size)
    above = np.zeros(width * size, np.uint8)
    pixels = np.empty((height, width * size), np.uint8)
    for row, line in enumerate(lines):
        above = pixels[row] = _unfilter(int(line[0]), line[1:], above, size)
    return pixels.reshape(height, width, size)[:, :, :3]


def _unfilter(kind, line, above, size):
    if kind == 0:
        return line
    if kind == 2:
        return line + above
    if kind == 1:
        return np.cumsum(line.reshape(-1, size), axis=0, dtype=np.uint8).reshape(-1)
    made, up = [0] * size, [0] * size + above.tolist()
    for at, each in enumerate(line.tolist(), size):
        left, over, corner = made[at - size], up[at], up[at - size]
        guess = (
            (left + over) // 2 if kind == 3 else min((left, over, corner), key=lambda p: abs(left + over - corner - p))
        )
        made.append((each + guess) & 0xFF)
    return np.array(made[size:], np.uint8)


@pytest.mark.parametrize("scheme", PAPER)
@pytest.mark.parametrize("page", ["report", "drift", "history", "split"])
def test_a_page_has_the_readers_paper_and_stays_within_its_margins(pages, page, scheme):
    pixels = draw(pages, page, scheme)
    assert pixels.shape[1] == WIDTH
    assert tuple(pixels[0, 0]) == PAPER[scheme]
    is_paper = (pixels == np.array(PAPER[scheme], np.uint8)).all(axis=2)
    assert 0.02 < 1 - is_paper.mean() < 0.6, "something is drawn, and mostly paper is seen"
    margin = is_paper[:, -10:]
    assert margin.all(), f"{page} runs over the right edge"
    ink = np.abs(pixels.astype(int) - np.array(PAPER[scheme])).sum(axis=2).max()
    assert ink > 500, "text stands out from the paper"
