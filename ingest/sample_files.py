"""Files that interpreters fill: sample points without what the map shows."""

from __future__ import annotations

import csv
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyogrio
import shapely

from db.assessments.catalogue import Assessment, SamplePoint
from db.errors import UsageError

LAYER = "sample_point"
EMPTY = ("class", "interpreter", "answered_on", "note")
"""Columns that interpreters fill."""


def sample_file_writer(path: Path) -> Callable[[Assessment, Sequence[SamplePoint]], None]:
    """Choose how to write the points of an assessment, by the ending of the file.

    Raises:
        UsageError: the ending is not known, the file exists, or its folder does not.

    """
    write = {".csv": _write_csv, ".gpkg": _write_geopackage}.get(path.suffix.lower())
    if write is None:
        raise UsageError(f"{path}: sample points are written as .gpkg or .csv; name the file so")
    if path.exists():
        raise UsageError(_exists(path))
    if not path.parent.is_dir():
        raise UsageError(f"{path}: there is no folder {path.parent}")

    def written(assessment: Assessment, points: Sequence[SamplePoint]) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix=".lode-", dir=path.parent) as folder:
                draft = Path(folder) / f"points{path.suffix.lower()}"
                write(draft, assessment, points)
                _place(draft, path)
        except FileExistsError:
            raise UsageError(_exists(path)) from None
        except OSError as error:
            raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from error
        except (RuntimeError, ValueError) as error:  # pyogrio's, of which most are RuntimeErrors
            raise UsageError(f"{path}: cannot be written: {error}") from error

    return written


def _exists(path: Path) -> str:
    return f"{path}: exists already and may hold answers; choose another name"


def _place(draft: Path, path: Path) -> None:
    """Give a finished file its name, whole or not at all, and never over another file.

    Raises:
        FileExistsError: the name is taken.

    """
    try:
        os.link(draft, path)  # unlike a renaming it fails where the name is taken
    except FileExistsError:
        raise
    except OSError:  # FAT and some network shares have no links
        path.touch(exist_ok=False)
        try:
            draft.replace(path)
        except OSError:
            path.unlink()
            raise


def _write_csv(path: Path, assessment: Assessment, points: Sequence[SamplePoint]) -> None:
    # Spreadsheets take a file for UTF-8 only when it begins with the mark.
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("point", "longitude", "latitude", "assessment", "year", *EMPTY))
        for point in points:
            place = (f"{point.longitude:.7f}", f"{point.latitude:.7f}")
            writer.writerow((point.number, *place, assessment.name, assessment.year, *[""] * len(EMPTY)))


def _write_geopackage(path: Path, assessment: Assessment, points: Sequence[SamplePoint]) -> None:
    count = len(points)
    places = shapely.points([(point.longitude, point.latitude) for point in points])
    columns = {
        "point": np.array([point.number for point in points], np.int32),
        "assessment": np.full(count, assessment.name, object),
        "year": np.full(count, assessment.year, np.int32),
        "class": np.full(count, None, object),
        "interpreter": np.full(count, None, object),
        "answered_on": np.full(count, np.datetime64("NaT"), "datetime64[D]"),
        "note": np.full(count, None, object),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # GDAL on file systems without locks
        pyogrio.raw.write(
            path,
            geometry=shapely.to_wkb(places),
            field_data=list(columns.values()),
            fields=list(columns),
            geometry_type="Point",
            crs="EPSG:4326",
            driver="GPKG",
            layer=LAYER,
            # GDAL builds it after the points are stored, and keeps silent where the disk is full by then.
            SPATIAL_INDEX="NO",
        )
