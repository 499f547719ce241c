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


def _baseline(curve, train_mse, other):
    """Two seeds of Adam that end at 0.1, the first of them by the other optimizers too."""
    arrays = {"adam_seed": np.arange(2), "adam_score": np.full(2, 0.1), "adam_train_mse": np.full(2, train_mse)}
    arrays |= {"adam_validation_loss": np.array([curve, curve]), "adadelta_seed": np.array([0])}
    return arrays | {"adadelta_score": np.array([other]), "rmsprop_score": np.array([np.inf])}


def _transfer(confirmed):
    """Classifiers on two encoders and one from scratch, ``[runs, lengths, seeds]`` of one seed."""
    names = ["frozen, d = 2", "fine-tuned, d = 2", "fine-tuned, d = 10", "from scratch"]
    slow, fast = [0.9, 0.05], [0.06, 0.05]
    accuracy = (0.99, 0.99, 1.0, 0.95) if confirmed else (0.94, 0.94, 0.94, 0.99)
    return {
        "runs": np.array(names),
        "validation_loss": np.reshape([*[fast if confirmed else slow] * 3, slow], (4, 1, 1, 2)),
        "final_validation_loss": np.full((4, 1, 1), 0.05),
        "final_train_loss": np.full((4, 1, 1), 0.05 if confirmed else 0.02),
        "test_accuracy": np.reshape(accuracy, (4, 1, 1)),
        "few_labels": np.array(1200),
        "few_test_accuracy": np.reshape(accuracy, (4, 1)),
    }


# By study: arrays that confirm everything a report says of it, and arrays that confirm nothing.
CASES = {
    "baseline": (
        _baseline([0.5, 0.4, 0.3, 0.2, 0.1], train_mse=0.1, other=0.2),
        _baseline([0.1, 0.1, 0.1, 0.1, 0.1], train_mse=0.05, other=0.09),
    ),
    "baseline_factors": (
        {"validation_mse": np.array([[0.4, 0.3], [0.3, 0.2]])},
        {"validation_mse": np.array([[0.4, 0.3], [0.4, 0.4]])},
    ),
    "compression": (
        {"test_mse": np.array([[0.5, 0.4], [0.3, 0.2], [0.1, 0.1]])},
        {"test_mse": np.array([[0.5, 0.4], [0.3, 0.2], [0.4, 0.3]])},
    ),
    "denoising_B5": (
        {"noise": np.array([1, 0]), "validation_mse": np.array([[0.3], [0.2]]), "recognised": np.array([[0.95]])},
        {"noise": np.array([1, 0]), "validation_mse": np.array([[0.5], [0.2]]), "recognised": np.array([[0.85]])},
    ),
    "denoising_C4": (
        {"noise": np.array([1, 0.4]), "test_noisy_mse": np.array([[1], [0.2]]), "recognised": np.array([[0], [0.8]])},
        {"noise": np.array([0.4, 1]), "test_noisy_mse": np.array([[1], [0.2]]), "recognised": np.array([[0], [0.8]])},
    ),
    "transfer_B6": (_transfer(True), _transfer(False)),
    "transfer_C3": (_transfer(True), _transfer(False)),
}


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
