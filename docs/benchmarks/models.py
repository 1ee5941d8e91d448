"""The regressors of the accuracy benchmark, each as one would reach for it.

A factory takes the number of features and a seed and returns an unfitted regressor. Every one
stands behind a StandardScaler; where a model's penalty, tolerance or learning rate is not free of
the target's scale, the target is standardised around it and predictions are scaled back. Grids are
searched by 3-fold cross-validation inside the training rows. Every model runs on one thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

Factory = Callable[[int, int], RegressorMixin]

OURS = "Implicit"
ONE_STEP = f"{OURS}, one step"


def _scaled(model: RegressorMixin) -> Pipeline:
    return make_pipeline(StandardScaler(), TransformedTargetRegressor(model, transformer=StandardScaler()))


def _search(model: RegressorMixin, grid: dict[str, Any], seed: int) -> Pipeline:
    folds = KFold(3, shuffle=True, random_state=seed)
    return _scaled(GridSearchCV(model, grid, cv=folds, scoring="neg_mean_squared_error"))


def ridge(n_features: int, seed: int) -> Pipeline:
    return make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-4, 6, 31)))


def svr(n_features: int, seed: int) -> Pipeline:
    grid = {"C": [1.0, 10.0, 100.0], "gamma": np.array([0.1, 0.3, 1.0]) / n_features}
    return _search(SVR(epsilon=0.1, cache_size=500), grid, seed)


def kernel_ridge(n_features: int, seed: int) -> Pipeline:
    grid = {"alpha": np.logspace(-3, 1, 5), "gamma": np.array([0.03, 0.1, 0.3, 1.0]) / n_features}
    return _search(KernelRidge(kernel="rbf"), grid, seed)


def mlp(n_features: int, seed: int) -> Pipeline:
    return _scaled(MLPRegressor(max_iter=1000, random_state=seed))


def mlp_early_stopping(n_features: int, seed: int) -> Pipeline:
    return _scaled(MLPRegressor(max_iter=1000, early_stopping=True, random_state=seed))


def random_forest(n_features: int, seed: int) -> Pipeline:
    model = RandomForestRegressor(n_estimators=300, n_jobs=1, random_state=seed)
    return make_pipeline(StandardScaler(), model)


def hist_gradient_boosting(n_features: int, seed: int) -> Pipeline:
    return make_pipeline(StandardScaler(), HistGradientBoostingRegressor(random_state=seed))


def lightgbm(n_features: int, seed: int) -> Pipeline:
    from lightgbm import LGBMRegressor

    model = LGBMRegressor(n_jobs=1, random_state=seed, verbosity=-1)
    return make_pipeline(StandardScaler(), model)


def catboost(n_features: int, seed: int) -> Pipeline:
    from catboost import CatBoostRegressor

    model = CatBoostRegressor(thread_count=1, random_seed=seed, verbose=False, allow_writing_files=False)
    return make_pipeline(StandardScaler(), model)


def gaussian_process(n_features: int, seed: int) -> Pipeline:
    # The length scale starts at the typical distance of standardised rows.
    rbf = RBF(np.sqrt(n_features), length_scale_bounds=(1e-2, 1e4))
    kernel = ConstantKernel(1.0, (1e-3, 1e5)) * rbf + WhiteKernel(0.1, (1e-8, 1e2))
    model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)
    return make_pipeline(StandardScaler(), model)


def realmlp(n_features: int, seed: int) -> Pipeline:
    from pytabkit import RealMLP_TD_Regressor

    model = RealMLP_TD_Regressor(device="cpu", random_state=seed, n_threads=1, verbosity=0)
    return make_pipeline(StandardScaler(), model)


def implicit(**parameters: Any) -> Factory:
    """Return a factory of ImplicitReLURegressor with these parameters, else its defaults."""

    def factory(n_features: int, seed: int) -> Pipeline:
        from sk_implicit import ImplicitReLURegressor

        model = ImplicitReLURegressor(random_state=seed).set_params(**parameters)
        return make_pipeline(StandardScaler(), model)

    return factory


FACTORIES: dict[str, Factory] = {
    OURS: implicit(),
    f"{OURS}, width=inf": implicit(width=np.inf),
    ONE_STEP: implicit(max_iter=1),
    "Ridge": ridge,
    "LightGBM": lightgbm,
    "HistGradientBoosting": hist_gradient_boosting,
    "MLP": mlp,
    "MLP, early stopping": mlp_early_stopping,
    "RandomForest": random_forest,
    "KernelRidge": kernel_ridge,
    "SVR": svr,
    "CatBoost": catboost,
    "GaussianProcess": gaussian_process,
    "RealMLP": realmlp,
}

#: Training rows beyond which a model is not run: its memory or time grows as n² to n³.
MAX_TRAINING_ROWS = {"GaussianProcess": 2000, "KernelRidge": 5000, "SVR": 5000, "RealMLP": 1000}


def model_version(name: str) -> str:
    """Return the version that a result belongs to; for our own models, of the source itself."""
    packages = {"LightGBM": "lightgbm", "CatBoost": "catboost", "RealMLP": "pytabkit"}
    if name.startswith(OURS):
        import sk_implicit

        digest = hashlib.sha256()
        for path in sorted(Path(sk_implicit.__file__).parent.rglob("*.py")):
            digest.update(path.read_bytes())
        return f"sk-implicit {sk_implicit.__version__}+{digest.hexdigest()[:8]}"
    if name not in FACTORIES:
        raise ValueError(f"no model is called {name!r}; there are {', '.join(FACTORIES)}")
    package = packages.get(name, "scikit-learn")
    return f"{package} {version(package)}"
