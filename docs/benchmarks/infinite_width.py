"""Accuracy and fit time of the infinitely wide network's defaults against a Gaussian process.

    python docs/benchmarks/infinite_width.py --jobs 2

``ImplicitReLURegressor(width=numpy.inf)`` with its defaults, and scikit-learn's GaussianProcessRegressor
with ConstantKernel * RBF + WhiteKernel fitted by marginal likelihood, both behind a StandardScaler, on the
tables of the development half of `datasets` (at most 2000 rows of each). 5-fold cross-validation (shuffled,
seed 0), one thread per model. Times are CPU seconds. Every fold is a row of ``results/infinite_width.csv``;
a rerun computes what is missing there, and the summary is written to ``results/infinite_width.md``.
"""

from __future__ import annotations

import argparse
import csv
import platform
from datetime import date

import critical_difference
import datasets
import numpy as np
import pandas as pd
from accuracy import MAX_ROWS, N_FOLDS, RESULTS, SEED, evaluate, folds
from joblib import Parallel, delayed
from models import gaussian_process, implicit

MODELS = {"width=inf": implicit(width=np.inf), "GaussianProcess": gaussian_process}
PATH = RESULTS / "infinite_width.csv"
KEY = ["dataset", "model", "fold"]
COLUMNS = [*KEY, "rows", "features", "r2", "fit_seconds", "predict_seconds"]


def run(name: str, model: str, fold: int) -> dict:
    """Fit and score one model on one fold of one table."""
    data = datasets.load(name, max_rows=MAX_ROWS)
    n, d = data.X.shape
    row = {"dataset": name, "model": model, "fold": fold, "rows": n, "features": d}
    return row | evaluate(MODELS[model](d, SEED), data.X, data.y, *folds(n)[fold])


def missing(names: list[str]) -> list[tuple[str, str, int]]:
    """Return the cells that have no result yet."""
    done = set()
    if PATH.exists():
        done = set(pd.read_csv(PATH)[KEY].itertuples(index=False, name=None))
    cells = [(name, model, fold) for name in names for model in MODELS for fold in range(N_FOLDS)]
    return [cell for cell in cells if cell not in done]


def compute(cells: list[tuple[str, str, int]], jobs: int) -> None:
    """Run the cells in parallel processes, recording each as it ends."""
    is_new = not PATH.exists()
    with PATH.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if is_new:
            writer.writeheader()
        parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
        for row in parallel(delayed(run)(*cell) for cell in cells):
            figures = {name: f"{row[name]:.6g}" for name in COLUMNS[-3:]}
            writer.writerow(row | figures)
            file.flush()
            print(row["dataset"], row["model"], row["fold"], figures, flush=True)


def summarise() -> str:
    """Return the Markdown table of all tables that both models have finished."""
    results = pd.read_csv(PATH)
    cells = results.groupby(["dataset", "model"]).agg(
        r2=("r2", "mean"), folds=("r2", "size"), fit=("fit_seconds", "mean"),
        predict=("predict_seconds", "mean"), rows=("rows", "first"), features=("features", "first"),
    )  # fmt: skip
    cells = cells[cells["folds"] == N_FOLDS].unstack().dropna()
    names = [name for name in datasets.names(datasets.DEVELOPMENT) if name in cells.index]
    cells, models = cells.loc[names], list(MODELS)
    ranks = critical_difference.mean_ranks(cells["r2"][models].to_numpy())
    lines = [
        "# Infinite width",
        "",
        f"{N_FOLDS}-fold cross-validated R² (shuffled, seed {SEED}), at most {MAX_ROWS} rows of a table of "
        f"the development half, CPU seconds per fit on one thread; {platform.machine()}, "
        f"{date.today().isoformat()}. Written by `infinite_width.py`; do not edit.",
        "",
        "| model | mean rank | mean R² | tables won | fit, s (mean) | predict, s (mean) |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for model, rank in zip(models, ranks):
        won = int((cells["r2"].idxmax(axis=1) == model).sum())
        fit, predict = cells["fit"][model].mean(), cells["predict"][model].mean()
        lines.append(
            f"| {model} | {rank:.2f} | {cells['r2'][model].mean():.4f} | {won} | {fit:.2f} | {predict:.3f} |"
        )
    lines += ["", "| table | rows | features | " + " | ".join(f"{m} R² | fit, s" for m in models) + " |"]
    lines += ["|---|--:|--:|" + "--:|--:|" * len(models)]
    for name, cell in cells.iterrows():
        n, d = (int(cell[part][models[0]]) for part in ("rows", "features"))
        figures = [f"{cell['r2'][m]:.4f} | {cell['fit'][m]:.2f}" for m in models]
        lines.append(f"| {name} | {n} | {d} | " + " | ".join(figures) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing, then write and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="+", default=datasets.names(datasets.DEVELOPMENT))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    compute(missing(options.datasets), options.jobs)
    summary = summarise()
    PATH.with_suffix(".md").write_text(summary)
    print(summary)


if __name__ == "__main__":
    main()
