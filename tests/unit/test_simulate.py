"""The simulated district: same seed same pixels, exact truth, scenes and labels as real ones would be."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio import features

from db.errors import UsageError
from ingest.simulate import District, simulate_district

KEYS = (
    "background",
    "vegetation",
    "water",
    "living_area",
    "industrial_square",
    "dump",
    "open_pit",
    "tailings_pond",
)


@pytest.fixture(scope="module")
def district(tmp_path_factory: pytest.TempPathFactory) -> District:
    return simulate_district(tmp_path_factory.mktemp("district"), seed=7, width_px=560, height_px=448)


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> District:
    return simulate_district(tmp_path_factory.mktemp("small"), seed=5, width_px=384, height_px=384)


def pixels(path: Path) -> NDArray[np.generic]:
    with rasterio.open(path) as file:
        return file.read()


def class_map(district: District, year: int) -> NDArray[np.uint8]:
    return pixels(district.truth_maps[year])[0]


def rows_of(path: Path) -> tuple[NDArray[np.object_], dict[str, NDArray[np.generic]]]:
    meta, _, geometry, columns = pyogrio.raw.read(path)
    return shapely.from_wkb(geometry), dict(zip(meta["fields"], columns, strict=True))


def test_same_seed_gives_the_same_files(smallest: District, tmp_path: Path) -> None:
    again = simulate_district(tmp_path, seed=5, width_px=384, height_px=384)
    for one, two in zip(smallest.scenes, again.scenes, strict=True):
        assert one.product == two.product
        np.testing.assert_array_equal(pixels(one.path), pixels(two.path))
    for name in ("labels", "mines", "licences", "faults", "plutons", "deposits"):
        first, second = rows_of(getattr(smallest, name)), rows_of(getattr(again, name))
        assert shapely.equals_exact(first[0], second[0]).all()
        assert all((first[1][key] == second[1][key]).all() for key in first[1])
    assert smallest.truth_areas.read_text() == again.truth_areas.read_text()


def test_another_seed_gives_another_district(smallest: District, tmp_path: Path) -> None:
    other = simulate_district(tmp_path, seed=6, width_px=384, height_px=384)
    differ = class_map(smallest, 2021) != class_map(other, 2021)
    assert differ.mean() > 0.2


def test_grid_lies_on_multiples_of_the_resolution(district: District) -> None:
    for path in [scene.path for scene in district.scenes] + list(district.truth_maps.values()):
        with rasterio.open(path) as file:
            assert file.crs.to_epsg() == 32645
            assert file.res == (2.0, 2.0)
            assert file.transform.c % 2 == 0
            assert file.transform.f % 2 == 0


def test_two_scenes_a_year_overlap_in_part(district: District) -> None:
    assert len(district.scenes) == 6
    for year in district.years:
        first, second = (scene for scene in district.scenes if scene.acquired_on.year == year)
        assert first.acquired_on < second.acquired_on
        seen = []
        for scene in (first, second):
            full = np.zeros(class_map(district, year).shape, np.bool_)
            with rasterio.open(scene.path) as file, rasterio.open(district.truth_maps[year]) as truth:
                column = round((file.transform.c - truth.transform.c) / 2)
                row = round((truth.transform.f - file.transform.f) / 2)
                full[row : row + file.height, column : column + file.width] = file.read(1) > 0
            seen.append(full)
        both = (seen[0] & seen[1]).mean()
        assert 0.2 < both < 0.45
        assert (seen[0] | seen[1]).mean() > 0.96
        boundaries, _ = rows_of(district.mines)
        with rasterio.open(district.truth_maps[year]) as truth:
            mine = features.rasterize(boundaries, out_shape=full.shape, transform=truth.transform) == 1
        assert (seen[0] | seen[1])[mine].mean() > 0.985


def test_collar_is_nodata_and_valid_numbers_are_neither_zero_nor_saturated(district: District) -> None:
    for scene in district.scenes:
        with rasterio.open(scene.path) as file:
            assert file.dtypes == ("uint16",) * 4
            assert file.nodata == 0
            assert file.descriptions == ("blue", "green", "red", "nir")
            bands = file.read()
        collar = (bands == 0).all(axis=0)
        assert ((bands == 0).any(axis=0) == collar).all()
        assert 0.02 < collar.mean() < 0.25
        # The swath is slanted: what it saw lies farther right at the top than at the bottom.
        across = np.arange(collar.shape[1])
        top, bottom = (across[~collar[row]].mean() for row in (collar.shape[0] // 20, -collar.shape[0] // 20))
        assert top > bottom + 15
        assert bands.max() < 4095
        assert 250 < np.median(bands[2][~collar]) < 900


def test_product_names_carry_sensor_place_and_date(district: District) -> None:
    for number, scene in enumerate(district.scenes, start=1):
        family, camera, east, north, day, level = scene.product.split("_")
        assert (family, camera[:3], north) == ("GF2", "PMS", "N43.9")
        assert east in ("E87.0", "E87.1")
        assert day == f"{scene.acquired_on:%Y%m%d}"
        assert level == f"L1A{number:07d}"
        assert scene.sensor == "gf2_pms"
    assert len({scene.product for scene in district.scenes}) == 6


@pytest.mark.parametrize("year", [2021, 2022, 2023])
def test_every_class_stands_in_more_than_one_place(district: District, smallest: District, year: int) -> None:
    for place in (district, smallest):
        truth = class_map(place, year)
        assert set(np.unique(truth)) == set(range(8))
        for code in range(1, 8):
            found = features.shapes((truth == code).astype(np.uint8), connectivity=8)
            large = [g for g, value in found if value == 1 and shapely.geometry.shape(g).area >= 60]
            assert len(large) >= (3 if code in (2, 7) else 2), (year, KEYS[code])


def test_damaged_land_is_a_meaningful_share(district: District) -> None:
    damaged = np.isin(class_map(district, 2022), (3, 4, 5, 6, 7)).mean()
    assert 0.15 < damaged < 0.35


def test_areas_are_the_pixels_inside_the_boundaries(district: District) -> None:
    content = json.loads(district.truth_areas.read_text(encoding="utf-8"))
    boundaries, columns = rows_of(district.mines)
    listed = {(row["year"], row["mine"], row["class"]): row for row in content["mine_area"]}
    for year in district.years:
        with rasterio.open(district.truth_maps[year]) as file:
            truth, transform = file.read(1), file.transform
        for boundary, code in zip(boundaries, columns["code"], strict=True):
            inside = features.rasterize([boundary], out_shape=truth.shape, transform=transform) == 1
            for value, key in enumerate(KEYS):
                expected = int((truth[inside] == value).sum())
                row = listed.pop((year, code, key), {"pixels": 0, "area_m2": 0.0})
                assert row["pixels"] == expected
                assert row["area_m2"] == 4.0 * expected
    assert not listed
    for row in content["district"]:
        count = int((class_map(district, row["year"]) == KEYS.index(row["class"])).sum())
        assert (row["pixels"], row["area_m2"]) == (count, 4.0 * count)


def test_damage_by_kind_sums_the_mines(district: District) -> None:
    content = json.loads(district.truth_areas.read_text(encoding="utf-8"))
    for total in content["damage"]:
        rows = [
            row["area_m2"]
            for row in content["mine_area"]
            if (row["year"], row["kind"]) == (total["year"], total["kind"])
        ]
        assert sum(rows) == total["area_m2"]
    assert {total["kind"] for total in content["damage"]} == {"excavated", "occupied"}
    kinds = {row["class"]: row["kind"] for row in content["mine_area"]}
    assert (kinds["water"], kinds["open_pit"]) == ("excavated", "excavated")
    assert (kinds["vegetation"], kinds["background"]) == ("none", "none")


def test_mines_do_not_overlap_and_hold_nearly_all_facilities(district: District) -> None:
    boundaries, columns = rows_of(district.mines)
    assert len(boundaries) >= 4
    assert shapely.is_valid(boundaries).all()
    assert len(set(columns["code"])) == len(boundaries)
    assert len(set(columns["mineral"])) >= 3
    assert set(columns["mining_method"]) == {"open_cast", "underground"}
    union = shapely.union_all(boundaries)
    assert union.area == pytest.approx(shapely.area(boundaries).sum(), rel=1e-9)
    with rasterio.open(district.truth_maps[2023]) as file:
        truth, transform = file.read(1), file.transform
    inside = features.rasterize(list(boundaries), out_shape=truth.shape, transform=transform) == 1
    facilities = np.isin(truth, (4, 5, 6, 7))
    assert inside[facilities].mean() > 0.99
    licences, of = rows_of(district.licences)
    assert (of["code"] == columns["code"]).all()
    assert shapely.is_valid(licences).all()


def test_pits_grow_and_a_facility_is_new(district: District) -> None:
    pits = [int((class_map(district, year) == 6).sum()) for year in district.years]
    assert pits[0] < pits[1] < pits[2]
    squares = [class_map(district, year) == 4 for year in district.years]
    assert int(squares[2].sum()) > 1.1 * int(squares[0].sum())
    assert (squares[0] & ~squares[2]).sum() < 0.05 * squares[0].sum()


def test_treated_ground_was_damaged_and_is_vegetation_now(district: District) -> None:
    outlines, columns = rows_of(district.truth_treated)
    assert set(columns["class"]) == {"treated_open_pit", "treated_dump"}
    assert set(columns["year"]) == {2022, 2023}
    assert set(columns["kind"]) == {"treated"}
    with rasterio.open(district.truth_maps[2021]) as file:
        transform = file.transform
    before = class_map(district, 2021)
    for key, code in (("treated_open_pit", 6), ("treated_dump", 5)):
        chosen = outlines[(columns["class"] == key) & (columns["year"] == 2023)]
        treated = features.rasterize(list(chosen), out_shape=before.shape, transform=transform) == 1
        assert (class_map(district, 2023)[treated] == 1).all()
        assert (before[treated] == code).mean() > 0.9
    content = json.loads(district.truth_areas.read_text(encoding="utf-8"))
    areas = {2022: 0.0, 2023: 0.0}
    for row in content["treated"]:
        areas[row["year"]] += row["area_m2"]
    assert 0 < areas[2022] < areas[2023]
    assert areas[2023] == pytest.approx(shapely.area(outlines[columns["year"] == 2023]).sum(), rel=0.02)


def test_labels_are_valid_and_agree_with_the_truth(district: District) -> None:
    outlines, columns = rows_of(district.labels)
    assert shapely.is_valid(outlines).all()
    assert set(columns["class"]) == set(KEYS)
    products = {scene.product: scene for scene in district.scenes}
    mines, _ = rows_of(district.mines)
    for year in district.years:
        with rasterio.open(district.truth_maps[year]) as file:
            truth, transform = file.read(1), file.transform
        chosen = np.flatnonzero(columns["year"] == year)
        drawn = features.rasterize(
            [(outlines[i], KEYS.index(columns["class"][i])) for i in chosen],
            out_shape=truth.shape,
            transform=transform,
            fill=255,
            dtype="uint8",
        )
        labelled = drawn != 255
        assert 0.42 < labelled.mean() < 0.62
        assert (drawn == truth)[labelled].mean() > 0.95
        for mine in mines:
            inside = features.rasterize([mine], out_shape=truth.shape, transform=transform) == 1
            assert 0.2 < labelled[inside].mean() < 0.9
        for i in chosen:
            scene = products[columns["product"][i]]
            assert scene.acquired_on.year == year
            assert columns["interpreted_on"][i].astype("datetime64[D]") > np.datetime64(scene.acquired_on)
            assert columns["acquired_on"][i].astype("datetime64[D]") == np.datetime64(scene.acquired_on)


def test_labels_lie_on_the_pixels_of_their_scene(district: District) -> None:
    outlines, columns = rows_of(district.labels)
    for scene in district.scenes:
        chosen = list(outlines[columns["product"] == scene.product])
        assert chosen
        with rasterio.open(scene.path) as file:
            valid = file.read(1) > 0
            drawn = features.rasterize(chosen, out_shape=valid.shape, transform=file.transform) == 1
        assert valid[drawn].mean() > 0.995
        if scene.cloud is not None:
            assert shapely.intersection(shapely.union_all(chosen), scene.cloud).area < 0.01 * scene.cloud.area


def test_cloud_is_bright_and_its_shadow_dark(district: District) -> None:
    cloudy = [scene for scene in district.scenes if scene.cloud is not None]
    assert [scene.acquired_on for scene in cloudy] == [date(2021, 6, 15), date(2022, 7, 4)]
    _, columns = rows_of(district.truth_clouds)
    assert sorted(columns["kind"]) == ["cloud", "cloud", "shadow", "shadow"]
    for scene in cloudy:
        assert scene.cloud is not None
        assert scene.shadow is not None
        with rasterio.open(scene.path) as file:
            red, transform = file.read(3), file.transform
        cloud = features.rasterize([scene.cloud], out_shape=red.shape, transform=transform) == 1
        shadow = features.rasterize([scene.shadow], out_shape=red.shape, transform=transform) == 1
        clear = (red > 0) & ~cloud & ~shadow
        assert np.median(red[cloud]) > 2 * np.median(red[clear])
        assert np.median(red[shadow & ~cloud & (red > 0)]) < 0.8 * np.median(red[clear])


def test_colours_alone_neither_solve_nor_hide_the_classes(district: District) -> None:
    scene = district.scenes[-1]
    with rasterio.open(scene.path) as file, rasterio.open(district.truth_maps[2023]) as truth:
        bands = file.read().reshape(4, -1).astype(np.float64)
        window = truth.window(*file.bounds)
        classes = truth.read(1, window=window).ravel()
    valid = bands[0] > 0
    bands, classes = bands[:, valid], classes[valid]
    bands = (bands - bands.mean(axis=1, keepdims=True)) / bands.std(axis=1, keepdims=True)
    means = np.stack([bands[:, classes == code].mean(axis=1) for code in range(8)])
    nearest = ((bands[:, :, None] - means.T[:, None, :]) ** 2).sum(axis=0).argmin(axis=1)
    accuracy = (nearest == classes).mean()
    recall = np.mean([(nearest == code)[classes == code].mean() for code in range(8)])
    assert 0.25 < accuracy < 0.93
    assert 0.25 < recall < 0.93


def test_plants_change_with_the_season(district: District) -> None:
    """Ground under plants is greener in August of a wet year than in September of a dry one."""
    index = {}
    for scene in district.scenes:
        if scene.product.split("_")[1] != "PMS2":
            continue
        with rasterio.open(scene.path) as file:
            red, nir = file.read([3, 4]).astype(np.float64)
            with rasterio.open(district.truth_maps[2021]) as truth:
                plants = truth.read(1, window=truth.window(*file.bounds)) == 1
        plants &= red > 0
        index[scene.acquired_on.year] = float(((nir - red) / (nir + red + 1e-9))[plants].mean())
    assert index[2023] - index[2022] > 0.015


def test_geology_is_valid_and_quarries_stand_on_plutons(district: District) -> None:
    plutons, _ = rows_of(district.plutons)
    faults, columns = rows_of(district.faults)
    deposits, found = rows_of(district.deposits)
    assert shapely.is_valid(plutons).all()
    assert shapely.is_simple(faults).all()
    assert (shapely.length(faults) > 100).all()
    assert len(set(columns["name"])) == len(faults)
    granite = deposits[found["mineral"] == "granite"]
    assert len(granite)
    assert shapely.intersects(shapely.union_all(plutons), granite).all()


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    simulate_district(tmp_path, seed=2, width_px=400, height_px=384, progress=told.append)
    assert told[0] == "terrain and rivers"
    assert sum("scene" in line for line in told) == 6


@pytest.mark.parametrize(
    ("options", "wrong"),
    [({"width_px": 100}, "width_px"), ({"height_px": 20_000}, "height_px"), ({"seed": -1}, "seed")],
)
def test_sizes_and_seeds_out_of_range_are_refused(
    tmp_path: Path, options: dict[str, int], wrong: str
) -> None:
    with pytest.raises(UsageError, match=wrong):
        simulate_district(tmp_path / "new", **options)
    assert not (tmp_path / "new").exists()
