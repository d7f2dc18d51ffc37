# Settings and helpers that the scripts in this folder share; each of them sources this file. The scripts run in the root
# of the checkout, and paths are relative to it.
#
#   BIN      folder with the installed commands (default: .venv/bin, which `make test` creates; without it, PATH is used)
#   WORKERS  processes that share the work (default: 2)

cd "$(dirname "${BASH_SOURCE[0]}")/../.."

BIN="${BIN:-.venv/bin}"
WORKERS="${WORKERS:-2}"
if [[ -d "$BIN" ]]; then
    PATH="$(cd "$BIN" && pwd):$PATH"
fi

# Settings of the second runs of accurate and of fast.
SECOND_RUN=(--set mixture.steps=8000 --set mixture.learning_rate=5e-4 --set 'mixture.scales=[1,2,3,4,6,8,12,12,16,16]')
FAST_SECOND_RUN=(--set mixture.steps=6000)

# require NAME DESCRIPTION: stop with a message unless the variable NAME is set.
require() {
    if [[ -z "${!1:-}" ]]; then
        echo "$(basename "$0"): set $1 to $2, for example: $1=PATH $0" >&2
        exit 2
    fi
}

# training COMMAND...: run it with glibc keeping large blocks of memory instead of returning them after each step, with
# which training on a CPU takes a third less time.
training() {
    GLIBC_TUNABLES=glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=17179869184 "$@"
}

# Begin the run in folder $2 with the coded faces and the trained mixture of the run in $1, unless it has begun.
reuse_mixture() {
    if [[ ! -d "$2/mixture" ]]; then
        mkdir -p "$2"
        cp -r "$1/coded" "$1/mixture" "$2/"
    fi
}
