"""Records that print as aligned text and show as a table in a notebook."""

from __future__ import annotations

from html import escape


class Report:
    """Base of the records: a subclass names its title, its rows and its verdict."""

    __slots__ = ()
    title = ""

    def rows(self) -> list[tuple[str, str]]:
        """Return what the record says, as (label, value) pairs."""
        raise NotImplementedError

    @property
    def verdict(self) -> str:
        """What follows from it, in words."""
        raise NotImplementedError

    def __str__(self) -> str:
        rows = self.rows()
        width = max(len(label) for label, _ in rows)
        lines = [self.title, "-" * len(self.title)]
        lines += [f"{label:<{width}}  {value}" for label, value in rows]
        return "\n".join([*lines, "", self.verdict])

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th style='text-align:left'>{escape(label)}</th>"
            f"<td style='text-align:left'>{escape(value)}</td></tr>"
            for label, value in self.rows()
        )
        verdict = escape(self.verdict).replace("\n", "<br>")
        return f"<table><caption>{escape(self.title)}</caption><tbody>{cells}</tbody></table><p>{verdict}</p>"
