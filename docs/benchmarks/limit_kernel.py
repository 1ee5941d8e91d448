"""Cost of the infinite-width network's kernel matrix, beside scikit-learn's RBF kernel of the same size.

    python docs/benchmarks/limit_kernel.py --threads 1

``ImplicitReLUKernel`` and ``RBF`` on the same 5000 × 20 standard normal inputs, k(X) and k(X, Y) with Y a
copy. One round evaluates all four, in turn; medians over the rounds, in processor time of all threads
together, are written to ``results/limit_kernel.md``. The kernel is to cost at most four times what RBF
costs.
"""

from __future__ import annotations

import argparse
import pathlib
import platform
import time
from datetime import date

import numpy as np
from sklearn.gaussian_process.kernels import RBF
from threadpoolctl import threadpool_limits

from sk_implicit import ImplicitReLUKernel

RESULTS = pathlib.Path(__file__).parent / "results"
N_ROWS, N_FEATURES = 5000, 20


def seconds(kernel, *arguments) -> float:
    begin = time.process_time()
    kernel(*arguments)
    return time.process_time() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    X = np.random.default_rng(0).standard_normal((N_ROWS, N_FEATURES))
    kernels = {"RBF": RBF(), "ntk": ImplicitReLUKernel(), "nngp": ImplicitReLUKernel(kind="nngp")}
    calls = {"k(X)": (X,), "k(X, Y)": (X, X.copy())}
    times = {(name, call): [] for call in calls for name in kernels}
    with threadpool_limits(options.threads):
        for kernel in kernels.values():
            kernel(X[:10])  # its table
        for _ in range(options.rounds):
            for (name, call), measured in times.items():
                measured.append(seconds(kernels[name], *calls[call]))
    lines = []
    for call in calls:
        reference = np.median(times["RBF", call])
        for name in kernels:
            spent = np.median(times[name, call])
            lines.append(f"| {call} | {name} | {spent:.2f} | {spent / reference:.2f} |")
    text = f"""# Cost of the infinite-width kernel

{N_ROWS} × {N_ROWS} kernel matrix of {N_FEATURES} features, {options.threads} thread(s), processor time, \
medians of {options.rounds} rounds; {platform.machine()}, {date.today()}. \
Written by `limit_kernel.py`; do not edit.

| call | kernel | seconds | over RBF |
|---|---|--:|--:|
""" + "\n".join(lines)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "limit_kernel.md").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
