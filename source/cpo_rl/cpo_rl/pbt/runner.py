# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""One member of a population: a run that publishes its state and may take over another member's weights."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from rsl_rl.env import VecEnv

from cpo_rl.contracts import Environment
from cpo_rl.errors import UserError
from cpo_rl.pbt import Decision, Member, Order, PbtCfg, Published, Workspace, member_state
from cpo_rl.runners.ensemble_runner import EnsembleRunner
from cpo_rl.runs.checkpoint_reader import read_checkpoint
from cpo_rl.runs.payload import first_not_finite, shape_difference, to_bytes
from cpo_rl.runs.provenance import now

_log = logging.getLogger(__name__)

REWARD_PREFIX = "env."
"""What names of the reward's settings start with, beside the algorithm's."""

ORDER_LOOK_S = 0.05
"""Time between two looks for an order [s]."""

_LEARNED = ("model", "optimizer", "adversary", "regulator")
"""Entries of a checkpoint that a donor gives away: network with its statistics, Adam with its step size, discriminator,
coefficients of the regulated coupling."""


class PbtRunner(EnsembleRunner):
    """Trains a member of a population (docs/pbt.md).

    After an iteration in which an interval of own environment steps ended, the member publishes its score,
    hyper-parameters and checkpoint, decides, and possibly goes on from a donor's weights with mutated hyper-parameters.
    The simulator, the counters and the random generators stay its own.

    Args:
        env: rsl_rl environment. Its task state (``state_for_checkpoint``) is taken over from a donor too, unless it
            restores exactly: Running episodes and random generators are nobody else's business. The settings of the
            reward that ``env.unwrapped.reward_settings() -> dict[str, float]`` offers mutate too, and are set by
            ``set_reward_settings(dict)``.
        train_cfg: As for :class:`~cpo_rl.runners.EnsembleRunner`.
        log_dir: Run folder; ``workspace.folder(member)`` by default.
        device: Device of the algorithm.
        workspace: The shared folder.
        member: Number of this member, from 0.
        pbt: Settings.
        takes_orders: Whether an engine outside decides, such as Ray Tune's: The member publishes as ever and then waits
            for its order (:class:`~cpo_rl.pbt.Order`).
        **run_fields: Fields for the run's manifest.

    Raises:
        UserError: If the algorithm has no hyper-parameters to set, or a setting is wrong.
    """

    def __init__(
        self,
        env: VecEnv,
        train_cfg: dict,
        log_dir: str | None = None,
        device: str = "cpu",
        *,
        workspace: Workspace,
        member: int,
        pbt: PbtCfg,
        takes_orders: bool = False,
        **run_fields: Any,
    ) -> None:
        if not 0 <= member < workspace.members:
            raise UserError(f"Member {member} must lie between 0 and {workspace.members - 1}.")
        super().__init__(env, train_cfg, log_dir or str(workspace.folder(member)), device, **run_fields)
        if self.is_distributed or not self.offers.is_mutable:
            raise UserError(
                "A member of a population is one process with an agent of this project; "
                "leave out torchrun, and use --agent ppo."
            )
        configured = {name: getattr(self.alg.cfg, name) for name in pbt.parameters}
        self._offered_env = Environment(env)
        rewards = self._offered_env.reward_settings() if pbt.mutate_rewards else {}
        configured.update({REWARD_PREFIX + name: value for name, value in rewards.items()})
        self.member = Member(member, pbt, configured, int(train_cfg.get("seed") or 0))
        self.workspace, self.takes_orders = workspace, takes_orders
        self.history = workspace.history(member)
        self.alg.set_hyperparameters(_of_algorithm(self.member.parameters))

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _payload(self, infos: dict | None) -> dict[str, Any]:
        payload = super()._payload(infos)
        payload["runner"]["pbt"] = self.member.state_dict()
        return payload

    def _restore_run(self, runner: Mapping[str, Any], name: str) -> None:
        super()._restore_run(runner, name)
        if "pbt" in runner:
            self.member.load_state_dict(runner["pbt"])
            self.alg.set_hyperparameters(_of_algorithm(self.member.parameters))

    # -- in the loop -------------------------------------------------------------------------------------------------

    def _before_first_rollout(self) -> None:
        """Forget what happened after the checkpoint, and note the first mutation of a new run."""
        begins = self.completed_iterations == 0
        try:
            self.workspace.retract_after(self.member.index, self.completed_iterations)
            self.history.truncate_after(-1 if begins else self.completed_iterations)
        except OSError as error:
            _log.warning("Records of the population could not be cleared (%s).", error.strerror or error)
        order = self._new_order()
        if begins:
            if order is not None:
                self.member.parameters.update(_known(order, self.member.parameters))
                self.alg.set_hyperparameters(_of_algorithm(self.member.parameters))
            reason = "every member starts from a mutation"
            self._note("start", None, reason, self.member.configured, self.member.parameters)
        self._set_rewards()  # not earlier, or the configuration kept in the run folder would not be the population's
        if order is not None:  # given while nobody trained, or since the checkpoint
            self._follow(order, None)
        super()._before_first_rollout()

    def _between_iterations(self) -> None:
        """Publish and decide when an interval has ended."""
        objective = self.alg.episodes.objective()
        if not self.member.observe(self.logger.tot_timesteps, objective):
            return
        assert objective is not None
        published, steps = self._publish(objective), self.logger.tot_timesteps
        if self.takes_orders:
            self.member.begin_interval(steps)
            if published:  # nobody decides on what was not said
                self._await_order(objective)
            return
        newest = self.workspace.newest(self.member.horizon(steps))
        decision = self.member.decide(steps, objective, [member_state(state) for state in newest])
        self._carry_out(decision, None if decision.donor is None else newest[decision.donor], objective)

    # -- orders ------------------------------------------------------------------------------------------------------

    def _new_order(self) -> Order | None:
        """Return the order that was not followed yet, if there is one."""
        order = self.workspace.order(self.member.index) if self.takes_orders else None
        return None if order is None or order.id == self.member.followed else order

    def _await_order(self, objective: float) -> None:
        """Wait for an order and follow it; a stop signal ends the waiting."""
        while (order := self._new_order()) is None:
            if self._requests.number is not None:
                return
            time.sleep(ORDER_LOOK_S)
        self._follow(order, objective)

    def _follow(self, order: Order, objective: float | None) -> None:
        """Do what an order says; it is kept with the next checkpoint that it was done."""
        self.member.followed = order.id
        parameters = {**self.member.parameters, **_known(order, self.member.parameters)}
        changes = order.donor is not None or parameters != self.member.parameters
        donor = None if order.donor is None else self.workspace.at(order.donor, order.donor_iteration)
        if changes or objective is not None:  # a start that changes nothing is no decision
            reason = "an engine outside decides"
            self._carry_out(Decision(changes, order.donor, parameters, reason), donor, objective)

    # -- what follows from a decision --------------------------------------------------------------------------------

    def _carry_out(self, decision: Decision, donor: Published | None, objective: float | None) -> None:
        """Do what was decided, or say why not."""
        before = dict(self.member.parameters)
        if not decision.restart:
            self._note("keep", objective, decision.reason, before, before)
            return
        try:
            if decision.donor is not None and donor is None:
                raise UserError("what it published is gone.")
            self._restart(decision, donor)
        except UserError as error:
            reason = f"member {decision.donor} could not be copied: {error}"
            self._note("skip", objective, reason, before, before, donor)
            return
        event = "copy" if donor else "mutate"
        self._note(event, objective, decision.reason, before, decision.parameters, donor)

    def _publish(self, objective: float) -> bool:
        """Write score, hyper-parameters and checkpoint for the others; a full disk costs that and nothing else.

        Returns:
            Whether it was written.
        """
        member, steps = self.member, self.logger.tot_timesteps
        state = Published(
            member.index, self.completed_iterations, steps, objective, dict(member.parameters), member.restarts, now(),
            member.followed,
        )  # fmt: skip
        payload = self._payload(None)
        if first_not_finite({name: payload[name] for name in _LEARNED}) is not None:
            return False  # the finite guard keeps weights sound; this would be news
        data, manifest = to_bytes(payload), self._manifest(payload)
        keep = member.cfg.keep_published
        return self.logger.try_write(
            "the state for the population", lambda: self.workspace.publish(state, data, manifest, keep)
        )

    def _restart(self, decision: Decision, donor: Published | None) -> None:
        """Carry out a decision, or raise UserError and leave everything as it is."""
        learned = self._read_donor(donor) if donor else None
        self.alg.set_hyperparameters(_of_algorithm(decision.parameters))
        if learned is not None:
            self.alg.adopt(learned)
            self._inherit_task_state(learned)
        self.alg.episodes.forget_finished()
        self.member.restart(self.logger.tot_timesteps, decision.parameters)
        self._set_rewards()

    def _set_rewards(self) -> None:
        """Give the environment the member's settings of the reward."""
        values = {n.removeprefix(REWARD_PREFIX): v for n, v in self.member.parameters.items() if _is_reward(n)}
        if values:
            self._offered_env.set_reward_settings(values)

    def _read_donor(self, donor: Published) -> dict[str, Any]:
        """Return a donor's checkpoint after making sure that it can be taken over.

        Raises:
            UserError: If it is gone, damaged, not finite or does not fit.
        """
        path = self.workspace.checkpoint(donor)
        name = f"checkpoint {path.name!r} of member {donor.member}"
        checkpoint = read_checkpoint(path, self.device, name=name, unchecked=False)
        if not checkpoint.runner.get("identity"):
            raise UserError(f"{name} was not written by a member of a population.")
        checkpoint.check_identity(self.identity)
        payload = checkpoint.payload
        mine = self.alg.save()
        for part in _LEARNED:
            difference = shape_difference(mine[part], payload.get(part), part)
            if difference is not None:
                raise UserError(f"{name} does not fit this agent ({difference}).")
        broken = first_not_finite({part: payload.get(part) for part in _LEARNED})
        if broken is not None:
            raise UserError(f"{name} holds a number that is not finite in {broken}.")
        return payload

    def _inherit_task_state(self, payload: Mapping[str, Any]) -> None:
        """Give the environment the donor's curriculum, which its weights were trained under."""
        env = self._offered_env
        if not env.keeps_state or env.continues_exactly:
            return
        try:
            env.restore(payload["runner"]["ranks"][0]["env"])
        except (KeyError, IndexError, ValueError, RuntimeError, TypeError) as error:
            _log.warning("The donor's task state does not fit (%s); ours stays.", error)

    def _note(
        self,
        event: str,
        objective: float | None,
        reason: str,
        before: Mapping[str, float],
        after: Mapping[str, float],
        donor: Published | None = None,
    ) -> None:
        """Add a decision to the history, and show it if something changed."""
        changed = {name: [before[name], value] for name, value in after.items() if value != before[name]}
        line = {
            "event": event, "objective": objective, "donor": donor and donor.member,
            "donor_iteration": donor and donor.iteration, "reason": reason, "changed": changed, "time": now(),
        }  # fmt: skip
        iteration, steps = self.completed_iterations, self.logger.tot_timesteps
        self.logger.try_write(self.history.path.name, lambda: self.history.append(iteration, steps, line))
        sentence = f"Member {self.member.index}, iteration {iteration}: {event} ({reason})"
        sentence += "".join(f", {name} {old:.4g} -> {new:.4g}" for name, (old, new) in changed.items())
        _log.info(sentence)
        if event != "keep" and self.folder is not None and self.options.progress != "off":
            self.logger.progress.message(sentence + ".")


def _is_reward(name: str) -> bool:
    return name.startswith(REWARD_PREFIX)


def _known(order: Order, parameters: Mapping[str, float]) -> dict[str, float]:
    """Return the hyper-parameters of an order that mutate here, as numbers of their own kind."""
    return {name: type(value)(order.parameters[name]) for name, value in parameters.items() if name in order.parameters}


def _of_algorithm(parameters: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in parameters.items() if not _is_reward(name)}
