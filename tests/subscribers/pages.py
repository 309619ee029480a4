"""Reads a page the way a screen reader does: what a field says follows from its attributes."""

from selectolax.lexbor import LexborHTMLParser
from werkzeug.test import TestResponse


class Page:
    """One answer, as its reader perceives it."""

    def __init__(self, response: TestResponse) -> None:
        self.status = response.status_code
        self._tree = LexborHTMLParser(response.text)

    @property
    def language(self) -> str | None:
        """The language the page claims to be in."""
        return self._tree.css("html")[0].attributes["lang"]

    @property
    def heading(self) -> str:
        """The one heading of the first level."""
        (heading,) = self.texts("h1")
        return heading

    @property
    def errors(self) -> dict[str, str]:
        """What is wrong with each field, found through the field itself."""
        said = {}
        for field in self._tree.css("[aria-invalid=true]"):
            described_by = str(field.attributes["aria-describedby"]).split()
            (error,) = [name for name in described_by if name.endswith("-error")]
            said[str(field.attributes["name"])] = self._without_prefix(f"#{error}")
        return said

    @property
    def summary(self) -> list[tuple[str, str]]:
        """The summary of errors: for each the field its link leads to, and what it says."""
        found = []
        for link in self._tree.css("[role=alert] a"):
            target = str(link.attributes["href"])
            assert self._tree.css(target), f"there is no {target}"
            found.append((target, _squeezed(link.text())))
        return found

    @property
    def checked(self) -> list[str]:
        """The boxes that are ticked, by id."""
        return [str(box.attributes["id"]) for box in self._tree.css("input[type=checkbox][checked]")]

    def value(self, name: str) -> str | None:
        """Return what a field holds."""
        return self._tree.css(f"input[name={name}]")[0].attributes["value"]

    def label(self, field: str) -> str:
        """Return the words beside a field."""
        (label,) = self.texts(f"label[for={field}]")
        return label

    def form(self, kind: str) -> str:
        """Return where the one form of a class is sent."""
        (form,) = self._tree.css(f"form.{kind}")
        return str(form.attributes["action"])

    def link(self, text: str) -> str:
        """Return where the one link with these words leads."""
        (url,) = [
            str(link.attributes["href"])
            for link in self._tree.css("main a")
            if _squeezed(link.text()) == text
        ]
        return url

    def links(self, selector: str) -> list[str]:
        """Return where each link of a kind leads."""
        return [str(link.attributes["href"]) for link in self._tree.css(selector)]

    def texts(self, selector: str) -> list[str]:
        """Return the words of each element of a kind."""
        return [_squeezed(element.text()) for element in self._tree.css(selector)]

    def _without_prefix(self, selector: str) -> str:
        (element,) = self._tree.css(selector)
        hidden = "".join(part.text() for part in element.css(".hidden"))
        return _squeezed(element.text().removeprefix(hidden))


def _squeezed(text: str) -> str:
    return " ".join(text.split())
