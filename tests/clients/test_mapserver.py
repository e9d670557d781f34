"""MapServer draws the class map from PostGIS, with the mapfile of docs/clients.md."""

from __future__ import annotations

import io
import os
import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from pyproj import Transformer

from tests.catalogue_rows import CODES
from tests.clients.programs import address, need
from tests.clients.world import EARLIER, EVERYWHERE, World
from tests.grids import cells
from tests.support import REPOSITORY

WIDTH_PX, HEIGHT_PX = 800, 400


@pytest.fixture
def mapfile(world: World, tmp_path: Path) -> Path:
    """The documented mapfile, for the district, its earlier year and this database."""
    document = (REPOSITORY / "docs" / "clients.md").read_text("utf-8")
    example = re.search(r"```\n(MAP\n.*?\nEND\n)```", document, re.S)
    assert example is not None
    parts = address(world.url)
    west, south, east, north = cells(EVERYWHERE, "x").bounds
    text = example.group(1)
    for documented, ours in (
        ("SIZE 800 600", f"SIZE {WIDTH_PX} {HEIGHT_PX}"),
        ("EXTENT 84 43 86 44", f"EXTENT {west} {south} {east} {north}"),
        (
            "host=<socket folder> dbname=lode user=lode_reader",
            f"host={parts['host']} port={parts['port']} dbname={parts['dbname']} user={parts['user']}",
        ),
        ("year = 2022", "year = 2021"),
    ):
        assert documented in text
        text = text.replace(documented, ours)
    path = tmp_path / "lode.map"
    path.write_text(text)
    return path


def class_colours(world: World) -> dict[str, tuple[int, ...]]:
    """Colour of each letter of drawn ground."""
    rows = world.conn.execute("select land_class_code, colour from lode.land_class").fetchall()
    by_code = {code: tuple(bytes.fromhex(colour.lstrip("#"))) for code, colour in rows}
    return {letter: by_code[code] for letter, code in CODES.items()}


def cell_centres() -> list[tuple[str, float, float]]:
    """Letter, longitude and latitude of each cell of the earlier drawing."""
    found = []
    for row, line in enumerate(EARLIER.strip().splitlines()):
        for column, letter in enumerate(line):
            alone = "\n".join("." * 8 if r != row else "." * column + "x" for r in range(row + 1))
            centre = cells(alone, "x").centroid
            found.append((letter, centre.x, centre.y))
    return found


def test_every_cell_has_the_colour_of_its_class(world: World, mapfile: Path, tmp_path: Path) -> None:
    need("map2img", "mapserver-bin")
    image_path = tmp_path / "map.png"
    done = subprocess.run(
        ["map2img", "-m", str(mapfile), "-o", str(image_path)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    image = Image.open(image_path).convert("RGB")
    assert image.size == (WIDTH_PX, HEIGHT_PX)
    # MapServer widens the extent to the image's shape, about its centre.
    west, south, east, north = cells(EVERYWHERE, "x").bounds
    per_px = max((east - west) / WIDTH_PX, (north - south) / HEIGHT_PX)
    colours = class_colours(world)
    seen = set()
    for letter, longitude, latitude in cell_centres():
        column = WIDTH_PX / 2 + (longitude - (west + east) / 2) / per_px
        row = HEIGHT_PX / 2 - (latitude - (south + north) / 2) / per_px
        assert image.getpixel((int(column), int(row))) == colours[letter], (letter, longitude, latitude)
        seen.add(letter)
    assert seen == {"v", "p", "d", "w"}
    counted = {colour: count for count, colour in image.getcolors(WIDTH_PX * HEIGHT_PX) or []}
    in_map = sum(counted[colours[letter]] for letter in seen)
    for letter in seen:  # areas by pixels: edges alone are mixed
        share = EARLIER.count(letter) / 32
        assert counted[colours[letter]] / in_map == pytest.approx(share, abs=0.02)


def test_a_web_map_service_draws_it_in_web_mercator(world: World, mapfile: Path, tmp_path: Path) -> None:
    need("mapserv", "cgi-mapserver")
    configuration = tmp_path / "mapserver.conf"
    configuration.write_text(f'CONFIG\n  ENV\n    MS_MAP_PATTERN "^{tmp_path}/"\n  END\nEND\n')
    to_mercator = Transformer.from_crs(4326, 3857, always_xy=True)
    pit = cells("....\n.xx.\n.xx.", "x").bounds
    west, south = to_mercator.transform(*pit[:2])
    east, north = to_mercator.transform(*pit[2:])
    query = (
        f"map={mapfile}&SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&LAYERS=landcover&STYLES=&CRS=EPSG:3857"
        f"&BBOX={west - 20},{south - 20},{east + 20},{north + 20}&WIDTH=100&HEIGHT=100&FORMAT=image/png"
    )
    done = subprocess.run(
        ["mapserv"],
        check=True,
        capture_output=True,
        env={
            **os.environ,
            "REQUEST_METHOD": "GET",
            "QUERY_STRING": query,
            "MAPSERVER_CONFIG_FILE": str(configuration),
        },
    )
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert b"image/png" in head, done.stdout[:2000]
    image = Image.open(io.BytesIO(body)).convert("RGB")
    colours = class_colours(world)
    assert image.getpixel((50, 50)) == colours["p"]
    assert image.getpixel((2, 2)) == colours["v"]
    assert {colour for _count, colour in image.getcolors(10_000) or []} >= {colours["p"], colours["v"]}
