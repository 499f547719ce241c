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
        (SMALL, 100, 1, 8, 5),  # parts are equal
        (SMALL, 32, 1, 8, 2),  # and hold 16 examples or more
        (SMALL, 8, 1, 2, 1),
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
import sys
import numpy as np
from ae_jax import trials
from ae_jax.data import load
from ae_jax.models import conv_autoencoder
from ae_jax.objectives import autoencoder
from ae_jax.training import Data
from ae_jax.types import Plan, hparams

images = load("digits").train_images[:300]
splits = trials.stack_splits([(np.arange(200), np.arange(200, 300))])
objective = autoencoder(conv_autoencoder(2, channels=(2, 3, 4), hidden=5))
for dropout in (0.0, 0.2):
    chosen = trials.make_lanes(hparams(dropout=dropout, epochs=4))
    run = trials.run_lanes(objective, Plan(64), chosen, Data(images, np.zeros(300, np.int32)), splits)
    print(*run.train_loss[0], *run.validation_loss[0])
"""


def test_a_shared_batch_trains_like_a_whole_one():
    """On two devices, 64 examples as 2 x 32: the same curves to rounding, but where dropout draws other masks."""
    rows = []
    for count in "12":
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=ROOT,
            env=os.environ | {"JAX_NUM_CPU_DEVICES": count},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        rows.append([np.array(line.split(), float) for line in done.stdout.splitlines()])
    (plain, masked), (plain_shared, masked_shared) = rows
    np.testing.assert_allclose(plain_shared, plain, rtol=1e-5)
    assert (plain_shared != plain).any()  # it really was another program
    np.testing.assert_allclose(masked_shared, masked, rtol=0.02)
    assert not np.allclose(masked_shared, masked, rtol=1e-5)
