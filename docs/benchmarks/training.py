"""Seconds of default fits on small tables, beside scikit-learn's Gaussian process and perceptron.

    python docs/benchmarks/training.py --threads 2

* concrete (1030 rows): the default regressor (width 500), GaussianProcessRegressor with an amplitude,
  an RBF kernel and noise chosen by the marginal likelihood, and MLPRegressor at its defaults, in turn,
  medians of several rounds, and the ratios of the medians;
* 200 fits of the default regressor on 100 rows each.

All run on the same number of BLAS threads. Writes results/training.csv and results/training.md.
"""

from __future__ import annotations

import argparse
import csv
import os
import pathlib
import time
import warnings

import numpy as np
from datasets import load
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sk_implicit import ImplicitReLURegressor

RESULTS = pathlib.Path(__file__).parent / "results"
MODELS = {
    "ImplicitReLURegressor": ImplicitReLURegressor(random_state=0),
    "GaussianProcessRegressor": GaussianProcessRegressor(
        ConstantKernel() * RBF() + WhiteKernel(), normalize_y=True, random_state=0
    ),
    "MLPRegressor": MLPRegressor(random_state=0),
}


def seconds(model, X, y) -> float:
    """Return the seconds one fit takes."""
    model = clone(model)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    return time.perf_counter() - start


def main():
    """Time all models, round by round, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tiny", type=int, default=200)
    options = parser.parse_args()
    table = load("concrete", max_rows=None)
    X, y = StandardScaler().fit_transform(table.X), table.y
    times = {name: [] for name in MODELS}
    loads = [os.getloadavg()[0]]
    with threadpool_limits(options.threads, user_api="blas"):
        for _ in range(options.rounds):
            for name, model in MODELS.items():
                times[name].append(seconds(model, X, y))
            loads.append(os.getloadavg()[0])
        rng = np.random.RandomState(0)
        start = time.perf_counter()
        for _ in range(options.tiny):
            rows = rng.choice(len(y), 100, replace=False)
            seconds(MODELS["ImplicitReLURegressor"], X[rows], y[rows])
        tiny = time.perf_counter() - start
    medians = {name: float(np.median(values)) for name, values in times.items()}
    ours = medians["ImplicitReLURegressor"]
    with open(RESULTS / "training.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["work", "model", "median_seconds", "ours_over_it", "runs", "threads", "load"])
        for name, value in medians.items():
            writer.writerow(
                ["concrete", name, value, ours / value, options.rounds, options.threads, max(loads)]
            )
        work = f"{options.tiny} fits of 100 rows"
        writer.writerow([work, "ImplicitReLURegressor", tiny, 1.0, 1, options.threads, os.getloadavg()[0]])
    lines = ["# Fits of small tables", "", "| work | model | seconds | ours / it |", "|---|---|--:|--:|"]
    lines += [f"| concrete, one fit | {n} | {v:.2f} | {ours / v:.2f} |" for n, v in medians.items()]
    lines += [f"| {work} | ImplicitReLURegressor | {tiny:.1f} | |", ""]
    lines += [
        f"Medians of {options.rounds} rounds, {options.threads} BLAS threads, "
        f"load average {min(loads):.1f} to {max(loads):.1f} on {os.cpu_count()} cores.",
        "",
    ]
    (RESULTS / "training.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
