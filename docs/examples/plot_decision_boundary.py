"""
Classification: probabilities of two classes
============================================

The classifier's probabilities on two interleaved half circles, for three values of γ: how far the network
looks beyond its first layer. The black line is where both are equally probable; dots and triangles are the
training rows of the two classes, the title has the accuracy on test rows. Takes seconds.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import make_moons
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.model_selection import train_test_split

from sk_implicit import ImplicitReLUClassifier

X, y = make_moons(300, noise=0.25, random_state=0)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=0)

figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), sharey=True, layout="constrained")
for ax, gamma in zip(axes, [0.05, 0.4, 0.9]):
    model = ImplicitReLUClassifier(width=100, gamma=gamma, random_state=0).fit(X, y)
    regions = DecisionBoundaryDisplay.from_estimator(
        model, X, response_method="predict_proba", ax=ax, cmap="RdBu", vmin=0, vmax=1, levels=20, alpha=0.5
    )
    ax.contour(regions.xx0, regions.xx1, regions.response, levels=[0.5], colors="black", linewidths=1)
    for c, marker, colour in [(0, "o", "#b2182b"), (1, "^", "#2166ac")]:
        style = {"marker": marker, "c": colour, "edgecolor": "white", "linewidth": 0.6, "s": 28}
        ax.scatter(*X[y == c].T, label=f"class {c}", **style)
    certified = "certified" if model.contraction_ < 1 else "not certified"
    ax.set_title(f"γ = {gamma}: {model.score(X_test, y_test):.1%}, {certified}", fontsize="medium")
axes[0].legend(loc="lower left", fontsize="small")
_ = figure.colorbar(regions.surface_, ax=axes, label="probability of class 1", ticks=[0, 0.25, 0.5, 0.75, 1])
