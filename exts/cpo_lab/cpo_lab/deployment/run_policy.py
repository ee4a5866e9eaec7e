# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Drive a robot with an exported policy: sensor values in, joint targets out. Needs numpy and onnxruntime, no more.

Keep this file beside ``policy.onnx``. What it has to know (names, units, limits, scales, control rate, how an action
becomes a target) is in ``policy.json``; without that file it is read from the metadata of ``policy.onnx``.

    from run_policy import Policy

    policy = Policy("exported")              # python run_policy.py exported  lists the sensors it wants
    policy.reset(sensors)                    # once, where an episode begins
    while True:                              # every policy.period seconds
        targets = policy.step(sensors)       # joint targets [rad], shape [1, A], in the order of policy.joints
        if policy.goal_reached[0]:
            sensors["goal_pose"] = ...       # the next goal

``sensors`` is a dictionary of arrays, each [k] for one robot or [N, k] for N robots. Quaternions are xyzw.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

Array = Any
"""An array of numpy."""

UNTOUCHED = -1.0
"""Smallest distance so far where none has been seen yet."""


class Policy:
    """An exported policy with everything that it remembers between two steps.

    Args:
        folder: Folder of ``policy.onnx``, or the file itself.
        num_robots: How many robots N are driven together.
        policy_id: Which policy of a file that holds all of an ensemble; its leader if None.

    Raises:
        ValueError: If the file does not say how to drive a robot, or has no such policy.
    """

    def __init__(self, folder: str | Path = ".", num_robots: int = 1, policy_id: int | None = None) -> None:
        file = Path(folder) if Path(folder).suffix == ".onnx" else Path(folder) / "policy.onnx"
        self._session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        self.facts = _facts(file, self._session)
        """The content of ``policy.json``."""
        for part in ("sensors", "robot"):
            if not self.facts.get(part):
                raise ValueError(f"policy.json lacks {part!r}: {self.facts.get('not_drivable') or 'export anew'}")
        action, robot = self.facts["action"], self.facts["robot"]
        self.sensors: list[dict[str, Any]] = self.facts["sensors"]
        """Name, size, unit and entries of every sensor."""
        self.joints: list[str] = action["names"]
        """What the targets are for, in order."""
        self.period = float(self.facts["control_period_s"])
        """Time between two steps [s]."""
        self.num_robots = num_robots
        sign = np.asarray(robot["sign"])
        ends = np.sort(sign * np.asarray([robot["lower"], robot["upper"]]), axis=0)
        self._sign, self._joint_lower, self._joint_upper = sign, ends[0], ends[1]
        self._default = sign * np.asarray(robot["default_position"])
        self._lower, self._upper = np.asarray(action["lower"]), np.asarray(action["upper"])
        self._action_sign = np.asarray(action["sign"])
        self._integrated = np.asarray([mode == "integrated" for mode in action["modes"]])
        self._pull = np.zeros((len(self.joints), len(robot["joints"])))
        for row, joints in enumerate(action["moves"]):
            self._pull[row, joints] = 1.0
        self._rules = _Rules(self.facts["rules"], num_robots)
        self._id = self._check_id(policy_id)
        memory = self.facts.get("recurrent") or {"layers": 0, "units": 0}
        self._memory = [np.zeros((memory["layers"], num_robots, memory["units"]), np.float32) for _ in "hc"]
        self._targets = np.zeros((num_robots, len(self.joints)))
        self.last_action = np.zeros((num_robots, len(self.joints)))
        """Actions of the last step, clipped, shape [N, A]; zeros after a reset."""
        self.observation = np.zeros((num_robots, self.facts["observation"]["size"]), np.float32)
        """What the network saw in the last step, shape [N, D]."""

    @property
    def goal_reached(self) -> Array:
        """Whether the last step reached the goal, bool [N]; give another one in the next step."""
        return self._rules.goal_reached

    def reset(self, sensors: dict[str, Array], robots: Array | None = None) -> None:
        """Begin an episode: forget everything, and take the joints' angles for the targets.

        Args:
            sensors: The sensors now; only ``joint_position`` is read.
            robots: Which robots begin, bool [N]; all if None.
        """
        which = np.ones(self.num_robots, bool) if robots is None else np.asarray(robots, bool)
        position = self._sign * self._read(sensors, "joint_position", len(self._sign))
        self._targets = np.where(which[:, None], position @ self._pull.T, self._targets)
        self.last_action[which] = 0.0
        for part in self._memory:
            part[:, which] = 0.0
        self._rules.begin_episode(which)

    def step(self, sensors: dict[str, Array]) -> Array:
        """Take one step of :attr:`period` seconds.

        Args:
            sensors: Every sensor of :attr:`sensors` by name.

        Returns:
            Targets [rad], shape [N, A], to be held by the joints' controllers until the next step.

        Raises:
            ValueError: If a sensor is missing, has another size or is not finite.
        """
        self.observation = self.observe(sensors)
        actions = self._act(self.observation)
        low, high = self.facts["action"]["clip"]
        self.last_action = np.clip(actions.astype(float), low, high)
        self._targets = self._move(self.last_action)
        return self._action_sign * self._targets

    def observe(self, sensors: dict[str, Array]) -> Array:
        """Make the observation of the sensors' values, float32 [N, D], and advance what the rules remember."""
        read = {each["name"]: self._read(sensors, each["name"], each["size"]) for each in self.sensors}
        for name in ("joint_position", "joint_velocity", "joint_torque"):
            if name in read:
                read[name] = self._sign * read[name]
        values = self._rules.values(read)
        parts = []
        for term in self.facts["observation"]["layout"]:
            kind = term["from"]["kind"]
            if kind == "sensor":
                value = read[term["from"]["sensor"]]
            elif kind == "joint_limits":  # limits become -1 and 1
                value = 2.0 * read["joint_position"] - self._joint_upper - self._joint_lower
                value = value / (self._joint_upper - self._joint_lower)
            elif kind == "less_default":
                value = read["joint_position"] - self._default
            elif kind == "last_action":
                value = self.last_action
            elif kind == "zeros":
                value = np.zeros((self.num_robots, term["size"]))
            else:
                value = values[term["name"]]
            parts.append(value * term["scale"])
        clip = self.facts["observation"]["clip"]
        return np.clip(np.concatenate(parts, axis=1), -clip, clip).astype(np.float32)

    def _act(self, observation: Array) -> Array:
        """Run the network: actions [N, A], not clipped."""
        names = self.facts["onnx"]["inputs"]
        given = {"obs": observation}
        if "policy_ids" in names:
            given["policy_ids"] = np.full(self.num_robots, self._id, np.int64)
        if "h_in" in names:
            given["h_in"], given["c_in"] = self._memory
        actions, *memory = self._session.run(None, given)
        if memory:
            self._memory = [np.array(part) for part in memory]
        return actions

    def _move(self, actions: Array) -> Array:
        """Targets that follow from actions [N, A] and the targets before them, in the task's sense of rotation."""
        facts = self.facts["action"]
        between = self._lower + 0.5 * (actions + 1.0) * (self._upper - self._lower)
        between = self._targets + facts["smoothing"] * (between - self._targets)
        moved = np.clip(self._targets + facts["step"] * actions, self._lower, self._upper)
        return np.where(self._integrated, moved, between)

    def _read(self, sensors: dict[str, Array], name: str, size: int) -> Array:
        """One sensor's values, float64 [N, size]."""
        if name not in sensors:
            raise ValueError(f"sensor {name!r} is missing; the policy reads {[each['name'] for each in self.sensors]}")
        value = np.asarray(sensors[name], float)
        value = np.broadcast_to(value, (self.num_robots, *value.shape[-1:]))
        if value.shape[1:] != (size,):
            raise ValueError(f"sensor {name!r} has {value.shape[-1:]} values instead of {size}")
        if not np.isfinite(value).all():
            raise ValueError(f"sensor {name!r} is not finite")
        return value

    def _check_id(self, policy_id: int | None) -> int:
        about = self.facts["policy"]
        takes_ids = "policy_ids" in self.facts["onnx"]["inputs"]
        if policy_id is None:
            return int(about["leader"])
        if not takes_ids or not 0 <= policy_id < about["num_policies"]:
            there = f"policies 0 to {about['num_policies'] - 1}" if takes_ids else f"policy {about['id']} only"
            raise ValueError(f"policy_id {policy_id} is not in this file, which holds {there}")
        return policy_id


def _facts(file: Path, session: Any) -> dict[str, Any]:
    """The content of ``policy.json``, which is also in the metadata of the ONNX file."""
    described = file.with_name("policy.json")
    if described.is_file():
        return json.loads(described.read_text(encoding="utf-8"))
    return {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}


# -- what the observations of the families of tasks need ---------------------------------------------------------------


class _Rules:
    """What an observation shows that no sensor measures: relations between poses, and progress within an episode.

    Args:
        facts: Entry ``rules`` of ``policy.json``.
        num_robots: Robots N.
    """

    def __init__(self, facts: dict[str, Any], num_robots: int) -> None:
        self.facts, count = facts, num_robots
        self.goal_reached = np.zeros(count, bool)
        self._fresh = np.ones(count, bool)
        self._steps, self._clock_start = np.zeros(count), np.zeros(count)
        self._near_steps, self._successes = np.zeros(count), np.zeros(count)
        self._lifted = np.zeros(count, bool)
        self._closest_keypoint = np.full(count, UNTOUCHED)
        self._closest_tips = np.full((count, len(facts.get("fingertip_offsets", ()))), UNTOUCHED)

    def begin_episode(self, which: Array) -> None:
        """Forget the last episode of the robots ``which``, bool [N]."""
        for state in (self._steps, self._clock_start, self._near_steps, self._successes):
            state[which] = 0.0
        self._closest_keypoint[which] = UNTOUCHED
        self._closest_tips[which] = UNTOUCHED
        self._lifted = self._lifted & ~which
        self.goal_reached = self.goal_reached & ~which
        self._fresh = self._fresh | which

    def values(self, read: dict[str, Array]) -> dict[str, Array]:
        """Terms of the observation that are computed, by name, each [N, size]."""
        if self.facts["family"] == "in_hand":
            return self._in_hand(read)
        if self.facts["family"] == "legs":  # the base's downward axis in world axes
            return {"gravity": _rotate(read["base_rotation"], np.asarray([0.0, 0.0, -1.0]))}
        return self._arms(read) if self.facts["family"] == "arms" else {}

    def _in_hand(self, read: dict[str, Array]) -> dict[str, Array]:
        relative = _times_conjugate(read["object_pose"][:, 3:], read["goal_pose"][:, 3:])
        angle = 2.0 * np.arcsin(np.minimum(np.linalg.norm(relative[:, :3], axis=1), 1.0))
        self.goal_reached = ~self._fresh & (angle <= self.facts["success_tolerance"])
        self._fresh = np.zeros_like(self._fresh)
        return {"relative_rotation": relative}

    # -- arms: see docs/tasks/allegro_kuka.md --------------------------------------------------------------------------

    def _arms(self, read: dict[str, Array]) -> dict[str, Array]:
        facts, count = self.facts, len(self._fresh)
        self._change_goals()
        self._steps = np.where(self._fresh, 0.0, self._steps + 1.0)
        palms = read["palm_link_pose"].reshape(count, -1, 7)
        tips = read["fingertip_link_pose"].reshape(count, -1, 7)
        centers = palms[..., :3] + _rotate(palms[..., 3:], np.asarray(facts["palm_center_offset"]))
        tips = tips[..., :3] + _rotate(tips[..., 3:], np.asarray(facts["fingertip_offsets"]))
        scale = read["object_size"] / facts["base_edge"]
        offsets = np.asarray(facts["keypoints"]) * (
            scale * (facts["base_edge"] * facts["keypoint_scale"] / 2.0)
        ).reshape(count, 1, 3)
        keypoints, goals = (
            read[name][:, None, :3] + _rotate(read[name][:, None, 3:], offsets) for name in ("object_pose", "goal_pose")
        )
        keypoint = np.linalg.norm(keypoints - goals, axis=2).max(axis=1)
        tip = np.linalg.norm(tips - read["object_pose"][:, None, :3], axis=2)
        self._closest_keypoint = np.where(self._closest_keypoint < 0.0, keypoint, self._closest_keypoint)
        self._closest_tips = np.where(self._closest_tips < 0.0, tip, self._closest_tips)
        shown = {
            "closest_keypoint": self._closest_keypoint[:, None],
            "closest_fingertips": self._closest_tips,
            "lifted": self._lifted[:, None].astype(float),
            "log_progress": np.log((self._steps - self._clock_start)[:, None] / 10.0 + 1.0),
            "log_successes": np.log(self._successes[:, None] + 1.0),
        }
        reward = self._advance(read, keypoint, tip)  # what is shown is from before this step's reward
        self._fresh = np.zeros_like(self._fresh)
        of_arm = tips.reshape(count, palms.shape[1], -1, 3)
        velocity = read["palm_link_velocity"].reshape(count, -1, 6)
        return {
            **shown,
            "palm_position": centers.reshape(count, -1),
            "palm_state": np.concatenate((palms[..., 3:], velocity), axis=2).reshape(count, -1),
            "object_state": np.concatenate((read["object_pose"][:, 3:], read["object_velocity"]), axis=1),
            "fingertips": (of_arm - centers[:, :, None]).reshape(count, -1),
            "keypoints_to_palm": (keypoints[:, None] - centers[:, :, None]).reshape(count, -1),
            "keypoints_to_goal": (keypoints - goals).reshape(count, -1),
            "object_scale": scale,
            "reward": reward[:, None],
        }

    def _change_goals(self) -> None:
        """Forget what belongs to goals that the last step reached."""
        reached = self.goal_reached
        self._near_steps[reached] = 0.0
        self._closest_keypoint[reached] = UNTOUCHED
        if self.facts["replace_object"]:
            self._lifted = self._lifted & ~reached
            self._closest_tips[reached] = UNTOUCHED

    def _advance(self, read: dict[str, Array], keypoint: Array, tip: Array) -> Array:
        """Advance lifting, approach, progress and success by one step; the reward [N], 0 in an episode's first."""
        facts, on = self.facts, ~self._fresh
        height = 0.05 + read["object_pose"][:, 2] - facts["start_height"]
        lifted = self._lifted | (height > facts["lifting_threshold"])
        near = keypoint <= facts["success_tolerance"] * facts["keypoint_scale"]
        near_steps = self._near_steps + near
        approach = np.clip(self._closest_tips - tip, 0.0, 10.0).sum(axis=1)
        speed = np.abs(read["joint_velocity"].reshape(len(on), -1, 23).sum(axis=1))
        terms = (
            np.where(lifted & facts["approach_until_lifted"], 0.0, approach),
            np.where(lifted, 0.0, np.clip(height, 0.0, 0.5)),
            lifted & ~self._lifted,
            np.clip(self._closest_keypoint - keypoint, 0.0, 100.0) * lifted,
            -speed[:, :7].sum(axis=1),
            -speed[:, 7:].sum(axis=1),
            near,
        )
        reward = sum(weight * term for weight, term in zip(facts["reward_weights"], terms, strict=True))
        self._closest_tips = np.where(on[:, None], np.minimum(self._closest_tips, tip), self._closest_tips)
        self._closest_keypoint = np.where(on, np.minimum(self._closest_keypoint, keypoint), self._closest_keypoint)
        self._lifted = np.where(on, lifted, self._lifted)
        self._near_steps = np.where(on, near_steps, self._near_steps)
        self.goal_reached = on & (near_steps >= facts["success_steps"])
        self._successes = self._successes + self.goal_reached
        self._clock_start = np.where(self.goal_reached, self._steps, self._clock_start)
        return np.where(on, reward, 0.0)


def _rotate(quaternion: Array, vector: Array) -> Array:
    """Rotate vectors [..., 3] by unit quaternions xyzw [..., 4]."""
    axis, real = quaternion[..., :3], quaternion[..., 3:]
    axis, vector = np.broadcast_arrays(axis, vector)
    cross = 2.0 * np.cross(axis, vector)
    return vector + real * cross + np.cross(axis, cross)


def _times_conjugate(a: Array, b: Array) -> Array:
    """``a * conjugate(b)`` for unit quaternions xyzw [N, 4]."""
    (x1, y1, z1, w1), (x2, y2, z2, w2) = a.T, b.T
    return np.stack(
        (
            x1 * w2 - w1 * x2 - y1 * z2 + z1 * y2,
            y1 * w2 - w1 * y2 - z1 * x2 + x1 * z2,
            z1 * w2 - w1 * z2 - x1 * y2 + y1 * x2,
            w1 * w2 + x1 * x2 + y1 * y2 + z1 * z2,
        ),
        axis=1,
    )


def main() -> None:
    """List what a policy reads and gives, and time a step of it."""
    parser = argparse.ArgumentParser(description="List what an exported policy reads and gives, and time its step.")
    parser.add_argument("folder", nargs="?", default=str(Path(__file__).parent), help="folder of policy.onnx")
    policy = Policy(parser.parse_args().folder)
    say = sys.stdout.write
    say(f"{policy.facts['task']}: one step every {1000 * policy.period:.2f} ms\n\nsensors\n")
    for each in policy.sensors:
        say(f"  {each['name']:<24}{each['size']:>4}  {each['unit']:<18}{each['description']}\n")
    say("\ntargets [rad]\n")
    facts = policy.facts["action"]
    for name, low, high, mode in zip(facts["names"], facts["lower"], facts["upper"], facts["modes"], strict=True):
        say(f"  {name:<24}{low:8.4f} to {high:7.4f}  {mode}\n")
    sensors = {each["name"]: np.zeros(each["size"]) for each in policy.sensors}
    policy.reset(sensors)
    start = time.perf_counter()
    for _ in range(100):
        policy.step(sensors)
    say(f"\n{10 * (time.perf_counter() - start):.3f} ms per step on this machine, with all sensors at zero\n")


if __name__ == "__main__":
    main()
