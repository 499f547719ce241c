"""What the commands of ``ae-jax`` do, a function for each, with the options that ``cli`` parses.

The package's public names are imported when they are used, and so is the rest.
"""

from __future__ import annotations

import hashlib
import json
import math
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import ae_jax
from ae_jax import process
from ae_jax.types import NUMBERS, ImageShape, UsageError

if TYPE_CHECKING:
    from ae_jax.images import Images
    from ae_jax.runs import Run

CHANNELS = (8, 16, 32)  # the reports'
CORRUPTIONS = ("gaussian", "occlusion", "occlusion_up_to", "masking", "salt_and_pepper")
LIKELIHOODS = {"gaussian": lambda: ae_jax.gaussian_learned(), "bernoulli": lambda: ae_jax.bernoulli(ae_jax.grey)}


def fit(options: Namespace) -> None:
    """Train an autoencoder on images and keep it in a file."""
    from ae_jax import files
    from ae_jax.checkpoints import remove_folder

    _require_free(options, ".safetensors")
    images = _read(options.images, options)
    # Held out is the end of the images, and a folder is sorted: the same shuffle for every seed.
    order = np.random.default_rng(0).permutation(len(images.images))
    checkpoints = options.out.with_suffix(".checkpoints")
    try:
        runs = ae_jax.fit(
            OBJECTIVES[options.objective](options, images.images.shape[1:]), images.images[order],
            batch_size=options.batch_size, optimizer=options.optimizer,
            seeds=range(options.seed, options.seed + options.seeds), validation=options.validation or None,
            patience=options.patience, checkpoints=checkpoints, resume=options.resume, keep_checkpoints=True,
            progress=options.progress, **{name: getattr(options, name) for name in NUMBERS},
        )  # fmt: skip
    except KeyboardInterrupt:
        if checkpoints.exists():
            print(f"{checkpoints} keeps what is trained: the same line with --resume goes on", file=sys.stderr)
        raise
    source = {"name": images.name, "sha256": images.digest, "count": len(images.images)}
    if runs.diverged.all():
        remove_folder(checkpoints)  # of no use to the smaller rate that the error asks for
    files.save(runs.best, options.out, {"images": source, "validation": options.validation})
    remove_folder(checkpoints)
    kind = "validation" if options.validation else "training"
    print(f"{options.out}: {kind} loss {runs.best.loss:.4g} after {runs.best.epochs} epochs")


def encode(options: Namespace) -> None:
    """Write the codes of images, with their names."""
    from ae_jax import exchange, results

    _require_free(options, ".npz", ".csv")
    run, images = _model_and_images(options)
    codes = run.encode(images.images)
    if options.out.suffix == ".csv":
        results.write(options.out, exchange.table(codes, images).encode(*exchange.ENCODING))
    else:
        labels = {} if images.labels is None else {"labels": images.labels}
        _save(options, {"codes": codes, "names": images.names} | labels, _source(images))
    print(f"{options.out}: {len(codes)} codes of {' x '.join(map(str, codes.shape[1:]))} numbers")


def decode(options: Namespace) -> None:
    """Write the images of codes."""
    from ae_jax import exchange

    _require_free(options, ".npz", ".png", "")
    run = _load(options.model)
    codes, names = exchange.codes(options.codes, run)
    _write_images(options, run.decode(codes), names)


def reconstruct(options: Namespace) -> None:
    """Write images as the model gives them back, and say how far they are off."""
    from ae_jax import exchange
    from ae_jax.batching import unit

    _require_free(options, ".npz", ".png")
    run, images = _model_and_images(options)
    given, found = np.asarray(unit(images.images)), run.reconstruct(images.images)
    errors = np.square(given - found).mean((1, 2, 3))
    if options.out.suffix == ".npz":
        _save(options, {"images": found, "errors": errors, "names": images.names}, _source(images))
    else:
        exchange.write_sheet(options.out, np.concatenate([given, found], axis=2)[: options.number])
    worst = int(errors.argmax())
    print(
        f"{options.out}: mean squared error {errors.mean():.4g}, {errors[worst]:.4g} at worst ({images.names[worst]})"
    )


def sample(options: Namespace) -> None:
    """Write new images."""
    _require_free(options, ".npz", ".png", "")
    run = _load(options.model)
    like = None if options.like is None else _images_for(run, options.like, options).images
    images = run.sample(options.number, options.seed, like=like, components=options.components)
    _write_images(options, images, [str(number) for number in range(len(images))])


def info(options: Namespace) -> None:
    """Say what a model is, and where it comes from."""
    from ae_jax import files, lanes, objectives

    described, run = files.info(options.model), ae_jax.load(options.model)
    described |= {
        "parameters": objectives.parameter_count(run.objective),
        "loss": [loss if math.isfinite(loss) else None for loss in run.loss.ravel().tolist()],
        "epochs": run.epochs.ravel().tolist(),
        "status": [lanes.STATUS_NAMES[status] for status in run.status.ravel()],
        "hyper_parameters": {name: np.ravel(values).tolist() for name, values in run.lanes.hparams._asdict().items()},
    }
    print(json.dumps(described, indent=1) if options.json else _summary(described))


def export(options: Namespace) -> None:
    """Write a model for PyTorch, or as programs that run without this package."""
    from ae_jax import export

    torch = options.to == "torch"
    _require_free(options, ".safetensors" if torch else "")
    run = _load(options.model)
    written = [export.export_torch_state(run, options.out)] if torch else export.export_stablehlo(run, options.out)
    print("\n".join(map(str, written)))


def _network(options: Namespace, image: ImageShape) -> tuple[str, dict[str, Any]]:
    """Convolutional or dense, and the sizes of its layers."""
    from ae_jax import shapes

    fitting = shapes.stages(image)
    if (options.network or ("conv" if fitting else "dense")) == "dense":
        return "dense", {"widths": tuple(options.widths), "image": image}
    channels = tuple(options.channels or CHANNELS[:fitting])
    return "conv", {"channels": channels, "hidden": options.hidden or None, "image": image}


def _autoencoder(options: Namespace, image: ImageShape) -> Any:
    kind, sizes = _network(options, image)
    return getattr(ae_jax, f"{kind}_autoencoder")(options.latent, **sizes)


def _vae(options: Namespace, image: ImageShape) -> Any:
    kind, sizes = _network(options, image)
    return getattr(ae_jax, f"{kind}_vae")(options.latent, **sizes)


def _denoising(options: Namespace, image: ImageShape) -> Any:
    if not options.noise:
        raise UsageError("denoising without noise is the plain autoencoder: give its level, --noise 0.25")
    return ae_jax.denoising(_autoencoder(options, image), getattr(ae_jax.corruptions, options.corruption))


def _vqvae(options: Namespace, image: ImageShape) -> Any:
    kind, sizes = _network(options, image)
    if kind == "dense":
        raise UsageError("a dense vqvae is not there: give --network conv, and images that it can halve")
    return ae_jax.vector_quantised(
        ae_jax.conv_vqvae(options.book, options.code_size, options.latent, **sizes), LIKELIHOODS[options.likelihood]()
    )


# Those that need no labels.
OBJECTIVES = {
    "autoencoder": lambda options, image: ae_jax.autoencoder(_autoencoder(options, image)),
    "cross-entropy": lambda options, image: ae_jax.cross_entropy_autoencoder(_autoencoder(options, image)),
    "denoising": _denoising,
    "sparse": lambda options, image: ae_jax.sparse_l1(_autoencoder(options, image)),
    "contractive": lambda options, image: ae_jax.contractive(_autoencoder(options, image)),
    "vae": lambda options, image: ae_jax.elbo(_vae(options, image), LIKELIHOODS[options.likelihood]()),
    "wae": lambda options, image: ae_jax.wae_mmd(_vae(options, image), LIKELIHOODS[options.likelihood]()),
    "vqvae": _vqvae,
}


def _require_free(options: Namespace, *endings: str) -> None:
    """Raises UsageError, before there is work to lose, unless ``--out`` ends so, is free and can be written."""
    out = options.out
    if out.suffix not in endings:
        kinds = ", ".join(ending or "none, for a folder" for ending in endings)
        raise UsageError(f"--out {out}: its ending says what is written; give one of {kinds}")
    if not options.force and (any(out.iterdir()) if out.is_dir() else out.exists()):
        raise UsageError(f"--out {out}: exists already; give another name, or --force to overwrite it")
    process.require_writable(out.parent)


def _load(path: Path) -> Run:
    """The model of a file, of several the best."""
    run = ae_jax.load(path)
    if run.shape:
        print(f"{path}: the best of {run.status.size} models is taken, loss {run.best.loss:.4g}", file=sys.stderr)
    return run.best


def _read(source: str, options: Namespace) -> Images:
    from ae_jax import images

    return images.read(
        source, size=options.size, grey=options.grey, skip_unreadable=options.skip_unreadable, data_dir=options.data_dir
    )


def _model_and_images(options: Namespace) -> tuple[Run, Images]:
    run = _load(options.model)
    return run, _images_for(run, options.images, options)


def _images_for(run: Run, source: str, options: Namespace) -> Images:
    """Images of the model's shape. Raises UsageError for others, with the options that convert them."""
    images = _read(source, options)
    given, wanted = images.images.shape[1:], run.model.image
    if given == wanted:
        return images
    ways = [f"--size {wanted[0]}x{wanted[1]}"] if given[:2] != wanted[:2] else []
    if given[2] != wanted[2]:
        ways.append({(3, 1): "--grey", (1, 3): "--colour"}.get((given[2], wanted[2]), ""))
    advice = f"add {' '.join(ways)}" if all(ways) and given[1:] != (1, 1) else "give others"
    shapes = (" x ".join(map(str, shape)) for shape in (given, wanted))
    raise UsageError("{}: its images are {}, but this model takes {}; {}".format(source, *shapes, advice))


def _source(images: Images) -> dict[str, str]:
    return {"images": images.name, "images_sha256": images.digest}


def _write_images(options: Namespace, images: np.ndarray, names: Sequence[str]) -> None:
    """``images [n, H, W, C]`` by the ending of ``--out``: an npz, a sheet, or a folder with a PNG for each name."""
    from ae_jax import exchange

    if options.out.suffix == ".npz":
        _save(options, {"images": images, "names": list(names)}, {})
    elif options.out.suffix == ".png":
        exchange.write_sheet(options.out, images)
    else:
        exchange.write_folder(options.out, images, names)
    print(f"{options.out}: {len(images)} images")


def _save(options: Namespace, arrays: dict[str, Any], source: dict[str, str]) -> None:
    """An npz that says which model it comes from."""
    from ae_jax import results

    model = {"model": str(options.model), "model_sha256": hashlib.sha256(options.model.read_bytes()).hexdigest()}
    results.save(options.out, arrays, model | source | results.origin())


def _summary(described: dict[str, Any]) -> str:
    """What ``info`` says, for people."""
    recipe, provenance = dict(described["recipe"]), described["provenance"]
    model, plan, images = recipe.pop("model"), described["plan"], provenance.get("images", {})
    ours = isinstance(images, dict) and images.keys() >= {"count", "name", "sha256"}  # or whatever a user wrote
    rows = {"objective": _spelled(recipe), "model": model["build"].split(".")[-1]}
    rows |= {f"  {name}": _spelled(part) for name, part in model.items() if name != "build"}
    numbers = {name: sorted(set(values)) for name, values in described["hyper_parameters"].items()}
    rows |= {
        "image": " x ".join(map(str, described["image"])),
        "parameters": f"{described['parameters']:,}",
        "models": " x ".join(map(str, described["shape"])) or "1",
        "loss": ", ".join("none" if loss is None else f"{loss:.4g}" for loss in described["loss"]),
        "ended": ", ".join(sorted(set(described["status"]))),
        "epochs": ", ".join(map(str, described["epochs"])),
        "training": f"{plan['optimizer']}, batches of {plan['batch_size']}, "
        + ", ".join(f"{name} {' '.join(f'{value:.4g}' for value in values)}" for name, values in numbers.items()),
        "images": "{count} of {name}, SHA-256 {sha256}".format(**images) if ours else images or "unknown",
        "written": f"{provenance['created']} on {provenance['device']}",
        "versions": ", ".join(f"{name} {version}" for name, version in provenance["versions"].items()),
    }
    return "\n".join(f"{name:<12}{value}" for name, value in rows.items())


def _spelled(description: Any) -> str:
    """A recipe's plain values as the call that they are."""
    if isinstance(description, list):
        return f"({', '.join(map(_spelled, description))})"
    if not isinstance(description, dict):
        return str(description)
    name, *arguments = description.items()
    inside = ", ".join(f"{key}={_spelled(value)}" for key, value in arguments)
    return name[1].split(".")[-1] + (f"({inside})" if inside else "")
