"""
Linear convergence to a global minimum, and the rate certified for it
=====================================================================

The theorem promises that gradient descent on a wide implicit network brings the training loss to zero, and
that its logarithm falls at least as fast as a straight line. Here it falls by ten orders of magnitude on
four data sets, beside the line that :func:`sk_implicit.theory.convergence_certificate` guarantees. Takes
about a minute.
"""

# %%
# Twenty-five rows of each, standardised and then scaled to unit norm, as the theorem asks for. The number of
# steps is about ln(10¹⁰)/2 times the condition number of the tangent kernel, which grows with the number of
# rows: plain gradient descent is the theory's algorithm, not the one to use (``solver="lm"`` takes a few
# steps).

import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import normalize, scale

from sk_implicit import ImplicitReLURegressor
from sk_implicit.display import ConvergenceDisplay, SpectrumDisplay
from sk_implicit.theory import convergence_certificate, network_inputs, recommend_width

N_ROWS, WIDTH, ORDERS = 25, 300, 10


def rows(loader):
    """Return N_ROWS random rows of unit norm, and targets."""
    X, y = loader(return_X_y=True)
    pick = np.random.RandomState(0).permutation(len(X))[:N_ROWS]
    return normalize(scale(X[pick][:, X[pick].std(axis=0) > 0])), y[pick].astype(float)


DATA = {
    "diabetes": rows(load_diabetes),
    "breast cancer": rows(load_breast_cancer),
    "wine": rows(load_wine),
    "digits": rows(load_digits),
}

# %%
# Before training: how wide should the network be? The adviser looks for the smallest width at which the
# random feature map is nearly as well conditioned as in the limit. The theorem's own constant is far larger.

inputs = network_inputs(ImplicitReLURegressor(fit_intercept=False), DATA["diabetes"][0])
print(recommend_width(inputs), "\n")

# %%
# Training continues in chunks (``warm_start=True``) until the loss has lost ten orders of magnitude.

figure, ax = plt.subplots(figsize=(7.5, 5), layout="constrained")
models = {}
for name, (X, y) in DATA.items():
    model = ImplicitReLURegressor(
        WIDTH,
        solver="gd",
        alpha=0,
        tol=0,
        relevance=None,
        fit_intercept=False,
        max_iter=100,
        equilibrium_tol=1e-9,
        warm_start=True,
        random_state=0,
    )
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # each chunk stops at max_iter
        while model.fit(X, y).history_["squared_error"][-1] > 10.0**-ORDERS:
            if model.n_iter_ >= 5000:
                break
    seconds = time.perf_counter() - begin
    certificate = convergence_certificate(model, X, y)
    ConvergenceDisplay.from_estimator(model, X, y, certificate=certificate, name=name, ax=ax)
    models[name] = model
    print(
        f"{name:14s}{model.n_iter_:5d} steps in {seconds:4.0f} s   loss × {certificate.decrease:.1e}   "
        f"rate a step: {certificate.observed_rate:.2e}, certified {certificate.certified_rate:.2e}   "
        f"drift of A {certificate.drift_A:.1%}"
    )
ax.set_title(f"Gradient descent, {N_ROWS} rows, width {WIDTH}")

# %%
# The certificate of the last fit in full.

print()
print(certificate)

# %%
# The eigenvalues behind it: training moves the kernel little, and the limit of infinite width predicts it.

display = SpectrumDisplay.from_estimator(models["diabetes"], DATA["diabetes"][0])

plt.show()
