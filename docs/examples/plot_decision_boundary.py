"""
Classification: probabilities of two classes
============================================

The classifier's probabilities on two interleaved half circles, for three values of γ: how far the network
looks beyond its first layer. Takes seconds.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import make_moons
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.model_selection import train_test_split

from sk_implicit import ImplicitReLUClassifier

X, y = make_moons(300, noise=0.25, random_state=0)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=0)

figure, axes = plt.subplots(1, 3, figsize=(10, 3.4), sharey=True, layout="constrained")
for ax, gamma in zip(axes, [0.05, 0.4, 0.9]):
    model = ImplicitReLUClassifier(width=100, gamma=gamma, random_state=0).fit(X, y)
    DecisionBoundaryDisplay.from_estimator(
        model, X, response_method="predict_proba", ax=ax, cmap="RdBu", vmin=0, vmax=1, levels=20, alpha=0.8
    )
    ax.scatter(*X.T, c=y, cmap="RdBu", edgecolor="k", linewidth=0.5, s=15)
    certified = "certified" if model.contraction_ < 1 else "not certified"
    ax.set_title(f"γ = {gamma}: {model.score(X_test, y_test):.1%}, {certified}", fontsize="medium")
