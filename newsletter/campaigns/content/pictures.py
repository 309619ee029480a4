"""Pictures of newsletters: identified by their content, decoded and encoded again.

Encoding again drops metadata (such as the place), comments and appended bytes. Pictures are stored in the
database, so every machine serves them and backups include them.
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

MAX_UPLOAD_BYTES = 10_000_000
#: Maximum bytes of a stored picture.
MAX_STORED_BYTES = 1_000_000
#: Maximum number of pixels, against decompression bombs.
MAX_PIXELS = 50_000_000
#: Maximum size in pixels: twice the width of a newsletter, for high-density screens.
MAX_WIDTH, MAX_HEIGHT = 1200, 4000
#: The accepted formats, and the format each is stored in.
STORED_FORMATS = {"JPEG": "JPEG", "PNG": "PNG", "GIF": "PNG", WebPImagePlugin.WebPImageFile.format: "PNG"}
#: Multi-picture JPEG of some cameras; the first picture is used.
_MULTI_PICTURE_FORMAT = "MPO"
SUFFIXES = {"JPEG": "jpg", "PNG": "png"}
MIME_TYPES = {"jpg": "image/jpeg", "png": "image/png"}
NAME_PATTERN = re.compile(r"[0-9a-f]{32}-([1-9][0-9]{0,4})x[1-9][0-9]{0,4}\.(?:jpg|png)")


class PictureUnreadable(NewsletterError):
    """The file is not in an accepted format."""

    message = N_("This is not a picture in JPEG, PNG, GIF or WebP format.")


class PictureTooLarge(NewsletterError):
    """Too many bytes or pixels."""

    message = N_("The picture is too large. At most 10 MB and 50 million pixels are taken.")


class UnknownPicture(NotFound):
    """No picture has that name."""

    message = N_("There is no such picture.")


def store_picture(uploaded: bytes, *, now: datetime, actor: str) -> Picture:
    """Encode and store a picture, and return it; the same picture twice gives one row.

    Raises PictureUnreadable or PictureTooLarge.
    """
    if len(uploaded) > MAX_UPLOAD_BYTES:
        raise PictureTooLarge
    kept, kind, (width, height) = _reencode(uploaded)
    name = f"{hashlib.sha256(kept).hexdigest()[:32]}-{width}x{height}.{SUFFIXES[kind]}"
    row = {"name": name, "data": kept, "uploaded_at": now, "uploaded_by": actor}
    if insert_or_ignore(Picture, row):
        audit.record("picture uploaded", actor=actor, now=now, object=f"picture:{name}")
    return get_picture(name)


def get_picture(name: str) -> Picture:
    """Return a picture; raise UnknownPicture."""
    # Other names may hold characters that the database rejects.
    found = db.session.get(Picture, name) if NAME_PATTERN.fullmatch(name) else None
    if found is None:
        raise UnknownPicture
    return found


def picture_url(picture: Picture) -> str:
    """Return the absolute URL of a picture."""
    return f"{current_settings().base_url}/pictures/{picture.name}"


def display_width(address: str) -> int | None:
    """Return the display width of our own picture at double density, None for other URLs."""
    before, _slash, name = address.rpartition("/")
    found = NAME_PATTERN.fullmatch(name) if before == f"{current_settings().base_url}/pictures" else None
    return int(found[1]) if found else None


def _reencode(uploaded: bytes) -> tuple[bytes, str, tuple[int, int]]:
    try:
        with warnings.catch_warnings():
            # Pillow only warns of decompression bombs; the size is known before decoding.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(uploaded), formats=tuple(STORED_FORMATS)) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise PictureTooLarge
                kind = (
                    "JPEG" if opened.format == _MULTI_PICTURE_FORMAT else STORED_FORMATS[opened.format or ""]
                )
                # The first frame of an animation, with the EXIF orientation applied.
                drawn = _normalize(opened)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise PictureTooLarge from error
    except (OSError, ValueError, SyntaxError, KeyError, EOFError, MemoryError) as error:
        raise PictureUnreadable from error
    return _encode_within_limit(drawn, kind)


def _normalize(opened: Image.Image) -> Image.Image:
    opened.draft("RGB", (2 * MAX_WIDTH, 2 * MAX_WIDTH))  # a JPEG can be read at a fraction of its size
    turned = ImageOps.exif_transpose(opened)
    has_holes = "A" in turned.getbands() or "transparency" in turned.info
    drawn = turned.convert("RGBA" if has_holes else "RGB")
    drawn.thumbnail((MAX_WIDTH, MAX_HEIGHT))
    return drawn


def _encode_within_limit(drawn: Image.Image, kind: str) -> tuple[bytes, str, tuple[int, int]]:
    if kind == "PNG":
        kept = _encode(drawn, "PNG", optimize=True)
        if len(kept) <= MAX_STORED_BYTES:
            return kept, "PNG", drawn.size
        if drawn.mode == "RGBA":  # JPEG has no alpha channel: blend with white
            paper = Image.new("RGBA", drawn.size, "white")
            drawn = Image.alpha_composite(paper, drawn)
    drawn = drawn.convert("RGB")
    while True:
        for quality in (85, 75, 60):
            kept = _encode(drawn, "JPEG", quality=quality, optimize=True, progressive=True)
            if len(kept) <= MAX_STORED_BYTES:
                return kept, "JPEG", drawn.size
        drawn = drawn.reduce(2)


def _encode(drawn: Image.Image, kind: str, **options: object) -> bytes:
    bare = Image.frombytes(drawn.mode, drawn.size, drawn.tobytes())  # pixels without metadata
    target = io.BytesIO()
    bare.save(target, kind, **options)
    return target.getvalue()
