# Copyright (c) 2026, the cpo_lab authors.
# SPDX-License-Identifier: BSD-3-Clause
#
# What becomes of a job of Slurm's when its training ends; sourced by slurm.sbatch and torchrun.sbatch.
# CPO_LAB_RETRIES=N is how often training that died is started again (2).

# Waits for a process, however often the trap of a signal interrupts that; its status is in STATUS.
await() {
    while :; do
        wait "$1"
        STATUS=$?
        kill -0 "$1" 2>/dev/null || break
    done
    local again # what the shell noted itself, where a signal and the end came together
    wait "$1" 2>/dev/null && again=0 || again=$?
    [[ $again == 127 ]] || STATUS=$again
}

# Ends the job: requeued if it was asked to stop, tried again a few times if it died, else over.
#   $1: the status of training   $2: not empty if this job was asked to stop   $3: file that counts deaths
end_job() {
    local deaths=0
    case $1 in
        0) exit 0 ;;
        2 | 3) exit "$1" ;; # refused, or stopped by the finite guard: another try would end the same
    esac
    if [[ -z $2 && $1 != 138 && $1 != 143 ]]; then # 138, 143: SIGUSR1 and SIGTERM, with a checkpoint
        [[ -f $3 ]] && deaths=$(<"$3")
        if ((deaths >= ${CPO_LAB_RETRIES:-2})); then
            echo "Training ended with status $1 once more; it is not started again."
            exit "$1"
        fi
        mkdir -p "$(dirname "$3")"
        echo $((deaths + 1)) >"$3"
        echo "Training ended with status $1; it is started again ($((deaths + 1)) of ${CPO_LAB_RETRIES:-2})."
    fi
    scontrol requeue "$SLURM_JOB_ID" # may be refused where Slurm has just requeued the job itself
    exit 0
}
