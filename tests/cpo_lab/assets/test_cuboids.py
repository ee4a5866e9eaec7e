# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The cuboid sets: counts, sizes, masses, order and assignment."""

from __future__ import annotations

import numpy as np
import pytest

from cpo_lab.assets import cuboids
from cpo_rl.errors import UserError


def test_counts_of_the_rules_and_sets():
    assert [len(rule.shapes()) for rule in (cuboids.DEFAULT, cuboids.SMALL, cuboids.BIG, cuboids.STICKS)] == [
        1,
        654,
        248,
        45,
    ]
    full = cuboids.object_shapes("cuboids")
    assert len(full) == 947 and len(set(full)) == 938
    assert len(cuboids.object_shapes("small_cuboids")) == 654


@pytest.mark.parametrize(
    ("name", "shortest", "longest", "lightest", "heaviest"),
    [("cuboids", 0.025, 0.30, 0.05, 0.75), ("small_cuboids", 0.025, 0.15, 0.05, 0.125)],
)
def test_edges_and_masses(name, shortest, longest, lightest, heaviest):
    shapes = cuboids.object_shapes(name)
    lengths = np.array([cuboids.edges(shape) for shape in shapes])
    masses = np.array([cuboids.mass(shape) for shape in shapes])
    assert lengths.min() == pytest.approx(shortest) and lengths.max() == pytest.approx(longest)
    assert masses.min() == pytest.approx(lightest, rel=1e-6) and masses.max() == pytest.approx(heaviest, rel=1e-6)


def test_inertia_of_a_known_box():
    # 0.05 x 0.10 x 0.15 m: m = 400 * 7.5e-4 = 0.3 kg; Ixx = 0.3/12 * (0.01 + 0.0225)
    assert cuboids.mass((100, 200, 300)) == pytest.approx(0.3)
    assert cuboids.inertia((100, 200, 300)) == pytest.approx((0.025 * 0.0325, 0.025 * 0.025, 0.025 * 0.0125))


def test_order_is_a_fixed_shuffle_of_the_sorted_names():
    """Pins the order by its own definition: unshuffling with the same seed gives back the sorted names."""
    shapes = cuboids.object_shapes("small_cuboids")
    order = list(range(654))
    np.random.default_rng(42).shuffle(order)
    names = sorted(f"{i:03d}_cube_{x}_{y}_{z}.urdf" for i, (x, y, z) in enumerate(cuboids.SMALL.shapes()))
    for place in (0, 1, 300, 653):
        assert "_".join(map(str, shapes[place])) + ".urdf" == names[order[place]].split("cube_")[1]
    assert names[0] == "000_cube_100_100_100.urdf"


def test_num_objects_takes_the_head_of_the_list():
    assert cuboids.object_shapes("cuboids", 8) == cuboids.object_shapes("cuboids")[:8]


@pytest.mark.parametrize(("name", "count"), [("spheres", None), ("cuboids", 0), ("cuboids", 948), ("cube", 2)])
def test_bad_input_is_one_sentence(name, count):
    with pytest.raises(UserError) as error:
        cuboids.object_shapes(name, count)
    assert str(error.value).count(".") >= 1 and "\n" not in str(error.value)


@pytest.mark.parametrize("num_objects", [947, 654, 8])
def test_policy_blocks_of_the_paper_see_the_same_objects(num_objects):
    """24,576 environments in 6 blocks: the count of an object differs by at most one between blocks."""
    counts = [
        np.bincount(block, minlength=num_objects)
        for block in cuboids.object_of_env(24576, num_objects).reshape(6, 4096)
    ]
    assert np.ptp(np.stack(counts), axis=0).max() <= 1
    assert min(count.min() for count in counts) >= 1


def test_round_robin_is_a_clone_strategy():
    assert cuboids.round_robin(np.ones(3), 7).tolist() == [0, 1, 2, 0, 1, 2, 0]
