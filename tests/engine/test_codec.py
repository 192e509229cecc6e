"""Whatever spaces an author defines, a policy reads numbers and the environment gets its own."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import authors
import gymnasium as gym
import numpy as np
import pytest
import torch
from conftest import Cli, run_python
from gymnasium import spaces
from spaces import DRAWS

from rltune.engine.codec import (
    BoxCodec,
    ObservationCodec,
    UnsupportedSpace,
    action_codec,
    divisor,
    legal,
    masked,
    sample,
)
from rltune.engine.decoder import Decoder

#: What a policy may say of a continuous action: ordinary numbers, both ends and far beyond.
SAID = np.float32([-1, 1, 0, 0.3, -0.7, 1 - 1e-7, 17.5, -17.5, 3e38, -3e38, 1e-45, -0.0])
FLOATS = (np.float16, np.float32, np.float64)
WHOLE = (np.int8, np.uint8, np.int16, np.int32, np.uint32, np.int64, np.uint64)


def drawn_box(rng: np.random.Generator) -> spaces.Box:
    """A Box of any shape, dtype and bounds, open sides among them."""
    shape = tuple(int(n) for n in rng.integers(1, 4, rng.integers(0, 4)))
    if rng.random() < 0.6:
        dtype: Any = FLOATS[rng.integers(len(FLOATS))]
        scale = 10.0 ** rng.uniform(-6, 4 if dtype is np.float16 else 30)
        ends = np.sort(rng.normal(0, scale, (2, *shape)), axis=0).clip(-6e4, 6e4)
        ends = ends if dtype is np.float16 else ends * scale
        low, high = ends.astype(dtype)
        low = np.where(rng.random(shape) < 0.2, -np.inf, low).astype(dtype)
        high = np.where(rng.random(shape) < 0.2, np.inf, high).astype(dtype)
        return spaces.Box(np.minimum(low, high), np.maximum(low, high), dtype=dtype)
    dtype = WHOLE[rng.integers(len(WHOLE))]
    info = np.iinfo(dtype)
    if rng.random() < 0.2:
        return spaces.Box(info.min, info.max, shape, dtype)
    if info.kind == "i" and rng.random() < 0.3:
        return spaces.Box(-np.inf if rng.random() < 0.5 else 0, np.inf, shape, dtype)
    least = max(int(info.min), -1000)
    low = rng.integers(least, 100, shape).astype(dtype)
    high = (low + rng.integers(0, 27, shape)).astype(dtype)
    return spaces.Box(np.minimum(low, high), np.maximum(low, high), dtype=dtype)


def drawn_actions(rng: np.random.Generator) -> gym.Space[Any]:
    """An action space of any kind that a policy can act in."""
    kind = rng.integers(5)
    shape = tuple(int(n) for n in rng.integers(1, 4, rng.integers(1, 3)))
    if kind == 0:
        return spaces.Discrete(int(rng.integers(1, 9)), start=int(rng.integers(-9, 9)))
    if kind == 1:
        return spaces.MultiDiscrete(rng.integers(1, 6, shape), start=rng.integers(-5, 5, shape))
    if kind == 2:
        return spaces.MultiBinary(shape)
    return drawn_box(rng)


def drawn_observations(rng: np.random.Generator, depth: int = 0) -> gym.Space[Any]:
    """An observation space of any kind that a policy can read."""
    kind = rng.integers(7 if depth < 2 else 5)
    if kind == 5:
        names = "abc"[: rng.integers(1, 4)]
        return spaces.Dict({name: drawn_observations(rng, depth + 1) for name in names})
    if kind == 6:
        return spaces.Tuple([drawn_observations(rng, depth + 1) for _ in range(rng.integers(1, 3))])
    return drawn_actions(rng)


def said(rng: np.random.Generator, space: gym.Space[Any]) -> np.ndarray:
    """Actions of a policy, shape (N, ...): for continuous ones each of SAID in each place."""
    if isinstance(space, spaces.Box):
        (size,) = space.shape
        return np.stack([np.roll(np.resize(SAID, size), -k) for k in range(len(SAID))])
    space.seed(int(rng.integers(2**31)))
    return np.stack([space.sample() for _ in range(4)])


@pytest.mark.fault(62, 63, 65, 66)
def test_pairs_of_spaces_are_coded_exactly() -> None:
    rng = np.random.default_rng(62)
    for number in range(DRAWS):
        shown, acted = drawn_observations(rng), drawn_actions(rng)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # gymnasium's, of samples of wide bounds
            codec = ObservationCodec(shown)
            shown.seed(number)
            seen = codec.encode(shown.sample())
        assert seen.shape == codec.ours.shape, shown
        assert seen.dtype in (np.float32, np.uint8), shown
        actions = action_codec(acted)
        answers = said(rng, actions.ours)
        for one in actions.split(answers):
            assert acted.contains(one), (acted, one)
            sampled = (np.ndarray, np.generic) if acted.shape == () else type(acted.sample())
            assert isinstance(one, sampled), (acted, type(one))
        assert acted.contains(actions.decode(answers[0])), acted
        if number % 20 == 0:
            exported = Decoder(actions)(torch.from_numpy(answers)).numpy()
            assert acted.shape == () or all(acted.contains(one) for one in exported), acted
            half = 1e-3 if acted.dtype == np.float16 else 0.0  # torch rounds twice on its way
            np.testing.assert_allclose(exported, actions.decode(answers), half, err_msg=str(acted))


def test_every_value_of_a_bounded_dimension_is_reached() -> None:
    codec = action_codec(spaces.Box(np.float32([-3, 0]), np.float32([0.2, 7]), dtype=np.float32))
    np.testing.assert_array_equal(codec.decode(np.float32([-1, -1])), codec.theirs.low)
    np.testing.assert_array_equal(codec.decode(np.float32([1, 1])), codec.theirs.high)
    np.testing.assert_allclose(codec.decode(np.float32([0, 0])), [-1.4, 3.5], rtol=1e-6)
    whole = action_codec(spaces.Box(0, 10, (1,), np.int64))
    taken = whole.decode(np.linspace(-1, 1, 1_101, dtype=np.float32)[:, None])[:, 0]
    assert set(np.unique(taken)) == set(range(11))
    counts = np.bincount(taken)
    assert counts.max() - counts.min() <= 2, "bins of equal width"


def test_open_dimensions_pass_through_unscaled() -> None:
    space = spaces.Box(np.float32([-np.inf, 0, -1]), np.float32([np.inf, np.inf, 1]))
    codec = action_codec(space)
    np.testing.assert_array_equal(codec.decode(np.float32([40, 40, 40])), [40, 40, 1])
    np.testing.assert_array_equal(codec.decode(np.float32([-40, -40, -40])), [-40, 0, -1])
    assert isinstance(codec, BoxCodec)
    assert codec.ours.bounded_below.tolist() == [False, False, True]


@pytest.mark.fault(64, 68)
@pytest.mark.parametrize(
    ("space", "form", "shape", "scale"),
    [
        (spaces.Box(0, 255, (84, 84, 3), np.uint8), "picture", (84, 84, 3), 255.0),
        (spaces.Box(0, 255, (4, 84, 84), np.uint8), "channels_first", (84, 84, 4), 255.0),
        (spaces.Box(0, 255, (3, 60, 80), np.uint8), "channels_first", (60, 80, 3), 255.0),
        (spaces.Box(0, 255, (64, 64), np.uint8), "picture", (64, 64, 1), 255.0),
        (spaces.Box(0, 255, (5, 7), np.uint8), "vector", (35,), 1.0),
        (spaces.Box(0, 255, (12,), np.uint8), "vector", (12,), 1.0),
        (spaces.Box(0, 1, (8, 8, 12), np.uint8), "picture", (8, 8, 12), 1.0),
        (spaces.Box(0, 9, (9, 9), np.uint8), "vector", (81,), 1.0),
        (spaces.Box(0, 1, (3, 3, 8)), "picture", (3, 3, 8), 1.0),
        (spaces.Box(0, 255, (2, 2, 3), np.uint8), "vector", (12,), 1.0),
        (spaces.Box(0, 255, (1, 84, 3), np.uint8), "channels_first", (84, 3, 1), 255.0),
        (spaces.Box(0, 1, (64, 64, 3)), "picture", (64, 64, 3), 1.0),
        (spaces.Box(-1, 1, ()), "vector", (1,), 1.0),
        (spaces.Box(-1, 1, (2, 2, 2, 2)), "vector", (16,), 1.0),
    ],
    ids=str,
)
def test_images_are_told_from_vectors(
    space: spaces.Box, form: str, shape: tuple[int, ...], scale: float
) -> None:
    codec = ObservationCodec(space)
    assert (codec.form, codec.ours.shape, divisor(codec.ours)) == (form, shape, scale)
    space.seed(0)
    one = space.sample()
    seen = codec.encode(one)
    assert seen.shape == shape
    turned = np.moveaxis(one, 0, -1) if form == "channels_first" else one
    np.testing.assert_array_equal(seen.ravel(), turned.ravel())


@pytest.mark.fault(64)
def test_a_requested_reading_is_applied_or_refused() -> None:
    board = spaces.Box(0, 255, (9, 9, 3), np.uint8)
    assert ObservationCodec(board, "vector").ours.shape == (243,)
    assert ObservationCodec(board, "channels_first").ours.shape == (9, 3, 9)
    with pytest.raises(UnsupportedSpace, match="too small for convolutions"):
        ObservationCodec(spaces.Box(0, 255, (2, 9, 3), np.uint8), "picture")
    for space in (spaces.Box(0, 1, (4,)), spaces.Discrete(3)):
        with pytest.raises(UnsupportedSpace, match="has not the axes of a picture"):
            ObservationCodec(space, "picture")
    with pytest.raises(UnsupportedSpace, match="one of auto, vector, picture"):
        ObservationCodec(board, "image")


@pytest.mark.fault(65)
@pytest.mark.parametrize(
    "space",
    [
        spaces.Text(5),
        spaces.Sequence(spaces.Discrete(3)),
        spaces.Graph(spaces.Box(0, 1, (2,)), None),
        spaces.Dict(a=spaces.Box(0, 1, (2,)), b=spaces.Text(3)),
        spaces.Tuple([]),
        spaces.Box(0, 1, (0,)),
    ],
    ids=lambda space: type(space).__name__,
)
def test_unreadable_observations_are_refused(space: gym.Space[Any]) -> None:
    with pytest.raises(UnsupportedSpace) as refused:
        ObservationCodec(space)
    assert "FlattenObservation" not in str(refused.value), "which does not help here"


@pytest.mark.fault(66)
def test_dict_actions_are_refused() -> None:
    with pytest.raises(UnsupportedSpace, match="Dict actions are not handled"):
        action_codec(spaces.Dict(a=spaces.Discrete(2)))


MASKED = spaces.Dict(observations=spaces.Box(-1, 1, (2,)), action_mask=spaces.MultiBinary(3))


@pytest.mark.fault(67)
def test_a_mask_follows_the_observation() -> None:
    codec = ObservationCodec(MASKED, choices=3)
    assert codec.ours.shape == (5,)
    assert masked(codec.ours) == 3
    seen = codec.encode(
        {"observations": np.float32([0.5, -0.5]), "action_mask": np.int8([1, 0, 1])}
    )
    np.testing.assert_array_equal(seen, np.float32([0.5, -0.5, 1, 0, 1]))
    np.testing.assert_array_equal(legal(codec.ours, seen), [True, False, True])
    nothing = np.float32([0.5, -0.5, 0, 0, 0])
    assert legal(codec.ours, nothing).all(), "at the end of a game nothing is legal"
    drawn = {int(sample(codec.ours, spaces.Discrete(3), seen)) for _ in range(50)}
    assert drawn == {0, 2}


@pytest.mark.fault(67)
@pytest.mark.parametrize(
    ("actions", "why"),
    [
        (spaces.Discrete(4), "a number for each of 4 options"),
        (spaces.MultiDiscrete([3, 2]), "a number for each of 5 options"),
        (spaces.Box(-1, 1, (3,)), "and these are continuous"),
    ],
    ids=str,
)
def test_a_mask_that_does_not_fit_the_actions_is_refused(actions: gym.Space[Any], why: str) -> None:
    with pytest.raises(UnsupportedSpace, match=why):
        ObservationCodec(MASKED, choices=action_codec(actions).choices)


def test_the_engine_needs_no_ray() -> None:
    code = (
        "import sys\nsys.modules['ray'] = None\n"
        "import rltune.engine.codec, rltune.engine.decoder, rltune.envs\n"
        "print(rltune.envs.make('cartpole').action_space)"
    )
    printed = run_python(code)
    assert printed == "Discrete(2)"


@pytest.mark.fault(64)
def test_show_says_how_observations_are_read(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(Path(authors.__file__).read_text())
    flags = ("ppo", "mine:Bits", "--env-arg", "dtype=uint8", "--env-arg", "high=255")
    assert "of shape (8,) are a vector, numbers as they are" in cli("show", *flags).stdout
    pong = cli("show", "dqn", "pong").stdout
    assert "(84, 84, 1) are a picture, channels last, divided by 255" in pong
    vector = cli("show", "dqn", "pong", "--set", "observation_form=vector").stdout
    assert "are read as a vector, as asked for" in vector
    refused = cli(*flags, "--set", "observation_form=picture", "--dry-run")
    assert refused.returncode == 2
    assert "has not the axes of a picture" in refused.stderr
