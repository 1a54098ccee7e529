"""A real Dask cluster on loopback: a scheduler and workers, over TCP with TLS, certificates made on the spot."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

STARTED_S = 60
HERE = Path(__file__).parent
"""Workers are asked by functions of the tests."""
MEMORY = "2GB"
ARRAYS, PAGES = 20, 500
"""How many arrays are filled to see whether memory is used again, and how many pages of 4 KiB each has."""
POOLS = ("OMP", "OPENBLAS", "NUMBA", "GDAL")
ONE_THREAD = {
    **{f"{pool}_NUM_THREADS": "1" for pool in POOLS},
    "BLOSC_NTHREADS": "1",
    "ZARR_THREADING__MAX_WORKERS": "1",
}
"""What keeps a worker of one thread to one core."""


@dataclass(frozen=True)
class Certificates:
    """PEM files: of an authority, of a certificate it signed, and of that certificate's key."""

    ca: Path
    cert: Path
    key: Path

    def arguments(self) -> list[str]:
        """As the scheduler and the workers take them."""
        return ["--tls-ca-file", str(self.ca), "--tls-cert", str(self.cert), "--tls-key", str(self.key)]

    def configured(self) -> str:
        """As `district.toml` has them."""
        return f'tls_ca = "{self.ca}"\ntls_cert = "{self.cert}"\ntls_key = "{self.key}"\n'


def certify(folder: Path) -> Certificates:
    """An authority and one certificate for 127.0.0.1 signed by it."""
    folder.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def named(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    def begun(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        made = x509.CertificateBuilder().subject_name(named(subject)).issuer_name(named("authority"))
        made = made.public_key(key.public_key()).serial_number(x509.random_serial_number())
        return made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))

    root = begun("authority", authority).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    leaf = begun("cluster", own).add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
    )
    made = Certificates(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    made.ca.write_bytes(root.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    made.cert.write_bytes(leaf.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    made.key.write_bytes(
        own.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    made.key.chmod(0o600)
    return made


@dataclass
class Cluster:
    """Processes of a cluster, and the address of its scheduler."""

    address: str
    certificates: Certificates
    folder: Path
    processes: list[subprocess.Popen] = field(default_factory=list)

    def add_worker(self, memory: str = MEMORY) -> None:
        """One more worker process of one thread, restarted by its nanny when it dies."""
        arguments = [self.address, "--nthreads", "1", "--memory-limit", memory, "--no-dashboard"]
        local = ["--local-directory", str(self.folder / "workers")]
        self.processes.append(start("dask_worker", [*arguments, *local, *self.certificates.arguments()], self.folder))


def start(program: str, arguments: list[str], folder: Path) -> subprocess.Popen:
    """A program of `distributed`, in a session of its own so that its children end with it."""
    log = (folder / f"{program}.log").open("ab")
    command = [sys.executable, "-m", f"distributed.cli.{program}", *arguments]
    here = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": here}
    return subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)


@contextlib.contextmanager
def cluster(folder: Path, workers: int, memory: str = MEMORY) -> Iterator[Cluster]:
    """A scheduler and worker processes on loopback, over TLS; ended with the block."""
    certificates = certify(folder / "tls")
    told = folder / "scheduler.json"
    arguments = ["--host", "127.0.0.1", "--port", "0", "--protocol", "tls", "--no-dashboard", "--scheduler-file"]
    scheduler = start("dask_scheduler", [*arguments, str(told), *certificates.arguments()], folder)
    made = Cluster("", certificates, folder, [scheduler])
    try:
        until = time.monotonic() + STARTED_S
        while not (told.is_file() and told.read_text().rstrip().endswith("}")):
            assert scheduler.poll() is None, (folder / "dask_scheduler.log").read_text()
            assert time.monotonic() < until, "the scheduler does not start"
            time.sleep(0.05)
        made.address = json.loads(told.read_text())["address"]
        for _ in range(workers):
            made.add_worker(memory)
        yield made
    finally:
        for process in reversed(made.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        for process in made.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def ask(made: Cluster, question: Any, workers: int = 2, of_scheduler: bool = False) -> Any:
    """What the workers, or the scheduler, answer once there are so many workers."""
    from distributed import Client
    from distributed.security import Security

    tls = made.certificates
    known = Security(
        tls_ca_file=str(tls.ca), tls_client_cert=str(tls.cert), tls_client_key=str(tls.key), require_encryption=True
    )
    with Client(made.address, security=known, set_as_default=False) as client:
        client.wait_for_workers(workers, timeout=60)
        return (client.run_on_scheduler if of_scheduler else client.run)(question)


def most_held() -> int:
    """The most memory a process has held, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def pages_cleared() -> int:
    """How many pages the system gives a process that fills arrays one after another."""
    np.ones(ARRAYS * PAGES * 512)  # so that the process holds as much as will be asked for
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(ARRAYS):
        np.ones(PAGES * 512)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def cpu_seconds() -> float:
    """The processor's time that a process has taken, s."""
    return time.process_time()


def handed_out(dask_scheduler: Any) -> list[str]:
    """Keys of the tiles that were given to a worker, again and again where they were."""
    return [
        str(one.key if hasattr(one, "key") else one[0])
        for one in dask_scheduler.transition_log
        if str(one[0]).startswith("tile-") and one[2] == "processing"
    ]
