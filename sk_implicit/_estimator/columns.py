"""From a table as it comes to numbers: which columns hold levels, and which number a level has.

Levels are known by their text: True is "True", and a number that is whole is written without a point, since
an int column with a gap comes as floats. A gap among levels is a level, None.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral, Number
from typing import Any

import numpy as np
from scipy.sparse import issparse

# What `categories_` holds of a column: its levels in their order; nothing of a column of numbers.
Levels = list[str | None]
# Types of columns that hold levels, or numbers, in the words of pandas, Arrow, polars and NumPy.
_LEVELS = ("category", "categorical", "enum", "string", "str", "utf8", "boolean", "bool")
_LEVELS_BEGIN = ("dictionary<values=string", "<u", ">u", "|s")
_NUMBERS = ("int", "uint", "float", "double", "halffloat", "decimal", "null", "sparse[int", "sparse[float")
_WORDS = {"level": "levels (strings, booleans)", "number": "numbers"}
_HOW = "Make it a number, a string or a category, or leave it out (skrub.TableVectorizer does so)"


def read_table(X, categorical: Any, known: Sequence[Levels] | None = None) -> tuple[Any, list[Levels]]:
    """Return a table with numbers for levels, NaN for gaps, and the levels of each column.

    Parameters
    ----------
    X : {array-like, sparse matrix, data frame}
        The table.
    categorical : "from_dtype", None, or array-like of bool, int or str
        The parameter ``categorical_features``.
    known : list of lists or None
        Levels of an earlier table, by which those of this one are numbered; others are NaN. None to find
        them.

    Returns
    -------
    X : object
        X itself where no column holds levels.
    categories : list of lists
        Levels of each column.

    Raises
    ------
    TypeError
        If a column holds what is neither a number nor a level; the message names it.
    ValueError
        If ``categorical`` names no columns of X.
    """
    if issparse(X):
        _refuse_named(categorical)
        return X, [[] for _ in range(X.shape[1])]
    refuse_lazy(X)
    if not (_is_frame(X) or _holds_objects(X) or not _is_default(categorical)):
        return X, []
    columns, names = _columns(X)
    if columns is None:
        return X, []
    if known is None:
        chosen = _chosen(columns, names, categorical)
        levels = [_levels(column, name) if c else [] for column, name, c in zip(columns, names, chosen)]
    else:
        levels = list(known)
    if not any(levels):
        for column, name in zip(columns, names):
            _refuse_odd(column, name)
        return X, levels
    numbers = [
        _codes(column, of, name) if of else _numbers(column, name)
        for column, of, name in zip(columns, levels, names)
    ]
    dtypes = {column.dtype for column, of in zip(numbers, levels) if not of}
    dtype = np.float32 if dtypes == {np.dtype(np.float32)} else np.float64
    return np.column_stack(numbers).astype(dtype), levels


def refuse_lazy(X) -> None:
    """Refuse a table whose rows are not there yet."""
    if type(X).__name__ == "LazyFrame":
        raise TypeError("X is a LazyFrame, which holds no rows yet: call .collect() first.")


def categorical_mask(categories: Sequence[Levels]) -> np.ndarray | None:
    """Return which columns hold levels, (d,); None where none does."""
    return np.array([bool(levels) for levels in categories]) if any(categories) else None


def _is_default(categorical: Any) -> bool:
    return categorical is None or (isinstance(categorical, str) and categorical == "from_dtype")


def _refuse_named(categorical: Any) -> None:
    if not _is_default(categorical):
        raise ValueError(
            "categorical_features names columns of a dense table; X is sparse. Encode its categories, or "
            "pass a dense table."
        )


def _is_frame(X) -> bool:
    return hasattr(X, "columns") and (hasattr(X, "iloc") or hasattr(X, "get_column"))


def _holds_objects(X) -> bool:
    dtype = getattr(X, "dtype", None)
    if dtype is None and isinstance(X, list | tuple):
        dtype = np.asarray(X, dtype=object).dtype if _has_text(X) else None
    return dtype is not None and getattr(dtype, "kind", "") in "OUSbmM"


def _has_text(rows: Iterable[Any]) -> bool:
    """Whether rows in lists hold strings."""
    return any(isinstance(row, list | tuple) and any(isinstance(v, str) for v in row) for row in rows)


def _columns(X) -> tuple[list[Any] | None, list[Any]]:
    """Return the columns of a table of two dimensions, and their names or numbers."""
    if _is_frame(X):
        get = X.get_column if hasattr(X, "get_column") else None
        names = list(X.columns)
        columns = [get(name) for name in names] if get else [X.iloc[:, j] for j in range(len(names))]
        return columns, names
    array = np.asarray(X, dtype=object) if isinstance(X, list | tuple) else np.asarray(X)
    if array.ndim != 2:
        return None, []
    return list(array.T), list(range(array.shape[1]))


def _kind(column) -> str:
    """Return "number", "level" or what else a column holds."""
    dtype = str(getattr(column, "dtype", "object"))
    base = dtype.lower().removesuffix("[pyarrow]").removeprefix("large_").split("(")[0]
    if base in _LEVELS or base.startswith(_LEVELS_BEGIN):
        return "level"
    if base.startswith(_NUMBERS):
        return "number"
    if base != "object":
        return dtype
    kinds = {_kind_of(value) for value in _values(column) if not _is_missing(value)}
    if kinds <= {"number"}:
        return "number"
    return "level" if kinds <= {"level"} else " and ".join(_WORDS.get(kind, kind) for kind in sorted(kinds))


def _kind_of(value: Any) -> str:
    if isinstance(value, str | bytes | bool | np.bool_):
        return "level"
    return "number" if isinstance(value, Number | np.number) else type(value).__name__


def _values(column) -> list[Any]:
    if hasattr(column, "to_list"):
        return column.to_list()
    return list(column.tolist() if hasattr(column, "tolist") else column)


def _is_missing(value: Any) -> bool:
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and bool(np.isnan(value))


def _text(value: Any) -> str | None:
    """Return the name of a level; None for a gap."""
    if _is_missing(value):
        return None
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, Integral) or (isinstance(value, float | np.floating) and float(value).is_integer()):
        return str(int(value))
    return str(value)


def _levels(column, name: Any) -> Levels:
    """Return the levels of a column, sorted, a gap last."""
    _refuse_odd(column, name, levels=True)
    texts = {_text(value) for value in _values(column)}
    return [*sorted(text for text in texts if text is not None), *([None] if None in texts else [])]


def _codes(column, levels: Levels, name: Any) -> np.ndarray:
    """Return the number of each row's level, NaN where it is not among them."""
    _refuse_odd(column, name, levels=True)
    number = {level: float(i) for i, level in enumerate(levels)}
    return np.array([number.get(_text(value), np.nan) for value in _values(column)])


def _numbers(column, name: Any) -> np.ndarray:
    """Return a column as floats, NaN for gaps; float32 stays."""
    _refuse_odd(column, name)
    if str(getattr(column, "dtype", "")).lower() == "float32":
        return np.asarray(column.to_numpy() if hasattr(column, "to_numpy") else column, np.float32)
    return np.array([np.nan if _is_missing(value) else float(value) for value in _values(column)])


def _refuse_odd(column, name: Any, levels: bool = False) -> None:
    """Refuse a column of what is no number or, where there may be some, no level; truth is a number."""
    kind = _kind(column)
    if kind == "number" or (levels and kind == "level") or str(column.dtype).startswith("bool"):
        return
    if kind == "level":
        raise TypeError(
            f"Column {name!r} of X holds levels where numbers were expected: an argument must be a string of "
            "a number, or a real number, unless categorical_features names its column."
        )
    raise TypeError(
        f"Column {name!r} of X holds {kind}: every argument must be a real number, or a string or another "
        f"level in a column of levels, never a mixture. {_HOW}."
    )


def _chosen(columns: list[Any], names: list[Any], categorical: Any) -> list[bool]:
    """Return which columns hold levels."""
    if categorical is None:
        return [False] * len(columns)
    if isinstance(categorical, str):
        return [_kind(column) == "level" for column in columns]
    wanted = np.asarray(categorical)
    if wanted.dtype == bool:
        if wanted.shape != (len(columns),):
            raise ValueError(
                f"categorical_features as a mask must have one entry for each of the {len(columns)} columns "
                f"of X; got shape {wanted.shape}."
            )
        return wanted.tolist()
    if wanted.size and wanted.dtype.kind in "iu":
        if wanted.min() < 0 or wanted.max() >= len(columns):
            raise ValueError(
                f"categorical_features names columns by numbers from 0 to {len(columns) - 1}; got "
                f"{categorical!r}."
            )
        return [j in set(wanted.tolist()) for j in range(len(columns))]
    unknown = [name for name in wanted.tolist() if name not in names]
    if unknown:
        raise ValueError(f"categorical_features names {unknown}, which are no columns of X: {names}.")
    return [name in set(wanted.tolist()) for name in names]
