"""What predictions cost a service: one row at a time, with a standard deviation, and 5,000 rows.

    python docs/benchmarks/latency.py

Our regressors and others are fitted to the same 1,000 rows of friedman1 (10 features, noise 1). One BLAS
thread. The models take turns, call by call, so that all meet the same machine; every figure is the median of
``ROUNDS`` calls (of five for 5,000 rows), after one that is not counted. With ONNX Runtime installed, the
exported default too. Written to ``results/latency.csv`` and ``results/latency.md``.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable

import numpy as np
from accuracy import RESULTS
from sklearn.datasets import make_friedman1
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from sk_implicit import ImplicitReLURegressor

ROUNDS = 200
KERNEL = ConstantKernel() * RBF() + WhiteKernel()
MODELS = {
    "width=500 (default)": ImplicitReLURegressor(uncertainty=True, random_state=0),
    "width=100": ImplicitReLURegressor(width=100, uncertainty=True, random_state=0),
    "width=500, relevance=None": ImplicitReLURegressor(relevance=None, uncertainty=True, random_state=0),
    "width=inf": ImplicitReLURegressor(width=np.inf, uncertainty=True),
    "GaussianProcess": GaussianProcessRegressor(KERNEL, normalize_y=True),
    "MLP": MLPRegressor(max_iter=500, early_stopping=True, random_state=0),
    "HistGradientBoosting": HistGradientBoostingRegressor(random_state=0),
}
WITH_STD = [name for name in MODELS if "width" in name or name == "GaussianProcess"]
UNITS = {"one row": 1e3, "one row, std": 1e3, "8 rows": 1e3, "5,000 rows": 1e3}


def exported(model, d: int) -> Callable[[np.ndarray], object] | None:
    """Return the prediction of a model's ONNX graph, where it can be run."""
    try:
        import onnxruntime
        from skl2onnx import to_onnx

        import sk_implicit.onnx  # noqa: F401
    except ImportError:
        return None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        to_onnx(model, np.zeros((1, d))).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda rows: session.run(None, {"X": rows})


def jobs(X: np.ndarray, y: np.ndarray) -> dict[tuple[str, str], tuple[Callable, int, int]]:
    """Return what is timed: by model and kind the call, its rows, and how often."""
    calls: dict[tuple[str, str], tuple[Callable, int, int]] = {}
    for name, model in MODELS.items():
        model.fit(X, y)
        calls[name, "one row"] = model.predict, 1, ROUNDS
        calls[name, "8 rows"] = model.predict, 8, ROUNDS
        calls[name, "5,000 rows"] = model.predict, 5000, 5
        if name in WITH_STD:
            calls[name, "one row, std"] = (
                lambda rows, model=model: model.predict(rows, return_std=True), 1, ROUNDS,
            )  # fmt: skip
    for name in ("width=500 (default)", "width=inf"):
        graph = exported(MODELS[name], X.shape[1])
        if graph is not None:
            calls[f"{name}, ONNX Runtime", "one row"] = graph, 1, ROUNDS
            calls[f"{name}, ONNX Runtime", "5,000 rows"] = graph, 5000, 5
    return calls


def measured(calls, rows: np.ndarray) -> dict[tuple[str, str], float]:
    """Return the median seconds of each call; the calls take turns."""
    times: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
    for turn in range(ROUNDS + 1):
        for key, (call, n, often) in calls.items():
            if turn > often:
                continue
            start = turn * n % (len(rows) - n + 1)
            part = rows[start : start + n]
            began = time.perf_counter()
            call(part)
            if turn:
                times[key].append(time.perf_counter() - began)
    return {key: float(np.median(values)) for key, values in times.items()}


def main() -> None:
    X, y = make_friedman1(1000, n_features=10, noise=1.0, random_state=0)
    rows, _ = make_friedman1(5000, n_features=10, random_state=1)
    with threadpool_limits(1):
        medians = measured(jobs(X, y), rows)
    with (RESULTS / "latency.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "what", "seconds"])
        writer.writerows([name, what, f"{value:.6f}"] for (name, what), value in medians.items())
    lines = ["# Latency", "", " ".join((__doc__ or "").split("\n\n")[2].split()), ""]
    lines += ["| milliseconds | " + " | ".join(UNITS) + " |", "|---" + "|--:" * len(UNITS) + "|"]
    for name in dict.fromkeys(name for name, _ in medians):
        cells = [medians.get((name, what), np.nan) * unit for what, unit in UNITS.items()]
        lines.append(f"| {name} | " + " | ".join("" if np.isnan(c) else f"{c:.3g}" for c in cells) + " |")
    (RESULTS / "latency.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
