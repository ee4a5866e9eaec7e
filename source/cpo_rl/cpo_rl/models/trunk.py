# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The body of the network: an optional LSTM and an MLP, fed with an observation and a policy's vector."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from rsl_rl.utils import resolve_nn_activation
from torch import Tensor, nn

from cpo_rl.config import ModelCfg
from cpo_rl.models import lstm
from cpo_rl.models.lstm import State


class Trunk(nn.Module):
    """Maps (observation, policy vector) to features.

    The policy's vector is an input of the first layer, but rows carry only a one-hot mark of their policy: the first
    layer's weight on that mark is its weight on the vectors times the vectors, [K, M], made anew in every forward pass.
    Rows are so no wider than needed, and padded to a multiple of 8 numbers, which matrix units on a GPU want.

    Args:
        num_obs: Observation size D.
        cfg: Network settings.
    """

    def __init__(self, num_obs: int, cfg: ModelCfg) -> None:
        super().__init__()
        self.num_obs = num_obs
        size = num_obs + cfg.embedding_dim
        self.lstm: nn.LSTM | None = None
        self.norm: nn.LayerNorm | None = None
        if cfg.rnn_type == "lstm":
            self.lstm = nn.LSTM(size, cfg.rnn_hidden_dim, cfg.rnn_num_layers)
            size = cfg.rnn_hidden_dim
            self.norm = nn.LayerNorm(size) if cfg.rnn_layer_norm else None
        self.layers = nn.ModuleList()
        for width in cfg.hidden_dims:
            layer = nn.Linear(size, width)
            nn.init.zeros_(layer.bias)  # weights keep PyTorch's default, as in the reference (net:204-210)
            self.layers.append(layer)
            size = width
        self.activation = resolve_nn_activation(cfg.activation)
        if isinstance(self.activation, nn.ELU):
            self.activation.inplace = True  # its derivative follows from its result, so what it is applied to can go
        self.num_features = size

    def forward(
        self, inputs: Tensor, vectors: Tensor, state: State | None, resets: Tensor | None
    ) -> tuple[Tensor, State | None]:
        """Compute features.

        Args:
            inputs: Rows of normalized observation, one-hot policy and zeros, [n, q, P] with P >= D + M.
            vectors: Conditioning vectors of all policies, [M, E].
            state: LSTM state before the first step, each [layers, n, H]; ignored without an LSTM.
            resets: Bool [n, q], whether the state is cleared before a step; None for never.

        Returns:
            Features [n, q, F] and the LSTM state after the last step (None without an LSTM).
        """
        if self.lstm is None:
            first = self.layers[0]
            assert isinstance(first, nn.Linear)
            weight = self._first_weight(inputs, vectors, first.weight)
            x = self.activation(F.linear(inputs.flatten(0, 1), weight, first.bias))
            return self._mlp(x, 1).unflatten(0, inputs.shape[:2]), None
        assert state is not None
        x, state = lstm.run(inputs, state, self._lstm_weights(inputs, vectors), resets)
        if self.norm is not None:
            x = self.norm(x)
        return self._mlp(x.flatten(0, 1), 0).unflatten(0, inputs.shape[:2]), state

    def _mlp(self, x: Tensor, start: int) -> Tensor:
        """Rows [r, K] through the layers from a number on.

        A matrix, because the result of a layer is a view otherwise, which an activation in place would copy.
        """
        for layer in self.layers[start:]:
            x = self.activation(layer(x))
        return x

    def _first_weight(self, inputs: Tensor, vectors: Tensor, weight: Tensor) -> Tensor:
        """Weight [K, D+E] of the first layer as a weight [K, P] on marked rows."""
        marks = F.linear(weight[:, self.num_obs :], vectors)  # [K, M], zero if vectors have no entries
        unused = weight.new_zeros(weight.shape[0], inputs.shape[-1] - self.num_obs - vectors.shape[0])
        return torch.cat((weight[:, : self.num_obs], marks, unused), 1)

    def _lstm_weights(self, inputs: Tensor, vectors: Tensor) -> list[Tensor]:
        """Weights of all layers in the order that torch's LSTM takes them, the first one for marked rows."""
        assert self.lstm is not None
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = [getattr(self.lstm, f"{name}_l{layer}") for layer in range(self.lstm.num_layers) for name in names]
        return [self._first_weight(inputs, vectors, weights[0]), *weights[1:]]
