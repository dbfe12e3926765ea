"""The `replicate` verbs: published results of the pricing models, computed again. Exit code 1 where they differ."""

from typing import Annotated

from cyclopts import App, Parameter

from mm_daemon.cli.options import Json, say

app = App(name="replicate", help="Compute published results of the pricing models again and compare.")

_Paths = Annotated[int, Parameter(name="--paths")]
_Seed = Annotated[int, Parameter(name="--seed")]

_FEWEST_PATHS = 100
"""Under this the standard errors are themselves a matter of chance."""


@app.command
def as2008(*, gamma: float | None = None, paths: _Paths = 20_000, seed: _Seed = 1, json: Json = False) -> int:
    """Tables 1-3 of Avellaneda and Stoikov (2008): profit and inventory with their quotes and with symmetric ones.

    Parameters
    ----------
    gamma:
        Risk aversion of one table: 0.1, 0.01 or 1. All three by default.
    paths:
        Simulations of each strategy; the paper has 1000.
    seed:
        Seed of the simulations.
    json:
        Answer as one JSON object.
    """
    _check(paths, seed)
    from mm_daemon.backtest.replication import as2008 as experiment
    from mm_daemon.domain.errors import UsageError

    if gamma is not None and gamma not in experiment.GAMMAS:
        raise UsageError(f"--gamma {gamma}: the paper has {', '.join(f'{known:g}' for known in experiment.GAMMAS)}")
    gammas = experiment.GAMMAS if gamma is None else (gamma,)
    report = experiment.replicate(gammas, paths=paths, seed=seed)
    say(report, json=json)
    return 0 if report.ok else 1


@app.command
def certainty_equivalent(*, paths: _Paths = 10_000, seed: _Seed = 1, json: Json = False) -> int:
    """Rank the models by what their quotes are worth to a risk-averse investor in the same market.

    Parameters
    ----------
    paths:
        Simulations of each policy.
    seed:
        Seed of the simulations.
    json:
        Answer as one JSON object.
    """
    _check(paths, seed)
    from mm_daemon.backtest.replication import certainty_equivalent as experiment

    report = experiment.replicate(paths=paths, seed=seed)
    say(report, json=json)
    return 0 if report.ok else 1


@app.command
def cartea_jaimungal(*, paths: _Paths = 10_000, seed: _Seed = 1, json: Json = False) -> int:
    """Profit and risk of Cartea and Jaimungal's quotes for several penalties, against their value function.

    Parameters
    ----------
    paths:
        Simulations of each penalty.
    seed:
        Seed of the simulations.
    json:
        Answer as one JSON object.
    """
    _check(paths, seed)
    from mm_daemon.backtest.replication import cartea_jaimungal as experiment

    report = experiment.replicate(paths=paths, seed=seed)
    say(report, json=json)
    return 0 if report.ok else 1


def _check(paths: int, seed: int) -> None:
    """Raises UsageError for a sample no statement can be made about, or no seed."""
    from mm_daemon.domain.errors import UsageError

    if paths < _FEWEST_PATHS:
        raise UsageError(f"--paths {paths}: must be at least {_FEWEST_PATHS}")
    if seed < 0:
        raise UsageError(f"--seed {seed}: must not be negative")
