"""Two networks of one split and their ensemble in a database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch
from click.testing import CliRunner, Result

from db.connection import connect
from db.registry import ModelRecord, model_by_name
from inference.ensemble_command import ensemble
from inference.ensembles.making import make_ensemble
from inference.segmentation_model import SegmentationModel, load_segmentation
from ingest.declaration import Statement
from ingest.drawn_labels import LabelRequest
from ingest.files import source_file
from ingest.labels import ingest_labels
from ingest.requests import FeatureRequest
from ingest.scene import ingest_scene
from tests.fields import train, write_labels, write_scene

CPU = torch.device("cpu")


def typed(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(ensemble, list(arguments), env={"LODE_DATABASE_URL": url})


@dataclass(frozen=True)
class Prepared:
    """A database with a labelled scene, two networks of one split and other bands, and their ensemble.

    Attributes:
        url: of the database, which nobody changes: tests that would do so get a copy.
        printed: by the command that made the ensemble.

    """

    url: str
    printed: str

    def record(self, name: str = "both") -> ModelRecord:
        with connect(self.url) as conn:
            return model_by_name(conn, name)


def prepare(url: str, folder: Path) -> Prepared:
    """Fill a fresh database: a scene, labels, two trainings, an ensemble."""
    with connect(url) as conn:
        statement = Statement(sensor="gf2_pms", acquired_on=date(2021, 6, 19), product="fields")
        ingest_scene(conn, source_file(write_scene(folder)), statement)
        labels = FeatureRequest(source_file(write_labels(folder)))
        ingest_labels(conn, labels, LabelRequest(product="fields"))
        conn.commit()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train(url, "a", "deeplabv3plus", ("blue", "green", "red", "nir"), seed=1)
    train(url, "b", "unet", ("nir", "blue"), seed=2)
    done = typed(url, "both", "--member", "b", "--member", "a", "--device", "cpu")
    torch.set_num_threads(threads)
    assert done.exit_code == 0, done.output
    return Prepared(url, done.output)


def made(url: str, name: str, members: tuple[str, ...] = ("a", "b")) -> ModelRecord:
    return make_ensemble(url, name, members, device_name="cpu", report=print)


def loaded(url: str, name: str) -> SegmentationModel:
    with connect(url) as conn:
        return load_segmentation(conn, name, CPU)
