# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Settings of the ensemble algorithm and its network, with their ranges.

Both classes are plain dataclasses so that the learning library needs no simulator; Isaac Lab's config classes subclass
them (``cpo_lab.tasks.agents``). Every check raises :class:`~cpo_rl.errors.UserError` with one sentence that names the
field, before anything is allocated.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from cpo_rl.errors import UserError
from cpo_rl.settings import check_types, positive_ints, require

ROW_SETS = {
    "on_policy": ("follower", "leader"),
    "gradient_rows": ("follower", "leader", "borrowed"),
    "all": ("follower", "leader", "borrowed", "awac"),
}
"""Which roles a named set of rows holds."""

ACTIVATIONS = ("elu", "relu", "tanh", "selu", "swish", "gelu", "lrelu", "mish")
"""Names of activations the trunk accepts."""


@dataclass
class EnsembleCfg:
    """Settings of :class:`cpo_rl.algorithms.EnsemblePPO`: PPO, SAPG and CPO are presets of it.

    ``num_policies=1`` is PPO. ``borrowed_followers>0`` adds SAPG's follower-to-leader data. ``awac_coef>0`` adds CPO's
    leader-to-follower regression, ``adversarial_coef>0`` its diversity reward.
    """

    algorithm: str = "cpo"
    """Name of the preset these settings came from; only for logs, reports and file names."""

    num_policies: int = 6
    """Number of policies M in the ensemble, at least 1. It must divide the number of environments."""

    num_learning_epochs: int = 5
    """Passes over the training batch per iteration, at least 1."""

    num_mini_batches: int = 4
    """Mini-batches per pass, at least 1; independent of how many relabelled rows the batch holds."""

    fit_mini_batches: bool = False
    """Whether more mini-batches than a small number of environments can fill are lowered, visibly, instead of refused;
    our tasks set it, because their numbers suit tens of thousands of environments."""

    sequence_length: int = 1
    """Consecutive steps of one environment kept together in a mini-batch; divides the horizon. Feed-forward models
    accept any value, recurrent ones learn through this many steps."""

    learning_rate: float = 5.0e-4
    """Initial step size of Adam, above 0."""

    learning_rate_schedule: str = "adaptive"
    """``adaptive`` (follows the policy change ``desired_kl``) or ``fixed``."""

    learning_rate_update: str = "epoch"
    """``epoch``: one adaptation per pass from the mean KL of its mini-batches; ``mini_batch``: one per mini-batch."""

    learning_rate_rows: str = "gradient_rows"
    """Rows whose KL drives the adaptive learning rate: ``on_policy`` or ``gradient_rows``; regression rows never do."""

    learning_rate_reference: str = "previous_epoch"
    """Policy that the KL is measured against: ``previous_epoch`` (the row's last visit) or ``rollout``."""

    borrowed_reference: str = "leader"
    """Distribution that a borrowed row's KL starts from: ``leader`` (the leader at rollout time) or ``behavior`` (the
    follower that acted, as released, which makes inter-policy distance lower the learning rate)."""

    desired_kl: float = 0.016
    """Target KL between successive policies [nat], above 0."""

    learning_rate_min: float = 1.0e-6
    """Lower bound of the adaptive learning rate, above 0."""

    learning_rate_max: float = 1.0e-2
    """Upper bound of the adaptive learning rate, at least ``learning_rate_min``."""

    max_grad_norm: float = 1.0
    """Bound of the global gradient norm, above 0."""

    gamma: float = 0.99
    """Discount factor, in (0, 1]."""

    lam: float = 0.95
    """Decay of generalized advantage estimation, in [0, 1]."""

    clip_param: float = 0.2
    """Half-width of the surrogate's and the value's clip range, in (0, 1)."""

    value_loss_coef: float = 2.0
    """Weight of the value loss, at least 0 (the reference's 0.5 * critic_coef 4)."""

    use_clipped_value_loss: bool = True
    """Whether the value may move at most ``clip_param`` (in normalized units) from its rollout estimate."""

    normalize_values: bool = True
    """Whether value targets are normalized by running statistics shared by all policies."""

    normalize_advantages: bool = True
    """Whether advantages are scaled to mean 0, standard deviation 1 over ``statistics_rows``."""

    statistics_rows: str = "gradient_rows"
    """Rows that count in the statistics of advantages and value targets: ``on_policy``, ``gradient_rows``, ``all``."""

    entropy_coef: float = 0.0
    """Entropy bonus of every policy, at least 0."""

    entropy_coef_scale: float = 0.0
    """Scale s of the followers' extra entropy bonus 0.5 s (M-1-i)/(M-1), at least 0; the leader's is 0."""

    bound_loss_coef: float = 1.0e-4
    """Weight of the soft bound on action means, at least 0."""

    bound_limit: float = 1.1
    """Magnitude above which an action mean is penalized, above 0."""

    reward_scale: float = 0.01
    """Factor on the environment's reward, above 0. Logged returns are unscaled."""

    bootstrap_time_outs: bool = True
    """Whether an episode ended by time adds ``gamma * V(s_t)`` to its last reward."""

    borrowed_followers: int = 1
    """Followers K whose data the leader borrows each iteration, drawn anew, 0 to M-1."""

    borrowed_clip_center: str = "one"
    """Center of the clip range of borrowed rows: ``one`` (as released) or ``old_leader`` (old leader over follower)."""

    awac_coef: float = 1.0e-3
    """Weight beta of the followers' advantage-weighted regression on leader data, at least 0; 0 drops these rows."""

    awac_temperature: float = 0.2
    """Temperature lambda of the regression weight exp(A/lambda), above 0."""

    awac_weight_max: float = 100.0
    """Cap of the regression weight, above 0."""

    awac_fraction: float = 1.0
    """Share of the leader's sequences each follower regresses on per iteration, in (0, 1]; weighted by its inverse."""

    kl_coef: float = 0.0
    """Weight of an explicit KL penalty of followers to the leader, at least 0; 0 spends nothing on it."""

    kl_form: str = "closed_form"
    """``closed_form``: exact KL of the Gaussians outside the clip; ``sampled``: single-sample form inside it."""

    adversarial_coef: float = 0.01
    """Weight of the diversity reward log q(i|s,a) + ln M of followers, at least 0; 0 drops the discriminator."""

    discriminator_hidden_dims: list[int] = field(default_factory=lambda: [1024, 1024, 512, 512])
    """Widths of the discriminator's hidden layers."""

    discriminator_learning_rate: float = 5.0e-4
    """Step size of the discriminator's Adam, above 0."""

    discriminator_mini_batches: int = 2
    """Mini-batches of the discriminator's single pass per iteration, at least 1."""

    loss_normalization: str = "gradient_rows"
    """Row count that divides the summed losses of a mini-batch: ``gradient_rows`` (followers, leader, borrowed) or
    ``all_rows`` (with the regression rows, as released)."""

    follower_weight: float = 1.0
    """Weight of a follower's own row in the policy loss, at least 0."""

    leader_weight: float = 1.0
    """Weight of the leader's own row in the policy loss, at least 0."""

    borrowed_weight: float = 1.0
    """Weight of a borrowed row in the policy loss, at least 0."""

    relabel_state: str = "target"
    """Recurrent state used to evaluate relabelled rows: ``target`` (one sequence pass under the target policy) or
    ``behavior`` (the state of the policy that acted, as released)."""

    diagnostics_interval: int = 5
    """Iterations between inter-policy diagnostics (KL matrix, effective sample size), at least 1."""

    non_finite: str = "stop"
    """What happens after an update with a non-finite number: ``stop`` or ``skip``; it never reaches the weights."""

    max_skipped_updates: int = 10
    """Skipped gradient steps in a row after which ``non_finite="skip"`` stops too, at least 0."""

    mixed_precision: bool = False
    """Whether forward passes of the update run in bfloat16 autocast."""

    compile: bool = False
    """Whether the update's loss is compiled with ``torch.compile``."""

    cuda_graph: bool = True
    """Whether gradient steps are recorded and replayed as CUDA graphs on a GPU (one process, not with ``compile``)."""

    def validate(self) -> None:
        """Check every field by itself.

        Raises:
            UserError: Naming the first field that is out of range.
        """
        check_types(self, _KINDS, "algorithm")
        for name in (
            "num_policies",
            "num_learning_epochs",
            "num_mini_batches",
            "sequence_length",
            "discriminator_mini_batches",
            "diagnostics_interval",
        ):
            require(self, name, getattr(self, name) >= 1, "be at least 1")
        for name in (
            "learning_rate",
            "desired_kl",
            "learning_rate_min",
            "max_grad_norm",
            "bound_limit",
            "reward_scale",
            "awac_temperature",
            "awac_weight_max",
            "discriminator_learning_rate",
        ):
            require(self, name, getattr(self, name) > 0.0, "be above 0")
        for name in (
            "value_loss_coef",
            "entropy_coef",
            "entropy_coef_scale",
            "bound_loss_coef",
            "awac_coef",
            "kl_coef",
            "adversarial_coef",
            "follower_weight",
            "leader_weight",
            "borrowed_weight",
            "max_skipped_updates",
            "borrowed_followers",
        ):
            require(self, name, getattr(self, name) >= 0, "not be negative")
        require(
            self, "learning_rate_max", self.learning_rate_max >= self.learning_rate_min, "be at least learning_rate_min"
        )
        require(self, "gamma", 0.0 < self.gamma <= 1.0, "lie in (0, 1]")
        require(self, "lam", 0.0 <= self.lam <= 1.0, "lie in [0, 1]")
        require(self, "clip_param", 0.0 < self.clip_param < 1.0, "lie in (0, 1)")
        require(self, "awac_fraction", 0.0 < self.awac_fraction <= 1.0, "lie in (0, 1]")
        require(
            self,
            "borrowed_followers",
            self.borrowed_followers <= self.num_policies - 1,
            f"be at most num_policies - 1 = {self.num_policies - 1}",
        )
        require(
            self, "discriminator_hidden_dims", positive_ints(self.discriminator_hidden_dims), "list positive integers"
        )
        for name, choices in _CHOICES.items():
            require(self, name, getattr(self, name) in choices, f"be one of {', '.join(choices)}")

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

    hidden_dims: list[int] = field(default_factory=lambda: [512, 512, 256, 128])
    """Widths of the trunk's layers."""

    activation: str = "elu"
    """Activation between layers, by rsl_rl's names: elu, relu, tanh, selu, swish, gelu, lrelu or mish."""

    embedding_dim: int = 32
    """Length of each policy's learned conditioning vector, at least 0; 0 conditions only the action noise."""

    rnn_type: str = "none"
    """``none`` (feed-forward) or ``lstm`` (an LSTM before the trunk)."""

    rnn_hidden_dim: int = 768
    """Units of the LSTM, at least 1."""

    rnn_num_layers: int = 1
    """Layers of the LSTM, at least 1."""

    rnn_layer_norm: bool = True
    """Whether the LSTM's output is layer-normalized."""

    separate_critic: bool = False
    """Whether the critic has a trunk of its own (the reference shares it)."""

    init_log_std: float = 0.0
    """Initial log standard deviation of actions."""

    normalize_observations: bool = True
    """Whether observations are normalized by running statistics, updated once per iteration."""

    observation_clip: float = 5.0
    """Magnitude that normalized observations are clipped to, above 0."""

    def validate(self) -> None:
        """Check every field.

        Raises:
            UserError: Naming the first field that is out of range.
        """
        check_types(self, _KINDS, "model")
        require(self, "hidden_dims", positive_ints(self.hidden_dims), "list positive integers")
        require(self, "activation", self.activation in ACTIVATIONS, f"be one of {', '.join(ACTIVATIONS)}")
        require(self, "embedding_dim", self.embedding_dim >= 0, "not be negative")
        require(self, "rnn_type", self.rnn_type in ("none", "lstm"), "be one of none, lstm")
        require(self, "rnn_hidden_dim", self.rnn_hidden_dim >= 1, "be at least 1")
        require(self, "rnn_num_layers", self.rnn_num_layers >= 1, "be at least 1")
        require(self, "observation_clip", self.observation_clip > 0.0, "be above 0")


_CHOICES = {
    "learning_rate_schedule": ("adaptive", "fixed"),
    "learning_rate_update": ("epoch", "mini_batch"),
    "learning_rate_rows": ("on_policy", "gradient_rows"),
    "learning_rate_reference": ("previous_epoch", "rollout"),
    "borrowed_reference": ("leader", "behavior"),
    "statistics_rows": tuple(ROW_SETS),
    "borrowed_clip_center": ("one", "old_leader"),
    "kl_form": ("closed_form", "sampled"),
    "loss_normalization": ("gradient_rows", "all_rows"),
    "relabel_state": ("target", "behavior"),
    "non_finite": ("stop", "skip"),
}


# of the plain classes, because Isaac Lab's subclasses replace the annotations
_KINDS = {f.name: str(f.type) for cls in (EnsembleCfg, ModelCfg) for f in dataclasses.fields(cls)}
