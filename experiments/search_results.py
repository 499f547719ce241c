"""What a random search shows: its rows, its figures, its tables on the terminal, all from the arrays of its npz."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ae_jax import random_search
from experiments import interactive, plotting, reports, sheets, tables
from experiments.comparison import print_table
from experiments.spaces import PROTOCOLS, Protocol
from experiments.study import Paths, Row, Saved

LOG = {"learning_rate", "l2", "variance"}  # drawn on logarithmic axes, unless a trial has none


def log_axes(columns: Mapping[str, np.ndarray]) -> list[str]:
    """Those of the hyper-parameters ``[trials]`` that are drawn on logarithmic axes."""
    return [name for name, values in columns.items() if name in LOG and (values > 0).all()]


def rows(study: str, name: str, arrays: dict[str, np.ndarray]) -> list[Row]:
    """The best trial, what was trained beside, the rank correlations; ``name`` is the study's with its options."""
    protocol, best = PROTOCOLS[study], arrays["ranking"][0]
    loss, source = protocol.loss, protocol.source
    kept = np.nanargmin(arrays["validation_loss"][best], 1) if protocol.patience else arrays["epochs"][best] - 1
    found = [
        Row(f"{name} best validation {loss}", protocol.reported, [arrays["score"][best]], source=source),
        Row(f"{name} its training {loss}, dropout on", protocol.reported_training,
            np.take_along_axis(arrays["train_loss"][best], kept[:, None], 1)[:, 0]),
        Row(f"{name} its test {loss}", protocol.reported_test, arrays["best_test_loss"]),
        Row(f"{name} median validation {loss}", reports.a.MEDIAN_MSE if study == "A1" else None,
            [np.median(arrays["score"])], None, source),
    ]  # fmt: skip
    for i, own in enumerate(arrays.get("beside", ())):
        reported, tested = (None, None) if i else (protocol.reported, protocol.reported_test)
        found += [
            Row(f"{name} {own}, validation {loss}", reported, arrays["beside_fold_score"][i]),
            Row(f"{name} {own}, test {loss}", tested, arrays["beside_test_loss"][i]),
        ]
    for varied, rho in tables.correlations(arrays).items():
        said = protocol.reported_spearman if varied == "l2" else None
        words = "L2" if varied == "l2" else varied.replace("_", " ")
        found.append(Row(f"{name} Spearman({words}, {loss})", said, [rho], None, source))
    return found


def draw(saved: Saved) -> Paths:
    """Fig. 1 of report A, a scatter for each hyper-parameter, parallel coordinates; the best trial."""
    yield from _draw_best(saved)
    drawn, score = tables.varying_numbers(saved.arrays), saved.arrays["score"]
    if not drawn:  # a single trial, or the same one again and again
        return
    panels = {"scatter": (drawn, "Validation error against each hyper-parameter")}
    if "l2" in drawn:
        panels["fig1_l2"] = {"l2": drawn["l2"]}, "Fig. 1  Error against the L2 penalty"
    loss, log = f"validation {_unit(saved)}", log_axes(drawn)
    for name, (columns, words) in panels.items():
        yield from saved.draw(plotting.scatter_grid, name, columns, score, log_x=log, ylabel=loss, title=words)
    columns = drawn | {f"validation {_protocol(saved).loss}": score}
    page = saved.place("parallel").with_suffix(".html")
    yield interactive.parallel_coordinates(page, columns, log=log, title=saved.caption)


def _draw_best(saved: Saved) -> Paths:
    """Curves, reconstructions and hyper-parameters of the best trial: Figs. 2a and 2b of report C, A's table."""
    arrays, best = saved.arrays, saved.arrays["ranking"][0]
    losses = [arrays[f"{part}_loss"][best] for part in ("train", "validation")]
    yield from saved.draw(
        plotting.line_plot, "curves", plotting.series(["training, dropout on", "validation"], losses),
        xlabel="epoch", ylabel=_unit(saved), title="Training and validation of the best trial",
    )  # fmt: skip
    yield from saved.draw(
        sheets.image_sheet, "reconstructions", [arrays["images"], arrays["reconstructions"]], ["image", "output"],
        title="Test images and their reconstructions by the best trial",
    )  # fmt: skip
    ours = {name: values[best].item() for name, values in tables.hyper_parameters(arrays).items()}
    rows = [
        (name.replace("_", " "), random_search.short(value), random_search.short(ours[name]))
        for name, value in _protocol(saved).best.items()
    ]
    yield from saved.draw(sheets.table, "best", ("hyper-parameter", "report", "ours"), rows, title="The best trial")


def _protocol(saved: Saved) -> Protocol:
    return PROTOCOLS[saved.meta["config"]["study"]]


def _unit(saved: Saved) -> str:
    loss = _protocol(saved).loss
    return f"{loss} per pixel" if loss == "MSE" else loss


def show(saved: Saved) -> None:
    """The best trials and the rank correlations."""
    ranked = tables.trial_rows(saved.arrays)
    top = min(saved.meta["config"]["options"]["top"], len(ranked))
    header = [name for name in ranked[0] if not name.startswith("fold_")]
    cells = [[random_search.short(trial[name]) for name in header] for trial in ranked[:top]]
    best = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in _protocol(saved).best.items())
    loss = f"validation {_protocol(saved).loss}"
    print_table(f"Ranking by {loss}", header, cells, f"{top} of {len(ranked)} trials. Report's best: {best}")
    if correlations := [(name, f"{rho:+.3f}") for name, rho in tables.correlations(saved.arrays).items()]:
        print_table(f"Spearman rank correlation with the {loss}", ("", "rho"), correlations)
