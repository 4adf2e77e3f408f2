# From a folder of microscope images to per-cell tables: each rule is one `cellseg` command, each job one slide.
#     snakemake --cores 2 --config samples=mine.tsv results=out
from snakemake.utils import min_version

min_version("9.0")


configfile: "config.yaml"


report: "workflows/captions/workflow.rst"


include: "workflows/common.smk"
include: "workflows/preprocess.smk"
include: "workflows/segment.smk"
include: "workflows/tissue.smk"
include: "workflows/measure.smk"
include: "workflows/classify.smk"
include: "workflows/report.smk"
include: "workflows/batch.smk"
include: "workflows/train.smk"


wildcard_constraints:
    sample="(?!)" if JOBS else "[^/]+",  # in a batch, none: its jobs make what the rules of a sample would
    stain="[a-z]+",


rule all:
    input:
        # The samples' last results by name: where `check` took away what failed, the next run makes it again.
        last_results(),
        results_of(list(SAMPLES) if JOBS else [], *LOOKED_AT),  # in a batch their own rules ask for one a job
        *map(in_results, ["slides.tsv", "summary.csv", "ro-crate-metadata.json"]),
        in_results("logs/check.done"),
