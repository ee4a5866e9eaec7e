# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""An LSTM over sequences whose state may be cleared between two steps, each where it runs fastest.

Gates lie in torch's order: input, forget, cell, output. Weights are listed per layer as torch's LSTM takes them: of the
input [4H, K], of the state [4H, H], and a bias [4H] for either.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

State = tuple[Tensor, Tensor]
"""LSTM state (h, c), each [layers, n, units]."""


def run(inputs: Tensor, state: State, weights: list[Tensor], resets: Tensor | None) -> tuple[Tensor, State]:
    """Run an LSTM, clearing the state where an episode starts.

    Where none starts inside the sequences nothing has to be done between two steps, so torch's fused kernel runs them
    all. Whether one does is known for nothing on a CPU; on a GPU it would cost a host sync, and a recorded graph could
    not follow it, so cells run one by one there, as they do where autocast chooses the precision. To run some sequences
    fused and the others not saves nothing: the weights, not the sequences, are what few sequences cost.

    Args:
        inputs: [n, q, K].
        state: State before the first step, each [layers, n, H].
        weights: Four tensors per layer.
        resets: Bool [n, q], whether the state is cleared before a step; None for never.

    Returns:
        Outputs of the last layer [n, q, H] and the state after the last step.
    """
    if inputs.is_cuda or inputs.shape[1] == 1 or torch.is_autocast_enabled(inputs.device.type):
        return cells(inputs, state, weights, resets)
    if resets is None or not resets.numpy().any():
        return fused(inputs, state, weights)
    return scan(inputs, state, weights, resets)


def fused(inputs: Tensor, state: State, weights: list[Tensor]) -> tuple[Tensor, State]:
    """Run an LSTM over whole sequences with torch's kernel; arguments as of :func:`run`."""
    hx = [part.contiguous() for part in state]
    out, h, c = torch.lstm(inputs, hx, weights, True, len(weights) // 4, 0.0, torch.is_grad_enabled(), False, True)
    return out, (h, c)


def cells(inputs: Tensor, state: State, weights: list[Tensor], resets: Tensor | None) -> tuple[Tensor, State]:
    """Run an LSTM as a chain of torch's cells; arguments as of :func:`run`."""
    out, h_last, c_last = inputs, [], []
    for layer in range(len(weights) // 4):
        h, c = state[0][layer], state[1][layer]
        steps = []
        for t in range(out.shape[1]):
            if resets is not None:
                alive = (~resets[:, t]).to(h.dtype).unsqueeze(-1)
                h, c = h * alive, c * alive
            h, c = torch.lstm_cell(out[:, t], (h, c), *weights[4 * layer : 4 * layer + 4])
            steps.append(h)
        out = torch.stack(steps, 1)
        h_last.append(h)
        c_last.append(c)
    return out, (torch.stack(h_last), torch.stack(c_last))


def scan(inputs: Tensor, state: State, weights: list[Tensor], resets: Tensor) -> tuple[Tensor, State]:
    """Run an LSTM step by step with one product per weight and direction for all steps; arguments as of :func:`run`.

    A chain of cells adds up the gradient of a weight step by step, which for few sequences costs more than making it.
    """
    out = inputs.transpose(0, 1)
    alive = (~resets).t().unsqueeze(-1).to(inputs.dtype)
    h_last, c_last = [], []
    for layer in range(len(weights) // 4):
        w_input, w_state, *biases = weights[4 * layer : 4 * layer + 4]
        out, c = _Scan.apply(out, state[0][layer], state[1][layer], w_input, w_state, biases[0] + biases[1], alive)
        h_last.append(out[-1])
        c_last.append(c)
    return out.transpose(0, 1), (torch.stack(h_last), torch.stack(c_last))


class _Scan(torch.autograd.Function):
    """One layer over q steps, time-major: outputs [q, n, H] and the last cell state [n, H]."""

    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, h: Tensor, c: Tensor, w_input: Tensor, w_state: Tensor, bias: Tensor, alive: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Inputs [q, n, K], states [n, H], weights, summed bias [4H], and 0 where the state is cleared, [q, n, 1]."""
        (q, n, _), size = inputs.shape, h.shape[-1]
        gates = torch.addmm(bias, inputs.reshape(q * n, -1), w_input.t()).view(q, n, 4 * size)
        h_in, c_in, tanh_c, out = (h.new_empty(q, n, size) for _ in range(4))
        for t in range(q):
            torch.mul(h, alive[t], out=h_in[t])
            torch.mul(c, alive[t], out=c_in[t])
            gate = gates[t].addmm_(h_in[t], w_state.t())
            gate[:, : 2 * size].sigmoid_()
            gate[:, 2 * size : 3 * size].tanh_()
            gate[:, 3 * size :].sigmoid_()
            i, f, g, o = gate.split(size, 1)
            c = torch.addcmul(f * c_in[t], i, g)
            torch.tanh(c, out=tanh_c[t])
            h = torch.mul(o, tanh_c[t], out=out[t])
        ctx.save_for_backward(inputs, w_input, w_state, alive, gates, h_in, c_in, tanh_c)
        return out, c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor, d_c: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of what :meth:`forward` takes."""
        inputs, w_input, w_state, alive, gates, h_in, c_in, tanh_c = ctx.saved_tensors
        q, n, size = tanh_c.shape
        d_gates, d_h = torch.empty_like(gates), torch.zeros_like(d_c)
        for t in range(q - 1, -1, -1):
            d_h = d_h + d_out[t]
            i, f, g, o = gates[t].split(size, 1)
            d_i, d_f, d_g, d_o = d_gates[t].split(size, 1)
            d_c = torch.addcmul(d_c, d_h * o, 1.0 - tanh_c[t].square())
            torch.mul(d_h * tanh_c[t], o * (1.0 - o), out=d_o)
            torch.mul(d_c * g, i * (1.0 - i), out=d_i)
            torch.mul(d_c * c_in[t], f * (1.0 - f), out=d_f)
            torch.mul(d_c * i, 1.0 - g.square(), out=d_g)
            d_c = d_c * f * alive[t]
            d_h = (d_gates[t] @ w_state) * alive[t]
        flat = d_gates.view(q * n, -1)
        d_inputs = (flat @ w_input).view_as(inputs) if ctx.needs_input_grad[0] else None
        d_weights = flat.t() @ inputs.reshape(q * n, -1), flat.t() @ h_in.view(q * n, -1)
        return d_inputs, d_h, d_c, *d_weights, flat.sum(0), None
