# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Environments put side by side, in pictures and videos."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cpo_lab.tasks.ranges import check_ranges
from cpo_lab.viewing.captions import Scoreboard
from cpo_lab.viewing.pictures import Studio
from cpo_rl.algorithms.episodes import EpisodeCounter


class Viewer:
    """Paints each environment in the color of its place."""

    def __init__(self, size):
        self.size, self.views = size, []

    def set_camera_view(self, eye, target):
        self.views.append((eye, target))

    def render_rgb_array(self):
        return np.full((self.size[1], self.size[0], 3), 10 * len(self.views), dtype=np.uint8)


def board(names):
    return Scoreboard(names, dict.fromkeys(names, (200, 0, 0)))


def counted_step():
    return EpisodeCounter(1, "cpu").step(torch.zeros(1), torch.zeros(1), {})


def fake_env(viewer, origins):
    sim = SimpleNamespace(is_rendering=True, visualizers=[viewer])
    scene = SimpleNamespace(object=SimpleNamespace(init_state=SimpleNamespace(pos=(0.0, 0.0, 0.5))))
    cfg = SimpleNamespace(scene=scene)
    env = SimpleNamespace(sim=sim, scene=SimpleNamespace(env_origins=torch.tensor(origins)), cfg=cfg)
    return SimpleNamespace(unwrapped=env)


def test_environments_side_by_side():
    studio = Studio(None, None, (300, 200), board({0: "", 2: "", 4: "", 6: "", 8: ""}))
    assert (studio.columns, studio.rows, studio.tile) == (3, 2, (100, 100))
    viewer = Viewer(studio.tile)
    image = studio.render(fake_env(viewer, [[float(i), 0.0, 0.0] for i in range(10)]))
    assert image.shape == (200, 300, 3)
    assert [image[r, c, 0] for r in (50, 150) for c in (50, 150, 250)] == [10, 20, 30, 40, 50, 255]
    assert [target for _, target in viewer.views] == [[float(i), 0.0, 0.5] for i in (0, 2, 4, 6, 8)]


def test_tiles_are_even_as_videos_demand():
    assert Studio(None, None, (101, 55), board({0: ""})).tile == (100, 54)


def test_caption_is_written_below_the_picture():
    one, other = Studio(None, None, (64, 64), board({0: "0"})), Studio(None, None, (64, 64), board({0: "leader"}))
    env = fake_env(Viewer((64, 64)), [[0.0, 0.0, 0.0]])
    first, second = one.render(env), other.render(env)
    assert (first[-12:] != second[-12:]).any()
    assert len(np.unique(first[5:40, 5:-5])) == 1


def test_task_may_place_the_camera():
    env = fake_env(viewer := Viewer((32, 32)), [[1.0, 0.0, 0.0]])
    env.unwrapped.cfg.camera_eye, env.unwrapped.cfg.camera_lookat = (0.0, -1.0, 1.0), (0.0, 0.0, 0.25)
    Studio(None, None, (32, 32), board({0: ""})).render(env)
    assert viewer.views == [([1.0, -1.0, 1.0], [1.0, 0.0, 0.25])]


def test_picture_and_video_are_written(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    from PIL import Image

    studio = Studio(tmp_path / "a.png", tmp_path / "a.mp4", (64, 64), board({0: "x"}))
    env = fake_env(Viewer((64, 64)), [[0.0, 0.0, 0.0]])
    for count in range(1, 5):
        studio.after_step(env, count, counted_step())
    assert studio.finish(env) == [tmp_path / "a.png", tmp_path / "a.mp4"]
    studio.discard()
    assert Image.open(tmp_path / "a.png").size == (64, 64)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a.png"]
    import imageio_ffmpeg

    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "a.mp4"))[0] == 4


def test_interrupted_video_leaves_nothing(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    studio = Studio(None, tmp_path / "a.mp4", (64, 64), board({0: ""}))
    studio.after_step(fake_env(Viewer((64, 64)), [[0.0, 0.0, 0.0]]), 1, counted_step())
    studio.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["NewtonGLVisualizerCfg", "ViserVisualizerCfg", "RerunVisualizerCfg"])
def test_what_viewers_have_by_default_is_in_range(kind):
    """A camera stands at negative places, too; checking that once refused every picture."""
    module = pytest.importorskip(
        f"isaaclab_visualizers.{kind.removesuffix('VisualizerCfg').lower().removesuffix('gl')}"
    )
    check_ranges(getattr(module, kind)(), "env.sim.visualizer_cfgs.0")
