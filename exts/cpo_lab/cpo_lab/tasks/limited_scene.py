# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The scene of our tasks; in a file of its own because it imports the stage's packages, which settings do without."""

from __future__ import annotations

from isaaclab.scene import InteractiveScene

from cpo_lab.tasks.motion_limits import MotionLimiter


class LimitedScene(InteractiveScene):
    """A scene whose motion stays bounded once its environment has set :attr:`limiter`."""

    limiter: MotionLimiter | None = None
    """What bounds them."""

    def update(self, dt: float) -> None:
        """Take over what a physics step led to, within the limits.

        Args:
            dt: Time since the last call [s].
        """
        super().update(dt)
        if self.limiter is not None:
            self.limiter.apply()
