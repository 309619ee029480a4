"""Pictures of newsletters: what they are is read from their bytes, and what is kept is drawn anew.

Drawing anew leaves behind everything that is not the picture: the place it was taken at, comments,
bytes appended to it. They live in the database, so every machine serves them and a backup has them.
"""

import hashlib
import io
import re
import warnings
from datetime import datetime

from PIL import Image, ImageOps, WebPImagePlugin

from newsletter.campaigns.models import Picture
from newsletter.config import current_settings
from newsletter.db import db, insert_or_ignore
from newsletter.errors import N_, NewsletterError, NotFound
from newsletter.ledger import audit

LARGEST_UPLOAD = 10_000_000
#: Bytes as kept. Mailboxes show small pictures sooner, and phones pay for them.
LARGEST_KEPT = 1_000_000
#: A small file may unfold to any number of pixels: those of a camera are enough.
MOST_PIXELS = 50_000_000
#: Twice the width of a newsletter, for screens that show two pixels for one.
WIDEST, HIGHEST = 1200, 4000
#: What is taken, and what it is kept as.
KINDS = {"JPEG": "JPEG", "PNG": "PNG", "GIF": "PNG", WebPImagePlugin.WebPImageFile.format: "PNG"}
#: Some cameras put several photographs into one JPEG; the first is the one.
_SEVERAL = "MPO"
SUFFIXES = {"JPEG": "jpg", "PNG": "png"}
TYPES = {"jpg": "image/jpeg", "png": "image/png"}
NAME = re.compile(r"[0-9a-f]{32}-([1-9][0-9]{0,4})x[1-9][0-9]{0,4}\.(?:jpg|png)")


class PictureUnreadable(NewsletterError):
    """Not a picture that mail programs show."""

    message = N_("This is not a picture in JPEG, PNG, GIF or WebP format.")


class PictureTooLarge(NewsletterError):
    """More bytes or pixels than we take."""

    message = N_("The picture is too large. At most 10 MB and 50 million pixels are taken.")


class UnknownPicture(NotFound):
    """There is no picture of that name."""

    message = N_("There is no such picture.")


def store_picture(uploaded: bytes, *, now: datetime, actor: str) -> Picture:
    """Keep a picture, drawn anew, and return it; the same picture twice is one.

    Raises PictureUnreadable or PictureTooLarge.
    """
    if len(uploaded) > LARGEST_UPLOAD:
        raise PictureTooLarge
    kept, kind, (width, height) = _drawn_anew(uploaded)
    name = f"{hashlib.sha256(kept).hexdigest()[:32]}-{width}x{height}.{SUFFIXES[kind]}"
    row = {"name": name, "data": kept, "uploaded_at": now, "uploaded_by": actor}
    if insert_or_ignore(Picture, row):
        audit.record("picture uploaded", actor=actor, now=now, object=f"picture:{name}")
    return get_picture(name)


def get_picture(name: str) -> Picture:
    """Return a picture; raise UnknownPicture."""
    # Anything else may be no text at all to the database.
    found = db.session.get(Picture, name) if NAME.fullmatch(name) else None
    if found is None:
        raise UnknownPicture
    return found


def picture_url(picture: Picture) -> str:
    """Return the address of a picture, as it stands in mails."""
    return f"{current_settings().base_url}/pictures/{picture.name}"


def shown_width(address: str) -> int | None:
    """Return how wide a picture of ours is, at most, on screens with two pixels for one."""
    before, _slash, name = address.rpartition("/")
    found = NAME.fullmatch(name) if before == f"{current_settings().base_url}/pictures" else None
    return int(found[1]) if found else None


def _drawn_anew(uploaded: bytes) -> tuple[bytes, str, tuple[int, int]]:
    try:
        with warnings.catch_warnings():
            # Pillow only warns of what may be a bomb; the size stands in the header, before the pixels.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(uploaded), formats=tuple(KINDS)) as opened:
                if opened.width * opened.height > MOST_PIXELS:
                    raise PictureTooLarge
                kind = "JPEG" if opened.format == _SEVERAL else KINDS[opened.format or ""]
                # The first picture of an animation; turned as the camera was held.
                drawn = _turned(opened)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise PictureTooLarge from error
    except (OSError, ValueError, SyntaxError, KeyError, EOFError, MemoryError) as error:
        raise PictureUnreadable from error
    return _fitting(drawn, kind)


def _turned(opened: Image.Image) -> Image.Image:
    opened.draft("RGB", (2 * WIDEST, 2 * WIDEST))  # a JPEG can be read at a fraction of its size
    turned = ImageOps.exif_transpose(opened)
    has_holes = "A" in turned.getbands() or "transparency" in turned.info
    drawn = turned.convert("RGBA" if has_holes else "RGB")
    drawn.thumbnail((WIDEST, HIGHEST))
    return drawn


def _fitting(drawn: Image.Image, kind: str) -> tuple[bytes, str, tuple[int, int]]:
    if kind == "PNG":
        kept = _saved(drawn, "PNG", optimize=True)
        if len(kept) <= LARGEST_KEPT:
            return kept, "PNG", drawn.size
        if drawn.mode == "RGBA":  # a JPEG has no holes: white shows through
            paper = Image.new("RGBA", drawn.size, "white")
            drawn = Image.alpha_composite(paper, drawn)
    drawn = drawn.convert("RGB")
    while True:
        for quality in (85, 75, 60):
            kept = _saved(drawn, "JPEG", quality=quality, optimize=True, progressive=True)
            if len(kept) <= LARGEST_KEPT:
                return kept, "JPEG", drawn.size
        drawn = drawn.reduce(2)


def _saved(drawn: Image.Image, kind: str, **options: object) -> bytes:
    bare = Image.frombytes(drawn.mode, drawn.size, drawn.tobytes())  # the pixels, and nothing beside them
    target = io.BytesIO()
    bare.save(target, kind, **options)
    return target.getvalue()
