# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The body of the network: an optional LSTM and an MLP, fed with an observation and a policy's vector."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from rsl_rl.utils import resolve_nn_activation
from torch import Tensor, nn

from cpo_rl.config import ModelCfg

State = tuple[Tensor, Tensor]
"""LSTM state (h, c), each [layers, n, units]."""


class Trunk(nn.Module):
    """Maps (observation, policy vector) to features.

    The policy's vector is an input of the first layer. Its share of that layer is computed once per policy and added to
    the rows by policy id, so no widened copy of the observations is made.

    Args:
        num_obs: observation size D.
        cfg: network settings.
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
            self.layers.append(nn.Linear(size, width))
            size = width
        self.activation = resolve_nn_activation(cfg.activation)
        self.num_features = size
        for layer in self.layers:
            nn.init.zeros_(layer.bias)  # weights keep PyTorch's default, as in the reference (net:204-210)

    def forward(
        self, obs: Tensor, vectors: Tensor, one_hot: Tensor, state: State | None, resets: Tensor | None
    ) -> tuple[Tensor, State | None]:
        """Compute features.

        Args:
            obs: normalized observations, [n, q, D].
            vectors: conditioning vectors of all policies, [M, E].
            one_hot: policy of each sequence, [n, M].
            state: LSTM state before the first step, each [layers, n, H]; ignored without an LSTM.
            resets: bool [n, q], whether the state is cleared before a step; None for never.

        Returns:
            Features [n, q, F] and the LSTM state after the last step (None without an LSTM).
        """
        if self.lstm is None:
            x = self._first(obs, vectors, one_hot, self.layers[0].weight, self.layers[0].bias)
            return self._mlp(self.activation(x), 1), None
        assert state is not None
        x, state = self._scan(obs, vectors, one_hot, state, resets)
        if self.norm is not None:
            x = self.norm(x)
        return self._mlp(x, 0), state

    def _mlp(self, x: Tensor, start: int) -> Tensor:
        for layer in self.layers[start:]:
            x = self.activation(layer(x))
        return x

    def _first(self, obs: Tensor, vectors: Tensor, one_hot: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """First linear layer on [obs, vector] without concatenating them, [n, q, D] -> [n, q, K]."""
        out = F.linear(obs, weight[:, : self.num_obs], bias)
        if vectors.shape[1] == 0:
            return out
        share = one_hot @ F.linear(vectors, weight[:, self.num_obs :])  # [n, K]
        return out + share.unsqueeze(1)

    def _scan(
        self, obs: Tensor, vectors: Tensor, one_hot: Tensor, state: State, resets: Tensor | None
    ) -> tuple[Tensor, State]:
        """Run the LSTM over q steps, clearing the state where an episode starts, [n, q, D] -> [n, q, H]."""
        assert self.lstm is not None
        h_all, c_all = state
        out, h_last, c_last = obs, [], []
        for layer in range(self.lstm.num_layers):
            w_ih, w_hh, b_ih, b_hh = (
                getattr(self.lstm, f"{n}_l{layer}") for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            gates_in = self._first(out, vectors, one_hot, w_ih, b_ih) if layer == 0 else F.linear(out, w_ih, b_ih)
            h, c = h_all[layer], c_all[layer]
            steps = []
            for t in range(out.shape[1]):
                if resets is not None:
                    alive = (~resets[:, t]).to(h.dtype).unsqueeze(-1)
                    h, c = h * alive, c * alive
                i, f, g, o = (gates_in[:, t] + F.linear(h, w_hh, b_hh)).chunk(4, -1)
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
                h = o.sigmoid() * c.tanh()
                steps.append(h)
            out = torch.stack(steps, 1)
            h_last.append(h)
            c_last.append(c)
        return out, (torch.stack(h_last), torch.stack(c_last))
