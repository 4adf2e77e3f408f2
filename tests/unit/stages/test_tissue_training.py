"""Which images are learned from and which judged on: whole cases, whatever an index leaves open."""

from dataclasses import replace
from pathlib import Path

import pytest

from cellseg.errors import ConfigError
from cellseg.stages.tissue_training import Masked, split_cases


def image(name: str, case: str, split: str = "") -> Masked:
    made = Masked(name, Path(f"{name}.png"), Path(f"{name}_mask.png"), "he", "he", case)
    return replace(made, split=split)


def splits(*images: Masked, seed: int = 0, val_share: float = 0.5) -> dict[str, str]:
    return {i.name: i.split for i in split_cases(images, val_share=val_share, seed=seed)}


def test_images_without_a_split_follow_their_case() -> None:
    given = [image("a1", "a", "train"), image("a2", "a"), image("b1", "b"), image("c1", "c")]
    for seed in range(8):
        found = splits(*given, seed=seed)
        assert found["a1"] == found["a2"] == "train"
        assert sorted((found["b1"], found["c1"])) == ["train", "val"]
    assert splits(image("a1", "a", "val"), image("a2", "a"), image("b", "b")) == {
        "a1": "val",
        "a2": "val",
        "b": "train",
    }


def test_a_share_of_the_cases_is_kept_and_another_seed_keeps_others() -> None:
    many = [image(f"{case}{field}", f"case{case}") for case in range(10) for field in range(3)]
    found = splits(*many, val_share=0.3)
    assert sum(split == "val" for split in found.values()) == 9
    assert found == splits(*reversed(many), val_share=0.3)
    assert len({tuple(splits(*many, seed=seed, val_share=0.3).values()) for seed in range(6)}) > 1


def test_one_case_cannot_be_learned_from_and_judged_on() -> None:
    with pytest.raises(ConfigError, match="2 images of 1 cases: none is left for train"):
        splits(image("a1", "a"), image("a2", "a"))
    assert splits(image("a1", "a"), image("a2", "a"), val_share=0) == {"a1": "train", "a2": "train"}
