# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""What a picture or video says about each policy it shows: name, colour, return, goals reached, falls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from cpo_rl.algorithms.episodes import CountedStep


_FLASH_S = 0.6
"""How long the frame of an environment stays bright after a goal was reached [s]."""
_SUCCESS_COLOR = (34, 160, 74)
"""Colour of that frame."""
_INK, _PALE_INK = (32, 34, 38), (96, 100, 108)
"""Colours of names and of numbers."""
_FINER = 3
"""How much larger captions are drawn than they become."""
_PAPER = (255, 255, 255, 205)
"""What captions are written on."""

_UNKNOWN_STEP_S = 1.0 / 30.0
"""Time of a step where the environment does not say [s]."""


@dataclass(frozen=True)
class Caption:
    """What is written onto a picture of one environment."""

    name: str
    """Of the policy that acts."""
    numbers: str
    """What it has achieved so far."""
    color: tuple[int, int, int]
    """Of the policy, 0 to 255."""
    is_bright: bool = False
    """Whether a goal was just reached."""


@dataclass
class _Shown:
    """What one shown environment has done so far."""

    goals: int = 0
    """Goals reached, over all episodes."""
    falls: int = 0
    """Episodes ended by failure."""
    running: float = 0.0
    """Return of the running episode."""
    returns: list[float] = field(default_factory=list)
    """Returns of finished episodes."""
    flash_until: float = -1.0
    """Time until which its frame is bright [s]."""


class Scoreboard:
    """Adds up what the shown environments achieve.

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
            shown.running = float(counted.returns[index])
            if bool(counted.done[index]):
                shown.returns.append(shown.running)
                shown.running = 0.0

    def caption(self, index: int) -> Caption:
        """What to write onto an environment now, such as ``leader`` and ``return 151, goals 3, falls 1``.

        The return is the mean of its finished episodes, or that of the running one before the first has finished.
        """
        shown = self.shown[index]
        value = sum(shown.returns) / len(shown.returns) if shown.returns else shown.running
        numbers = [f"return {value:.0f}" if abs(value) >= 10.0 else f"return {value:.1f}"]
        if shown.goals:
            numbers.append(f"{shown.goals} goal" + "s" * (shown.goals > 1))
        if shown.falls:
            numbers.append(f"{shown.falls} fall" + "s" * (shown.falls > 1))
        if math.isnan(value):
            numbers[0] = "return void"
        bright = self._time < shown.flash_until
        return Caption(self.names[index], ", ".join(numbers), self.colors[index], bright)


def draw_caption(frame: np.ndarray, caption: Caption) -> np.ndarray:
    """Write onto a picture: colour and name, numbers and, after a goal, a bright frame.

    Args:
        frame: Picture, uint8 [height, width, 3 or 4].
        caption: What to write.

    Returns:
        A picture of the same shape.
    """
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    base = Image.fromarray(frame)
    width, height = base.size
    # drawn larger and made smaller, which smooths edges
    over = Image.new("RGBA", (_FINER * width, _FINER * height), (0, 0, 0, 0))
    draw = ImageDraw.Draw(over)
    size = _FINER * max(min(height // 20, width // 26), 9)
    font = ImageFont.load_default(size=size)
    pad, right = round(0.55 * size), _FINER * width
    left, middle = round(2 * pad + 1.1 * size), _FINER * height - pad - size
    name_end = left + draw.textlength(caption.name, font=font)
    end = name_end + (pad + draw.textlength(caption.numbers, font=font) if caption.numbers else 0.0)
    draw.rounded_rectangle((pad, middle - size, end + pad, middle + size), radius=size, fill=_PAPER)
    dot = 0.40 * size
    draw.ellipse((2 * pad, middle - dot, 2 * pad + 2 * dot, middle + dot), fill=(*caption.color, 255))
    draw.text((left, middle), caption.name, fill=_INK, font=font, anchor="lm")
    draw.text((name_end + pad, middle), caption.numbers, fill=_PALE_INK, font=font, anchor="lm")
    if caption.is_bright:
        edge = _FINER * max(height // 90, 2)
        draw.rectangle((0, 0, right - 1, _FINER * height - 1), outline=(*_SUCCESS_COLOR, 255), width=edge)
        start = right - 3 * pad - draw.textlength("goal", font=font)
        draw.rounded_rectangle((start, middle - size, right - pad, middle + size), radius=size, fill=_SUCCESS_COLOR)
        draw.text((right - 2 * pad, middle), "goal", fill="white", font=font, anchor="rm")
    over = over.resize(base.size, Image.Resampling.BOX)
    return np.asarray(Image.alpha_composite(base.convert("RGBA"), over).convert(base.mode))


_LEADER = (240, 105, 30)
"""Colour of the leader: none of the colour map's."""


def policy_color(policy: int, num_policies: int) -> tuple[int, int, int]:
    """Colour of a policy: the report's colour map for followers, orange for the leader."""
    if policy == num_policies - 1:
        return _LEADER
    import matplotlib

    share = policy / max(1, num_policies - 2)
    red, green, blue, _ = matplotlib.colormaps["viridis"](0.05 + 0.85 * share, bytes=True)
    return int(red), int(green), int(blue)
