"""Pictures: known by their bytes, drawn anew, bounded, and served for ever under an unguessable name."""

import io
import re
import struct
import zlib

import pytest
from PIL import Image

from newsletter.campaigns.content.pictures import (
    MAX_STORED_BYTES,
    MAX_UPLOAD_BYTES,
    PictureTooLarge,
    PictureUnreadable,
    picture_url,
    store_picture,
)
from tests.support.clock import NOW

SECRET = b"Katu 1, Helsinki"


@pytest.fixture
def store(app):
    return lambda uploaded: store_picture(uploaded, now=NOW, actor="staff:1")


def drawn(kind="PNG", size=(40, 30), mode="RGB", colour="red", **options):
    target = io.BytesIO()
    Image.new(mode, size, colour).save(target, kind, **options)
    return target.getvalue()


def read(picture):
    return Image.open(io.BytesIO(picture.data))


def bomb():
    """A PNG of a few bytes that claims to hold 900 million pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("kind", "kept"), [("PNG", "png"), ("JPEG", "jpg"), ("GIF", "png"), ("WEBP", "png")])
def test_each_kind_is_kept_as_one_that_every_mail_program_shows(store, kind, kept):
    made = store(drawn(kind))

    assert re.fullmatch(rf"[0-9a-f]{{32}}-40x30\.{kept}", made.name)
    assert (read(made).size, read(made).format) == ((40, 30), {"png": "PNG", "jpg": "JPEG"}[kept])
    assert picture_url(made) == f"http://127.0.0.1:8000/pictures/{made.name}"


@pytest.mark.parametrize("engine", ["sqlite"])
@pytest.mark.parametrize(
    "uploaded",
    [
        b"",
        b"GIF89a",
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"<html><script>alert(1)</script></html>",
        b"%PDF-1.7",
        drawn("BMP"),
        drawn("TIFF"),
        drawn("ICO"),
        drawn("PNG")[:60],
        drawn("JPEG", (400, 300))[:300],
    ],
    ids=["empty", "gif cut", "svg", "html", "pdf", "bmp", "tiff", "ico", "png cut", "jpeg cut"],
)
def test_what_is_no_picture_for_mail_is_refused_whatever_it_is_called(store, uploaded):
    with pytest.raises(PictureUnreadable):
        store(uploaded)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_bomb_is_refused_before_it_unfolds(store):
    with pytest.raises(PictureTooLarge):
        store(bomb())


@pytest.mark.parametrize("engine", ["sqlite"])
def test_more_than_ten_megabytes_are_refused(store):
    with pytest.raises(PictureTooLarge):
        store(b"\xff\xd8\xff" + bytes(MAX_UPLOAD_BYTES))


@pytest.mark.parametrize("engine", ["sqlite"])
def test_nothing_but_the_picture_is_kept(store):
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()  # a description
    exif.get_ifd(0x8825)[2] = (60.0, 10.0, 0.0)  # a latitude
    photo = drawn("JPEG", exif=exif, comment=SECRET) + b"<script>" + SECRET

    kept = store(photo)

    assert SECRET in photo
    assert SECRET not in kept.data
    assert (b"<script" in kept.data, dict(read(kept).getexif())) == (False, {})


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_photograph_stands_as_the_camera_was_held(store):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter

    assert read(store(drawn("JPEG", (40, 30), exif=exif))).size == (30, 40)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_a_large_picture_is_made_as_wide_as_a_newsletter_needs(store):
    assert read(store(drawn("JPEG", (4000, 3000)))).size == (1200, 900)


@pytest.mark.parametrize("engine", ["sqlite"])
def test_what_would_be_heavy_as_png_is_kept_as_jpeg(store):
    noise = Image.effect_noise((1200, 1200), 90).convert("RGB")
    target = io.BytesIO()
    noise.save(target, "PNG")

    kept = store(target.getvalue())

    assert read(kept).format == "JPEG"
    assert len(kept.data) <= MAX_STORED_BYTES


@pytest.mark.parametrize("engine", ["sqlite"])
def test_holes_stay_holes(store):
    assert read(store(drawn("PNG", mode="RGBA", colour=(255, 0, 0, 0)))).getpixel((1, 1))[3] == 0


def test_the_same_picture_twice_is_one(store):
    assert store(drawn()).name == store(drawn()).name


def test_a_picture_is_served_with_long_caching_and_as_what_it_is(store, client):
    kept = store(drawn("JPEG"))

    answer = client.get(f"/pictures/{kept.name}")

    assert answer.data == kept.data
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "name",
    ["0" * 32 + "-40x30.png", "../secret_key", "x", "0" * 32 + "-40x30.svg", "%00", "0" * 32 + "-4x3.png%0a"],
)
def test_any_other_name_is_not_found(client, name):
    assert client.get(f"/pictures/{name}").status_code == 404
