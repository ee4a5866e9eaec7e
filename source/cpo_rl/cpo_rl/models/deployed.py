# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""Trained policies as modules for TorchScript and ONNX that need nothing of this library.

The observation normalizer is baked in as two float32 vectors, and a policy's vector as the bias it amounts to in the
first layer, so a deployed policy maps raw observations to action means and knows no ensemble. The variants with
``policy="input"`` keep one such bias per policy and take policy ids beside the observations.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cpo_rl.errors import UserError
from cpo_rl.models.actor_critic import EnsembleActorCritic

POLICY_INPUT = "input"
"""Stands for all policies, told apart by an input of the exported module."""


class DeployedNetwork(nn.Module):
    """One step of the actor without state of its own: observations and recurrent state in, action means and state out.

    Args:
        model: The actor-critic to copy from; it stays as it is.
    """

    if TYPE_CHECKING:  # TorchScript cannot read them
        obs_mean: Tensor
        obs_std: Tensor
        first_weight: Tensor
        share: Tensor

    def __init__(self, model: EnsembleActorCritic) -> None:
        super().__init__()
        model = cpu_copy(model)
        trunk, normalizer = model.trunk, model.obs_normalizer
        self.num_obs, self.num_actions, self.num_policies = model.num_obs, model.num_actions, model.num_policies
        self.normalizes = model.cfg.normalize_observations
        self.clip = float(normalizer.clip)
        # statistics are float64 and rounded last, as in RunningNormalizer.normalize
        self.register_buffer("obs_mean", normalizer.mean.float())
        self.register_buffer("obs_std", (normalizer.var + normalizer.eps).sqrt().float())
        self.num_layers, self.units = 0, 0
        first: Tensor = trunk.layers[0].weight  # type: ignore[assignment]
        bias: Tensor = trunk.layers[0].bias  # type: ignore[assignment]
        self.recurrent = nn.ModuleList()
        self.norm: nn.Module = nn.Identity()
        layers = list(trunk.layers)
        if trunk.lstm is not None:
            self.num_layers, self.units = trunk.lstm.num_layers, trunk.lstm.hidden_size
            first, bias = trunk.lstm.weight_ih_l0, trunk.lstm.bias_ih_l0  # type: ignore[assignment]
            self.recurrent.extend(_cells(trunk.lstm))
            self.norm = trunk.norm or nn.Identity()
        else:
            layers = layers[1:]
        self.register_buffer("first_weight", first.detach()[:, : model.num_obs].clone())
        share = F.linear(model.embedding, first[:, model.num_obs :]) + bias
        self.register_buffer("share", share.detach().clone())  # [M, K]
        self.first_activation = copy.deepcopy(trunk.activation) if trunk.lstm is None else nn.Identity()
        blocks: list[nn.Module] = []
        for layer in layers:
            blocks += [layer, copy.deepcopy(trunk.activation)]
        self.rest = nn.Sequential(*blocks, model.mean_head)
        self.requires_grad_(False)

    def forward(self, obs: Tensor, share: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute action means.

        Args:
            obs: Raw observations, [N, D].
            share: The policies' parts of the first layer, [N, K] or [1, K].
            h: LSTM state, [layers, N, H]; 0 layers without an LSTM.
            c: LSTM cell state, [layers, N, H].

        Returns:
            Action means [N, A] and the state after this step.
        """
        x = obs
        if self.normalizes:
            x = ((x - self.obs_mean) / self.obs_std).clamp(-self.clip, self.clip)
        x = self.first_activation(F.linear(x, self.first_weight) + share)
        hs: list[Tensor] = []
        cs: list[Tensor] = []
        for number, cell in enumerate(self.recurrent):
            x, cell_state = cell(x, h[number], c[number])
            hs.append(x)
            cs.append(cell_state)
        if len(hs) > 0:
            h, c = torch.stack(hs), torch.stack(cs)
        return self.rest(self.norm(x)), h, c


class _Cell(nn.Module):
    """One LSTM layer for one step; the first layer gets its input already multiplied, with its input bias."""

    if TYPE_CHECKING:  # TorchScript cannot read them
        weight_ih: Tensor
        bias_ih: Tensor
        weight_hh: Tensor
        bias_hh: Tensor

    def __init__(self, lstm: nn.LSTM, layer: int) -> None:
        super().__init__()
        self.first = layer == 0
        for name in ("weight_ih", "bias_ih", "weight_hh", "bias_hh"):
            self.register_buffer(name, getattr(lstm, f"{name}_l{layer}").detach().clone())
        if self.first:  # kept by DeployedNetwork, split into observation and policy
            self.weight_ih, self.bias_ih = self.weight_ih[:0], self.bias_ih[:0]

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        gates = x if self.first else F.linear(x, self.weight_ih, self.bias_ih)
        i, f, g, o = (gates + F.linear(h, self.weight_hh, self.bias_hh)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


def _cells(lstm: nn.LSTM) -> list[_Cell]:
    return [_Cell(lstm, layer) for layer in range(lstm.num_layers)]


class _Remembering(nn.Module):
    """A network with its recurrent state, for TorchScript.

    Args:
        model: The actor-critic.
    """

    if TYPE_CHECKING:  # TorchScript cannot read them
        hidden_state: Tensor
        cell_state: Tensor

    def __init__(self, model: EnsembleActorCritic) -> None:
        super().__init__()
        self.network = DeployedNetwork(model)
        self.register_buffer("hidden_state", torch.zeros(self.network.num_layers, 1, self.network.units))
        self.register_buffer("cell_state", torch.zeros(self.network.num_layers, 1, self.network.units))

    def act(self, obs: Tensor, share: Tensor) -> Tensor:
        """Act on observations [N, D] given the policies' parts of the first layer, and keep the state."""
        if self.hidden_state.shape[1] != obs.shape[0]:
            self.hidden_state = obs.new_zeros(self.hidden_state.shape[0], obs.shape[0], self.hidden_state.shape[2])
            self.cell_state = torch.zeros_like(self.hidden_state)
        actions, self.hidden_state, self.cell_state = self.network(obs, share, self.hidden_state, self.cell_state)
        return actions

    @torch.jit.export
    def reset(self, dones: Tensor | None = None) -> None:
        """Clear the recurrent state of finished environments (bool or 0/1, [N]), or of all."""
        if dones is None:
            self.hidden_state = torch.zeros_like(self.hidden_state)
            self.cell_state = torch.zeros_like(self.cell_state)
        else:
            alive = (1.0 - dones.to(self.hidden_state.dtype)).view(1, -1, 1)
            self.hidden_state = self.hidden_state * alive
            self.cell_state = self.cell_state * alive


class DeployedPolicy(_Remembering):
    """One policy for TorchScript, which keeps its recurrent state between calls as rsl_rl's exports do.

    Args:
        model: The actor-critic.
        policy: Its id, in [0, M).
    """

    def __init__(self, model: EnsembleActorCritic, policy: int) -> None:
        super().__init__(model)
        self.network.share = self.network.share[policy : policy + 1].clone()

    @staticmethod
    def build(model: EnsembleActorCritic, policy: int | str | None = None) -> DeployedPolicy | DeployedEnsemble:
        """Make the module of one policy, the leader if None, or of all policies if :data:`POLICY_INPUT`.

        Raises:
            UserError: If there is no such policy.
        """
        if policy == POLICY_INPUT:
            return DeployedEnsemble(model)
        return DeployedPolicy(model, check_policy(policy, model.num_policies))

    def forward(self, obs: Tensor) -> Tensor:
        """Act on raw observations [N, D]: action means [N, A], not clipped. Another N clears the recurrent state."""
        return self.act(obs, self.network.share)


class DeployedEnsemble(_Remembering):
    """All policies for TorchScript, with the ids as second argument; keeps its recurrent state between calls."""

    def forward(self, obs: Tensor, policy_ids: Tensor) -> Tensor:
        """Act on raw observations [N, D] as policies ``policy_ids`` [N] (int64): action means [N, A], not clipped.

        Raises:
            ValueError: If an id is outside [0, M).
        """
        if bool(((policy_ids < 0) | (policy_ids >= self.network.num_policies)).any()):
            raise ValueError("policy_ids must lie in [0, num_policies)")
        return self.act(obs, self.network.share[policy_ids])


class OnnxPolicy(nn.Module):
    """One policy, or all with their ids as an input, for ONNX: the recurrent state is input and output.

    Inputs are ``obs`` [N, D], then ``policy_ids`` [N] (int64) if all policies are in, then ``h_in`` and ``c_in``
    [layers, N, H] if there is an LSTM. Outputs are ``actions`` [N, A], then ``h_out`` and ``c_out``. An id outside
    [0, M) is an error of the runtime.

    Args:
        model: The actor-critic.
        policy: Id of the policy, or None for all.
    """

    def __init__(self, model: EnsembleActorCritic, policy: int | None) -> None:
        super().__init__()
        self.network = DeployedNetwork(model)
        self.takes_ids = policy is None
        self.is_recurrent = model.is_recurrent
        if policy is not None:
            self.network.share = self.network.share[policy : policy + 1].clone()

    @staticmethod
    def build(model: EnsembleActorCritic, policy: int | str | None = None) -> OnnxPolicy:
        """Make the module of one policy, the leader if None, or of all policies if :data:`POLICY_INPUT`.

        Raises:
            UserError: If there is no such policy.
        """
        return OnnxPolicy(model, None if policy == POLICY_INPUT else check_policy(policy, model.num_policies))

    def forward(self, obs: Tensor, *others: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """Act on raw observations; see the class for the order of arguments and results."""
        share = self.network.share
        if self.takes_ids:
            # a negative index would count from the end in ONNX; M is refused
            share = share[torch.where(others[0] < 0, self.network.num_policies, others[0])]
        if self.is_recurrent:
            return self.network(obs, share, others[-2], others[-1])
        none = obs.new_zeros(0, obs.shape[0], 0)
        return self.network(obs, share, none, none)[0]

    def get_dummy_inputs(self, num: int = 1) -> tuple[Tensor, ...]:
        """Inputs for ``num`` environments, for tracing."""
        n = self.network
        inputs = [torch.zeros(num, n.num_obs)]
        if self.takes_ids:
            inputs.append(torch.zeros(num, dtype=torch.int64))
        if self.is_recurrent:
            inputs += [torch.zeros(n.num_layers, num, n.units), torch.zeros(n.num_layers, num, n.units)]
        return tuple(inputs)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, in order."""
        return ["obs"] + ["policy_ids"] * self.takes_ids + ["h_in", "c_in"] * self.is_recurrent

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in order."""
        return ["actions"] + ["h_out", "c_out"] * self.is_recurrent


def check_policy(policy: int | str | None, num_policies: int) -> int:
    """Id of the policy meant; the leader's if None or ``"leader"``.

    Raises:
        UserError: If there is no such policy.
    """
    if policy is None or policy == "leader":
        return num_policies - 1
    if type(policy) is not int or not 0 <= policy < num_policies:
        raise UserError(
            f"policy={policy!r} names no policy; use leader, {POLICY_INPUT} or an id from 0 to {num_policies - 1}."
        )
    return policy


def cpu_copy(model: EnsembleActorCritic) -> EnsembleActorCritic:
    """Copy a model to the CPU with float32 parameters and no recurrent state; statistics stay float64."""
    # the state may hang on a graph, which deepcopy refuses; the memo makes it None instead
    copied = copy.deepcopy(model, {id(model.get_hidden_state()): None}).cpu().eval()
    for parameter in copied.parameters():
        parameter.data = parameter.data.float()
    return copied
