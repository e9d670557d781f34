"""Vector files of ground with planted pegmatites: GeoJSON, in EPSG:32645 unless told otherwise."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyogrio
import shapely
from shapely.geometry.base import BaseGeometry

from ingest.simulate.prospect_dykes import COMMODITIES, Dyke
from ingest.simulate.prospect_geology import ProspectGeology
from ingest.simulate.write import SRID, Column


def write_geology(folder: Path, geology: ProspectGeology, srid: int = SRID) -> tuple[Path, Path]:
    """Write faults and plutons, in metres of a CRS; returns their files."""
    faults, plutons = folder / "faults.geojson", folder / "plutons.geojson"
    write_geojson(
        faults,
        "LineString",
        [fault.line for fault in geology.faults],
        {
            "name": [fault.name for fault in geology.faults],
            "fault_type": [fault.fault_type for fault in geology.faults],
        },
        srid,
    )
    write_geojson(
        plutons,
        "Polygon",
        [pluton.outline for pluton in geology.plutons],
        {
            "name": [pluton.name for pluton in geology.plutons],
            "lithology": [pluton.lithology for pluton in geology.plutons],
            "age": [pluton.age for pluton in geology.plutons],
        },
        srid,
    )
    return faults, plutons


def write_dykes(
    folder: Path,
    dykes: Sequence[Dyke],
    *,
    srid: int = SRID,
    commodities: Mapping[str, str] = COMMODITIES,
    deposit_type: str = "pegmatite",
) -> tuple[Path, Path, Path]:
    """Write deposits (points), and below ``truth`` bodies of ore and decoys; returns their files.

    Args:
        folder: it has a folder ``truth``.
        dykes: of all kinds.
        srid: EPSG code of their outlines.
        commodities: what each mineral of ore is mined for.
        deposit_type: of the true ones.

    """
    deposits = folder / "deposits.geojson"
    ore, decoys = folder / "truth" / "ore.geojson", folder / "truth" / "decoys.geojson"
    true = [dyke for dyke in dykes if dyke.kind == "ore"]
    known: dict[str, Column] = {
        "name": [dyke.name for dyke in true],
        "commodity": [commodities[dyke.mineral] for dyke in true],
        "deposit_type": [deposit_type] * len(true),
    }
    write_geojson(deposits, "Point", [dyke.outline.representative_point() for dyke in true], known, srid)
    write_geojson(ore, "Polygon", [dyke.outline for dyke in true], {**known, **_facts(true)}, srid)
    false = [dyke for dyke in dykes if dyke.kind != "ore"]
    named: dict[str, Column] = {
        "name": [dyke.name for dyke in false],
        "kind": [dyke.kind for dyke in false],
    }
    write_geojson(decoys, "Polygon", [dyke.outline for dyke in false], {**named, **_facts(false)}, srid)
    return deposits, ore, decoys


def _facts(dykes: Sequence[Dyke]) -> dict[str, Column]:
    return {
        "mineral": [dyke.mineral for dyke in dykes],
        "cluster": np.array([dyke.cluster for dyke in dykes], np.int32),
        "cover": np.round([dyke.cover for dyke in dykes], 3),
    }


def write_geojson(
    path: Path,
    geometry_type: str,
    geometries: Sequence[BaseGeometry],
    columns: Mapping[str, Column],
    srid: int,
) -> None:
    """Write features in metres of a CRS, replacing the file."""
    path.unlink(missing_ok=True)
    data = [
        values if isinstance(values, np.ndarray) else np.asarray(values, dtype=object)
        for values in columns.values()
    ]
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.asarray(geometries, dtype=object)),
        field_data=data,
        fields=list(columns),
        driver="GeoJSON",
        geometry_type=geometry_type,
        crs=f"EPSG:{srid}",
        COORDINATE_PRECISION="2",
    )
