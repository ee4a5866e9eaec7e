# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The learned state to go back to when an update has ruined the network, kept on the device.

An update may leave weights that are finite and of no use: a step size that is too large, a gradient of 1e30. Nothing
about such numbers is wrong by itself; what the network says next is. So the state before every update is kept as soon
as the rollout that was made with it proved sound, and :meth:`SoundState.recover` goes back to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from cpo_rl.algorithms.quarantine import most_of
from cpo_rl.algorithms.rollout import Rollout
from cpo_rl.config import EnsembleCfg
from cpo_rl.distributed import Ranks
from cpo_rl.formulas import gaussian
from cpo_rl.models.actor_critic import EnsembleActorCritic


class SoundState:
    """Keeps a copy of everything that learning changes.

    Args:
        model: The actor-critic.
        cfg: Algorithm settings, which say what is absurd.
        rollout: Holds the last observations, which the network is asked about.
        ranks: Processes that train together and go back together.
        learned: Returns what learning changes, as nested dictionaries and lists with the tensors themselves.
    """

    def __init__(
        self,
        model: EnsembleActorCritic,
        cfg: EnsembleCfg,
        rollout: Rollout,
        ranks: Ranks,
        learned: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._model, self._cfg, self._rollout, self._ranks, self._learned = model, cfg, rollout, ranks, learned
        self._copies: dict[str, Tensor] | None = None
        self._of_this_iteration = torch.zeros(())

    @torch.no_grad()
    def is_sound(self) -> bool:
        """Whether noise, actions and values are finite and not absurd, on all ranks; reads the device."""
        rows, most = self._rollout.last_input, most_of(self._cfg)
        out = self._model.evaluate_inputs(rows, self._model.initial_state(len(rows)))
        assert out.value is not None
        answers = {
            "actions": out.mean.abs() + out.log_std.exp(),
            "action noise": gaussian.log_prob(out.mean, out.mean, out.log_std),
            "values": out.value,
        }
        unsound = torch.stack([~(answer.abs() <= most[name]).all() for name, answer in answers.items()])
        return not bool(self._ranks.sum(unsound.sum().to(torch.float32)) > 0)

    @torch.no_grad()
    def keep(self, doubtful: Tensor) -> None:
        """Copy the state before an update, unless the rollout made with it was doubtful; reads nothing.

        Args:
            doubtful: Above 0 if the network said something that was not finite or absurd; scalar, equal on all ranks.
        """
        current = dict(_tensors(self._learned()))
        if self._copies is None or self._copies.keys() != current.keys():
            known = self._copies or {}
            # what appears later, such as Adam's moments at the first step, begins as zeros
            self._copies = {n: known.get(n, torch.zeros_like(t)) for n, t in current.items()}
            self._copies.update({} if known else {n: t.detach().clone() for n, t in current.items()})
        for name, tensor in current.items():
            copy = self._copies[name]
            if tensor.device == doubtful.device:
                torch.where(doubtful > 0, copy, tensor, out=copy)
            else:
                copy.copy_(tensor)  # a counter that an optimizer keeps on the host
        self._of_this_iteration = doubtful.detach().clone()

    @torch.no_grad()
    def recover(self, entirely: bool) -> bool:
        """Go back to the state before the last update if what is there now is ruined; reads the device.

        Args:
            entirely: Go back also from a part of an update that did no harm, because the run ends here.

        Returns:
            Whether the state is another now.
        """
        if self._copies is None:
            return False
        whole = entirely and not float(self._of_this_iteration) > 0
        if not whole and self.is_sound():
            return False
        for name, tensor in _tensors(self._learned()):
            copy = self._copies.get(name)
            tensor.copy_(copy) if copy is not None else tensor.zero_()
        return True


def _tensors(value: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of a nested state by their places, statistics that are still being gathered left out."""
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not str(key).split(".")[-1].startswith("pending_"):
                yield from _tensors(item, f"{path}/{key}")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _tensors(item, f"{path}/{index}")
