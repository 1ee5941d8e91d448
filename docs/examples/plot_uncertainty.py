"""
Uncertainty: a network, its limit, and a gap in the data
========================================================

With ``uncertainty=True`` a fit knows how sure it is. Bands are ±1.96 standard deviations of a new
observation; the dots are noisy observations of the dashed function, with a gap in the middle. Takes seconds.
"""

import matplotlib.pyplot as plt
import numpy as np

from sk_implicit import ImplicitReLURegressor


def function(x):
    return np.sin(3 * x) + 0.5 * x


rng = np.random.default_rng(0)
x = np.concatenate([rng.uniform(-2, -0.6, 40), rng.uniform(0.6, 2, 40)])
y = function(x) + 0.2 * rng.standard_normal(len(x))
grid = np.linspace(-3, 3, 300)

# %%
# The same call at width 200 and at infinite width.

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
for ax, width in zip(axes, [200, np.inf]):
    model = ImplicitReLURegressor(width=width, uncertainty=True, random_state=0).fit(x[:, None], y)
    mean, std = model.predict(grid[:, None], return_std=True)
    ax.fill_between(grid, mean - 1.96 * std, mean + 1.96 * std, alpha=0.25, linewidth=0)
    ax.plot(grid, mean)
    ax.plot(grid, function(grid), "k--", linewidth=1)
    ax.plot(x, y, "k.", markersize=4)
    ax.set(title=f"width = {width}, noise {model.noise_std_[0]:.2f}", xlabel="x", ylim=(-4, 4))

# %%
# The noise was 0.2. In the gap the bands widen, and hold the function. Outside the data they widen as well,
# but on both sides the function leaves them within one unit of the last rows: there the prior of the network
# takes over, which continues the function nearly on a straight line and knows nothing of its waves.
