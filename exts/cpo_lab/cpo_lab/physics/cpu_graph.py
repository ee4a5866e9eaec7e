# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Newton on the CPU without the launch overhead.

A physics step of a hand is about 180 Warp kernel launches, each of which costs Python time. On CUDA Isaac Lab records
the step as a graph and replays it; Warp can record CPU launches as well, which Isaac Lab does not use. The replay runs
the same kernels with the same arguments, so its results are bit-identical to those of the step it recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import warp as wp
from isaaclab.physics import PhysicsManager
from isaaclab_newton.physics.mjwarp_manager import NewtonMJWarpManager


class NewtonCpuGraphManager(NewtonMJWarpManager):
    """MuJoCo Warp manager that records its step once and replays it on the CPU.

    Select it with ``MJWarpSolverCfg(class_type="cpo_lab.physics.cpu_graph:NewtonCpuGraphManager")``. The name has to
    start with ``Newton``: Isaac Lab derives the classes of the assets from that prefix. On a CUDA device it does what
    its base class does.
    """

    _recorded: ClassVar[dict[str, Any]] = {}
    """Step name -> recorded graph, or None between the first (eager) step and the recording."""

    @classmethod
    def _invalidate_graph(cls) -> None:
        """Forget the recording when the model changes."""
        super()._invalidate_graph()
        cls._recorded.clear()

    @classmethod
    def clear(cls) -> None:
        """Forget the recording together with the simulation."""
        cls._recorded.clear()
        super().clear()

    @classmethod
    def _simulate_full(cls) -> None:
        cls._replay("full", super()._simulate_full)

    @classmethod
    def _simulate_physics_only(cls) -> None:
        cls._replay("physics_only", super()._simulate_physics_only)

    @classmethod
    def _replay(cls, step: str, simulate: Callable[[], None]) -> None:
        """Run ``simulate`` directly the first time, record it the second time, replay it from then on."""
        device = wp.get_device(PhysicsManager._device)
        if not device.is_cpu:
            simulate()
        elif step not in cls._recorded:
            # kernels are loaded and buffers allocated by the first step; neither can be recorded
            simulate()
            cls._recorded[step] = None
        else:
            if cls._recorded[step] is None:
                with wp.ScopedCapture(device=device) as capture:
                    simulate()  # recorded, not executed
                cls._recorded[step] = capture.graph
            wp.capture_launch(cls._recorded[step])
