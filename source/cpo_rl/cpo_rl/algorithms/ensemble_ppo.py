# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""PPO, SAPG and CPO as one algorithm class for rsl_rl's on-policy runner.

N environments are split into M contiguous blocks, one policy each, all played by one conditioned network; the last
block is the leader's. An iteration goes one way through the modules beside this one::

    rollout          act, process_env_step, compute_returns     rollout: what is recorded
    diversity bonus  diversity.bonus                            diversity (adversarial_coef > 0)
    targets          row_targets.compute                        row_targets: GAE, relabelled targets, weights
    diagnostics      coupling.measure                           diagnostics, every diagnostics_interval iterations
    regulation       regulator.step                             coupling_regulator (coupling_target_kl > 0)
    gradient steps   policy_update.run                          update: roles' rows gathered, losses weighed, steps
    statistics       model.commit_statistics                    models.normalizer: take effect in the next rollout

A subclass brings settings of its own with :attr:`EnsemblePPO.settings_class` and terms of the loss with
:meth:`EnsemblePPO.extra_losses` (docs/add_an_algorithm.md).

What makes it PPO, SAPG or CPO stands in :class:`~cpo_rl.config.EnsembleCfg`.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict
from torch import Tensor

from cpo_rl.algorithms.changes import refuse_changes
from cpo_rl.algorithms.coupling_regulator import CouplingRegulator
from cpo_rl.algorithms.device_metrics import DeviceMetrics
from cpo_rl.algorithms.diagnostics import EnsembleDiagnostics
from cpo_rl.algorithms.diversity import DiversityReward
from cpo_rl.algorithms.episodes import LastEpisodes
from cpo_rl.algorithms.finite_guard import FiniteGuard
from cpo_rl.algorithms.quarantine import Quarantine
from cpo_rl.algorithms.randomness import Randomness
from cpo_rl.algorithms.roles import RoleTables
from cpo_rl.algorithms.rollout import Rollout, Rows
from cpo_rl.algorithms.row_targets import RowTargets
from cpo_rl.algorithms.sound_state import SoundState
from cpo_rl.algorithms.time_outs import bootstrapped
from cpo_rl.algorithms.update import PolicyUpdate
from cpo_rl.config import EnsembleCfg, ModelCfg
from cpo_rl.distributed import Ranks
from cpo_rl.fields import build_cfg, limits_of, refuse_unknown
from cpo_rl.formulas import gaussian
from cpo_rl.models import EnsembleActorCritic
from cpo_rl.models.actor_critic import Evaluation, clear_state
from cpo_rl.models.observation_groups import groups_to_read

_log = logging.getLogger(__name__)


class EnsemblePPO:
    """Ensemble policy gradients with relabelled data.

    Args:
        model: The shared actor-critic, on its device.
        cfg: Validated settings.
        num_envs: Environments N of this process.
        horizon: Steps T per environment and iteration.
        seed: Seeds mini-batch order, action noise and the drawn followers, which :meth:`broadcast_parameters` makes
            the same on all ranks.
        multi_gpu_cfg: rsl_rl's description of the ranks, or None.

    Raises:
        UserError: If settings and sizes do not fit each other.
    """

    settings_class: ClassVar[type[EnsembleCfg]] = EnsembleCfg
    """Settings that :meth:`construct_algorithm` builds; a subclass with fields of its own names its own dataclass."""

    rnd = None
    """rsl_rl's runner looks for an intrinsic-reward module; there is none."""

    def __init__(
        self,
        model: EnsembleActorCritic,
        cfg: EnsembleCfg,
        num_envs: int,
        horizon: int,
        seed: int = 0,
        multi_gpu_cfg: dict | None = None,
    ) -> None:
        cfg.validate()
        cfg.validate_batch(num_envs, horizon)
        self.model, self.cfg = model, cfg
        model.normalizes_values = cfg.normalize_values
        self.ranks = Ranks(multi_gpu_cfg)
        self.device, self.num_envs = model.log_std.device, num_envs
        self.tables = RoleTables(
            num_envs, cfg.num_policies, horizon // cfg.sequence_length, cfg.borrowed_followers,
            cfg.awac_coef > 0 and cfg.num_policies > 1, cfg.awac_fraction, self.device,
        )  # fmt: skip
        self.rollout = Rollout(model, num_envs, horizon, cfg.sequence_length, self.tables)
        self.env_policy = torch.arange(num_envs, device=self.device) // self.tables.block
        self.row_targets = RowTargets(model, cfg, self.tables, self.ranks)
        self.coupling = EnsembleDiagnostics(model, cfg, self.tables)
        self.regulator = CouplingRegulator(model, cfg, self.tables, self.ranks) if cfg.coupling_target_kl > 0 else None
        coefs = self.regulator.coef if self.regulator else None
        self.policy_update = PolicyUpdate(model, cfg, self.tables, self.rollout, self.ranks, self.extra_losses, coefs)
        self.diversity: DiversityReward | None = None
        if cfg.adversarial_coef > 0 and cfg.num_policies > 1:
            self.diversity = DiversityReward(model, cfg, self.env_policy, self.ranks)
        self.episodes = LastEpisodes(num_envs, cfg.num_policies, self.device)
        self.guard = FiniteGuard(num_envs, self.device)
        self.quarantine = Quarantine(model, cfg, self.guard, self.ranks, num_envs)
        self.sound_state = SoundState(model, cfg, self.rollout, self.ranks, self._learned)
        self.metrics = DeviceMetrics(self.device)
        self.random = Randomness(seed, self.ranks, self.device)
        self.iteration = 0
        self.borrowed: list[int] = []
        self.learning_rate = cfg.learning_rate
        self._state = model.initial_state(num_envs)
        self._last_diagnostics: dict[str, Any] | None = None

    @classmethod
    def construct_algorithm(cls, obs: TensorDict, env: VecEnv, cfg: dict, device: str) -> Self:
        """Build model and algorithm from a runner's configuration, as rsl_rl's runner does.

        Args:
            obs: First observations by group.
            env: The vectorized environment.
            cfg: Run settings: sections ``model`` and ``algorithm``, ``num_steps_per_env``, ``obs_groups``, ``seed``.
            device: Torch device of the learner.

        Raises:
            UserError: On an unknown or invalid field, before anything is allocated.
        """
        settings = build_cfg(cls.settings_class, cfg["algorithm"], "algorithm")
        model_cfg = build_cfg(ModelCfg, cfg.get("model", {}), "model")
        horizon = cfg["num_steps_per_env"]
        fitted = settings.fit_batch(env.num_envs, horizon)
        if fitted:
            _log.warning(fitted)
        settings.validate_batch(env.num_envs, horizon)
        settings.validate_noise(model_cfg.init_log_std)
        groups = groups_to_read(cfg.get("obs_groups"), obs)
        actor, critic = (sum(obs[group].shape[-1] for group in names) for names in groups)
        model = EnsembleActorCritic(
            actor, env.num_actions, settings.num_policies, model_cfg, groups[0], critic, groups[1]
        ).to(device)
        return cls(model, settings, env.num_envs, horizon, int(cfg.get("seed") or 0), cfg.get("multi_gpu"))

    # -- rollout -------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def act(self, obs: TensorDict) -> Tensor:
        """Sample an action of every environment's policy and record the decision.

        Args:
            obs: Raw observations by group, batch [N].

        Returns:
            Actions [N, A], not clipped; the environment clips them, the log-probability does not.
        """
        if self.rollout.step == 0:
            self.quarantine.begin()
        step = self.rollout.step
        x = self.model.normalize_obs(self.quarantine.observe(obs, step))
        self.rollout.record_state(self._state)
        out = self.model.evaluate_inputs(self.rollout.record_observation(x), self._state)
        self._state = out.state
        assert out.value is not None
        mean, log_std = out.mean.squeeze(1), out.log_std.squeeze(1)
        action = self.quarantine.own("actions", mean + log_std.exp() * self.random.normal(mean), step)
        log_prob = self.quarantine.own("action noise", gaussian.log_prob(action, mean, log_std), step)
        value = self.quarantine.own("values", out.value.squeeze(1), step)
        self.rollout.record_action(action, mean, log_prob, self.model.denormalize_value(value))
        return action

    @torch.no_grad()
    def process_env_step(self, obs: TensorDict, rewards: Tensor, dones: Tensor, extras: dict[str, Any]) -> None:
        """Record what came of the actions.

        Args:
            obs: Next observations, which the next :meth:`act` gets as well.
            rewards: Unscaled rewards, [N].
            dones: Ended episodes, [N].
            extras: What a step may say besides (docs/any_environment.md).
        """
        done = dones.bool()
        step = self.rollout.step
        rewards, void = self.quarantine.judge(rewards.to(self.model.log_std.dtype), obs, done, extras, step)
        self.model.gather_statistics(self.quarantine.observation, ~void)
        self.episodes.step(rewards, done, extras, void)
        done = done | void
        values, shaped = self.rollout.values[:, step], rewards * self.cfg.reward_scale
        shaped = bootstrapped(shaped, values, extras, self.model, self.cfg, self.env_policy, self._state)
        self.rollout.record_outcome(shaped.masked_fill(void, 0.0), done, void)
        self._state = clear_state(self._state, done)

    @torch.no_grad()
    def compute_returns(self, obs: TensorDict) -> None:
        """Record the observation after the last step and its value under each environment's policy."""
        x = self.model.normalize_obs(self.quarantine.observe(obs, self.rollout.step))
        out = self.model.evaluate_inputs(self.rollout.record_observation(x), self._state)
        assert out.value is not None
        value = self.quarantine.own("values", out.value.squeeze(1), self.rollout.step)
        self.rollout.last_values.copy_(self.model.denormalize_value(value))

    # -- update --------------------------------------------------------------------------------------------------------

    def update(self) -> dict[str, float]:
        """Learn from the recorded rollout.

        Returns:
            Metrics by name, read from the device in one transfer.
        """
        bad = self.quarantine.settle(self.metrics)
        self.sound_state.keep(self.quarantine.held)
        self.borrowed = self.random.followers(self.cfg.num_policies - 1, self.cfg.borrowed_followers)
        bonus = self.diversity.bonus(self.rollout, self.metrics) if self.diversity else None
        self.row_targets.compute(self.rollout, self.borrowed, bonus, self.metrics)
        inspected = self.iteration % self.cfg.diagnostics_interval == 0
        if inspected:
            self.coupling.measure(self.rollout, self.metrics)
        if self.regulator:
            self.regulator.step(self.rollout, bad, self.metrics)
        if self.diversity:
            self.diversity.update(self.rollout, self.random.shuffle, bad, self.metrics)
        self.policy_update.run(self.borrowed, self.random.shuffle, bad, self.metrics)
        self.model.commit_statistics(self.ranks)
        self.rollout.step = 0
        self.iteration += 1
        return self._report(inspected)

    def extra_losses(self, rows: Rows, out: Evaluation) -> dict[str, Tensor]:
        """Further terms of the loss, for subclasses; called in every gradient step, which a GPU records and replays.

        Args:
            rows: Rows of the mini-batch, with their shapes in :class:`~cpo_rl.algorithms.rollout.Rows`.
            out: What the current network says about them: means [n, q, A], log standard deviations, values.

        Returns:
            Scalars by name, each times its coefficient. They are added to the loss as they are and reported as
            ``Loss/<name>``; nothing may be read from the device.
        """
        return {}

    def _report(self, inspected: bool) -> dict[str, float]:
        metrics = self.metrics
        metrics.add("Optimization/learning_rate", self.policy_update.learning_rate.rate)
        metrics.add("Optimization/skipped_updates", self.policy_update.skipped)
        metrics.per_policy("std", self.model.log_std.exp().mean(-1))
        metrics.per_policy("entropy", gaussian.entropy(self.model.log_std))
        for name, (total, count) in self.episodes.per_policy().items():
            metrics.per_policy(name, total, count)
        scalars, arrays = metrics.read(self.ranks)
        self.learning_rate = scalars["Optimization/learning_rate"]
        matrices = self.coupling.summarize(arrays, scalars) if inspected else None
        self._last_diagnostics = None if matrices is None else {**matrices, "borrowed": self.borrowed}
        return scalars

    def diagnostics(self) -> dict[str, Any] | None:
        """Matrices of the last update as plain lists, or None if it was not inspected."""
        return self._last_diagnostics

    def guard_report(self) -> dict[str, Any] | None:
        """Where the rollout held the number for which the last update was held back, or None. Reads the device."""
        return self.quarantine.report()

    @property
    def void(self) -> Tensor:
        """Whether the last step was void, bool [N]."""
        return self.quarantine.void

    # -- population-based training -------------------------------------------------------------------------------------

    def set_hyperparameters(self, values: Mapping[str, Any]) -> None:
        """Change settings between two iterations; ``learning_rate`` is the one to go on with.

        Args:
            values: Values by field of :attr:`settings_class`.

        Raises:
            UserError: If a value is out of range, or the change would not act; nothing is changed then.
        """
        refuse_unknown(values, list(limits_of(type(self.cfg))), "algorithm")
        refuse_changes(
            self.cfg, values, regresses=self.tables.num_awac > 0, discriminates=self.diversity is not None,
            regulates=self.regulator is not None, recurrent=self.model.is_recurrent,
        )  # fmt: skip
        changed = dataclasses.replace(self.cfg, **values)
        changed.validate()
        changed.validate_batch(self.num_envs, self.rollout.horizon)
        vars(self.cfg).update(values)
        if "learning_rate" in values:
            self.policy_update.learning_rate.rate.fill_(values["learning_rate"])
        self.metrics.forget()  # a term that is switched off is no metric any more
        parts: tuple[Any, ...] = (self.policy_update, self.diversity, self.regulator)
        for part in filter(None, parts):
            part.settings_changed()

    def adopt(self, donor: dict[str, Any]) -> None:
        """Go on from another run's network, statistics, optimizer and discriminator, as :meth:`save` returned them.

        Counters, generators and episodes stay ours; recurrent states, which another network made, begin anew.
        """
        self.load(donor, {"optimizer": True})
        self._state = self.model.initial_state(self.num_envs)

    # -- what rsl_rl's runner expects ----------------------------------------------------------------------------------

    def train_mode(self) -> None:
        """Switch the model to training."""
        self.model.train()

    def eval_mode(self) -> None:
        """Switch the model to evaluation."""
        self.model.eval()

    def get_policy(self) -> EnsembleActorCritic:
        """The actor-critic, which acts as the leader unless told otherwise."""
        return self.model

    def broadcast_parameters(self) -> None:
        """Give every rank rank 0's parameters, statistics and drawing of followers."""
        modules = [self.model] + ([self.diversity.discriminator] if self.diversity else [])
        for module in modules:
            self.ranks.broadcast(module.state_dict().values())
        self.random.broadcast()

    def save(self) -> dict[str, Any]:
        """Everything that a bit-exact continuation needs; tensors and plain values only.

        Of several ranks this is rank 0's, and the others differ from it by :meth:`rank_state`.
        """
        own = {"generators": self.random.state_dict(), "algorithm_iteration": self.iteration}
        return {**self._learned(), **self.rank_state(), **own}

    def _learned(self) -> dict[str, Any]:
        """What learning changes, as the tensors themselves."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.policy_update.optimizer.state_dict(),
            "adversary": self.diversity.state_dict() if self.diversity else None,
            "regulator": self.regulator.state_dict() if self.regulator else None,
        }

    def rank_state(self) -> dict[str, Any]:
        """The part of :meth:`save` that every rank has for itself: its environments' episodes and its randomness."""
        return {
            "episodes": self.episodes.state_dict(),
            "recurrent_state": self._state,
            "generators": self.random.rank_state(),
        }

    def load_rank_state(self, state: dict[str, Any]) -> None:
        """Restore :meth:`rank_state`; what belongs to another number of environments starts anew."""
        self.episodes.load_state_dict(state["episodes"])
        self._load_recurrent_state(state["recurrent_state"])
        self.random.load_state_dict({name: state["generators"][name] for name in ("noise", "shuffle")})

    def load(self, loaded: dict[str, Any], load_cfg: dict | None = None, strict: bool = True) -> bool:
        """Restore :meth:`save`; on ranks other than 0 without rank 0's :meth:`rank_state`, which is not theirs.

        Args:
            loaded: The dictionary.
            load_cfg: Parts to load, as Isaac Lab passes them (``actor``, ``optimizer``, ``iteration``); None for all.
            strict: Whether parameter names must match exactly.

        Returns:
            Whether the runner should continue at the stored iteration.
        """
        wants = load_cfg or {}
        self.model.load_state_dict(loaded["model"], strict=strict)
        with_optimizer = wants.get("optimizer", load_cfg is None)
        if with_optimizer:
            self.policy_update.load_optimizer(loaded["optimizer"])
            self.learning_rate = float(self.policy_update.learning_rate.rate)
        if self.diversity and loaded.get("adversary"):
            self.diversity.load_state_dict(loaded["adversary"], with_optimizer)
        if self.regulator and with_optimizer and loaded.get("regulator"):
            self.regulator.load_state_dict(loaded["regulator"])
        if load_cfg is not None:
            return bool(wants.get("iteration", False))
        self.random.load_state_dict({"follower": loaded["generators"]["follower"]})
        self.iteration = int(loaded["algorithm_iteration"])
        if self.ranks.rank == 0:
            self.load_rank_state(loaded)
        return True

    def reset_episodes(self) -> None:
        """Forget running episodes and a begun rollout, because the environments start anew."""
        self.episodes.forget_running()
        self._state = self.model.initial_state(self.num_envs)
        self.rollout.step = 0

    def _load_recurrent_state(self, state: Any) -> None:
        if state is not None and self._state is not None and state[0][0].shape == self._state[0][0].shape:
            self._state = tuple((h.to(self.device), c.to(self.device)) for h, c in state)
