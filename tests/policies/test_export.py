"""The exported policy acts as the policy does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from gymnasium import spaces
from images import SEEDS
from trained import trained

from rltune import __version__
from rltune.algorithms.policy import Policy
from rltune.errors import BadInput, NothingUsable
from rltune.policies import export
from rltune.policies.evaluation import best_policy
from rltune.request.resolve import make_spec
from rltune.runs.folder import RunFolder
from rltune.spec import FIRST_EVALUATION_SEED, FIRST_SELECTION_SEED

pytestmark = pytest.mark.usefixtures("ray_session")

#: 500 steps and an update: convolutions take long.
CNN = {"training_intensity": 0.1}
RAINBOW = {"dueling": True, "noisy": True, "num_atoms": 11, "v_min": 0.0, "v_max": 50.0}
#: What differs between the networks and actions there are.
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "dqn": ("dqn", "cartpole", {}),
    "rainbow": ("dqn", "cartpole", RAINBOW),
    "images": ("dqn", "images:Clock-v0", CNN),
    "ppo": ("ppo", "cartpole", {"frame_stack": 2, "observation_filter": "MeanStdFilter"}),
    "ppo-continuous": ("ppo", "pendulum", {}),
    "sac": ("sac", "pendulum", {"observation_filter": "MeanStdFilter"}),
}


@dataclass(frozen=True)
class Exported:
    """A run, its policy, and the file that was made of it."""

    run: RunFolder
    policy: Policy
    path: Path
    agreement: export.Agreement


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    algo, env, settings = CASES[request.param]
    run = trained(tmp_path_factory.mktemp(request.param), algo, env, **settings)
    path = tmp_path_factory.mktemp("files") / "policy.onnx"
    return Exported(run, best_policy(run), path, export.to_onnx(run, path))


def test_it_acts_the_same_on_a_thousand_observations(case: Exported) -> None:
    assert (case.agreement.observations, case.agreement.equal) == (1_000, 1_000)
    assert case.agreement.difference <= export.TOLERANCE
    assert [file.name for file in case.path.parent.iterdir()] == ["policy.onnx"]


def test_it_accepts_batches_of_any_size(case: Exported) -> None:
    obs = export.observations(case.policy, case.run.spec, 100)
    session = onnxruntime.InferenceSession(case.path, providers=["CPUExecutionProvider"])
    for batch in (obs[:1], obs[1:8], obs):
        (actions,) = session.run(["action"], {"obs": batch})
        expected = case.policy.codec.decode(case.policy.act(batch))
        assert actions.dtype == expected.dtype
        np.testing.assert_allclose(actions, expected, atol=1e-5, rtol=0)
    if isinstance(case.policy.codec.theirs, spaces.Box):
        assert np.ptp(actions) > 0
        assert all(case.policy.codec.theirs.contains(action) for action in actions)


def test_the_file_describes_its_inputs_and_outputs(case: Exported) -> None:
    model = onnx.load(case.path)
    onnx.checker.check_model(model)
    spec, policy = case.run.spec, case.policy
    assert {p.key: p.value for p in model.metadata_props} == {
        "env_id": spec.env_id,
        "algo": spec.algo,
        "frame_stack": str(policy.frame_stack),
        "rltune": __version__,
    }
    (given,), (taken,) = model.graph.input, model.graph.output
    obs = export.observations(policy, spec, 2)
    kind = onnx.helper.tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type)
    assert kind == (np.uint8 if "Clock" in spec.env_id else np.float32)
    assert (given.name, _shape(given)) == ("obs", ["N", *obs.shape[1:]])
    assert (taken.name, _shape(taken)) == ("action", ["N", *policy.codec.theirs.shape])


def _shape(value: Any) -> list[Any]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def test_another_policy_is_detected(case: Exported, tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    obs = export.observations(case.policy, case.run.spec, 300)
    found = []
    for seed in range(8):  # one that always takes the same action may have a twin
        rng = np.random.default_rng(seed)
        model = onnx.load(case.path)
        for tensor in model.graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            if values.ndim and values.dtype == np.float32:
                noise = rng.normal(0, 0.1 + 10 * values.std(), values.shape)
                other = values + noise.astype(np.float32)
                tensor.CopyFrom(onnx.numpy_helper.from_array(other, tensor.name))
        onnx.save(model, path)
        found.append(export.compare(case.policy, path, obs))
    worst = max(found, key=lambda agreement: agreement.difference)
    assert worst.equal < worst.observations
    assert worst.difference > export.TOLERANCE


def test_a_tie_may_go_either_way(tmp_path: Path) -> None:
    """Two actions rated alike: the first of them is as good as the last."""
    policy = best_policy(trained(tmp_path, "dqn", "cartpole"))
    last = policy.net.af.net.mlp[-1]
    last.weight.data[1], last.bias.data[1] = last.weight.data[0], last.bias.data[0]
    spec = make_spec("dqn", "cartpole", storage=tmp_path, name="tie")
    obs = export.observations(policy, spec, 100)
    export._write(policy, spec, obs[:2], tmp_path / "policy.onnx")
    model = onnx.load(tmp_path / "policy.onnx")
    (argmax,) = [node for node in model.graph.node if node.op_type == "ArgMax"]
    (which,) = [each for each in argmax.attribute if each.name == "select_last_index"]
    which.i = 1
    onnx.save(model, tmp_path / "last.onnx")
    assert not policy.act(obs).any()
    agreement = export.compare(policy, tmp_path / "last.onnx", obs)
    assert (agreement.equal, agreement.difference) == (100, 0.0)


def test_a_file_that_acts_differently_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tmp_path, "ppo", "cartpole")
    monkeypatch.setattr(export, "TOLERANCE", -1.0)  # nothing is equal by that
    target = tmp_path / "files" / "policy.onnx"
    target.parent.mkdir()
    target.write_text("of yesterday")
    with pytest.raises(NothingUsable, match="on 1,000 of 1,000 observations"):
        export.to_onnx(run, target)
    assert [file.read_text() for file in target.parent.iterdir()] == ["of yesterday"]


def test_observations_vary_and_avoid_evaluation_seeds(tmp_path: Path) -> None:
    run = trained(tmp_path, "dqn", "images:Clock-v0", **CNN)
    SEEDS.clear()
    obs = export.observations(best_policy(run), run.spec, 900)
    assert len(np.unique(obs.reshape(900, -1), axis=0)) == 900
    assert len(set(SEEDS)) == len(SEEDS) > export.ENVS
    assert all(FIRST_SELECTION_SEED <= (seed or 0) < FIRST_EVALUATION_SEED for seed in SEEDS)


def test_a_run_without_a_policy_is_refused(tmp_path: Path) -> None:
    folder = RunFolder.create(make_spec("dqn", "cartpole", storage=tmp_path, name="empty"))
    with pytest.raises(BadInput, match="has no policy yet"):
        export.to_onnx(folder, tmp_path / "policy.onnx")
    assert not (tmp_path / "policy.onnx").exists()
