# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Environments put side by side, in pictures and videos, and which moment they show."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cpo_lab.tasks.ranges import check_ranges
from cpo_lab.viewing.captions import Scoreboard
from cpo_lab.viewing.film import Film
from cpo_lab.viewing.pictures import Shoot, Studio
from cpo_rl.algorithms.episodes import EpisodeCounter
from cpo_rl.errors import UserError


class View:
    """Remembers the number of the step, and paints it into a picture."""

    def __init__(self, size, channels=3):
        self.shape, self.steps, self.views = (size[1], size[0], channels), 0, []

    def moment(self):
        self.steps += 1
        return self.steps

    def picture(self, moment, eye, target):
        self.views.append((eye, target))
        return np.full(self.shape, 10 * moment, dtype=np.uint8)


def board(names):
    return Scoreboard(names, dict.fromkeys(names, (200, 0, 0)))


def fake_env(origins):
    object_cfg = SimpleNamespace(init_state=SimpleNamespace(pos=(0.0, 0.0, 0.5)))
    cfg = SimpleNamespace(scene=SimpleNamespace(object=object_cfg))
    return SimpleNamespace(unwrapped=SimpleNamespace(scene=SimpleNamespace(env_origins=torch.tensor(origins)), cfg=cfg))


class Rollout:
    """A studio, a false view, and steps whose rewards and ends a test says."""

    def __init__(self, names, origins=((0.0, 0.0, 0.0),), channels=3, **shoot):
        self.studio = Studio(Shoot(captions=False, **shoot), board(names))
        self.env = fake_env([list(origin) for origin in origins])
        self.view = View(self.studio.tile, channels)
        self.studio._view = self.view
        self.counter = EpisodeCounter(len(origins), "cpu")

    def step(self, rewards, done=()):
        ended = torch.tensor([float(i in done) for i in range(len(rewards))])
        self.studio.after_step(self.env, self.counter.step(torch.tensor(rewards), ended, {}))
        return self


def picture(path):
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image)


def test_environments_side_by_side(tmp_path):
    rollout = Rollout(
        {0: "", 2: "", 4: "", 6: "", 8: ""},
        [(float(i), 0.0, 0.0) for i in range(10)],
        size=(304, 202),
        picture=tmp_path / "a.png",
        moment="last",
    )
    assert (rollout.studio.columns, rollout.studio.rows, rollout.studio.tile) == (3, 2, (100, 100))
    rollout.step([0.0] * 10)
    assert rollout.studio.finish(rollout.env) == [tmp_path / "a.png"]
    image = picture(tmp_path / "a.png")
    assert image.shape == (202, 304, 3)
    assert [image[r, c, 0] for r in (50, 150) for c in (50, 150, 250)] == [10, 10, 10, 10, 10, 255]
    assert [target for _, target in rollout.view.views] == [[float(i), 0.0, 0.5] for i in (0, 2, 4, 6, 8)]


def test_tiles_are_even_as_videos_demand():
    assert Studio(Shoot(size=(101, 65)), board({0: ""})).tile == (100, 64)


def test_a_picture_shows_each_policys_best_moment(tmp_path):
    rollout = Rollout({0: "a", 1: "b"}, [(0.0, 0.0, 0.0)] * 2, size=(202, 100), picture=tmp_path / "a.png")
    for count in range(1, 25):
        rollout.step([5.0 if count == 14 else 0.0, 1.0 if count == 20 else -1.0])
    rollout.studio.finish(rollout.env)
    image = picture(tmp_path / "a.png")
    assert (image[50, 20, 0], image[50, 180, 0]) == (140, 200)


def test_a_picture_never_shows_a_reset(tmp_path):
    """The state after a step that ended an episode is already the next episode's first."""
    rollout = Rollout({0: "a"}, size=(100, 100), picture=tmp_path / "a.png")
    for count in range(1, 21):
        rollout.step([99.0 if count in (12, 13, 20) else 0.1 * (count == 11)], done=(0,) * (count in (12, 20)))
    rollout.studio.finish(rollout.env)
    assert picture(tmp_path / "a.png")[50, 50, 0] == 110


def test_where_everything_is_a_reset_the_last_step_is_shown(tmp_path):
    rollout = Rollout({0: "a"}, size=(100, 100), picture=tmp_path / "a.png")
    rollout.step([1.0]).step([0.0]).studio.finish(rollout.env)
    assert picture(tmp_path / "a.png")[50, 50, 0] == 20


def test_task_may_place_the_camera(tmp_path):
    rollout = Rollout({0: ""}, [(1.0, 0.0, 0.0)], size=(64, 64), picture=tmp_path / "a.png")
    rollout.env.unwrapped.cfg.camera_eye, rollout.env.unwrapped.cfg.camera_lookat = (0.0, -1.0, 1.0), (0.0, 0.0, 0.25)
    rollout.step([0.0]).studio.finish(rollout.env)
    assert rollout.view.views == [([1.0, -1.0, 1.0], [1.0, 0.0, 0.25])]


@pytest.mark.parametrize("ending", ["mp4", "gif", "webp"])
def test_a_video_is_written(tmp_path, ending):
    if ending == "mp4":
        imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    rollout = Rollout({0: "x"}, size=(64, 64), picture=tmp_path / "a.png", video=tmp_path / f"b.{ending}")
    for _ in range(8):
        rollout.step([0.0])
    assert rollout.studio.finish(rollout.env) == [tmp_path / "a.png", tmp_path / f"b.{ending}"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", f"b.{ending}"]
    if ending == "mp4":
        assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "b.mp4"))[0] == 8
    else:
        from PIL import Image

        with Image.open(tmp_path / f"b.{ending}") as image:
            assert (image.n_frames, image.size) == (4, (64, 64))


def test_a_video_without_a_frame_is_refused_and_leaves_nothing(tmp_path):
    rollout = Rollout({0: ""}, size=(64, 64), video=tmp_path / "a.gif")
    with pytest.raises(UserError, match="at least 2 steps"):
        rollout.step([0.0]).studio.finish(rollout.env)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_video_leaves_nothing(tmp_path):
    rollout = Rollout({0: ""}, size=(64, 64), video=tmp_path / "a.gif")
    for _ in range(4):
        rollout.step([0.0])
    rollout.view.picture = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        rollout.studio.finish(rollout.env)
    assert list(tmp_path.iterdir()) == []


def test_the_best_part_has_no_reset_and_ends_with_what_is_good():
    film, counter = Film([0]), EpisodeCounter(1, "cpu")
    for count in range(1, 61):
        reward = 9.0 if count in (3, 33, 50) else 0.0
        film.add(count, {}, counter.step(torch.tensor([reward]), torch.tensor([float(count == 40)]), {}))
    part = [shot.moment for shot in film.best_part(15)]
    assert part == list(range(part[0], part[0] + 15))
    assert set(part).isdisjoint(range(1, 10)) and set(part).isdisjoint(range(40, 50))
    assert 33 in part[5:] or 50 in part[5:]
    assert len(film.best_part(100)) == 60


def test_a_transparent_picture_is_transparent_between_environments(tmp_path):
    rollout = Rollout(
        {0: "", 1: ""}, [(0.0, 0.0, 0.0)] * 2, 4, size=(202, 100), picture=tmp_path / "a.png", background="transparent"
    )
    rollout.step([0.0, 0.0]).studio.finish(rollout.env)
    image = picture(tmp_path / "a.png")
    assert image.shape == (100, 202, 4)
    assert image[50, 101, 3] == 0


@pytest.mark.parametrize("kind", ["NewtonGLVisualizerCfg", "ViserVisualizerCfg", "RerunVisualizerCfg"])
def test_what_viewers_have_by_default_is_in_range(kind):
    """A camera stands at negative places, too; checking that once refused every picture."""
    module = pytest.importorskip(
        f"isaaclab_visualizers.{kind.removesuffix('VisualizerCfg').lower().removesuffix('gl')}"
    )
    check_ranges(getattr(module, kind)(), "env.sim.visualizer_cfgs.0")
