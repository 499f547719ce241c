"""Users' images: what is taken as it is, what is converted, what is refused in one line."""

import gzip
import io
import struct
import warnings
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ae_jax import data, images
from ae_jax.images import as_images
from ae_jax.types import UsageError
from tests.damage import damaged

BYTES = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3), np.uint8)


def refusal(function, *arguments, **options) -> str:
    """The one line that refuses them."""
    with pytest.raises(UsageError) as error:
        function(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- arrays ---


@pytest.mark.parametrize("library", [np, jnp], ids=["numpy", "jax"])
@pytest.mark.parametrize(
    ("shape", "expected"),
    [((5, 6, 7, 3), (5, 6, 7, 3)), ((5, 6, 7), (5, 6, 7, 1)), ((5, 42), (5, 42, 1, 1)), ((1, 1), (1, 1, 1, 1))],
)
def test_bytes_stay_bytes_at_rank_four(library, shape, expected):
    given = library.asarray(BYTES.flat[: np.prod(shape)].reshape(shape))
    taken = as_images(given)
    assert (taken.shape, taken.dtype, isinstance(taken, jax.Array)) == (expected, np.uint8, library is jnp)
    np.testing.assert_array_equal(np.asarray(taken).ravel(), np.asarray(given).ravel())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", np.longdouble, jnp.bfloat16])
def test_floats_in_the_unit_range_become_float32_and_no_other_numbers(dtype):
    given = (BYTES / 255).astype(dtype)
    taken = as_images(given)
    assert taken.dtype == np.float32 and taken.dtype.isnative
    np.testing.assert_array_equal(taken, given.astype(np.float32))


def test_what_is_right_is_not_copied():
    for given in (BYTES, (BYTES / 255).astype(np.float32)):
        assert np.shares_memory(as_images(given), given)


@pytest.mark.parametrize("library", [np, jnp], ids=["numpy", "jax"])
def test_bools_are_black_and_white(library):
    taken = as_images(library.asarray([[True, False]]))
    assert taken.dtype == np.uint8 and taken.ravel().tolist() == [255, 0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (BYTES.tolist(), ["list", "make one array"]),
        (None, ["NoneType"]),
        ("digits", ["str"]),
        (np.ma.masked_equal(BYTES, 0), ["MaskedArray"]),
        (BYTES[0, 0, 0], ["[3]", "images[None]"]),
        (BYTES[None], ["[1, 5, 6, 7, 3]"]),
        (np.uint8(3), ["uint8"]),
        (np.array(3.0), ["[]"]),
        (BYTES[:0], ["[0, 6, 7, 3]", "none of them 0"]),
        (BYTES[:, :, :0], ["[5, 6, 0, 3]"]),
        (BYTES.astype(np.int64), ["int64", "images.astype(np.uint8)"]),
        (jnp.asarray(BYTES, jnp.int32), ["int32", "images.astype(np.uint8)"]),
        (BYTES.astype(np.int8), ["int8"]),
        (BYTES.astype(np.uint16), ["uint16"]),
        (BYTES.astype(object), ["object"]),
        (BYTES.astype(complex), ["complex128"]),
        (BYTES.astype(str), ["<U3"]),
        (BYTES / 1.0, ["from 0.0 to 255.0", "divide by 255"]),
        (jnp.asarray(BYTES, jnp.float32), ["from 0.0 to 255.0", "divide by 255"]),
        (np.array([[0.5, 1.0 + 1e-12]]), ["1.000000000001", "clip"]),
        (np.array([[0.5, -1e-30]]), ["-1e-30"]),
        (np.array([[0.5, np.inf]]), ["to inf"]),
        (np.array([[-np.inf, 0.5]]), ["from -inf"]),
        (np.array([[0.5, np.nan, 7.0]]), ["NaN", "leave those images out"]),
        (jnp.array([[jnp.nan, 0.5]]), ["NaN"]),
    ],
)  # fmt: skip
def test_everything_else_is_refused_with_what_was_given_and_what_is_allowed(given, words):
    message = refusal(as_images, given)
    for word in (*words, "uint8 or float in [0, 1]", "[n, height, width, channels]", "[n, features]"):
        assert word in message


# --- npz, npy, IDX, data sets ---


def idx(values: np.ndarray, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy(values: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, values, **options)
    return file.getvalue()


GREY = BYTES[..., 0]
FILES = {
    "npz": (npz(images=BYTES), BYTES),
    "npz-alone": (npz(anything=BYTES / 255), (BYTES / 255).astype(np.float32)),
    "npy": (npy(BYTES), BYTES),
    "npy-flat": (npy(GREY.reshape(5, -1)), GREY.reshape(5, -1, 1, 1)),
    "idx3": (idx(GREY), GREY[..., None]),
    "idx4": (idx(BYTES), BYTES),
    "idx3.gz": (gzip.compress(idx(GREY)), GREY[..., None]),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_of_arrays_are_known_by_their_content(tmp_path, kind):
    content, expected = FILES[kind]
    path = tmp_path / "file of some name"
    path.write_bytes(content)
    for source in path, str(path):
        found = images.read(source)
        assert (found.images.dtype, found.labels) == (expected.dtype, None)
        np.testing.assert_array_equal(found.images, expected)
        assert (found.names, found.name) == (list("01234"), str(path))
        assert found.digest == data.digest(expected)


def test_labels_of_an_npz(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(npz(images=BYTES, labels=np.arange(5), more=np.zeros(2)))
    found = images.read(path)
    assert found.labels.dtype == np.int32 and found.labels.tolist() == [0, 1, 2, 3, 4]
    assert found.digest != data.digest(BYTES)
    for labels in np.arange(4), np.arange(5.0), np.array(list("abcde")), np.arange(5) + 2**40, np.zeros((5, 1), int):
        path.write_bytes(npz(images=BYTES, labels=labels))
        message = refusal(images.read, path)
        assert str(path) in message and f"its labels are {labels.dtype}" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npz(x=BYTES, y=BYTES), ["its arrays are x, y", "call that of the images 'images'"]),
        (npz(labels=BYTES), ["its arrays are none"]),
        (npz(images=BYTES.astype(object)), ["Python objects"]),
        (npy(BYTES.astype(object), allow_pickle=True), ["Python objects"]),
        (npz(images=BYTES.astype(np.int32)), ["int32", "uint8 or float in [0, 1]"]),
        (npy(np.zeros(3)), ["float64 of shape [3]"]),
        (idx(np.arange(3, dtype=np.uint8)), ["uint8 of shape [3]"]),
        (idx(GREY, kind=0x0D), ["neither npz, npy nor IDX"]),
        (gzip.compress(idx(GREY, kind=0x0D), mtime=0), ["its magic number is 00000d03"]),
        (idx(GREY)[:-1], ["it has 209 values", "5 x 6 x 7 ask for 210"]),
        (idx(GREY) + b"0", ["it has 211 or more values"]),
        (bytes([0, 0, 8, 4]) + b"\xff" * 16, ["it has 0 values, its sizes 4294967295 x"]),
        (gzip.compress(bytes([0, 0, 8, 3]) + bytes(12) + b"0" * 10**7, mtime=0), ["0 x 0 x 0 ask for 0"]),
        (idx(np.zeros((1,) * 5, np.uint8)), ["its magic number is 00000805"]),
        (idx(GREY)[:9], ["not a whole IDX file"]),
        (b"", ["neither npz, npy nor IDX"]),
        (b"a,b\n1,2", ["neither npz, npy nor IDX", "give an .npz"]),
        (b"PK\x05\x06" + bytes(18), ["its arrays are none"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "content",
)  # fmt: skip
def test_other_files_are_refused(tmp_path, content, words):
    path = tmp_path / "given"
    path.write_bytes(content)
    message = refusal(images.read, path)
    assert all(word in message for word in (str(path), *words)), message


def read_or_refuse(path) -> bool:
    """Whether there are images: whole arrays of one form, or a UsageError of one line and nothing else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = images.read(path)
    except UsageError as error:
        assert str(path) in str(error) and "\n" not in str(error)
        return False
    assert found.images.ndim == 4 and len(found.names) == len(found.images)
    return True


@pytest.mark.parametrize("kind", FILES)
def test_damaged_files_of_arrays_give_arrays_or_one_line(tmp_path, kind):
    path, refused = tmp_path / "given", 0
    for content in damaged(FILES[kind][0], flips=200):
        path.write_bytes(content)
        refused += not read_or_refuse(path)
    assert refused >= 60  # what was cut off


def test_known_data_sets_by_part():
    digits = data.load("digits")
    for source, expected in ("digits", 1), ("digits:train", 1), ("digits:test", 3):
        found = images.read(source)
        np.testing.assert_array_equal(found.images, digits[expected])
        np.testing.assert_array_equal(found.labels, digits[expected + 1])
        assert found.name == source and found.labels.dtype == np.int32


def test_a_path_object_is_never_a_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "digits", {"a.png": BYTES[0]})
    assert images.read(Path("digits")).images.shape == (1, 6, 7, 3)
    assert "mnist: no such file" in refusal(images.read, Path("mnist"))


def test_a_path_called_like_a_data_set_is_asked_about(tmp_path, monkeypatch):
    save(tmp_path / "digits", {"a.png": BYTES[0]})
    monkeypatch.chdir(tmp_path)
    assert "give digits:train or ./digits" in refusal(images.read, "digits")
    assert images.read("./digits").images.shape == (1, 6, 7, 3)


@pytest.mark.parametrize("source", ["nowhere", "digits:validation", "nowhere:test"])
def test_what_is_nowhere_is_told_with_what_can_be_given(source):
    message = refusal(images.read, source)
    assert f"{source}: no such file" in message and "fashion_mnist" in message and ".npz" in message


def test_the_home_of_nobody_is_told():
    assert "~nobody-of-this-name/pictures: there is no such user" in refusal(
        images.read, "~nobody-of-this-name/pictures"
    )


# --- PNG and JPEG ---


def save(folder, pictures: dict[str, np.ndarray | Image.Image], **options):
    for name, picture in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        picture.save(folder / name, **options)
    return folder


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_png_comes_back_bit_for_bit_in_sorted_order(tmp_path, channels):
    given = BYTES if channels == 3 else GREY
    save(tmp_path, {f"{i}.PNG": given[i] for i in (3, 0, 4, 2, 1)})
    (tmp_path / "notes.txt").write_text("no picture")
    save(tmp_path, {".hidden.png": given[0], ".thumbnails/1.png": given[0]})
    found = images.read(tmp_path)
    assert found.names == [f"{i}.PNG" for i in range(5)] and found.labels is None
    np.testing.assert_array_equal(found.images, given.reshape(5, 6, 7, channels))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_jpeg_is_what_pillow_decodes(tmp_path, mode):
    smooth = Image.fromarray(BYTES[0]).resize((40, 30)).convert(mode)
    save(tmp_path, {"a.jpg": smooth, "b.jpeg": smooth}, quality=90)
    found = images.read(tmp_path)
    with Image.open(tmp_path / "a.jpg") as oracle:
        np.testing.assert_array_equal(found.images[0].squeeze(), np.asarray(oracle))
    assert abs(found.images[1].squeeze().astype(int) - np.asarray(smooth)).mean() < 10


def test_subfolders_of_the_first_level_are_the_classes(tmp_path):
    save(tmp_path, {"dogs/x.png": GREY[0], "cats/young/z.png": GREY[1], "cats/y.png": GREY[2]})
    found = images.read(tmp_path)
    assert found.names == ["cats/y.png", "cats/young/z.png", "dogs/x.png"]
    assert found.labels.tolist() == [0, 0, 1] and found.labels.dtype == np.int32
    np.testing.assert_array_equal(found.images[..., 0], GREY[[2, 1, 0]])
    save(tmp_path, {"stray.png": GREY[3]})
    assert images.read(tmp_path).labels is None


def test_one_picture_alone(tmp_path):
    save(tmp_path, {"a.png": BYTES[0]})
    found = images.read(tmp_path / "a.png")
    np.testing.assert_array_equal(found.images, BYTES[:1])
    assert found.names == ["a.png"] and found.labels is None


SIXTEEN = (np.arange(42).reshape(6, 7) * 1560).astype(np.uint16)
PALETTE = Image.fromarray(BYTES[0]).quantize(16)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        pytest.param(Image.fromarray(GREY[0] > 127), (GREY[0] > 127) * np.uint8(255), id="bits"),
        pytest.param(SIXTEEN, (SIXTEEN // 256).astype(np.uint8), id="16-bits"),
        pytest.param(PALETTE, np.asarray(PALETTE.convert("RGB")), id="palette"),
        pytest.param(np.dstack([BYTES[0], np.full((6, 7), 255, np.uint8)]), BYTES[0], id="opaque"),
        pytest.param(np.dstack([GREY[0], np.full((6, 7), 255, np.uint8)]), GREY[0], id="opaque-grey"),
    ],
)
def test_kinds_of_png(tmp_path, picture, expected):
    found = images.read(save(tmp_path, {"a.png": picture}))
    np.testing.assert_array_equal(found.images[0], expected.reshape(6, 7, -1))


def test_sixteen_bits_of_colour_are_their_upper_eight(tmp_path):
    """A PNG written by hand: Pillow writes none."""
    values = np.random.default_rng(1).integers(0, 2**16, (6, 7, 3), np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = (b"IHDR", struct.pack(">2I5B", 7, 6, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    content = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    np.testing.assert_array_equal(images.read(tmp_path).images[0], (values >> 8).astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_heeded(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path, {"a.png": BYTES[0]}, exif=exif)
    turns = {
        1: lambda x: x, 2: np.fliplr, 3: lambda x: np.rot90(x, 2), 4: np.flipud, 5: lambda x: x.swapaxes(0, 1),
        6: lambda x: np.rot90(x, -1), 7: lambda x: np.rot90(x, 2).swapaxes(0, 1), 8: np.rot90,
    }  # fmt: skip
    np.testing.assert_array_equal(images.read(tmp_path).images[0], turns[orientation](BYTES[0]))


FADED = np.dstack([BYTES[0], np.full((6, 7), 254, np.uint8)])
UNREADABLE = {
    "transparent": (lambda path: Image.fromarray(FADED).save(path), "transparent in places"),
    "palette": (lambda path: PALETTE.save(path, transparency=int(np.asarray(PALETTE)[0, 0])), "transparent in places"),
    "animated": (
        lambda path: Image.fromarray(BYTES[0]).save(path, save_all=True, append_images=[Image.fromarray(BYTES[1])]),
        "animated",
    ),
    "cmyk": (lambda path: Image.fromarray(BYTES[0]).convert("CMYK").save(path, "JPEG"), "its colours are CMYK"),
    "gif": (lambda path: Image.fromarray(GREY[0]).save(path, "GIF"), "cannot identify"),
    "text": (lambda path: path.write_text("no picture"), "cannot identify"),
    "empty": (lambda path: path.write_bytes(b""), "cannot identify"),
    "cut": (lambda path: path.write_bytes(png(BYTES[0])[:-60]), "truncated"),
    "bomb": (lambda path: Image.new("1", (20_000, 20_000)).save(path), "decompression bomb"),
    "large": (lambda path: Image.new("1", (10_000, 10_000)).save(path), "decompression bomb"),
}


def png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("kind", UNREADABLE)
def test_unreadable_pictures_are_named_and_refused_or_skipped(tmp_path, kind):
    write, words = UNREADABLE[kind]
    write(tmp_path / "bad.png")
    message = refusal(images.read, tmp_path, skip_unreadable=True)  # nothing would be left
    assert "1 of 1 pictures cannot be read" in message
    save(tmp_path, {"a.png": BYTES[0], "c.png": BYTES[1]})
    message = refusal(images.read, tmp_path)
    assert "1 of 3" in message and str(tmp_path / "bad.png") in message and words in message
    with pytest.warns(UserWarning, match="1 of 3 pictures cannot be read: .*bad.png .*; skipped"):
        found = images.read(tmp_path, skip_unreadable=True)
    assert found.names == ["a.png", "c.png"]
    np.testing.assert_array_equal(found.images, BYTES[:2])


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_damaged_pictures_give_arrays_or_one_line(tmp_path, ending):
    path, refused = save(tmp_path, {f"a.{ending}": BYTES[0]}) / f"a.{ending}", 0
    for content in damaged(path.read_bytes(), flips=200):
        path.write_bytes(content)
        refused += not read_or_refuse(path)
    assert refused > 30


def test_a_folder_without_pictures_says_what_was_looked_for(tmp_path):
    (tmp_path / "a.tiff").write_bytes(b"")
    message = refusal(images.read, tmp_path)
    assert str(tmp_path) in message and "*.png, *.jpg, *.jpeg" in message


# --- one size, one colour ---


def test_pictures_of_several_sizes_are_refused_or_resized(tmp_path):
    large = np.asarray(Image.fromarray(BYTES[1]).resize((28, 20)))
    save(tmp_path, {"a.png": BYTES[0], "b.png": large})
    message = refusal(images.read, tmp_path)
    for word in ("a.png is 6 x 7 x 3", "b.png is 20 x 28 x 3", "size=(height, width)"):
        assert word in message
    found = images.read(tmp_path, size=(6, 7))
    np.testing.assert_array_equal(found.images[0], BYTES[0])
    np.testing.assert_array_equal(found.images[1], Image.fromarray(large).resize((7, 6), Image.BILINEAR))


def test_shrinking_averages():
    """Antialiased: a checkerboard becomes grey, of any type."""
    board = np.indices((40, 60)).sum(0) % 2
    for given, grey in ((board * 255).astype(np.uint8), 127.5), (board.astype(np.float32), 0.5):
        small = images.pictures.resize(given[None, ..., None], (5, 6))
        assert small.shape == (1, 5, 6, 1) and small.dtype == given.dtype
        np.testing.assert_allclose(small, grey, atol=0.04 * grey)


def test_grey_and_colour_are_not_mixed_unless_asked(tmp_path):
    save(tmp_path, {"a.png": BYTES[0], "b.png": GREY[1]})
    message = refusal(images.read, tmp_path)
    for word in ("a.png is 6 x 7 x 3", "b.png is 6 x 7 x 1", "grey=True", "grey=False"):
        assert word in message
    grey = images.read(tmp_path, grey=True).images
    luma = Image.fromarray(BYTES[0]).convert("L")
    assert abs(grey[0, ..., 0].astype(int) - np.asarray(luma)).max() <= 1 and grey.dtype == np.uint8
    np.testing.assert_array_equal(grey[1, ..., 0], GREY[1])
    colour = images.read(tmp_path, grey=False).images
    np.testing.assert_array_equal(colour, [BYTES[0], np.dstack([GREY[1]] * 3)])


def test_arrays_are_resized_and_recoloured_alike(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, BYTES / 255)
    found = images.read(path, size=(3, 4), grey=True)
    assert found.images.shape == (5, 3, 4, 1) and found.images.dtype == np.float32
    assert abs(found.images.mean() - (BYTES / 255 @ [0.299, 0.587, 0.114]).mean()) < 0.05
    np.save(path, BYTES[..., :2])
    assert "2 channels" in refusal(images.read, path, grey=True)
    np.save(path, GREY.reshape(5, -1))
    assert "flat features" in refusal(images.read, path, size=(3, 4))


@pytest.mark.parametrize(
    "options",
    [{"size": 28}, {"size": (0, 3)}, {"size": (3, 4, 1)}, {"size": (2.0, 3)}, {"size": (10**6, 3)}, {"grey": "yes"}],
)
def test_impossible_options_are_refused(options):
    ((name, value),) = options.items()
    assert f"{name} {value!r} is not allowed" in refusal(images.read, "digits", **options)
