"""Labels of 4-connected patches, also for scenes on disk."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import ndimage

from inference.polygonise import NOT_OBSERVED, label_components, polygonise, sieve


@settings(deadline=None, max_examples=200)
@given(
    arrays(
        np.uint8,
        array_shapes(min_dims=2, max_dims=2, max_side=12),
        elements=st.sampled_from([0, 1, 2, NOT_OBSERVED]),
    )
)
def test_labels_are_those_of_scipy_in_scan_order(class_map):
    components = label_components(class_map)
    expected = np.zeros(class_map.shape, np.int64)
    for code in (0, 1, 2):
        of_class, _count = ndimage.label(class_map == code)
        expected += np.where(of_class > 0, of_class + expected.max(), 0)
    # Number them by their first pixel.
    values, first = np.unique(expected, return_index=True)
    is_patch = values > 0
    in_order = values[is_patch][np.argsort(first[is_patch])]
    renumbered = np.zeros(expected.max() + 1, np.int32)
    renumbered[in_order] = np.arange(1, len(in_order) + 1)
    np.testing.assert_array_equal(components.labels, renumbered[expected])
    assert components.pixel_count.tolist() == [(expected == value).sum() for value in in_order]
    assert components.class_code.tolist() == [class_map.flat[np.argmax(expected == v)] for v in in_order]


def test_labels_go_to_a_file_when_asked(tmp_path):
    class_map = np.memmap(tmp_path / "classes", np.uint8, "w+", shape=(30, 40))
    class_map[:] = np.random.default_rng(1).integers(0, 3, class_map.shape)
    out = np.memmap(tmp_path / "labels", np.int32, "w+", shape=class_map.shape)
    assert label_components(class_map, out=out).labels is out
    np.testing.assert_array_equal(out, label_components(np.array(class_map)).labels)
    with pytest.raises(ValueError, match="got int64"):
        label_components(class_map, out=np.zeros(class_map.shape, np.int64))


def test_memory_is_for_boundaries_not_pixels():
    side = 2048
    class_map = np.zeros((side, side), np.uint8)
    class_map[500:1500, 300:900] = 1
    out = np.empty_like(class_map)
    grid = {"origin_x": 0.0, "origin_y": 0.0, "resolution_x": 2.0, "resolution_y": 2.0}
    polygonise(class_map, **grid)  # compiles
    sieve(class_map, {1: 5}, out=out)
    tracemalloc.start()
    sieve(class_map, {1: 5}, out=out)
    polygonise(class_map, **grid)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.2 * side * side
