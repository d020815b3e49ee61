"""A corpus of hostile and odd pictures, made by code: (name, bytes, reason expected or a check of the picture)."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image

Check = str | Callable[[Image.Image], bool]


def picture(width=64, height=48):
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8))


def saved(image, kind, **more):
    buffer = io.BytesIO()
    image.save(buffer, kind, **more)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes, crc: int | None = None) -> bytes:
    check = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def png(width, height, body=None, depth=8, colour=2, extra=b"", after=b""):
    if body is None:
        body = zlib.compress(b"\0" * 4096)
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", body)
    return parts + chunk(b"IEND", b"") + after


def gif(frames, width=2, height=2):
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\xff\x00\x00\x00\x00\xff"
    image = b"\x2c" + struct.pack("<HHHHB", 0, 0, 2, 2, 0) + b"\x02\x03\x44\x02\x05\x00"
    return head + image * frames + b"\x3b"


def near(colour, tolerance=8):
    def check(image):
        small = np.asarray(image.resize((4, 4), Image.Resampling.BOX), int)
        return bool(np.abs(small.reshape(-1, 3).mean(0) - colour).max() <= tolerance)

    return check


def size(width, height):
    return lambda image: image.size == (width, height)


def with_exif(orientation, extra=b""):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(picture(), "JPEG", exif=exif.tobytes() + extra, quality=95)


def upright(image):
    """The gradient of red must run along x wherever the camera was held sideways or not; sizes tell which."""
    return image.size in ((64, 48), (48, 64)) and image.mode == "RGB"


def corpus() -> list[tuple[str, bytes, Check]]:
    jpeg, whole = saved(picture(), "JPEG", quality=90), saved(picture(), "PNG")
    webp = saved(picture(), "WEBP", quality=80)
    out: list[tuple[str, bytes, Check]] = [("zero bytes", b"", "empty")]
    for i in range(10):
        out.append((f"jpeg truncated {i}", jpeg[: max(1, len(jpeg) * i // 10)], "JPEG|unknown content"))
    for i in range(0, 9, 2):
        out.append((f"png truncated {i}", whole[: max(9, len(whole) * i // 10)], "damaged PNG"))
        out.append((f"webp truncated {i}", webp[: max(13, len(webp) * i // 10)], "damaged WEBP"))
    red = Image.new("RGB", (20, 10), (200, 30, 30))
    out += [
        ("wrong magic", b"\x00\x01" + jpeg[2:], "unknown content"),
        ("noise", np.random.default_rng(0).bytes(5000), "unknown content"),
        ("zeros", bytes(5000), "unknown content"),
        ("text", b"this is not a picture " * 9, "unknown content"),
        ("jpeg magic then noise", b"\xff\xd8\xff" + np.random.default_rng(1).bytes(900), "damaged JPEG"),
        ("png magic only", b"\x89PNG\r\n\x1a\n", "damaged PNG"),
        ("gif magic only", b"GIF89a", "damaged GIF"),
        ("webp magic only", b"RIFF\x04\x00\x00\x00WEBP", "damaged WEBP"),
        ("bmp magic only", b"BM", "damaged BMP"),
        ("polyglot jpeg and zip", jpeg + b"PK\x03\x04" + b"x" * 200, size(64, 48)),
        ("polyglot gif and script", gif(1) + b"=1;alert(1)//", size(2, 2)),
        ("html named picture", b"<!DOCTYPE html><html><script>alert(1)</script></html>", "HTML"),
        ("svg", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', "SVG"),
        ("svg with prolog", b'<?xml version="1.0"?><svg width="9999999" height="9999999"/>', "SVG"),
        ("xml bomb", b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaa">]><a>&a;</a>', "XML"),
        ("fits", b"SIMPLE  =                    T" + b" " * 2880, "FITS"),
        ("gzip of fits", zlib.compress(b"SIMPLE", wbits=31), "GZIP"),
        ("postscript", b"%!PS-Adobe-3.0 EPSF-3.0\n", "POSTSCRIPT"),
        ("pdf", b"%PDF-1.7\n", "PDF"),
        ("tiff", saved(red, "TIFF"), "TIFF"),
        ("ico", saved(red, "ICO"), "ICO"),
        ("psd", b"8BPS\x00\x01" + bytes(50), "PSD"),
        ("elf", b"\x7fELF" + bytes(50), "ELF"),
        ("pickle", b"\x80\x04\x95\x00\x00\x00\x00.", "unknown content"),
        ("1 x 100000", png(1, 100_000), "side above"),
        ("100000 x 1", png(100_000, 1), "side above"),
        ("50k x 50k bomb", png(50_000, 50_000), "pixels"),
        ("20k x 20k bomb", png(20_000, 20_000), "pixels"),
        ("2^31 x 2^31", png(2**31 - 1, 2**31 - 1), "side above|pixels|damaged PNG"),
        ("zero width", png(0, 10), "damaged PNG|0 x 10"),
        ("gif claims 65535 x 65535", gif(1, 65_535, 65_535), "pixels"),
        ("gif with 10k frames", gif(10_000), size(2, 2)),
        (
            "bmp claims 40k x 40k",
            b"BM" + struct.pack("<IHHIIiiHHIIiiII", 60, 0, 0, 54, 40, 40_000, 40_000, 1, 24, 0, 0, 0, 0, 0, 0),
            "pixels",
        ),
        ("png too little data", png(64, 64, zlib.compress(b"\0" * 100)), "damaged PNG"),
        ("png bad zlib", png(8, 8, b"not zlib at all"), "damaged PNG"),
        ("png bad crc", whole[:29] + b"\0\0\0\0" + whole[33:], "damaged PNG"),
        (
            "png text bomb",
            png(8, 8, zlib.compress(b"\0" * 400), extra=chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(90_000_000), 9))),
            "damaged PNG|^$",
        ),
        (
            "png with junk icc",
            png(8, 8, zlib.compress(b"\0" * 200), extra=chunk(b"iCCP", b"x\0\0" + zlib.compress(b"junk" * 99))),
            size(8, 8),
        ),
        ("jpeg with junk icc", saved(picture(), "JPEG", icc_profile=b"junk" * 500), size(64, 48)),
        ("jpeg with junk exif", saved(picture(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff"), size(64, 48)),
        ("cmyk jpeg", saved(red.convert("CMYK"), "JPEG", quality=95), near((200, 30, 30), 12)),
        ("grey jpeg", saved(Image.new("L", (20, 10), 77), "JPEG"), near((77, 77, 77), 3)),
        (
            "16-bit grey png",
            saved(Image.fromarray(np.full((9, 9), 200 * 257, np.uint16)), "PNG"),
            near((200, 200, 200), 1),
        ),
        ("1-bit png", saved(Image.new("1", (9, 9), 1), "PNG"), near((255, 255, 255), 0)),
        ("palette png", saved(red.quantize(4), "PNG"), near((200, 30, 30), 6)),
        ("palette png with alpha", saved(Image.new("P", (9, 9), 0), "PNG", transparency=0), near((255, 255, 255), 0)),
        ("clear rgba png", saved(Image.new("RGBA", (9, 9), (10, 20, 30, 0)), "PNG"), near((255, 255, 255), 0)),
        (
            "half clear rgba webp",
            saved(Image.new("RGBA", (9, 9), (0, 0, 0, 128)), "WEBP", lossless=True),
            near((127, 127, 127), 2),
        ),
        ("grey with alpha png", saved(Image.new("LA", (9, 9), (50, 255)), "PNG"), near((50, 50, 50), 1)),
        (
            "16-bit rgb png",
            png(4, 4, zlib.compress((b"\0" + b"\xc8\x00\x1e\x00\x1e\x00" * 4) * 4), 16),
            near((200, 30, 30), 2),
        ),
        ("one pixel", saved(Image.new("RGB", (1, 1), (9, 9, 9)), "PNG"), size(1, 1)),
        ("interlaced-looking tall strip", saved(Image.new("RGB", (1, 20_000)), "PNG"), lambda image: image.width == 1),
        ("large palette", saved(Image.new("P", (5900, 5900), 3), "PNG"), lambda image: max(image.size) <= 4096),
        (
            "large rgba",
            saved(Image.new("RGBA", (5200, 5200), (9, 9, 9, 200)), "PNG", compress_level=1),
            lambda image: max(image.size) <= 4096,
        ),
        ("large jpeg", saved(Image.new("RGB", (7000, 7000), (200, 30, 30)), "JPEG"), near((200, 30, 30), 4)),
        (
            "animated webp",
            saved(red, "WEBP", save_all=True, append_images=[Image.new("RGB", (20, 10))] * 5),
            near((200, 30, 30), 12),
        ),
        (
            "apng",
            saved(red, "PNG", save_all=True, append_images=[Image.new("RGB", (20, 10))] * 5),
            near((200, 30, 30), 1),
        ),
    ]
    out += [(f"exif orientation {k}", with_exif(k), upright) for k in (0, 1, 3, 6, 8, 9999)]
    return out
