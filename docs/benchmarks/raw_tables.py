"""Accuracy on raw pandas frames, dtypes as they come: strings, truth values, gaps.

    python docs/benchmarks/raw_tables.py --part development --jobs 2
    python docs/benchmarks/raw_tables.py --part confirmation --models sk_implicit "sk_implicit, width=inf"
    python docs/benchmarks/raw_tables.py --summary-only

The tables are those of `raw_datasets`, the models those of `raw_models`; every one is given the frame
itself. 5-fold cross-validation (shuffled, seed 0), every model on the same folds, one thread per model,
models in parallel processes. Recorded for each fold: R² on the left-out rows, and the CPU seconds of fit
and predict. RealMLP is left out beyond 1,000 training rows, as in `accuracy.py`. A model that fails ends
the run: what was computed before it stays.

Every result is a row of ``results/raw_tables.csv``, which only grows. A rerun computes what is missing:
another version of a library (for our own model, any change of its source) or other data are another
result. The summary of both parts, ``results/raw_tables.md``, takes the newest result of each cell.
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings
import zlib
from datetime import date
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import raw_datasets
from accuracy import KEY, N_FOLDS, RESULTS, append, folds, read
from accuracy import SEED as FOLDS_SEED
from critical_difference import friedman_p, mean_ranks, nemenyi_difference
from joblib import Parallel, delayed
from models import MAX_TRAINING_ROWS
from raw_models import BOOSTERS, FACTORIES, OURS, SEED, raw_version
from sklearn.metrics import r2_score
from threadpoolctl import threadpool_limits

PATH = RESULTS / "raw_tables.csv"
load = cache(raw_datasets.load)


@cache
def checksum(name: str) -> str:
    """CRC of the data: results belong to the table as it was."""
    X, y = load(name)
    columns = [pd.util.hash_pandas_object(X[column], index=False).to_numpy() for column in X]
    text = " ".join(map(str, X.columns)).encode()
    return f"{zlib.crc32(y.tobytes(), zlib.crc32(np.array(columns).tobytes(), zlib.crc32(text))):08x}"


def key(name: str, model: str, fold: int) -> tuple[str, ...]:
    """Return the cell of the results, and its version."""
    cell = (name, checksum(name), model, N_FOLDS, FOLDS_SEED, fold, raw_version(model))
    return tuple(map(str, cell))


def run(name: str, model: str, fold: int) -> dict[str, Any]:
    """Fit one model on the training rows of one fold, and return its row of the results."""
    X, y = load(name)
    train, test = folds(len(y))[fold]
    estimator = FACTORIES[model]()
    np.random.seed(SEED)  # noqa: NPY002 (skrub's pipeline takes no seed)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.process_time()
        estimator.fit(X.iloc[train], y[train])
        fitted = time.process_time()
        prediction = np.ravel(estimator.predict(X.iloc[test]))
        done = time.process_time()
    row: dict[str, Any] = dict(zip([*KEY, "version"], key(name, model, fold)))
    row |= {"rows": len(y), "features": X.shape[1], "r2": r2_score(y[test], prediction)}
    return row | {"fit_seconds": fitted - start, "predict_seconds": done - fitted}


def compute(names: list[str], models: list[str], jobs: int) -> None:
    """Compute what is missing, model by model, recording each fold as it ends."""
    done = set(read(PATH)[[*KEY, "version"]].itertuples(index=False, name=None))
    cells = [(name, model, fold) for model in models for name in names for fold in range(N_FOLDS)]
    tasks = [cell for cell in cells if not _is_too_large(*cell[:2]) and key(*cell) not in done]
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch=2 * jobs)
    for count, row in enumerate(parallel(delayed(run)(*task) for task in tasks), start=1):
        append(PATH, row)
        head = f"[{count}/{len(tasks)}] {row['dataset']} fold {row['fold']} {row['model']}"
        print(f"{head}: R² {row['r2']:.4f}, {row['fit_seconds']:.1f} s", flush=True)


def _is_too_large(name: str, model: str) -> bool:
    return len(load(name)[1]) * (N_FOLDS - 1) // N_FOLDS > MAX_TRAINING_ROWS.get(model, np.inf)


def summary() -> str:
    """Return the Markdown summary of the newest results of both parts."""
    results = read(PATH).drop_duplicates(KEY, keep="last")
    known = {name: checksum(name) for name in raw_datasets.names()}
    results = results[results["dataset"].map(known) == results["checksum"]]
    lines = [
        "# Accuracy on raw frames",
        "",
        f"{N_FOLDS}-fold cross-validated R² (shuffled, seed {FOLDS_SEED}), at most "
        f"{raw_datasets.MAX_ROWS:,} rows of each table, every model given the pandas frame as it came, one "
        f"thread per model; {platform.machine()}, Python {platform.python_version()}, "
        f"{date.today().isoformat()}. Written by `raw_tables.py`; do not edit.",
        "",
    ]
    for part in raw_datasets.PARTS:
        lines += _part(part, results[results["dataset"].isin(raw_datasets.names(part))])
    used = results.groupby("model")["version"].unique()
    return (
        "\n".join([*lines, "Versions: " + "; ".join(f"{m}: {', '.join(v)}" for m, v in used.items())]) + ".\n"
    )


def _part(part: str, results: pd.DataFrame) -> list[str]:
    """Return the summary of the tables and models of one part that are finished."""
    cells = results.groupby(["dataset", "model"]).agg(
        r2=("r2", "mean"),
        folds=("r2", "size"),
        fit=("fit_seconds", "sum"),
        rows=("rows", "first"),
        columns=("features", "first"),
    )
    cells = cells[cells["folds"] == N_FOLDS]
    if cells.empty:
        return []
    every = cells["r2"].unstack().reindex(index=raw_datasets.names(part)).dropna(how="all")
    every = every[[model for model in FACTORIES if model in every]]
    whole = every.dropna(axis=1)
    lines = [f"## {part.capitalize()}: {len(every)} tables", ""]
    if whole.shape[1] > 1:
        lines += _overall(whole, cells["fit"])
    for model in every.columns.difference(whole.columns, sort=False):
        few = every[[*whole, model]].dropna()
        lines += [f"Over the {len(few)} tables that {model} was run on: {', '.join(few.index)}.", ""]
        lines += _overall(few, cells["fit"][cells.index.isin(few.index, level="dataset")])
    shape = cells.groupby("dataset")[["rows", "columns"]].first()
    lines += ["| table | rows | columns | " + " | ".join(every.columns) + " |"]
    lines += ["|---|--:|--:|" + "--:|" * every.shape[1]]
    for name, row in every.iterrows():
        figures = ["–" if np.isnan(value) else f"{value:.3f}" for value in row]
        best = int(np.nanargmax(row))
        figures[best] = f"**{figures[best]}**"
        lines.append(f"| {name} | {' | '.join(map(str, shape.loc[name]))} | {' | '.join(figures)} |")
    return [*lines, ""]


def _overall(scores: pd.DataFrame, fit: pd.Series) -> list[str]:
    """One line per model: ranks, R², where it is furthest behind the boosters, seconds."""
    seconds = fit.groupby("model").sum()
    peers = [model for model in scores if not model.startswith(OURS)]
    boosters = [model for model in BOOSTERS if model in scores]
    ranks = dict(zip(scores, mean_ranks(scores.to_numpy())))
    lines = [
        f"Alone: the mean rank of one variant of {OURS} beside the other models only. Least ahead: the "
        f"least R², of all tables, less the mean R² of {', '.join(boosters)} there.",
        "",
        "| model | mean rank | alone | mean R² | median R² | least ahead | on | fit, s |",
        "|---|--:|--:|--:|--:|--:|---|--:|",
    ]
    for model in sorted(scores, key=ranks.__getitem__):
        alone, worst = "–", "– | –"
        if model not in peers:
            alone = f"{mean_ranks(scores[[model, *peers]].to_numpy())[0]:.2f}"
        if boosters:
            ahead = scores[model] - scores[boosters].mean(axis=1)
            worst = f"{ahead.min():+.3f} | {ahead.idxmin()}"
        lines.append(
            f"| {model} | {ranks[model]:.2f} | {alone} | {scores[model].mean():.4f} | "
            f"{scores[model].median():.4f} | {worst} | {seconds[model]:.0f} |"
        )
    n, k = scores.shape
    if n > 2 and k > 2:
        p, difference = friedman_p(scores.to_numpy()), nemenyi_difference(k, n)
        lines += ["", f"Friedman p = {p:.2g}; Nemenyi critical difference {difference:.2f} ranks."]
    return [*lines, ""]


def main() -> None:
    """Run what is missing, then write and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=raw_datasets.PARTS, help="default: both")
    parser.add_argument("--datasets", nargs="+", choices=raw_datasets.names(), help="some tables only")
    parser.add_argument("--models", nargs="+", choices=list(FACTORIES), help="default: all")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--summary-only", action="store_true", help="compute nothing")
    options = parser.parse_args()
    if not options.summary_only:
        names = raw_datasets.names(options.part)
        names = [name for name in names if name in (options.datasets or names)]
        compute(names, options.models or list(FACTORIES), options.jobs)
    text = summary()
    PATH.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
