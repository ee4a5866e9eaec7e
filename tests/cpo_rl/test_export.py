# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause

from __future__ import annotations

import builtins
import hashlib
import io
import json

import pytest
import torch
from tensordict import TensorDict

from cpo_rl import export
from cpo_rl.config import ModelCfg
from cpo_rl.distributed import Ranks
from cpo_rl.errors import UserError
from cpo_rl.export import ExportMismatchError, export_policy
from cpo_rl.models import EnsembleActorCritic
from cpo_rl.models.deployed import DeployedNetwork, DeployedPolicy, OnnxPolicy, check_policy, cpu_copy

pytestmark = pytest.mark.long

NUM_OBS, NUM_ACTIONS, NUM_POLICIES = 7, 3, 4

KINDS = {
    "mlp": {},
    "mlp_plain": {"normalize_observations": False, "embedding_dim": 0, "activation": "tanh", "hidden_dims": [9]},
    "mlp_separate_critic": {"separate_critic": True},
    "lstm": {"rnn_type": "lstm", "rnn_num_layers": 2},
    "lstm_separate_critic": {"rnn_type": "lstm", "separate_critic": True, "rnn_layer_norm": False},
}


def make_model(kind: str = "mlp", groups: list[str] | None = None, **settings: object) -> EnsembleActorCritic:
    """A model whose policies differ and whose normalizer has seen data far from its start."""
    torch.manual_seed(3)
    cfg = ModelCfg(**{"hidden_dims": [16, 8], "rnn_hidden_dim": 6, **KINDS[kind], **settings})
    model = EnsembleActorCritic(NUM_OBS, NUM_ACTIONS, NUM_POLICIES, cfg, groups)
    model.obs_normalizer.gather(torch.randn(100, NUM_OBS) * 0.01 + 50.0)
    model.obs_normalizer.commit(Ranks(None))
    return model


def as_obs(x: torch.Tensor) -> TensorDict:
    return TensorDict({"policy": x}, batch_size=[len(x)])


@pytest.fixture(autouse=True)
def fewer_steps(request, monkeypatch):
    """The full check belongs to one test; the others look at something else."""
    if "thousand" not in request.node.name:
        monkeypatch.setattr(export, "CHECK_STEPS", 50)


@pytest.mark.parametrize(
    ("kind", "policy"), [*((kind, "leader") for kind in KINDS), ("lstm", 1), ("lstm", "input"), ("mlp_plain", "input")]
)
def test_files_act_like_the_model_over_a_thousand_steps(tmp_path, kind, policy):
    model = make_model(kind)
    description = export_policy(model, tmp_path, policy)
    assert {f.name for f in tmp_path.iterdir()} == {"policy.pt", "policy.onnx", "policy.json"}
    for name, facts in description["files"].items():
        assert facts["max_difference"] <= 1.0e-5
        assert facts["checked_steps"] == 1000
        assert facts["sha256"] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert json.loads((tmp_path / "policy.json").read_text()) == description


@pytest.mark.parametrize("kind", ["mlp", "lstm"])
@pytest.mark.parametrize("policy", range(NUM_POLICIES))
def test_the_written_torchscript_is_the_asked_policy_and_no_other(tmp_path, kind, policy):
    model = make_model(kind)
    export_policy(model, tmp_path, policy, ["jit"])
    module = torch.jit.load(str(tmp_path / "policy.pt"))
    x = torch.randn(5, NUM_OBS) + 50.0
    with torch.no_grad():
        for other in range(NUM_POLICIES):
            model.reset()
            module.reset()
            gap = (module(x) - model(as_obs(x), other)).abs().max()
            assert (gap < 1.0e-5) == (other == policy)


def test_lstm_reset_clears_only_finished_environments():
    model = make_model("lstm")
    module = torch.jit.script(DeployedPolicy.build(model))
    x, y = torch.randn(2, 3, NUM_OBS) + 50.0
    with torch.no_grad():
        module(x)
        module.reset(torch.tensor([False, True, False]))
        second = module(y)
        module.reset()
        fresh = module(y)
    assert torch.equal(second[1], fresh[1])
    assert not torch.allclose(second[0], fresh[0])


def test_another_number_of_environments_starts_the_lstm_anew():
    module = torch.jit.script(DeployedPolicy.build(make_model("lstm")))
    x = torch.randn(3, NUM_OBS) + 50.0
    with torch.no_grad():
        one = module(x[:1])
        assert torch.allclose(module(x)[:1], one)


def test_the_saved_lstm_starts_with_a_cleared_state(tmp_path):
    model = make_model("lstm")
    model(as_obs(torch.randn(4, NUM_OBS)))  # leaves a state with a graph behind
    state = [t.clone() for t in model.get_hidden_state()[0]]
    export_policy(model, tmp_path)
    assert float(torch.jit.load(str(tmp_path / "policy.pt")).hidden_state.abs().max()) == 0.0
    assert all(torch.equal(a, b) for a, b in zip(state, model.get_hidden_state()[0], strict=True))


@pytest.mark.parametrize("bad", [NUM_POLICIES, -1])
def test_an_unknown_id_is_refused_at_run_time(bad):
    model = make_model("lstm")
    module = torch.jit.script(DeployedPolicy.build(model, "input"))
    with pytest.raises(torch.jit.Error, match="policy_ids must lie in"):
        module(torch.zeros(2, NUM_OBS), torch.tensor([0, bad]))
    with pytest.raises(IndexError):
        OnnxPolicy.build(model, "input")(torch.zeros(2, NUM_OBS), torch.tensor([0, bad]), *[torch.zeros(2, 2, 6)] * 2)


@pytest.mark.parametrize("bad", [NUM_POLICIES, -1, "first", 1.0, True])
def test_an_unknown_policy_is_refused_by_name(bad):
    with pytest.raises(UserError, match="policy="):
        check_policy(bad, NUM_POLICIES)


def test_onnx_names_follow_the_inputs():
    assert OnnxPolicy.build(make_model("mlp")).input_names == ["obs"]
    module = OnnxPolicy.build(make_model("lstm"), "input")
    assert module.is_recurrent
    assert module.input_names == ["obs", "policy_ids", "h_in", "c_in"]
    assert module.output_names == ["actions", "h_out", "c_out"]
    assert [tuple(t.shape) for t in module.get_dummy_inputs()] == [(1, NUM_OBS), (1,), (2, 1, 6), (2, 1, 6)]


def test_a_float64_model_is_exported_in_float32(tmp_path):
    model = make_model("lstm").double()
    description = export_policy(model, tmp_path)
    assert all(f["max_difference"] <= 1.0e-5 for f in description["files"].values())
    assert model.log_std.dtype == torch.float64
    assert DeployedNetwork(model).share.dtype == torch.float32


def test_copies_keep_exact_statistics():
    model = make_model("mlp").double()
    copied = cpu_copy(model)
    assert copied.log_std.dtype == torch.float32
    assert torch.equal(copied.obs_normalizer.mean, model.obs_normalizer.mean)
    assert copied.obs_normalizer.mean.dtype == torch.float64


def test_several_observation_groups_are_read_as_one_vector(tmp_path):
    description = export_policy(make_model("mlp", groups=["policy", "touch"]), tmp_path)
    assert description["observation"]["groups"] == ["policy", "touch"]


def test_the_description_says_what_a_deployment_needs(tmp_path):
    layout = [{"name": "joints", "size": 4}, {"name": "object", "size": 3}]
    metadata = {
        "task": "Some-Task",
        "config_hash": "abc",
        "observation_layout": layout,
        "action": {"clip": [-1.0, 1.0]},
    }
    model = make_model("lstm")
    found = export_policy(model, tmp_path, 1, metadata=metadata)
    assert (found["task"], found["config_hash"]) == ("Some-Task", "abc")
    assert found["policy"] == {"id": 1, "role": "follower", "leader": 3, "num_policies": 4}
    assert found["observation"]["layout"] == layout
    assert found["observation"]["normalizer"]["mean"] == model.obs_normalizer.mean.tolist()
    assert found["action"]["clip"] == [-1.0, 1.0]
    assert found["action"]["std"] == pytest.approx([1.0] * NUM_ACTIONS)
    assert found["recurrent"]["units"] == 6
    assert found["onnx"]["inputs"] == ["obs", "h_in", "c_in"]
    assert "torch" in found["versions"]


def test_a_layout_of_another_size_is_refused_before_writing(tmp_path):
    with pytest.raises(UserError, match="observation_layout describes 5 entries, but the model reads 7"):
        export_policy(make_model(), tmp_path, metadata={"observation_layout": [{"name": "x", "size": 5}]})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("formats", [[], ["tflite"], ["jit", "torch"]])
def test_unknown_formats_are_refused(tmp_path, formats):
    with pytest.raises(UserError, match="formats="):
        export_policy(make_model(), tmp_path, formats=formats)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="out_dir"):
        export_policy(make_model(), tmp_path / "file")


def test_exporting_one_format_removes_the_other_policys_file(tmp_path):
    export_policy(make_model(), tmp_path, 0)
    found = export_policy(make_model(), tmp_path, 1, ["jit"])
    assert sorted(f.name for f in tmp_path.iterdir()) == ["policy.json", "policy.pt"]
    assert list(found["files"]) == ["policy.pt"]


@pytest.mark.parametrize("damage", [1.0e-3, float("nan")])
def test_a_file_that_acts_differently_is_never_written(tmp_path, monkeypatch, damage):
    genuine = DeployedPolicy.build

    def damaged(model: EnsembleActorCritic, policy: int | str | None = None) -> torch.nn.Module:
        module = genuine(model, policy)
        module.network.rest[-1].bias += damage
        return module

    monkeypatch.setattr(DeployedPolicy, "build", staticmethod(damaged))
    with pytest.raises(ExportMismatchError, match=r"policy\.pt differs from the model"):
        export_policy(make_model(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_rounding_that_a_network_amplifies_is_no_error_but_a_wrong_weight_is(tmp_path, monkeypatch):
    monkeypatch.setattr(export, "CHECK_STEPS", 200)
    model = make_model("lstm", hidden_dims=[64, 64], rnn_hidden_dim=64)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(5.0)
    found = export_policy(model, tmp_path)["files"]["policy.onnx"]
    assert found["max_difference"] > 1.0e-5, "the network is meant to amplify rounding"
    assert found["max_difference"] <= found["allowed_difference"]
    genuine = DeployedPolicy.build

    def damaged(model: EnsembleActorCritic, policy: int | str | None = None) -> torch.nn.Module:
        module = genuine(model, policy)
        module.network.rest[-1].weight[0, 0] *= 1.01
        return module

    monkeypatch.setattr(DeployedPolicy, "build", staticmethod(damaged))
    with pytest.raises(ExportMismatchError):
        export_policy(model, tmp_path / "wrong")


@pytest.mark.parametrize("policy", [1, "input"])
def test_modules_act_alike_before_they_are_scripted(policy):
    module, model = DeployedPolicy.build(make_model("lstm"), policy), make_model("lstm")
    ids = torch.full((3,), 1)
    arguments = (ids,) if policy == "input" else ()
    for dones in (None, torch.tensor([True, False, False]), None):
        x = torch.randn(3, NUM_OBS) + 50.0
        torch.testing.assert_close(module(x, *arguments), model(as_obs(x), ids).detach())
        module.reset(dones)
        model.reset(dones)
    if policy == "input":
        with pytest.raises(ValueError, match="policy_ids must lie in"):
            module(x, ids + NUM_POLICIES)


def test_without_onnxruntime_the_reference_evaluator_checks(tmp_path, monkeypatch, caplog):
    genuine = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "onnxruntime":
            raise ImportError(name)
        return genuine(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(export, "CHECK_STEPS", 30)
    found = export_policy(make_model("lstm"), tmp_path, "input", ["onnx"])
    assert "onnxruntime is not installed" in caplog.text
    assert found["files"]["policy.onnx"]["max_difference"] <= 1.0e-5


def test_exporting_leaves_the_global_generator_alone(tmp_path):
    model = make_model()
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    export_policy(model, tmp_path, formats=["jit"])
    EnsembleActorCritic.from_checkpoint(model.state_dict(), {"hidden_dims": [16, 8], "rnn_hidden_dim": 6})
    assert torch.equal(torch.rand(3), expected)


# -- the hooks that rsl_rl's runner calls -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["mlp", "lstm"])
def test_hooks_serve_the_stock_exporters(tmp_path, kind):
    import onnxruntime

    model = make_model(kind)
    x = torch.randn(1, NUM_OBS) + 50.0
    expected = model(as_obs(x)).detach()
    jit = model.as_jit()
    jit.to("cpu")
    scripted = torch.jit.script(jit)
    scripted.reset()
    assert torch.allclose(scripted(x), expected, atol=1.0e-6)
    onnx = model.as_onnx(verbose=False)
    onnx.to("cpu")
    onnx.eval()
    path = str(tmp_path / "policy.onnx")
    torch.onnx.export(onnx, onnx.get_dummy_inputs(), path, export_params=True, opset_version=18, verbose=False,
                      input_names=onnx.input_names, output_names=onnx.output_names)  # fmt: skip
    session = onnxruntime.InferenceSession(path)
    inputs = [x, *onnx.get_dummy_inputs()[1:]]
    actions = session.run(None, {n: t.numpy() for n, t in zip(onnx.input_names, inputs, strict=True)})[0]
    assert torch.allclose(torch.as_tensor(actions), expected, atol=1.0e-6)


# -- from a checkpoint ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_is_rebuilt_from_its_tensors(kind):
    model = make_model(kind)
    settings = {"hidden_dims": [16, 8], "rnn_hidden_dim": 6, **KINDS[kind]}
    rebuilt = EnsembleActorCritic.from_checkpoint(model.state_dict(), settings)
    x = torch.randn(5, NUM_OBS) + 50.0
    assert torch.equal(rebuilt(as_obs(x), 1), model(as_obs(x), 1))


def test_a_float64_checkpoint_keeps_its_precision():
    model = make_model().double()
    rebuilt = EnsembleActorCritic.from_checkpoint(model.state_dict(), {"hidden_dims": [16, 8]})
    assert torch.equal(rebuilt.embedding, model.embedding)


@pytest.mark.parametrize(
    ("state", "settings", "message"),
    [
        ({}, {}, "holds no ensemble model"),
        ({"log_std": 3, "obs_normalizer.mean": torch.zeros(2)}, {}, "holds no ensemble model"),
        (None, {"hidden_dims": [16, 9]}, "does not fit the agent's model settings"),
        (None, {"hidden_dims": [16, 8], "separate_critic": True}, "does not fit the agent's model settings"),
        (None, {"hidden_dim": 16}, "Unknown model field 'hidden_dim'"),
    ],
)
def test_what_does_not_fit_is_refused(state, settings, message):
    with pytest.raises(UserError, match=message):
        EnsembleActorCritic.from_checkpoint(make_model().state_dict() if state is None else state, settings)


def test_files_load_without_this_library(tmp_path):
    """A deployment has torch and the file, nothing else of ours."""
    import subprocess
    import sys

    export_policy(make_model("lstm"), tmp_path, "input", ["jit"])
    code = (
        "import sys, io, torch\n"
        "class No:\n"
        "    def find_spec(self, name, *a):\n"
        "        if name.split('.')[0] in ('cpo_rl', 'rsl_rl', 'cpo_lab'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, No())\n"
        f"m = torch.jit.load({str(tmp_path / 'policy.pt')!r})\n"
        f"print(tuple(m(torch.zeros(2, {NUM_OBS}), torch.tensor([0, 3])).shape))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == f"(2, {NUM_ACTIONS})"


def test_torchscript_of_both_variants_survives_a_round_trip():
    for policy in (None, "input"):
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.script(DeployedPolicy.build(make_model("lstm"), policy)), buffer)
        buffer.seek(0)
        assert hasattr(torch.jit.load(buffer), "reset")
