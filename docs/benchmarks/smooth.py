"""Smooth functions, with little noise or none: how close a fit comes, and whether it is chance.

Six test functions of computer experiments on uniform inputs, several draws of the rows each. Reported
are the median of 1 − R² on 4000 new rows without noise, the largest over the smallest of the draws, and the
median over that of ``width=numpy.inf`` and over that of half as many rows. Times are processor times on one
thread. A rerun computes only what is missing in `results/smooth.csv`.

    python docs/benchmarks/smooth.py --rows 500 --draws 6
    python docs/benchmarks/smooth.py --rows 6000 12000 --functions robot_arm --models default --draws 1

The functions are those of S. Surjanovic and D. Bingham, "Virtual library of simulation experiments: test
functions and datasets", Simon Fraser University, 2013.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from sk_implicit import ImplicitReLURegressor

RESULTS = Path(__file__).parent / "results" / "smooth.csv"
KEY = ["function", "rows", "noise", "draw", "model"]
NEW_ROWS = 4000


def robot_arm(U):
    """Return how far an arm of four segments reaches: four angles and four lengths."""
    angles, lengths = np.cumsum(2 * np.pi * U[:, :4], axis=1), U[:, 4:]
    return np.hypot(np.sum(lengths * np.cos(angles), axis=1), np.sum(lengths * np.sin(angles), axis=1))


def piston(U):
    """Return the time of a piston's cycle."""
    M, S, V0, k, P0, Ta, T0 = _between(
        U, [30, 0.005, 0.002, 1000, 9e4, 290, 340], [60, 0.02, 0.01, 5000, 11e4, 296, 360]
    )
    A = P0 * S + 19.62 * M - k * V0 / S
    V = S / (2 * k) * (np.sqrt(A**2 + 4 * k * P0 * V0 / T0 * Ta) - A)
    return 2 * np.pi * np.sqrt(M / (k + S**2 * P0 * V0 / T0 * Ta / V**2))


def wing_weight(U):
    """Return the weight of a light aircraft's wing."""
    low = [150, 220, 6, -10, 16, 0.5, 0.08, 2.5, 1700, 0.025]
    Sw, Wfw, A, sweep, q, taper, tc, Nz, Wdg, Wp = _between(
        U, low, [200, 300, 10, 10, 45, 1, 0.18, 6, 2500, 0.08]
    )
    cos = np.cos(np.deg2rad(sweep))
    shape = Sw**0.758 * Wfw**0.0035 * (A / cos**2) ** 0.6 * q**0.006 * taper**0.04
    return 0.036 * shape * (100 * tc / cos) ** -0.3 * (Nz * Wdg) ** 0.49 + Sw * Wp


def friedman1(U):
    """Return Friedman's first function, of five inputs of ten."""
    return 10 * np.sin(np.pi * U[:, 0] * U[:, 1]) + 20 * (U[:, 2] - 0.5) ** 2 + 10 * U[:, 3] + 5 * U[:, 4]


def friedman2(U):
    """Return Friedman's second function, an impedance."""
    R, omega, L, C = _between(U, [0, 40 * np.pi, 0, 1], [100, 560 * np.pi, 1, 11])
    return np.hypot(R, omega * L - 1 / (omega * C))


def ishigami(U):
    """Return Ishigami's function."""
    a, b, c = _between(U, [-np.pi] * 3, [np.pi] * 3)
    return np.sin(a) + 7 * np.sin(b) ** 2 + 0.1 * c**4 * np.sin(a)


def _between(U, low, high):
    """Return the columns of U, taken from [0, 1] to [low, high]."""
    return (np.asarray(low) + np.subtract(high, low) * U).T


FUNCTIONS = {
    "robot_arm": (robot_arm, 8),
    "piston": (piston, 7),
    "wing_weight": (wing_weight, 10),
    "friedman1": (friedman1, 10),
    "friedman2": (friedman2, 4),
    "ishigami": (ishigami, 3),
}
MODELS = {
    "default": lambda: ImplicitReLURegressor(random_state=0),
    "inf": lambda: ImplicitReLURegressor(width=np.inf),
}


class Table(NamedTuple):
    """Rows to fit, and new ones."""

    X: np.ndarray
    y: np.ndarray
    X_new: np.ndarray
    y_new: np.ndarray


def draw(function: str, n: int, noise: float, number: int) -> Table:
    """Draw a table; the noise is relative to the target's standard deviation."""
    evaluate, d = FUNCTIONS[function]
    rng = np.random.default_rng([list(FUNCTIONS).index(function), n, number])
    U = rng.uniform(size=(n + NEW_ROWS, d))
    y = evaluate(U)
    observed = y[:n] + noise * y.std() * rng.standard_normal(n)
    return Table(U[:n], observed, U[n:], y[n:])


def measure(key: dict) -> dict:
    """Fit one model to one table."""
    table = draw(key["function"], key["rows"], key["noise"], key["draw"])
    begin = time.process_time()
    with warnings.catch_warnings(record=True) as caught, threadpool_limits(1):
        warnings.simplefilter("always")
        model = MODELS[key["model"]]().fit(table.X, table.y)
    seconds = time.process_time() - begin
    error = 1 - model.score(table.X_new, table.y_new)
    return key | {"error": error, "seconds": round(seconds, 2), "warned": len(caught) > 0}


def summary(results: pd.DataFrame) -> pd.DataFrame:
    """Return one line for each function, number of rows, noise and model."""
    cells = results.groupby(KEY[:3] + ["model"]).error.agg(["median", "min", "max", "count"])
    cells["largest / smallest"] = cells["max"] / cells["min"]
    medians = cells["median"]
    limit = medians.xs("inf", level="model").reindex(cells.index.droplevel("model")).to_numpy()
    cells["over inf"] = medians / limit
    half = [(f, n // 2, noise, model) for f, n, noise, model in cells.index]
    cells["over half the rows"] = medians.to_numpy() / medians.reindex(half).to_numpy()
    cells["warned"] = results.groupby(KEY[:3] + ["model"]).warned.sum()
    cells["seconds"] = results.groupby(KEY[:3] + ["model"]).seconds.median()
    return cells.drop(columns=["min", "max"]).rename(columns={"count": "draws"})


def main() -> None:
    """Measure what is missing, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.02])
    parser.add_argument("--draws", type=int, default=6)
    parser.add_argument("--functions", nargs="+", choices=FUNCTIONS, default=list(FUNCTIONS))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    options = parser.parse_args()
    done = pd.read_csv(RESULTS) if RESULTS.exists() else pd.DataFrame(columns=KEY)
    known = set(done[KEY].itertuples(index=False, name=None))
    for n in options.rows:
        for noise in options.noise:
            for function in options.functions:
                for number in range(options.draws):
                    for model in options.models:
                        key = dict(zip(KEY, (function, n, noise, number, model)))
                        if tuple(key.values()) not in known:
                            line = pd.DataFrame([measure(key)])
                            line.to_csv(RESULTS, mode="a", header=not RESULTS.exists(), index=False)
                            print(*line.iloc[0], flush=True)
    table = summary(pd.read_csv(RESULTS))
    text = __doc__.split("Times are")[0].strip()
    head = f"# Smooth functions\n\n{text} Written by `smooth.py`; do not edit.\n\n"
    columns = ["function", "rows", "noise", "model", *table.columns]
    lines = ["| " + " | ".join(columns) + " |", "|---" * 4 + "|--:" * len(table.columns) + "|"]
    for index, row in table.iterrows():
        lines.append("| " + " | ".join([*map(str, index), *(f"{value:.3g}" for value in row)]) + " |")
    RESULTS.with_suffix(".md").write_text(head + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
