"""What the reports draw and find is answered: by a file of the study named, and by a verdict that can be either."""

import csv
from collections import Counter

import numpy as np
import pytest

from ae_jax import results
from ae_jax.lanes import DIVERGED, DONE
from experiments import comparison, registry, reports, summary
from experiments.comparison import decide
from experiments.reports import a, d
from tests.commands import every_study


def test_every_figure_and_claim_is_of_a_study_that_runs():
    assert {figure.study for figure in reports.FIGURES} <= set(registry.NAMES)
    assert {study for report in reports.REPORTS for study in report.FINDINGS} <= set(registry.NAMES)
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


def corrupted(clean, **curves):
    """Errors of dimensions 1, 2 and 4 by two seeds, clean and at two levels of each corruption."""
    arrays = {"test": np.array(clean), **{name: np.array(errors) for name, errors in curves.items()}}
    repeated = {f"{name}_mse": np.stack([errors, 1.01 * errors], axis=1) for name, errors in arrays.items()}
    return repeated | {"latent": np.array([1, 2, 4])}


def denoisers(ratios, clean, noisy):
    """Errors of dimensions 1 and 2 by two seeds: ``clean`` by plain autoencoders, by denoisers in these ratios."""
    trainings = ["clean", "Gaussian", "occlusion, one grey"]
    by_training = np.stack([np.array([clean, clean]).T * ratio for ratio in (1.0, *ratios)])
    return {
        "trainings": np.array(trainings), "latent": np.array([1, 2]), "clean_mse": by_training,
        "conditions": np.array(["noise 0.25", "occlusion 0.25, one grey"]), "at_mse": np.stack([by_training] * 2),
        "noisy_mse": np.stack([np.array([noisy, noisy]).swapaxes(0, 1)] * 3),
    }  # fmt: skip


def searched(score, l2, others, diverged):
    """A search of trials ``[trials]``: learning rate, dropout and epochs are the ``others``."""
    varied = {f"trial_{name}": others for name in ("learning_rate", "dropout", "epochs")}
    status = np.full((len(score), 1), DONE)
    status[:diverged] = DIVERGED
    return varied | {"trial_l2": l2, "score": score.astype(float), "status": status}


def cross_validated(score, between_folds, test_over_validation, other_l2):
    """A search of a score by trial and two folds; errors of other L2 penalties, where the mean image's is 0.07."""
    score, apart = np.array(score), between_folds * np.array([-1, 1])
    return {
        "score": score, "fold_score": score[:, None] + apart, "ranking": np.argsort(score),
        "best_test_loss": score.min() * test_over_validation * np.ones(2), "constant_mse": np.array(0.07),
        "beside_l2": np.array([5e-5, 1e-4, 1e-3]), "beside_fold_score": np.array([[0.01, *other_l2]] * 2).T,
    }  # fmt: skip


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
    "baseline": (
        _baseline([0.5, 0.4, 0.3, 0.2, 0.1], train_mse=0.1, other=0.2),
        _baseline([0.1, 0.1, 0.1, 0.1, 0.1], train_mse=0.05, other=0.09),
    ),
    "baseline_factors": (
        {"validation_mse": np.array([[0.4, 0.3], [0.3, 0.2]])},
        {"validation_mse": np.array([[0.4, 0.3], [0.4, 0.4]])},
    ),
    "compression": (
        corrupted([5, 4, 3], noisy=[[5, 5], [4, 4.2], [4, 6]], occluded_alike=[[6, 6.5], [9, 8], [5, 9]]),
        corrupted([5, 4, 4.5], noisy=[[9, 8], [6, 5], [5, 5]], occluded_alike=[[9, 9.5], [6, 7], [5, 6]]),
    ),
    "cross_table": (
        denoisers([0.95, 0.97], clean=[1, 1], noisy=[[1, 1.1], [1, 1.4]]),
        denoisers([0.5, 1.1], clean=[1, 1], noisy=[[1, 1.4], [1, 1.1]]),
    ),
    "random_search_A1": (
        searched(np.arange(60), l2=np.arange(60), others=np.tile([2, 1, 3], 20), diverged=0),
        searched(np.arange(60), l2=np.tile(np.arange(30), 2), others=np.arange(60), diverged=1),
    ),
    "random_search_B3": (
        cross_validated([0.01, 0.02, 0.05], between_folds=0.001, test_over_validation=1.01, other_l2=[0.02, 0.07]),
        cross_validated([0.03, 0.02, 0.05], between_folds=0.02, test_over_validation=1.2, other_l2=[0.02, 0.03]),
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
            "train_loss": np.array([[[0.06, 0.05, 0.045]], *[[[0.02, 0.02, 0.02]]] * 3]),
            "best_angles": np.array([[4.0, 1.0]]), "code_variance": np.array([[1.0, 2.0]]),
            "decoder_gram": np.array([[[4.0, 1.0], [1.0, 4.0]]]),
        },
        {
            "test_mse": np.array([[0.04], [0.03], [0.035], [0.036]]), "mean_image_test_mse": np.array([0.1]),
            "train_loss": np.array([[[0.05, 0.04, 0.04]], *[[[0.04, 0.03, 0.02]]] * 3]),
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
    "variational_D3": (
        {"mse": np.array([[0.024, 0.025]]), "plain_mse": np.array([0.023, 0.024])},
        {"mse": np.array([[0.028, 0.029]]), "plain_mse": np.array([0.023, 0.024])},
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
            "ridge": 0.5, "nearest_place": np.array([0.45, np.nan]), "nearest_rises": np.array([1.0, np.nan]),
        },
        {
            "distance": np.array([0.0, 10.0]), "step_central": 2.0, "step_within": 2.0, "step_across": 2.0,
            "ridge": 0.05, "nearest_place": np.array([0.35, 0.65]), "nearest_rises": np.array([0.5, 0.9]),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_claim_can_be_confirmed_and_not(name):
    for arrays, verdict in zip(CASES[name], ("confirmed", "not confirmed"), strict=True):
        findings = reports.findings(name, arrays)
        assert {decide(finding, comparable=True) for finding in findings} == {verdict}, findings


@pytest.mark.parametrize("name", ["transfer_B6", "transfer_C3"])
def test_of_another_code_size_a_transfer_says_less(name):
    """Of an encoder that the user gives; the report's is of two numbers."""
    arrays = _transfer(True)
    arrays |= {"runs": np.array([run.replace("d = 2", "d = 3").replace("d = 10", "d = 3") for run in arrays["runs"]])}
    assert reports.findings(name, arrays) == []


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
    finding = comparison.plain(list(a.compression(CASES["compression"][0]))[:1])
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
