"""What the reports draw and find is answered: by a file of the study named, and by a verdict that can be either."""

import csv
from collections import Counter

import numpy as np
import pytest

from ae_jax import results
from experiments import comparison, reports, run_all, summary
from experiments.comparison import decide
from experiments.reports import a
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
    "generators": (
        {"models": ["autoencoder", "VAE"], "ways": ["fitted", "N(0, I)", "box"],
         "kept": np.array([[0.7], [0.95]]),
         "frechet": np.array([[[90.0], [70], [99]], [[80], [60], [80]]]),
         "share": np.array([[[0.4], [0.5], [0.3]], [[0.2], [0.7], [0.92]]])},
        {"models": ["autoencoder", "VAE"], "ways": ["fitted", "N(0, I)", "box"],
         "kept": np.array([[0.95], [0.85]]),
         "frechet": np.array([[[70.0], [75], [99]], [[60], [80], [60]]]),
         "share": np.array([[[0.6], [0.4], [0.95]], [[0.7], [0.4], [0.8]]])},
    ),
    "variational_B7": (
        {"variants": ["no L2"], "training_loss": np.array([[19.4, 19.5]]), "validation_loss": np.array([[19.5, 19.4]])},
        {"variants": ["no L2"], "training_loss": np.array([[19.4, 19.5]]), "validation_loss": np.array([[19.7, 19.8]])},
    ),
    "variational_C5": (
        {
            "variants": ["sigmoid"], "largest_step": np.array([[0.6]]), "slant_correlation": np.array([[[-0.2, 0.8]]]),
            "gaps": np.array([[0.1], [0.2]]), "separation": np.array([[0.1], [0.0]]),
        },
        {
            "variants": ["sigmoid"], "largest_step": np.array([[1.1]]), "slant_correlation": np.array([[[0.4, 0.5]]]),
            "gaps": np.array([[0.2], [0.2]]), "separation": np.array([[0.1], [0.1]]),
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
