# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of the arm tasks. Numbers are the reference's (``cfg/task/AllegroKuka*.yaml``, ``allegro_kuka_base.py``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from isaaclab.sim import SimulationCfg
from isaaclab.utils import configclass

from cpo_lab.assets.allegro import kuka_allegro_usd
from cpo_lab.assets.cuboids import OBJECT_SETS, object_shapes
from cpo_lab.physics.presets import HandPhysicsCfg
from cpo_lab.tasks.arms import validation
from cpo_lab.tasks.arms.deployment import deployment
from cpo_lab.tasks.arms.layout import KEYPOINTS, kuka_observations
from cpo_lab.tasks.arms.scenes import ArmPhysicsCfg, KukaSceneCfg, ThrowSceneCfg, TwoArmsPhysicsCfg, TwoArmsSceneCfg
from cpo_lab.tasks.base_env import TaskEnvCfg, simulation_cfg
from cpo_lab.tasks.layout import ObservationTerm
from cpo_rl.fields import setting

Vec3 = tuple[float, float, float]


@configclass
class AllegroKukaEnvCfg(TaskEnvCfg):
    """What all arm tasks can be told; numbers are those of reorientation with one arm unless a task has its own."""

    physics_presets: ClassVar[type[HandPhysicsCfg]] = ArmPhysicsCfg

    no_nucleus_assets: ClassVar[str] = "Isaac Lab does not state where palm and fingertips of NVIDIA's robot lie"

    num_arms: ClassVar[int] = 1
    """Arms in the task's scene, 1 or 2."""

    use_bucket: ClassVar[bool] = False
    """Whether goals lie in the scene's bucket instead of a box in the air."""

    decimation: int = setting(2, at_least=1, at_most=1000)
    """Physics steps per policy step (60 Hz policy, 120 Hz physics)."""

    episode_length: int = setting(600, at_least=1, at_most=10**7)
    """Policy steps since the start or the last success after which an episode ends."""

    episode_length_s: float = 0.0
    """Follows from ``episode_length``."""

    sim: SimulationCfg = simulation_cfg(ArmPhysicsCfg(), decimation=2)
    """Simulation: 120 Hz, friction 1, engine by preset."""

    scene: KukaSceneCfg = KukaSceneCfg()
    """Assets."""

    cpu_num_envs: int = 96

    observation_clip: float = setting(10.0, above=0.0)
    """Largest magnitude of an observation."""

    # objects -----------------------------------------------------------------------------------------------------

    object_set: str = setting("cuboids", choices=tuple(OBJECT_SETS))
    """``cuboids`` (947), ``small_cuboids`` (654) or ``cube`` (1); see :mod:`cpo_lab.assets.cuboids`."""

    num_objects: int = setting(0, at_least=0)
    """Use only the first so many shapes of the set; 0 uses all. Fewer build faster."""

    keypoints: Literal["center", "corners"] = setting("corners", choices=tuple(KEYPOINTS))
    """Points of the object that must meet the goal's: the middle (a position) or four corners (a pose)."""

    keypoint_scale: float = setting(1.5, above=0.0)
    """Distance of the corners from the middle relative to the object's, and factor of the tolerance."""

    # control -----------------------------------------------------------------------------------------------------

    arm_control: Literal["integrated", "absolute"] = setting("integrated", choices=("integrated", "absolute"))
    """Whether arm actions move the last target, or give the target within the joint limits (two arms)."""

    arm_speed: float = setting(10.0, above=0.0)
    """Speed of the arm's targets at full action [rad/s], for integrated control."""

    self_collision: bool = setting(True)
    """Whether fingers, thumb and palm of our arm's hand touch each other; files of your own decide themselves."""

    newton_finger_gains: tuple[float, float] = setting((10.0, 1.0), above=0.0)
    """Stiffness [N m/rad] and damping [N m s/rad] of the fingers on Newton; elsewhere 40 and 5, the reference's.
    MuJoCo's implicit integration adds damping times the time step to a joint's inertia, also while the torque is at its
    limit, which slows a step of 0.4 rad from 133 to 258 ms; with (10, 1) it takes 142 ms."""

    # reward ------------------------------------------------------------------------------------------------------

    approach_scale: float = setting(50.0)
    """Reward per metre that a fingertip comes closer than ever before."""

    approach_until_lifted: bool = setting(True)
    """Whether the approach reward stops once the object is lifted (one arm)."""

    lifting_scale: float = setting(20.0)
    """Reward per metre of height and step until the object is lifted."""

    lifting_bonus: float = setting(300.0)
    """Reward at the moment the object is lifted."""

    lifting_threshold: float = setting(0.15, above=0.0)
    """Height above (start - 0.05 m) that counts as lifted [m]."""

    keypoint_scale_reward: float = setting(200.0)
    """Reward per metre that the keypoints come closer to the goal than before, once lifted."""

    arm_velocity_scale: float = setting(0.003)
    """Penalty per rad/s of arm joint velocity."""

    hand_velocity_scale: float = setting(0.0003)
    """Penalty per rad/s of finger joint velocity."""

    near_goal_bonus: float = setting(1000.0)
    """Reward for a success, paid in ``success_steps`` equal parts."""

    # success, curriculum, end --------------------------------------------------------------------------------------

    success_steps: int = setting(1, at_least=1)
    """Steps near the goal (not necessarily in a row) that make a success."""

    initial_tolerance: float = setting(0.075, above=0.0, kept=True)
    """Tolerance at the start of the curriculum; in metres after multiplication with ``keypoint_scale``."""

    target_tolerance: float = setting(0.01, above=0.0)
    """Tolerance at its end; equal to ``initial_tolerance`` for no curriculum."""

    tolerance_factor: float = setting(0.9, above=0.0, at_most=1.0)
    """Factor of each reduction."""

    tolerance_interval: int = setting(3000, at_least=1)
    """Policy steps between reductions."""

    tolerance_successes: float = setting(3.0)
    """Mean successes per episode, over all environments, that triggers a reduction."""

    max_successes: int = setting(50, at_least=0)
    """Successes that end an episode; 0 for no limit."""

    fall_height: float = setting(0.1)
    """Height below which the object has fallen [m]."""

    max_fingertip_distance: float = setting(1.5, at_least=0.0)
    """Distance of the furthest fingertip from the object that ends an episode [m]; 0 switches the rule off."""

    # reset and goals -----------------------------------------------------------------------------------------------

    object_noise: Vec3 = setting((0.1, 0.1, 0.02), at_least=0.0)
    """Largest displacement of the object at a reset along each axis [m]."""

    object_side: float = setting(0.0, at_least=0.0)
    """Distance of two alternative start places to the left and right of the middle [m]; 0 for one place."""

    joint_position_noise: float = setting(0.1, at_least=0.0, at_most=1.0)
    """Share of the joint range that start positions are drawn from."""

    joint_velocity_noise: float = setting(0.5, at_least=0.0)
    """Largest joint velocity at a reset [rad/s]."""

    goal_rotation: bool = setting(True)
    """Whether goals have a random orientation."""

    replace_object: bool = setting(False)
    """Whether a success puts the object back on the table and forgets that it was lifted."""

    # random forces -------------------------------------------------------------------------------------------------

    force_scale: float = setting(2.0, at_least=0.0)
    """Random forces on the object per kilogram [N/kg]; 0 switches them off."""

    force_probability: tuple[float, float] = setting((0.001, 0.1), above=0.0, at_most=1.0)
    """Range of the chance of a new force per step; log-uniform per episode."""

    force_decay: float = setting(0.99, at_least=0.0, at_most=1.0)
    """Factor by which forces shrink per ``force_decay_interval``."""

    force_decay_interval: float = setting(0.08, above=0.0)
    """Time constant of the decay [s]."""

    # pictures ------------------------------------------------------------------------------------------------------

    camera_eye: Vec3 = setting((1.75, -1.30, 1.50))
    """Where a camera stands [m], environment frame."""

    camera_lookat: Vec3 = setting((0.0, 0.33, 0.62))
    """Where it looks [m], environment frame."""

    def layout(self) -> tuple[ObservationTerm, ...]:
        """The terms of the observation."""
        return kuka_observations(self.num_arms, len(KEYPOINTS[self.keypoints]))

    @classmethod
    def layouts(cls) -> list[tuple[ObservationTerm, ...]]:
        """All layouts that settings of the task can lead to."""
        return [kuka_observations(cls.num_arms, len(points)) for points in KEYPOINTS.values()]

    @classmethod
    def deployment(
        cls, settings: Mapping[str, Any], layout: Sequence[ObservationTerm], state: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What the arms' driver has to know, for ``policy.json``."""
        return deployment(settings, layout, state, cls.num_arms)

    def derived(self) -> dict[str, Any]:
        """Length of an episode in seconds, and the sizes of observation and action."""
        return {
            **super().derived(),
            "episode_length_s": self.episode_length / 60.0,
            "action_space": 23 * self.num_arms,
            "state_space": 0,  # no separate critic observation
        }

    def derive(self) -> None:
        """Fill in what follows from other fields; the shapes of the objects once overrides have been applied."""
        super().derive()
        for robot in validation.our_robots(self):
            robot.spawn.usd_path = kuka_allegro_usd(self.self_collision)
        if self.presets_are_chosen():
            self.scene.object.spawn.assets_cfg = list(object_shapes(self.object_set, self.num_objects or None))

    def num_shapes(self) -> int:
        """Return how many cuboids are dealt out to the environments."""
        return len(object_shapes(self.object_set, self.num_objects or None))

    def check_settings(self) -> None:
        """Refuse settings that cannot work or have no effect.

        Raises:
            UserError: Naming the first one.
        """
        validation.check_combinations(self)
        validation.check_scene(self)

    def check_robots(self) -> None:
        """Refuse arms whose files lack joints or links that the task names.

        Raises:
            UserError: Naming them.
        """
        validation.check_robots(self)


@configclass
class GoalBoxEnvCfg(AllegroKukaEnvCfg):
    """What the tasks can be told whose goals lie in a box in the air."""

    goal_low: Vec3 = setting((-0.4, 0.0, 0.68))
    """Lower corner of the box of goals [m]."""

    goal_high: Vec3 = setting((0.4, 0.35, 1.05))
    """Upper corner of the box of goals [m]."""

    goal_side: float = setting(0.0, at_least=0.0)
    """Distance of two alternative goal boxes to the left and right [m]; 0 for one box."""

    def check_settings(self) -> None:
        """Refuse settings that cannot work or have no effect, a box turned inside out among them.

        Raises:
            UserError: Naming the first one.
        """
        super().check_settings()
        validation.check_box(self)


@configclass
class ReorientKukaEnvCfg(GoalBoxEnvCfg):
    """Bring cuboids into one pose after the other, ``CpoLab-Reorient-KukaAllegro-Direct``."""


@configclass
class RegraspKukaEnvCfg(GoalBoxEnvCfg):
    """Lift cuboids to one place after the other, ``CpoLab-Regrasp-KukaAllegro-Direct``."""

    episode_length: int = 400
    keypoints: Literal["center", "corners"] = "center"
    success_steps: int = 30
    goal_rotation: bool = False
    replace_object: bool = True
    max_fingertip_distance: float = 0.0


@configclass
class ThrowKukaEnvCfg(AllegroKukaEnvCfg):
    """Throw cuboids into a bucket, ``CpoLab-Throw-KukaAllegro-Direct``."""

    use_bucket: ClassVar[bool] = True

    scene: KukaSceneCfg = ThrowSceneCfg()
    episode_length: int = 300
    object_set: str = "small_cuboids"
    keypoints: Literal["center", "corners"] = "center"
    success_steps: int = 5
    target_tolerance: float = 0.075
    goal_rotation: bool = False
    replace_object: bool = True
    camera_eye: Vec3 = (2.0, -1.75, 1.75)
    force_scale: float = 0.0
    max_fingertip_distance: float = 0.0

    bucket_goal_height: float = setting(0.05)
    """Height of the goal above the bucket's origin [m]."""


@configclass
class ReorientDualKukaEnvCfg(GoalBoxEnvCfg):
    """Bring cuboids into one pose after the other with two arms, ``CpoLab-Reorient-DualKukaAllegro-Direct``."""

    physics_presets: ClassVar[type[HandPhysicsCfg]] = TwoArmsPhysicsCfg

    num_arms: ClassVar[int] = 2

    sim: SimulationCfg = simulation_cfg(TwoArmsPhysicsCfg(), decimation=2)
    scene: KukaSceneCfg = TwoArmsSceneCfg()
    arm_control: Literal["integrated", "absolute"] = "absolute"
    approach_until_lifted: bool = False
    arm_velocity_scale: float = 0.0
    hand_velocity_scale: float = 0.0
    max_fingertip_distance: float = 0.0
    object_side: float = 0.35
    goal_low: Vec3 = (-0.2, -0.5, 0.68)
    goal_high: Vec3 = (0.2, 0.5, 1.05)
    goal_side: float = 0.75
    camera_eye: Vec3 = (0.8, -2.9, 1.9)
    camera_lookat: Vec3 = (0.0, 0.05, 0.6)


@configclass
class RegraspDualKukaEnvCfg(ReorientDualKukaEnvCfg):
    """Lift cuboids to one place after the other with two arms, ``CpoLab-Regrasp-DualKukaAllegro-Direct``."""

    episode_length: int = 400
    keypoints: Literal["center", "corners"] = "center"
    success_steps: int = 30
    goal_rotation: bool = False
    replace_object: bool = True
