"""What the reports draw and find is answered: by a file of the study named, and by a verdict that can be either."""

import csv
from collections import Counter

import numpy as np
import pytest

from ae_jax import results
from experiments import comparison, reports, run_all, summary
from experiments.comparison import decide
from experiments.reports import a, d
from tests.commands import every_study


def test_every_figure_and_claim_is_of_a_study_that_runs():
    assert {figure.study for figure in reports.FIGURES} <= set(run_all.NAMES)
    assert {study for report in reports.REPORTS for study in report.FINDINGS} <= set(run_all.NAMES)
    assert max(Counter(figure.where for figure in reports.FIGURES).values()) == 1


@every_study
def test_a_study_draws_the_figures_of_its_report_and_answers_its_claims(ran, name):
    study = ran(name)
    for figure in reports.FIGURES:
        if figure.study == name:
            assert (study.folder / figure.path).exists(), figure
    findings = comparison.read_findings(study.meta)
    again = comparison.plain(reports.findings(name, study.arrays))
    assert study.meta["findings"] == again  # from the npz alone
    for finding in findings:
        assert np.isfinite(finding.ours).any(), finding
        assert finding.says in study.done.stdout


# By study: arrays that confirm everything a report says of it, and arrays that confirm nothing.
CASES = {
    "compression": (
        {"test_mse": np.array([[0.5, 0.4], [0.3, 0.2], [0.1, 0.1]])},
        {"test_mse": np.array([[0.5, 0.4], [0.3, 0.2], [0.4, 0.3]])},
    ),
    "gradients": (
        {"autodiff": np.zeros(5), "at_target": np.zeros(5), "curvature": np.ones(5)},
        {"autodiff": np.ones(5), "at_target": np.ones(5), "curvature": np.zeros(5)},
    ),
    "latent_sweep": (  # unsorted; from 16 on a doubling gains next to nothing, or still a quarter of the range
        {"kind": ["dense"], "latent": [64, 8, 128, 16], "test_mse": np.array([[[0.019], [0.1], [0.018], [0.02]]])},
        {"kind": ["dense"], "latent": [64, 8, 128, 16], "test_mse": np.array([[[0.04], [0.1], [0.02], [0.08]]])},
    ),
    "linear_pca": (
        {
            "test_mse": np.array([[0.045], [0.021], [0.022], [0.023]]), "mean_image_test_mse": np.array([0.067]),
            "train_loss": np.array([[[0.06, 0.05, 0.045]], *[[[0.04, 0.03, 0.02]]] * 3]),
            "best_angles": np.array([[4.0, 1.0]]), "code_variance": np.array([[1.0, 2.0]]),
            "decoder_gram": np.array([[[4.0, 1.0], [1.0, 4.0]]]),
        },
        {
            "test_mse": np.array([[0.04], [0.03], [0.035], [0.036]]), "mean_image_test_mse": np.array([0.1]),
            "train_loss": np.array([[[0.04, 0.04, 0.04]], *[[[0.05, 0.03, 0.02]]] * 3]),
            "best_angles": np.array([[80.0, 70.0]]), "code_variance": np.array([[2.0, 1.0]]),
            "decoder_gram": np.eye(2)[None],
        },
    ),
    "reconstruction_losses": (
        {
            "test_mse": np.array([[0.008], [0.009], [0.0075], [0.06], [0.061]]), "label": [""] * 5,
            "mean_image_test_mse": np.array([0.067]), "sharpness": np.array([[0.9], [0.9], [0.9], [0.3], [0.2]]),
        },
        {
            "test_mse": np.array([[0.04], [0.06], [0.02], [0.01], [0.01]]), "label": [""] * 5,
            "mean_image_test_mse": np.array([0.067]), "sharpness": np.array([[0.9], [0.9], [0.9], [0.8], [0.7]]),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_claim_can_be_confirmed_and_not(name):
    for arrays, verdict in zip(CASES[name], ("confirmed", "not confirmed"), strict=True):
        findings = reports.findings(name, arrays)
        assert {decide(finding, comparable=True) for finding in findings} == {verdict}, findings


def test_no_claim_is_left_without_a_case():
    assert CASES.keys() == {study for report in reports.REPORTS for study in report.FINDINGS}


def test_a_linear_network_that_diverged_says_nothing():
    """Beside one that did not, its measurements are NaN and the verdicts the same."""
    arrays = CASES["linear_pca"][0]
    of_hidden = "test_mse", "train_loss"  # seeds are their second axis
    both = {name: np.concatenate([of, of * np.nan], int(name in of_hidden)) for name, of in arrays.items()}
    both["mean_image_test_mse"] = arrays["mean_image_test_mse"]
    for alone, finding in zip(
        reports.findings("linear_pca", arrays), reports.findings("linear_pca", both), strict=True
    ):
        np.testing.assert_array_equal(finding.ours, [*alone.ours, np.nan])


def test_a_fitting_size_is_where_doublings_cease_to_pay():
    """By hand, the range 0.8: steps of 0.4, 0.3 for two doublings, 0.1 and 0; and a lane that diverged at one size."""
    errors = np.array([[1.0, 1.0], [0.6, 0.6], [0.3, np.nan], [0.2, 0.2], [0.2, 0.2]])
    np.testing.assert_array_equal(d.fitting_size(np.array([1, 2, 8, 16, 32]), errors), [16, np.nan])
    np.testing.assert_array_equal(d.fitting_size(np.array([1, 2, 8, 16, 64]), errors + 0.02 * errors), [16, np.nan])


def test_a_folder_is_summed_up_without_its_studies(tmp_path, capsys):
    finding = comparison.plain(a.compression(CASES["compression"][0]))
    rows = comparison.plain([comparison.Row("A2 error", 0.5, [0.4]), comparison.Row("A2 other", None, [0.4])])
    meta = {"study": "compression", "config": {}, "comparable": True, "wall_seconds": 2.0}
    meta |= {"rows": rows, "findings": finding}
    results.save(tmp_path / "compression.npz", {}, meta)
    (tmp_path / "compression_fig2_latent.pdf").touch()
    summary.run(summary.Options(tmp_path))
    printed = capsys.readouterr().out
    figures = len(reports.FIGURES)
    assert f"1 of 1 reported numbers compared; 1 findings: 1 confirmed; 1 of {figures} figures" in printed
    with (tmp_path / "reproduction.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["kind"], line["verdict"]) for line in lines] == [
        ("number", "better"), ("number", ""), ("finding", "confirmed")
    ]  # fmt: skip
    with (tmp_path / "figures.csv").open() as file:
        found = {line["figure"]: line["file"] for line in csv.DictReader(file)}
    assert found["A, Fig. 2"] == "compression_fig2_latent.pdf" and found["A, Fig. 3"].endswith("not drawn yet")
