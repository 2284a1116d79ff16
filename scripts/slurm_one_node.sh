#!/usr/bin/env bash
# A Slurm cluster of one node, this machine, for trying `--engine slurm` and for its tests. `--help` says how.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/slurm_one_node.sh start DIR | stop DIR

start   installs Debian's slurm-wlm and munge where they are missing, and starts controller and node with their files in DIR
stop    ends them

Needs root. Afterwards: export SLURM_CONF=DIR/slurm.conf; sinfo, sbatch, squeue and scancel then speak to this cluster.
TEXT
}

case "${1:-}" in
    -h | --help) usage; exit 0 ;;
esac
[ $# = 2 ] || { usage >&2; exit 2; }
mkdir -p "$2"
folder=$(cd "$2" && pwd)
host=$(hostname -s)

install() {
    command -v slurmctld >/dev/null 2>&1 && return
    apt-get install -y -qq slurm-wlm munge >/dev/null 2>&1 ||
        { apt-get update -qq && apt-get install -y -qq slurm-wlm munge; } >/dev/null
}

start() {
    install
    mkdir -p "$folder"/{state,spool,log} /run/munge
    # Two tasks at a time, and a node that does not answer is down after ten seconds.
    cat >"$folder/slurm.conf" <<CONF
ClusterName=trial
SlurmctldHost=$host
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
SlurmctldTimeout=10
SlurmdTimeout=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
ReturnToService=2
MpiDefault=none
NodeName=$host CPUs=$(nproc) RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    if ! pgrep -x munged >/dev/null; then
        chown munge /run/munge
        su munge -s /bin/bash -c /usr/sbin/munged
        sleep 1
    fi
    slurmctld -f "$folder/slurm.conf"
    slurmd -f "$folder/slurm.conf"
    for _ in $(seq 40); do
        if SLURM_CONF="$folder/slurm.conf" sinfo --noheader --format=%T 2>/dev/null | grep -q idle; then
            SLURM_CONF="$folder/slurm.conf" sinfo
            return
        fi
        sleep 0.5
    done
    echo "the node did not become idle; see $folder/log" >&2
    return 1
}

stop() {
    local daemon
    for daemon in slurmd slurmctld; do
        [ ! -s "$folder/$daemon.pid" ] || kill "$(cat "$folder/$daemon.pid")" 2>/dev/null || true
    done
}

case $1 in
    start) start ;;
    stop) stop ;;
    *) usage >&2; exit 2 ;;
esac
