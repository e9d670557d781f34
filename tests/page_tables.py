"""Tables of a page as a reader sees them: cells by row and column, whatever marks them in the source."""

from __future__ import annotations

from html.parser import HTMLParser


class Tables(HTMLParser):
    """Every table by its ``data-table``: rows of cells, each as text and as the number it carries.

    A cell that spans columns stands in each of them. Of tables of one name the rows follow each other.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: dict[str, list[list[str]]] = {}
        self.numbers: dict[str, list[list[float | None]]] = {}
        self._name: str | None = None
        self._span = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "table":
            self._name = given.get("data-table") or ""
            self.texts.setdefault(self._name, [])
            self.numbers.setdefault(self._name, [])
        elif self._name is not None and tag == "tr":
            self.texts[self._name].append([])
            self.numbers[self._name].append([])
        elif self._name is not None and tag in ("td", "th"):
            self._span = int(given.get("colspan") or 1)
            self.texts[self._name][-1] += [""] * self._span
            self.numbers[self._name][-1] += [None] * self._span
        elif self._name is not None and tag == "data" and self._span:
            value = float(given["value"] or "nan")
            self.numbers[self._name][-1][-self._span :] = [value] * self._span

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._name = None
        elif tag in ("td", "th"):
            self._span = 0

    def handle_data(self, data: str) -> None:
        if self._name is not None and self._span:
            line = self.texts[self._name][-1]
            line[-self._span :] = [text + data.strip() for text in line[-self._span :]]

    def by_year(self, name: str, first_cell: str) -> dict[int, float | None]:
        """Numbers of the row that begins so, by the year that heads their column."""
        head, *_rest = self.texts[name]
        (at,) = [at for at, row in enumerate(self.texts[name]) if row[0].startswith(first_cell)]
        cells = self.numbers[name][at]
        return {int(text[:4]): cells[column] for column, text in enumerate(head) if text[:4].isdigit()}
