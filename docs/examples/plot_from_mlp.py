"""
A multilayer perceptron is an implicit network, and can be trained further as one
=================================================================================

An implicit network whose A is strictly block triangular is a feed-forward network. ``from_mlp`` turns a
fitted :class:`~sklearn.neural_network.MLPRegressor` into the implicit network with the same predictions;
``fit`` then goes on from there with A free, so that layers may feed back and see the input. Takes some
seconds.
"""

# %%
# Perceptrons with scikit-learn's default settings: two hundred epochs of Adam are not enough here.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm
from sklearn.datasets import make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from sk_implicit import ImplicitReLURegressor
from sk_implicit.theory import well_posedness

warnings.simplefilter("ignore", ConvergenceWarning)
X, y = make_friedman1(800, n_features=10, noise=1.0, random_state=0)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
scaler = StandardScaler().fit(X)
X, X_test = scaler.transform(X), scaler.transform(X_test)

# %%
# The same predictions to rounding error; Perron-Frobenius radius 0.

figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
gains = {}
for ax, layers in zip(axes, [(100,), (50, 50), (40, 30, 20)]):
    mlp = MLPRegressor(hidden_layer_sizes=layers, random_state=0).fit(X, y)
    model = ImplicitReLURegressor.from_mlp(mlp)
    difference = np.abs(model.predict(X_test) - mlp.predict(X_test)).max()
    record = well_posedness(model.A_, model.gamma_)
    print(
        f"layers {layers}: width {model.width_}, largest difference {difference:.1e}, "
        f"ρ(|sA|) ≤ {record.perron_bound:g}, ‖sA‖₂ = {record.norm:.2f}"
    )
    before = model.A_ != 0

    # on as an implicit network: alpha chosen by leave-one-out, Levenberg-Marquardt steps
    scores = [model.score(X_test, y_test)]
    model.set_params(max_iter=1, tol=0)
    for _ in range(10):
        scores.append(model.fit(X, y).score(X_test, y_test))
    print(
        f"    R² on test rows: {scores[0]:.3f} as a perceptron, {scores[-1]:.3f} after {model.n_iter_} steps "
        f"as an implicit network; ‖sA‖₂ = {model.contraction_:.2f}"
    )
    gains[layers] = scores
    magnitudes = np.abs(model.A_)
    magnitudes /= np.quantile(magnitudes, 0.99)
    image = ax.imshow(magnitudes + 1e-4, cmap="cividis", norm=LogNorm(1e-4, 1))
    ax.contour(before, levels=[0.5], colors="#D55E00", linewidths=1.2)
    ax.set(title=f"|A| after training, {layers}", xlabel="from unit", ylabel="to unit")
_ = figure.colorbar(image, ax=axes, label="relative to the 99 % quantile")

# %%
# The orange lines enclose what the perceptron used of A: the constant unit's column and the blocks below the
# diagonal. Training fills in the rest, feedback included (the colours are logarithmic, over four decades),
# and the contraction says that the equilibrium is still certified to be unique.

# %%
# What training on gains, step by step.

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for (layers, scores), marker, colour in zip(gains.items(), "os^", ("#0072B2", "#D55E00", "#009E73")):
    ax.plot(scores, marker=marker, color=colour, label=f"layers {layers}")
ax.set(
    xlabel="Levenberg-Marquardt steps as an implicit network (0: the perceptron)",
    ylabel="R² on test rows",
)
_ = ax.legend()

# %%
# For comparison: up to 2000 epochs with early stopping. Two of the perceptrons end after some two hundred
# epochs and gain about as much as before; the one that goes on for longer leaves nothing to be gained.

for layers in [(100,), (50, 50), (40, 30, 20)]:
    mlp = MLPRegressor(
        hidden_layer_sizes=layers, max_iter=2000, early_stopping=True, n_iter_no_change=50, random_state=0
    )
    model = ImplicitReLURegressor.from_mlp(mlp.fit(X, y)).set_params(max_iter=10)
    before = model.score(X_test, y_test)
    after = model.fit(X, y).score(X_test, y_test)
    print(f"layers {layers}: R² {before:.3f} after {mlp.n_iter_} epochs, {after:.3f} trained on")

plt.show()
