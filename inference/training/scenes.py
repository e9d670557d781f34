"""Which scenes and bands a training uses, read from the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from psycopg import Connection
from psycopg.rows import TupleRow

from db.errors import UsageError
from db.labels import labels_of_scene
from db.scenes import Scene, list_scenes, scene_by_product
from inference.scene_checks import source_of, within_tolerance
from inference.scene_source import CACHE_BYTES, SceneSource


@dataclass(frozen=True)
class Chosen:
    """What a training works on.

    Attributes:
        scenes: scenes that have labels, of one unit and about one resolution.
        band_names: bands that all of them have, in the order of the first (or as asked for).

    """

    scenes: tuple[Scene, ...]
    band_names: tuple[str, ...]

    @property
    def resolution_m(self) -> float:
        """Pixel size of the first scene."""
        return self.scenes[0].grid.resolution_x

    @property
    def shortest_edge_px(self) -> int:
        """Of all scenes."""
        return min(min(scene.grid.width_px, scene.grid.height_px) for scene in self.scenes)


def choose_scenes(conn: Connection[TupleRow], products: Sequence[str], band_names: Sequence[str]) -> Chosen:
    """Find the scenes to train on and the bands they share.

    Args:
        conn: connection.
        products: product names; none: every current scene that has labels.
        band_names: bands to use; none: all that the scenes share.

    Raises:
        UsageError: there is no scene, none has labels or a named one has none, units or resolutions differ,
            a band is missing, no band is shared.

    """
    if products:
        scenes = [scene_by_product(conn, product) for product in dict.fromkeys(products)]
        bare = [scene.product for scene in scenes if not labels_of_scene(conn, scene.scene_id)]
        if bare:
            raise UsageError(
                f"no labels hold for {', '.join(bare)}: bring some with `lode ingest labels`, or leave it out"
            )
    else:
        current = list_scenes(conn)
        if not current:
            raise UsageError("there is no scene to train on: bring one with `lode ingest scene`")
        scenes = [scene for scene in current if labels_of_scene(conn, scene.scene_id)]
        if not scenes:
            raise UsageError(
                f"none of the {len(current)} scenes has labels: bring some with `lode ingest labels`, or "
                "draw them into lode.label; a label counts for the scene it names or for all of its year"
            )
    return chosen_of(scenes, band_names)


def chosen_of(scenes: Sequence[Scene], band_names: Sequence[str]) -> Chosen:
    """Scenes that are known, checked against each other, with the bands they share.

    Raises:
        UsageError: units or resolutions differ, a band is missing, no band is shared.

    """
    _check_alike(scenes)
    return Chosen(tuple(scenes), _shared_bands(scenes, band_names))


def _check_alike(scenes: Sequence[Scene]) -> None:
    first = scenes[0]
    for scene in scenes:
        if scene.processing_level != first.processing_level:
            raise UsageError(
                f"scene {first.product} holds {first.processing_level}, scene {scene.product} holds "
                f"{scene.processing_level}: train on scenes of one unit, naming them with --scene"
            )
        if not within_tolerance(scene.grid.resolution_x, first.grid.resolution_x):
            raise UsageError(
                f"scene {first.product} has pixels of {first.grid.resolution_x:g} m, scene {scene.product} "
                f"of {scene.grid.resolution_x:g} m: choose those of one resolution with --scene"
            )


def _shared_bands(scenes: Sequence[Scene], wanted: Sequence[str]) -> tuple[str, ...]:
    if len(set(wanted)) < len(wanted):
        raise UsageError(f"a band is named twice in --bands {','.join(wanted)}")
    shared = [name for name in scenes[0].band_names if all(name in scene.band_names for scene in scenes)]
    missing = [name for name in wanted if name not in shared]
    if missing or not shared:
        lists = "; ".join(f"{scene.product}: {', '.join(scene.band_names)}" for scene in scenes)
        what = (
            f"not every scene has the bands {', '.join(missing)}" if missing else "the scenes share no band"
        )
        raise UsageError(f"{what} ({lists}): choose among shared bands with --bands, or scenes with --scene")
    return tuple(wanted) if wanted else tuple(shared)


def training_sources(
    conn: Connection[TupleRow], chosen: Chosen, cache_bytes: int = CACHE_BYTES
) -> list[SceneSource]:
    """The scenes' pixels; held in memory in their stored type when all together are small enough."""
    sources = [source_of(conn, scene, chosen.band_names) for scene in chosen.scenes]
    total = sum(
        source.grid.width_px * source.grid.height_px * len(source.bands) * source.reader.dtype.itemsize
        for source in sources
    )
    if total <= cache_bytes:
        return [source.cached() for source in sources]
    # the scenes share one connection, so they share one lock
    return [replace(source, lock=sources[0].lock) for source in sources]
