"""Draw the map of the package: rooms on their floors, and an arrow where one imports from another.

``python docs/images/architecture.py`` writes ``architecture.svg`` beside this file. An arrow is left out
where there is another way down. The tests compare the picture with the imports.
"""

from __future__ import annotations

from pathlib import Path

# Rooms, from the top: floor, left edge and width, and what they are for.
ROOMS: dict[str, tuple[int, int, int, str]] = {
    "display": (0, 190, 200, "plots"),
    "onnx": (0, 500, 360, "export"),
    "kernel": (1, 10, 160, "Gaussian processes"),
    "theory": (1, 190, 200, "certificates, rates"),
    "regressor": (1, 410, 220, "what a user imports"),
    "classifier": (1, 650, 220, "what a user imports"),
    "_estimator": (2, 190, 680, "validates, warns, saves; knows scikit-learn"),
    "models": (3, 190, 680, "fitted models, and the two functions that fit them"),
    "inputs": (4, 190, 330, "from a table to what a network sees"),
    "training": (4, 540, 330, "driver, objective, solvers"),
    "function_space": (5, 265, 255, "algebra on a kernel matrix"),
    "network": (5, 540, 330, "forward, adjoint, tangent"),
    "equilibrium": (6, 540, 330, "solvers of z = σ(sAz + φ)"),
    "limit": (7, 10, 330, "kernels of infinite width"),
    "_numerics": (7, 360, 510, "blocks, ranges, BLAS, spectra"),
}
ARROWS = [
    ("display", "theory"),
    ("onnx", "regressor"),
    ("onnx", "classifier"),
    ("theory", "_estimator"),
    ("regressor", "_estimator"),
    ("classifier", "_estimator"),
    ("_estimator", "models"),
    ("models", "inputs"),
    ("models", "training"),
    ("training", "function_space"),
    ("training", "network"),
    ("inputs", "function_space"),
    ("inputs", "limit"),
    ("function_space", "_numerics"),
    ("network", "equilibrium"),
    ("kernel", "limit"),
    ("equilibrium", "_numerics"),
]
WIDTH, FLOOR, HEIGHT = 880, 84, 46
COLOURS = ["#f4e3ef", "#fdf0d8", "#fbe9dd", "#dbe9f6", "#e3f1e1", "#ece5f4", "#f9e4e0", "#e8e8e8"]


def top(room: str) -> int:
    """Return the upper edge of a room."""
    return 10 + ROOMS[room][0] * FLOOR


def port(room: str, pairs: list[tuple[str, str]], pair: tuple[str, str], other: int) -> float:
    """Return where an arrow leaves or enters a room: side by side, in the order of their other ends."""
    _, left, width, _ = ROOMS[room]
    ordered = sorted(pairs, key=lambda p: ROOMS[p[other]][1] + ROOMS[p[other]][2] / 2)
    return left + width * (ordered.index(pair) + 1) / (len(ordered) + 1)


def arrow(pair: tuple[str, str]) -> str:
    """Return the path from a room to the one that it imports."""
    upper, lower = pair
    x1 = port(upper, [p for p in ARROWS if p[0] == upper], pair, 1)
    x2 = port(lower, [p for p in ARROWS if p[1] == lower], pair, 0)
    y1, y2 = top(upper) + HEIGHT, top(lower)
    turn = y1 + FLOOR - HEIGHT - 8  # an arrow across several floors is vertical from here on
    bend = (turn - y1) / 2
    path = f"M{x1:.0f} {y1} C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {turn - bend:.0f} {x2:.0f} {turn} V{y2 - 1}"
    return (
        f'<path class="arrow" data-from="{upper}" data-to="{lower}" d="{path}" fill="none" stroke="#555" '
        'stroke-width="1.4" marker-end="url(#tip)"/>'
    )


def draw() -> str:
    """Return the picture."""
    height = max(top(room) for room in ROOMS) + HEIGHT + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        'role="img" aria-label="Rooms of the package; imports run downwards">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="#555"/></marker></defs>',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *map(arrow, ARROWS),
    ]
    for room, (floor, left, width, what) in ROOMS.items():
        middle = left + width / 2
        lines += [
            f'<rect class="room" id="{room}" x="{left}" y="{top(room)}" width="{width}" height="{HEIGHT}" '
            f'rx="6" fill="{COLOURS[floor]}" stroke="#888"/>',
            f'<text x="{middle:.0f}" y="{top(room) + 19}" font-size="15" font-weight="bold" '
            f'text-anchor="middle" font-family="monospace" fill="#222">{room}</text>',
            f'<text x="{middle:.0f}" y="{top(room) + 37}" font-size="13" text-anchor="middle" '
            f'fill="#333">{what}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    Path(__file__).with_suffix(".svg").write_text(draw(), encoding="utf-8")
