# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""The metrics of a run: what each is called, in which unit, what a good value is, and where it is shown.

A metric has a tag, such as ``Leader/return``: the name of its column in ``metrics.csv`` and of its curve in
TensorBoard. Whoever measures something writes the tag once; console, TensorBoard, ``cpo-lab report`` and docs/report.md
take everything else from the row of :data:`METRICS`. A tag without a row is shown all the same, under a title made from
the tag.

Placeholders in tags: ``<i>`` is a policy's number, ``<name>`` whatever a task or an own algorithm calls its value, and
``<success>`` such a name with "success" in it. The first row that fits a tag describes it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

RETURN = "Leader/return"
SUCCESSES = "Leader/successes"
LEADER_STD = "Leader/std"
POLICY_RETURN = "Policy_<i>/return"
POLICY_SUCCESSES = "Policy_<i>/successes"
KL_TO_LEADER = "Ensemble/kl_to_leader_<i>"
ESS = "Ensemble/ess_<i>"
MEAN_RETURN = "Train/mean_reward"
KL_MEAN = "Ensemble/kl_mean"
ESS_POOLED = "Ensemble/ess_pooled"
CLIPPED_BORROWED = "Ensemble/clipped_fraction_borrowed"
ACCURACY = "Discriminator/accuracy"
LEARNING_RATE = "Optimization/learning_rate"
SKIPPED_UPDATES, QUARANTINED = "Optimization/skipped_updates", "Env/quarantined"
AWAC_SATURATION, EXPLAINED_VARIANCE = "Ensemble/awac_saturation", "Value/explained_variance"
STEPS_PER_S = "Perf/env_steps_per_s"

LEADER, POLICIES, COUPLING = "Leader", "Policies", "Coupling"
OPTIMIZATION, LOSSES, SPEED, TASK, MORE = "Optimization", "Losses", "Speed", "Task", "More metrics"
SECTIONS = (LEADER, POLICIES, COUPLING, OPTIMIZATION, LOSSES, SPEED, TASK, MORE)
"""Where metrics stand in TensorBoard and in the report, in reading order."""

WATCHED = {
    "return": POLICY_RETURN,
    "successes": POLICY_SUCCESSES,
    "KL to leader": KL_TO_LEADER,
    "ESS": ESS,
    "coupling": "Ensemble/coupling_coef_<i>",
    "noise": "Policy_<i>/std",
}
"""What is shown of each policy while a run is watched, by label."""

HEADLINE = (RETURN, SUCCESSES, MEAN_RETURN, STEPS_PER_S)
"""Metrics repeated in the run's manifest, for listings."""
SCORES = (SUCCESSES, RETURN, MEAN_RETURN)
"""What the best checkpoint is chosen by: the first that a run has."""


@dataclass(frozen=True)
class Metric:
    """A row of the table."""

    tag: str
    """Name of the curve, perhaps with placeholders."""
    section: str
    """One of :data:`SECTIONS`."""
    title: str
    """What it is called; ``{name}`` stands for the name in the tag."""
    unit: str = ""
    """What it counts, for the vertical axis; empty where only the task knows."""
    meaning: str = ""
    """How to read it, in one or two sentences."""
    better: str = ""
    """``higher`` or ``lower`` where one of them is good whatever else happens."""
    good: str = ""
    """What a good value is, where there is one to name."""
    log: bool = False
    """Whether it spans orders of magnitude."""
    share: bool = False
    """Whether it lies between 0 and 1."""
    compared: bool = False
    """Whether algorithms are compared by its final value."""
    expected: bool = False
    """Whether the report says so when no run has it."""
    chart: str = ""
    """Chart of TensorBoard that it shares with others of its section; one of its own by default."""
    console: tuple[int, str] | None = None
    """Place and label among the values shown while training."""
    form: str = ".4g"
    """Format of a value in text."""
    instead_of: str = ""
    """Our tag of the same quantity: this one is rsl_rl's, and counts in the report where a run lacks ours."""
    shown_with: str = ""
    """The metric beside which the report draws it dotted, or the axis that it is; empty for a figure of its own."""
    is_own: bool = False
    """Whether a task or an own algorithm chose its name; :func:`find` says so."""

    @property
    def is_open(self) -> bool:
        """Whether the tag leaves the name to a task or an own algorithm."""
        return "<name>" in self.tag or "<success>" in self.tag

    @property
    def per_policy(self) -> bool:
        """Whether there is one curve per policy."""
        return "<i>" in self.tag

    @property
    def needs_ensemble(self) -> bool:
        """Whether it exists only with two or more policies."""
        return self.section in (POLICIES, COUPLING)

    @property
    def axis_label(self) -> str:
        """The unit, or the tag where there is none."""
        return self.unit or _printable(self.tag)

    def of_policy(self, index: int) -> str:
        """The tag of one policy's curve."""
        return self.tag.replace("<i>", str(index))

    def columns(self, policy: int, num_policies: int) -> list[str]:
        """Tags of one policy's curve, of which the first that a run has counts.

        A run of one policy writes its values as the leader's only.
        """
        tag = self.of_policy(policy)
        return [tag, f"Leader/{tag.partition('/')[2]}"] if policy == num_policies - 1 else [tag]

    def text(self, value: float) -> str:
        """A value the way its kind is best read."""
        return format(value, self.form)


_LEADER_CHART = "Successes and other task metrics [per episode]"
_REGULATED_CHART = "Regulated KL to the leader [nat]"
_ESS_CHART = "Effective sample size of the followers' data [share of rows]"
_CLIPPED_CHART = "Clipped rows [share of rows]"
_ACCURACY_CHART = "Discriminator accuracy and chance [share of rows]"

METRICS = (
    Metric(RETURN, LEADER, "Leader return", "reward per episode",
           "Undiscounted reward per episode of the leader, or of the only policy. In the first iterations only short "
           "episodes have ended, so early values speak about those.",
           "higher", compared=True, expected=True, console=(2, "leader return")),
    Metric(SUCCESSES, LEADER, "Leader successes", "successes per episode",
           "Goals that the leader reaches in an episode.", "higher", compared=True, chart=_LEADER_CHART,
           console=(3, "leader successes")),
    Metric("Leader/<success>", LEADER, "Leader {name}", "{name} per episode",
           "Reported by the task at the end of the leader's episodes.", "higher", compared=True, chart=_LEADER_CHART),
    Metric("Leader/episode_length", LEADER, "Leader episode length", "steps", "Length of the leader's episodes."),
    Metric("Leader/<name>", LEADER, "Leader {name}", "{name} per episode",
           "Reported by the task at the end of the leader's episodes.", chart=_LEADER_CHART),
    Metric(MEAN_RETURN, LEADER, "Return of all environments", "reward per episode",
           "Mean over the episodes of all policies that ended in the iteration; rsl_rl's own measure.",
           "higher", instead_of=RETURN, console=(2, "leader return")),
    Metric("Train/mean_episode_length", LEADER, "Episode length of all environments", "steps",
           "Mean over the episodes of all policies that ended in the iteration; rsl_rl's own measure.",
           instead_of="Leader/episode_length"),

    Metric(POLICY_RETURN, POLICIES, "Return of each policy", "reward per episode",
           "Every policy on its own environments; the leader is drawn in black.", "higher", expected=True),
    Metric("Policy_<i>/episode_length", POLICIES, "Episode length of each policy", "steps",
           "Every policy on its own environments."),
    Metric("Policy_<i>/std", POLICIES, "Action noise of each policy", "standard deviation",
           "Mean standard deviation of the actions, before clamping."),
    Metric("Policy_<i>/entropy", POLICIES, "Entropy of each policy", "nats",
           "Differential entropy of the actions. The entropy bonus makes the first followers the noisiest."),
    Metric("Policy_<i>/<name>", POLICIES, "{name} of each policy", "{name} per episode",
           "Reported by the task at the end of each policy's episodes.",
           chart="Task metrics of each policy [per episode]"),

    Metric(KL_MEAN, COUPLING, "Inter-policy KL", "nats",
           "Mean divergence between two different policies on visited states. Low: they act alike and can use each "
           "other's data.",
           good="0.1 to 2; below, followers are copies, above, their data count for little",
           log=True, expected=True, console=(4, "inter-policy KL")),
    Metric(KL_TO_LEADER, COUPLING, "KL of each follower to the leader", "nats",
           "Divergence of follower i from the leader on the follower's states.", log=True),
    Metric("Ensemble/coupling_kl", COUPLING, "Regulated KL to the leader", "nats",
           "Mean KL of the followers to the leader that coupling_target_kl regulates: by default the part that "
           "different means make.", log=True, chart=_REGULATED_CHART),
    Metric("Ensemble/coupling_kl_<i>", COUPLING, "Regulated KL of each follower", "nats",
           "What the regulator measures of follower i.", log=True, chart=_REGULATED_CHART),
    Metric("Ensemble/coupling_coef", COUPLING, "Regulated coefficient", "weight of the KL penalty",
           "It rises while the KL is above its target. Held at its bounds, the target is out of reach.", log=True),
    Metric("Ensemble/coupling_coef_<i>", COUPLING, "Regulated coefficient of each follower", "weight of the KL penalty",
           "Of follower i; all are equal with coupling_shared.", log=True),
    Metric(ESS_POOLED, COUPLING, "Effective sample size", "share of rows",
           "Share of the followers' samples that counts for the leader after importance weighting. For Gaussians of "
           "equal spread it is exp(-2 KL): 0.78 at a KL of 0.125 nats, 0.37 at 0.5, 0.02 at 2.",
           good="0.3 to 0.9; below 0.05 the ensemble is lost",
           share=True, expected=True, chart=_ESS_CHART),
    Metric(ESS, COUPLING, "Effective sample size of each follower", "share of rows",
           "Share of follower i's samples that counts for the leader. 1: as good as the leader's own data.",
           share=True, expected=True, chart=_ESS_CHART),
    Metric("Ensemble/importance_deviation_<i>", COUPLING, "Importance-ratio spread", "mean |w - 1|",
           "Mean distance of the leader's importance ratio w from 1 on follower i's data. 0: same policy."),
    Metric("Ensemble/importance_log_var_<i>", COUPLING, "Importance-ratio log-variance", "var(log w)",
           "Variance of log w on follower i's data; for equal spreads twice the KL in nats.", log=True),
    Metric(CLIPPED_BORROWED, COUPLING, "Clipped borrowed rows", "share of rows",
           "Borrowed rows whose importance ratio lies outside the clip range. Those of them whose advantage points "
           "further out, about half, have no gradient.",
           good="below 0.8; near 1 the leader learns nothing from them",
           share=True, chart=_CLIPPED_CHART),
    Metric("Ensemble/clipped_fraction_follower", COUPLING, "Clipped follower rows", "share of rows",
           "Followers' own rows whose ratio of new to old policy left the clip range during the update.",
           share=True, chart=_CLIPPED_CHART),
    Metric("Ensemble/borrowed_gradient_share", COUPLING, "Gradient from borrowed rows", "share of the gradient",
           "How much of the leader's policy gradient comes from followers' data. 0: borrowing does nothing.",
           share=True),
    Metric("Ensemble/awac_weight", COUPLING, "Regression weight", "mean weight",
           "Mean weight exp(advantage / temperature) of CPO's regression on the leader's data."),
    Metric("Ensemble/awac_saturation", COUPLING, "AWAC saturation", "share of weights",
           "Share of the regression's weights at their cap. Near 1 they no longer tell good actions from bad ones.",
           good="below 0.5",
           share=True),
    Metric(ACCURACY, COUPLING, "Discriminator accuracy", "share of rows",
           "How often the discriminator names the policy behind a sample; dotted: chance. At chance the policies "
           "cannot be told apart by what they visit and do.",
           good="between chance and 0.95; at 1 the reward is saturated",
           share=True, chart=_ACCURACY_CHART),
    Metric("Discriminator/chance", COUPLING, "Accuracy of guessing", "share of rows",
           "One over the number of policies.", share=True, chart=_ACCURACY_CHART,
           shown_with=ACCURACY),
    Metric("Discriminator/bonus", COUPLING, "Diversity reward", "scaled reward per step",
           "Mean reward of the followers for being told apart."),
    Metric("Discriminator/loss", COUPLING, "Discriminator loss", "nats",
           "Cross-entropy of the discriminator; at chance the logarithm of the number of policies."),

    Metric(LEARNING_RATE, OPTIMIZATION, "Learning rate", "step size of Adam",
           "The adaptive schedule keeps the update's KL near its target. Algorithms differ in speed through it, too.",
           good="within its bounds; at the lower one nothing is learned",
           log=True, expected=True, console=(5, "learning rate"), form=".1e"),
    Metric("Optimization/kl", OPTIMIZATION, "Update KL", "nats", "Size of one iteration's policy change, KL(new, old).",
           good="near agent.algorithm.desired_kl", expected=True),
    Metric("Ensemble/clipped_fraction_leader", OPTIMIZATION, "Clipped leader rows", "share of rows",
           "The leader's own rows whose ratio of new to old policy left the clip range during the update.", share=True),
    Metric("Optimization/grad_norm", OPTIMIZATION, "Gradient norm", "norm before clipping",
           "Mean over the iteration's gradient steps.", log=True, expected=True),
    Metric("Value/explained_variance", OPTIMIZATION, "Explained variance", "share of variance",
           "1: the critic predicts returns exactly; 0: no better than their mean.", "higher",
           good="above 0.5 once episodes end; below 0 the critic misleads", expected=True),
    Metric(SKIPPED_UPDATES, OPTIMIZATION, "Skipped updates", "gradient steps",
           "Steps that the finite guard held back because a number was not finite.", "lower"),
    Metric(QUARANTINED, OPTIMIZATION, "Quarantined steps", "steps per iteration",
           "Environment steps left out of learning because state, observation or reward was not finite or absurd.",
           "lower", console=(6, "quarantined"), form=".0f", chart="Quarantined steps [per iteration]"),
    Metric("Env/quarantined_reward", OPTIMIZATION, "Quarantined for the reward", "steps per iteration",
           "Steps left out because of their reward; a step may have several reasons.", form=".0f",
           chart="Quarantined steps [per iteration]"),
    Metric("Env/quarantined_observation", OPTIMIZATION, "Quarantined for the observation", "steps per iteration",
           "Steps left out because of an observation.", form=".0f", chart="Quarantined steps [per iteration]"),
    Metric("Env/<name>", OPTIMIZATION, "{name}", "steps per iteration",
           "Steps left out for a reason of the task's own.", form=".0f", chart="Quarantined steps [per iteration]"),
    Metric(LEADER_STD, OPTIMIZATION, "Leader action noise", "standard deviation",
           "Mean standard deviation of the leader's actions, before clamping. It shrinks while a policy settles."),
    Metric("Leader/entropy", OPTIMIZATION, "Leader entropy", "nats",
           "Differential entropy of the leader's actions: their noise on a logarithmic scale, summed over actions."),
    Metric("Policy/mean_std", OPTIMIZATION, "Action noise", "standard deviation",
           "Mean standard deviation of the acting policy, of the leader in an ensemble; rsl_rl's own measure.",
           instead_of=LEADER_STD),
    Metric("Rnd/weight", OPTIMIZATION, "Curiosity weight", "weight",
           "Weight of the reward of rsl_rl's random network distillation."),

    Metric("Loss/surrogate", LOSSES, "Loss: surrogate", "mean per row", "PPO's clipped objective, negative.",
           chart="Loss terms"),
    Metric("Loss/surrogate_leader", LOSSES, "Loss: surrogate of the leader", "mean per row",
           "PPO's clipped objective on the leader's own rows, negative.", chart="Loss terms"),
    Metric("Loss/surrogate_follower", LOSSES, "Loss: surrogate of the followers", "mean per row",
           "PPO's clipped objective on followers' own rows, negative.", chart="Loss terms"),
    Metric("Loss/surrogate_borrowed", LOSSES, "Loss: surrogate of borrowed rows", "mean per row",
           "PPO's clipped objective of the leader on followers' rows, negative.", chart="Loss terms"),
    Metric("Loss/awac", LOSSES, "Loss: regression", "mean per row",
           "Weighted negative log-likelihood of the leader's actions under the followers, before its coefficient.",
           chart="Loss terms"),
    Metric("Loss/kl", LOSSES, "Loss: KL to the leader", "nats",
           "Explicit KL penalty of the followers, before its coefficient.", chart="Loss terms"),
    Metric("Loss/value", LOSSES, "Loss: value", "mean per row", "Squared error of the critic, in normalized units.",
           chart="Loss terms"),
    Metric("Loss/entropy", LOSSES, "Loss: entropy", "nats", "Mean entropy of the policies, before its coefficients.",
           chart="Loss terms"),
    Metric("Loss/bound", LOSSES, "Loss: bound", "mean per row",
           "Squared distance of action means beyond the bound, before its coefficient. 0: none is beyond.",
           chart="Loss terms"),
    Metric("Loss/rnd", LOSSES, "Loss: random network distillation", "mean per row", "Of rsl_rl's PPO.",
           chart="Loss terms"),
    Metric("Loss/symmetry", LOSSES, "Loss: symmetry", "mean per row", "Of rsl_rl's PPO.", chart="Loss terms"),
    Metric("Loss/<name>", LOSSES, "Loss: {name}", "", "A term of the algorithm's own.", chart="Loss terms"),

    Metric(STEPS_PER_S, SPEED, "Throughput", "environment steps / s",
           "Collection and update together. Compare algorithms only on equal hardware, see the table of runs.",
           "higher", expected=True, console=(1, "env-steps/s"), form=",.0f"),
    Metric("Perf/collection_s", SPEED, "Collection time", "s per iteration", "Time to act and simulate.", "lower",
           chart="Time per iteration [s]"),
    Metric("Perf/update_s", SPEED, "Update time", "s per iteration", "Time to learn.", "lower",
           chart="Time per iteration [s]"),
    Metric("Perf/total_env_steps", SPEED, "Environment steps", "steps", "Steps taken by all processes together.",
           form=".0f", shown_with="env_steps"),

    Metric("Task/<name>", TASK, "Task {name}", "",
           "Reported by the task, averaged over all environments and the steps of the iteration.",
           chart="Task metrics"),
)  # fmt: skip
"""All metrics that this project produces, in reading order, section by section."""

EPISODE_QUANTITIES = (
    Metric("return", LEADER, "return", "", "undiscounted sum of raw rewards of an episode", "higher", compared=True),
    Metric("successes", LEADER, "successes", "", "goals reached in an episode", "higher", compared=True),
    Metric("time_to_success", LEADER, "time to success", "s",
           "simulated time to the first goal, of the episodes that reached one; the number of those is given", "lower"),
    Metric("time_per_success", LEADER, "time per success", "s", "length of the episode divided by its goals", "lower"),
    Metric("fall", LEADER, "fall", "share",
           "episodes ended by failure: not by the time limit, and not by reaching the last goal", "lower", share=True),
    Metric("length", LEADER, "length", "steps", "length of the episode"),
)  # fmt: skip
"""What ``cpo-lab evaluate`` measures of every episode besides the task's own metrics, in reading order."""

_PLACEHOLDERS = {"<i>": r"\d+", "<success>": ".*success.*", "<name>": ".+"}


def pattern_of(tag: str) -> str:
    """Return the regular expression of the tags that a row's tag with placeholders stands for."""
    return "".join(_PLACEHOLDERS.get(part, re.escape(part)) for part in re.split(r"(<\w+>)", tag))


_PATTERNS = sorted(
    ((row, metric, re.compile(pattern_of(metric.tag))) for row, metric in enumerate(METRICS)),
    key=lambda entry: entry[1].is_open,
)
"""Position, row and expression; rows with an open name come last, because they fit what others describe better."""


@functools.lru_cache(maxsize=4096)
def _row(tag: str) -> int:
    """Return the position in the table of a tag's row, behind the last one if it has none."""
    fitting = (row for row, metric, pattern in _PATTERNS if tag == metric.tag or pattern.fullmatch(tag))
    return next(fitting, len(METRICS))


def row_of(tag: str) -> Metric | None:
    """Return the row that describes a tag as it stands in the table, None if there is none."""
    return METRICS[_row(tag)] if _row(tag) < len(METRICS) else None


@functools.lru_cache(maxsize=4096)
def find(tag: str) -> Metric:
    """Return what is known about a metric.

    Args:
        tag: Its tag, such as ``Policy_3/successes``.

    Returns:
        Its row. A name that the row leaves open is filled in, a policy's number is not (``Policy_<i>/successes``). A
        tag without a row gets one in the section :data:`MORE`.
    """
    row = row_of(tag)
    if row is None:
        return Metric(tag, MORE, _capitalized(tag.replace("/", " ")), is_own=True)
    if not row.is_open:
        return row
    name = tag.split("/", 1)[1]
    words = name.replace("_", " ")
    is_ratio = re.search(r"rate|share|fraction", name) is not None
    unit = words if row.unit and is_ratio else row.unit.replace("{name}", words)
    group = row.tag.split("/", 1)[0]
    title = _capitalized(row.title.replace("{name}", words))
    return replace(row, tag=f"{group}/{name}", title=title, unit=_printable(unit), is_own=True)


def _capitalized(words: str) -> str:
    words = _printable(words.replace("_", " ").strip())
    return words[:1].upper() + words[1:]


def _printable(text: str) -> str:
    """Return text without control characters, which a tag of a damaged file may hold."""
    return "".join(c if c.isprintable() else "?" for c in text)


def in_order(tags: Iterable[str]) -> list[Metric]:
    """Return the rows of tags in reading order, each once; open names of a row in alphabetical order."""
    found = {find(tag).tag: (_row(tag), find(tag)) for tag in tags}
    return [metric for _, metric in sorted(found.values(), key=lambda entry: (entry[0], entry[1].tag))]


def policies_in(tags: Iterable[str]) -> int:
    """Return how many policies a run's tags speak of, at least 1; a number of four digits is damage."""
    numbers = [int(found[1]) for tag in tags if (found := re.match(r"Policy_(\d{1,3})/", tag))]
    return max(numbers, default=0) + 1


def shown_while_training() -> dict[str, list[Metric]]:
    """Return what the console shows: label to metrics, of which the first that a run has counts."""
    shown: dict[tuple[int, str], list[Metric]] = {}
    for metric in METRICS:
        if metric.console:
            shown.setdefault(metric.console, []).append(metric)
    return {label: metrics for (_, label), metrics in sorted(shown.items(), key=lambda entry: entry[0])}
