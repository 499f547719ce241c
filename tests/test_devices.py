"""Which devices train what: every lane its own, or a batch in parts; and that the parts come to the whole."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from ae_jax import sharing
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
    assert sharing.sharers(objective, Plan(batch_size), lanes, count) == expected


def test_devices_of_no_use_are_left_out():
    """One CPU device here, named three times: a mesh of lanes and sharers never takes more than it can use."""
    three = jax.local_devices()[:1] * 3
    assert sharing.mesh_for(DENSE, Plan(128), 1, three).devices.shape == (1, 1)
    assert sharing.mesh_for(DENSE, Plan(128), 2, three).devices.shape == (2, 1)
    assert sharing.mesh_for(SMALL, Plan(128), 1, three).devices.shape == (1, 2)
    assert sharing.mesh_for(SMALL, Plan(120), 5, three).devices.shape == (3, 1)


def test_a_process_that_is_gone_is_told(monkeypatch):
    """What JAX raises when a peer closes its connection; alone, nobody is asked."""

    def closed(tree):
        raise jax.errors.JaxRuntimeError("UNKNOWN: Gloo AllGather failed: Connection closed by peer")

    monkeypatch.setattr(multihost_utils, "process_allgather", closed)
    np.testing.assert_array_equal(sharing.gathered(np.int32(3)), [3])
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(
        ConnectionError, match="another process of this run is gone .*closed by peer.: start all again, with resume"
    ):
        sharing.gathered(np.int32(3))


PROGRAM = """
import sys
import jax
import numpy as np
from ae_jax import corruptions, distributions, objectives, trials, variational
from ae_jax.data import load
from ae_jax.engine import Settings
from ae_jax.lanes import Group, make_lanes, stack_splits
from ae_jax.models import conv_autoencoder, dense_autoencoder
from ae_jax.batching import Data
from ae_jax.types import Plan, hparams
from ae_jax.vae import conv_vae, dense_vae

data = Data(load("digits").train_images[:300], np.zeros(300, np.int32))
splits = stack_splits([(np.arange(200), np.arange(200, 290))])
dense = dense_autoencoder(2, (8,)), dense_vae(2, (8,))
conv = conv_autoencoder(2, (2,), 5), conv_vae(2, (2,), 5)
numbers = hparams(learning_rate=[1e-3, 1e38, 3e-3], dropout=0.2, noise=0.3, epochs=[4, 6, 7])
lanes = make_lanes(numbers, seed=[0, 1, 2])
there = jax.local_devices()
rows = {"devices": len(there)}
for models, count, use in [(dense, 3, 1), (dense, 3, 2), (conv, 2, 1), (conv, 2, 4)]:
    jax.local_devices = lambda: there[:use]
    chosen = jax.tree.map(lambda leaf: leaf[:count], lanes)
    kinds = {
        "denoising": objectives.denoising(models[0], corruptions.gaussian),
        "vae": variational.elbo(models[1], distributions.bernoulli(distributions.binarize_dynamic)),
    }
    groups = [Group(name, objective, Plan(64), chosen) for name, objective in kinds.items()]
    runs = trials.run_groups(groups, data, splits, Settings(segment=2, patience=5))
    for name, run in zip(kinds, runs, strict=True):
        for field, values in {"status": run.status, "epochs": run.epochs, **run.curves._asdict()}.items():
            rows[f"{count} on {use} {name} {field}"] = values
np.savez(sys.argv[1], **rows)
"""


def child(program, *arguments, **variables):
    """The output of ``program`` in a process of its own, where nothing but ``variables`` says how many devices."""
    environment = {name: v for name, v in os.environ.items() if name not in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS")}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True,
        env=environment | variables,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Curves of two kinds of lanes by one, two and four of the four devices of one process."""
    path = tmp_path_factory.mktemp("devices") / "rows.npz"
    child(PROGRAM, str(path), JAX_NUM_CPU_DEVICES="4", XLA_FLAGS=os.environ.get("XLA_FLAGS", ""))
    rows = dict(np.load(path))
    assert rows["devices"] == 4
    return rows


@pytest.mark.parametrize("count,devices", [(3, 2), (2, 4)])
@pytest.mark.parametrize("kind", ["denoising", "vae"])
def test_any_number_of_devices_trains_the_same_lanes(trained, kind, count, devices):
    """With dropout, noise and codes drawn, one of the lanes diverging and all ending at epochs of their own.

    Three lanes of dense networks on two devices, and two of convolutional ones with two sharers each: curves to 1e-4.
    """
    one, several = (
        {
            field: trained[f"{count} on {n} {kind} {field}"]
            for field in ("status", "epochs", "train_loss", "validation_loss")
        }
        for n in (1, devices)
    )
    assert one["epochs"].tolist() == [4, 1, 7][:count]
    for field, expected in one.items():
        np.testing.assert_allclose(several[field], expected, rtol=1e-4, err_msg=field)


@pytest.mark.parametrize(
    "variables,expected",
    [
        ({}, "5 5"),  # what joblib counts
        ({"JAX_NUM_CPU_DEVICES": "3"}, "3 3"),
        ({"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}, "2 2"),
    ],
)
def test_studies_use_all_cores_unless_told_otherwise(variables, expected):
    """One device for each physical core, however many this machine has; once in use, JAX keeps the devices it has."""
    program = """
import os, jax, joblib
from ae_jax import process
joblib.cpu_count = lambda only_physical_cores=False: 5 if only_physical_cores else 10
process.use_all_cores()
before = jax.local_device_count()
for name in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS"):
    os.environ.pop(name, None)
joblib.cpu_count = lambda **kind: 7
process.use_all_cores()
print(before, jax.local_device_count())
"""
    assert child(program, **variables).strip() == expected
