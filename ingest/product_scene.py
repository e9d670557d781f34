"""A product of a data centre into the database: read, processed, stored and catalogued in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import rasterio
from psycopg import Connection

from db.errors import UsageError
from db.locks import allow_long_transaction, hold
from db.scenes import current_products_of_content, current_scene
from db.sensors import sensor_by_key
from ingest.clouds import read_clouds
from ingest.declaration import check_product_name
from ingest.files import SourceFile
from ingest.opening import ENVIRONMENT
from ingest.processing.materials import acquisition_of, calibrations_used, make_material, scene_part
from ingest.processing.treatment import Treatment
from ingest.products.product import Product
from ingest.scene_store import Entry, Progress, Report, SceneOutcome, digest_of, other_products
from ingest.treated_scene import Connect, comparison_with, reference_scene, store_material

EARLIEST = datetime(1972, 7, 23, tzinfo=UTC)
"""Launch of the first Landsat."""


def ingest_product(
    conn: Connection[Any],
    product: Product,
    treatment: Treatment,
    *,
    connect: Connect,
    source_name: str,
    name: str | None = None,
    workspace: Path,
    cloud_file: SourceFile | None = None,
    roots: Sequence[Path] = (),
    report: Report = lambda _line: None,
    progress: Progress = lambda _stage, _done, _total: None,
) -> SceneOutcome:
    """Bring a product into the database, inside the caller's transaction.

    The caller commits; after any exception it rolls back, and nothing is left.

    Args:
        conn: connection, not in autocommit mode.
        product: the product.
        treatment: what is to be done to it.
        connect: opens a connection of its own, to read a reference scene with.
        source_name: the package, for messages and the catalogue.
        name: product name to store it under; by default the product's own.
        workspace: private folder for working files.
        cloud_file: vector file with outlines of cloud and shadow, which count as not observed.
        roots: folders that parts of that file must lie in; empty: any.
        report: takes a line when there is something to wait for.
        progress: takes the progress of storing.

    Raises:
        UsageError: the product or what is asked for cannot be right.

    """
    treatment.check(has_clouds=cloud_file is not None)
    part = scene_part(product, treatment)
    own_name = product.name if part is product.parts[0] else f"{product.name}-{part.role}"
    stored_name = own_name if name is None else name
    check_product_name(stored_name)
    _check_moment(product)
    sensor = sensor_by_key(conn, part.sensor)
    allow_long_transaction(conn)
    sha256 = digest_of(product.files, part.role)
    reference = reference_scene(conn, treatment, stored_name)
    # What the result depends on: the same content is the same scene only while all of it is the same.
    declared = {
        "step": "declared",
        "family": product.family,
        "sensor": part.sensor,
        "camera": part.camera,
        "role": part.role,
        "acquired_at": product.acquired_at.isoformat(),
        "treatment": treatment.as_json(),
        "calibration": calibrations_used(conn, product, treatment),
        **({} if reference is None else {"reference_version": reference.version}),
        **({} if cloud_file is None else {"clouds_sha256": cloud_file.sha256()}),
    }
    for lock in sorted((f"scene content {sha256}", f"scene product {stored_name}")):
        hold(conn, lock, report)
    older = current_scene(conn, stored_name)
    if older is not None and older.sha256 == sha256 and list(older.steps[:1]) == [declared]:
        return SceneOutcome(older, False, None, 0, ())
    if older is not None and older.sensor != part.sensor:
        raise UsageError(
            f"product {stored_name!r} is there as a scene of {older.sensor}, and this is one of "
            f"{part.sensor}: "
            "it would supersede another kind of scene. Name it otherwise with --product"
        )
    other_products(current_products_of_content(conn, sha256), stored_name, source_name)
    entry = Entry(
        product=stored_name,
        sensor=sensor,
        acquired_on=product.acquired_at.date(),
        acquisition=acquisition_of(product),
        sha256=sha256,
        source_name=source_name,
        parts=product.files,
        metadata={**product.metadata, "stated_cloud_fraction": product.cloud_fraction},
        declared=declared,
        notes=product.notes,
    )
    with ExitStack() as stack:
        stack.enter_context(rasterio.Env(**ENVIRONMENT))
        material = make_material(conn, product, treatment, stack, workspace, reference)
        outcome = store_material(
            conn,
            material,
            treatment,
            entry,
            replaces=older,
            clouds=None if cloud_file is None else read_clouds(cloud_file, roots, material.source.grid),
            comparison=comparison_with(stack, connect, reference, material),
            report=report,
            progress=progress,
        )
        for each in product.parts:
            for layer in each.layers:
                for file in layer.files:
                    file.check_unchanged()
        return outcome


def _check_moment(product: Product) -> None:
    """Refuse days on which no civil satellite looked, or none has yet."""
    at = product.acquired_at
    if not EARLIEST <= at <= datetime.now(UTC) + timedelta(days=1):
        raise UsageError(f"{product.name}: acquired at {at:%Y-%m-%d %H:%M}? That cannot be")
