"""A simulated mining district: scenes, labels, mines, geology and the exact truth, without any download."""

from ingest.simulate.district import District, Scene, simulate_district

__all__ = ["District", "Scene", "simulate_district"]
