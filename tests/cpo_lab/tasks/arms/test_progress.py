# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What running episodes remember, one environment and one arm, by hand."""

from __future__ import annotations

import pytest
import torch

from cpo_lab.tasks.arms.env_cfg import RegraspKukaEnvCfg
from cpo_lab.tasks.arms.progress import EpisodeProgress
from cpo_lab.tasks.arms.rules import UNTOUCHED

EVERYWHERE = torch.tensor([True])


def approach(progress: EpisodeProgress, distance: float) -> float:
    """Reward for four fingertips at a distance [m] from an object that lies on the table."""
    tips, far = torch.full((1, 4), distance), torch.tensor([1.0])
    progress.see(far, tips)
    still = [torch.zeros(1, 23)]
    reward = progress.advance(torch.tensor([0.555]), far, tips, still, torch.tensor(0.01), torch.zeros(1).long())
    return reward.item()


def test_coming_back_is_paid_again_once_the_object_was_put_down():
    """50 per metre and fingertip: 40 for 0.5 to 0.3 m, nothing again, and 40 after the object was put back."""
    progress = EpisodeProgress(RegraspKukaEnvCfg(), 1, "cpu")
    assert approach(progress, 0.5) == pytest.approx(0.0)
    assert approach(progress, 0.3) == pytest.approx(50.0 * 4 * 0.2, rel=1e-5)
    assert approach(progress, 0.5) == approach(progress, 0.3) == 0.0
    progress.begin_goal(EVERYWHERE)  # a goal alone, as in reorientation, changes nothing
    assert approach(progress, 0.3) == 0.0
    progress.put_down(EVERYWHERE)
    assert progress.closest_fingertip.tolist() == [[UNTOUCHED] * 4]
    assert approach(progress, 0.5) == pytest.approx(0.0)
    assert approach(progress, 0.3) == pytest.approx(50.0 * 4 * 0.2, rel=1e-5)
