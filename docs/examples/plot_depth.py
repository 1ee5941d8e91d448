"""
Finite depth beside infinite depth
==================================

``depth=L`` stops the recursion z_l = σ(γ/√m A z_{l−1} + φ) after L layers; ``depth=inf``, the default, is
where it leads. How much do layers change, and what do they cost? On the two tables here more layers do not
predict better: a small depth is a way to save time, not to gain accuracy. Takes half a minute.

.. image:: /images/depth.png
   :alt: Scores on two tables, seconds to fit and the distance of the tangent kernel from its limit against
         the depth, for γ = 0.4 and γ = 1. With γ = 0.4 the depth makes little difference.
"""

# sphinx_gallery_thumbnail_path = "images/depth.png"

import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from sk_implicit import ImplicitReLUClassifier, ImplicitReLURegressor
from sk_implicit.theory import tangent_kernel

warnings.simplefilter("ignore", ConvergenceWarning)
DEPTHS, GAMMAS, SEEDS = (1, 2, 5, 20, np.inf), (0.4, 1.0), range(3)

# %%
# Two tables: the progression of diabetes (R²), and even against odd digits (accuracy); 300 training rows,
# width 100, means over three seeds. Every depth sees the same splits and starts from the same weights.

X, y = load_diabetes(return_X_y=True)
digits, numbers = load_digits(return_X_y=True)
AS_THEY_ARE = {"standardize": False}  # pixels share one unit
TABLES = {
    "diabetes, R²": (X, y, StandardScaler(), ImplicitReLURegressor, {"relevance": None}),
    "even digits, accuracy": (digits, numbers % 2 == 0, MinMaxScaler(), ImplicitReLUClassifier, AS_THEY_ARE),
}


def scores_and_seconds(table, gamma, depth):
    """Return train score, test score and seconds to fit, a row for each seed."""
    X, y, scaler, estimator, settings = TABLES[table]
    rows = []
    for seed in SEEDS:
        X_train, X_test, y_train, y_test = train_test_split(X, y, train_size=300, random_state=seed)
        network = estimator(100, gamma=gamma, depth=depth, random_state=seed, **settings)
        model = make_pipeline(scaler, network)
        began = time.perf_counter()
        model.fit(X_train, y_train)
        seconds = time.perf_counter() - began
        rows.append((model.score(X_train, y_train), model.score(X_test, y_test), seconds))
    return np.array(rows)


ticks = [f"{depth:g}" if np.isfinite(depth) else "∞" for depth in DEPTHS]
figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
axes = axes.ravel()
seconds_axis = axes[2]
for ax, table in zip(axes, TABLES):
    for gamma, colour in zip(GAMMAS, ("C0", "C1")):
        results = np.array([scores_and_seconds(table, gamma, depth) for depth in DEPTHS])
        train, test, seconds = results.mean(axis=1).T
        ax.plot(ticks, train, "o:", color=colour, label=f"train, γ = {gamma}")
        ax.plot(ticks, test, "o-", color=colour, label=f"test, γ = {gamma}")
        marker = "o-" if ax is axes[0] else "s--"
        seconds_axis.plot(ticks, seconds, marker, color=colour, label=f"{table.split(',')[0]}, γ = {gamma}")
        for depth, *row in zip(ticks, train, test, seconds):
            print(f"{table:22}  γ = {gamma}  depth {depth:>2}: " + "  ".join(f"{value:.3f}" for value in row))
    ax.set(title=table, xlabel="depth")
    ax.margins(y=0.4)  # room for the legend
    ax.legend(fontsize="small", ncols=2, loc="upper left")
seconds_axis.set(title="seconds to fit", xlabel="depth", yscale="log")
seconds_axis.legend(fontsize="small", loc="upper left")
seconds_axis.margins(y=0.4)

# %%
# With γ = 0.4 a few layers are all there is to see, and on these tables one does as well; with γ = 1 depth
# makes a difference, and not for the better on test rows. One or two layers cost about half of the
# equilibrium's time or less. More are differentiated one by one, while an equilibrium has a single adjoint:
# on the first table twenty can cost more than the equilibrium, on the second they cost as much or less.
#
# How far a random start of depth L is from its equilibrium: the tangent kernels, relative to that of infinite
# depth. The influence of a layer decays geometrically; the steps are units that turn on or off.

X = StandardScaler().fit_transform(X)[:100]
depths = np.arange(1, 21)
for gamma, colour in zip(GAMMAS, ("C0", "C1")):
    kernels = [
        tangent_kernel(ImplicitReLURegressor(300, gamma=gamma, depth=int(depth), random_state=0), X)
        for depth in depths
    ]
    limit = tangent_kernel(ImplicitReLURegressor(300, gamma=gamma, random_state=0), X)
    distances = [np.linalg.norm(K - limit) / np.linalg.norm(limit) for K in kernels]
    axes[3].semilogy(depths, distances, "o-", color=colour, markersize=3, label=f"γ = {gamma}")
    print(f"γ = {gamma}: " + ", ".join(f"{distance:.1e}" for distance in distances[::4]))
axes[3].set(title="‖K_L − K_∞‖ / ‖K_∞‖", xlabel="depth", xticks=[1, 5, 10, 15, 20])
axes[3].legend(fontsize="small")
plt.show()
