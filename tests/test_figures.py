"""What every study draws: the numbers of its npz, named axes, legends, captions; again from the npz alone; offline."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from experiments import cross_table, plane_plots, plotting, sheets
from tests import figures
from tests.commands import ROOT, STUDIES, every_study, in_group
from tests.redraw import shown

PLANE = {
    "codes", "projections_2", "curves", "reconstructions", "fig5_samples", "box_images", "normal_images",
    "standard_images", "plane", "chosen", "walks",
}  # fmt: skip
VARIATIONAL = {"reconstructions", "prior", "draws", "traversals", "walks", "projections"}
SEARCH = {"scatter", "parallel.html", "curves", "reconstructions", "best"}
FIGURES = {  # by study: what follows its name, as PNG and PDF or as a page
    "compression": {"fig2_latent", "fig3_noisy", "fig4_occluded", "reconstructions"},
    "random_search_A1": SEARCH | {"fig1_l2"},
    "cross_table": {"latent", "noisy", "occluded", "occluded_alike", "sheet"},
    "latent_space_A5": PLANE | {"pca_2.html", "tsne_2.html"},
    "smoothness": {"fig6_front", "maps", "steps", "profile", "surface.html"},
    "baseline": {"curves", "reconstructions"},
    "random_search_B3": SEARCH,
    "baseline_factors": {""},
    "latent_space_B4": PLANE | {"projections_48", "pca_2.html", "tsne_2.html", "pca_48.html", "tsne_48.html"},
    "denoising_B5": {"curves", "sheet"},
    "transfer_B6": {"curves", "confusion"},
    "random_search_C1": SEARCH,
    "latent_space_C2": PLANE | {"pca_2.html", "tsne_2.html"},
    "transfer_C3": {"curves", "confusion"},
    "denoising_C4": {"curves", "sheet"},
    "linear_pca": {"fig2_stages", "fig3_activations", "training", "axes"},
    "variational_B7": VARIATIONAL,
    "variational_C5": VARIATIONAL | {"manifold_sigmoid", "manifold_relu"},
    "variational_D3": VARIATIONAL,
    "variational_D4": VARIATIONAL,
    "generators": {"samples", "measures"},
    "latent_sweep": {""},
    "reconstruction_losses": {"fig2_originals", "fig3_to_6", "errors"},
    "gradients": {"sigmoid"},
    "architectures": {"ab", "b6", "b7", "c", "c3", "c5", "d1", "d3", "e1", "e4"},
    "regularised": {"measures", "noisy"},
    "anomaly": {"auc", "easiest", "hardest", "images"},
    "rate_distortion": {"curve", "prior", "mixture"},
    "importance_weighted": {"curves"},
}


def files(name):
    """The names of a study's figure files."""
    stems = {f"{name}_{figure}" if figure else name for figure in FIGURES[name]}
    pages = {stem for stem in stems if stem.endswith(".html")}
    return pages | {f"{stem}{ending}" for stem in stems - pages for ending in (".png", ".pdf")}


@every_study
def test_every_figure_is_written_and_named_at_the_end(ran, name):
    run = ran(name)
    found = {path.name for path in run.folder.iterdir() if path.suffix != ".safetensors"} - {
        run.npz.name,
        f"{name}.csv",
        "plotly.min.js",
    }
    assert found == files(name)
    wrote = run.done.stdout[run.done.stdout.index("Wrote:") :]
    for path in map(run.folder.joinpath, found):
        assert f"  {path}\n" in wrote
        start = {".png": b"\x89PNG", ".pdf": b"%PDF", ".html": b"<!doctype html>"}[path.suffix]
        assert path.read_bytes().startswith(start)
    for drawing in found & {f"{path.stem}.png" for path in run.folder.glob("*.png")}:
        pdf = drawing.replace(".png", ".pdf")
        assert figures.digest(run.drawings[drawing]) == figures.digest(run.drawings[pdf])


@every_study
def test_every_figure_and_table_says_which_data_and_budget(ran, name):
    run = ran(name)
    caption = run.meta["caption"]
    for words in ("digits (not MNIST)", "100 training and 100 test images", "budget quick"):
        assert words in caption
    assert caption in run.done.stdout
    for drawing in run.drawings.values():
        assert figures.flat(caption) in figures.flat(drawing.caption)
    for page in map(figures.page, run.folder.glob("*.html")):
        assert caption in page.layout["title"]["text"]


@every_study
def test_axes_are_named_and_lines_have_a_legend(ran, name):
    for file, drawing in ran(name).drawings.items():
        panels = drawing.panels
        assert drawing.title or panels[0].title, file
        lines = {label for panel in panels for label in panel.lines}
        if lines:
            assert any(panel.xlabel for panel in panels) and any(panel.ylabel for panel in panels), file
            assert set(drawing.legend) == lines, file
            assert all(np.isfinite(line.y).any() for panel in panels for line in panel.lines.values()), file


@pytest.fixture(scope="session")
def redraw(environment, tmp_path_factory):
    """``redraw(module, npz)`` in one other process without data: what the figures show, by file name."""
    nowhere = tmp_path_factory.mktemp("nowhere")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.redraw"], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=environment | {"AE_JAX_DATA": str(nowhere), "AE_JAX_CACHE": str(nowhere)},
    ) as process:  # fmt: skip

        def call(module, npz):
            print(module, npz, file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield call


@every_study
def test_figures_are_drawn_again_from_the_npz_alone(ran, redraw, tmp_path, name):
    """The file is moved elsewhere on its own; what the figures show is the same."""
    run = ran(name)
    npz = shutil.copy(run.npz, tmp_path)
    assert redraw(STUDIES[name][0], npz) == shown(run.drawings, run.folder)


@every_study
def test_pages_open_offline(ran, name):
    """A page loads its one script from its own folder and nothing else from anywhere."""
    for path in ran(name).folder.glob("*.html"):
        loaded = re.findall(
            r"<(?:script|link|img|iframe)\b[^>]*\b(?:src|href)\s*=\s*[\"']?([^\"'\s>]+)", path.read_text()
        )
        assert loaded == ["plotly.min.js"]
        assert (path.parent / "plotly.min.js").stat().st_size > 1_000_000


def sheet(panel):
    """The images of a sheet: ``[rows, columns, 28, 28]``, without the space between them."""
    (image,) = panel.images
    rows, columns = (size // 30 for size in image.shape)
    return image.reshape(rows, 30, columns, 30).swapaxes(1, 2)[:, :, :28, :28]


def curves(labels, losses):
    """Lines over the epochs: of ``losses [labels, runs, epochs]`` the means over the runs."""
    return {label: (1 + np.arange(runs.shape[-1]), runs.mean(0)) for label, runs in zip(labels, losses, strict=True)}


LINES = {  # study and figure: a function of the npz's arrays, panel by panel the lines by their label
    ("compression", "fig2_latent"): lambda a: [{"ours": (a["latent"], a["test_mse"].mean(1))}],
    **{
        ("compression", figure): lambda a, panels=panels: [
            {f"d = {d}": (a["levels"], runs.mean(0)) for d, runs in zip(a["latent"], a[f"{name}_mse"], strict=True)}
            for name in panels
        ]
        for figure, panels in (("fig3_noisy", ["noisy"]), ("fig4_occluded", ["occluded_alike", "occluded"]))
    },
    **{
        ("cross_table", name): lambda a, name=name: [
            {f"d = {d}": (a["levels"], runs.mean(0)) for d, runs in zip(a["latent"], of_training, strict=True)}
            for of_training in a[f"{name}_mse"]
        ]
        for name in ("noisy", "occluded", "occluded_alike")
    },
    ("cross_table", "latent"): lambda a: [
        {
            f"trained on {name}": (a["latent"], errors.mean(1))
            for name, errors in zip(a["trainings"], a["clean_mse"], strict=True)
        }
    ],
    ("baseline", "curves"): lambda a: [
        {
            f"{name}, lr {rate:g}": (1 + np.arange(4), a[f"{name}_validation_loss"].mean(0))
            for name, rate in (("adam", 0.001), ("adadelta", 1), ("rmsprop", 0.01))
        }
    ],
    ("denoising_B5", "curves"): lambda a: [
        curves(["training", "validation"], losses) for losses in zip(a["train_loss"], a["validation_loss"], strict=True)
    ],
    ("transfer_C3", "curves"): lambda a: [
        curves(["training", "validation"], losses[:, 0])
        for losses in np.stack([a["train_loss"], a["validation_loss"]], axis=1)
    ],
    ("linear_pca", "training"): lambda a: [
        {
            name: (np.arange(1, 4) * 6, losses.mean(0))
            for name, losses in zip(a["hidden"], a["train_loss"], strict=True)
        }
        | {"PCA": ([6, 18], np.repeat(a["pca_train_mse"], 2))}
    ],
    ("linear_pca", "axes"): lambda a: [
        {
            "linear": (np.arange(1, 6), np.einsum("sd,sdd->d", a["code_variance"], a["decoder_gram"]) / 2),
            "PCA": (np.arange(1, 6), a["pca_variance"]),
        }
    ],
    ("latent_sweep", ""): lambda a: [
        {"PCA": ([2, 3], a["pca_test_mse"][::-1])}
        | {kind: ([2, 3], mse[::-1, 0]) for kind, mse in zip(a["kind"], a["test_mse"], strict=True)}
    ],
    ("gradients", "sigmoid"): lambda a: [
        {
            "squared error": (a["logit"], a["squared_error_slope"]),
            "cross-entropy": (a["logit"], a["cross_entropy_slope"]),
        }
    ],
    ("rate_distortion", "curve"): lambda a: [
        {"ELBO, beta 0.1 (right) to 8": (a["rate"][:6], a["distortion"][:6])}
        | {str(a["names"][i]): (a["rate"][[i]], a["distortion"][[i]]) for i in (6, 7, 8)}
    ],
    ("importance_weighted", "curves"): lambda a: [
        curves(["VAE", "IWAE-5"], [a["VAE_train_loss"], a["IWAE-5_train_loss"]])
    ],
}  # fmt: skip


def of_figures(table):
    return pytest.mark.parametrize(
        ("name", "figure"),
        [pytest.param(*key, marks=in_group(key[0]), id="_".join(filter(None, key))) for key in table],
    )


@of_figures(LINES)
def test_lines_are_the_numbers_of_the_npz(ran, name, figure):
    """A mean over the runs, and a band of one deviation where there are several."""
    run = ran(name)
    panels = run.drawing(figure and f"_{figure}").panels
    for panel, expected in zip(panels, LINES[name, figure](run.arrays), strict=True):
        assert list(panel.lines) == [str(label) for label in expected]
        for label, (x, y) in expected.items():
            np.testing.assert_allclose(panel.lines[label].x, x, rtol=1e-6)
            np.testing.assert_allclose(panel.lines[label].y, y, rtol=1e-6)
    several = {"compression", "baseline", "denoising_B5", "transfer_C3", "linear_pca"}
    assert (sum(panel.areas for panel in panels) > 0) == (name in several)


SHEETS = {  # study and figure: the rows of images, and some of their labels
    ("compression", "reconstructions"): lambda a: ([a["images"], *a["reconstructions"]], ["input", "d = 1", "d = 2"]),
    ("cross_table", "sheet"): lambda a: (
        [row for images, outputs in zip(a["inputs"], a["outputs"].swapaxes(0, 1), strict=True)
         for row in (images, *outputs)],
        ["input, clean", *(f"trained on {name}" for name in a["trainings"]), "input, noise 0.25"],
    ),
    ("latent_space_A5", "box_images"): lambda a: (a["box_images"].reshape(-1, 12, 28, 28, 1), []),
    ("latent_space_A5", "normal_images"): lambda a: (a["normal_images"].reshape(-1, 12, 28, 28, 1), []),
    ("latent_space_A5", "standard_images"): lambda a: (a["standard_images"].reshape(-1, 12, 28, 28, 1), []),
    ("latent_space_A5", "chosen"): lambda a: (a["chosen_images"], ["t-SNE, neighbours' codes", "PCA, inverted"]),
    ("latent_space_A5", "reconstructions"): lambda a: ([a["images"], a["reconstructions"]], ["input", "output"]),
    ("latent_space_A5", "plane"): lambda a: (a["plane_images"], [f"{z:.1f}" for z in a["plane"][:, 0, 1]]),
    ("latent_space_A5", "walks"): lambda a: (a["walk_images"], ["0 to 1", "3 to 8", "4 to 9", "7 to 2"]),
    ("baseline", "reconstructions"): lambda a: ([a["images"], a["reconstructions"]], ["input", "output"]),
    ("denoising_C4", "sheet"): lambda a: (
        [a["images"], *(rows for of_level in zip(a["inputs"], a["outputs"], strict=True) for rows in of_level)],
        ["clean", "input, noise 0.4", "output", "input, noise 0.5", "output", "input, noise 1.0", "output"],
    ),
    ("linear_pca", "fig2_stages"): lambda a: (
        [*a["stage_reconstructions"], a["images"]], ["6 steps", "12 steps", "18 steps", "input"]
    ),
    ("linear_pca", "fig3_activations"): lambda a: (
        [a["images"], a["pca_reconstructions"], *a["reconstructions"]], ["input", "PCA", *a["hidden"]]
    ),
    ("reconstruction_losses", "fig2_originals"): lambda a: ([a["images"]], ["original"]),
    ("reconstruction_losses", "fig3_to_6"): lambda a: (
        [a["images"], *a["reconstructions"]], ["input", "E1 sigmoid, MSE", "E2 ReLU, MSE"]
    ),
    ("regularised", "noisy"): lambda a: (
        [*a["images"].clip(0, 1), *a["reconstructions"]], ["clean", "noisy input", *a["model"]]
    ),
    ("anomaly", "images"): lambda a: (a["most_anomalous"], [f"without {k}" for k in range(10)]),
    ("rate_distortion", "prior"): lambda a: (a["prior_images"], a["names"]),
    ("rate_distortion", "mixture"): lambda a: (a["mixture_images"], a["names"]),
    ("generators", "samples"): lambda a: (
        np.concatenate(a["images"]), ["autoencoder, fitted", "autoencoder, N(0, I)"]
    ),
    ("variational_C5", "manifold_relu"): lambda a: (a["manifold_images"][1], []),
    ("variational_C5", "prior"): lambda a: (np.concatenate(a["prior_images"]), ["sigmoid", "", "", "", "", "ReLU"]),
    ("variational_D3", "reconstructions"): lambda a: (
        [a["images"], *a["reconstructions"]], ["input", "d = 5", "plain autoencoder"]
    ),
    ("variational_D3", "draws"): lambda a: (a["prior_draws"][0], ["d = 5"]),
    ("variational_D3", "traversals"): lambda a: (a["traversal_images"], ["z1", "z2", "z3", "z4", "z5"]),
}  # fmt: skip


@of_figures(SHEETS)
def test_sheets_show_the_images_of_the_npz(ran, name, figure):
    run = ran(name)
    (panel,) = run.drawing(f"_{figure}").panels
    rows, labels = SHEETS[name, figure](run.arrays)
    np.testing.assert_array_equal(sheet(panel), np.asarray(rows)[..., 0])
    assert panel.ticks[: len(labels)] == [str(label) for label in labels]


BARS = {  # study and figure: the bars of each panel, and their names
    ("baseline_factors", ""): lambda a: (
        [a["validation_mse"], a["validation_mse"] / a["validation_mse"][0]], list(a["factor"])
    ),
    ("generators", "measures"): lambda a: (
        [np.concatenate(a[m]) for m in ("share", "balance", "frechet")], ["autoencoder, fitted"]
    ),
    ("reconstruction_losses", "errors"): lambda a: ([a["train_mse"], a["test_mse"]], ["E1 sigmoid, MSE"]),
    ("regularised", "measures"): lambda a: (
        [a[m] for m in ("test_mse", "noisy_mse", "activation", "active", "contraction", "probe")], list(a["model"])
    ),
    ("anomaly", "auc"): lambda a: ([a["auc"]], [f"digit {k}" for k in range(10)]),
}  # fmt: skip


@of_figures(BARS)
def test_bars_are_the_means_of_the_npz(ran, name, figure):
    run = ran(name)
    panels, (values, labels) = run.drawing(figure and f"_{figure}").panels, BARS[name, figure](run.arrays)
    for panel, expected in zip(panels, values, strict=True):
        np.testing.assert_allclose(panel.bars, expected.mean(1), rtol=1e-6)
        assert panel.areas == (expected.shape[1] > 1) + (name == "anomaly")  # whiskers, and the mark at chance
        written = [float(text.replace(",", "")) for *_, text in panel.texts if text and "diverged" not in text]
        np.testing.assert_allclose(written, panel.bars[~np.isnan(panel.bars)], rtol=0.006)
        assert panel.xlabel
    assert panels[0].ticks[: len(labels)] == labels


@in_group("transfer_C3")
def test_a_confusion_matrix_has_true_digits_in_rows(ran):
    """In the npz the rows sum to the test images of a digit, the columns to what was predicted; so in the figure."""
    run = ran("transfer_C3")
    true = np.bincount(ran("latent_space_C2").arrays["labels"], minlength=10)
    drawing = run.drawing("_confusion")
    assert [panel.title for panel in drawing.panels] == run.arrays["runs"].tolist()
    for panel, counts in zip(drawing.panels, run.arrays["confusion"], strict=True):
        np.testing.assert_array_equal(counts.sum(1), true)
        assert (counts.sum(0) != true).any()
        assert {(x, y): int(text) for x, y, text in panel.texts} == {
            (predicted, true): count for (true, predicted), count in np.ndenumerate(counts) if count
        }
        np.testing.assert_allclose(panel.images[0], counts / counts.sum(1, keepdims=True))
        assert panel.ylabel == "true digit" and panel.xlabel == "predicted digit"


@in_group("random_search_A1")
def test_a_search_is_drawn_trial_by_trial(ran):
    """A panel for each hyper-parameter; learning rate and L2 on logarithmic axes, in the page as their logarithm."""
    run = ran("random_search_A1")
    varied = ["learning_rate", "l2", "dropout", "epochs"]
    drawing = run.drawing("_scatter")
    for panel, name in zip(drawing.panels, varied, strict=True):
        np.testing.assert_allclose(panel.points[0], np.c_[run.arrays[f"trial_{name}"], run.arrays["score"]], rtol=1e-6)
        assert panel.xlabel == name.replace("_", " ")
        assert panel.scales == ("log" if name in ("learning_rate", "l2") else "linear", "linear")
    assert drawing.panels[0].ylabel == "validation MSE per pixel"
    (l2,) = run.drawing("_fig1_l2").panels
    np.testing.assert_allclose(l2.points[0], np.c_[run.arrays["trial_l2"], run.arrays["score"]], rtol=1e-6)
    (trace,), _ = figures.page(run.folder / "random_search_A1_parallel.html")
    axes = {axis["label"]: np.asarray(axis["values"]) for axis in trace["dimensions"]}
    assert list(axes) == ["log10 learning rate", "log10 l2", "dropout", "epochs", "validation MSE"]
    np.testing.assert_allclose(axes["log10 l2"], np.log10(run.arrays["trial_l2"]), rtol=1e-5)
    np.testing.assert_allclose(axes["validation MSE"], run.arrays["score"], rtol=1e-6)


@in_group("latent_space_A5")
def test_codes_are_drawn_by_digit(ran):
    """A colour for each digit in the figure, a trace in the page, where every point has the image of its own."""
    run = ran("latent_space_A5")
    codes, labels, sample = run.arrays["codes_2"], run.arrays["labels"], run.arrays["sample"]
    (panel,) = run.drawing("_codes").panels
    *by_digit, stars = panel.points
    for digit, points in enumerate(by_digit):
        np.testing.assert_allclose(points, codes[labels == digit])
    np.testing.assert_allclose(stars, run.arrays["centroids"])
    assert run.drawing("_codes").legend == [str(digit) for digit in range(10)]
    assert [text for *_, text in panel.texts] == [str(digit) for digit in range(10)]
    for projection in ("pca", "tsne"):
        traces, _ = figures.page(run.folder / f"latent_space_A5_{projection}_2.html")
        points = run.arrays[f"{projection}_2"]
        points = points[sample] if projection == "pca" else points
        for digit, trace in enumerate(traces):
            chosen = labels[sample] == digit
            assert trace["name"] == str(digit) and len(trace["customdata"]) == chosen.sum()
            np.testing.assert_allclose(np.c_[trace["x"], trace["y"]], points[chosen], rtol=1e-6)
    images = [image for trace in traces for image in trace["customdata"]]
    assert len(set(images)) == len(images) == 60


@in_group("latent_space_A5")
def test_the_map_of_the_plane_is_drawn_as_a_surface_and_flat(ran):
    run = ran("smoothness")
    points = run.arrays["points"]
    traces, layout = figures.page(run.folder / "smoothness_surface.html")
    np.testing.assert_allclose(traces[0]["z"], run.arrays["distance"], rtol=1e-6)
    np.testing.assert_allclose(traces[0]["x"], points[0, :, 0], rtol=1e-6)
    np.testing.assert_allclose(traces[0]["y"], points[:, 0, 1], rtol=1e-6)
    np.testing.assert_allclose(np.c_[traces[1]["x"], traces[1]["y"]], run.arrays["centroids"], rtol=1e-6)
    assert "centroid of digit" in traces[1]["hovertemplate"]
    assert [button["label"] for button in layout["updatemenus"][0]["buttons"]] == ["front", "top"]
    panels = [panel for panel in run.drawing("_maps").panels if panel.xlabel == "z1"]
    for panel, name in zip(panels, ("distance", "nearest", "basin"), strict=True):
        np.testing.assert_allclose(panel.images[0], run.arrays[name], rtol=1e-6)
        np.testing.assert_allclose(panel.limits, [points[0, [0, -1], 0], points[[0, -1], 0, 1]], rtol=0.1)
    steps = [panel for panel in run.drawing("_steps").panels if panel.xlabel == "z1"]
    distance = run.arrays["distance"]
    for panel, (after, before) in zip(
        steps, ((distance.T[1:], distance.T[:-1]), (distance[1:], distance[:-1])), strict=True
    ):
        found = panel.images[0] if panel.title == "along z2" else panel.images[0].T
        np.testing.assert_allclose(found, np.abs(after - before), atol=1e-5)
    front = run.drawing("_fig6_front").panels[0]
    np.testing.assert_allclose(np.c_[front.lines["centroids"].x, front.lines["centroids"].y], run.arrays["centroids"])
    (profile,) = run.drawing("_profile").panels
    np.testing.assert_allclose(profile.lines["D, to the nearest of all"].y, run.arrays["profile"], rtol=1e-6)


def test_the_notebook_s_curves_stand_beside_ours():
    """On MNIST, for the sizes that were trained; its clean and per-image figures have no curve."""
    panels = cross_table._notebook("occluded_alike", np.array([2, 16]))
    assert list(panels) == ["its notebook, Gaussian", "its notebook, occlusion, one grey"]
    largest = panels["its notebook, Gaussian"][1]
    assert largest.label == "d = 16" and largest.x.tolist() == [0.01, 0.242, 0.5]
    assert largest.y.tolist() == [0.0225, 0.0881, 0.1439]
    assert cross_table._notebook("occluded", np.array([2])) == {}


def test_a_table_is_drawn_with_its_caption(tmp_path):
    with figures.drawn() as drawings:
        sheets.table(tmp_path / "a", ("name", "ours"), [("l2", "0.1"), ("epochs", "40")], title="t", caption="c")
    assert drawings["a.png"].title == "t" and drawings["a.png"].caption == "c"


def test_a_figure_is_drawn_finely_with_report_band_and_scale(tmp_path):
    """The real resolution, 150 dots an inch; a dashed series is grey; the shaded band, the axis from zero."""
    series = [
        plotting.Series("ours", np.array([1, 2, 4]), np.array([[3.0, 2, 1], [5, 4, 3]])),
        plotting.Series("report", np.array([1, 2, 4]), np.array([3.0, 2, 1]), dashed=True),
    ]
    with figures.drawn() as drawings:
        plotting.line_plot(
            tmp_path / "a", series, xlabel="x", ylabel="y", title="t", log_x=True, x_ticks=[1, 2, 4], from_zero=True
        )
    (panel,) = drawings["a.png"].panels
    np.testing.assert_array_equal(panel.lines["ours"].y, [4, 3, 2])
    assert panel.lines["report"].style == "--" and panel.lines["ours"].style == "-"
    assert panel.limits[1, 0] == 0 and panel.scales == ("log", "linear") and panel.areas == 1
    with plotting.plt.rc_context({"savefig.dpi": "figure"}):
        plotting.line_plot(tmp_path / "b", series, xlabel="x", ylabel="y", title="t")
    assert (tmp_path / "b.pdf").read_bytes()[:5] == b"%PDF-" and (tmp_path / "b.pdf").stat().st_size > 5000
    header = (tmp_path / "b.png").read_bytes()[:24]
    assert [int.from_bytes(header[at : at + 4], "big") for at in (16, 20)] == [840, 570]


def test_panels_stand_in_rows_of_four_and_short_logarithmic_axes_have_labels(monkeypatch, tmp_path):
    """Five panels: three above two, no empty sixth; of less than 300 to 1, labels at 1 and 3 of each decade."""
    kept = []
    monkeypatch.setattr(plotting, "save", lambda figure, *_: kept.append(figure))
    panels = {str(i): plotting.series(["a"], np.array([[i, i + 1.0]]), np.array([0, 1])) for i in range(5)}
    plotting.line_panels(tmp_path / "a", panels, xlabel="x", ylabel="y", title="t")
    axes = kept[0].axes
    assert [a.get_title() for a in axes] == list("01234")
    assert [a.get_subplotspec().get_geometry()[:2] for a in axes] == [(2, 3)] * 5
    assert [a.get_ylabel() for a in axes] == ["y", "", "", "y", ""]
    columns = {"narrow": np.array([2e-4, 6e-3]), "wide": np.array([1e-6, 1e-1])}
    plotting.scatter_grid(tmp_path / "b", columns, np.ones(2), log_x=columns, ylabel="y", title="t")
    kept[1].canvas.draw()
    narrow, wide = ([t.get_text() for t in a.get_xticklabels() if t.get_text()] for a in kept[1].axes)
    assert {"0.0003", "0.001", "0.003"} <= set(narrow) and not any("0.0" in label for label in wide)
    columns = {"chosen": np.array([32, 64, 8, 16, 8]), "drawn": np.linspace(0, 1, 5) ** 2}
    columns = {name: np.concatenate([of, of + (name == "drawn") * 0.1]) for name, of in columns.items()}
    plotting.scatter_grid(tmp_path / "c", columns, np.ones(10), log_x=(), ylabel="y", title="t")
    chosen, drawn = kept[2].axes
    assert chosen.get_xticks().tolist() == [8, 16, 32, 64] and len(drawn.get_xticks()) < 10


def test_the_digits_of_stars_at_the_edge_lie_within_the_panel(monkeypatch, tmp_path):
    """The extent is that of the centroids, so that some of these are always on its edge."""
    kept = []
    monkeypatch.setattr(plane_plots, "save", lambda figure, *_: kept.append(figure))
    stars = np.array([[0.0, 0.0], [1.0, 0.5], [0.5, 1.0], [0.5, 0.5], *[[np.nan, np.nan]] * 6])
    plane_plots.plane_maps(tmp_path / "a", {"D": np.zeros((4, 4))}, [0, 1, 0, 1], stars, title="t")
    kept[0].canvas.draw()
    panel = kept[0].axes[0]
    inside = panel.get_window_extent()
    assert [text.get_text() for text in panel.texts] == ["0", "1", "2", "3"]
    for text in panel.texts:
        box = text.get_window_extent()
        assert inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
    assert not panel.collections[0].get_clip_on()


def test_long_labels_of_a_sheet_lie_on_the_paper(monkeypatch, tmp_path):
    kept = []
    monkeypatch.setattr(sheets, "save", lambda figure, *_: kept.append(figure))
    sheets.image_sheet(tmp_path / "a", np.zeros((11, 10, 28, 28, 1)), ["overcomplete masked, 0.5"] * 11, title="t")
    kept[0].suptitle("t")
    kept[0].canvas.draw()
    assert min(label.get_window_extent().x0 for label in kept[0].axes[0].get_yticklabels()) > 5
