# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings that Franka's tasks share. Numbers are the reference's (``tasks/franka_cube_stack.py`` and its yaml)."""

from __future__ import annotations

from typing import Any, ClassVar

from isaaclab.assets import ArticulationCfg, AssetBaseCfg, RigidObjectCfg
from isaaclab.scene import InteractiveSceneCfg
from isaaclab.sim import SimulationCfg
from isaaclab.utils import configclass
from isaaclab_newton.physics import NewtonCfg

from cpo_lab.assets.franka.bench import CUBE_EDGE, RED, cube_cfg, stand_cfg, table_cfg
from cpo_lab.assets.franka.panda import panda_cfg
from cpo_lab.assets.franka.panda_table import FINGERS, HAND, JOINT_NAMES
from cpo_lab.assets.furniture import ground_cfg
from cpo_lab.physics.presets import HandPhysicsCfg, newton_on_cpu, newton_on_cuda
from cpo_lab.tasks.base_env import TaskEnvCfg, simulation_cfg
from cpo_lab.tasks.franka.control import ControlRules
from cpo_lab.tasks.layout import ObservationTerm
from cpo_lab.tasks.robot_file import check_robot
from cpo_lab.tasks.settings import part_of
from cpo_rl.errors import UserError
from cpo_rl.fields import setting

Vec3 = tuple[float, float, float]

DT = 0.01667 / 2.0
"""Time of a physics step [s]."""


@configclass
class BenchPhysicsCfg(HandPhysicsCfg):
    """Engines with room for the contacts of an arm, a table and two cubes."""

    newton_mjwarp: NewtonCfg = newton_on_cuda(njmax=300, nconmax=100)
    newton_mjwarp_cpu: NewtonCfg = newton_on_cpu(njmax=300, nconmax=100)


@configclass
class BenchSceneCfg(InteractiveSceneCfg):
    """The arm on its stand, a table before it, and a cube on the table."""

    num_envs: int = setting(0, at_least=0)
    """Environments; 0 stands for the task's number for this machine."""

    env_spacing: float = setting(3.0, above=0.0, at_most=1000.0)
    """Distance between environments [m]."""

    ground: AssetBaseCfg = ground_cfg()
    """The ground, a metre below the table."""

    table: AssetBaseCfg = table_cfg()
    """The table."""

    stand: AssetBaseCfg = stand_cfg()
    """What the arm stands on."""

    robot: ArticulationCfg = panda_cfg()
    """The arm, generated from our number table."""

    object: RigidObjectCfg = cube_cfg(CUBE_EDGE, RED, "{ENV_REGEX_NS}/Object")
    """The cube that is moved."""


@configclass
class FrankaEnvCfg(TaskEnvCfg, ControlRules):
    """What both tasks can be told; a task's own settings are added in its file."""

    physics_presets: ClassVar[type[HandPhysicsCfg]] = BenchPhysicsCfg

    scene: Any = BenchSceneCfg()
    """Assets."""

    decimation: int = setting(2, at_least=1, at_most=1000)
    """Physics steps per policy step (60 Hz policy, 120 Hz physics)."""

    episode_length_s: float = setting(5.0, above=0.0, at_most=1.0e6)
    """300 policy steps."""

    sim: SimulationCfg = simulation_cfg(BenchPhysicsCfg(), decimation=2, dt=DT)
    """Simulation: 120 Hz, engine by preset."""

    observation_clip: float = setting(5.0, above=0.0)
    """Largest magnitude of an observation."""

    start_range: float = setting(0.25, above=0.0)
    """Half the edge of the square on the table that starts and goals are drawn from [m]."""

    start_apart: float = setting(0.1414, at_least=0.0)
    """Least distance of the cube from its goal, or from the other cube, at a start [m]."""

    start_turn: float = setting(0.785, at_least=0.0)
    """Largest turn of a cube about the vertical at a start [rad]."""

    joint_position_noise: float = setting(0.25, at_least=0.0)
    """Largest distance of the arm's joints from their defaults at a start, within their limits [rad]."""

    camera_eye: Vec3 = setting((1.15, -1.25, 1.85))
    """Where a camera stands [m], environment frame."""

    camera_lookat: Vec3 = setting((-0.08, 0.0, 1.17))
    """Where it looks [m], environment frame."""

    def layout(self) -> tuple[ObservationTerm, ...]:
        """The terms of the observation."""
        raise NotImplementedError

    def derived(self) -> dict[str, Any]:
        """The sizes of observation and action."""
        # no separate critic observation: the critic reads the same numbers
        return {**super().derived(), "action_space": 7, "state_space": 0}

    def control(self) -> ControlRules:
        """The constants of the arm's control, by themselves."""
        return part_of(self, ControlRules)

    def check_settings(self) -> None:
        """Refuse settings that cannot work.

        Raises:
            UserError: Naming the first one.
        """
        if self.start_apart > self.start_range:
            raise UserError(
                f"env.start_apart={self.start_apart:g} must be at most env.start_range={self.start_range:g}."
            )

    def check_robots(self) -> None:
        """Refuse an arm whose file lacks joints or links that the task names.

        Raises:
            UserError: Naming them.
        """
        check_robot("env.scene.robot", self.scene.robot, JOINT_NAMES, (HAND, *FINGERS))


def observations(target: str) -> tuple[ObservationTerm, ...]:
    """Return the 19 observations of a task, in the reference's order.

    Args:
        target: What the cube is moved to, in words.
    """
    return (
        ObservationTerm("cube_rotation", 4, "cube, xyzw"),
        ObservationTerm("cube_position", 3, "centre of the cube, environment frame", "m"),
        ObservationTerm("cube_to_target", 3, f"{target} less the centre of the cube", "m"),
        ObservationTerm("grip_position", 3, "place between the fingertips, environment frame", "m"),
        ObservationTerm("grip_rotation", 4, "hand, xyzw"),
        ObservationTerm("finger_position", 2, "how far the left and the right finger are open", "m"),
    )
