"""Calibration of predictive standard deviations, beside a Gaussian process.

    python docs/benchmarks/calibration.py --jobs 2

``ImplicitReLURegressor(uncertainty=True)`` with its defaults and with ``width=numpy.inf``, and
scikit-learn's GaussianProcessRegressor with ConstantKernel * RBF + WhiteKernel fitted by marginal
likelihood, behind a StandardScaler, on the tables of the development half of `datasets` that have at most
2000 rows. 5-fold cross-validation (shuffled, seed 0). Recorded for the left-out rows of every fold: the
share inside the central 90 % interval, mean ± 1.645 std; the mean negative log predictive density of
the normal distribution, with the target in units of its standard deviation; and the mean width of the
interval in the same units. Every fold is a row of ``results/calibration.csv``; a rerun computes what is
missing there, and the summary is written to ``results/calibration.md``.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from datetime import date

import datasets
import numpy as np
import pandas as pd
from accuracy import MAX_ROWS, N_FOLDS, RESULTS, SEED, folds
from joblib import Parallel, delayed
from models import gaussian_process, implicit
from scipy.stats import norm
from threadpoolctl import threadpool_limits

NAMES = ["concrete", "meats", "diabetes", "boston", "permeability_qsar", "hitters", "cpus", "saratoga"]
MODELS = {
    "width=500": implicit(uncertainty=True),
    "width=inf": implicit(width=np.inf, uncertainty=True),
    "GaussianProcess": gaussian_process,
}
LEVEL = 0.9
PATH = RESULTS / "calibration.csv"
KEY = ["dataset", "model", "fold"]
SCORES = ["coverage", "nlpd", "interval"]


def run(name: str, model: str, fold: int) -> dict:
    """Fit one model on one fold of one table and score its standard deviations."""
    data = datasets.load(name, max_rows=MAX_ROWS)
    train, test = folds(len(data.y))[fold]
    pipeline = MODELS[model](data.X.shape[1], SEED)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.fit(data.X[train], data.y[train])
        mean, std = pipeline.predict(data.X[test], return_std=True)
    unit = np.std(data.y)
    error, std = (data.y[test] - mean) / unit, std / unit
    half = norm.ppf((1 + LEVEL) / 2) * std
    return {
        "dataset": name,
        "model": model,
        "fold": fold,
        "coverage": np.mean(np.abs(error) <= half),
        "nlpd": -np.mean(norm.logpdf(error, scale=std)),
        "interval": 2 * np.mean(half),
    }


def missing(names: list[str], models: list[str]) -> list[tuple[str, str, int]]:
    """Return the cells that have no result yet."""
    done = set()
    if PATH.exists():
        done = set(pd.read_csv(PATH)[KEY].itertuples(index=False, name=None))
    cells = [(name, model, fold) for name in names for model in models for fold in range(N_FOLDS)]
    return [cell for cell in cells if cell not in done]


def compute(cells: list[tuple[str, str, int]], jobs: int) -> None:
    """Run the cells in parallel processes, recording each as it ends."""
    is_new = not PATH.exists()
    with PATH.open("a", newline="") as file:
        writer = csv.DictWriter(file, [*KEY, *SCORES], lineterminator="\n")
        if is_new:
            writer.writeheader()
        parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
        for row in parallel(delayed(run)(*cell) for cell in cells):
            row |= {name: f"{row[name]:.6g}" for name in SCORES}
            writer.writerow(row)
            file.flush()
            print(*row.values(), flush=True)


def summarise() -> str:
    """Return the Markdown table of all tables that every model has finished."""
    cells = pd.read_csv(PATH).groupby(["dataset", "model"])[SCORES].agg(["mean", "size"])
    cells = cells[cells[("coverage", "size")] == N_FOLDS]
    cells = cells.xs("mean", axis=1, level=1).unstack().dropna()
    cells = cells.loc[[name for name in NAMES if name in cells.index]]
    models = list(MODELS)
    lines = [
        "# Calibration",
        "",
        f"Share of left-out targets inside the central {LEVEL:.0%} interval, mean negative log predictive "
        f"density (NLPD, lower is better) and mean width of the interval, in standard deviations of the "
        f"target; {N_FOLDS}-fold cross-validation (shuffled, seed {SEED}), development tables of at most "
        f"{MAX_ROWS} rows; {date.today().isoformat()}. Written by `calibration.py`; do not edit.",
        "",
        "| table | " + " | ".join(f"{m}: coverage | NLPD | width" for m in models) + " |",
        "|---|" + "--:|--:|--:|" * len(models),
    ]
    rows = {str(name): cell for name, cell in cells.iterrows()} | {"**mean**": cells.mean()}
    for name, cell in rows.items():
        figures = [
            f"{cell['coverage'][m]:.3f} | {cell['nlpd'][m]:.3f} | {cell['interval'][m]:.2f}" for m in models
        ]
        lines.append(f"| {name} | " + " | ".join(figures) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing, then write and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", nargs="+", default=NAMES)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    compute(missing(options.datasets, options.models), options.jobs)
    if set(pd.read_csv(PATH)["model"]) == set(MODELS):
        summary = summarise()
        PATH.with_suffix(".md").write_text(summary)
        print(summary)


if __name__ == "__main__":
    main()
