"""What ``log_all`` adds to a report: every number that has no other place in it."""

from __future__ import annotations

import math

from rltune.sweeps.further_numbers import further_numbers


def test_numbers_are_named_by_their_path_and_none_is_there_twice() -> None:
    result = {
        **{"episode_reward_mean": 1.0, "episode_info/is_success": 0.5, "env_steps": 100},
        **{"height": 2.0, "metrics": {"height": 2.0}, "settings": {"lr": 1e-3}},
        **{"config": {"gamma": 0.9}, "pid": 12, "date": "today", "learner": {"entropy": 1.0}},
        "time_this_iter_s": 0.5,
        "timers": {"sample": {"seconds": 0.25, "worst": math.inf}},
        "rllib_result": {"env_runners": {"num_episodes": 3, "episode_return_max": math.nan}},
    }
    assert further_numbers(result) == {
        "env_runners/num_episodes": 3.0,
        "time_this_iter_s": 0.5,
        "timers/sample/seconds": 0.25,
    }
