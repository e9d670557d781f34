"""``lode ingest calibration``: radiometric coefficients from a table of the user's own."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from datetime import UTC, datetime

import click

from db.calibration import CalibrationRow, Coefficients, store
from db.errors import UsageError
from db.settings import Settings
from ingest.files import source_file
from ingest.session import transaction

COLUMNS = ("sensor", "camera", "band", "year", "gain", "offset", "esun", "source")
FIRST_YEAR = 1990
MAX_BYTES = 10_000_000
MAX_ROWS = 20_000

HELP = f"""Bring radiometric coefficients: a CSV file with the columns {", ".join(COLUMNS)}.

Radiance = gain * digital number + offset, in W m-2 sr-1 um-1; esun is the solar irradiance in the band, in
W m-2 um-1, or empty. camera is that of the instrument (PMS1) and empty where there is one. The file goes in
whole or not at all.
"""


@click.command(help=HELP)
@click.argument("file")
@click.option("--replace", is_flag=True, help="Replace other coefficients of the same camera, band and year.")
def calibration(file: str, replace: bool) -> None:
    """Read the table and store it."""
    settings = Settings()
    source = source_file(file, settings.roots())
    if source.size_bytes > MAX_BYTES:
        raise UsageError(
            f"{source.name}: {source.size_bytes} bytes; a table of coefficients has fewer than {MAX_BYTES}"
        )
    rows = parse_calibration(source.name, source.path.read_bytes())
    with transaction(settings) as conn:
        try:
            stored = store(conn, rows, replace=replace)
        except UsageError as error:
            raise UsageError(f"{source.name}: {error}") from error
    click.echo(
        f"stored {stored.new} coefficients, {stored.replaced} replaced, {stored.unchanged} unchanged "
        f"({source.name})"
    )


def parse_calibration(name: str, content: bytes) -> list[CalibrationRow]:
    """Read a table of coefficients.

    Args:
        name: of the file, for messages.
        content: CSV in UTF-8, with a first line that names the columns.

    Raises:
        UsageError: a column is missing or a value cannot be right; the message says in which line.

    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name}: is not UTF-8 text; save the table as CSV in UTF-8") from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows: list[CalibrationRow] = []
    try:
        found = reader.fieldnames or []
        doubled = sorted({column for column in found if list(found).count(column) > 1})
        if doubled:
            raise UsageError(f"{name}: column {', '.join(doubled)} is there twice")
        missing = [column for column in COLUMNS if column not in found]
        if missing:
            raise UsageError(
                f"{name}: column {', '.join(missing)} is missing; it needs: {', '.join(COLUMNS)}"
            )
        rows.extend(_row(f"{name}, line {reader.line_num}", fields) for fields in reader)
    except csv.Error as error:
        raise UsageError(f"{name}: is not a CSV table ({error})") from error
    if len(rows) > MAX_ROWS:
        raise UsageError(f"{name}: holds {len(rows)} coefficients; at most {MAX_ROWS} are taken at once")
    if not rows:
        raise UsageError(f"{name}: holds no coefficients")
    return rows


def _row(place: str, fields: Mapping[str | None, str | list[str] | None]) -> CalibrationRow:
    """One line of the table, checked."""
    texts = {key: value.strip() for key, value in fields.items() if key and isinstance(value, str)}
    if None in fields or len(texts) != len(fields):
        raise UsageError(f"{place}: has another number of values than the first line has columns")
    for column in ("sensor", "band", "source"):
        if not texts[column]:
            raise UsageError(f"{place}: {column} is empty")
    year_text, last = texts["year"], datetime.now(UTC).year + 1
    if any(not value.isprintable() for value in texts.values()):
        raise UsageError(f"{place}: holds characters that cannot be printed")
    if (
        len(year_text) != 4
        or not year_text.isascii()
        or not year_text.isdigit()
        or not FIRST_YEAR <= int(year_text) <= last
    ):
        raise UsageError(f"{place}: year {year_text!r} is not one of {FIRST_YEAR} to {last}")
    gain = _number(place, "gain", texts["gain"])
    esun = _number(place, "esun", texts["esun"]) if texts["esun"] else None
    if gain <= 0 or (esun is not None and esun <= 0):
        raise UsageError(f"{place}: gain {gain:g} and esun {esun} must be above 0")
    offset = _number(place, "offset", texts["offset"])
    values = Coefficients(texts["band"], gain, offset, esun, int(year_text), texts["source"])
    return CalibrationRow(texts["sensor"], texts["camera"], values)


def _number(place: str, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{place}: {column} {text!r} is not a number")
    return value
