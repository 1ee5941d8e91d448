"""
From finite width to the limit
==============================

As the width m grows, the network trained to convergence approaches kernel ridge regression with its
tangent kernel at infinite width. That kernel is a function of the cosine between two inputs, which
:mod:`sk_implicit.limit` tabulates to ten digits; ``width=numpy.inf`` is the regression with it, in closed
form. Here the same 40 training rows are fitted by networks of width 64 to 4096 and by the limit. Takes half a
minute.
"""

# sphinx_gallery_thumbnail_path = "images/limit_gap.png"

import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes, make_friedman1, make_friedman2
from sklearn.preprocessing import StandardScaler

from sk_implicit import ImplicitReLURegressor
from sk_implicit.limit import limit_functions

GAMMA = 0.4

# %%
# The limit
# ---------
# A wide network and its limit differ in nothing but the width. Features stay as they are here
# (``relevance=None``): unit norms and Gaussian weights are the setting of the theory.


def regressor(width, **parameters):
    return ImplicitReLURegressor(width, gamma=GAMMA, relevance=None, tol=1e-3, **parameters)


def split(X, y, n_train, seed=0):
    order = np.random.default_rng(seed).permutation(len(X))
    train, test = order[:n_train], order[n_train:]
    scaler = StandardScaler().fit(X[train])
    X = scaler.transform(X).astype(np.float32)  # the gaps below are far above its rounding
    return X[train], y[train], X[test], y[test]


# %%
# The kernels behind it, between two inputs of unit length at a given angle: Φ of the feature map, K of the
# equilibrium, and the tangent kernel.
#
# .. image:: /images/limit_gap_kernels.png
#    :alt: The three kernels fall with the angle between the inputs; the tangent kernel from 2.1 at 0 degrees
#          to almost 0 at 135.

functions = limit_functions(GAMMA)
angle = np.linspace(0.0, np.pi, 200)
fig, ax = plt.subplots(layout="constrained")
for name, label in [("phi", "Φ, features"), ("k", "K, equilibrium"), ("ntk", "tangent kernel")]:
    ax.plot(np.degrees(angle), getattr(functions, name)(np.cos(angle)), label=label)
ax.set(xlabel="angle between the inputs (degrees)", ylabel="kernel", title=f"γ = {GAMMA}")
ax.set_xticks([0, 45, 90, 135, 180])
ax.legend()

# %%
# Predictions against the limit
# -----------------------------
# For each width the root mean square difference to the limit's predictions on 400 other rows, in units of the
# targets' standard deviation. The networks' random weights leave a gap that falls as 1/√m.
#
# .. image:: /images/limit_gap.png
#    :alt: The gap falls from 0.15 at width 64 to 0.02 at width 4096, along a line of slope −1/2.

X_train, y_train, X_test, y_test = split(*load_diabetes(return_X_y=True), n_train=40)
alpha = 0.1
limit = regressor(np.inf, alpha=alpha).fit(X_train, y_train).predict(X_test)
networks = {64: 6, 128: 6, 256: 4, 512: 4, 1024: 3, 2048: 2, 4096: 1}  # width: random starts
gaps = {}
for width, n_starts in networks.items():
    start = time.perf_counter()
    squares = []
    for seed in range(n_starts):
        model = regressor(width, alpha=alpha, random_state=seed)
        difference = model.fit(X_train, y_train).predict(X_test) - limit
        squares.append(np.mean(difference**2) / np.var(y_train))
    gaps[width] = np.sqrt(np.mean(squares))
    seconds = (time.perf_counter() - start) / n_starts
    print(f"width {width:5d}: gap {gaps[width]:.4f}, {seconds:6.2f} s per fit")

widths = np.array(list(gaps))
gap = np.array(list(gaps.values()))
slope, intercept = np.polyfit(np.log(widths), np.log(gap), 1)
print(f"slope on logarithmic axes: {slope:.2f}")

fig, ax = plt.subplots(layout="constrained")
ax.loglog(widths, gap, "o", label="networks")
# The line of slope −1/2 through the points' centre of mass.
center = np.exp(np.mean(np.log(gap * np.sqrt(widths))))
ax.loglog(widths, center / np.sqrt(widths), "--", label="slope −1/2")
ax.set(
    xlabel="width m",
    ylabel="gap to the limit (standard deviations of y)",
    title=f"fitted slope {slope:.2f}",
)
ax.set_xticks(widths, [str(width) for width in widths])
ax.set_yticks([0.02, 0.05, 0.1, 0.2], ["0.02", "0.05", "0.1", "0.2"])
ax.minorticks_off()
ax.legend()

# %%
# Accuracy against width
# ----------------------
# R² on held-out rows for widths 16 to 1024 (mean of three random starts), with the limit as a dashed line.
# The penalty of all widths is the one that leave-one-out chooses at infinite width.
#
# .. image:: /images/limit_gap_accuracy.png
#    :alt: R² against the width on three problems. It comes up to that of infinite width; on two of them it
#          is near it from width 64 on.

problems = {
    "diabetes": load_diabetes(return_X_y=True),
    "Friedman 1": make_friedman1(450, noise=1.0, random_state=0),
    "Friedman 2": make_friedman2(450, noise=50.0, random_state=0),
}
fig, ax = plt.subplots(layout="constrained")
for color, (name, (X, y)) in zip(["#0072B2", "#D55E00", "#009E73"], problems.items(), strict=True):
    X_train, y_train, X_test, y_test = split(X, y, n_train=150)
    limit = regressor(np.inf).fit(X_train, y_train)
    alpha = limit.alpha_
    scores = {}
    for width in (16, 64, 256, 1024):
        models = (regressor(width, alpha=alpha, random_state=seed) for seed in range(3))
        scores[width] = np.mean([m.fit(X_train, y_train).score(X_test, y_test) for m in models])
    at_limit = limit.score(X_test, y_test)
    row = ", ".join(f"{width}: {score:.3f}" for width, score in scores.items())
    print(f"{name:10s} alpha {alpha:.3g}; {row}, limit: {at_limit:.3f}")
    ax.semilogx(list(scores), list(scores.values()), "o-", color=color, label=name)
    ax.axhline(at_limit, linestyle="--", color=color)
ax.set_xticks([16, 64, 256, 1024], ["16", "64", "256", "1024"])
ax.minorticks_off()
ax.set(xlabel="width m", ylabel="R² on held-out rows", title="dashed: infinite width")
ax.legend()

plt.show()
