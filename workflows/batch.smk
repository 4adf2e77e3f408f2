# Many small samples. With `compute.samples_per_job` over 1, a job takes so many of them through its half of the chain in
# one process, and the rules of a sample stand back. Files, logs and the ledger are the same; what fails is that sample
# alone, and the next run makes its job's samples again.
def cut_into_jobs(samples, size):
    """The samples of each job by its number; none unless there is more than one a job."""
    if size == 1:
        return {}
    if stored := [name for name in samples if "storage_object" in SAMPLES[name]["path"].flags]:
        raise WorkflowError(f"compute.samples_per_job: {size}, but {stored[0]} is in a storage; set it to 1")
    return {1 + start // size: samples[start : start + size] for start in range(0, len(samples), size)}


def results_of(samples, *names):
    """Files of the results of each of the samples, shown in the report where the rules of a sample say so."""
    return [result_of(sample, name) for sample in samples for name in names]


def result_of(sample, name):
    """A file of a sample's results."""
    path = in_results(f"samples/{sample}/{name}")
    return shown(path, SHOWN[name], sample) if name in SHOWN else path


def rows_of(samples):
    """What the sheet says of how the slides were made: a change in it is a reason to run the job again."""
    keys = ("path", "stain", "mpp", "channel", "tissue")
    return json.dumps([[str(SAMPLES[name].get(key)) for key in keys] for name in samples])


def looking_settings(samples):
    """The settings that bear on the first half of the chain of these samples."""
    segmentation = {}
    for sample in samples:
        section = json.loads(segmentation_settings(SimpleNamespace(sample=sample)))
        by_stain = segmentation.get("by_stain", {}) | section.get("by_stain", {})
        segmentation = section | ({"by_stain": by_stain} if "by_stain" in section else {})
    tissues = {"tissue": config["tissue"]} if config["tissue"]["enabled"] else {}
    sections = {key: config[key] for key in ("input", "preprocess", "measure")}
    return json.dumps(sections | tissues | {"segmentation": segmentation}, sort_keys=True)


def judging_settings():
    """The settings that bear on the second half of the chain."""
    limit = {"max_decoded_mpx": config["input"]["max_decoded_mpx"]}
    return json.dumps(
        {key: config[key] for key in ("classify", "report", "polygons")} | {"input": limit}, sort_keys=True
    )


def reference_options(samples):
    """The options that name the reference of each stain of these samples."""
    given = {SAMPLES[name]["stain"]: reference_of(SimpleNamespace(sample=name)) for name in samples}
    return shlex.join(
        word
        for stain, path in given.items()
        if path
        for word in ("--reference", f"{stain}={PLACE}/reference/{stain}.json")
    )


# Of each sample the files that other rules and people ask for; snakemake keeps a record of each, with all of the job's
# settings, and for tens of files a sample these records would take longer than the work. The others lie beside. For each
# file that a job leaves, all that it reads is looked at again, so a judging job names one of its looking job's files; that
# none of the others is missing is seen to by `all`.
LOOKED_AT = ["measure/measurements.parquet"]
JUDGED = ["cells.csv", "cells.parquet", *LAST_RESULTS]
SHOWN = {"overlay.png": "Cells", "integrity.json": "Quality"}
JOBS = cut_into_jobs(list(SAMPLES), config["compute"]["samples_per_job"])

for number, samples in JOBS.items():

    rule:
        name:
            f"look_{number}"
        input:
            images=files_for(samples, image_if_there),
            others=files_for(samples, weights_file),
            tissues=files_for(samples, tissue_weights_file, annotation_if_there) if config["tissue"]["enabled"] else [],
        output:
            results=results_of(samples, *LOOKED_AT),
        log:
            in_results(f"logs/look/{number}.log"),
        benchmark:
            in_results(f"benchmarks/look/{number}.tsv")
        retries: 2
        conda:
            "envs/cellseg.yaml"
        threads: 1
        resources:
            mem_mb=memory_of_tiles(2000 if config["segmentation"]["method"] == "threshold" else 4000),
            runtime=more_time(30 + 2 * len(samples)),
            tile_px=config["compute"]["tile_px"],
            shrunk=shrunk,
            device=config["compute"]["device"],
        params:
            place=lambda wildcards, output: str(output[0]).split("/samples/")[0],
            samples=samples,
            sheet=config["samples"],
            rows=rows_of(samples),
            settings=looking_settings(samples),
        shell:
            "(set -x; cellseg batch look {params.place:q} {params.samples:q} --samples {params.sheet:q}"
            " --settings {params.settings:q} --tile-px {resources.tile_px}"
            " --memory-mb $(({resources.mem_mb} / {resources.shrunk})) --device {resources.device}) > {log:q} 2>&1"

    rule:
        name:
            f"judge_{number}"
        input:
            measured=results_of(samples[:1], *LOOKED_AT),
            references=files_for(samples, reference_of),
            model=model_file(None),
        output:
            results=results_of(samples, *JUDGED),
        log:
            in_results(f"logs/judge/{number}.log"),
        benchmark:
            in_results(f"benchmarks/judge/{number}.tsv")
        retries: 2
        conda:
            "envs/cellseg.yaml"
        threads: 1
        resources:
            mem_mb=memory_of_tiles(2000),
            runtime=more_time(30 + 2 * len(samples)),
            tile_px=config["compute"]["tile_px"],
            shrunk=shrunk,
        params:
            place=lambda wildcards, output: str(output[0]).split("/samples/")[0],
            samples=samples,
            sheet=config["samples"],
            references=reference_options(samples),
            settings=judging_settings(),
        shell:
            "(set -x; cellseg batch judge {params.place:q} {params.samples:q} --samples {params.sheet:q}"
            " {params.references} --settings {params.settings:q} --tile-px {resources.tile_px}"
            " --memory-mb $(({resources.mem_mb} / {resources.shrunk}))) > {log:q} 2>&1"
