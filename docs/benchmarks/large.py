"""Training and predicting on tens of thousands of rows: time, memory, accuracy, growth.

    python docs/benchmarks/large.py --threads 2

Diamonds (53,940 rows, logarithm of the price), default regressor of width 500 after a StandardScaler:

* fit on all rows: seconds, and the peak resident memory of a process that does nothing else;
* one 80/20 split (seed 0): test R² beside that of HistGradientBoostingRegressor at its defaults;
* fits on the first 10,000, 20,000 and 50,000 rows in a random order: the exponent of the growth of
  processor time, which other work on the machine disturbs less than the clock;
* predictions of 100,000 rows: the share of the time that the matrix products alone take, in float64
  products (n, m)·(m, m), timed before and after each of five predictions: those counted by the equilibrium
  solver, and the feature maps' (n, p)·(p, m).

Every measurement runs in a process of its own. Writes results/large.csv and results/large.md.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import pathlib
import resource
import subprocess
import sys
import time

import numpy as np

RESULTS = pathlib.Path(__file__).parent / "results"
SEED = 0
SIZES = (10_000, 20_000, 50_000)


def rows(n=None, test=False):
    """Return standardised features and targets of n rows (all by default), or of an 80/20 split."""
    from datasets import load
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    X, y, _, _ = load("diamonds", max_rows=None)
    if test:
        X, X_test, y, y_test = train_test_split(X, y, test_size=0.2, random_state=SEED)
        scaler = StandardScaler().fit(X)
        return scaler.transform(X), y, scaler.transform(X_test), y_test
    order = np.random.default_rng(SEED).permutation(len(y))[:n]
    return StandardScaler().fit_transform(X[order]), y[order]


def timed_fit(model, X, y) -> dict[str, float]:
    """Return the seconds a fit takes, on the clock and of all processors' time."""
    start, cpu = time.perf_counter(), time.process_time()
    model.fit(X, y)
    return {"fit_seconds": time.perf_counter() - start, "fit_cpu_seconds": time.process_time() - cpu}


def implicit():
    """Return the default regressor."""
    from sk_implicit import ImplicitReLURegressor

    return ImplicitReLURegressor(width=500, random_state=SEED)


def fit(n=None):
    """Fit on n rows: seconds, steps, peak memory in MiB."""
    X, y = rows(None if n is None else int(n))
    model = implicit()
    seconds = timed_fit(model, X, y)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": len(y), **seconds, "steps": model.n_iter_, "peak_mib": peak}


def accuracy(name):
    """Fit on the training part of the split: test R²."""
    X, y, X_test, y_test = rows(test=True)
    if name == "implicit":
        model = implicit()
    else:
        from sklearn.ensemble import HistGradientBoostingRegressor

        model = HistGradientBoostingRegressor(random_state=SEED)
    seconds = timed_fit(model, X, y)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    record = {"model": name, "rows": len(y), **seconds, "steps": model.n_iter_, "peak_mib": peak}
    return record | {"test_r2": model.score(X_test, y_test)}


def predict():
    """Predict 100,000 rows; processor time, which other work on the machine disturbs less."""
    from sk_implicit.equilibrium import EquilibriumOptions
    from sk_implicit.models import fitted_model
    from sk_implicit.theory import network_inputs

    X, y = rows(500)
    model = implicit().fit(X, y)
    X = np.tile(X, (200, 1)) + 0.01 * np.random.default_rng(SEED).standard_normal((100_000, X.shape[1]))
    Z, out = np.random.default_rng(0).random((4000, 500)), np.empty((4000, 500))

    def product_seconds():
        return cpu_seconds(np.matmul, Z, model.A_.T, out=out) * len(X) / len(Z)

    def timed():
        """Return the time of a prediction, and that of a product just before and after it."""
        before = [product_seconds() for _ in range(5)]
        seconds = cpu_seconds(model.predict, X)
        return seconds, float(np.median(before + [product_seconds() for _ in range(5)]))

    seconds, unit = np.transpose([timed() for _ in range(5)])
    Xt, networks = network_inputs(model, X[: 20 * 4000]), fitted_model(model).networks
    accurate = EquilibriumOptions(tol=1e-10)
    products = np.mean([
        network.forward(Xt[rows : rows + 4000], accurate)[1].n_products + Xt.shape[1] / network.shape.m
        for rows in range(0, len(Xt), 4000)
        for network in networks
    ]) * len(networks)  # fmt: skip
    return {
        "rows": len(X),
        "predict_cpu_seconds": float(np.median(seconds)),
        "products": products,
        "products_alone_cpu_seconds": products * float(np.median(unit)),
        "share_of_products": products * float(np.median(unit / seconds)),
    }


def cpu_seconds(function, *args, **kwargs) -> float:
    """Return the processor time of a call."""
    start = time.process_time()
    function(*args, **kwargs)
    return time.process_time() - start


TASKS = {"fit": fit, "accuracy": accuracy, "predict": predict}


def run(task, *arguments, threads):
    """Run a task in a process of its own and return what it measured."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, __file__, "--task", task, *map(str, arguments)]
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    load = os.getloadavg()[0]
    return {"task": task, "threads": threads, "load": round(load, 1), **json.loads(output.splitlines()[-1])}


def growth(records) -> float:
    """Return the exponent b of processor time ~ n^b between the smallest and the largest fit."""
    fits = sorted((r["rows"], r["fit_cpu_seconds"]) for r in records if r["task"] == "fit")
    fits = [f for f in fits if f[0] in SIZES]
    if len(fits) < 2:
        return float("nan")
    return float(np.log(fits[-1][1] / fits[0][1]) / np.log(fits[-1][0] / fits[0][0]))


def write(records):
    """Write the measurements and a table of them."""
    names = list(dict.fromkeys(name for record in records for name in record))
    with open(RESULTS / "large.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(records)
    lines = ["# Tens of thousands of rows", ""]
    lines += ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    for record in records:
        cells = (record.get(name, "") for name in names)
        lines.append("| " + " | ".join(f"{c:.4g}" if isinstance(c, float) else str(c) for c in cells) + " |")
    lines += [
        "",
        f"Processor time of fits on {SIZES[0]:,} to {SIZES[-1]:,} rows grows as n^{growth(records):.2f}.",
        "",
    ]
    (RESULTS / "large.md").write_text("\n".join(lines))


def main():
    """Run one task, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--task", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--skip-growth", action="store_true")
    options = parser.parse_args()
    if options.task:
        name, *arguments = options.task
        print(json.dumps(TASKS[name](*arguments)))
        return
    jobs = [("accuracy", "hist_gradient_boosting"), ("predict",), ("accuracy", "implicit"), ("fit",)]
    if not options.skip_growth:
        jobs += [("fit", n) for n in SIZES]
    records = []
    for job in jobs:
        records.append(run(*job, threads=options.threads))
        print(records[-1], flush=True)
        write(records)


if __name__ == "__main__":
    main()
