"""A Slurm of one node on the loopback, for tests: starts in a folder of its own and ends whole.

    with LocalSlurm(cpus=4) as slurm:
        slurm.run("srun", "-n", "3", "--mpi=pmix", "program")  # Debian's Open MPI knows pmix

Its daemons live in a namespace of processes whose first one waits for the end of its standard
input. So they, and all jobs, end with this process, however that ends. It shares nothing with a
Slurm that the machine belongs to. Needs root and Debian's slurmctld, slurmd, slurm-client, munge.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "unshare", "runuser")
START_SECONDS = 20

CONFIGURATION = """\
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0
ReturnToService=2
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000000 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""

# The last line ends with this process, since its end of the pipe closes. Until then it takes in the
# processes that have lost their parent.
DAEMONS = """\
exec 3<&0
runuser -u munge -- munged --foreground --key-file={folder}/munge/key \\
  --socket={folder}/munge/socket --pid-file={folder}/munge/pid --seed-file={folder}/munge/seed \\
  --log-file={folder}/munge/log &
slurmctld -D -f {folder}/slurm.conf &
slurmd -D -f {folder}/slurm.conf &
cat <&3 &
wait $!
"""


def lacking() -> str:
    """Why there can be no such Slurm here; empty: there can."""
    if os.geteuid() != 0:
        return "a local Slurm needs root"
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing:
        return f"no {', '.join(missing)} here"
    namespace = subprocess.run(
        ["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True, check=False
    )
    return "" if namespace.returncode == 0 else "no namespace of processes is allowed here"


class LocalSlurm:
    """Jobs see `cpus` processors, however many there are."""

    def __init__(self, cpus: int = 2):
        self.cpus = cpus

    def __enter__(self) -> LocalSlurm:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("SLURM")
        } | {"SLURM_CONF": f"{self.folder}/slurm.conf"}
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def run(
        self, *words: str | Path, seconds: float = 60, **more: str
    ) -> subprocess.CompletedProcess:
        """A command of Slurm's, with `more` in its environment. Its output is text."""
        return subprocess.run(
            list(map(str, words)),
            env=self.environment | more,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def wait_for(self, job: str, seconds: float) -> None:
        """Until a job and its array have left the queue."""
        deadline = time.monotonic() + seconds
        while self.run("squeue", "--noheader", "--jobs", job, "--states=PD,R,CG,S").stdout.strip():
            if time.monotonic() > deadline:
                raise TimeoutError(f"job {job} has not ended within {seconds} s\n{self.logs()}")
            time.sleep(0.1)

    def logs(self) -> str:
        """The ends of the daemons' logs."""
        files = [*self.folder.glob("*.log"), self.folder / "daemons"]
        return "".join(
            f"{file.name}:\n{file.read_text(errors='replace')[-2000:]}" for file in files
        )

    def _start(self) -> None:
        self.folder.chmod(0o755)
        (self.folder / "state").mkdir()
        (self.folder / "spool").mkdir()
        munge = self.folder / "munge"
        munge.mkdir(mode=0o755)
        (munge / "key").write_bytes(os.urandom(1024))
        (munge / "key").chmod(0o600)
        for path in (munge, munge / "key"):
            shutil.chown(path, "munge", "munge")
        controller_port, node_port = free_ports(2)
        (self.folder / "slurm.conf").write_text(
            CONFIGURATION.format(
                folder=self.folder,
                host=socket.gethostname().split(".")[0],
                cpus=self.cpus,
                controller_port=controller_port,
                node_port=node_port,
            )
        )
        with (self.folder / "daemons").open("wb") as output:
            self.daemons = subprocess.Popen(
                ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c"]
                + [DAEMONS.format(folder=self.folder)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=self.environment,
            )
        deadline = time.monotonic() + START_SECONDS
        while self.run("sinfo", "--noheader", "--format=%T").stdout.strip() != "idle":
            if time.monotonic() > deadline or self.daemons.poll() is not None:
                raise RuntimeError(f"the local Slurm does not start\n{self.logs()}")
            time.sleep(0.1)

    def _stop(self) -> None:
        if daemons := getattr(self, "daemons", None):
            daemons.stdin.close()
            daemons.wait(timeout=START_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
