# What the rules share: the checked settings, the sample sheet, and where results go.
import copy
import csv
import fcntl
import functools
import json
import os
import shlex
import shutil
import string
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

STARTED = time.time()
SOURCE = os.path.dirname(str(workflow.current_basedir))
os.environ.update(
    # The `cellseg` beside this snakemake, also when its environment is not active; conda environments go before it.
    PATH=os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)]),
    # Where the post-deployment script of the conda environment finds the package; also when another workflow uses this one.
    CELLSEG_SOURCE=SOURCE,
)


def check_inputs(config):
    """Stop with every fault of settings and sheet in one message; take the settings over as they were understood."""
    if not shutil.which("cellseg"):
        return  # it lives in conda environments only: the schemas check
    if not workflow.is_main_process and fits_schema(config):
        return  # a job of a run that was checked; on a cluster it gets numbers of `--config` as text
    command = ["cellseg", "check-inputs", "--config-json", json.dumps(config)]
    checked = subprocess.run(command, capture_output=True, text=True)
    if checked.returncode:
        raise WorkflowError(checked.stderr.strip())
    config.update(json.loads(checked.stdout))


def check_jobs_can_start():
    """Stop before jobs are sent to other machines by a command line that would break there."""
    if workflow.non_local_exec and set(sys.executable) & set(string.whitespace):
        raise WorkflowError(
            f"{sys.executable}: jobs on other machines are started by this path, and snakemake writes it into their "
            "scripts without quotes; install cellseg in a folder without blanks in its path (docs/cluster.md)"
        )


def fits_schema(config):
    """Whether the settings are understood as they are."""
    try:
        validate(copy.deepcopy(config), "schemas/config.schema.json")
    except WorkflowError:
        return False
    return True


def read_row(row):
    """A row of the sheet without its empty fields, the pixel size as a number."""
    filled = {key.strip(): value.strip() for key, value in row.items() if key and value and value.strip()}
    return filled | {"mpp": float(filled["mpp"])} if "mpp" in filled else filled


def read_sheet(path):
    """The rows of the sample sheet by sample, with defaults filled in; image paths start at the sheet's folder."""
    with open(path, encoding="utf-8-sig") as stream:
        lines = [line for line in stream if line.strip() and not line.startswith("#")]
    rows = [read_row(row) for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)]
    validate({"samples": rows}, "schemas/samples.schema.json")
    return {row["sample"]: row | files_of(row, os.path.dirname(path)) for row in rows}


def files_of(row, folder):
    """The files that a row of the sheet names, from its folder; those with a URL are fetched by a storage plugin."""
    named = {key: row[key] for key in ("path", "tissue") if row.get(key)}
    return {key: storage(path) if "://" in path else local(os.path.join(folder, path)) for key, path in named.items()}


def files_in(row):
    """The files of a row of the sheet."""
    return [row[key] for key in ("path", "tissue") if row.get(key)]


@functools.cache
def in_storage(stored):
    """Whether a storage has this object; each is asked for once a run."""
    try:
        return stored.exists()
    except Exception as error:  # each plugin has kinds of its own
        why = f"the storage does not answer, or refuses the key ({error})"
        raise WorkflowError(f"{stored.query}: {why}; check its address and credentials") from None


def if_there(path):
    """The file, or the folder that is an image; none when it cannot be read: that sample's failure, not the batch's."""
    if not path or "storage_object" in path.flags:
        return path if path and in_storage(path.flags["storage_object"]) else []
    return path if os.access(path, os.R_OK) else []


def name_of(path):
    """The file, there or not; what a storage lacks goes by its URL."""
    stored = path.flags.get("storage_object")
    return stored.query if stored and not in_storage(stored) else str(path)


def clear_stale_lock():
    """Take away the lock that a killed run left in this folder: a living run holds a lock that dies with it."""
    folder = Path(".snakemake")
    folder.mkdir(exist_ok=True)
    handle = open(folder / "alive", "w")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return None
    for lock in folder.glob("locks/*.lock"):
        lock.unlink()
    return handle


def in_results(path):
    """A place in the results folder."""
    return f"{RESULTS}/{path}"


def shown(path, category, sample=None):
    """A result that `snakemake --report` shows; its caption has its name, and samples stand under their group."""
    caption, name = f"captions/{Path(path).stem}.rst", Path(path).name
    if sample:
        named, labels = SimpleNamespace(sample=sample), {"sample": sample, "stain": SAMPLES[sample]["stain"]}
        about = {"subcategory": group_of(named), "labels": labels | {"result": name}}
        return report(path, caption=caption, category=category, **about)
    if "{sample}" not in path:
        return report(path, caption=caption, category=category, labels={"result": name})
    return report(path, caption=caption, category=category, subcategory=group_of, labels=labels_of(name))


def group_of(wildcards):
    """The sample's group as a heading of the report."""
    return f"{SAMPLES[wildcards.sample]['group']} samples"


def labels_of(result):
    """What the report says of a sample's result in its list."""
    return lambda wildcards: {"sample": "{sample}", "stain": SAMPLES[wildcards.sample]["stain"], "result": result}


def reported(samples):
    """The samples; for a report those with pictures, since snakemake makes none where a file of one is missing."""
    if "--report" not in {word.split("=")[0] for word in sys.argv}:
        return samples
    return {name: row for name, row in samples.items() if os.path.exists(f"{PLACE}/samples/{name}/overlay.png")}


def image_if_there(wildcards):
    """The sample's image; none when it cannot be read."""
    return if_there(SAMPLES[wildcards.sample]["path"])


def image_path(wildcards):
    """The sample's image, there or not."""
    return name_of(SAMPLES[wildcards.sample]["path"])


def annotation_path(wildcards):
    """The sample's own annotation of tissues, there or not; none when the sheet names none."""
    return SAMPLES[wildcards.sample].get("tissue")


def annotation_if_there(wildcards):
    """The sample's annotation of tissues; none when it cannot be read."""
    return if_there(annotation_path(wildcards))


def files_for(samples, *functions):
    """The files that functions of a sample's wildcards name, each once."""
    named = [function(SimpleNamespace(sample=sample)) for sample in samples for function in functions]
    return list({str(path): path for path in named if path}.values())


def fetched_options(wildcards, input):
    """The options that say where images and annotations lie that were fetched from a storage."""
    options = [("--fetched", image_if_there), ("--fetched-tissue", annotation_if_there)]
    named = [(option, name, find(SimpleNamespace(sample=name))) for name in STORED for option, find in options]
    there = {str(path) for path in input.fetched}
    return shlex.join(word for option, name, path in named if str(path) in there for word in (option, f"{name}={path}"))


def annotation_option(wildcards):
    """The option that names the annotation, if the sheet does."""
    path = annotation_path(wildcards)
    return shlex.join(["--annotation", name_of(path)]) if path else ""


def tissue_settings(wildcards):
    """What the section `tissue` says of how this sample's map is made: by the network, or from an annotation."""
    drawn, seen = ("annotation_mpp", "label_names"), ("weights", "level", "mpp", "window_px")
    return as_json("tissue", *(drawn if annotation_path(wildcards) else seen))


def tissue_weights_file(wildcards):
    """The file of weights for tissues that the settings name, where they are wanted and not in the package."""
    weights = config["tissue"]["weights"]
    return local(weights) if weights.endswith(".safetensors") and not annotation_path(wildcards) else []


def tissue_map(wildcards):
    """The sample's map of tissues; none unless `tissue.enabled`."""
    return in_results(f"samples/{wildcards.sample}/tissue/tissue.ome.tif") if config["tissue"]["enabled"] else []


def tissue_option(wildcards, input):
    """The options that name the map and how far distances to its boundaries are measured, if there is one."""
    given = ["--tissue", str(input.tissue), "--tissue-settings", as_json("tissue", "max_distance_um")]
    return shlex.join(given) if input.tissue else ""


def cell_polygons(wildcards):
    """The outlines of the sample's cells; none unless `polygons.enabled`."""
    return in_results(f"samples/{wildcards.sample}/cells.geojson.gz") if config["polygons"]["enabled"] else []


def last_results():
    """What every sample ends with."""
    return expand(in_results("samples/{sample}/{name}"), sample=SAMPLES, name=LAST_RESULTS)


def tables_of_status(wildcards):
    """The sample's CSV files: of all cells and of each status."""
    names = ["cells", "healthy", "abnormal", "uncertain", "excluded"]
    return [in_results(f"samples/{wildcards.sample}/{name}.csv") for name in names]


def acquisition(wildcards):
    """What the sheet says of how the slide was made, as options."""
    row = SAMPLES[wildcards.sample]
    given = [(f"--{key}", str(row[key])) for key in ("stain", "mpp", "channel") if row.get(key) is not None]
    return shlex.join(word for pair in given for word in pair)


def as_json(section, *keys):
    """A section of the settings (or some of its keys), for --settings; a rule gets no more than what bears on it."""
    settings = config[section]
    return json.dumps({key: settings[key] for key in keys or settings}, sort_keys=True)


def segmentation_settings(wildcards):
    """The method and its part of the segmentation section, with what it says of this sample's stain and no other."""
    section, stain = config["segmentation"], SAMPLES[wildcards.sample]["stain"]
    by_stain = {stain: section["by_stain"][stain]} if stain in section["by_stain"] else {}
    parts = {
        "threshold": {"threshold": section["threshold"], "by_stain": by_stain},
        "maskrcnn": {"maskrcnn": section["maskrcnn"]},
    }
    part = parts.get(section["method"], {"plugin": section["plugin"]})
    return json.dumps({"method": section["method"]} | part, sort_keys=True)


def preprocess_again(wildcards):
    """The option that holds the section `preprocess`, where a slide may be looked at again with another pixel size."""
    rescales = config["input"]["pixel_size"]["action"] == "rescale"
    return shlex.join(["--preprocess", as_json("preprocess")]) if rescales else ""


def weights_file(wildcards):
    """The file of weights that the settings name, where the method wants one that is not in the package."""
    section = config["segmentation"]
    weights = section["maskrcnn"]["weights"]
    return local(weights) if section["method"] == "maskrcnn" and weights.endswith(".safetensors") else []


def gathered(name):
    """All shards of a sample that have this name; none where slides are not cut."""
    shards = gather.slide_shards(in_results(f"samples/{{{{sample}}}}/{name}"))
    return shards if len(shards) > 1 else []


def options_of(option, paths):
    """An option once for each of the files; none for none."""
    return shlex.join(word for path in paths for word in (option, str(path)))


def training_options(wildcards):
    """What the section `train` says, as options; a rule that nobody asks for needs none."""
    section = config["train"]
    given = [("--data", folder) for folder in section["data"]]
    given += [(f"--{key}", section[key]) for key in ("init", "stain", "licence") if section[key]]
    given += [("--classes", ",".join(section["classes"]))] if section["classes"] else []
    return shlex.join(word for pair in given for word in pair)


def training_settings(wildcards):
    """The section `train.maskrcnn`, for --settings."""
    return json.dumps(config["train"]["maskrcnn"], sort_keys=True)


def tissue_training_options(wildcards):
    """What the section `train` says of tissues, as options; a rule that nobody asks for needs none."""
    section = config["train"]
    given = [("--data", folder) for folder in section["data"]]
    given += [(f"--{key}", section[key]) for key in ("stain", "licence") if section[key]]
    given += [("--init", section["tissue_init"])] if section["tissue_init"] else []
    given += [("--mpp", str(section["tissue_mpp"]))] if section["tissue_mpp"] else []
    given += [("--classes", ",".join(section["tissue_classes"]))] if section["tissue_classes"] else []
    return shlex.join(word for pair in given for word in pair)


def tissue_training_settings(wildcards):
    """The section `train.segnet`, for --settings."""
    return json.dumps(config["train"]["segnet"], sort_keys=True)


def classifier_training_options(wildcards):
    """What the sections `train` and `classify.exclude` say of labelled cells; a rule that nobody asks for needs none."""
    section = config["train"]
    given = [("--stain", section["stain"])]
    given += [("--labels", section["labels"])] if section["labels"] else []
    given += [("--exclude", json.dumps(config["classify"]["exclude"], sort_keys=True))]
    return shlex.join(word for pair in given for word in pair)


def classifier_training_settings(wildcards):
    """The section `train.classifier`, for --settings."""
    return json.dumps(config["train"]["classifier"], sort_keys=True)


def reference_of(wildcards):
    """The healthy reference that the sample is judged against; none when its stain has no reference samples."""
    stain = SAMPLES[wildcards.sample]["stain"]
    return in_results(f"reference/{stain}.json") if stain in REFERENCES else []


def reference_option(wildcards, input):
    """The option that names the reference, if there is one."""
    return shlex.join(["--reference", str(input.reference)]) if input.reference else ""


def model_file(wildcards):
    """The supervised model that judges, where it is a file of the user's own and not one in the package."""
    weights = config["classify"]["model"]["weights"]
    return local(weights) if weights.endswith(".safetensors") else []


def reference_measurements(wildcards):
    """The measurements of all reference samples of a stain."""
    return expand(
        in_results("samples/{sample}/measure/measurements.parquet"),
        sample=REFERENCES[wildcards.stain],
    )


def all_cores():
    """The cores of this run; one where it runs nothing, as for a report."""
    try:
        return max(1, int(workflow.cores))
    except WorkflowError:
        return 1


def share_of_cores():
    """Threads a job: one when there are samples enough to keep every core busy, more when there are few."""
    return max(1, min(16, all_cores() // max(1, len(SAMPLES))))


def more_memory(mem_mb):
    """So many MB, and as many more with each attempt after a job that ran out of them."""
    return lambda wildcards, attempt: mem_mb * attempt


def memory_of_tiles(mem_mb):
    """So many MB, of a job that works by tiles: it is tried once more with smaller ones (`shrunk`), then with more MB."""
    return lambda wildcards, attempt: mem_mb * max(1, attempt - 1)


def shrunk(wildcards, attempt):
    """By how much a job's budget is less than the memory it gets, as its tiles follow the budget."""
    return 1 if attempt == 1 else 2


def more_time(minutes):
    """So many minutes, and as many more with each attempt after a job that ran out of them."""
    return lambda wildcards, attempt: minutes * attempt


def withdraw_ledger():
    """Take ledger and crate away before a job changes what they tell of; this run, or one that goes on, writes them anew."""
    places = (f"{PLACE}/samples/", f"{PLACE}/slides.tsv")
    changed = (str(path) for job in workflow.dag.needrun_jobs() for path in job.output)
    if workflow.is_main_process and not workflow.touch and any(path.startswith(places) for path in changed):
        for name in ("slides.tsv", "ro-crate-metadata.json"):
            Path(PLACE, name).unlink(missing_ok=True)


def close_ledger():
    """Write the ledger of a run that broke off; one that this run wrote already says why it did not succeed."""
    ledger = Path(PLACE, "slides.tsv")
    if SAMPLES and not (ledger.exists() and ledger.stat().st_mtime >= STARTED):
        subprocess.run(["cellseg", "summary", PLACE, "--samples", config["samples"]])


alive = clear_stale_lock() if workflow.is_main_process else None
check_inputs(config)
validate(config, "schemas/config.schema.json")  # fills in the defaults
RESULTS = config["results"].rstrip("/")
# Where the results lie from here: the same folder, unless another workflow that uses this one gives it a prefix.
PLACE = str(workflow.modifier.path_modifier.modify(RESULTS))
LAST_RESULTS = ["columns.json", "overlay.png", *["cells.geojson.gz"] * config["polygons"]["enabled"], "integrity.json"]
SAMPLES = reported(read_sheet(config["samples"]))
STORED = [name for name, row in SAMPLES.items() if any("storage_object" in path.flags for path in files_in(row))]
REFERENCES = {}
for name, row in SAMPLES.items():
    if row["group"] == "reference" and config["classify"]["reference"]["enabled"]:
        REFERENCES.setdefault(row["stain"], []).append(name)


# Of all rules, for --software-deployment-method apptainer.
container: config["compute"]["container"] or None
