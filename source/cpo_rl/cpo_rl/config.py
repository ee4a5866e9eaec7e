# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of the ensemble algorithm, its network and a run: every default and every range, once.

The classes are plain dataclasses so that the learning library needs no simulator; Isaac Lab's config classes subclass
them (``cpo_lab.tasks.agents``). What a field accepts stands beside its default (:mod:`cpo_rl.fields`); rules between
fields are code. Every check raises :class:`~cpo_rl.errors.UserError` with one sentence that names the field, before
anything is allocated.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from cpo_rl.errors import UserError
from cpo_rl.fields import check_fields, require, setting
from cpo_rl.regulation import RegulationCfg

ROW_SETS = {
    "on_policy": ("follower", "leader"),
    "gradient_rows": ("follower", "leader", "borrowed"),
    "all": ("follower", "leader", "borrowed", "awac"),
}
"""Which roles a named set of rows holds."""


_DIMS = [1024, 1024, 512, 512]


@dataclass
class EnsembleCfg(RegulationCfg):
    """Settings of :class:`cpo_rl.algorithms.EnsemblePPO`: PPO, SAPG and CPO are presets of it.

    ``num_policies=1`` is PPO. ``borrowed_followers>0`` adds SAPG's follower-to-leader data. ``awac_coef>0`` adds CPO's
    leader-to-follower regression, ``adversarial_coef>0`` a diversity reward, ``coupling_target_kl>0`` holds diversity.
    """

    algorithm: str = setting("cpo", fixed=True)
    """Name of the preset these settings came from; only for logs, reports and file names."""

    num_policies: int = setting(6, at_least=1, at_most=1000, fixed=True)
    """Number of policies M in the ensemble. It must divide the number of environments."""

    num_learning_epochs: int = setting(5, at_least=1, at_most=1000)
    """Passes over the training batch per iteration."""

    num_mini_batches: int = setting(4, at_least=1, fixed=True)
    """Mini-batches per pass; independent of how many relabelled rows the batch holds."""

    fit_mini_batches: bool = setting(False, fixed=True)
    """Whether more mini-batches than a small number of environments can fill are lowered, visibly, instead of refused;
    our tasks set it, because their numbers suit tens of thousands of environments."""

    sequence_length: int = setting(1, at_least=1, fixed=True)
    """Consecutive steps of one environment kept together in a mini-batch; divides the horizon. Feed-forward models
    accept any value, recurrent ones learn through this many steps."""

    learning_rate: float = setting(5.0e-4, above=0.0)
    """Initial step size of Adam."""

    learning_rate_schedule: str = setting("adaptive", choices=("adaptive", "fixed"))
    """``adaptive`` (follows the policy change ``desired_kl``) or ``fixed``."""

    learning_rate_update: str = setting("epoch", choices=("epoch", "mini_batch"))
    """``epoch``: one adaptation per pass from the mean KL of its mini-batches; ``mini_batch``: one per mini-batch."""

    learning_rate_rows: str = setting("gradient_rows", choices=("on_policy", "gradient_rows"))
    """Rows whose KL drives the adaptive learning rate: ``on_policy`` or ``gradient_rows``; regression rows never do."""

    learning_rate_reference: str = setting("previous_epoch", choices=("previous_epoch", "rollout"))
    """Policy that the KL is measured against: ``previous_epoch`` (the row's last visit) or ``rollout``."""

    borrowed_reference: str = setting("leader", choices=("leader", "behavior"))
    """Distribution that a borrowed row's KL starts from: ``leader`` (the leader at rollout time) or ``behavior`` (the
    follower that acted, as released, which makes inter-policy distance lower the learning rate)."""

    desired_kl: float = setting(0.016, above=0.0)
    """Target KL between successive policies [nat]."""

    learning_rate_min: float = setting(1.0e-6, above=0.0)
    """Lower bound of the adaptive learning rate."""

    learning_rate_max: float = setting(1.0e-2, above=0.0)
    """Upper bound of the adaptive learning rate, at least ``learning_rate_min``."""

    max_grad_norm: float = setting(1.0, above=0.0)
    """Bound of the global gradient norm."""

    gamma: float = setting(0.99, above=0.0, at_most=1.0)
    """Discount factor."""

    lam: float = setting(0.95, at_least=0.0, at_most=1.0)
    """Decay of generalized advantage estimation."""

    clip_param: float = setting(0.2, above=0.0, below=1.0)
    """Half-width of the surrogate's and the value's clip range."""

    value_loss_coef: float = setting(2.0, at_least=0.0)
    """Weight of the value loss (the reference's 0.5 * critic_coef 4)."""

    use_clipped_value_loss: bool = True
    """Whether the value may move at most ``clip_param`` (in normalized units) from its rollout estimate."""

    normalize_values: bool = setting(True, fixed=True, kept=True)
    """Whether value targets are normalized by running statistics shared by all policies; else the critic learns in
    units of the scaled reward, and the clip range of its loss is in these units too."""

    normalize_advantages: bool = True
    """Whether advantages are scaled to mean 0, standard deviation 1 over ``statistics_rows``."""

    statistics_rows: str = setting("gradient_rows", choices=tuple(ROW_SETS))
    """Rows that count in the statistics of advantages and value targets: ``on_policy``, ``gradient_rows``, ``all``."""

    entropy_coef: float = setting(0.0, at_least=0.0)
    """Entropy bonus of every policy."""

    entropy_coef_scale: float = setting(0.0, at_least=0.0)
    """Scale s of the followers' extra entropy bonus 0.5 s (M-1-i)/(M-1); the leader's is 0."""

    bound_loss_coef: float = setting(1.0e-4, at_least=0.0)
    """Weight of the soft bound on action means."""

    bound_limit: float = setting(1.1, above=0.0)
    """Magnitude above which an action mean is penalized."""

    reward_scale: float = setting(0.01, above=0.0)
    """Factor on the environment's reward. Logged returns are unscaled."""

    bootstrap_time_outs: bool = True
    """Whether an episode ended by time adds ``gamma * V(s_t)`` to its last reward."""

    borrowed_followers: int = setting(1, at_least=0, fixed=True)
    """Followers K whose data the leader borrows each iteration, drawn anew, at most M-1."""

    borrowed_clip_center: str = setting("one", choices=("one", "old_leader"))
    """Center of the clip range of borrowed rows: ``one`` (as released) or ``old_leader`` (old leader over follower)."""

    awac_coef: float = setting(1.0e-3, at_least=0.0)
    """Weight beta of the followers' advantage-weighted regression on leader data; 0 drops these rows."""

    awac_temperature: float = setting(0.2, above=0.0)
    """Temperature lambda of the regression weight exp(A/lambda)."""

    awac_weight_max: float = setting(100.0, above=0.0)
    """Cap of the regression weight."""

    awac_fraction: float = setting(1.0, above=0.0, at_most=1.0, fixed=True)
    """Share of the leader's sequences each follower regresses on per iteration; weighted by its inverse."""

    kl_coef: float = setting(0.0, at_least=0.0)
    """Weight of an explicit KL penalty of followers to the leader; 0 spends nothing on it."""

    kl_form: str = setting("closed_form", choices=("closed_form", "sampled"))
    """``closed_form``: exact KL of the Gaussians outside the clip; ``sampled``: single-sample form inside it."""

    adversarial_coef: float = setting(0.0, at_least=0.0)
    """Weight of the diversity reward log q(i|s,a) + ln M of followers; 0 drops the discriminator."""

    adversarial_centered: bool = True
    """Whether every follower's diversity reward is lowered by its mean over the rollout, so that it moves neither
    values nor the weights of the regression."""

    discriminator_hidden_dims: list[int] = setting(_DIMS, at_least=1, at_most=2**16, entries=1, fixed=True, kept=True)
    """Widths of the discriminator's hidden layers."""

    discriminator_learning_rate: float = setting(5.0e-4, above=0.0)
    """Step size of the discriminator's Adam."""

    discriminator_mini_batches: int = setting(2, at_least=1)
    """Mini-batches of the discriminator's single pass per iteration."""

    loss_normalization: str = setting("gradient_rows", choices=("gradient_rows", "all_rows"))
    """Row count that divides the summed losses of a mini-batch: ``gradient_rows`` (followers, leader, borrowed) or
    ``all_rows`` (with the regression rows, as released)."""

    follower_weight: float = setting(1.0, at_least=0.0)
    """Weight of a follower's own row in the policy loss."""

    leader_weight: float = setting(1.0, at_least=0.0)
    """Weight of the leader's own row in the policy loss."""

    borrowed_weight: float = setting(1.0, at_least=0.0)
    """Weight of a borrowed row in the policy loss."""

    relabel_state: str = setting("target", choices=("target", "behavior"))
    """Recurrent state used to evaluate relabelled rows: ``target`` (one sequence pass under the target policy) or
    ``behavior`` (the state of the policy that acted, as released)."""

    diagnostics_interval: int = setting(5, at_least=1)
    """Iterations between inter-policy diagnostics (KL matrix, effective sample size)."""

    non_finite: str = setting("stop", choices=("stop", "skip"))
    """What happens after an update with a non-finite number, or after too many void transitions: ``stop`` or ``skip``;
    nothing of it reaches the weights."""

    absurd_reward: float = setting(1.0e6, above=0.0)
    """Magnitude of an unscaled reward above which its transition is void, as it is if the reward is not finite."""

    absurd_observation: float = setting(1.0e6, above=0.0)
    """Magnitude of an observation's entry above which its transitions are void, as they are if it is not finite."""

    absurd_output: float = setting(1.0e4, above=0.0)
    """Magnitude of an action, of its log-density or of a normalized value above which the network that said it counts
    as ruined, as it does if one is not finite; without ``normalize_values`` values are held against ``absurd_reward``
    if that is larger."""

    quarantine_stop_fraction: float = setting(0.01, at_least=0.0, at_most=1.0)
    """Share of environments with a void transition in an iteration above which ``non_finite`` says what happens."""

    max_skipped_updates: int = setting(10, at_least=0)
    """Iterations with a skipped update in a row after which one more stops ``non_finite="skip"`` too."""

    mixed_precision: bool = False
    """Whether forward passes of the update run in bfloat16 autocast."""

    compile: bool = setting(False, fixed=True)
    """Whether the update's loss is compiled with ``torch.compile``."""

    cuda_graph: bool = setting(True, fixed=True)
    """Whether gradient steps are recorded and replayed as CUDA graphs on a GPU (one process, not with ``compile``)."""

    def validate(self) -> None:
        """Check every field by itself and the rules between fields.

        Raises:
            UserError: Naming the first field that is out of range.
        """
        check_fields(self, "algorithm")
        fits = self.learning_rate_max >= self.learning_rate_min
        require(self, "algorithm", "learning_rate_max", fits, "be at least learning_rate_min")
        most = self.num_policies - 1
        rule = f"be at most num_policies - 1 = {most}"
        require(self, "algorithm", "borrowed_followers", self.borrowed_followers <= most, rule)
        regulated = self.coupling_target_kl > 0.0
        rule = "be 0 with a single policy, which has no follower"
        require(self, "algorithm", "coupling_target_kl", not regulated or most > 0, rule)
        rule = "be 0 where coupling_target_kl regulates the same penalty"
        require(self, "algorithm", "kl_coef", not regulated or self.kl_coef == 0.0, rule)

    def validate_batch(self, num_envs: int, horizon: int) -> None:
        """Check the settings against the size of a rollout.

        Args:
            num_envs: Environments N of this process.
            horizon: Steps T per environment and iteration.

        Raises:
            UserError: If policies do not divide environments, sequences do not divide the horizon, or there are more
                mini-batches than sequences in the smallest role.
        """
        if num_envs < 1 or num_envs % self.num_policies:
            lower = max(num_envs // self.num_policies, 1) * self.num_policies
            raise UserError(
                f"num_envs={num_envs} must be a positive multiple of num_policies={self.num_policies}; "
                f"use {lower} or {lower + self.num_policies}."
            )
        if horizon < 1 or horizon % self.sequence_length:
            raise UserError(f"sequence_length={self.sequence_length} must divide num_steps_per_env={horizon}.")
        per_block = self._sequences_per_policy(num_envs, horizon)
        if self.num_mini_batches > per_block:
            raise UserError(
                f"num_mini_batches={self.num_mini_batches} must not exceed the {per_block} sequences of one policy; "
                "use more environments or fewer mini-batches."
            )
        if self.adversarial_coef > 0 and self.discriminator_mini_batches > num_envs * horizon:
            raise UserError(
                f"discriminator_mini_batches={self.discriminator_mini_batches} must not exceed the "
                f"{num_envs * horizon} transitions of an iteration."
            )

    def _sequences_per_policy(self, num_envs: int, horizon: int) -> int:
        """Sequences that one policy collects in an iteration; each mini-batch needs one of every policy."""
        return num_envs // self.num_policies * (horizon // self.sequence_length)

    def fit_batch(self, num_envs: int, horizon: int) -> str | None:
        """Lower ``num_mini_batches`` to what the rollout can fill if ``fit_mini_batches`` allows it; changed in place.

        Args:
            num_envs: Environments N of this process.
            horizon: Steps T per environment and iteration.

        Returns:
            A line that tells what was lowered and how many environments would keep it; None if nothing was.
        """
        wanted, per_block = self.num_mini_batches, self._sequences_per_policy(num_envs, horizon)
        if not self.fit_mini_batches or not 1 <= per_block < wanted:
            return None
        self.num_mini_batches = per_block
        needed = math.ceil(wanted / (horizon // self.sequence_length)) * self.num_policies
        return f"mini-batches: {per_block} instead of {wanted}, which need {needed} environments"


@dataclass
class ModelCfg:
    """Settings of :class:`cpo_rl.models.EnsembleActorCritic`."""

    hidden_dims: list[int] = setting([512, 512, 256, 128], at_least=1, at_most=2**16, entries=1, kept=True)
    """Widths of the trunk's layers."""

    activation: str = setting(
        "elu", choices=("elu", "relu", "tanh", "selu", "swish", "gelu", "lrelu", "mish"), kept=True
    )
    """Activation between layers, by rsl_rl's names."""

    embedding_dim: int = setting(32, at_least=0, at_most=2**16, kept=True)
    """Length of each policy's learned conditioning vector; 0 conditions only the action noise."""

    rnn_type: str = setting("none", choices=("none", "lstm"), kept=True)
    """``none`` (feed-forward) or ``lstm`` (an LSTM before the trunk)."""

    rnn_hidden_dim: int = setting(768, at_least=1, at_most=2**16, kept=True)
    """Units of the LSTM."""

    rnn_num_layers: int = setting(1, at_least=1, at_most=100, kept=True)
    """Layers of the LSTM."""

    rnn_layer_norm: bool = setting(True, kept=True)
    """Whether the LSTM's output is layer-normalized."""

    separate_critic: bool = setting(False, kept=True)
    """Whether the critic has a trunk of its own (the reference shares it)."""

    init_log_std: float = setting(0.0, at_least=-20.0, at_most=20.0, kept=True)
    """Initial log standard deviation of actions."""

    normalize_observations: bool = setting(True, kept=True)
    """Whether observations are normalized by running statistics, updated once per iteration."""

    observation_clip: float = setting(5.0, above=0.0)
    """Magnitude that normalized observations are clipped to."""

    def validate(self) -> None:
        """Check every field.

        Raises:
            UserError: Naming the first field that is out of range.
        """
        check_fields(self, "model")


@dataclass
class RunnerOptions:
    """Settings at the top level of a runner's configuration that ours checks.

    rsl_rl's runner reads the first two as well, launchers read the third, and the others are ours alone.
    """

    num_steps_per_env: int = setting(8, at_least=1, at_most=100_000)
    """Horizon T: steps per environment and iteration."""

    save_interval: int = setting(50, at_least=1)
    """Iterations between checkpoints."""

    max_iterations: int = setting(1000, at_least=1)
    """Iterations to train."""

    keep_last: int = setting(5, at_least=0)
    """Newest checkpoints to keep; 0 keeps all."""

    keep_best: int = setting(1, at_least=0)
    """Best checkpoints to keep besides the newest."""

    best_metric: str = "auto"
    """Metric that ranks checkpoints, higher is better; ``auto`` takes ``Leader/successes`` where it exists, else the
    leader's return."""

    progress: str = setting("auto", choices=("auto", "plain", "off"))
    """``auto`` draws on a terminal and prints lines elsewhere, ``plain`` always prints lines, ``off`` is silent."""

    progress_interval_s: float = setting(10.0, at_least=0.0)
    """Time between progress lines where there is no terminal [s]."""

    stop_grace_s: float = setting(40.0, at_least=0.0)
    """How long an iteration may go on after a stop signal before its rollout is cut short [s]."""

    rank_timeout_s: float = setting(100.0, above=0.0)
    """How long none of several processes may move before the run ends and says which one hangs [s]."""

    @classmethod
    def from_cfg(cls, cfg: Mapping[str, Any]) -> RunnerOptions:
        """Read the settings from a runner's configuration; what is None there counts as left out.

        Raises:
            UserError: If a field is of the wrong kind or out of range, or one is missing that rsl_rl needs itself.
        """
        given = {f.name: cfg[f.name] for f in fields(RunnerOptions) if cfg.get(f.name) is not None}
        for name in ("num_steps_per_env", "save_interval"):
            if name not in given:
                raise UserError(f"the runner configuration lacks {name}; set it to an integer of at least 1.")
        options = RunnerOptions(**given)
        check_fields(options, "runner")
        if cfg.get("seed") is not None and type(cfg["seed"]) is not int:
            raise UserError(f"runner field seed={cfg['seed']!r} must be an integer or left out.")
        return options
