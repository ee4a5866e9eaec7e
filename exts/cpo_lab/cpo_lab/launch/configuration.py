# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""From what the user asked for to checked configurations; nothing is started or allocated."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from cpo_lab.launch.caches import check_caches
from cpo_lab.launch.machine import check_memory, resolve_device
from cpo_lab.launch.options import LIMITS, OPTIONS, take_options, without_options
from cpo_lab.launch.registry import STOCK_AGENT, agent_key, agents_of, find_task, is_derived, physics_of
from cpo_lab.launch.settings import join_settings, names_of, take_selector, write_settings
from cpo_lab.launch.stock_networks import networks_in
from cpo_lab.launch.trust import refuse_foreign
from cpo_rl import contracts
from cpo_rl.contracts import EnvironmentSettings
from cpo_rl.errors import UserError, suggestion
from cpo_rl.runs.find import sidecar_of
from cpo_rl.runs.folder import RunFolder, plain_task

CPU_ITERATIONS = 1000
"""Iterations of a run on the CPU unless told otherwise: some two million transitions."""

CPU_SAVE_INTERVAL = 20
"""Iterations between checkpoints on the CPU, so that there is soon something to play."""


@dataclass
class Request:
    """What the user asked for; None leaves the choice to the task, the agent or the machine."""

    task: str
    """Gym id of the task."""

    agent: str
    """Short name or registration key of the agent."""

    device: str | None = None
    """``cpu``, ``cuda``, ``cuda:<index>`` or None."""

    physics: str | None = None
    """Name of a physics preset of the task."""

    num_envs: int | None = None
    """Number of environments, at least 1."""

    num_policies: int | None = None
    """Number of policies, at least 1."""

    seed: int | None = None
    """Seed of everything random, at least 0."""

    overrides: list[str] = field(default_factory=list)
    """Settings such as ``env.episode_length_s=5`` or ``agent.algorithm.gamma=0.98``."""

    @classmethod
    def of_run(
        cls,
        run: RunFolder,
        task: str | None = None,
        agent: str | None = None,
        checkpoint: Path | None = None,
        *,
        trust: bool = False,
        replaced: Sequence[str] = (),
    ) -> Request:
        """Return the request that continues or shows a run.

        A run of ours keeps the request that it was started from, one of the stock launcher the values that its network
        and algorithm had. A checkpoint without either tells by its sidecar, one of rsl_rl's own runner by its tensors.

        Args:
            run: The run.
            task: Task the user named, or None to take the run's.
            agent: Agent the user named, or None to take the run's.
            checkpoint: Which of its checkpoints is meant; None for none in particular.
            trust: Whether the run may name code and places to write to (:mod:`cpo_lab.launch.trust`).
            replaced: Settings that are given now; what the run says about them does not count.

        Raises:
            UserError: If the run belongs to another task, does not say to which and the user does not either, or names
                code without being trusted.
        """
        sidecar = sidecar_of(checkpoint) if checkpoint else None
        stated = run.task if run.is_known or run.launch else None  # beside its run a sidecar is one of many
        trained = stated or (sidecar.identity.get("task") if sidecar else None) or run.task
        if task and trained not in (None, plain_task(task)):
            raise UserError(
                f"The run in {str(run.path)!r} trained on task {trained!r}, not on {task!r}; leave out --task."
            )
        if not isinstance(task or trained, str):
            raise UserError(f"{str(run.path)!r} does not say which task it was trained on; add --task.")
        known = {f.name: run.launch[f.name] for f in fields(cls) if f.name in run.launch}
        known["task"] = task or trained
        settings = (sidecar.config if sidecar else {}) or run.settings
        if checkpoint is not None and not settings and not run.launch:
            settings = networks_in(checkpoint)
        known["agent"] = agent or run.agent or _agent_of(settings, str(known["task"]))
        if not run.launch:
            kept: dict[str, Any] = {name: settings[name] for name in _LEARNED if name in settings}
            known["overrides"] = write_settings(kept, "agent")
            kept = {"seed": settings.get("seed"), "num_envs": sidecar.scale.get("num_envs") if sidecar else None}
            known |= {n: value for n, value in kept.items() if type(value) is int and LIMITS[n].allow(value)}
        stored = join_settings(_earlier_defaults(run.settings), known.get("overrides", []))
        stored = [token for token in stored if token.partition("=")[0] not in names_of(replaced)]
        if not trust:
            refuse_foreign(stored, run.path)
        known["overrides"] = without_options(stored)
        return cls(**{**_stored_options(stored, known), **known})

    def with_settings(self, settings: list[str], **given: Any) -> Request:
        """Return this request with settings and options that are given now, which win.

        Args:
            settings: Settings as text; those that mean options are taken as options.
            given: Options; None leaves one as it is.

        Raises:
            UserError: If a setting contradicts an option, or changes nothing here.
        """
        taken, rest = take_options(settings, given)
        return replace(self, overrides=join_settings(self.overrides, rest), **taken)

    def keep(self, folder: Path, iterations: int) -> None:
        """Write the request into a run folder, so that the run can be continued or played without repeating it.

        Args:
            folder: The run folder.
            iterations: After how many iterations in all the run ends.

        Raises:
            OSError: If the disk is full or read-only.
        """
        RunFolder(folder).write_launch({**asdict(self), "iterations": iterations})


def _stored_options(stored: list[str], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return options that a stored run has as settings only; where it has both, the option was what counted."""
    settings = [token for token in stored if OPTIONS.get(token.partition("=")[0], "") not in known]
    return take_options([token for token in settings if token.partition("=")[0] in OPTIONS], {})[0]


_LEARNED = ("model", "actor", "critic", "algorithm", "obs_groups")
"""Sections of an agent's settings that say what was trained."""


def _agent_of(settings: Mapping[str, Any], task: str) -> str:
    """Return the agent whose settings these are, as far as they tell; else the task's default.

    Args:
        settings: Plain settings of an agent.
        task: Gym id of the task.
    """
    algorithm = settings.get("algorithm")
    preset = algorithm.get("algorithm") if isinstance(algorithm, Mapping) else None
    stock = "actor" in settings and "model" not in settings
    try:
        known = agents_of(find_task(task))
    except UserError:
        return STOCK_AGENT
    name = "stock_ppo" if stock else preset
    return name if isinstance(name, str) and name in known else STOCK_AGENT


def _earlier_defaults(stored: Mapping[str, Any]) -> list[str]:
    """Return settings that a run of version 0.1.0 had by default and would not have today.

    Args:
        stored: Its settings, as its folder keeps them.
    """
    algorithm = stored.get("algorithm")
    if not isinstance(algorithm, Mapping) or "adversarial_centered" in algorithm:
        return []
    coef = algorithm.get("adversarial_coef")
    if not isinstance(coef, int | float) or coef <= 0:
        return []
    return write_settings({"algorithm": {"adversarial_coef": coef, "adversarial_centered": False}}, "agent")


@dataclass
class Resolved:
    """Checked configurations, ready to start."""

    request: Request
    """What they were made from, with every open choice filled in."""

    agent_key: str
    """Registration key of the agent."""

    env_cfg: Any
    """Isaac Lab's environment configuration."""

    agent_cfg: Any
    """Isaac Lab's runner configuration."""

    chosen: list[str]
    """Names of the request's fields that were chosen automatically."""

    fitted: list[str] = field(default_factory=list)
    """What was changed so that the agent's settings fit the number of environments, one line each."""

    @property
    def num_policies(self) -> int:
        """Number of policies of the agent; 1 for an algorithm that is no ensemble."""
        return contracts.num_policies(self.agent_cfg.algorithm) or 1

    @property
    def algorithm(self) -> str:
        """Name of the algorithm preset, such as ``cpo``."""
        return contracts.algorithm_name(self.agent_cfg.algorithm) or self.request.agent


def resolve(request: Request, *, play_mode: bool = False) -> Resolved:
    """Check a request and make the configurations it asks for. Nothing is started or allocated.

    Args:
        request: What the user asked for.
        play_mode: Whether the environment's settings for playing replace those for training.

    Raises:
        UserError: On anything that the user can correct.
    """
    from cpo_lab.launch.agent_checks import check_agent, check_groups, least_memory
    from cpo_lab.launch.foreign_tasks import check_foreign, check_foreign_files
    from cpo_lab.launch.resolution import apply_settings

    check_caches()
    spec = find_task(request.task)
    key = agent_key(spec, request.agent)
    options = {name: getattr(request, name) for name in ("device", "num_envs", "num_policies", "seed")}
    options, settings = take_options(request.overrides, options)
    request = replace(request, **options)
    for name in ("seed", "num_envs", "num_policies"):
        if name in options and not LIMITS[name].allow(options[name]):
            raise UserError(f"{name}={options[name]} must {LIMITS[name].rule}.")
    device = resolve_device(request.device)
    physics, settings = take_selector("physics", request.physics, settings)
    foreign = not str(spec.entry_point).startswith("cpo_lab.tasks.")
    engine = _check_physics(request.task, physics, device, foreign=foreign)

    selectors = [f"physics={engine}"] if engine else []
    env_cfg, agent_cfg = apply_settings(request.task, key, [*selectors, *settings], play_mode=play_mode)
    if foreign:
        check_foreign(request.task, env_cfg, agent_cfg)
    env_cfg.sim.device = agent_cfg.device = device
    if request.seed is not None:
        agent_cfg.seed = request.seed
    env_cfg.seed = agent_cfg.seed
    EnvironmentSettings(env_cfg).check()
    if request.num_policies is not None:
        _set_policies(agent_cfg, request.num_policies, request.agent)
    policies = contracts.num_policies(agent_cfg.algorithm) or 1
    if request.num_envs is not None:
        env_cfg.scene.num_envs = request.num_envs
    else:
        env_cfg.scene.num_envs = _fitting_num_envs(env_cfg, device, policies, derived=is_derived(spec, key))
    if not foreign:
        check_groups(agent_cfg)
    fitted, widths = check_agent(agent_cfg, env_cfg.scene.num_envs)
    check_memory(device, least_memory(env_cfg, agent_cfg, widths), f"num_envs={env_cfg.scene.num_envs}")
    _check_kit(env_cfg, engine)
    if foreign:
        check_foreign_files(env_cfg)

    filled = replace(
        request, device=device, physics=engine, num_envs=env_cfg.scene.num_envs, num_policies=policies,
        seed=agent_cfg.seed, overrides=settings,
    )  # fmt: skip
    given = {
        "physics": physics,
        **{name: getattr(request, name) for name in ("device", "num_envs", "num_policies", "seed")},
    }
    chosen = [name for name, value in given.items() if value is None]
    return Resolved(filled, key, env_cfg, agent_cfg, chosen, fitted)


def _check_physics(task: str, physics: str | None, device: str, *, foreign: bool = False) -> str | None:
    """Return the engine to use: the one asked for if it can run here, else the one that suits the device.

    Args:
        task: Gym id of the task.
        physics: Engine that was asked for, or None.
        device: ``cpu`` or ``cuda:<index>``.
        foreign: Whether the task is none of ours, so that it may offer other engines, or no choice: then None.
    """
    from cpo_lab.physics.presets import engine_for, ovphysx_installed

    suited = engine_for(device)
    if physics is None and not foreign:
        return suited
    known = physics_of(task)
    if physics is None:
        from cpo_lab.launch.foreign_tasks import suited_engine

        return suited_engine(known, suited)
    if physics not in known:
        raise UserError(f"Unknown physics {physics!r} for task {task}; {suggestion(physics, known)}")
    if physics == "ovphysx" and not ovphysx_installed():
        raise UserError(
            "physics=ovphysx needs the package ovphysx, which exists for Linux x86_64 only; use physics=newton_mjwarp."
        )
    return physics


def _fitting_num_envs(env_cfg: Any, device: str, policies: int, *, derived: bool = False) -> int:
    """Return the task's number of environments for the device, rounded to a multiple of the policies."""
    if EnvironmentSettings(env_cfg).cpu_num_envs is None:
        from cpo_lab.launch.foreign_tasks import CPU_NUM_ENVS

        suited = env_cfg.scene.num_envs
        if derived and device == "cpu":  # Isaac Lab's numbers are for GPUs
            suited = min(suited, CPU_NUM_ENVS)
    else:
        from cpo_lab.physics.defaults import default_num_envs

        suited = default_num_envs(env_cfg, device)
    return max(round(suited / max(policies, 1)), 1) * policies


def _set_policies(agent_cfg: Any, count: int, agent: str) -> None:
    """Change the number of policies of an ensemble agent."""
    current = contracts.num_policies(agent_cfg.algorithm)
    if current is None or (current == 1 and count > 1):
        raise UserError(
            f"--num_policies {count} does not fit --agent {agent}, which trains one policy; use --agent cpo or sapg."
        )
    if count == 1 and current > 1:
        raise UserError(f"--num_policies 1 leaves --agent {agent} nothing to couple; use --agent ppo.")
    agent_cfg.algorithm.num_policies = count


def _check_kit(env_cfg: Any, engine: str | None) -> None:
    """Refuse a configuration that needs Isaac Sim where it is not installed, and impossible combinations."""
    from isaaclab.app import validate_launch

    try:
        _, kit_sources = validate_launch(env_cfg, {"livestream": 0})
    except ValueError as error:
        raise UserError(f"{str(error).strip().splitlines()[0].rstrip('.')}.") from None
    if kit_sources and importlib.util.find_spec("isaacsim") is None and engine is None:
        raise UserError(
            f"This task needs Isaac Sim ({', '.join(map(str, kit_sources))}) and offers no other engine, and Isaac Sim "
            "is not installed; README.md says how to add it."
        )
    if kit_sources and importlib.util.find_spec("isaacsim") is None:
        raise UserError(
            f"physics={engine} needs Isaac Sim, which is not installed; README.md says how to add it, "
            "or choose physics=ovphysx or physics=newton_mjwarp."
        )


def suit_cpu(resolved: Resolved) -> None:
    """Replace a schedule made for tens of thousands of environments by one that a person can watch on a CPU."""
    if resolved.request.device != "cpu":
        return
    given, cfg = names_of(resolved.request.overrides), resolved.agent_cfg
    if "agent.max_iterations" not in given:
        cfg.max_iterations = min(cfg.max_iterations, CPU_ITERATIONS)
    if "agent.save_interval" not in given:
        cfg.save_interval = min(cfg.save_interval, CPU_SAVE_INTERVAL)


def unequal_objects(env_cfg: Any, policies: int, num_envs: int) -> str | None:
    """Return a warning if the policies of an ensemble will meet different objects, which their results then depend on.

    Args:
        env_cfg: The environment's configuration; one that cannot count its objects has one.
        policies: Policies of the ensemble.
        num_envs: Environments, a multiple of the policies.
    """
    shapes, block = EnvironmentSettings(env_cfg).num_shapes, num_envs // policies
    if policies == 1 or block >= shapes:
        return None
    return (
        f"{block} environments per policy cannot hold all {shapes} objects, so policies see different ones; "
        f"env.num_objects={block} gives all the same"
    )
