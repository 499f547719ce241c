"""Which devices train what: every lane its own, or a batch in parts; and that the parts come to the whole."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from ae_jax import devices
from ae_jax.models import conv_autoencoder, dense_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.types import Plan
from tests.commands import ROOT

SMALL, LARGE = (autoencoder(conv_autoencoder(2, hidden=units)) for units in (64, 1024))
DENSE = autoencoder(dense_autoencoder(2, widths=(16,)))


@pytest.mark.parametrize(
    "objective,batch_size,lanes,count,expected",
    [
        (SMALL, 128, 1, 2, 2),
        (SMALL, 128, 1, 1, 1),
        (SMALL, 128, 2, 2, 1),  # a device for each lane
        (SMALL, 128, 2, 4, 2),
        (SMALL, 512, 1, 8, 8),
        (SMALL, 100, 1, 8, 2),  # parts are equal
        (SMALL, 32, 1, 8, 2),  # and hold 16 examples or more
        (SMALL, 24, 1, 2, 1),
        (DENSE, 128, 1, 2, 1),
        (LARGE, 128, 1, 2, 1),  # its gradients are too long a message
        (SMALL._replace(separable=False), 128, 1, 2, 1),
    ],
)
def test_a_batch_is_shared_where_it_pays(objective, batch_size, lanes, count, expected):
    assert devices.sharers(objective, Plan(batch_size), lanes, count) == expected


def test_devices_of_no_use_are_left_out():
    """One CPU device here, named three times: a mesh of lanes and sharers never takes more than it can use."""
    three = jax.local_devices()[:1] * 3
    assert devices.mesh_for(DENSE, Plan(128), 1, three).devices.shape == (1, 1)
    assert devices.mesh_for(DENSE, Plan(128), 2, three).devices.shape == (2, 1)
    assert devices.mesh_for(SMALL, Plan(128), 1, three).devices.shape == (1, 2)
    assert devices.mesh_for(SMALL, Plan(120), 5, three).devices.shape == (3, 1)


PROGRAM = """
import dataclasses, sys
import jax
import numpy as np
from ae_jax import corruptions, distributions, objectives, trials, variational
from ae_jax.data import load
from ae_jax.models import conv_autoencoder
from ae_jax.training import Data
from ae_jax.types import Plan, hparams
from ae_jax.vae import conv_vae

size = {"channels": (2, 3, 4), "hidden": 5}
data = Data(load("digits").train_images[:300], np.zeros(300, np.int32))
splits = trials.stack_splits([(np.arange(200), np.arange(200, 290))])
model = conv_autoencoder(2, **size)
kinds = {
    "plain": objectives.autoencoder(model),
    "denoising": objectives.denoising(model, corruptions.gaussian),
    "vae": variational.elbo(conv_vae(2, **size), distributions.bernoulli(distributions.binarize_dynamic)),
}
numbers = hparams(learning_rate=[1e-3, np.inf, 3e-3], dropout=0.2, noise=0.3, epochs=[4, 6, 7])
lanes = trials.make_lanes(numbers, seed=[0, 1, 2])
count = int(sys.argv[2])
rows = {}
for name, objective in kinds.items():
    chosen = jax.tree.map(lambda leaf: leaf[:count], lanes)
    settings = trials.Settings(segment=2, patience=5)
    run = trials.run_lanes(objective, Plan(64), chosen, data, splits, settings)
    rows |= {f"{name}_{field}": getattr(run, field) for field in ("status", "epochs", "train_loss", "validation_loss")}
np.savez(sys.argv[1], devices=jax.local_device_count(), **rows)
"""


@pytest.mark.parametrize("lanes,count", [(3, 2), (2, 4)])
def test_any_number_of_devices_trains_the_same_lanes(tmp_path, lanes, count):
    """With dropout, noise and codes drawn, one of the lanes diverging and all ending at epochs of their own.

    Three lanes on two devices, and two lanes with two sharers each: curves to 1e-4.
    """
    runs = []
    for cores in (1, count):
        path = tmp_path / f"{cores}.npz"
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(path), str(lanes)], cwd=ROOT, capture_output=True, text=True,
            env=os.environ | {"JAX_NUM_CPU_DEVICES": str(cores)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        runs.append(dict(np.load(path)))
    one, several = runs
    assert (one.pop("devices"), several.pop("devices")) == (1, count)
    for name in one:
        np.testing.assert_allclose(several[name], one[name], rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("variable,cores", [("JAX_NUM_CPU_DEVICES", 3), ("LOKY_MAX_CPU_COUNT", 1)])
def test_studies_use_all_cores_unless_told_otherwise(variable, cores):
    """joblib counts them and heeds its own variable; in use, JAX keeps the devices it has."""
    program = (
        "import jax; from experiments import common; common.use_all_cores(); before = jax.local_device_count();"
        "import os; os.environ.pop('JAX_NUM_CPU_DEVICES', 0); common.use_all_cores();"
        "print(before, jax.local_device_count())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "JAX_NUM_CPU_DEVICES"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True,
        env=environment | {variable: str(cores)},
    )  # fmt: skip
    assert done.stdout.split() == [str(cores)] * 2, done.stderr
