set -eu
# CELLSEG_SOURCE is the folder of cellseg's Snakefile; installed editable, so that the environment never holds older code.
# What it needs is in the environment already, at the versions of constraints.txt.
if [ ! -f "$CELLSEG_SOURCE/pyproject.toml" ]; then
    echo "no package in $CELLSEG_SOURCE; its conda environment is installed from a clone: name the clone's Snakefile" >&2
    exit 1
fi
pip install --no-deps --no-build-isolation -e "$CELLSEG_SOURCE"
