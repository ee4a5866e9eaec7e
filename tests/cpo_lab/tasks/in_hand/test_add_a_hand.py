# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""A third hand, of two fingers, takes what docs/add_a_task.md says: a table and a file. Steps without an engine."""

from __future__ import annotations

from typing import ClassVar

import pytest
import torch

pytest.importorskip("isaaclab")
from isaaclab.actuators import ImplicitActuatorCfg
from isaaclab.assets import ArticulationCfg, RigidObjectCfg
from isaaclab.sim import SimulationCfg
from isaaclab.utils import configclass
from isaaclab_ov.physics import OvPhysxCfg
from tests.cpo_lab.tasks.engineless import Trace, no_engine, step

from cpo_lab.assets.articulation import robot_cfg, robot_usd
from cpo_lab.assets.cube import cube_cfg
from cpo_lab.assets.robot_table import Joint, Link, Robot, box
from cpo_lab.tasks.base_env import simulation_cfg
from cpo_lab.tasks.in_hand.agents import HandAgent
from cpo_lab.tasks.in_hand.env import InHandEnv
from cpo_lab.tasks.in_hand.env_cfg import HandNamesCfg, HandSceneCfg, InHandEnvCfg
from cpo_lab.tasks.layout import ObservationTerm
from cpo_rl.errors import UserError

# the table ------------------------------------------------------------------------------------------------------------

BODY = {"mass": 0.1, "inertia": (1e-4, 1e-4, 1e-4), "shapes": (box((0.01, 0.01, 0.02), (0.0, 0.0, 0.02)),)}
JOINTS = ("left", "right")


def gripper() -> Robot:
    places = {"left": -0.03, "right": 0.03}
    fingers = [Link(f"{name}_finger", "palm", position=(x, 0.0, 0.05), **BODY) for name, x in places.items()]
    joints = [
        Joint(name, f"{name}_finger", axis=(0.0, 1.0, 0.0), lower=-0.5, upper=1.0, effort=1.0, damping=0.1)
        for name in JOINTS
    ]
    return Robot("gripper", links=(Link("palm", None, **BODY), *fingers), joints=tuple(joints))


# the file -------------------------------------------------------------------------------------------------------------

LAYOUT = (
    ObservationTerm("joint_position", 2, "joint angles, limits mapped to [-1, 1]"),
    ObservationTerm("joint_velocity", 2, "joint velocities", "rad/s", 0.2),
    ObservationTerm("object_pose", 7, "position and orientation"),
    ObservationTerm("object_linear_velocity", 3, "velocity", "m/s"),
    ObservationTerm("object_angular_velocity", 3, "angular velocity", "rad/s", 0.2),
    ObservationTerm("goal_pose", 7, "position and orientation"),
    ObservationTerm("relative_rotation", 4, "rotation to go"),
    ObservationTerm("width", 1, "difference of the angles", "rad"),
    ObservationTerm("last_action", 2, "the action before this observation"),
)

AGENT = HandAgent("gripper", (64,), awac_coef=0.001, awac_temperature=0.1, adversarial_coef=0.0, entropy_coef_scale=0.0)


@configclass
class GripperNamesCfg(HandNamesCfg):
    joints: tuple[str, ...] = JOINTS
    motors: tuple[str, ...] = JOINTS


@configclass
class GripperSceneCfg(HandSceneCfg):
    robot: ArticulationCfg = robot_cfg(
        robot_usd(gripper()), (0.0, 0.0, 0.5), (0.0, 0.0, 0.0, 1.0), {".*": 0.0},
        {"all": ImplicitActuatorCfg(joint_names_expr=[".*"], stiffness=1.0, damping=0.1)},
    )  # fmt: skip
    object: RigidObjectCfg = cube_cfg(edge=0.04, density=400.0, position=(0.0, 0.0, 0.6))


@configclass
class GripperEnvCfg(InHandEnvCfg):
    no_nucleus_assets: ClassVar[str] = "there is none"

    decimation: int = 2
    episode_length_s: float = 5.0
    sim: SimulationCfg = simulation_cfg(OvPhysxCfg(), decimation=2)
    scene: GripperSceneCfg = GripperSceneCfg()
    names: GripperNamesCfg = GripperNamesCfg()

    def layout(self) -> tuple[ObservationTerm, ...]:
        return LAYOUT


class GripperEnv(InHandEnv):
    cfg: GripperEnvCfg

    finger_joint = 0

    def _own_observations(self) -> dict[str, torch.Tensor]:
        position = self.map.read(self.hand.data.joint_pos)
        return {"width": (position[:, 1] - position[:, 0]).unsqueeze(-1)}


# ----------------------------------------------------------------------------------------------------------------------


def make_cfg() -> GripperEnvCfg:
    cfg = GripperEnvCfg()
    cfg.physics_choice, cfg.assets = "ovphysx", "builtin"  # as Isaac Lab's resolver leaves them
    cfg.scene.num_envs = 8
    return cfg


def test_sizes_follow_and_no_other_hand_is_inherited():
    cfg = make_cfg()
    assert (cfg.observation_space, cfg.action_space, cfg.state_space) == (31, 2, 0)
    assert not {"object_shape", "self_collision", "fingertip_wrench", "joint_torque"} & set(vars(cfg))
    cfg.check()
    cfg.names.joints = ("left", "middle")
    with pytest.raises(UserError, match="no joint named middle"):
        cfg.check()


def test_it_steps_and_reaches_goals():
    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    def turn_to_goal() -> None:
        env.scene.move(draw)
        env.object.data.root_link_pose_w.torch[0, 3:] = env.goal_rotation[0]

    generator = torch.Generator().manual_seed(0)
    with no_engine(Trace(), {"robot": gripper()}):
        env = GripperEnv(make_cfg())
        env.scene.move(draw)
        env._reset_idx(torch.arange(8))
        env._get_observations()
        observation, reward, *_ = step(env, 2.0 * draw(8, 2) - 1.0, turn_to_goal)
    assert observation.shape == (8, 31)
    assert reward[0] > 200.0 > reward[1:].max()
    assert env.joint_groups()[0].index.tolist() == [1, 0]  # the engine's order is another one
    assert env.couplings() == []


def test_it_learns_with_every_algorithm():
    from cpo_lab.tasks import AGENTS

    for agent in AGENTS:
        settings = AGENT.runner(agent)
        assert (settings.experiment_name, settings.num_steps_per_env) == ("gripper", 8)
    assert AGENT.runner("cpo").algorithm.awac_coef == 0.001
