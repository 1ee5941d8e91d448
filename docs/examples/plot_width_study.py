r"""
How wide is wide enough
=======================

Chen, Cao, Zou and Gu (ICLR 2021, arXiv:1911.12360) show that deep ReLU networks trained by gradient descent
on the cross-entropy reach a small error once their width is polylogarithmic in the number of samples, if the
gradients of the network at its start separate the classes with a margin. Here the smallest width that
classifies every training row is measured on points of the unit sphere whose class is the sign of x₁x₂:
against the number of rows, and against the margin, which leaving out the rows with small \|x₁x₂\| widens.
:doc:`The width study </benchmarks/results/width_study>` is the larger version, with digits and test errors.
Takes two to three minutes.

.. image:: /images/width_study_example.png
   :alt: The smallest width that classifies every training row grows slowly with the number of rows, and falls
         as the margin grows; for the squared loss it is larger than for the cross-entropy.
"""

# sphinx_gallery_thumbnail_path = "images/width_study_example.png"

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning

from sk_implicit import ImplicitReLUClassifier
from sk_implicit.theory import tangent_margin

warnings.simplefilter("ignore", ConvergenceWarning)
WIDTHS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 20, 25, 32, 45, 64)
LOSSES = {"log_loss": ("cross-entropy", "#0072B2", "o"), "squared_error": ("squared loss", "#D55E00", "s")}
SEEDS = range(3)

# %%
# The problem
# -----------
# Of many random points in ten dimensions the share ``kept`` with the largest \|x₁x₂\| remains.


def points(n, kept, seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((int(n / kept), 10))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    product = X[:, 0] * X[:, 1]
    rows = np.argsort(-np.abs(product))[:n]
    return X[rows], (product[rows] > 0).astype(int)


# %%
# The smallest width
# ------------------
# Nearly no penalty, Levenberg-Marquardt, and rising widths until every training row is on its
# side.


def smallest_width(X, y, loss, seed):
    for width in WIDTHS:
        model = ImplicitReLUClassifier(
            width, loss=loss, standardize=False, alpha=1e-6, max_iter=25, tol=1e-7, random_state=seed
        )
        if model.fit(X, y).score(X, y) == 1:
            return width
    return np.nan


def median_and_range(values):
    return np.median(values), np.min(values), np.max(values)


def draw(ax, x, widths, loss):
    label, colour, marker = LOSSES[loss]
    middle, low, high = np.array([median_and_range(values) for values in widths]).T
    ax.plot(x, middle, marker=marker, color=colour, label=label)
    ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    return middle


# %%
# Against the number of rows
# --------------------------
# Medians and ranges over three seeds, which draw the rows and the network. The dotted line has slope ½: a
# network of width m has about m² weights.

N = (25, 50, 100, 200)
fig, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for loss in LOSSES:
    widths = [[smallest_width(*points(n, 0.5, seed), loss, seed) for seed in SEEDS] for n in N]
    middle = draw(axes[0], N, widths, loss)
    exponent = np.polyfit(np.log(N), np.log(middle), 1)[0]
    print(f"{LOSSES[loss][0]:14s} widths {middle}, exponent of n {exponent:.2f}")
axes[0].plot(N, middle[0] * np.sqrt(np.array(N) / N[0]), ":", color="black", label="slope ½")
axes[0].set(xlabel="training rows n", title="half of the points kept")
axes[0].set_xscale("log")
axes[0].set_xticks(N, [str(n) for n in N])

# %%
# Against the margin
# ------------------
# :func:`~sk_implicit.theory.tangent_margin` of 200 rows under the gradients of a network of width 300 at its
# start (one step with an enormous penalty leaves it there).

margins = {}
for kept in (1.0, 0.5, 0.2):
    X, y = points(200, kept, 0)
    start = ImplicitReLUClassifier(300, standardize=False, alpha=1e12, max_iter=1, random_state=0)
    start.fit(X, y)
    margins[kept] = tangent_margin(start, X, y)
for loss in LOSSES:
    widths = [[smallest_width(*points(200, kept, seed), loss, seed) for seed in SEEDS] for kept in margins]
    middle = draw(axes[1], list(margins.values()), widths, loss)
    print(f"{LOSSES[loss][0]:14s} widths {middle} at margins {np.round(list(margins.values()), 3)}")
axes[1].set(xlabel="margin under the tangent features", title="200 rows")
for ax in axes:
    ax.set(ylabel="smallest width with training error 0", ylim=(1.5, 40))
    ax.set_yscale("log", base=2)
    ax.set_yticks([2, 4, 8, 16, 32], ["2", "4", "8", "16", "32"])
    ax.minorticks_off()
    ax.grid(True, linewidth=0.4, alpha=0.6)
    ax.legend()

plt.show()
