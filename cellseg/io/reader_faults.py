"""What a reader's library says of a damaged file, without what it quotes of the file. Floor 2.

Libraries put into their messages what they stumbled over, and in a slide that may be a patient's name or a barcode. So
only words that are known to be the libraries' own are passed on.
"""

from __future__ import annotations

import re
from pathlib import Path

MAX_CHARACTERS = 300
LEFT_OUT = "…"
"""What stands for words that may be the file's."""
_WORDS = """
a adaptive after all already ambiguous an and another any application apply are area argument array arrays ascii
associated at attribute attributes bad base be because beginning between big bigger bits blob block blosc bogus
boolean bounds by byte bytes bytes-like camera can can't cannot changed char characters chroma chunk chunks codec
codecs codestream col color colour column comment compare component components compressed compression contain contains
continuation control conversion convert converted coordinates corrupt corrupted could couldn't count crc cut data
dataset decode decoded decoder decoding decompression default definition deflate delimiter dependency detect device
dicom dictionary did different dimension dimensional dimensions direct direction directories directory division do
does doesn't dose double downsample due element elements empty encapsulated enclosed encode encoded encoding end ended
endian ends entry eocd eof errno error exceeds exif expect expected expecting explicit expression extended extra
extraneous failed failure field file file's filename fileno files fill_value filter find first float floating-point
focal for format found frame frames from function general get given gone got grid group handle has hash have header
header-only height hierarchical hierarchy huffman icc idat identifier iend ifd ihdr image imagecodecs images imaging
implemented implicit in incomplete inconsistency incorrect index index.dat info initial input instances instead int
integer integers internal interpreted into invalid is it item items its joint jp2 jpeg jpeg-2000 jpeg2000 jpeg2k jpegs
json jxl jxr key key-value keys keyword-only known large larger last latin-1 layer layers length less level levels
limit line list little load local long lossless lossy lzw macro magic magnification main many map mapping marker match
matching maximum may mcu mcus memory meta metadata microns mismatch missing module more mpp multiple must native need
negative neither next no nonconsecutive none nonetype nonzero not nothing null number numbers numpy.ndarray object
objective of off offset offsets on one only opaque open opened openslide operand operands operation optical or order
other out outside overflow overlap packbits padding page pages pair palette parse partial past path paths permission
photometric photometricinterpretation pixel pixels plane planes png point pointer position positional possible
predictor prefix premature prematurely present property published pydicom pyramid python quantization quotes range
ratio reach read reading real reason record records reference referenced region remaining representation required
reserved resolution restart result returned root row rows same samples scalars scan scanned scanner scans searching
seek seen segment sequence series set shape short should side single single-frame size sizes slide slidedat.ini slides
small smaller space spacing spec specification stack start starting starts stopped stored str stream string strip
strips structure subifd subsampling such support supported syntax table tables tag tags tell than that the them there
thumbnail tiff tifffile tifffilltile tiffreadencodedtile tiffrgbaimageget tiffrgbaimageok tile tiled tiles time to
token too top total transfer truncated truth tuple type type(s) types unable undefined unequal unexpected unhashable
uniform unknown unreachable unrecognized unsigned unsupported unterminated until unusual use used using utf-16
utf-16-be utf-16-le utf-32 utf-8 validate value values vendor version versions vr was webp were when where which while
whole wider width with within without would write wrong wsi wsidicom wsidicomreadio x xml y zarr zero zip zlib zoom
zstd
"""
_OWN_WORDS = frozenset(_WORDS.split())
_QUOTES = {'"': '"', "'": "'", "`": "'", "“": "”", "‘": "’", "„": "“", "«": "»", "‚": "‘"}
_OWN_NAME = re.compile(r"imcd_\w+", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(0x[0-9a-f]+|\d+([.,:/x-]\d+)*)", re.IGNORECASE)
_EDGES = "()[]{}<>.,;:=!?*@" + "".join(_QUOTES) + "”’"


def what_it_said(error: Exception, path: Path) -> str:
    """The library's message on one line: its own words, and where these are all, numbers too; never what it quotes.

    `path` is the file in question: its name, and names of files beside it, are shown.
    """
    text = _without_quotes(_without_folder(" ".join(str(error).split()), path))
    words = text.split()
    known = [_is_own(word) or _is_file(word, path) for word in words]
    strange = LEFT_OUT in text or not all(own or _is_number(word) for own, word in zip(known, words, strict=True))
    shown = [
        word if own or (_is_number(word) and not strange) else LEFT_OUT for own, word in zip(known, words, strict=True)
    ]
    said = re.sub(rf"{LEFT_OUT}( {LEFT_OUT})+", LEFT_OUT, " ".join(shown))
    kind = type(error).__name__
    return said[:MAX_CHARACTERS] if said.strip(f"{LEFT_OUT} {_EDGES}") else kind


def _without_folder(text: str, path: Path) -> str:
    return text.replace(f"{path.parent}/", "") if path.parent.name else text


def _without_quotes(text: str) -> str:
    """The text with everything from each first opening quote to the last closing one left out, but for own words.

    A quote that is not closed was cut off, so it takes the rest with it; an apostrophe within a word is none.
    """
    for first, last in _QUOTES.items():
        opening = re.search(rf"(?<!\w){re.escape(first)}", text)
        if opening is None:
            continue
        closing = list(re.finditer(rf"{re.escape(last)}(?!\w)", text[opening.end() :]))
        within = text[opening.end() :][: closing[-1].start() if closing else None]
        if not all(_is_own(word) for word in within.split()):
            rest = text[opening.end() + closing[-1].end() :] if closing else ""
            text = f"{text[: opening.start()]}{LEFT_OUT}{rest}"
    return text


def _is_own(word: str) -> bool:
    bare = word.strip(_EDGES + LEFT_OUT)
    return not bare or bare.lower() in _OWN_WORDS or _OWN_NAME.fullmatch(bare) is not None


def _is_file(word: str, path: Path) -> bool:
    bare = word.strip(_EDGES)
    return bool(bare) and any((folder / bare).exists() for folder in (path.parent, path))


def _is_number(word: str) -> bool:
    return _NUMBER.fullmatch(word.strip(_EDGES)) is not None
