"""What stands between the cells of a CSV file, found from its first rows."""

import csv
import io
from pathlib import Path
from typing import Final

from foldstore.datastore.ingest.csv_text import CsvText

_CANDIDATES: Final = (",", ";", "\t", "|")
_ROWS: Final = 50
_SAMPLE: Final = 1 << 16


def find_delimiter(path: Path, first: bytes, quote: bytes | None) -> bytes:
    """Return the delimiter: the one that cuts the first rows into equally many cells, two or more.

    The comma goes before the others, a tab first where the ending is ``.tsv``; of others the one with most
    cells. Where rows are of different lengths, the header decides.

    Examples
    --------
    >>> find_delimiter(Path("a.csv"), b"a;b\\n1,5;2\\n", b'"')
    b';'
    """
    if path.name.lower().endswith((".tsv", ".tsv.gz")):
        return b"\t"
    counts = {each: _count_cells(first[:_SAMPLE], each, quote) for each in _CANDIDATES}
    even = {each: found[0] for each, found in counts.items() if found and found[0] > 1 and len(set(found)) == 1}
    header = {each: found[0] for each, found in counts.items() if found and found[0] > 1}
    chosen = even or header
    if "," in chosen or not chosen:
        return b","
    return max(chosen, key=lambda each: chosen[each]).encode()


def _count_cells(sample: bytes, delimiter: str, quote: bytes | None) -> list[int]:
    text = CsvText(delimiter.encode(), quote)
    spans = text.rows(sample, keep_empty=False)
    if len(sample) == _SAMPLE and len(spans) > 1:
        spans = spans[:-1]  # it may be cut
    counts = []
    for start, end in spans[:_ROWS]:
        row = sample[start:end].decode(errors="replace").replace("\0", " ")
        cells = csv.reader(
            io.StringIO(row, newline=""),
            delimiter=delimiter,
            quotechar=quote.decode() if quote else None,
            quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        )
        try:
            counts.append(len(next(cells, [])))
        except csv.Error:
            return []
    return counts
