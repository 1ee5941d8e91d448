"""Accuracy of ImplicitReLURegressor's defaults against other regressors on real tables.

    python docs/benchmarks/accuracy.py --part development --jobs 2
    python docs/benchmarks/accuracy.py --part development --models Implicit \
        --variant "width=1000" --variant "gamma=0.3, alpha=0.01"
    python docs/benchmarks/accuracy.py --part development --summary-only
    python docs/benchmarks/accuracy.py --large --models Implicit Ridge LightGBM

The tables are those of `datasets`, at most 2000 rows of each unless ``--large``; the regressors
those of `models`. 5-fold cross-validation (shuffled, seed 0), every model on the same folds, one
thread per model, models in parallel processes. Recorded for each fold: R² on the left-out rows, and
the CPU seconds of fit and predict, which, on one thread, are the seconds of an idle core.

Every result is a row of ``results/accuracy_*.csv``, which only grows. A rerun computes what is
missing: another version of a library (for our own model, any change of its source), other data or
other folds are another result. The summary takes the newest result of each cell. It is printed for
what was asked for, and written for the whole part to ``results/accuracy_*.md``, with the
critical-difference picture beside it.
"""

from __future__ import annotations

import argparse
import ast
import csv
import platform
import sys
import time
import traceback
import warnings
import zlib
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import critical_difference
import datasets
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from models import FACTORIES, MAX_TRAINING_ROWS, ONE_STEP, OURS, Factory, implicit, model_version
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold
from threadpoolctl import threadpool_limits

RESULTS = Path(__file__).parent / "results"
N_FOLDS = 5
SEED = 0
MAX_ROWS = 2000
OPTIONAL = ("RealMLP",)  # run only when named
UNRANKED = (ONE_STEP,)  # not a model of its own: what the default must not fall behind
KEY = ["dataset", "checksum", "model", "folds", "seed", "fold"]
COLUMNS = [*KEY, "version", "rows", "features", "r2", "fit_seconds", "predict_seconds"]


class Task(NamedTuple):
    """One fold of one model on one table."""

    data: datasets.Dataset
    model: str
    factory: Factory
    version: str
    fold: int

    @property
    def checksum(self) -> str:
        """CRC of the data: results belong to the table as it was."""
        X, y = self.data.X, self.data.y
        return f"{zlib.crc32(y.tobytes(), zlib.crc32(X.tobytes())):08x}"

    @property
    def key(self) -> tuple[str, ...]:
        """The cell of the results that this task fills, and its version."""
        cell = (self.data.name, self.checksum, self.model, N_FOLDS, SEED, self.fold, self.version)
        return tuple(map(str, cell))


def folds(n_rows: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the (training, test) rows of every fold, the same for every model."""
    splitter = KFold(N_FOLDS, shuffle=True, random_state=SEED)
    return list(splitter.split(np.zeros(n_rows)))


def evaluate(
    model: RegressorMixin, X: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray
) -> dict[str, float]:
    """Fit a model on the training rows; return R² on the test rows and CPU seconds."""
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.process_time()
        model.fit(X[train], y[train])
        fitted = time.process_time()
        prediction = np.ravel(model.predict(X[test]))
        done = time.process_time()
    score = r2_score(y[test], prediction)
    return {"r2": score, "fit_seconds": fitted - start, "predict_seconds": done - fitted}


def run(task: Task) -> dict[str, Any]:
    """Carry out one task; a failure comes back as its traceback under "error"."""
    X, y = task.data.X, task.data.y
    train, test = folds(len(y))[task.fold]
    row: dict[str, Any] = dict(zip([*KEY, "version"], task.key), rows=len(y), features=X.shape[1])
    try:
        row |= evaluate(task.factory(X.shape[1], SEED), X, y, train, test)
    except Exception:
        row["error"] = traceback.format_exc()
    return row


def read(path: Path) -> pd.DataFrame:
    """Read all results so far, oldest first."""
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    return pd.read_csv(path, dtype=dict.fromkeys([*KEY, "version"], str))


def append(path: Path, row: dict[str, Any]) -> None:
    """Add one result as one line."""
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if is_new:
            writer.writerow(COLUMNS)
        figures = {name: f"{row[name]:.6g}" for name in COLUMNS[-3:]}
        writer.writerow([(row | figures)[name] for name in COLUMNS])


def missing_tasks(
    names: Iterable[str], chosen: dict[str, Factory], path: Path, max_rows: int | None
) -> list[Task]:
    """Return the tasks with no result yet, model by model."""
    done = set(read(path)[[*KEY, "version"]].itertuples(index=False, name=None))
    tables = [datasets.load(name, max_rows=max_rows) for name in names]
    tasks = []
    for model, factory in chosen.items():
        version = model_version(model)
        for data in tables:
            if len(data.y) * (N_FOLDS - 1) // N_FOLDS > MAX_TRAINING_ROWS.get(model, np.inf):
                continue
            cells = (Task(data, model, factory, version, fold) for fold in range(N_FOLDS))
            tasks += [task for task in cells if task.key not in done]
    return tasks


def compute(tasks: list[Task], path: Path, jobs: int) -> int:
    """Run the tasks in parallel processes, recording each as it ends; return the failures."""
    failures = 0
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch=8)
    for count, row in enumerate(parallel(delayed(run)(task) for task in tasks), start=1):
        head = f"[{count}/{len(tasks)}] {row['dataset']} fold {row['fold']} {row['model']}"
        if "error" in row:
            failures += 1
            print(f"{head}: FAILED\n{row['error']}", flush=True)
        else:
            append(path, row)
            print(f"{head}: R² {row['r2']:.4f}, {row['fit_seconds']:.1f} s", flush=True)
    return failures


def summarise(
    path: Path, names: list[str], models: list[str], max_rows: int | None, picture: bool = False
) -> str:
    """Return the Markdown summary of the newest results, and draw the picture if asked to."""
    results = read(path).drop_duplicates(KEY, keep="last")
    checksums = {}
    for name in names:
        checksums[name] = Task(datasets.load(name, max_rows), "", implicit(), "", 0).checksum
    results = results[results["dataset"].map(checksums) == results["checksum"]]
    cells = results.groupby(["dataset", "model"]).agg(
        r2=("r2", "mean"),
        folds=("r2", "size"),
        fit=("fit_seconds", "sum"),
        predict=("predict_seconds", "sum"),
        rows=("rows", "first"),
        features=("features", "first"),
    )
    cells = cells[cells["folds"] == N_FOLDS]
    every = cells["r2"].unstack().reindex(index=names)
    floors = every[[name for name in ("Ridge", *UNRANKED) if name in every]]
    models = [model for model in models if model not in UNRANKED]
    shown = [model for model in FACTORIES if model in every and model in (*models, *OPTIONAL)]
    shown += [model for model in models if model in every and model not in shown]
    every = every[shown].dropna(how="all")
    models = [model for model in models if model in every]
    scores = every[models].dropna()
    lines = [f"# Accuracy: {path.stem.removeprefix('accuracy_').replace('_', ' ')} tables", ""]
    lines += [
        f"{N_FOLDS}-fold cross-validated R² (shuffled, seed {SEED}), "
        + (f"at most {max_rows} rows of each table" if max_rows else "all rows of each table")
        + f", one thread per model; {platform.machine()}, Python {platform.python_version()}, "
        f"{date.today().isoformat()}. Written by `accuracy.py`; do not edit.",
        "",
    ]
    if len(scores):
        lines += [f"## Over the {len(scores)} tables that every model here has finished", ""]
        lines += _overall(scores, cells)
        lines += _alone(scores)
    if OURS in every:
        lines += _least_ahead(every[OURS], floors)
    for model in set(OPTIONAL) & set(every) - set(models):
        few = every[[*models, model]].dropna()
        if len(few):
            lines += [f"## Over the small tables that {model} was run on: {', '.join(few.index)}", ""]
            lines += _overall(few, cells)
    lines += _by_table(every, cells)
    used = results[results["model"].isin(shown)].groupby("model")["version"].unique()
    lines += ["", "Versions: " + "; ".join(f"{m}: {', '.join(used[m])}" for m in shown) + "."]
    if picture and len(scores) > 4 and len(models) > 2:
        drawn = path.with_name(f"{path.stem}_cd.png")
        critical_difference.plot(scores.to_numpy(), models, drawn, control=OURS)
        lines += ["", f"![Mean ranks of the models, with Nemenyi's critical difference]({drawn.name})"]
    return "\n".join(lines) + "\n"


def _overall(scores: pd.DataFrame, cells: pd.DataFrame) -> list[str]:
    """One line per model: rank, mean R², wins and losses against ours, times."""
    models = list(scores)
    ranks = critical_difference.mean_ranks(scores.to_numpy())
    p_values = np.full(len(models), np.nan)
    if OURS in models:
        p_values = critical_difference.wilcoxon_holm(scores.to_numpy(), models.index(OURS))
    totals = cells.loc[list(scores.index)].groupby("model")[["fit", "predict"]].sum()
    lines = [
        f"Won and lost: tables on which {OURS} has the higher and the lower R². p: Wilcoxon's "
        "signed-rank test against it, Holm-adjusted.",
        "",
        "| model | mean rank | mean R² | median R² | won | lost | p | fit, s | predict, s |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for index in np.argsort(ranks):
        model = models[index]
        versus = ["–"] * 3
        if OURS in models and model != OURS:
            gain = scores[OURS] - scores[model]
            versus = [str((gain > 0).sum()), str((gain < 0).sum()), f"{p_values[index]:.3g}"]
        figures = [
            f"{ranks[index]:.2f}",
            f"{scores[model].mean():.4f}",
            f"{scores[model].median():.4f}",
            *versus,
            f"{totals.loc[model, 'fit']:.0f}",
            f"{totals.loc[model, 'predict']:.1f}",
        ]
        lines.append(f"| {model} | " + " | ".join(figures) + " |")
    n, k = scores.shape
    if n > 2 and k > 2:
        p = critical_difference.friedman_p(scores.to_numpy())
        difference = critical_difference.nemenyi_difference(k, n)
        lines += ["", f"Friedman p = {p:.2g}; Nemenyi critical difference {difference:.2f} ranks."]
    return [*lines, ""]


def _alone(scores: pd.DataFrame) -> list[str]:
    """Rank each variant of ours without the others: two that are alike take ranks from each other."""
    ours = [model for model in scores if model.startswith(OURS)]
    if len(ours) < 2 or len(ours) == scores.shape[1]:
        return []
    lines = [
        f"Mean ranks with one variant of {OURS} alone beside the other models:",
        "",
        "| variant | its mean rank | best of the others | its mean rank |",
        "|---|--:|---|--:|",
    ]
    for variant in ours:
        rivals = [model for model in scores if model not in ours]
        own, *others = critical_difference.mean_ranks(scores[[variant, *rivals]].to_numpy())
        best = int(np.argmin(others))
        lines.append(f"| {variant} | {own:.2f} | {rivals[best]} | {others[best]:.2f} |")
    return [*lines, ""]


def _least_ahead(ours: pd.Series, floors: pd.DataFrame) -> list[str]:
    """Where ours is furthest behind, or least ahead of, each of the models it must not fall behind."""
    lines = []
    for name, scores in floors.items():
        gain = (ours - scores).dropna()
        if len(gain):
            worst = gain.idxmin()
            lines += [f"{OURS} − {name} is least on {worst}, of {len(gain)} tables: {gain[worst]:+.4f}.", ""]
    return lines


def _by_table(every: pd.DataFrame, cells: pd.DataFrame) -> list[str]:
    """R² of every model on every table, the best in bold."""
    shape = cells.groupby("dataset")[["rows", "features"]].first()
    lines = [
        "## R² by table",
        "",
        "| table | rows | features | " + " | ".join(every.columns) + " |",
        "|---|--:|--:|" + "--:|" * every.shape[1],
    ]
    for name, row in every.iterrows():
        figures = ["–" if np.isnan(v) else f"{v:.3f}" for v in row]
        best = int(np.nanargmax(row))
        figures[best] = f"**{figures[best]}**"
        n, d = shape.loc[name]
        lines.append(f"| {name} | {n} | {d} | " + " | ".join(figures) + " |")
    return lines


def parse_variant(text: str) -> tuple[str, Factory]:
    """Turn "gamma=0.3, alpha='loo'" into the variant's name and factory."""
    call = ast.parse(f"f({text})", mode="eval").body
    if not isinstance(call, ast.Call) or call.args:
        raise ValueError(f"a variant is a list of name=value; got {text!r}")
    parameters = {}
    for item in call.keywords:
        is_inf = isinstance(item.value, ast.Name) and item.value.id == "inf"
        parameters[str(item.arg)] = np.inf if is_inf else ast.literal_eval(item.value)
    listed = ", ".join(f"{name}={value!r}" for name, value in parameters.items())
    return f"{OURS}({listed})", implicit(**parameters)


def main() -> int:
    """Run what is missing, then write and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=datasets.PARTS)
    parser.add_argument("--large", action="store_true", help="all rows of the large tables")
    parser.add_argument("--datasets", nargs="+", help="some tables of the part only")
    parser.add_argument("--models", nargs="+", choices=list(FACTORIES), help="default: all")
    parser.add_argument("--variant", action="append", default=[], help="ours, as name=value, ...")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--summary-only", action="store_true", help="compute nothing")
    options = parser.parse_args()
    if (options.part is None) == (not options.large):
        parser.error("give either --part or --large")

    max_rows = None if options.large else MAX_ROWS
    known = list(datasets.LARGE) if options.large else datasets.names(options.part)
    names = [name for name in known if name in (options.datasets or known)]
    if options.datasets and len(names) < len(set(options.datasets)):
        parser.error(f"--datasets: not all of {options.datasets} are among {known}")
    whole = [model for model in FACTORIES if model not in OPTIONAL]
    chosen = {model: FACTORIES[model] for model in options.models or whole}
    chosen |= dict(map(parse_variant, options.variant))
    options.results.mkdir(parents=True, exist_ok=True)
    path = options.results / f"accuracy_{'large' if options.large else options.part}.csv"

    failures = 0
    if not options.summary_only:
        tasks = missing_tasks(names, chosen, path, max_rows)
        print(f"{len(tasks)} fits to do on {len(names)} tables", flush=True)
        failures = compute(tasks, path, options.jobs)
    print(summarise(path, names, list(chosen), max_rows))
    path.with_suffix(".md").write_text(summarise(path, known, whole, max_rows, picture=True))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
