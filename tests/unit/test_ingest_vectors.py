"""Vector files: the formats that are read, and those that are kept from GDAL."""

from __future__ import annotations

import json
import sqlite3
import struct
import zipfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import shapely

from db.errors import UsageError
from ingest.files import source_file
from ingest.vectors import FeatureTable, read_features
from tests.ingest_files import square, write_geojson, write_vector

SQUARES = [square(10, 50), square(11, 51)]
NAMES = {"name": ["a", "石矿 'x'; drop table lode.mine"], "code": [1, 2]}


def read(path: Path, **options: Any) -> FeatureTable:
    return read_features(source_file(path), **options)


def write_shapefile(folder: Path, stem: str = "pits", **options: Any) -> Path:
    folder.mkdir(exist_ok=True)
    return write_vector(
        folder / f"{stem}.shp", SQUARES, NAMES, driver="ESRI Shapefile", encoding="UTF-8", **options
    )


def zip_of(path: Path, files: dict[str, bytes | Path]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else content.read_bytes())
    return path


def zipped_shapefile(path: Path, shapefile: Path, prefix: str = "") -> Path:
    parts = sorted(shapefile.parent.glob(f"{shapefile.stem}.*"))
    return zip_of(path, {f"{prefix}{part.name}": part for part in parts})


@pytest.mark.parametrize("kind", ["gpkg", "geojson", "shp", "zip"])
def test_every_format_gives_the_same_features(tmp_path: Path, kind: str) -> None:
    if kind == "gpkg":
        path = write_vector(tmp_path / "x.gpkg", SQUARES, NAMES)
    elif kind == "geojson":
        rows = [dict(zip(NAMES, values, strict=True)) for values in zip(*NAMES.values(), strict=True)]
        path = write_geojson(tmp_path / "x.geojson", SQUARES, rows)
    else:
        path = write_shapefile(tmp_path / "parts")
        if kind == "zip":
            path = zipped_shapefile(tmp_path / "x.zip", path, prefix="data/矿山/")
    table = read(path)
    assert shapely.equals(table.geometries, SQUARES).all()
    assert list(table.columns["name"]) == NAMES["name"]
    assert list(table.columns["code"]) == [1, 2]
    assert table.crs is not None
    assert "4326" in table.crs or "WGS" in table.crs
    assert table.name == path.name
    assert not table.broken
    assert not table.oddities


def test_the_digest_follows_every_part_of_a_shapefile(tmp_path: Path) -> None:
    path = write_shapefile(tmp_path / "parts")
    before = read(path).sha256
    assert read(path).sha256 == before
    with path.with_suffix(".dbf").open("r+b") as stream:
        stream.seek(-3, 2)
        stream.write(b"7")
    assert read(path).sha256 != before


def test_parts_that_are_missing_or_lie_outside_are_refused(tmp_path: Path) -> None:
    path = write_shapefile(tmp_path / "parts")
    secret = tmp_path / "secret.dbf"
    path.with_suffix(".dbf").rename(secret)
    with pytest.raises(UsageError, match=r"\.dbf is missing"):
        read(path)
    path.with_suffix(".dbf").symlink_to(secret)
    with pytest.raises(UsageError, match="outside the folders"):
        read(path, roots=[path.parent.resolve()])
    assert len(read(path).ids) == 2


def test_side_files_of_a_shapefile_are_not_looked_at(tmp_path: Path) -> None:
    path = write_shapefile(tmp_path / "parts")
    path.with_suffix(".qix").write_bytes(b"garbage")
    (path.parent / "pits.shp.aux.xml").write_text("<PAMDataset><SRS>EPSG:32633</SRS></PAMDataset>")
    assert len(read(path).ids) == 2


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("x.geojson", b"<OGRVRTDataSource></OGRVRTDataSource>", "VRT"),
        ("x.gpkg", b'<OGRVRTDataSource name="x"/>', "VRT"),
        ("x.shp", b"<html></html>", "web page"),
        ("x.json", b'{"type": "Topology"}', "not GeoJSON"),
        ("x.json", b'{"type": "FeatureCollection", "features": [', "not intact GeoJSON"),
        ("x.json", b"[1, 2]", "something else"),
        ("x.geojson", b"{" * 100_000, "not intact GeoJSON"),
        ("x.kml", b'<kml xmlns="http://www.opengis.net/kml/2.2"></kml>', "XML"),
        ("x.dxf", b"0\nSECTION\n", "something else"),
        ("x.gpkg", b"SQLite format 3\0" + b"\0" * 200, "not an intact GeoPackage"),
        ("x.sqlite", b"SQLite format 3\0" + b"\0" * 200, "usual endings"),
        ("x.zip", b"PK\x03\x04 not a zip", "zip archive is damaged"),
        ("x.shp", b"\x00\x00\x27\x0a" + b"\0" * 96, "missing"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=reason):
        read(path)


def test_a_linked_crs_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    link = {"type": "link", "properties": {"href": "http://127.0.0.1:9/crs"}}
    path = write_geojson(tmp_path / "a.geojson", SQUARES, crs=link)
    with pytest.raises(UsageError, match="behind a 'link'"):
        read(path)
    inside = json.loads(shapely.to_geojson(SQUARES[0])) | {"crs": link}
    with pytest.raises(UsageError, match="behind a 'link'"):
        read(write_geojson(tmp_path / "b.geojson", [inside]))
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    assert read(write_geojson(tmp_path / "c.geojson", SQUARES, crs=named)).crs == "EPSG:32633"


@pytest.mark.parametrize("name", ["urn:ogc:def:crs:EPSG::99999", "Xian, my own", "", None, 32633.5])
def test_a_crs_that_is_not_known_is_refused_and_not_taken_for_degrees(tmp_path: Path, name: Any) -> None:
    unknown = {"type": "name", "properties": {"name": name}}
    with pytest.raises(UsageError, match=r"reference system .* is not known"):
        read(write_geojson(tmp_path / "a.geojson", SQUARES, crs=unknown))


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def test_geopackages_with_virtual_tables_or_views_are_refused(tmp_path: Path) -> None:
    path = write_vector(tmp_path / "a.gpkg", SQUARES, NAMES, layer="pits")
    assert len(read(path).ids) == 2  # the spatial index is a virtual table too
    execute(path, "create virtual table evil using fts4(content)")
    with pytest.raises(UsageError, match="virtual table"):
        read(path)
    view = write_vector(tmp_path / "b.gpkg", SQUARES, NAMES, layer="pits", SPATIAL_INDEX="NO")
    execute(
        view,
        "create view seen as select * from pits",
        "insert into gpkg_contents (table_name, data_type, identifier, srs_id) values"
        " ('seen', 'features', 'seen', 4326)",
        "insert into gpkg_geometry_columns values ('seen', 'geom', 'POLYGON', 4326, 0, 0)",
    )
    with pytest.raises(UsageError, match="is a view"):
        read(view)


def test_layers_must_be_chosen_where_there_are_several(tmp_path: Path) -> None:
    path = write_vector(tmp_path / "x.gpkg", SQUARES, NAMES, layer="pits")
    write_vector(path, SQUARES[:1], layer='dumps "2021"', append=True)
    with pytest.raises(UsageError, match="choose one with --layer: dumps"):
        read(path)
    with pytest.raises(UsageError, match="no layer 'ponds'"):
        read(path, layer="ponds")
    table = read(path, layer='dumps "2021"')
    assert len(table.ids) == 1
    assert table.name == 'x.gpkg dumps "2021"'
    geojson = write_geojson(tmp_path / "x.geojson", SQUARES)
    with pytest.raises(UsageError, match="one layer only"):
        read(geojson, layer="pits")


def test_curves_and_measures_are_seen_though_gdal_straightens_them(tmp_path: Path) -> None:
    path = write_vector(tmp_path / "x.gpkg", SQUARES, NAMES, layer="pits", SPATIAL_INDEX="NO")
    ring = struct.pack("<BII", 1, 8, 3) + struct.pack("<6d", 0, 0, 1, 1, 0, 0)
    curve = struct.pack("<BII", 1, 10, 1) + ring
    measured = struct.pack("<BIId", 1, 2001, 0, 0)[:5] + struct.pack("<ddd", 1, 2, 3)
    header = b"GP\0\x01" + struct.pack("<i", 4326)
    with closing(sqlite3.connect(path)) as database:
        database.execute("update pits set geom = ? where fid = 1", (header + curve,))
        database.execute("update pits set geom = ? where fid = 2", (header + measured,))
        database.commit()
    table = read(path)
    assert table.oddities[0].startswith("CurvePolygon")
    assert table.oddities[1] == "has M values"
    line = shapely.from_wkt("LINESTRING (0 0, 1 1)")
    measured_shapes = write_vector(
        tmp_path / "m.shp", [line], geometry_type="LineString", driver="ESRI Shapefile"
    )
    for suffix, places in ((".shp", (32, 108)), (".shx", (32,))):
        part = bytearray(measured_shapes.with_suffix(suffix).read_bytes())
        for place in places:
            part[place] = 23  # PolyLineM
        measured_shapes.with_suffix(suffix).write_bytes(bytes(part))
    assert set(read(measured_shapes).oddities.values()) == {"has M values"}


def test_archives_that_are_made_to_harm_are_refused(tmp_path: Path) -> None:
    shapefile = write_shapefile(tmp_path / "parts")
    parts = {part.name: part for part in sorted(shapefile.parent.glob("pits.*"))}
    for name in ("../evil.txt", "/etc/evil", "a/../../evil", "..\\evil"):
        path = zip_of(tmp_path / "x.zip", {**parts, name: b"x"})
        with pytest.raises(UsageError, match="land elsewhere"):
            read(path)
    bomb = zip_of(tmp_path / "bomb.zip", {**parts, "zeros.bin": bytes(200 << 20)})
    with pytest.raises(UsageError, match="made to fill the disk"):
        read(bomb)
    link = zipfile.ZipInfo("pits.cpg")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        for name, part in parts.items():
            if name != "pits.cpg":
                archive.writestr(name, part.read_bytes())
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UsageError, match="symbolic link"):
        read(tmp_path / "link.zip")
    with pytest.raises(UsageError, match="there is no shapefile"):
        read(zip_of(tmp_path / "none.zip", {"readme.txt": b"hello"}))
    assert not (tmp_path.parent / "evil.txt").exists()


def test_an_archive_that_lies_about_sizes_is_refused(tmp_path: Path) -> None:
    path = zipped_shapefile(tmp_path / "x.zip", write_shapefile(tmp_path / "parts"))
    data = bytearray(path.read_bytes())
    place = data.rfind(b"PK\x01\x02", 0, data.rfind(b"pits.dbf"))
    struct.pack_into("<I", data, place + 24, 5)  # uncompressed size in the central directory
    path.write_bytes(bytes(data))
    with pytest.raises(UsageError, match=r"x\.zip"):
        read(path)


def test_a_shapefile_is_chosen_where_an_archive_has_several(tmp_path: Path) -> None:
    files: dict[str, bytes | Path] = {"__MACOSX/pits.shp": b"junk"}
    for stem in ("pits", "dumps"):
        shapefile = write_shapefile(tmp_path / stem, stem)
        files |= {f"{stem}/{part.name}": part for part in shapefile.parent.glob(f"{stem}.*")}
    path = zip_of(tmp_path / "x.zip", files)
    with pytest.raises(UsageError, match="choose one with --layer: dumps, pits"):
        read(path)
    assert read(path, layer="dumps").name == "x.zip dumps"


def test_texts_in_other_encodings_need_to_be_told(tmp_path: Path) -> None:
    path = write_vector(
        tmp_path / "x.shp", SQUARES[:1], {"name": ["石灰石矿"]}, driver="ESRI Shapefile", encoding="GBK"
    )
    path.with_suffix(".cpg").unlink()
    assert read(path, encoding="GBK").columns["name"] == ["石灰石矿"]
    with pytest.raises(UsageError, match=r"x\.shp"):
        read(path, encoding="no-such-encoding")


def test_odd_file_names_are_only_names(tmp_path: Path) -> None:
    for name in ("a!b.geojson", "zip+http;x?y#z.geojson", "矿 山'\".geojson"):
        assert len(read(write_geojson(tmp_path / name, SQUARES)).ids) == 2
