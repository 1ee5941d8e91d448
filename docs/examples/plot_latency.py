"""
Latency: what a prediction costs in a service
=============================================

One row at a time, as a service gets them, and rows by the thousand, as a nightly job does: the processor time
of ``predict`` on one thread, for models that were fitted to the same 500 rows. Takes half a minute.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_friedman1
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.neural_network import MLPRegressor
from threadpoolctl import threadpool_limits

from sk_implicit import ImplicitReLURegressor

X, y = make_friedman1(500, n_features=10, noise=1.0, random_state=0)
X_new, y_new = make_friedman1(3000, n_features=10, random_state=1)
MODELS = {
    "width=500, the default": ImplicitReLURegressor(random_state=0),
    "width=100": ImplicitReLURegressor(width=100, random_state=0),
    "width=100, depth=2": ImplicitReLURegressor(width=100, depth=2, random_state=0),
    "width=inf": ImplicitReLURegressor(width=np.inf),
    "HistGradientBoosting": HistGradientBoostingRegressor(random_state=0),
    "RandomForest": RandomForestRegressor(random_state=0),
    "MLP, early stopping": MLPRegressor(early_stopping=True, max_iter=1000, random_state=0),
}


def seconds_per_row(model, n_rows, n_times):
    """Return the median time of ``predict`` over its rows; the first call is not counted."""
    model.predict(X_new[:n_rows])
    times = []
    for k in range(n_times):
        rows = X_new[k * n_rows : (k + 1) * n_rows]
        began = time.process_time()
        model.predict(rows)
        times.append(time.process_time() - began)
    return np.median(times) / n_rows


single, batch = {}, {}
print(f"{'':24s}{'R²':>6s}{'one row':>12s}{'in a batch':>14s}{'fit':>10s}")
with threadpool_limits(1):
    for name, model in MODELS.items():
        began = time.process_time()
        model.fit(X, y)
        fit = time.process_time() - began
        single[name], batch[name] = seconds_per_row(model, 1, 100), seconds_per_row(model, 1000, 3)
        score = model.score(X_new, y_new)
        print(f"{name:24s}{score:6.3f}{1e3 * single[name]:9.2f} ms{1e6 * batch[name]:11.1f} µs{fit:8.2f} s")

# %%
# What the figures mean for a service:
#
# * A single row costs about ten times what it costs in a batch: its products are too small to be quick, and
#   checks take their share. Rows that arrive together should be predicted together.
# * ``width=inf`` has no equilibrium to solve; each row takes the kernel to every training row instead. With
#   hundreds of training rows it is the quickest of the estimators with all layers.
# * ``width`` decides on what a batch costs: an equilibrium takes products with an m × m matrix.
# * ``depth=2`` stops after two layers: no equation is solved, and a row costs about as much as with trees.
# * Where that is not enough, :ref:`an ONNX graph <ecosystem>` does without Python.

figure, axes = plt.subplots(1, 2, figsize=(11, 3.2), layout="constrained", sharey=True)
colours = ["#0072B2" if "=" in name else "#8a8a8a" for name in MODELS]
for ax, times, scale, title in (
    (axes[0], single, 1e3, "one row at a time (ms)"),
    (axes[1], batch, 1e6, "a thousand rows at a time (µs each)"),
):
    ax.barh(list(times), scale * np.array(list(times.values())), color=colours)
    ax.set(title=title, xscale="log")
axes[0].invert_yaxis()
