# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a picture or video says about each policy it shows: name, colour, goals reached, falls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from cpo_rl.algorithms.episodes import CountedStep


_FLASH_S = 0.6
"""How long the frame of an environment stays bright after a goal was reached [s]."""
_SUCCESS_COLOR = (60, 220, 90)
"""Colour of that frame."""


_UNKNOWN_STEP_S = 1.0 / 30.0
"""Time of a step where the environment does not say [s]."""


@dataclass
class _Shown:
    """What one shown environment has done so far."""

    goals: int = 0
    """Goals reached, over all episodes."""
    falls: int = 0
    """Episodes ended by failure."""
    flash_until: float = -1.0
    """Time until which its frame is bright [s]."""


class Scoreboard:
    """Adds up goals and falls of the shown environments and writes them onto their frames.

    Args:
        names: What to call each shown environment, by index of the environment. The last one of an ensemble is the
            leader.
        colors: Colour of each shown environment as red, green, blue from 0 to 255.
    """

    def __init__(self, names: Mapping[int, str], colors: Mapping[int, tuple[int, int, int]]) -> None:
        self.names, self.colors = dict(names), dict(colors)
        self.shown = {index: _Shown() for index in names}
        self._time = 0.0

    def step(self, counted: CountedStep, step_dt: float) -> None:
        """Add what a step did. Reads a few numbers from the device.

        Args:
            counted: The step, counted with the environment's own account of goals and ends.
            step_dt: Time that it took in the task [s], NaN if unknown.
        """
        self._time += _UNKNOWN_STEP_S if math.isnan(step_dt) else step_dt
        for index, shown in self.shown.items():
            goals = 0 if counted.goals is None else round(float(counted.goals[index]))
            if goals:
                shown.goals += goals
                shown.flash_until = self._time + _FLASH_S
            shown.falls += counted.ends is not None and bool(counted.ends.fall[index])

    def caption(self, index: int) -> str:
        """The line of one environment, such as ``leader   goals 3   falls 1``."""
        shown = self.shown[index]
        falls = f"   falls {shown.falls}" if shown.falls else ""
        return f"{self.names[index]}   goals {shown.goals}{falls}"

    def draw(self, index: int, frame: np.ndarray) -> np.ndarray:
        """Put colour, caption and, after a goal, a bright frame onto a picture.

        Args:
            index: Which environment it shows.
            frame: RGB picture, uint8 [height, width, 3].

        Returns:
            A picture of the same size.
        """
        import numpy as np
        from PIL import Image, ImageDraw, ImageFont

        image = Image.fromarray(frame)
        height, width = frame.shape[:2]
        draw = ImageDraw.Draw(image, "RGBA")
        size = max(height // 18, 11)
        strip = round(1.7 * size)
        font = ImageFont.load_default(size=size)
        draw.rectangle((0, height - strip, width, height), fill=(15, 15, 15, 190))
        draw.rectangle((0, height - strip, size // 2, height), fill=self.colors[index])
        middle = height - strip // 2
        draw.text((size, middle), self.caption(index), fill="white", font=font, anchor="lm")
        bright = self._time < self.shown[index].flash_until
        edge = max(height // 60, 3) if bright else max(height // 180, 2)
        color = _SUCCESS_COLOR if bright else self.colors[index]
        draw.rectangle((0, 0, width - 1, height - 1), outline=color, width=edge)
        if bright:
            draw.text((width - size, middle), "goal!", fill=_SUCCESS_COLOR, font=font, anchor="rm")
        return np.asarray(image)


def policy_color(policy: int, num_policies: int) -> tuple[int, int, int]:
    """Colour of a policy on a dark strip: the report's colour map from its lighter part, and white for the leader."""
    if policy == num_policies - 1:
        return (255, 255, 255)
    import matplotlib

    share = policy / max(1, num_policies - 2)
    red, green, blue, _ = matplotlib.colormaps["viridis"](0.25 + 0.7 * share, bytes=True)
    return int(red), int(green), int(blue)
