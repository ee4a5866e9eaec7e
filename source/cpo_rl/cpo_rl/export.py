# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

"""From a trained model or checkpoint to files that run elsewhere, checked against the model before they appear.

:func:`export_policy` writes ``policy.pt`` (TorchScript), ``policy.onnx`` and ``policy.json``, which says what the other
two expect and give. Each file appears whole or not at all, ``policy.json`` last, with the checksums of the others.
"""

from __future__ import annotations

import io
import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from cpo_rl.errors import UserError
from cpo_rl.models.actor_critic import EnsembleActorCritic
from cpo_rl.models.deployed import POLICY_INPUT, DeployedPolicy, OnnxPolicy, check_policy, cpu_copy
from cpo_rl.runs.checkpoint_manifest import sha256
from cpo_rl.runs.files import write_bytes, write_json
from cpo_rl.runs.provenance import library_versions, now

_log = logging.getLogger(__name__)

FORMATS = {"jit": "policy.pt", "onnx": "policy.onnx"}
"""Formats and their file names."""

CHECK_STEPS = 1000
"""Steps of the equality check."""

CHECK_ENVS = 4
"""Environments of the equality check."""

TOLERANCE = 1.0e-5
"""Largest difference of an action between the model and an exported file."""

ROUNDING_MARGIN = 4.0
"""Where the model's own float32 rounding exceeds the tolerance, how many times it a file may differ."""

EXPORT_FORMAT = 2
"""Version of ``policy.json``; 2 added what a robot's driver needs."""

_OPSET = 18

IR_VERSION = 8
"""Version of ONNX's file format: the one that came with the operators. ONNX Runtime 1.17 reads up to 9."""


class ExportMismatchError(RuntimeError):
    """An exported file does not act like the model it was made from."""


def export_policy(
    model: EnsembleActorCritic,
    out_dir: str | Path,
    policy: int | str | None = None,
    formats: Sequence[str] = ("jit", "onnx"),
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write a policy for deployment and prove that the files act like the model.

    Args:
        model: The trained actor-critic, on any device; it stays as it is, recurrent state included.
        out_dir: Folder of the files, made if missing.
        policy: Id of the policy; ``"leader"`` or None; or ``"input"`` for all policies with the id as an input.
        formats: Keys of :data:`FORMATS`.
        metadata: Entries added to ``policy.json``, such as ``task``, ``config_hash`` and ``action``;
            ``observation_layout`` is a list of terms with ``name`` and ``size`` that must fill the observation.

    Returns:
        The content of ``policy.json``.

    Raises:
        UserError: If policy, formats, layout or folder are wrong, before anything is written.
        ExportMismatchError: If a file differs from the model by more than :data:`TOLERANCE` and more than rounding
            explains; nothing is written then.
    """
    chosen = _check_formats(formats)
    if policy != POLICY_INPUT:
        policy = check_policy(policy, model.num_policies)
    metadata = dict(metadata or {})
    _check_layout(metadata.get("observation_layout"), model.num_obs)
    folder = Path(out_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"out_dir {str(out_dir)!r} cannot be written ({error.strerror}); choose another.") from None
    description = describe(model, policy, metadata)
    data = {name: _SERIALIZERS[name](model, policy, description) for name in chosen}
    differences, allowed = _check(model, policy, data)
    description["files"] = {
        FORMATS[name]: {
            "sha256": sha256(data[name]),
            "size": len(data[name]),
            "max_difference": differences[name],
            "allowed_difference": allowed,
            "checked_steps": CHECK_STEPS,
        }
        for name in chosen
    }
    (folder / "policy.json").unlink(missing_ok=True)  # it must never stand beside files it does not describe
    for stale in set(FORMATS) - set(chosen):
        (folder / FORMATS[stale]).unlink(missing_ok=True)
    for name in chosen:
        write_bytes(folder / FORMATS[name], data[name])
    write_json(folder / "policy.json", description)
    return description


def _check(model: EnsembleActorCritic, policy: int | str, data: Mapping[str, bytes]) -> tuple[dict[str, float], float]:
    """Largest difference of each file from the model, and what was allowed.

    Raises:
        ExportMismatchError: If one differs by more.
    """
    differences, allowed = {}, TOLERANCE
    for name, content in data.items():
        actor, reference = _LOADERS[name](content, model), _ModelActor(model, policy, torch.float32)
        differences[name] = _largest_difference(model, policy, actor, reference)
        if differences[name] > TOLERANCE and allowed == TOLERANCE:
            allowed = _allowed_difference(model, policy)
        if not differences[name] <= allowed:  # NaN is no match either
            raise ExportMismatchError(
                f"{FORMATS[name]} differs from the model by {differences[name]:.3g} within {CHECK_STEPS} steps "
                f"(allowed: {allowed:.3g}); nothing was written."
            )
    return differences, allowed


def describe(model: EnsembleActorCritic, policy: int | str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What ``policy.json`` says apart from the files: inputs, outputs, normalizer and origin."""
    onnx = OnnxPolicy.build(model, policy)
    normalizer = model.obs_normalizer
    leader = model.num_policies - 1
    stds = model.log_std.detach().double().exp()
    action = {
        "size": model.num_actions,
        "value": "mean of the policy's Gaussian, not clipped",
        "std": stds.tolist() if isinstance(policy, str) else stds[policy].tolist(),
        **metadata.get("action", {}),
    }
    state = {
        "layers": model.cfg.rnn_num_layers,
        "units": model.cfg.rnn_hidden_dim,
        "start": "zeros at each episode start",
    }
    rest = {name: value for name, value in metadata.items() if name not in ("action", "observation_layout")}
    return {
        "format": EXPORT_FORMAT,
        **rest,
        "policy": {
            "id": policy,
            "role": "all" if policy == POLICY_INPUT else ("leader" if policy == leader else "follower"),
            "leader": leader,
            "num_policies": model.num_policies,
        },
        "observation": {
            "size": model.num_obs,
            "groups": model.obs_groups,
            "value": "raw, as the environment gives it; normalization is part of the files",
            "normalizer": {
                "mean": normalizer.mean.tolist(),
                "variance": normalizer.var.tolist(),
                "count": float(normalizer.count),
                "epsilon": normalizer.eps,
                "clip": normalizer.clip,
            }
            if model.cfg.normalize_observations
            else None,
            "clip": metadata.get("observation_clip"),
            "layout": metadata.get("observation_layout"),
        },
        "action": action,
        "recurrent": state if model.is_recurrent else None,
        "torchscript": {
            "arguments": ["obs", "policy_ids"] if policy == POLICY_INPUT else ["obs"],
            "reset": "reset() or reset(dones) where episodes start" if model.is_recurrent else "nothing to reset",
        },
        "onnx": {
            "inputs": onnx.input_names,
            "outputs": onnx.output_names,
            "opset": _OPSET,
            "ir_version": IR_VERSION,
        },
        "versions": library_versions(),
        "created": now(),
    }


# -- the two formats ---------------------------------------------------------------------------------------------------


def _jit_bytes(model: EnsembleActorCritic, policy: int | str, description: Mapping[str, Any]) -> bytes:
    """A TorchScript file that carries the description as its extra file ``policy.json``."""
    buffer = io.BytesIO()
    extra = {"policy.json": json.dumps(description)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch announces a successor of TorchScript; Isaac Lab still loads this one
        torch.jit.save(torch.jit.script(DeployedPolicy.build(model, policy).eval()), buffer, _extra_files=extra)
    return buffer.getvalue()


def _onnx_bytes(model: EnsembleActorCritic, policy: int | str, description: Mapping[str, Any]) -> bytes:
    """One self-contained file for any number of environments (rsl_rl's own export fixes it to one).

    Its metadata hold the description, each entry as JSON under its name.
    """
    module = OnnxPolicy.build(model, policy).eval()
    axis = torch.export.Dim("num_envs")
    axes = [{1: axis} if name in ("h_in", "c_in") else {0: axis} for name in module.input_names]
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about names of axes and about torch's own internals
            program = torch.onnx.export(
                module,
                module.get_dummy_inputs(2),
                dynamo=True,
                verbose=False,
                opset_version=_OPSET,
                input_names=module.input_names,
                output_names=module.output_names,
                dynamic_shapes=(axes[0], tuple(axes[1:])) if axes[1:] else (axes[0],),
            )
    finally:
        quiet.setLevel(level)
    import onnx

    proto: Any = program.model_proto  # type: ignore[union-attr]
    proto.ir_version = IR_VERSION
    # where each node came from in torch's sources: newer than the version says, large, and of no use elsewhere
    graph, functions = proto.graph, proto.functions
    values = (*graph.value_info, *graph.initializer, *graph.input, *graph.output)
    for part in (graph, *graph.node, *values, *functions, *(node for each in functions for node in each.node)):
        part.ClearField("metadata_props")
    onnx.helper.set_model_props(proto, {name: json.dumps(value) for name, value in description.items()})
    return proto.SerializeToString()


class _JitActor:
    """Acts with a TorchScript file."""

    def __init__(self, data: bytes, model: EnsembleActorCritic) -> None:
        self._module = torch.jit.load(io.BytesIO(data), map_location="cpu")

    def step(self, obs: Tensor, policy_ids: Tensor, takes_ids: bool) -> Tensor:
        return self._module(obs, policy_ids) if takes_ids else self._module(obs)

    def reset(self, dones: Tensor) -> None:
        self._module.reset(dones)


class _OnnxActor:
    """Acts with an ONNX file, in ONNX Runtime if it is installed, else in the onnx package's reference evaluator."""

    def __init__(self, data: bytes, model: EnsembleActorCritic) -> None:
        self._run, self.names = _onnx_session(data)
        shape = (model.cfg.rnn_num_layers, CHECK_ENVS, model.cfg.rnn_hidden_dim)
        self._state = [torch.zeros(shape), torch.zeros(shape)] if model.is_recurrent else []

    def step(self, obs: Tensor, policy_ids: Tensor, takes_ids: bool) -> Tensor:
        inputs = [obs, *([policy_ids] if takes_ids else []), *self._state]
        results = self._run(dict(zip(self.names, [i.numpy() for i in inputs], strict=True)))
        actions, *self._state = [torch.as_tensor(result) for result in results]
        return actions

    def reset(self, dones: Tensor) -> None:
        self._state = [s * (~dones).to(s.dtype).view(1, -1, 1) for s in self._state]


def _onnx_session(data: bytes) -> tuple[Callable[[dict[str, Any]], list[Any]], list[str]]:
    """A function from inputs by name to outputs, and the names of the inputs."""
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ImportError:
        import onnx.reference

        _log.warning("onnxruntime is not installed, so the ONNX file is checked with onnx's reference evaluator.")
        evaluator = onnx.reference.ReferenceEvaluator(onnx.load_from_string(data))
        return lambda inputs: list(evaluator.run(None, inputs)), list(evaluator.input_names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs), [i.name for i in session.get_inputs()]


_SERIALIZERS: dict[str, Callable[[EnsembleActorCritic, Any, Mapping[str, Any]], bytes]] = {
    "jit": _jit_bytes,
    "onnx": _onnx_bytes,
}
_LOADERS: dict[str, Callable[[bytes, EnsembleActorCritic], Any]] = {"jit": _JitActor, "onnx": _OnnxActor}


class _ModelActor:
    """Acts with a copy of the model itself, in a precision of choice."""

    def __init__(self, model: EnsembleActorCritic, policy: int | str, dtype: torch.dtype) -> None:
        self._model, self._policy, self._dtype = cpu_copy(model).to(dtype), policy, dtype
        # `to` casts the statistics too
        self._model.obs_normalizer.load_state_dict(model.obs_normalizer.state_dict())

    @torch.no_grad()
    def step(self, obs: Tensor, policy_ids: Tensor, takes_ids: bool) -> Tensor:
        first, *others = self._model.obs_groups  # the split among groups does not matter to the model
        groups = {first: obs.to(self._dtype), **{name: obs[:, :0].to(self._dtype) for name in others}}
        return self._model(TensorDict(groups, batch_size=[len(obs)]), policy_ids if takes_ids else self._policy)

    def reset(self, dones: Tensor) -> None:
        self._model.reset(dones)


@torch.no_grad()
def _largest_difference(model: EnsembleActorCritic, policy: int | str, actor: Any, reference: Any) -> float:
    """Largest difference of actions over :data:`CHECK_STEPS` steps with random resets.

    Observations are drawn around the normalizer's statistics, wide enough that about one entry in a hundred is clipped.
    """
    generator = torch.Generator().manual_seed(0)
    mean, std = model.obs_normalizer.mean.cpu().float(), model.obs_normalizer.var.cpu().sqrt().float()
    takes_ids = policy == POLICY_INPUT
    worst = torch.zeros((), dtype=torch.float64)
    for _ in range(CHECK_STEPS):
        obs = mean + std * 2.0 * torch.randn(CHECK_ENVS, model.num_obs, generator=generator)
        ids = torch.randint(model.num_policies, (CHECK_ENVS,), generator=generator)
        expected = reference.step(obs, ids, takes_ids).double()
        difference = (actor.step(obs, ids, takes_ids).double() - expected).abs().max()
        worst = torch.where(difference <= worst, worst, difference)  # keeps a NaN
        dones = torch.rand(CHECK_ENVS, generator=generator) < 0.05
        reference.reset(dones)
        actor.reset(dones)
    return float(worst)


def _allowed_difference(model: EnsembleActorCritic, policy: int | str) -> float:
    """What a faithful file may differ by where float32 cannot hold :data:`TOLERANCE`.

    A recurrent network with large weights amplifies rounding. Two orders of summation are then as far apart as the
    model's own float32 is from its float64, so a small multiple of that is no sign of an error.
    """
    single, double = (_ModelActor(model, policy, dtype) for dtype in (torch.float32, torch.float64))
    rounding = _largest_difference(model, policy, single, double)
    return max(TOLERANCE, ROUNDING_MARGIN * rounding)


# -- checks of arguments -----------------------------------------------------------------------------------------------


def _check_formats(formats: Sequence[str]) -> list[str]:
    wrong = [f for f in formats if f not in FORMATS]
    if wrong or not formats:
        raise UserError(f"formats={','.join(formats) or 'nothing'} must name at least one of {', '.join(FORMATS)}.")
    return list(dict.fromkeys(formats))


def _check_layout(layout: Sequence[Mapping[str, Any]] | None, num_obs: int) -> None:
    described = sum(term["size"] for term in layout or ())
    if layout is not None and described != num_obs:
        raise UserError(f"observation_layout describes {described} entries, but the model reads {num_obs}; correct it.")
