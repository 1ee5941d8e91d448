"""Where the package stands, in one picture and one table, from the results of the other benchmarks.

    python docs/benchmarks/standing.py

Nothing is run: the newest results of the confirmation tables (`accuracy.py`), of the confirmation part of the
raw frames (`raw_tables.py`) and of the classification benchmark are read, ranked and written to
``results/standing.md`` and ``results/standing.png``. Ranks of our variants are those of each alone beside the
other models, ranks of the others are those beside the first variant.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from critical_difference import mean_ranks
from raw_datasets import CONFIRMATION, names

RESULTS = Path(__file__).parent / "results"
OURS = ("sk_implicit", "sk_implicit, width=inf")
CELL = ["dataset", "model", "fold"]
BLUE, GREY = "#0072B2", "#8a8a8a"


@dataclass(frozen=True)
class Part:
    """One benchmark: what it is of, its measure, and what it is read from."""

    title: str
    measure: str
    higher_is_better: bool
    read: Callable[[], pd.DataFrame]  # a row for each fold: dataset, model, value, fit_seconds


def _accuracy() -> pd.DataFrame:
    frame = pd.read_csv(RESULTS / "accuracy_confirmation.csv")
    frame["model"] = frame["model"].str.replace(r"^Implicit", OURS[0], regex=True)
    return frame.rename(columns={"r2": "value"})


def _raw() -> pd.DataFrame:
    frame = pd.read_csv(RESULTS / "raw_tables.csv")
    return frame[frame["dataset"].isin(names(CONFIRMATION))].rename(columns={"r2": "value"})


def _classes() -> pd.DataFrame:
    frame = pd.read_csv(RESULTS / "classification.csv")
    frame["model"] = frame["model"].str.replace(r"^Implicit", OURS[0], regex=True)
    return frame.rename(columns={"data": "dataset", "log_loss": "value"})


PARTS = (
    Part("tables", "R²", True, _accuracy),
    Part("raw tables (text, gaps)", "R²", True, _raw),
    Part("tables with classes", "log-loss", False, _classes),
)


def cells(part: Part) -> tuple[pd.DataFrame, pd.Series]:
    """Return the mean values (tables, models) of models that have finished all, and their seconds of fit."""
    frame = part.read().drop_duplicates(CELL, keep="last")
    folds = frame.groupby("dataset")["fold"].nunique()
    mean = frame.groupby(["dataset", "model"]).agg(
        value=("value", "mean"), folds=("fold", "size"), seconds=("fit_seconds", "sum")
    )
    mean = mean[mean["folds"] == folds.reindex(mean.index.get_level_values(0)).to_numpy()]
    values = mean["value"].unstack()
    kept = [name for name in values if name in OURS or not name.startswith(OURS[0])]
    values = values[kept].dropna(axis=1)
    return values, mean["seconds"].groupby("model").sum()[values.columns]


def ranks(part: Part, values: pd.DataFrame) -> pd.Series:
    """Return the mean rank of every model; 1 is best."""
    scores = values if part.higher_is_better else -values
    ours = [name for name in OURS if name in values]
    others = [name for name in values if name not in OURS]
    found = {}
    for name in reversed(ours):  # the first one comes last, and leaves the others' ranks
        found |= dict(zip([name, *others], mean_ranks(scores[[name, *others]].to_numpy())))
    return pd.Series(found).sort_values()


def draw(found: list[tuple[Part, pd.DataFrame, pd.Series]]):
    """Draw the mean ranks: the first part on the left, the others one below the other."""
    heights = [len(order) + 2 for _, _, order in found[1:]]
    layout = [["0", str(j)] for j in range(1, len(found))]
    figure, axes = plt.subplot_mosaic(layout, figsize=(10, 5.2), layout="constrained", height_ratios=heights)
    figure.suptitle("Mean ranks; 1 is best", fontsize=11, fontweight="bold")
    for ax, (part, values, order) in zip(axes.values(), found):
        order = order[::-1]
        ax.barh(
            order.index, order, color=[BLUE if name in OURS else GREY for name in order.index], height=0.7
        )
        for y, (name, rank) in enumerate(order.items()):
            ax.text(rank + 0.1, y, f"{rank:.1f}", va="center", fontsize=9)
            if name in OURS:
                ax.get_yticklabels()[y].set(color=BLUE, fontweight="bold")
        ax.set_title(f"{len(values)} {part.title}, by {part.measure}", fontsize=11, loc="left")
        ax.set(xlim=(0, order.max() + 0.9), xticks=[])
        ax.tick_params(axis="y", length=0, labelsize=10)
        ax.spines[["top", "right", "bottom"]].set_visible(False)
    return figure


def summarise(found: list[tuple[Part, pd.DataFrame, pd.Series]], seconds: list[pd.Series]) -> str:
    """Return the table as Markdown."""
    models = list(dict.fromkeys([*OURS, *(name for _, _, order in found for name in order.index)]))
    heads = ["model"]
    for part, values, _ in found:
        heads += [f"{len(values)} {part.title}: mean rank", f"mean {part.measure}", "fit, s"]
    lines = [f"| {' | '.join(heads)} |", "|---|" + "--:|" * (len(heads) - 1)]
    for name in models:
        row = [f"**{name}**" if name in OURS else name]
        for (_, values, order), spent in zip(found, seconds):
            row += (
                [f"{order[name]:.2f}", f"{values[name].mean():.3f}", f"{spent[name]:.0f}"]
                if name in order
                else ["–"] * 3
            )
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the table and the picture."""
    found, seconds = [], []
    for part in PARTS:
        values, spent = cells(part)
        found.append((part, values, ranks(part, values)))
        seconds.append(spent)
    text = summarise(found, seconds)
    (RESULTS / "standing.md").write_text(text, encoding="utf-8")
    draw(found).savefig(RESULTS / "standing.png", dpi=150)
    print(text)


if __name__ == "__main__":
    main()
