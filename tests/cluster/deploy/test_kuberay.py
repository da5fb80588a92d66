"""Manifests against the fields of KubeRay 1.6.2, and what a spot cluster must not forget."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.deploy import kuberay, render
from curate.errors import Misconfigured
from tests.support.deployments import SPEC, deployment

TYPES: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "kuberay-1.6.2.json").read_text())["types"]
PLAIN: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def faults(value: Any, kind: str, place: str = "") -> list[str]:
    """Where a manifest is not of its type."""
    if kind.startswith("["):
        if not isinstance(value, list):
            return [f"{place}: not a list"]
        return [fault for n, one in enumerate(value) for fault in faults(one, kind[1:-1], f"{place}[{n}]")]
    if kind in PLAIN:
        is_right = isinstance(value, PLAIN[kind]) and (kind == "boolean" or not isinstance(value, bool))
        return [] if is_right else [f"{place}: not of type {kind}"]
    if not isinstance(value, dict):
        return [f"{place}: not an object"]
    if kind == "strings":
        return [fault for key, one in value.items() for fault in faults(one, "string", f"{place}.{key}")]
    known = TYPES[kind]
    return [
        fault
        for key, one in value.items()
        for fault in (faults(one, known[key], f"{place}.{key}") if key in known else [f"{place}.{key}: unknown"])
    ]


def documents(file: str, **changes: Any) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(render("kuberay", deployment(**changes), SPEC)[file]))


def cluster_of(file: str = "rayjob.yaml", **changes: Any) -> dict[str, Any]:
    spec: dict[str, Any] = documents(file, **changes)[1]["spec"]
    return spec.get("rayClusterSpec", spec)


def pods(cluster: dict[str, Any]) -> list[dict[str, Any]]:
    return [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


@pytest.mark.parametrize("file", ["rayjob.yaml", "raycluster.yaml"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kubernetes": {"spot_taint": "spot", "node_selector": {"pool": "spot"}, "service_account": "curate"}},
        {"store": "/data/store", "kubernetes": {"claim": "data"}},
    ],
    ids=["example", "spot", "folder"],
)
def test_every_field_is_one_that_kuberay_knows(file: str, changes: dict[str, Any]) -> None:
    for document in documents(file, **changes):
        assert faults(document, document["kind"], document["kind"]) == []


def test_the_check_of_fields_finds_what_is_wrong() -> None:
    job = documents("rayjob.yaml")[1]
    job["spec"]["backofLimit"] = 3
    job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["replicas"] = "50"
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0
    assert [fault.rpartition(".")[2] for fault in faults(job, "RayJob")] == [
        "num-cpus: not of type string",
        "replicas: not of type integer",
        "backofLimit: unknown",
    ]


def test_the_job_does_the_spec_that_travels_with_it_and_goes_on_after_a_failure() -> None:
    config, job = documents("rayjob.yaml")
    assert config["data"] == {"spec.toml": SPEC}
    assert job["spec"]["entrypoint"] == "curate run /etc/curate/spec.toml --executor ray --address auto"
    assert job["spec"]["backoffLimit"] >= 3
    assert job["spec"]["shutdownAfterJobFinishes"] is True
    for pod in pods(job["spec"]["rayClusterSpec"]):
        (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["mountPath"] == "/etc/curate"]
        (volume,) = [one for one in pod["volumes"] if one["name"] == mount["name"]]
        assert volume["configMap"]["name"] == config["metadata"]["name"]


def test_all_of_the_machines_asked_for_work_and_the_head_only_drives() -> None:
    cluster = cluster_of()
    (workers,) = cluster["workerGroupSpecs"]
    assert (workers["replicas"], workers["minReplicas"], workers["maxReplicas"]) == (50, 50, 50)
    assert workers["rayStartParams"]["num-cpus"] == "16"
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_ray_is_told_less_memory_than_the_kernel_allows() -> None:
    (workers,) = cluster_of()["workerGroupSpecs"]
    container = workers["template"]["spec"]["containers"][0]
    assert container["resources"]["limits"] == container["resources"]["requests"] == {"cpu": "16", "memory": "65536Mi"}
    told = int(workers["rayStartParams"]["memory"]) + int(workers["rayStartParams"]["object-store-memory"])
    limit = 65536 << 20
    environment = {one["name"]: one.get("value") for one in container["env"]}
    assert told < float(environment["RAY_memory_usage_threshold"]) * limit < limit
    assert environment["RAY_task_oom_retries"] == "0"
    (shared,) = [one for one in workers["template"]["spec"]["volumes"] if one["name"] == "shared-mem"]
    assert int(workers["rayStartParams"]["object-store-memory"]) < int(shared["emptyDir"]["sizeLimit"][:-2]) << 20


def test_the_token_is_the_operators_and_keys_come_from_a_secret() -> None:
    cluster = cluster_of()
    assert cluster["authOptions"] == {"mode": "token"}
    for pod in pods(cluster):
        environment = {one["name"]: one for one in pod["containers"][0]["env"]}
        assert environment["CURATE_KEY"]["valueFrom"]["secretKeyRef"] == {"name": "curate-secrets", "key": "CURATE_KEY"}
        assert not {"RAY_AUTH_TOKEN", "RAY_AUTH_MODE"} & set(environment)


def test_no_container_is_root_or_writes_beside_its_volumes() -> None:
    for pod in pods(cluster_of()):
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        for container in (*pod["containers"], *pod["initContainers"]):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
        written = {one["mountPath"] for one in pod["containers"][0]["volumeMounts"] if not one.get("readOnly")}
        environment = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
        assert {environment["HOME"], environment["NUMBA_CACHE_DIR"], "/tmp", "/dev/shm"} <= written


def test_the_service_of_the_head_has_every_port_that_ray_needs() -> None:
    """KubeRay adds its own only where none is named."""
    ports = {one["name"]: one["containerPort"] for one in pods(cluster_of())[0]["containers"][0]["ports"]}
    assert ports == {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "metrics": 8080}


def test_spot_nodes_are_for_workers_alone() -> None:
    wishes = {"kubernetes": {"spot_taint": "cloud.google.com/gke-spot".replace("/", "."), "node_selector": {"a": "b"}}}
    head, worker = pods(cluster_of(**wishes))
    assert "tolerations" not in head
    assert "nodeSelector" not in head
    assert worker["tolerations"] == [{"key": "cloud.google.com.gke-spot", "operator": "Exists"}]
    assert worker["nodeSelector"] == {"a": "b"}
    assert "tolerations" not in pods(cluster_of(nodes={"spot": False}, **wishes))[1]


def test_versions_are_those_that_are_installed() -> None:
    assert cluster_of()["rayVersion"] == metadata.version("ray")


def test_a_folder_needs_a_claim_and_secrets_a_secret() -> None:
    with pytest.raises(Misconfigured, match=r"kubernetes\.claim"):
        cluster_of(store="/data/store")
    with pytest.raises(Misconfigured, match=r"^kubernetes\.secret: missing"):
        cluster_of(kubernetes={"secret": None})


def test_the_head_waits_for_its_driver_to_drain(tmp_path: Path) -> None:
    """The rendered hook, run: it asks what looks like the driver, not its shell, and waits until it is gone."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ray").write_text("#!/bin/bash\necho stopped\n")
    driver = "import signal, sys, time\nsignal.signal(signal.SIGUSR1, lambda *_: (time.sleep(1), sys.exit(75)))\n"
    (tmp_path / "bin" / "curate").write_text(f"#!{sys.executable}\n{driver}print('up', flush=True)\ntime.sleep(60)\n")
    for program in (tmp_path / "bin").iterdir():
        program.chmod(0o755)
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    # as Ray runs an entrypoint: a shell, which would end at once if it were signalled
    entrypoint = "curate run of-this-test; exit $?"
    job = subprocess.Popen(["sh", "-c", entrypoint], env=environment, stdout=subprocess.PIPE, start_new_session=True)
    try:
        assert job.stdout is not None
        assert job.stdout.readline() == b"up\n"
        hook = kuberay.drain_driver().replace("urate run", "urate run of-this-test")  # and no other process
        began = time.monotonic()
        ran = subprocess.run(["bash", "-c", hook], env=environment, capture_output=True, text=True, timeout=60)
        assert job.wait(timeout=5) == 75
        assert time.monotonic() - began >= 1
        assert ran.stdout == "stopped\n"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(job.pid, signal.SIGKILL)
