"""The models of the benchmark of raw frames: each takes a frame of `raw_datasets` as it came.

What a model needs around it stands in its factory. The boosters read strings as categories by their own
means, RealMLP too, with the gaps of its numbers filled, as it takes none. "8 lines" is the preprocessing
that a careful user writes before an estimator of numbers. All have their defaults otherwise, one thread
and seed 0.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from models import model_version
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.compose import make_column_selector as columns
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

OURS = "sk_implicit"
SEED = 0


class Levels(TransformerMixin, BaseEstimator):
    """Casts columns of strings to categories of the levels seen in fit; others become missing."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> Levels:
        text = columns(dtype_exclude=["number", "bool"])(X)
        self.levels_ = {name: pd.CategoricalDtype(sorted(X[name].dropna().unique())) for name in text}
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        return X.astype(self.levels_)


class CatBoost(RegressorMixin, BaseEstimator):
    """CatBoost with native categories, whose names it asks for in fit; a gap is a level."""

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> CatBoost:
        from catboost import CatBoostRegressor

        self.text_ = columns(dtype_exclude=["number", "bool"])(X)
        self.model_ = CatBoostRegressor(
            thread_count=1, random_seed=SEED, verbose=False, allow_writing_files=False
        )
        self.model_.fit(self._filled(X), y, cat_features=self.text_)
        return self

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return self.model_.predict(self._filled(X))

    def _filled(self, X: pd.DataFrame) -> pd.DataFrame:
        return X.fillna(dict.fromkeys(self.text_, "missing"))


def ours(**parameters: Any) -> RegressorMixin:
    from sk_implicit import ImplicitReLURegressor

    return ImplicitReLURegressor(random_state=SEED, **parameters)


def eight_lines(model: RegressorMixin) -> Pipeline:
    """Put a model behind the preprocessing that a careful user writes."""
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    text = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore", min_frequency=5)
    )
    parts = [
        ("numbers", numbers, columns(dtype_include=["number", "bool"])),
        ("text", text, columns(dtype_exclude=["number", "bool"])),
    ]
    return make_pipeline(ColumnTransformer(parts, sparse_threshold=0), model)


def hist_gradient_boosting() -> Pipeline:
    model = HistGradientBoostingRegressor(categorical_features="from_dtype", random_state=SEED)
    return make_pipeline(Levels(), model)


def lightgbm() -> Pipeline:
    from lightgbm import LGBMRegressor

    return make_pipeline(Levels(), LGBMRegressor(n_jobs=1, random_state=SEED, verbosity=-1))


def realmlp() -> Pipeline:
    from pytabkit import RealMLP_TD_Regressor

    filled = SimpleImputer(strategy="median", add_indicator=True)
    parts = [("numbers", filled, columns(dtype_include=["number", "bool"]))]  # it drops truth values
    frame = ColumnTransformer(parts, remainder="passthrough", verbose_feature_names_out=False)
    frame.set_output(transform="pandas")
    model = RealMLP_TD_Regressor(device="cpu", random_state=SEED, n_threads=1, verbosity=0)
    return make_pipeline(frame, Levels(), model)


def skrub_pipeline() -> Pipeline:
    import skrub

    return skrub.tabular_pipeline("regressor")


LIMIT = f"{OURS}, width=inf"
BOOSTERS = ("HistGradientBoosting", "LightGBM", "CatBoost")
FACTORIES: dict[str, Callable[[], RegressorMixin]] = {
    OURS: lambda: ours(),
    LIMIT: lambda: ours(width=np.inf),
    f"{OURS}, 8 lines": lambda: eight_lines(ours()),
    f"{LIMIT}, 8 lines": lambda: eight_lines(ours(width=np.inf)),
    "HistGradientBoosting": hist_gradient_boosting,
    "LightGBM": lightgbm,
    "CatBoost": CatBoost,
    "RealMLP": realmlp,
    "skrub": skrub_pipeline,
}


def raw_version(name: str) -> str:
    """Return the version that a result belongs to."""
    return (
        f"skrub {version('skrub')}"
        if name == "skrub"
        else model_version("Implicit" if OURS in name else name)
    )
