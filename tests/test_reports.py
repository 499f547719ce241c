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


def centroids(*adjacent):
    """Ten places of digits, two seeds alike: those of a group close together, all others far apart."""
    places = np.c_[10.0 * np.arange(10), np.zeros(10)]
    for first, *others in adjacent:
        places[others] = places[first] + np.eye(2)[: len(others)]
    return np.stack([places, places])


def told(recall=1.0, mixed=(), gaps=(0.0, 0.0, 0.0), silhouette=(0.0, 0.0, 0.0), wrong=(0.0, 0.0), sharpness=1.0):
    """What two seeds' maps tell: ``recall`` of the digits, the rest taken for the next; ``mixed`` pairs by halves."""
    right = np.broadcast_to(recall, 10)[:, None]
    counts = 100 * (right * np.eye(10) + (1 - right) * np.roll(np.eye(10), 1, axis=1))
    for i, j in mixed:
        counts[i] = counts[j] = 50.0 * (np.arange(10) == i) + 50.0 * (np.arange(10) == j)
    of_seed = {
        "confusion": np.stack([counts] * 3), "gaps": np.array(gaps), "silhouette": np.array(silhouette),
        "wrong": np.array([*wrong, 1.0, 1.0]), "sharpness": np.array(sharpness),
    }  # fmt: skip
    return {f"seed_{name}": np.stack([value, value]) for name, value in of_seed.items()}


# By study: arrays that confirm everything a report says of it, and arrays that confirm nothing.
CASES = {
    "compression": (
        {"test_mse": np.array([[0.5, 0.4], [0.3, 0.2], [0.1, 0.1]])},
        {"test_mse": np.array([[0.5, 0.4], [0.3, 0.2], [0.4, 0.3]])},
    ),
    "latent_space_A5": (
        {"seed_centroids": centroids((4, 9), (3, 5, 8))},
        {"seed_centroids": centroids((4, 5), (3, 2), (8, 7, 9))},
    ),
    "latent_space_B4": (
        told(recall=0.95, mixed=[(4, 9)], wrong=(0.6, 0.7)),
        told(recall=0.7, mixed=[(3, 5), (0, 6)], wrong=(0.2, 0.1)),
    ),
    "latent_space_C2": (
        told(recall=0.95, mixed=[(4, 9), (3, 5)], gaps=(0.1, 0.1, 0.3), silhouette=(0.2, 0.2, 0.4), sharpness=0.8),
        told(recall=[1.0] * 2 + [0.89] * 8, gaps=(0.02, 0.02, 0.01), silhouette=(0.2, 0.2, 0.1), sharpness=1.1),
    ),
    "smoothness": (
        {
            "distance": np.array([0.0, 10.0]), "step_central": 0.5, "step_within": 1.0, "step_across": 5.0,
            "ridge": 0.5, "profile": np.array([0.0, 2, 4, 3, 0]), "profile_nearest": np.array([1, 1, 1, 7, 7]),
        },
        {
            "distance": np.array([0.0, 10.0]), "step_central": 2.0, "step_within": 2.0, "step_across": 2.0,
            "ridge": 0.05, "profile": np.array([5.0, 2, 4, 3, 0]), "profile_nearest": np.array([1, 1, 1, 7, 7]),
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
