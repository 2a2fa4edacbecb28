"""XML with line numbers and without document types."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from fgic_core import DataError, regular_file

#: How many bytes the annotation of one picture may have.
_LARGEST = 16 << 20


class Annotation:
    """The elements of an XML file, each with the line it starts on.

    A document type is refused: it is what entity expansion ("billion laughs") and outside entities need, and no
    annotation file has one.

    Args:
        path: the file.

    Raises:
        DataError: the file is missing, is not well-formed, or has a document type; the message names the line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: dict[Element, int] = {}
        self._builder = TreeBuilder()
        self._parser = expat.ParserCreate()
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._builder.end
        self._parser.CharacterDataHandler = self._builder.data
        try:
            self._parser.Parse(regular_file(path, _LARGEST).read_bytes(), True)
        except expat.ExpatError as error:
            raise DataError(
                f"this is not well-formed XML: {expat.ErrorString(error.code)}",
                where=f"{path}:{error.lineno}",
                hint="Restore the file from the data set's archive.",
            ) from None
        except FileNotFoundError:
            raise DataError(
                "the annotation is missing", where=str(path), hint="Restore it, or take the picture off the lists."
            ) from None
        except OSError as error:
            raise DataError(f"the annotation cannot be read: {error}", where=str(path)) from None
        self.root = self._builder.close()

    def _refuse(self, *_: object) -> None:
        raise DataError(
            "this XML declares a document type, which an annotation has no use for",
            where=f"{self.path}:{self._parser.CurrentLineNumber}",
            hint="Remove the DOCTYPE, or the file.",
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._lines[self._builder.start(tag, attributes)] = self._parser.CurrentLineNumber

    def place(self, element: Element) -> str:
        """``file:line`` of an element."""
        return f"{self.path}:{self._lines[element]}"

    def text(self, element: Element, tag: str) -> tuple[str, str]:
        """The text of the child of that name, and its place.

        Raises:
            DataError: there is no such child.
        """
        child = element.find(tag)
        if child is None:
            raise DataError(f"<{element.tag}> has no <{tag}>", where=self.place(element))
        return (child.text or "").strip(), self.place(child)
