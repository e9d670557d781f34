"""Read a CSV file as a table of features without geometry: what the file holds, as it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from db.errors import UsageError
from ingest.files import SourceFile
from ingest.vectors import FeatureTable

MAX_BYTES = 64 << 20
ENCODINGS = ("utf-8-sig", "gb18030")
"""What spreadsheets write: UTF-8 with a mark, or in China GBK, which GB 18030 includes."""

_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class CsvTable(FeatureTable):
    """Rows of a CSV file; ``ids`` are the lines they begin in."""

    def row_name(self, row: int) -> str:
        """Name a row (from 0) in a message."""
        return f"line {self.ids[row]}"


def read_csv(file: SourceFile, *, encoding: str | None = None) -> CsvTable:
    """Read a CSV file with a header, its columns separated by comma, semicolon or tab.

    Args:
        file: the file.
        encoding: of its texts; None: UTF-8, else GB 18030.

    Raises:
        UsageError: it is too large, no text, has no header, or a row has another number of columns.

    """
    if file.size_bytes > MAX_BYTES:
        raise UsageError(f"{file.name}: has {file.size_bytes} bytes; at most {MAX_BYTES} are read as CSV")
    sha256 = file.sha256()
    text = _text(file, encoding)
    file.check_unchanged()
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    lines: list[int] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, file.name)
        line = reader.line_num + 1
        for row in reader:
            if any(cell.strip() for cell in row):
                if len(row) != len(header):
                    raise UsageError(
                        f"{file.name}: line {line}: has {len(row)} columns, the header has {len(header)}"
                    )
                rows.append(row)
                lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise UsageError(f"{file.name}: line {reader.line_num}: is no CSV: {error}") from None
    columns: dict[str, Sequence[str | None]] = {
        name: [row[index].strip() or None for row in rows] for index, name in enumerate(header)
    }
    return CsvTable(
        file.name,
        sha256,
        None,
        np.array(lines, np.int64),
        np.arange(1, len(rows) + 1),
        np.full(len(rows), None, object),
        {},
        {},
        columns,
    )


def _text(file: SourceFile, encoding: str | None) -> str:
    content = file.path.read_bytes()
    if b"\0" in content:
        raise UsageError(f"{file.name}: holds zero bytes, so it is no CSV; save it as CSV in UTF-8")
    for name in ENCODINGS if encoding is None else (encoding,):
        try:
            return content.decode(name)
        except UnicodeDecodeError:
            continue
        except LookupError:
            raise UsageError(f"--encoding {name}: there is no such encoding") from None
    raise UsageError(f"{file.name}: its texts are not {' or '.join(ENCODINGS)}; state --encoding")


def _check_header(header: Sequence[str], name: str) -> None:
    if not any(header):
        raise UsageError(f"{name}: has no header: its first line must name the columns")
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise UsageError(f"{name}: has two columns named {twice[0]!r}")
