"""The replay buffer of a batch of members, beside the buffer of a single one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from quick import GPUS

from rltune.engine.population.member_replay import load, save
from rltune.engine.population.replay import Replay
from rltune.engine.population.replay_layout import ReplayLayout
from rltune.engine.population.streams import Streams
from rltune.engine.replay_buffer import Layout, Priorities, ReplayBuffer
from rltune.engine.rollout import Rollout

DEVICE = torch.device("cuda" if GPUS else "cpu")
MEMBERS, COPIES, STEPS, ROUNDS = 2, 3, 4, 20
N_STEPS, GAMMAS = (3, 2), (0.9, 0.8)


#: How environments restart: within the step that ends an episode (each step in "one step"), in one
#: of its own, and, where one has raised, after that step and another.
MODES = ("same step", "one step", "next step", "raises")
#: Steps that raised take rows, and a single trial has none: a full buffer of it holds more.
CASES = [
    (frames, capacity, mode)
    for mode in MODES
    for frames, capacity in ((1, 1000), (1, 90), (3, 90), (3, 1000))
    if mode != "raises" or capacity == 1000
]


def _steps(frames: int, mode: str = "same step") -> dict[str, np.ndarray]:
    """Random episodes, each column of shape (time, M, E, ...)."""
    rng = np.random.default_rng(3)
    shape = (ROUNDS * STEPS, MEMBERS, COPIES)
    done = rng.random(shape) < (1.0 if mode == "one step" else 0.25)
    valid = np.ones(shape, dtype=bool)
    raised = (rng.random(shape) < 0.05) & (mode == "raises")
    if mode == "next step":
        done[-1] = False
    obs = np.zeros((shape[0] + 1, *shape[1:], 2, frames), dtype=np.float32)
    last = np.zeros_like(obs[1:])
    fresh = np.ones(shape[1:], dtype=bool)
    resets = np.zeros_like(fresh)
    for t in range(shape[0] + 1):
        newest = rng.normal(size=(*shape[1:], 2, 1))
        following = np.concatenate([obs[t - 1][..., 1:], newest], -1)
        obs[t] = np.where(resets[..., None, None] & (mode == "raises"), obs[t - 1], following)
        obs[t][fresh] = np.broadcast_to(newest, obs[t].shape)[fresh]
        if t == shape[0]:
            break
        last[t] = np.concatenate([obs[t][..., 1:], rng.normal(size=newest.shape)], -1)
        raised[t] &= ~resets
        valid[t] = ~resets & ~raised[t]
        done[t] &= valid[t]
        fresh = resets if mode == "next step" else resets | done[t]
        resets = done[t] if mode == "next step" else raised[t]
    return {
        "obs": obs,
        "last": last,
        "rewards": rng.normal(size=shape).astype(np.float32) * 2,
        "terminated": done & (rng.random(shape) < 0.5),
        "done": done,
        "valid": valid,
        "raised": raised,
        "actions": np.arange(np.prod(shape)).reshape(shape),
    }


def _filled(
    frames: int, capacity: int, prioritized: bool = False, mode: str = "same step"
) -> tuple[Replay, Any]:
    layout = ReplayLayout(
        capacity, COPIES, (2, frames), frame_stack=frames, prioritized=prioritized
    )
    within = mode != "next step"
    replay = Replay(MEMBERS, layout, STEPS, DEVICE, within_step=within)
    steps = _steps(frames, mode)
    for start in range(0, ROUNDS * STEPS, STEPS):
        for t in range(start, start + STEPS):
            obs, actions, last = (
                torch.tensor(steps[name][t]).to(DEVICE) for name in ("obs", "actions", "last")
            )
            replay.put(obs, actions)
            if within and steps["done"][t].any():
                replay.put_last(last)
        columns = ("rewards", "terminated", "done", "valid")
        outcomes = np.stack([steps[name][start : start + STEPS] for name in columns])
        now = torch.tensor(steps["obs"][start + STEPS])
        replay.write(torch.tensor(outcomes, dtype=torch.float32).to(DEVICE), now.to(DEVICE))
    return replay, steps


def _single(
    steps: dict[str, np.ndarray], member: int, frames: int, capacity: int, mode: str = "same step"
) -> ReplayBuffer:
    space = gym.spaces.Box(-np.inf, np.inf, (2, frames), np.float32)
    layout = Layout(space, gym.spaces.Discrete(9), capacity, COPIES, frames)
    buffer = ReplayBuffer(layout)
    own = {name: column[:, member] for name, column in steps.items()}
    following = own["obs"][1:]
    if mode != "next step":
        following = np.where(own["done"][..., None, None], own["last"], following)
    # The step that raised is no row of a single trial's; the one before is its episode's last.
    cut = np.concatenate([own["raised"][1:], np.zeros_like(own["raised"][:1])]) & own["valid"]
    done = own["done"] | cut
    for start in range(0, ROUNDS * STEPS, STEPS):
        part = slice(start, start + STEPS)
        rollout = Rollout(
            obs=own["obs"][part],
            next_obs=following[part],
            actions=own["actions"][part],
            rewards=own["rewards"][part],
            terminated=own["terminated"][part],
            truncated=(done & ~own["terminated"])[part],
            valid=own["valid"][part],
            continues=True,
        )
        buffer.add([rollout])
    return buffer


@pytest.mark.parametrize("clip", [False, True, 0.5])
@pytest.mark.parametrize(("frames", "capacity", "mode"), CASES)
def test_transitions_sums_and_stacks_are_a_single_buffers(
    frames: int, capacity: int, mode: str, clip: bool | float
) -> None:
    replay, steps = _filled(frames, capacity, mode=mode)
    size = replay.layout.rows * COPIES
    places = torch.arange(size, device=DEVICE).expand(1, MEMBERS, -1)
    n_step, gamma = (
        torch.tensor(each, device=DEVICE).unsqueeze(1).float() for each in (N_STEPS, GAMMAS)
    )
    sums, discounts, following = replay.look_ahead(places, 4, n_step, gamma, clip)
    columns = [
        each[0].cpu().numpy()
        for each in (
            replay.valid(places),
            replay.read_actions(places),
            sums,
            discounts,
            replay.read_obs(places),
            replay.read_obs(following),
        )
    ]
    for member in range(MEMBERS):
        usable, actions, *ours = (column[member] for column in columns)
        order = np.flatnonzero(usable)[np.argsort(actions[usable])]
        buffer = _single(steps, member, frames, capacity, mode)
        slots = np.flatnonzero(buffer._columns["live"])
        slots = slots[np.argsort(buffer._columns["actions"][slots])]
        assert actions[order].tolist() == buffer._columns["actions"][slots].tolist()
        assert len(slots) == replay.count(member)
        rewards, last, counts = buffer._look_ahead(slots, N_STEPS[member], GAMMAS[member], clip)
        continued = GAMMAS[member] ** counts * ~buffer._columns["terminated"][last]
        following_obs = buffer._stack(buffer._after(last))
        wanted = (rewards, continued, buffer._stack(slots), following_obs)
        for mine, theirs in zip(ours, wanted, strict=True):
            np.testing.assert_allclose(mine[order], theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_draws_reach_every_transition_and_nothing_else(mode: str) -> None:
    replay, _ = _filled(1, 90, mode=mode)
    streams = Streams([1, 2], DEVICE)
    for change in (lambda: None, lambda: replay.leave(0), lambda: replay.place(0, replay.take(1))):
        change()
        places, weights = replay.draw(streams, 20, 1000)
        assert bool((weights == 1).all())
        assert bool(replay.valid(places).all())
        for member in range(MEMBERS):
            count = replay.count(member)
            assert count == int(replay.outcomes[member, ..., 3].sum())
            _, times = places[:, member].unique(return_counts=True)
            assert len(times) == count
            mean = 20_000 / count
            assert float((times - mean).abs().max()) < 5 * mean**0.5
    replay.empty(1)
    _, weights = replay.draw(streams, 1, 50)
    assert bool((weights[0, 0] == 1).all())
    assert bool((weights[0, 1] == 0).all())


def test_priorities_decide_how_often_transitions_are_drawn() -> None:
    replay, _ = _filled(1, 90, prioritized=True)
    streams = Streams([1, 2], DEVICE)
    alpha, beta = (torch.tensor([[0.5], [each]], device=DEVICE) for each in (1.0, 0.4))
    places, weights = replay.draw_by_priority(streams, 2000, beta)
    for member in range(MEMBERS):
        assert len(places[0, member].unique()) == replay.count(member)
    assert bool((weights == 1).all())  # all are new
    errors = 0.1 + (places[0] % 7).float()
    due = torch.tensor([[False], [True]], device=DEVICE)
    replay.set_priorities(places[0], errors, alpha, due)
    places, weights = replay.draw_by_priority(streams, 20_000, beta)
    assert bool((weights[0, 0] == 1).all())
    drawn, count = places[0, 1].unique(return_counts=True)
    wanted = 0.1 + (drawn % 7).double()
    shares = wanted / wanted.sum()
    assert float((count / count.sum() - shares).abs().max()) < 2e-4
    found = weights[0, 1][places[0, 1].argsort()][count.cumsum(0) - 1].double()
    torch.testing.assert_close(found, (shares / shares.min()) ** -0.4, rtol=1e-4, atol=0)


def _contents(buffer: ReplayBuffer, n_step: int = 3) -> dict[int, list[Any]]:
    """Everything that a draw of a single buffer can return, by the action taken."""
    slots = np.flatnonzero(buffer._columns["live"])
    rewards, last, counts = buffer._look_ahead(slots, n_step, 0.9, False)
    ended = buffer._columns["terminated"][last]
    after = np.where(ended[:, None, None], 0.0, buffer._stack(buffer._after(last)))
    stacks, actions = buffer._stack(slots), buffer._columns["actions"][slots]
    tree = buffer._tree
    priorities = np.ones(len(slots)) if tree is None else tree.get(slots)
    columns = zip(stacks, rewards, counts, ended, after, priorities, strict=True)
    return {
        int(action): [np.asarray(value, float).round(4).tolist() for value in each]
        for action, each in zip(actions, columns, strict=True)
    }


def _reloaded(replay: Replay, member: int, path: Path) -> dict[int, list[Any]]:
    """The same of one member's."""
    layout = replay.layout
    space = gym.spaces.Box(-np.inf, np.inf, layout.obs_shape, np.float32)
    priorities = Priorities() if layout.prioritized else None
    single = Layout(space, gym.spaces.Discrete(9), layout.capacity, COPIES, layout.frame_stack)
    buffer = ReplayBuffer(single, priorities)
    save(replay, member, path)
    buffer.load(path)
    return _contents(buffer)


@pytest.mark.parametrize(("frames", "capacity", "mode"), CASES)
def test_a_file_holds_what_a_single_trials_does_and_back(
    frames: int, capacity: int, mode: str, tmp_path: Path
) -> None:
    replay, steps = _filled(frames, capacity, mode=mode)
    path = tmp_path / "replay.npz"
    single = _single(steps, 1, frames, capacity, mode)
    wanted = _contents(single)
    assert len(wanted) == replay.count(1)
    assert _reloaded(replay, 1, path) == wanted
    other = replay.take(1)
    single.save(path)
    load(replay, 0, path)
    assert replay.count(1) == len(wanted)
    assert all(torch.equal(each, replay.take(1)[name]) for name, each in other.items())
    # Where a buffer is full its oldest steps make room for the next.
    found, lacking = _reloaded(replay, 0, path), COPIES * frames if capacity < 200 else 0
    assert len(wanted) - lacking <= len(found) == replay.count(0)
    assert {action: wanted[action] for action in found} == found
    with pytest.raises(ValueError, match="is of 3 environments"):
        load(_filled(frames, capacity + 3)[0], 0, path)


@pytest.mark.parametrize("frames", [1, 3])
def test_a_clone_takes_its_donors_transitions(frames: int, tmp_path: Path) -> None:
    replay, _ = _filled(frames, 1000, prioritized=True)
    streams, path = Streams([1, 2], DEVICE), tmp_path / "replay.npz"
    places, _ = replay.draw_by_priority(streams, 300, torch.ones(2, 1, device=DEVICE))
    every = torch.ones(2, 1, device=DEVICE)
    replay.set_priorities(places[0], places[0].float(), every, every > 0)
    wanted = _reloaded(replay, 0, path)
    replay.place(1, replay.take(0))
    assert _reloaded(replay, 1, path) == wanted
    assert _reloaded(replay, 0, path) == wanted
    assert float(replay.trees.total[1]) == pytest.approx(float(replay.trees.total[0]))
    # The next steps are nobody's continuation, and overwrite nothing that is needed.
    for t in range(2 * STEPS):
        replay.put(
            torch.full((MEMBERS, COPIES, 2, frames), float(t), device=DEVICE),
            places[0, :, :COPIES],
        )
        if t % STEPS == STEPS - 1:
            replay.write(
                torch.zeros(4, STEPS, MEMBERS, COPIES, device=DEVICE),
                torch.zeros(MEMBERS, COPIES, 2, frames, device=DEVICE),
            )
    assert _reloaded(replay, 1, path) == wanted


def test_memory_is_known_before_it_is_allocated() -> None:
    layout = ReplayLayout(90, COPIES, (8, 8, 4), torch.uint8, frame_stack=4)
    replay = Replay(MEMBERS, layout, STEPS)
    tensors = (replay.obs, replay.actions, replay.outcomes, replay.ages, replay.order)
    assert layout.nbytes(MEMBERS) == sum(t.nbytes for t in tensors if t is not None)
    with pytest.raises(ValueError, match="raise it"):
        Replay(1, ReplayLayout(12, COPIES, (2,)), STEPS)
    with pytest.raises(MemoryError, match=r"GB in each of 9 trials, and .* are free"):
        Replay(9, ReplayLayout(10**12, COPIES, (2,)), STEPS)
