"""What is typed wrong is answered in one line with the fix; what is meant clearly is understood."""

from __future__ import annotations

import pytest
from conftest import Said

from rltune.cli.app import COMMANDS, main


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("dqn cartpole --sheduler pbt", "rltune has no option --sheduler. Did you mean --schedul"),
        ("dqn cartpole --steps ten", "--steps must be a whole number, like 1000, 1e5 or 100k, got"),
        ("dqn cartpole --steps 1.5", "--steps must be a whole number, got '1.5'"),
        ("dqn cartpole --steps 0.0005k", "must be a whole number, got '0.0005k', which is 0.5"),
        ("dqn cartpole --steps 1e999", "--steps must be below 1e18"),
        ("dqn cartpole --steps -5", "--steps must be at least 1, got -5"),
        ("dqn cartpole --trials 2.5", "--trials must be a whole number"),
        ("dqn cartpole --target high", "--target must be a number, like 0.5 or 1e-3, got 'high'"),
        ("dqn cartpole --quantile 0,5", "--quantile must be a number"),
        ("dqn cartpole --time-budget soon", "--time-budget must be seconds, or like 90s, 10m or"),
        ("dqn cartpole --gpus-per-trial one", "--gpus-per-trial must be a number"),
        ("dqn cartpole --memory-per-trial lots", "--memory-per-trial 'lots' is no size"),
        ("dqn cartpole --timesteps 9", "no option --timesteps. Did you mean --steps?"),
        ("dqn cartpole --num-samples 9", "no option --num-samples. Did you mean --trials?"),
        ("dqn cartpole --seeds 9", "Did you mean --seeds-per-trial or --seed?"),
        ("dqn cartpole --gpus 1", "Did you mean --gpus-per-trial?"),
        ("dqn cartpole --learning-rate 1", "--learning-rate is a setting: --set lr=VALUE"),
        ("dqn cartpole --lr 1", "--lr is a setting: --set lr=VALUE"),
        ("train dqn cartpole --trials 3", "rltune train has no option --trials. Did you mean --se"),
        ("train dqn cartpole --seeds 0", "--seeds must be at least 1, got 0"),
        ("train dqn cartpole --seeds ten", "--seeds must be a whole number"),
        ("train dqn", "ENV is missing: cartpole, CartPole-v1"),
        ("tune f.py:train", "--space is missing"),
        (
            "evaluate",
            "RUN... is missing: Run folders, or their URLs. Usage: rltune evaluate RUN...",
        ),
        ("play x --fps fast", "--fps must be a whole number"),
        ("board x --port web", "--port must be a whole number"),
        (
            "dqn cartpole twice",
            "'twice' is one word too many. Usage: rltune dqn cartpole [OPTIONS]",
        ),
        ("dqn cartpole --set lr = 1e-3", "write KEY=VALUE without spaces around the ="),
        ("dqn cartpole --steps", "'--steps' requires an argument"),
        ("dqn cartpole --storage ''", "--storage '' is empty: give a value, or leave it out"),
        ("report runs/a --plots=", "--plots '' is empty"),
        ("report ''", "the word after 'report' is empty"),
        ("--versoin", "no option --versoin. Did you mean --version?"),
        ("version", "write rltune --version"),
        ("run dqn cartpole", "the main job has no word of its own: rltune dqn cartpole"),
        ("traim dqn cartpole", "Unknown command 'traim'. Did you mean 'train'?"),
        ("cartpole", "cartpole is an environment, the algorithm comes first: rltune dqn cartpole"),
        ("cartpole ppo", "the algorithm comes first: rltune ppo cartpole"),
        ("a2c cartpole", "rltune has no a2c. Known: dqn, ppo, sac."),
        ("appo cartpole", "RLlib's is tuned with rltune tune APPO"),
        ("tune my.py --metric m --space lr={log=[1,2]}", "name the function in it as well"),
        ("dqn", "dqn on what? Name an environment: rltune dqn cartpole"),
    ],
)
def test_a_wrong_word_is_answered_in_one_line(said: Said, line: str, answer: str) -> None:
    code, out, err = said(line)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert answer in err.replace("`", "")


def test_the_bare_command_shows_what_to_do_first(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    shown = capsys.readouterr().out
    assert "rltune dqn cartpole " in shown
    assert "rltune list presets " in shown
    assert max(map(len, shown.splitlines())) <= 100


def test_help_of_the_main_job_names_it_and_its_defaults(said: Said) -> None:
    code, shown, _ = said("dqn cartpole --help")
    assert code == 0
    assert "Usage: rltune dqn cartpole [OPTIONS]" in shown
    assert "[default: 80,000]" in shown
    assert "[default: 490]" in shown
    assert "[default: 10,000,000]" in said("dqn breakout -h")[1]  # of its family, atari
    general = said("dqn --help")[1]
    assert "Usage: rltune ALGO ENV [OPTIONS]" in general
    assert "80,000" not in general


@pytest.mark.parametrize("command", COMMANDS)
def test_usage_reads_as_it_is_typed(said: Said, command: str) -> None:
    code, shown, _ = said(f"{command} -h")
    assert code == 0
    (usage,) = (line for line in shown.splitlines() if "Usage:" in line)
    assert usage.strip().startswith(f"Usage: rltune {command}")
    assert usage.strip().endswith("[OPTIONS]")
    assert "{" not in usage
    assert said(f"help {command}")[1] == shown
