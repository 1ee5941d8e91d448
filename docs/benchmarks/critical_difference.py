"""Comparison of several models over many data sets: ranks, tests and the picture of them.

After Demšar, *Statistical comparisons of classifiers over multiple data sets* (JMLR 7, 2006), with
the pairwise test recommended by Benavoli, Corani and Mangili (JMLR 17, 2016).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range, wilcoxon


def mean_ranks(scores: np.ndarray) -> np.ndarray:
    """Return the mean rank of each column of scores (data sets, models); 1 is best."""
    return rankdata(-scores, axis=1).mean(axis=0)


def friedman_p(scores: np.ndarray) -> float:
    """Return the p-value of "all models rank alike"."""
    return float(friedmanchisquare(*scores.T).pvalue)


def nemenyi_difference(n_models: int, n_datasets: int, level: float = 0.05) -> float:
    """Return the critical difference of mean ranks: q √(k(k+1)/(6N)), Demšar's section 3.2.2."""
    q = studentized_range.ppf(1 - level, n_models, np.inf) / np.sqrt(2)
    return float(q * np.sqrt(n_models * (n_models + 1) / (6 * n_datasets)))


def wilcoxon_holm(scores: np.ndarray, control: int) -> np.ndarray:
    """Return p-values of Wilcoxon's signed-rank test of each column against the control column.

    Adjusted by Holm's step-down procedure for the k − 1 comparisons; NaN for the control itself.
    """
    others = np.delete(np.arange(scores.shape[1]), control)
    p = np.array([wilcoxon(scores[:, j], scores[:, control]).pvalue for j in others])
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.full(scores.shape[1], np.nan)
    adjusted[others[order]] = np.minimum(stepped, 1.0)
    return adjusted


def cliques(ranks: np.ndarray, difference: float) -> list[tuple[int, int]]:
    """Return the maximal runs (first, last) of sorted ranks within the critical difference."""
    runs: list[tuple[int, int]] = []
    for first, rank in enumerate(ranks):
        last = int(np.searchsorted(ranks, rank + difference)) - 1
        if last > first and (not runs or last > runs[-1][1]):
            runs.append((first, last))
    return runs


def plot(scores: np.ndarray, models: list[str], path: Path, *, control: str) -> None:
    """Draw the critical-difference diagram of scores (data sets, models) into a PNG file.

    Bars join models whose mean ranks Nemenyi's test does not tell apart at 0.05. With the control
    among the models, each other label ends with its p-value of `wilcoxon_holm` against it.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    n, k = scores.shape
    order = np.argsort(mean_ranks(scores))
    scores, models = scores[:, order], [models[index] for index in order]
    ranks = mean_ranks(scores)
    difference = nemenyi_difference(k, n)
    bars = cliques(ranks, difference)
    labels = [f"{model}  {rank:.2f}" for model, rank in zip(models, ranks)]
    if control in models:
        p_values = wilcoxon_holm(scores, models.index(control))
        labels = [
            label if model == control else f"{label}  (p = {p:.2g})"
            for label, model, p in zip(labels, models, p_values)
        ]

    low, high = int(np.floor(ranks[0])), int(np.ceil(ranks[-1]))
    half = (k + 1) // 2
    depth = 0.6 + 0.35 * len(bars)
    figure, ax = plt.subplots(figsize=(9, 1.9 + 0.32 * half + 0.13 * len(bars)))
    ax.hlines(0, low, high, color="black", linewidth=1)
    for tick in range(low, high + 1):
        ax.vlines(tick, 0, 0.2, color="black", linewidth=1)
        ax.text(tick, 0.3, str(tick), ha="center", va="bottom", fontsize=10)
    for height, (first, last) in enumerate(bars):
        y = -0.45 - 0.35 * height
        ax.hlines(y, ranks[first] - 0.05, ranks[last] + 0.05, color="black", linewidth=4)

    margin = 0.02 * (high - low)
    for position, (model, rank, label) in enumerate(zip(models, ranks, labels)):
        left = position < half
        y = -depth - 0.75 * (position if left else k - 1 - position)
        edge, side = (low - margin, "right") if left else (high + margin, "left")
        style = {"color": "tab:red" if model == control else "black"}
        ax.plot([rank, rank, edge], [0, y, y], linewidth=1, **style)
        ax.text(edge, y, f" {label} ", ha=side, va="center", fontsize=10, **style)

    ax.hlines(1.5, low, low + difference, color="gray", linewidth=1.5)
    ax.vlines([low, low + difference], 1.35, 1.65, color="gray", linewidth=1.5)
    scale = f"critical difference {difference:.2f}"
    ax.text(low + difference + margin, 1.5, scale, va="center", color="gray", fontsize=9)
    title = (
        f"Mean rank of R² on {n} data sets (1 = best); Friedman p = {friedman_p(scores):.1e}\n"
        "Bars join ranks that Nemenyi's test does not tell apart at 0.05"
    )
    if control in models:
        title += f"\nIn brackets: Wilcoxon test against {control}, Holm-adjusted"
    ax.set_title(title, fontsize=10)
    width = high - low
    ax.set_xlim(low - 0.5 * width, high + 0.5 * width)
    ax.set_axis_off()
    figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)
