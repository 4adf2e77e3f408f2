#!/usr/bin/env bash
# A SLURM controller and a node on this one machine, as root, for as long as standard input stays open:
#     tests/workflow/slurm_node.sh FOLDER
# Says `ready` or why not. All of it ends with whoever holds the other end of the pipe, however that one ends.
# The settings must lie at /etc/slurm/slurm.conf, since the executor's plugin drops SLURM_CONF; what others put there is left alone.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
folder=$1
settings=/etc/slurm/slurm.conf
mark="# for the tests of cellseg"

if [ -e "$settings" ] && ! grep -q "^$mark" "$settings"; then
    echo "$settings is of another cluster"
    exit 1
fi
exec 9>/run/lock/cellseg-slurm-node # one at a time on a machine
flock 9

stop() {
    trap '' TERM INT HUP
    set +e
    if [ -e "$folder/slurmctld.pid" ]; then
        timeout 5 squeue -h -o %i | xargs -r timeout 5 scancel --full --signal=KILL
        timeout 5 squeue -h -o %i | xargs -r timeout 5 scancel
        for _ in $(seq 50); do
            [ -n "$(timeout 5 squeue -h -t running,completing -o %i)" ] || break
            sleep .2
        done
    fi
    for name in slurmd slurmctld munged; do
        pid=$(cat "$folder/$name.pid" 2>/dev/null) || continue
        kill "$pid"
        for _ in $(seq 50); do
            readlink "/proc/$pid/exe" >/dev/null || break # a zombie that nobody reaps has none
            sleep .1
        done
        kill -9 "$pid" 2>/dev/null
    done
    rm -rf "$settings" "$folder/state" "$folder/spool"
}
trap stop EXIT
trap 'exit 1' TERM INT HUP

mkdir -p "$folder"/{state,spool,log} "$(dirname "$settings")"
if ! munge -n </dev/null >/dev/null 2>&1; then
    install -d -o munge -g munge -m 0755 /run/munge
    runuser -u munge -- "$(command -v munged)" </dev/null >/dev/null 2>&1 9>&-
    cp /run/munge/munged.pid "$folder/munged.pid"
fi
cat >"$settings" <<END
$mark
ClusterName=local
SlurmctldHost=localhost
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
MinJobAge=300
NodeName=localhost NodeAddr=127.0.0.1 CPUs=$(getconf _NPROCESSORS_ONLN) RealMemory=$(awk '/MemTotal/{print int($2/1024*0.8)}' /proc/meminfo) State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
slurmctld -i </dev/null >/dev/null 2>&1 9>&-
slurmd -N localhost </dev/null >/dev/null 2>&1 9>&-
for _ in $(seq 100); do
    [ "$(sinfo -h -o %T 2>/dev/null)" != idle ] || break
    sleep .2
done
[ "$(sinfo -h -o %T)" = idle ] || { echo "the node did not come up; see $folder/log"; exit 1; }
echo ready
exec >/dev/null
cat >/dev/null || true
