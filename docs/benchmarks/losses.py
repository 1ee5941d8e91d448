"""Losses of the regressor beside other models: deviances, absolute errors, pinball losses, coverage, times.

    python docs/benchmarks/losses.py
    python docs/benchmarks/losses.py --kinds counts amounts
    python docs/benchmarks/losses.py --summary-only

The tables are those of `loss_datasets`. Every model has its defaults but for the loss, stands behind a
StandardScaler and runs on one thread, on the same 3 folds (shuffled, seed 0). Recorded for each fold: the
mean loss of the left-out rows, as D², the share of the loss of the best constant of the training rows that is
explained (of the pinball losses at 0.05, 0.5 and 0.95 the mean); for quantiles the share of rows below each
of them; and the CPU seconds of fit. Where a model predicts 0 or less and the loss asks for more, predictions
are raised to a thousandth of the mean. Other models than ours and CatBoost's MultiQuantile fit three
quantiles one by one. "Conformal" are the least squares of HistGradientBoosting, and the quantiles of its
errors on a quarter of the training rows that is held out.

Every result is a row of ``results/losses.csv``; a rerun computes what is missing, and the summary is written
to ``results/losses.md``.
"""

from __future__ import annotations

import argparse
import csv
import platform
import time
import warnings
from collections.abc import Callable
from datetime import date
from functools import cache
from importlib.metadata import version

import loss_datasets
import numpy as np
import pandas as pd
from accuracy import RESULTS
from critical_difference import mean_ranks
from models import model_version
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import GammaRegressor, PoissonRegressor, QuantileRegressor
from sklearn.metrics import mean_gamma_deviance, mean_pinball_loss, mean_poisson_deviance
from sklearn.model_selection import KFold, train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sk_implicit import ImplicitReLURegressor

N_FOLDS, SEED = 3, 0
LEVELS = np.array([0.05, 0.5, 0.95])
PATH = RESULTS / "losses.csv"
KEY = ["dataset", "model", "fold"]
COLUMNS = [*KEY, "version", "d2", "below_05", "below_50", "below_95", "fit_seconds"]
load = cache(loss_datasets.load)


class OneByOne(RegressorMixin, BaseEstimator):
    """A model for each quantile."""

    def __init__(self, make: Callable[[float], RegressorMixin]):
        self.make = make

    def fit(self, X, y):
        self.models_ = [self.make(level).fit(X, y) for level in LEVELS]
        return self

    def predict(self, X):
        return np.column_stack([model.predict(X) for model in self.models_])


class Conformal(RegressorMixin, BaseEstimator):
    """Least squares, and the quantiles of the errors on rows held out."""

    def fit(self, X, y):
        train, held_out = train_test_split(np.arange(len(y)), test_size=0.25, random_state=SEED)
        self.model_ = HistGradientBoostingRegressor(random_state=SEED).fit(X[train], y[train])
        self.shifts_ = np.quantile(y[held_out] - self.model_.predict(X[held_out]), LEVELS)
        return self

    def predict(self, X):
        return self.model_.predict(X)[:, None] + self.shifts_


def boosting(loss: str):
    return HistGradientBoostingRegressor(loss=loss, random_state=SEED)


def lightgbm(objective: str, **options):
    from lightgbm import LGBMRegressor

    return LGBMRegressor(objective=objective, n_jobs=1, random_state=SEED, verbosity=-1, **options)


def catboost(loss: str):
    from catboost import CatBoostRegressor

    options = {"thread_count": 1, "random_seed": SEED, "verbose": False, "allow_writing_files": False}
    return CatBoostRegressor(loss_function=loss, **options)


def ours(loss: str, **options) -> dict[str, Callable]:
    make = lambda width: ImplicitReLURegressor(width, loss=loss, random_state=SEED, **options)  # noqa: E731
    return {"Implicit": lambda: make(500), "Implicit, width=inf": lambda: make(np.inf)}


FACTORIES: dict[str, dict[str, Callable]] = {
    "counts": {
        **ours("poisson"),
        "Implicit, squared error": lambda: ImplicitReLURegressor(np.inf, random_state=SEED),
        "PoissonRegressor": PoissonRegressor,
        "HistGradientBoosting": lambda: boosting("poisson"),
        "LightGBM": lambda: lightgbm("poisson"),
        "CatBoost": lambda: catboost("Poisson"),
        "MLPRegressor": lambda: MLPRegressor(loss="poisson", random_state=SEED),
    },
    "amounts": {
        **ours("gamma"),
        "Implicit, squared error": lambda: ImplicitReLURegressor(np.inf, random_state=SEED),
        "GammaRegressor": GammaRegressor,
        "HistGradientBoosting": lambda: boosting("gamma"),
        "LightGBM": lambda: lightgbm("gamma"),
        "CatBoost": lambda: catboost("Tweedie:variance_power=1.9"),  # which has no gamma loss
    },
    "heavy tails": {
        **ours("absolute_error"),
        "Implicit, huber": lambda: ImplicitReLURegressor(np.inf, loss="huber", random_state=SEED),
        "Implicit, squared error": lambda: ImplicitReLURegressor(np.inf, random_state=SEED),
        "QuantileRegressor": QuantileRegressor,
        "HistGradientBoosting": lambda: boosting("absolute_error"),
        "LightGBM": lambda: lightgbm("mae"),
        "CatBoost": lambda: catboost("MAE"),
    },
    "quantiles": {
        **ours("quantile", quantile=LEVELS),
        "QuantileRegressor": lambda: OneByOne(lambda level: QuantileRegressor(quantile=level)),
        "HistGradientBoosting": lambda: OneByOne(
            lambda level: HistGradientBoostingRegressor(loss="quantile", quantile=level, random_state=SEED)
        ),
        "LightGBM": lambda: OneByOne(lambda level: lightgbm("quantile", alpha=level)),
        "CatBoost": lambda: catboost("MultiQuantile:alpha=0.05,0.5,0.95"),
        "Conformal": Conformal,
    },
}


def losses_of(kind: str, y: np.ndarray, P: np.ndarray) -> float:
    """Return the mean loss of predictions, (n,) or (n, 3)."""
    if kind == "counts":
        return mean_poisson_deviance(y, P)
    if kind == "amounts":
        return mean_gamma_deviance(y, P)
    levels = LEVELS if kind == "quantiles" else [0.5]
    P = P.reshape(len(y), -1)
    return float(np.mean([mean_pinball_loss(y, P[:, c], alpha=level) for c, level in enumerate(levels)]))


def constant(kind: str, y: np.ndarray, n: int) -> np.ndarray:
    """Return the best constant of the training rows, for n rows."""
    if kind in ("counts", "amounts"):
        return np.full(n, y.mean())
    return np.tile(np.quantile(y, LEVELS if kind == "quantiles" else [0.5]), (n, 1))


def version_of(model: str) -> str:
    """Return the version that a result belongs to; for ours, of the source itself."""
    if model.startswith("Implicit"):
        return model_version("Implicit")
    return (
        model_version(model)
        if model in ("LightGBM", "CatBoost")
        else f"scikit-learn {version('scikit-learn')}"
    )


def run(name: str, model: str, fold: int) -> dict:
    """Fit one model on one fold of one table, and score it."""
    kind, (X, y) = loss_datasets.TABLES[name].kind, load(name)
    train, test = list(KFold(N_FOLDS, shuffle=True, random_state=SEED).split(X))[fold]
    pipeline = make_pipeline(StandardScaler(), FACTORIES[kind][model]())
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.process_time()
        pipeline.fit(X[train], y[train])
        seconds = time.process_time() - start
        P = pipeline.predict(X[test])
    if kind in ("counts", "amounts"):
        P = np.maximum(P, 1e-3 * y[train].mean())
    share = losses_of(kind, y[test], P) / losses_of(kind, y[test], constant(kind, y[train], len(test)))
    row = {"dataset": name, "model": model, "fold": fold, "version": version_of(model)}
    row |= {"d2": f"{1 - share:.6g}", "fit_seconds": f"{seconds:.4g}"}
    if kind == "quantiles":
        below = np.mean(y[test, None] < P, axis=0)
        row |= {f"below_{number}": f"{part:.4f}" for number, part in zip(("05", "50", "95"), below)}
    return row


def read() -> pd.DataFrame:
    """Return all results so far, oldest first."""
    return pd.read_csv(PATH) if PATH.exists() else pd.DataFrame(columns=COLUMNS)


def compute(names: list[str]) -> None:
    """Compute what is missing, one table after the other, recording each fold as it ends."""
    done = set(read()[[*KEY, "version"]].itertuples(index=False, name=None))
    for name in names:
        for model in FACTORIES[loss_datasets.TABLES[name].kind]:
            for fold in range(N_FOLDS):
                if (name, model, fold, version_of(model)) in done:
                    continue
                row, is_new = run(name, model, fold), not PATH.exists()
                with PATH.open("a", newline="") as file:
                    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                    if is_new:
                        writer.writeheader()
                    writer.writerow(row)
                print(f"{name} fold {fold} {model}: D² {row['d2']}, {row['fit_seconds']} s", flush=True)


def summary() -> str:
    """Return the Markdown summary of the newest results."""
    results = read().drop_duplicates(KEY, keep="last")
    lines = [
        "# Losses",
        "",
        f"{N_FOLDS}-fold cross-validated D² (shuffled, seed {SEED}), at most {loss_datasets.MAX_ROWS:,} rows "
        f"of each table, defaults but for the loss, one thread; {platform.machine()}, Python "
        f"{platform.python_version()}, {date.today().isoformat()}. Written by `losses.py`; do not edit.",
        "",
    ]
    for kind in loss_datasets.KINDS:
        part = results[results["dataset"].isin(loss_datasets.names((kind,)))]
        means = part.groupby(["dataset", "model"]).agg(
            d2=("d2", "mean"), folds=("d2", "size"), fit=("fit_seconds", "sum"),
            low=("below_05", "mean"), middle=("below_50", "mean"), high=("below_95", "mean"),
        )  # fmt: skip
        means = means[means["folds"] == N_FOLDS]
        if means.empty:
            continue
        scores = means["d2"].unstack().reindex(loss_datasets.names((kind,)))
        scores = scores[[model for model in FACTORIES[kind] if model in scores]].dropna()
        lines += [f"## {kind.capitalize()}: {len(scores)} tables", "", *_overall(scores, means, kind), ""]
        lines += ["| table | " + " | ".join(scores.columns) + " |", "|---|" + "--:|" * scores.shape[1]]
        for name, row in scores.iterrows():
            figures = [f"{value:.3f}" for value in row]
            figures[int(np.argmax(row))] = f"**{figures[int(np.argmax(row))]}**"
            lines.append(f"| {name} | {' | '.join(figures)} |")
        lines.append("")
    versions = results.groupby("model")["version"].unique()
    return (
        "\n".join([*lines, "Versions: " + "; ".join(f"{m}: {', '.join(v)}" for m, v in versions.items())])
        + ".\n"
    )


def _overall(scores: pd.DataFrame, means: pd.DataFrame, kind: str) -> list[str]:
    """One line per model: its rank beside the other models, and among all, D², seconds, and coverage."""
    peers = [model for model in scores if not model.startswith("Implicit")]
    ranks = dict(zip(scores, mean_ranks(scores.to_numpy())))
    by_model = means[means.index.get_level_values("dataset").isin(scores.index)].groupby("model")
    head = "| model | mean rank | alone | mean D² | fit, s |"
    rule = "|---|--:|--:|--:|--:|"
    if kind == "quantiles":
        head, rule = head + " below 0.05, 0.5, 0.95 | coverage of 90 % |", rule + "--:|--:|"
    lines = ["Alone: the rank of one variant of ours beside the other models only.", "", head, rule]
    for model in sorted(scores, key=ranks.__getitem__):
        alone = "–" if model in peers else f"{mean_ranks(scores[[model, *peers]].to_numpy())[0]:.2f}"
        line = f"| {model} | {ranks[model]:.2f} | {alone} | {scores[model].mean():.4f} | "
        line += f"{by_model['fit'].sum()[model]:.1f} |"
        if kind == "quantiles":
            low, middle, high = (by_model[column].mean()[model] for column in ("low", "middle", "high"))
            line += f" {low:.3f}, {middle:.3f}, {high:.3f} | {high - low:.3f} |"
        lines.append(line)
    return lines


def main() -> None:
    """Run what is missing, then write and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", choices=loss_datasets.KINDS, default=loss_datasets.KINDS)
    parser.add_argument("--datasets", nargs="+", choices=loss_datasets.names(), help="some tables only")
    parser.add_argument("--summary-only", action="store_true", help="compute nothing")
    options = parser.parse_args()
    if not options.summary_only:
        compute(options.datasets or loss_datasets.names(tuple(options.kinds)))
    text = summary()
    PATH.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
