"""The command line ``ae-jax``: its options, and how it ends. What a command does is in ``commands``.

Parsing imports no JAX, so that help and bad input are told at once.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ae_jax import __version__, commands, process
from ae_jax.process import LARGEST_COUNT, LARGEST_SEED
from ae_jax.types import NUMBERS, UsageError

IMAGES = (
    "an npz or npy of images, an IDX file, a PNG or JPEG file, a folder of these, or a data set: mnist, fashion_mnist, "
    "kmnist, emnist_letters, cifar10, and without files digits, photos (mnist:test is its test part)"
)
OPTIMIZERS = ("adam", "adamax", "adadelta", "rmsprop", "sgd")
PACKAGES = {"PIL": "pillow", "sklearn": "scikit-learn", "scipy": "scikit-learn"}  # optional ones: what pip calls them
# How the library's messages name its arguments, and what they are called here.
OPTIONS = {
    "resume=True": "--resume", "another folder": "another --out", "data_dir=FOLDER": "--data-dir FOLDER",
    "size=(height, width)": "--size HEIGHTxWIDTH", "grey=True": "--grey", "grey=False": "--colour",
    "skip_unreadable=True": "--skip-unreadable", "like=images": "--like IMAGES",
    "leave size and grey out": "leave --size, --grey and --colour out",
    "leave grey out": "leave --grey and --colour out",
    "build a dense network": "give --network dense", "or a larger image=": "or larger images",
}  # fmt: skip


class _Parser(argparse.ArgumentParser):
    """argparse's, with errors of one line."""

    def __init__(self, **settings: Any):
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """End with ``message`` and exit code 2."""
        process.fail(f"{message}; {self.prog} --help tells what there is")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line, which ends as :func:`process.in_one_line` says."""
    with process.in_one_line(OPTIONS, "interrupted"), warnings.catch_warnings():
        warnings.showwarning = _warn
        options = _parser().parse_args(arguments)
        process.use_all_cores()
        process.keep_programs()
        try:
            options.command(options)
        except ModuleNotFoundError as error:
            if (package := PACKAGES.get((error.name or "").split(".")[0])) is None:
                raise
            raise UsageError(f"this needs {package}, which is not installed: pip install {package}") from error


def _warn(message: Warning | str, *where: Any, **more: Any) -> None:
    print(f"warning: {process.in_options(str(message), OPTIONS)}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="ae-jax", description="Train autoencoders on images, keep them, apply them.")
    parser.add_argument("--version", action="version", version=f"ae-jax {__version__}")
    added = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def command(run: Callable, *shared: Callable[[_Parser], None]) -> _Parser:
        """A command called as its function, whose first line is its help."""
        words = str(run.__doc__).splitlines()[0]
        made = added.add_parser(run.__name__, help=words, description=words)
        made.set_defaults(command=run)
        for add in shared:
            add(made)
        return made

    _fit_options(command(commands.fit, _images, _out("the model, FILE.safetensors")))
    command(commands.encode, _model, _images, _out("FILE.npz, or FILE.csv with the file names in its first column"))
    decode = command(commands.decode, _model, _out("FILE.npz, FILE.png with all on it, or a folder of PNG files"))
    decode.add_argument("codes", type=Path, metavar="CODES", help="npz or csv of encode, or an npy of codes")
    reconstruct = command(
        commands.reconstruct, _model, _images, _out("FILE.png, each image beside its reconstruction, or FILE.npz")
    )
    _number(reconstruct, "of images on a PNG, the first; an npz holds all")
    sample = command(commands.sample, _model, _out("FILE.png with all on it, FILE.npz, or a folder of PNG files"))
    _number(sample, "of new images")
    _seed(sample, "of the draws")
    sample.add_argument("--like", metavar="IMAGES", help=f"draw codes like those of these images: {IMAGES}")
    sample.add_argument(
        "--components", type=_count, default=10, help="of the mixture fitted to their codes (%(default)s)"
    )
    _conversion(sample)
    info = command(commands.info, _model)
    info.add_argument("--json", action="store_true", help="as JSON")
    export = command(commands.export, _model, _out("torch: FILE.safetensors; stablehlo: a folder"))
    export.add_argument("--to", choices=("torch", "stablehlo"), required=True, help="a PyTorch state, or programs")
    return parser


def _model(parser: _Parser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL", help="a .safetensors file of fit")


def _images(parser: _Parser) -> None:
    parser.add_argument("images", metavar="IMAGES", help=IMAGES)
    _conversion(parser)


def _conversion(parser: _Parser) -> None:
    group = parser.add_argument_group("images")
    group.add_argument("--size", type=_size, metavar="HxW", help="resize to this height and width")
    colour = group.add_mutually_exclusive_group()
    colour.add_argument("--grey", action="store_true", default=None, help="make one channel of three")
    colour.add_argument("--colour", action="store_false", dest="grey", default=None, help="make three channels of one")
    group.add_argument("--skip-unreadable", action="store_true", help="leave out, with a warning, what cannot be read")
    group.add_argument("--data-dir", type=Path, help="where the files of a data set lie (AE_JAX_DATA, else downloaded)")


def _out(help: str) -> Callable[[_Parser], None]:
    def add(parser: _Parser) -> None:
        parser.add_argument("--out", type=Path, required=True, help=help)
        parser.add_argument("--force", action="store_true", help="overwrite what is there")

    return add


def _number(parser: _Parser, help: str) -> None:
    parser.add_argument("--number", type=_count, default=64, metavar="N", help=f"{help} (%(default)s)")


def _seed(parser: argparse._ActionsContainer, help: str) -> None:
    parser.add_argument("--seed", type=_whole(0, LARGEST_SEED), default=0, help=f"{help} (%(default)s)")


def _fit_options(parser: _Parser) -> None:
    network = parser.add_argument_group("network")
    network.add_argument("--latent", type=_count, default=8, help="size of the code (%(default)s)")
    network.add_argument("--network", choices=("conv", "dense"), help="conv where images can be halved, else dense")
    network.add_argument(
        "--channels", type=_count, nargs="+", metavar="N", help="of each convolution (8 16 32, as many as fit)"
    )
    network.add_argument(
        "--hidden",
        type=_whole(0, LARGEST_COUNT),
        default=64,
        help="units before the code of conv; 0 for none (%(default)s)",
    )
    network.add_argument(
        "--widths", type=_count, nargs="+", default=(500, 500), metavar="N", help="of the dense layers (500 500)"
    )
    learned = parser.add_argument_group("objective")
    learned.add_argument("--objective", choices=tuple(commands.OBJECTIVES), default="autoencoder", help="(%(default)s)")
    learned.add_argument(
        "--corruption", choices=commands.CORRUPTIONS, default="gaussian", help="of denoising; its level is --noise"
    )
    learned.add_argument(
        "--likelihood", choices=tuple(commands.LIKELIHOODS), default="gaussian", help="of vae, wae, vqvae (%(default)s)"
    )
    learned.add_argument("--book", type=_count, default=64, help="vectors in the book of vqvae (%(default)s)")
    learned.add_argument(
        "--code-size", type=_count, default=4, help="of each; --latent of them are a code (%(default)s)"
    )
    training = parser.add_argument_group("training")
    for name, entry in NUMBERS.items():
        default = 20 if name == "epochs" else entry.default
        words = f"{entry.meaning.rstrip('.')}, {entry.allowed.words} ({default:g})".replace("%", "%%")
        number = float if entry.dtype().dtype.kind == "f" else int
        training.add_argument(f"--{name.replace('_', '-')}", type=number, default=default, help=words)
    training.add_argument("--batch-size", type=_count, default=128, help="(%(default)s)")
    training.add_argument("--optimizer", choices=OPTIMIZERS, default="adam", help="(%(default)s)")
    _seed(training, "of the first model")
    training.add_argument("--seeds", type=_count, default=1, metavar="N", help="models to train; the best is kept")
    training.add_argument("--validation", type=float, default=0.2, help="share of the images; 0 for none (%(default)s)")
    training.add_argument("--patience", type=_count, help="epochs without a lower validation loss before an early stop")
    training.add_argument("--resume", action="store_true", help="go on with a training that was interrupted")
    training.add_argument(
        "--progress", action=argparse.BooleanOptionalAction, help="a bar on stderr (in a terminal and a notebook)"
    )


def _whole(low: int, high: int) -> Callable[[str], int]:
    """The type of an option: a whole number in a range."""

    def number(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise argparse.ArgumentTypeError(f"{text!r} is not allowed: give a whole number from {low} to {high}")
        return int(text)

    return number


_count = _whole(1, LARGEST_COUNT)


def _size(text: str) -> tuple[int, int]:
    """``HxW``, or one number for a square."""
    sides = text.lower().split("x")
    if len(sides) > 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not allowed: give height and width, 32x48, or one number")
    return _count(sides[0]), _count(sides[-1])
