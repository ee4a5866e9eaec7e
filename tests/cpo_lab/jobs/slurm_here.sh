#!/bin/bash
# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause
#
# A Slurm on this machine for test_slurm.py, on a Debian or Ubuntu that is thrown away afterwards (a container, a virtual machine):
#   slurm_here.sh start      installs slurm-wlm and munge, claims 8 cores and 2 GPUs that are none, starts the daemons
#   slurm_here.sh stop       ends the daemons and removes the packages and their files
# Run as root. The host's name must resolve to 127.0.0.1.
set -eu

start() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends slurm-wlm munge
    local host
    host=$(hostname)
    mkdir -p /run/munge /var/spool/slurmctld /var/spool/slurmd /var/log/slurm /run/slurm
    [[ -f /etc/munge/munge.key ]] || dd if=/dev/urandom of=/etc/munge/munge.key bs=1 count=1024 status=none
    chmod 700 /etc/munge /var/lib/munge /var/log/munge
    chmod 755 /run/munge
    chmod 400 /etc/munge/munge.key
    chown -R munge: /etc/munge /var/lib/munge /var/log/munge /run/munge
    touch /var/spool/slurmd/gpu0 /var/spool/slurmd/gpu1
    echo "NodeName=$host Name=gpu File=/var/spool/slurmd/gpu[0-1]" >/etc/slurm/gres.conf
    cat >/etc/slurm/slurm.conf <<CONF
ClusterName=here
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SlurmctldPidFile=/run/slurm/slurmctld.pid
SlurmdPidFile=/run/slurm/slurmd.pid
SlurmdSpoolDir=/var/spool/slurmd
StateSaveLocation=/var/spool/slurmctld
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/linux
KillWait=60
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MinJobAge=600
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 Boards=1 SocketsPerBoard=1 CoresPerSocket=8 ThreadsPerCore=1 RealMemory=8000 Gres=gpu:2
PartitionName=low Nodes=$host Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes=$host MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
CONF
    runuser -u munge -- /usr/sbin/munged --force
    slurmctld
    slurmd
    sleep 3
    sinfo
}

stop() {
    local file
    for file in /run/slurm/slurmd.pid /run/slurm/slurmctld.pid /run/munge/munged.pid; do
        if [[ -f $file ]]; then kill "$(cat "$file")" || true; fi
    done
    sleep 2
    DEBIAN_FRONTEND=noninteractive apt-get purge -y --autoremove slurm-wlm munge
    rm -rf /etc/slurm /etc/munge /var/lib/munge /var/log/munge /var/log/slurm /var/spool/slurmd /var/spool/slurmctld /run/slurm /run/munge
}

"${1:?start or stop}"
