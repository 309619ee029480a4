"""Refuse a catalogue that is not in step with the sentences in the code.

Usage: check_translations.py TEMPLATE.pot TRANSLATIONS_DIRECTORY
English is the language of the code and needs no catalogue.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po


def main() -> int:
    template = _read(Path(sys.argv[1]))
    catalogues = sorted(Path(sys.argv[2]).glob("*/LC_MESSAGES/messages.po"))
    if not catalogues:
        print(f"There is no catalogue in {sys.argv[2]}.")
        return 1
    faults = [f"{path}: {fault}" for path in catalogues for fault in _faults(_read(path), template)]
    print("\n".join(faults) or f"{len(template)} sentences, all translated.")
    return 1 if faults else 0


def _read(path: Path) -> Catalog:
    with path.open("rb") as file:
        return read_po(file, locale=None if path.suffix == ".pot" else path.parts[-3])


def _faults(catalogue: Catalog, template: Catalog) -> Iterator[str]:
    for wanted in template:
        if wanted.id:
            found = catalogue.get(wanted.id, wanted.context)
            if found is None or found.id != wanted.id:  # it may have gained a plural
                yield f"missing: {wanted.id!r}"
            elif fault := _fault(found, catalogue):
                yield f"{fault}: {wanted.id!r}"
    for message in catalogue:
        if message.id and template.get(message.id, message.context) is None:
            yield f"no longer in the code: {message.id!r}"
    for message in catalogue.obsolete.values():
        yield f"obsolete: {message.id!r}"


def _fault(message: Message, catalogue: Catalog) -> str:
    if message.fuzzy:
        return "fuzzy"
    strings = message.string if isinstance(message.string, (list, tuple)) else [message.string]
    if not all(strings):
        return "not translated"
    return "; ".join(str(error) for error in message.check(catalogue))


if __name__ == "__main__":
    sys.exit(main())
