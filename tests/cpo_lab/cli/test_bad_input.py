# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Whatever the user can get wrong ends in one sentence and status 2, before the simulator starts."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from cpo_lab.cli import main, play, train
from cpo_lab.launch import resolution, simulation

TASK = "CpoLab-Reorient-Cube-Shadow-Direct"


@pytest.fixture(autouse=True)
def no_simulator(monkeypatch, tmp_path):
    """Fail when a command gets as far as starting anything; work in an empty folder."""

    def started(*args, **kwargs):
        raise AssertionError("the simulator was started")

    for module, name in ((train, "_train"), (play, "_play"), (simulation, "simulation"), (simulation, "make_env")):
        monkeypatch.setattr(module, name, started)
    monkeypatch.chdir(tmp_path)


def refused(capsys, *argv: str) -> str:
    """Run a command that must be refused; returns its sentence."""
    assert main(list(argv)) == 2
    output = capsys.readouterr()
    sentence = output.err.strip()
    assert "\n" not in sentence
    assert "Traceback" not in output.err
    assert sentence.startswith("cpo-lab: ")
    assert sentence.endswith((".", "?"))
    return sentence


def make_run(
    root: Path, task: str = TASK, agent: str = "rsl_rl_cfg_entry_point", iteration: int = 3, name: str = "a"
) -> Path:
    """Write what a finished run of the stock launcher leaves behind; returns its checkpoint."""
    folder = root / "some_experiment" / name
    folder.mkdir(parents=True)
    manifest = {
        "version": 1,
        "library": "rsl_rl",
        "task": task,
        "created_at": f"2026-01-0{iteration}T00:00:00+00:00",
        "metadata": {"agent": agent},
    }
    (folder / "run.json").write_text(json.dumps(manifest))
    (folder / f"model_{iteration}.pt").write_bytes(b"weights")
    (folder / "params").mkdir()
    (folder / "params/agent.yaml").write_text("seed: 42\n")  # or the networks would be read from the weights
    return folder / f"model_{iteration}.pt"


def test_unknown_command(capsys):
    assert "did you mean 'train'?" in refused(capsys, "trian")
    assert "choose one of" in refused(capsys, "xyzzy")


@pytest.mark.parametrize("option", ["--num_envs", "--num_policies", "--iterations"])
@pytest.mark.parametrize("value", ["0", "-6", "1.5", "many", "nan", "inf"])
def test_sizes_are_positive_integers(capsys, option, value):
    sentence = refused(capsys, "train", option, value)
    assert option in sentence
    assert "positive integer" in sentence


@pytest.mark.parametrize("value", ["-1", "x", str(2**31)])
def test_seed(capsys, value):
    assert "--seed" in refused(capsys, "train", "--seed", value)


def test_unknown_option_names_the_nearest(capsys):
    assert "did you mean --num_envs?" in refused(capsys, "train", "--num_env", "12")
    assert "--enable_cameras" in refused(capsys, "train", "--enable_cameras")


def test_stray_word(capsys):
    assert "'ovphysx'" in refused(capsys, "train", "ovphysx")


def test_unknown_task(capsys):
    sentence = refused(capsys, "train", "--task", "CpoLab-Reorient-Cube-Shadow")
    assert f"did you mean '{TASK}'?" in sentence


@pytest.mark.parametrize(
    ("task", "named"),
    [
        ("Isaac-Cartpol-Direct", "did you mean 'Isaac-Cartpole-Direct'"),
        ("Isaac-Pendulum-MARL-Direct", "has no rsl_rl PPO configuration (rsl_rl_cfg_entry_point)"),
        ("Isaac-Cartpole-Camera-Direct", "actor.class_name=CNNModel reads images"),
        ("IsaacContrib-Keyboard-SO101", "agents.models:SharedEncoderPPO is not rsl_rl's PPO"),
    ],
)
def test_task_of_isaac_lab_that_cannot_be_trained(capsys, task, named):
    assert named in refused(capsys, "train", "--task", task)


def test_unknown_agent(capsys):
    sentence = refused(capsys, "train", "--agent", "dqn")
    assert "Unknown agent 'dqn'" in sentence
    assert all(name in sentence for name in ("cpo", "sapg", "ppo"))


def test_unknown_physics(capsys):
    for argv in (("--physics", "bullet"), ("physics=bullet",)):
        sentence = refused(capsys, "train", *argv)
        assert "Unknown physics 'bullet'" in sentence
        assert "ovphysx" in sentence


def test_physics_given_twice(capsys):
    assert "keep one" in refused(capsys, "train", "--physics", "ovphysx", "physics=newton_mjwarp")


def test_physics_that_needs_isaac_sim(capsys, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "isaacsim" else find(name, *rest)
    )
    assert "Isaac Sim" in refused(capsys, "train", "--device", "cpu", "physics=isaacsim_physx")


def test_environments_divide_into_policies(capsys):
    sentence = refused(capsys, "train", "--device", "cpu", "--num_envs", "50")
    assert "num_envs=50" in sentence
    assert "use 48 or 54" in sentence


def test_number_of_policies_fits_the_agent(capsys):
    assert "--agent ppo" in refused(capsys, "train", "--num_policies", "1")
    assert "one policy" in refused(capsys, "train", "--agent", "ppo", "--num_policies", "6")


def test_cuda_without_cuda(capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    sentence = refused(capsys, "train", "--device", "cuda")
    assert "no CUDA device" in sentence


def test_gpu_that_does_not_exist(capsys, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert "cuda:0 to cuda:1" in refused(capsys, "train", "--device", "cuda:2")


def test_unknown_device(capsys):
    assert "'tpu'" in refused(capsys, "train", "--device", "tpu")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("agent.algorithm.gama=0.9", "did you mean 'gamma'?"),
        ("agent.algorithm.gamma=high", "must be a number"),
        ("agent.algorithm.gamma=1.5", "gamma=1.5 must lie in (0, 1]"),
        ("agent.model.hidden_dims=64", "must be a list"),
        ("agent.model.hidden_dims=[0]", "hidden_dims=[0]"),
        ("agent.num_steps_per_env=0", "num_steps_per_env=0"),
        ("env.fall_distanse=1", "did you mean 'fall_distance'?"),
        ("env.sim.foo.bar=1", "env.sim"),
        ("agnt.seed=1", "Cannot read"),
        ("presets=nonsense", "nonsense"),
    ],
)
def test_settings(capsys, setting, told):
    assert told in refused(capsys, "train", "--device", "cpu", setting)


REGRASP = "CpoLab-Regrasp-KukaAllegro-Direct"


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("env.object_set=spheres", "env.object_set='spheres' must be one of cube, small_cuboids, cuboids"),
        ("env.num_objects=-3", "env.num_objects=-3 must not be negative"),
        ("env.num_objects=948", "num_objects must lie between 1 and 947 for the object set 'cuboids', not 948"),
        ("env.num_objects=many", "env.num_objects=many must be an integer"),
        ("presets=nucleus_assets", "presets=nucleus_assets is not offered for this task"),
    ],
)
def test_objects_and_robots_of_the_arm_tasks(capsys, setting, told):
    assert told in refused(capsys, "train", "--device", "cpu", "--task", REGRASP, setting)


@pytest.mark.parametrize("task", [TASK, "CpoLab-Reorient-Cube-Allegro-Direct"])
def test_nvidias_robots_without_a_network(capsys, monkeypatch, task):
    """The path and the way out, within the patience that a server is given."""
    import socket

    from cpo_lab.assets import availability

    def no_network(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(availability, "mirror_of", lambda url: Path("/no/such/copy"))
    availability._ask_server.cache_clear()
    resolution.apply_settings(task, "rsl_rl_cfg_entry_point", [])  # imports, which are not what is timed
    start = time.perf_counter()
    sentence = refused(capsys, "train", "--device", "cpu", "--task", task, "presets=nucleus_assets")
    assert time.perf_counter() - start < availability.PATIENCE + 3.0
    assert all(words in sentence for words in ("https://", ".usd", "ISAACSIM_ASSET_ROOT", "presets=nucleus_assets out"))


def test_a_robot_file_that_is_not_there(capsys):
    sentence = refused(capsys, "train", "--device", "cpu", "env.scene.robot.spawn.usd_path=/no/hand.usd")
    assert "env.scene.robot.spawn.usd_path=/no/hand.usd cannot be had" in sentence


@pytest.mark.parametrize(("task", "joint"), [(TASK, "WRJ1"), (REGRASP, "iiwa7_joint_1")])
def test_a_robot_with_other_joints(capsys, tmp_path, task, joint):
    from cpo_lab.assets.allegro_hand_table import allegro_hand
    from cpo_lab.assets.articulation import robot_usd

    file = tmp_path / "mine.usda"
    file.write_text(Path(robot_usd(allegro_hand())).read_text())
    sentence = refused(capsys, "train", "--device", "cpu", "--task", task, f"env.scene.robot.spawn.usd_path={file}")
    assert f"{file} has no joint named {joint}" in sentence
    assert "which are index_joint_0" in sentence


def test_self_collision_is_for_our_hand(capsys):
    sentence = refused(capsys, "train", "--device", "cpu", "presets=nucleus_assets", "env.self_collision=false")
    assert "self_collision was changed but has no effect on a hand that is not ours" in sentence


@pytest.mark.parametrize("option", ["--log_root", "--log_dir"])
def test_unwritable_log_folder(capsys, tmp_path, option):
    (tmp_path / "file").write_text("not a folder")
    sentence = refused(capsys, "train", option, str(tmp_path / "file" / "logs"))
    assert option in sentence
    assert "cannot be written" in sentence


def test_run_name_cannot_leave_the_log_folder(capsys):
    assert "--run_name" in refused(capsys, "train", "--run_name", "../../elsewhere")


@pytest.mark.parametrize("command", [("train", "--resume"), ("play", "--checkpoint")])
def test_missing_checkpoint(capsys, command):
    assert "no such file" in refused(capsys, *command, "nowhere/model_3.pt")
    assert "found no run" in refused(capsys, *command, "latest")


@pytest.mark.parametrize("command", [("train", "--resume"), ("play", "--checkpoint")])
def test_folder_without_checkpoint(capsys, tmp_path, command):
    (tmp_path / "empty").mkdir()
    assert "no complete checkpoint" in refused(capsys, *command, str(tmp_path / "empty"))


@pytest.mark.parametrize("command", [("train", "--resume"), ("play", "--checkpoint")])
def test_checkpoint_of_another_task(capsys, tmp_path, command):
    checkpoint = make_run(tmp_path, task="CpoLab-Other-Task-Direct")
    sentence = refused(capsys, *command, str(checkpoint), "--task", TASK)
    assert "CpoLab-Other-Task-Direct" in sentence
    assert TASK in sentence


@pytest.mark.parametrize("command", [("train", "--resume"), ("play", "--checkpoint")])
def test_checkpoint_whose_own_description_names_another_task(capsys, tmp_path, command):
    checkpoint = make_run(tmp_path)
    sidecar = {"iteration": 3, "identity": {"task": "CpoLab-Other-Task-Direct"}, "size": 7, "sha256": "", "format": 1}
    checkpoint.with_suffix(".json").write_text(json.dumps(sidecar))
    assert "CpoLab-Other-Task-Direct" in refused(capsys, *command, str(checkpoint), "--device", "cpu")


def test_checkpoint_that_does_not_say_its_task(capsys, tmp_path):
    (tmp_path / "model_3.pt").write_bytes(b"weights")
    assert "add --task" in refused(capsys, "play", "--checkpoint", str(tmp_path / "model_3.pt"))


def test_run_that_is_already_finished(capsys, tmp_path):
    checkpoint = make_run(tmp_path)
    sentence = refused(capsys, "train", "--resume", str(checkpoint), "--iterations", "3", "--device", "cpu")
    assert "already has 3 iterations" in sentence


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (("--picture", "hand.gif"), ".png"),
        (("--video", "hand.png"), ".mp4"),
        (("--video", "hand.mp4", "--viz", "newton_gl"), "--viz"),
        (("--steps", "0"), "--steps"),
        (("--size", "-3"), "--size"),
        (("--camera", "far"), "--camera"),
        (("--seconds", "5"), "--video"),
    ],
)
def test_outputs_of_play(capsys, argv, told):
    assert told in refused(capsys, "play", *argv)


@pytest.mark.parametrize("policy", ["6", "-1", "first"])
def test_policy_that_does_not_exist(capsys, tmp_path, policy):
    checkpoint = make_run(tmp_path)
    assert "0 to 5" in refused(capsys, "play", "--checkpoint", str(checkpoint), f"--policy={policy}", "--device", "cpu")


def test_list_of_unknown_task(capsys):
    assert "Unknown task" in refused(capsys, "list", "--task", "Nothing")


def test_doctor_takes_no_arguments(capsys):
    assert "Unknown option --fix" in refused(capsys, "doctor", "--fix")
