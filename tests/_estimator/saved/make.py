"""Fit the models of this folder and save them with their predictions.

They were made by version 0.1.0.dev0 as of commit 6b6d4d5, whose pickles every later version is to read. To
keep those of another version, run this with it, into another folder: ``python make.py FOLDER``.
"""

import gzip
import pickle
import sys
import warnings
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from sk_implicit import ImplicitReLUClassifier as Classifier
from sk_implicit import ImplicitReLURegressor as Regressor

rng = np.random.RandomState(7)
X = np.round(rng.standard_normal((30, 3)), 3)
y = np.round(np.sin(2 * X[:, 0]) + X[:, 1] * (X[:, 2] > 0), 3)
Y = np.round(np.column_stack([y, X[:, 2] ** 2]), 3)
two, three = (y > 0).astype(int), np.array(["a", "b", "c"])[np.digitize(y, [-0.5, 0.5])]
warm = {"warm_start": True, "random_state": 0}
CASES = {
    "regressor": (Regressor(10, random_state=0), y),
    "regressor_inf": (Regressor(np.inf), y),
    "regressor_uncertain": (Regressor(10, uncertainty=True, random_state=0), y),
    "regressor_uncertain_inf": (Regressor(np.inf, uncertainty=True), Y),
    "regressor_outputs_uncertain": (Regressor(8, uncertainty=True, random_state=0), Y),
    "regressor_warm_lm": (Regressor(10, max_iter=2, **warm), y),
    "regressor_warm_gd": (Regressor(10, solver="gd", max_iter=3, alpha=0.01, relevance=None, **warm), y),
    "regressor_warm_adam": (Regressor(10, solver="adam", max_iter=3, **warm), y),
    "regressor_warm_lbfgs": (Regressor(10, solver="lbfgs", max_iter=4, **warm), Y),
    "regressor_warm_early": (Regressor(8, early_stopping=True, max_iter=2, **warm), y),
    "regressor_gaussian": (Regressor(8, output_init="gaussian", random_state=0), y),
    "regressor_depth": (Regressor(8, depth=3, max_iter=2, **warm), y),
    "classifier_two": (Classifier(8, random_state=0), two),
    "classifier_three_warm": (Classifier(8, max_iter=2, **warm), three),
    "classifier_inf": (Classifier(np.inf), three),
    "classifier_squared_warm": (Classifier(8, loss="squared_error", max_iter=2, **warm), two),
    "classifier_inf_relevance": (Classifier(np.inf, relevance="auto"), two),
    "regressor_sparse_inf": (Regressor(np.inf, relevance=None), y),
    "regressor_float32": (Regressor(8, random_state=0, uncertainty=True), y),
}


def inputs_of(name: str):
    """Return the rows that a model was fitted to."""
    if "sparse" in name:
        return csr_array(np.where(X > 0, X, 0))
    return X.astype(np.float32) if "float32" in name else X


def predictions(model, inputs) -> np.ndarray:
    """Return probabilities or predictions."""
    return model.predict_proba(inputs) if isinstance(model, Classifier) else model.predict(inputs)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for name, (model, target) in CASES.items():
        inputs = inputs_of(name)
        model.fit(inputs, target)
        # protocol 2 has module names as text: those of NumPy 2 are written as any NumPy knows them
        data = pickle.dumps(model, protocol=2).replace(b"cnumpy._core.", b"cnumpy.core.")
        (folder / f"{name}.pickle.gz").write_bytes(gzip.compress(data, 9, mtime=0))
        arrays[name] = predictions(model, inputs)
        if getattr(model, "uncertainty", False):
            arrays[f"{name}__std"] = model.predict(inputs, return_std=True)[1]
        if model.warm_start:
            arrays[f"{name}__again"] = predictions(pickle.loads(data).fit(inputs, target), inputs)
    np.savez_compressed(folder / "predictions.npz", **arrays)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
