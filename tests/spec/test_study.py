"""A `study` block: its arms, what is left out and what stands in its place, and where it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from fgic_core import Classifier, Registry
from fgic_core.spec import Spec, SpecError, dump_yaml, from_dict, parse_spec
from fgic_core.spec.study import Arm


class Tiny(Classifier):
    """A classifier with few options."""

    epochs: int = Field(10, ge=1, description="How often every sample is seen.")
    width: int = Field(8, ge=1, description="Channels.")

    def fit(self, train: Any, val: Any, ctx: Any) -> None:
        return None


@pytest.fixture(scope="module")
def known(registry: Registry) -> Registry:
    """The components of the other tests of specs, and a second classifier."""
    both = Registry([])
    for uses in registry.names():
        both.register(uses.partition("/")[2], registry.get(uses))
    both.register("tiny", Tiny)
    return both


STEPS = """\
version: 1
name: dogs
seed: 7
steps:
  dogs: {uses: dataset/drawn, with: {size: 32}}
  boxes: {uses: detector/boxes}
  crops: {uses: cropper/square, with: {margin: 0.1}}
  synthetic: {uses: generator/dreams, with: {per_class: 5}}
  classifier: {uses: classifier/net, with: {epochs: 3}}
  cam: {uses: explainer/cam, from: {dataset: crops}}
  pgd: {uses: attacker/pgd, with: {eps: [0, 8/255]}}
"""


@pytest.fixture
def study(known: Registry) -> Callable[..., Spec]:
    """The spec with this block, its lines indented."""

    def study(block: str, *overrides: str, steps: str = STEPS) -> Spec:
        lines = "".join(f"  {line}\n" for line in block.splitlines())
        return parse_spec(f"{steps}study:\n{lines}", known, path=Path("s.yaml"), overrides=overrides)

    return study


@pytest.fixture
def wrong(study: Callable[..., Spec]) -> Callable[..., list[str]]:
    """The lines that are said of a block that is wrong."""

    def wrong(block: str, *overrides: str, steps: str = STEPS) -> list[str]:
        with pytest.raises(SpecError) as caught:
            study(block, *overrides, steps=steps)
        return str(caught.value).splitlines()

    return wrong


def names(spec: Spec) -> list[str]:
    assert spec.study is not None
    return [arm.name for arm in spec.study.arms]


def arm(spec: Spec, name: str) -> Arm:
    assert spec.study is not None
    return spec.study.arm(name)


def wiring(spec: Spec, name: str) -> dict[str, Any]:
    return {step.name: dict(step.inputs) for step in arm(spec, name).steps}


def option(spec: Spec, name: str, step: str, option: str) -> Any:
    return next(one.described.options[option] for one in arm(spec, name).steps if one.name == step)


def test_a_block_without_a_word_is_seven_seeds_of_the_steps_as_they_are(study: Callable[..., Spec]) -> None:
    spec = study("seeds:")
    assert spec.study is not None
    assert spec.study.seeds == (0, 1, 2, 3, 4, 5, 6)
    assert spec.study.vary == ("init", "order", "split")
    assert (spec.study.margin, spec.study.oracle, spec.study.cross) == (1.0, False, False)
    assert [(one.step, one.quantity) for one in spec.study.measure] == [("classifier", "accuracy")]
    assert names(spec) == ["full"]
    assert [step.name for step in arm(spec, "full").steps] == [step.name for step in spec.steps]
    assert spec.study.runs == 7


def test_each_step_is_left_out_alone_and_those_that_took_it_take_what_it_took(study: Callable[..., Spec]) -> None:
    spec = study("ablate: [synthetic, crops]")
    assert names(spec) == ["full", "without-crops", "without-synthetic"]
    whole = wiring(spec, "full")
    assert wiring(spec, "without-crops") == {
        **{name: inputs for name, inputs in whole.items() if name != "crops"},
        "synthetic": {"dataset": "boxes"},
        "cam": {"dataset": "boxes", "model": "classifier"},
    }
    assert wiring(spec, "without-synthetic")["classifier"] == {"dataset": "crops"}
    assert wiring(spec, "without-synthetic")["pgd"]["dataset"] == "crops"


def test_every_combination_leaves_out_all_that_can_be(study: Callable[..., Spec]) -> None:
    spec = study("ablate: all")
    assert names(spec) == [
        "full",
        *("without-boxes", "without-crops", "without-synthetic"),
        *("without-boxes-crops", "without-boxes-synthetic", "without-crops-synthetic"),
        "without-boxes-crops-synthetic",
    ]
    assert wiring(spec, "without-boxes-crops-synthetic")["classifier"] == {"dataset": "dogs"}
    assert names(study("ablate: {combinations: [crops, boxes]}")) == [
        *("full", "without-boxes", "without-crops", "without-boxes-crops"),
    ]


def test_a_cropper_without_its_detector_uses_test_pictures_whole_and_never_annotated_boxes(
    study: Callable[..., Spec],
) -> None:
    spec = study("ablate: [boxes, synthetic]")
    assert option(spec, "full", "crops", "test_boxes") is None
    assert option(spec, "without-synthetic", "crops", "test_boxes") is None
    assert option(spec, "without-boxes", "crops", "test_boxes") == "whole"
    assert option(spec, "without-boxes", "crops", "train_boxes") == "annotated"
    (crops,) = [step for step in arm(spec, "without-boxes").steps if step.name == "crops"]
    assert crops.request.options["test_boxes"] == "whole", "so that a component that is described anew has it too"


def test_what_was_cropped_to_found_boxes_is_whole_and_what_was_asked_for_is_kept(study: Callable[..., Spec]) -> None:
    found = study("ablate: [boxes]", "crops.with.train_boxes=crossfit", "crops.with.test_boxes=predicted")
    assert option(found, "without-boxes", "crops", "train_boxes") == "whole"
    assert option(found, "without-boxes", "crops", "test_boxes") == "whole"
    annotated = study("ablate: [boxes]", "crops.with.test_boxes=annotated")
    assert option(annotated, "without-boxes", "crops", "test_boxes") == "annotated"
    two = STEPS.replace("  crops:", "  more: {uses: detector/boxes}\n  crops:")
    assert option(study("ablate: [more]", steps=two), "without-more", "crops", "test_boxes") is None, "one is left"


def test_annotated_boxes_of_test_pictures_are_an_arm_of_their_own(
    study: Callable[..., Spec], wrong: Callable[..., list[str]]
) -> None:
    spec = study("ablate: [boxes]\noracle: true")
    assert names(spec) == ["full", "without-boxes", "oracle"]
    assert option(spec, "oracle", "crops", "test_boxes") == "annotated"
    assert [one.oracle for one in spec.study.arms] == [False, False, True]  # type: ignore[union-attr]
    said = wrong("oracle: true", "crops.with.test_boxes=annotated")
    assert said[0] == (
        "s.yaml:13:3: there is nothing for an oracle to know: no step crops test pictures to found boxes"
    )


def test_a_matrix_is_the_product_of_its_axes_and_the_first_levels_are_the_baseline(study: Callable[..., Spec]) -> None:
    spec = study("matrix:\n  classifier.with.epochs: [5, 10]\n  crops.with.margin: [0, 0.2]")
    assert names(spec) == ["full", "crops.margin=0.2", "classifier.epochs=10", "classifier.epochs=10,crops.margin=0.2"]
    assert arm(spec, "crops.margin=0.2").levels == {"classifier.with.epochs": 5, "crops.with.margin": 0.2}
    assert option(spec, "classifier.epochs=10", "classifier", "epochs") == 10
    assert [
        spec.step(name).described.options[key] for name, key in [("classifier", "epochs"), ("crops", "margin")]
    ] == [
        *(5, 0.0),
    ], "the spec's steps are those of the baseline"


def test_ablations_are_made_at_the_baseline_unless_they_are_crossed(study: Callable[..., Spec]) -> None:
    block = "ablate: [crops]\nmatrix: {classifier.with.epochs: [5, 10]}\n"
    assert names(study(block)) == ["full", "without-crops", "classifier.epochs=10"]
    crossed = ["full", "without-crops", "classifier.epochs=10", "without-crops,classifier.epochs=10"]
    assert names(study(f"{block}cross: true")) == crossed
    every = block.replace("[crops]", "{combinations: [crops]}")
    assert names(study(every)) == crossed
    assert names(study(f"{every}cross: false")) == ["full", "without-crops", "classifier.epochs=10"]


def test_arms_that_come_out_the_same_are_one(study: Callable[..., Spec]) -> None:
    block = "ablate: [crops]\ncross: true\nmatrix: {crops.with.margin: [0, 0.1]}"
    spec = study(block)
    assert names(spec) == ["full", "without-crops", "crops.margin=0.1"]
    assert arm(spec, "without-crops").levels == {}, "what is left out has no level"


def test_another_baseline_is_what_the_others_are_compared_with(study: Callable[..., Spec]) -> None:
    block = "ablate: [crops]\nmatrix: {classifier.with.epochs: [5, 10]}\nbaseline: {classifier.with.epochs: 10}"
    spec = study(block)
    assert names(spec) == ["full", "without-crops", "classifier.epochs=5"]
    assert option(spec, "without-crops", "classifier", "epochs") == 10
    assert spec.step("classifier").described.options["epochs"] == 10


def test_levels_may_be_words_null_mappings_lists_and_seeds(study: Callable[..., Spec]) -> None:
    block = (
        "matrix:\n  classifier.with.tag: [null, on]\n  classifier.with.names: [{a: 1}, {b: 2}]\n"
        "  classifier.with.milestones: [[], [3]]\n  classifier.seed: [1, 2]\n  classifier.with.freeze: [false, true]"
    )
    spec = study(block)
    assert len(names(spec)) == 32
    assert all(len(name) <= 100 and "/" not in name and " " not in name for name in names(spec))
    last = spec.study.arms[-1].steps[4]  # type: ignore[union-attr]
    assert {**last.described.options, "seed": last.seed, "seeded": last.seeded}.items() >= {
        ("tag", "on"),
        ("freeze", True),
        ("seed", 2),
        ("seeded", True),
    }
    assert last.described.options["names"] == {"b": 2}
    assert not spec.steps[0].seeded


def test_names_tell_levels_apart(study: Callable[..., Spec]) -> None:
    spec = study("matrix: {classifier.with.names: [{}, {a: 1}, {a: -1}], crops.with.margin: [0.5, 1e-3]}")
    found = names(spec)
    assert found[:4] == [
        "full",
        "crops.margin=0.001",
        "classifier.names=a-1",
        "classifier.names=a-1,crops.margin=0.001",
    ]
    assert found[4] == "classifier.names=a--1", "and not that of 1"
    assert names(study("matrix: {classifier.with.batch: [auto, 1, -1]}"))[1:] == [
        "classifier.batch=1",
        "classifier.batch=-1",
    ]
    same = study("matrix: {classifier.with.model: [a, 'b/c', 'b:c', 'B c']}")
    assert names(same) == ["full", "classifier.model=b-c", "classifier.model=b-c-2", "classifier.model=B-c-3"]


def test_a_backend_is_swapped_with_the_options_that_are_its_own_under_defaults(study: Callable[..., Spec]) -> None:
    steps = STEPS.replace("seed: 7\n", "seed: 7\ndefaults: {classifier/tiny: {width: 4}, classifier/net: {lr: 0.5}}\n")
    spec = study("matrix: {classifier.uses: [classifier/net, classifier/tiny]}", steps=steps)
    assert names(spec) == ["full", "classifier.uses=classifier-tiny"]
    assert option(spec, "classifier.uses=classifier-tiny", "classifier", "width") == 4
    assert option(spec, "classifier.uses=classifier-tiny", "classifier", "epochs") == 3
    assert option(spec, "full", "classifier", "lr") == 0.5


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ("{classifier.with.epochs: 10, crops.with.margin: 0.2}", ["full", "without-crops", "M", "E"]),
        ("{classifier.with.epochs: 10}", ["full", "without-crops", "M"]),
        ("{ablate: crops}", ["full", "M", "E", "E,M"]),
    ],
)
def test_what_is_excluded_is_not_run(exclude: str, left: list[str], study: Callable[..., Spec]) -> None:
    axes = "matrix: {classifier.with.epochs: [5, 10], crops.with.margin: [0, 0.2]}"
    found = names(study(f"ablate: [crops]\n{axes}\nexclude: [{exclude}]"))
    short = [name.replace("classifier.epochs=10", "E").replace("crops.margin=0.2", "M") for name in found]
    assert short == left


def test_a_combination_that_cannot_be_is_not_checked_where_it_is_excluded(
    study: Callable[..., Spec], wrong: Callable[..., list[str]]
) -> None:
    block = (
        "matrix: {classifier.uses: [classifier/net, classifier/tiny], classifier.with.lr: [0.1, 0.2]}\n"
        "exclude: [{classifier.uses: classifier/tiny}]"
    )
    assert names(study(block)) == ["full", "classifier.lr=0.2"]
    said = wrong(block.partition("\n")[0])
    assert said == [
        "s.yaml:13:46: with classifier.uses: classifier/tiny, classifier/tiny has no option lr (line 13)",
        "  13 |   matrix: {classifier.uses: [classifier/net, classifier/tiny], classifier.with.lr: [0.1, 0.2]}",
        "     |                                              ^^^^^^^^^^^^^^^",
        "  Its options are val_fraction, test_curve, epochs, width. Put options that only one of them has under "
        "defaults: {kind/name: {option: value}}. Or leave it out: exclude: [{classifier.uses: classifier/tiny}].",
    ]


@pytest.mark.parametrize(
    ("block", "place", "message"),
    [
        ("seeds: 7", "13:10", "seeds should be a list, not 7"),
        ("seeds: [0, -1]", "13:14", "a seed should be a whole number, 0 or more, not -1"),
        ("seeds: [0, true]", "13:14", "a seed should be a whole number, 0 or more, not true"),
        ("seeds: [1, 1]", "13:14", "the seed 1 is here twice"),
        ("seeds: []", "13:10", "seeds should not be empty"),
        ("sed: [1]", "13:3", "study has no sed"),
        ("ablate: [crop]", "13:12", "there is no step crop to leave out"),
        ("ablate: [crops, crops]", "13:19", "step crops is named twice"),
        ("ablate: crops", "13:11", "ablate should be a list, not 'crops'"),
        ("ablate: {every: [crops]}", "13:11", "ablate should name steps or combinations, not every"),
        ("ablate: [dogs]", "13:12", "step dogs cannot be left out: dataset/drawn takes no data set"),
        ("ablate: [classifier]", "13:12", "step classifier cannot be left out: classifier/net gives a model"),
        ("ablate: [pgd]", "13:12", "step pgd cannot be left out: attacker/pgd gives robustness and no data set"),
        ("cross: true", "13:3", "cross needs ablate and matrix"),
        ("cross: 1", "13:10", "cross should be true or false, not 1"),
        ("matrix: [1]", "13:3", "matrix should be a mapping from paths to lists of values, not a list"),
        ("matrix: {classifier.with.epochs: 5}", "13:36", "classifier.with.epochs should be a list, not 5"),
        ("matrix: {classifier.with.epochs: [5, 5.0]}", "13:40", "5.0 is here twice"),
        ("matrix: {clasifier.with.epochs: [5]}", "13:12", "the spec has no step clasifier"),
        ("matrix: {classifier.wiht.epochs: [5]}", "13:23", "a step has no wiht"),
        ("matrix: {classifier: [5]}", "13:12", "classifier is a whole step"),
        ("matrix: {seed: [5]}", "13:12", "seed is no axis of a study"),
        ("matrix: {study.seeds: [5]}", "13:12", "the spec has no step study"),
        ("matrix: {classifier.with.epochs: [5, 0]}", "13:40", "option epochs should be at least 1, not 0"),
        ("matrix: {classifier.with.epohcs: [5]}", "13:28", "classifier/net has no option epohcs"),
        ("exclude: [{classifier.with.lr: 1}]", "13:14", "exclude names classifier.with.lr, which is no path of the"),
        ("exclude: [{ablate: crops}]", "13:22", "exclude names 'crops', which is no step that is left out"),
        ("exclude: [{}]", "13:13", "what is excluded should not be empty"),
        ("baseline: {classifier.with.lr: 1}", "13:14", "baseline names classifier.with.lr, which is no path of the"),
        ("baseline: 3", "13:13", "baseline should be a mapping, not 3"),
        ("vary: [inti]", "13:10", "a seed draws no 'inti'"),
        ("vary: [init, init]", "13:16", "init is named twice"),
        ("margin: 0", "13:11", "margin should be a number above 0 and at most 100, not 0"),
        ("margin: 1%", "13:11", "margin should be a number above 0 and at most 100, not '1%'"),
        ("measure: [accuracy]", "13:13", "accuracy is no quantity of a whole run: those are fit_seconds, seconds"),
        ("measure: [{step: classifer, quantity: accuracy}]", "13:20", "there is no step 'classifer' to measure at"),
        ("measure: [{step: classifier, quantity: acuracy}]", "13:42", "'acuracy' is no quantity that is known"),
        ("measure: [{step: [classifier], quantity: accuracy}]", "13:20", "step should name a step, not a list"),
        (
            "measure: [{step: classifier, quantity: {a: 1}}]",
            *("13:42", "quantity should be the name of one, not a mapping"),
        ),
        ("measure: [{step: classifier, quantity: 3}]", "13:42", "quantity should be the name of one, not 3"),
        (
            "measure: [{step: classifier, quantity: accuracy, split: [test]}]",
            *("13:59", "split should be train, val or test, not a list"),
        ),
        ("measure: [seconds, seconds]", "13:22", "seconds is measured twice"),
        (
            "measure: [{step: pgd, quantity: robust_accuracy, at: {eps: 0.5}}, "
            "{quantity: robust_accuracy, step: pgd, at: {eps: 1/2}}]",
            *("13:69", "robust_accuracy is measured twice"),
        ),
        ("matrix: {}", "13:3", "matrix should be a mapping from paths to lists of values, not nothing"),
        ("ablate: [[crops]]", "13:12", "ablate should name steps, not a list"),
        ("vary: [[init]]", "13:10", "vary should name what a seed draws, not a list"),
        ("seeds: [[0]]", "13:11", "a seed should be a whole number, 0 or more, not a list"),
        ("measure: [{step: classifier}]", "13:13", "what is measured does not say its quantity"),
        ("measure: [{step: classifier, quantity: accuracy, on: test}]", "13:52", "what is measured has no on"),
        (
            "measure: [{step: pgd, quantity: robust_accuracy, at: {eps: [1]}}]",
            "13:62",
            "at eps should be a number or a",
        ),
        ("oracle: yes", "13:11", "oracle should be true or false, not 'yes'"),
        ("[1]", "13:3", "study should be a mapping, not a list"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(
    block: str, place: str, message: str, wrong: Callable[..., list[str]]
) -> None:
    said = wrong(block)
    assert said[0].startswith(f"s.yaml:{place}: {message}")
    assert not any(line.startswith("s.yaml") for line in said[1:]), "and nothing else"


def test_a_combination_of_two_levels_that_cannot_be_is_said_with_both(wrong: Callable[..., list[str]]) -> None:
    block = "matrix:\n  classifier.uses: [classifier/net, classifier/tiny]\n  classifier.with: [{epochs: 1}, {lr: 0.1}]"
    said = wrong(block)
    assert said[0] == (
        's.yaml:15:36: with classifier.uses: classifier/tiny, classifier.with: {"lr": 0.1}, '
        "classifier/tiny has no option lr (line 15)"
    )
    assert sum(line.startswith("s.yaml") for line in said) == 1


def test_an_entry_that_excludes_nothing_and_one_that_excludes_the_baseline_are_mistakes(
    wrong: Callable[..., list[str]],
) -> None:
    block = "ablate: [crops]\nmatrix: {classifier.with.epochs: [5, 10]}\nexclude: [ENTRY]"
    said = wrong(block.replace("ENTRY", "{ablate: crops, classifier.with.epochs: 10}"))
    assert said[0] == "s.yaml:15:13: this excludes nothing: no run of the study is like that"
    assert "Ablations are made at the baseline alone, unless cross: true says otherwise." in said[-1]
    said = wrong(block.replace("ENTRY", "{classifier.with.epochs: 5}"))
    assert said[0] == "s.yaml:15:13: this excludes the baseline"
    said = wrong(block.replace("ENTRY", "{classifier.with.epochs: 7}"))
    assert said[0] == "s.yaml:15:38: 7 is no level of classifier.with.epochs"


def test_a_study_of_far_too_many_runs_is_refused_before_it_is_expanded(wrong: Callable[..., list[str]]) -> None:
    axes = ", ".join(f"classifier.with.{name}: {list(range(1, 101))}" for name in ("epochs", "lr", "batch"))
    said = wrong(f"matrix: {{{axes}}}")
    assert said[0] == "s.yaml:12:1: the study comes to 7,000,000 runs, and more than 100,000 are never made"


def test_a_study_can_be_set_aside_for_the_run_of_its_steps(study: Callable[..., Spec], known: Registry) -> None:
    assert study("seeds: [4]", "study=null").study is None
    assert parse_spec(f"{STEPS}study:\n", known).study is None
    whole = study("matrix: {classifier.with.epochs: [5, 6]}", "study=null")
    assert whole.step("classifier").described.options["epochs"] == 3, "as the steps say, and no level"


def test_set_reaches_into_the_study(study: Callable[..., Spec], wrong: Callable[..., list[str]]) -> None:
    spec = study("seeds: [4]", "study.seeds=[0, 1]", "study.margin=2", "study.ablate=[crops]")
    assert spec.study is not None
    assert (spec.study.seeds, spec.study.margin, spec.study.ablate) == ((0, 1), 2.0, ("crops",))
    said = wrong("seeds: [4]", "study.sedes=[1]")
    assert said[0] == "from --set study.sedes=[1]: study has no sedes"
    said = wrong("seeds: [4]", "study.matrix={classifier.with.epochs: [1, 0]}")
    assert said[0].startswith("from --set study.matrix={classifier.with.epochs: [1, 0]}: option epochs should be at")


def test_what_set_puts_under_an_axis_is_no_silent_loss(wrong: Callable[..., list[str]]) -> None:
    said = wrong("matrix: {classifier.with.epochs: [1, 2]}", "classifier.with.epochs=5")
    assert said[0] == (
        "from --set classifier.with.epochs=5: levels of the study's classifier.with.epochs take the place of what is "
        "set here"
    )
    said = wrong("matrix: {classifier.with: [{epochs: 1}, {epochs: 2}]}", "classifier.with.epochs=5")
    assert said[0].endswith("levels of the study's classifier.with take the place of what is set here")


@pytest.mark.parametrize(
    ("block", "place", "message"),
    [
        (
            "matrix: {classifier.with.epochs: [1, 2], classifier.with: [{epochs: 3}]}",
            *("13:44", "classifier.with is the whole of classifier.with.epochs, which has levels too"),
        ),
        (
            "matrix: {classifier.with: [{epochs: 3}], classifier.with.epochs: [1, 2]}",
            *("13:44", "classifier.with.epochs is a part of classifier.with, which has levels too"),
        ),
        (
            "matrix: {classifier.with.epochs: [1, 2], steps.classifier.with.epochs: [1, 3]}",
            *("13:44", "steps.classifier.with.epochs is the same place as classifier.with.epochs, which has"),
        ),
        (
            "arms: {a: {classifier.with: {epochs: 2}, classifier.with.epochs: 3}}",
            *("13:44", "classifier.with.epochs is a part of classifier.with, which has levels too"),
        ),
        (
            "arms: {a: {classifier.with: {epochs: 9}}}\nmatrix: {classifier.with.epochs: [1, 2]}",
            *("13:14", "classifier.with is the whole of classifier.with.epochs, which has levels too"),
        ),
        (
            "matrix: {classifier.with: [{epochs: 3}]}\nbeside: {a: {classifier.with.epochs: 9}}",
            *("14:16", "classifier.with.epochs is a part of classifier.with, which has levels too"),
        ),
        (
            "matrix: {classifier.with.epochs: [1, 2]}\narms: {a: {steps.classifier.with.epochs: 9}}",
            *("14:14", "steps.classifier.with.epochs is the same place as classifier.with.epochs, which has"),
        ),
    ],
)
def test_of_two_paths_that_write_the_same_place_the_second_is_refused(
    block: str, place: str, message: str, wrong: Callable[..., list[str]]
) -> None:
    said = wrong(block)
    assert said[0].startswith(f"s.yaml:{place}: {message}")
    assert not any(line.startswith("s.yaml") for line in said[1:]), "and nothing else"


def test_a_number_may_be_measured_at_several_places(study: Callable[..., Spec]) -> None:
    at = [f"{{step: pgd, quantity: robust_accuracy, at: {{eps: {eps}}}}}" for eps in ("0", "8/255")]
    assert len(study(f"measure: [{', '.join(at)}, seconds, fit_seconds]").study.measure) == 4  # type: ignore[union-attr]


def test_paths_that_only_begin_alike_are_two(study: Callable[..., Spec]) -> None:
    assert len(names(study("matrix: {pgd.with.eps.0: [0, 0.1], pgd.with.eps.1: [0.2, 0.3]}"))) == 4


def test_what_is_filled_in_is_a_study_that_means_the_same(study: Callable[..., Spec], known: Registry) -> None:
    block = (
        "seeds: [3, 4]\nablate: {combinations: [boxes, crops]}\noracle: true\nvary: [split, init]\nmargin: 2.5\n"
        "matrix: {classifier.uses: [classifier/net, classifier/tiny], crops.with.margin: [0, 0.1]}\n"
        "baseline: {crops.with.margin: 0.1}\nexclude: [{classifier.uses: classifier/tiny, ablate: boxes}]\n"
        "measure: [{step: pgd, quantity: robust_accuracy, at: {eps: 8/255}}, fit_seconds]"
    )
    steps = STEPS.replace("seed: 7\n", "seed: 7\ndefaults: {classifier/tiny: {width: 4}, classifier/net: {lr: 0.5}}\n")
    spec = study(block, steps=steps.replace("pgd: {", "pgd: {seed: 9, "))
    again = parse_spec(dump_yaml(spec.resolved()), known)
    assert again.resolved() == spec.resolved()
    assert spec.study is not None
    assert again.study is not None
    assert again.study.measure == spec.study.measure
    for one, other in zip(spec.study.arms, again.study.arms, strict=True):
        assert (one.name, one.levels, one.left_out) == (other.name, other.levels, other.left_out)
        assert [(s.described.options, s.inputs, s.seed, s.seeded) for s in one.steps] == [
            (s.described.options, s.inputs, s.seed, s.seeded) for s in other.steps
        ]


def test_a_study_in_python_names_keys_where_a_file_has_lines(known: Registry) -> None:
    document = {
        "version": 1,
        "steps": {"dogs": {"uses": "dataset/drawn"}, "net": {"uses": "classifier/net"}},
        "study": {"seeds": [0, 1], "matrix": {"net.with.epochs": [1, 2]}},
    }
    assert names(from_dict(document, known)) == ["full", "net.epochs=2"]
    document["study"]["matrix"] = {"net.with.epochs": [1, 0]}  # type: ignore[index]
    with pytest.raises(SpecError) as caught:
        from_dict(document, known)
    assert str(caught.value).startswith("study.matrix.net.with.epochs[1]: option epochs should be at least 1")


def test_each_step_is_described_once_for_all_the_arms_that_have_it_so(known: Registry) -> None:
    from fgic_core.description import Here

    asked: list[str] = []

    class Counting(Here):
        def describe(self, requests: Any) -> Any:
            asked.extend(request.uses for request in requests)
            return super().describe(requests)

    matrix = "matrix: {classifier.with.epochs: [1, 2, 3, 4], crops.with.margin: [0, 0.1, 0.2]}"
    text = f"{STEPS}study:\n  ablate: all\n  {matrix}\n"
    spec = parse_spec(text, known, describer=Counting(known))
    assert spec.study is not None
    assert len(spec.study.arms) == 4 * 3 * 4 + 4 * 4
    assert asked.count("classifier/net") == 4
    assert asked.count("cropper/square") == 3 + 3, "and once more for each margin without a detector"
    assert asked.count("attacker/pgd") == 1


def test_a_step_may_have_a_seed_for_each_thing_that_it_draws(study: Callable[..., Spec], known: Registry) -> None:
    steps = STEPS.replace("{epochs: 3}}", "{epochs: 3}, seed: {order: 1, split: 2}}")
    step = study("seeds: [0]", steps=steps).step("classifier")
    assert (step.seed, step.streams, step.seeded) == (1, {"init": 7, "split": 2}, True)
    assert step.resolved()["seed"] == {"init": 7, "order": 1, "split": 2}
    again = parse_spec(dump_yaml(study("seeds: [0]", steps=steps).resolved()), known).step("classifier")
    assert (again.seed, again.streams) == (step.seed, step.streams)
    drawn = study("seeds: [0]", "classifier.seed={init: 5, order: 5, split: 5, resample: 5}").step("classifier")
    assert (drawn.seed, drawn.streams) == (5, {"resample": 5})
    with pytest.raises(SpecError, match="a seed has no ordre"):
        study("seeds: [0]", "classifier.seed={ordre: 1}")
    with pytest.raises(SpecError, match="seed should be a whole number, 0 or more, not -1"):
        study("seeds: [0]", "classifier.seed={order: -1}")


NAMED = """\
ablate: [crops]
matrix: {classifier.with.epochs: [2, 4]}
arms:
  longer: {classifier.with.epochs: 9, crops.with.margin: 0.2}
  bare: {without: [synthetic, crops]}
beside:
  perfect: {oracle: true, without: synthetic}
  few: {synthetic.with.per_class: 1}
"""


def test_arms_have_names_and_the_baselines_levels_but_for_their_own(study: Callable[..., Spec]) -> None:
    spec = study(NAMED)
    assert names(spec) == ["full", "without-crops", "classifier.epochs=4", "longer", "bare", "perfect", "few"]
    assert [one.under for one in spec.study.arms] == ["", "", "", "arms", "arms", "beside", "beside"]  # type: ignore[union-attr]
    longer, bare, perfect = (arm(spec, name) for name in ("longer", "bare", "perfect"))
    assert longer.levels == {"classifier.with.epochs": 9, "crops.with.margin": 0.2}
    assert (option(spec, "longer", "classifier", "epochs"), option(spec, "longer", "crops", "margin")) == (9, 0.2)
    assert (bare.left_out, bare.levels) == (("crops", "synthetic"), {"classifier.with.epochs": 2})
    assert wiring(spec, "bare")["classifier"] == {"dataset": "boxes"}
    assert (perfect.oracle, perfect.left_out) == (True, ("synthetic",))
    assert option(spec, "perfect", "crops", "test_boxes") == "annotated"
    assert (option(spec, "few", "synthetic", "per_class"), option(spec, "few", "classifier", "epochs")) == (1, 2)
    full, few = (arm(spec, name).steps for name in ("full", "few"))
    assert [one is other for one, other in zip(full, few, strict=True)] == [True] * 3 + [False] + [True] * 3


def test_the_family_has_a_comparison_for_each_named_arm_that_is_no_steps_or_levels(study: Callable[..., Spec]) -> None:
    assert study(NAMED).study.comparisons == 1 + 1 + 2  # type: ignore[union-attr]
    block = "ablate: [crops, boxes]\nmatrix: {classifier.with.epochs: [3, 4, 5]}\narms:\n"
    again = "  cropless: {without: crops}\n  longer: {classifier.with.epochs: 4}\n"
    spec = study(f"{block}{again}")
    assert spec.study.comparisons == 2 + 2, "they are those of the step and the level"  # type: ignore[union-attr]
    assert names(spec) == ["full", "without-boxes", "cropless", "longer", "classifier.epochs=5"]
    more = "  both: {classifier.with.epochs: 4, without: crops}\n  other: {classifier.with.epochs: 6}\n"
    assert study(f"{block}{again}{more}").study.comparisons == 2 + 2 + 2  # type: ignore[union-attr]


def test_an_oracle_without_a_step_is_not_the_comparison_of_that_step(study: Callable[..., Spec]) -> None:
    spec = study("ablate: [synthetic]\nbeside: {a: {oracle: true, without: synthetic}, b: {without: synthetic}}")
    assert [spec.study.compared_anyway(arm(spec, name)) for name in ("full", "a", "b")] == [  # type: ignore[union-attr]
        *(False, False, True)
    ]


def test_what_is_excluded_from_the_matrix_may_be_named(study: Callable[..., Spec]) -> None:
    block = "matrix: {classifier.with.epochs: [3, 4]}\nexclude: [{classifier.with.epochs: 4}]\n"
    assert names(study(f"{block}arms: {{longer: {{classifier.with.epochs: 4}}}}")) == ["full", "longer"]


@pytest.mark.parametrize(
    ("block", "place"),
    [
        ("arms: {x: {crops.with.test_boxes: annotated}}", "13:14"),
        ("arms: {x: {crops.with: {margin: 0.2, test_boxes: annotated}, crops.seed: 3}}", "13:14"),
        ("arms: {x: {crops.with.test_boxes: annotated, crops.with.margin: 0.2}}", "13:14"),
        ("arms: {x: {without: boxes, crops.with.test_boxes: annotated}}", "13:30"),
        ("oracle: true\narms: {x: {crops.with.test_boxes: annotated}}", "14:14"),
    ],
)
def test_an_arm_that_sets_what_the_oracle_knows_is_in_no_family_either(
    block: str, place: str, study: Callable[..., Spec], wrong: Callable[..., list[str]]
) -> None:
    said = wrong(block)
    assert said[0] == f"s.yaml:{place}: an arm with annotated boxes of test pictures is in no family of tests"
    assert said[-1] == "  Nobody has such boxes in practice: name the arm under beside."
    assert sum(line.startswith("s.yaml") for line in said) == 1
    spec = study(block.replace("arms", "beside"))
    assert (arm(spec, "x").under, option(spec, "x", "crops", "test_boxes")) == ("beside", "annotated")


def test_an_arm_beside_may_be_the_oracle_and_where_the_baseline_has_its_boxes_nobody_knows_more(
    study: Callable[..., Spec],
) -> None:
    spec = study("oracle: true\nbeside: {x: {crops.with.test_boxes: annotated}}")
    assert [(one.name, one.oracle, one.under) for one in spec.study.arms] == [  # type: ignore[union-attr]
        ("full", False, ""),
        ("x", True, "beside"),
    ]
    block = "arms: {x: {crops.with: {margin: 0.2, test_boxes: annotated}}, y: {crops.with.test_boxes: whole}}"
    assert names(study(block, "crops.with.test_boxes=annotated")) == ["full", "x", "y"]


def test_a_way_and_a_worth_name_arms_by_any_of_their_names(study: Callable[..., Spec]) -> None:
    block = (
        "ablate: [crops, boxes]\noracle: true\narms: {cropless: {without: crops}, few: {synthetic.with.per_class: 1}}\n"
        "decompose: [without-crops, {cropping: full}, oracle, {no boxes: without-boxes}]\n"
        "worth: {arms: [full], curve: [few, without-crops]}"
    )
    asked = study(block).study
    assert asked is not None
    assert [(one.arm, one.part) for one in asked.decompose] == [
        *(("cropless", "cropless"), ("full", "cropping"), ("oracle", "oracle"), ("without-boxes", "no boxes"))
    ]
    assert asked.worth is not None
    assert (asked.worth.arms, asked.worth.curve) == (("full",), ("few", "cropless"))


def test_an_arm_may_have_another_component_with_its_options_under_defaults(
    study: Callable[..., Spec], wrong: Callable[..., list[str]], known: Registry
) -> None:
    steps = STEPS.replace("seed: 7\n", "seed: 7\ndefaults: {classifier/tiny: {width: 4}, classifier/net: {lr: 0.5}}\n")
    spec = study("arms: {tiny: {classifier.uses: classifier/tiny}}", steps=steps)
    assert option(spec, "tiny", "classifier", "width") == 4
    again = parse_spec(dump_yaml(spec.resolved()), known)
    assert [option(one, "tiny", "classifier", "width") for one in (spec, again)] == [4, 4]
    said = wrong("arms: {tiny: {classifier.uses: classifier/tiny}}", steps=STEPS.replace("epochs: 3", "lr: 1"))
    assert said[0] == "s.yaml:13:34: in arm tiny, classifier/tiny has no option lr (line 9)"
    assert "Put options that only one of them has under defaults" in said[-1]


@pytest.mark.parametrize(
    ("block", "place", "message"),
    [
        ("arms: [x]", "13:3", "arms should be a mapping from names to what is other there, not a list"),
        ("beside: {}", "13:3", "beside should be a mapping from names to what is other there, not nothing"),
        ("arms: {full: {without: crops}}", "13:10", "an arm should not be called full: one of the study's own is"),
        ("beside: {Oracle: {oracle: true}}", "13:12", "an arm should not be called Oracle: one of the study's own is"),
        ("arms: {a/b: {without: crops}}", "13:10", "'a/b' should not name an arm"),
        ("arms: {..: {without: crops}}", "13:10", "'..' should not name an arm"),
        ("arms: {x: {}}", "13:10", "arm x does not say what is other in it"),
        ("arms: {x: 3}", "13:10", "arm x is 3, and should be a mapping"),
        ("arms: {x: {witout: crops}}", "13:14", "witout is nothing that an arm can say"),
        ("arms: {x: {without: crop}}", "13:23", "there is no step 'crop' to leave out"),
        ("arms: {x: {without: [[crops]]}}", "13:24", "without should name steps, not a list"),
        ("arms: {x: {without: [{crops: 1}]}}", "13:24", "without should name steps, not a mapping"),
        ("arms: {x: {without: [crops, crops]}}", "13:31", "step crops is named twice"),
        ("arms: {x: {without: []}}", "13:23", "without should not be empty"),
        ("arms: {x: {without: dogs}}", "13:23", "step dogs cannot be left out: dataset/drawn takes no data set"),
        ("arms: {x: {without: crops, crops.with.margin: 0}}", "13:30", "step crops is left out of arm x, and has no"),
        ("arms: {x: {oracle: true}}", "13:14", "an arm with annotated boxes of test pictures is in no family of tests"),
        ("beside: {x: {oracle: 1}}", "13:24", "oracle should be true or false, not 1"),
        ("beside: {x: {oracle: true, without: crops}}", "13:16", "there is nothing for an oracle to know"),
        ("arms: {x: {clasifier.with.epochs: 5}}", "13:14", "the spec has no step clasifier"),
        ("arms: {x: {classifier.wiht.epochs: 5}}", "13:25", "a step has no wiht"),
        ("arms: {x: {classifier.with.epohcs: 5}}", "13:30", "classifier/net has no option epohcs"),
        ("arms: {x: {classifier.with.epochs: 0}}", "13:38", "option epochs should be at least 1, not 0"),
        ("arms: {x: {classifier.with: {epochs: 0}}}", "13:40", "option epochs should be at least 1, not 0"),
        ("arms: {x: {classifier.with.epochs: 3}}", "13:10", "arm x is the same pipeline as the baseline"),
        ("arms: {x: {without: crops}, y: {without: [crops]}}", "13:31", "arm y is the same pipeline as arm x"),
        ("arms: {x: {without: crops}, X: {without: boxes}}", "13:31", "an arm X is there already, as x"),
        ("decompose: full", "13:14", "decompose should be a list of arms, not 'full'"),
        ("decompose: [full]", "13:14", "a way needs two arms or more, from one to another"),
        ("oracle: true\ndecompose: [full, orcale]", "14:21", "there is no arm orcale"),
        (
            "oracle: true\ndecompose: [{a: full}, oracle]",
            "14:16",
            "the first arm of a way has no part that leads to it",
        ),
        ("oracle: true\ndecompose: [full, oracle, {back: full}]", "14:36", "arm full is on the way twice"),
        ("ablate: [crops]\ndecompose: [full, 3]", "14:21", "a step of the way should name an arm, not 3"),
        ("ablate: [crops]\ndecompose: [full, {a: 3}]", "14:25", "part a should lead to an arm, not 3"),
        (
            "ablate: [crops, boxes]\ndecompose: [full, {a: without-crops}, {a: without-boxes}]",
            *("14:42", "two parts are called a"),
        ),
        ("worth: [full]", "13:10", "worth should be a mapping, not a list"),
        ("worth: {arms: [full]}", "13:10", "worth does not say its curve"),
        (
            "oracle: true\nworth: {arms: [full], curve: [oracle]}",
            "14:32",
            "curve of worth should name two arms or more",
        ),
        ("worth: {arms: [], curve: [full, oracle]}", "13:17", "arms of worth should name one arm or more"),
        ("oracle: true\nworth: {arms: [full], curve: [full, oracle]}", "14:33", "arm full is named twice"),
    ],
)
def test_what_is_wrong_with_a_name_is_said_where_it_stands(
    block: str, place: str, message: str, wrong: Callable[..., list[str]]
) -> None:
    said = wrong(block)
    assert said[0].startswith(f"s.yaml:{place}: {message}")
    assert not any(line.startswith("s.yaml") for line in said[1:]), "and nothing else"


def test_levels_that_are_wrong_are_told_beside_what_else_is_wrong_with_the_block(
    wrong: Callable[..., list[str]],
) -> None:
    axes = "matrix: {classifier.with.epochs: [5, 0], crops.with.margin: [0, no], synthetic.with.per_class: [1, -1]}\n"
    arms = "arms: {x: {classifier.with.epochs: -1, without: dogs}, full: {without: crops}}\n"
    out = "exclude: [{synthetic.with.per_class: -1, crops.with.margin: 7}]\n"

    def places(block: str) -> list[str]:
        return [line.split(": ")[0][len("s.yaml:") :] for line in wrong(block) if line.startswith("s.yaml")]

    assert places(f"seeds: 7\n{axes}{arms}{out}") == ["13:10", "14:40", "14:67", "15:38", "15:51", "15:58", "16:63"]
    assert places(f"{axes}ablate: [dogs]") == ["13:40", "13:67", "13:102", "14:12"]
    assert places("matrix: {classifier.with.epochs: [0, -1], crops.with.margin: 3}") == ["13:37", "13:64"]


def test_several_arms_that_are_wrong_are_told_at_once(wrong: Callable[..., list[str]]) -> None:
    said = wrong("arms:\n  x: {classifier.with.epochs: 0}\n  y: {crops.with.margin: no}\n  z: {pgd.from.model: cam}")
    assert [line.partition(": ")[0] for line in said if line.startswith("s.yaml")] == [
        *("s.yaml:14:33", "s.yaml:15:28", "s.yaml:16:25")
    ]
    said = wrong("ablate: [crops]\ndecompose: [full, without-crop]\nworth: {arms: [ful], curve: [full, without-crops]}")
    assert [line for line in said if line.startswith("  Did you")] == [
        *("  Did you mean without-crops?", "  Did you mean full?")
    ]


def test_two_names_of_one_arm_are_that_arm_twice(wrong: Callable[..., list[str]]) -> None:
    block = "ablate: [crops]\narms: {cropless: {without: crops}}\n"
    said = wrong(f"{block}decompose: [cropless, full, without-crops]")
    assert said[0] == "s.yaml:15:31: arm cropless is on the way twice"
    said = wrong(f"{block}worth: {{arms: [full], curve: [cropless, without-crops]}}")
    assert said[0] == "s.yaml:15:43: arm cropless is named twice"


def test_a_name_that_the_study_gives_to_another_arm_is_taken(
    study: Callable[..., Spec], wrong: Callable[..., list[str]]
) -> None:
    said = wrong("ablate: [crops]\narms: {without-crops: {without: boxes}}")
    assert said[0] == "s.yaml:14:10: arm without-crops has the name of another arm of this study"
    assert names(study("ablate: [crops]\narms: {without-crops: {without: crops}}")) == ["full", "without-crops"]


def test_names_are_set_filled_in_and_read_again(study: Callable[..., Spec], known: Registry) -> None:
    block = (
        f"{NAMED}oracle: true\ndecompose: [bare, without-crops, {{the rest: full}}]\n"
        "worth: {arms: [full, few], curve: [bare, longer]}"
    )
    spec = study(block, "study.arms.bare.without=[synthetic]", "study.beside.more={synthetic.with.per_class: 9}")
    assert arm(spec, "bare").left_out == ("synthetic",)
    again = parse_spec(dump_yaml(spec.resolved()), known)
    assert again.resolved() == spec.resolved()
    for one, other in zip(spec.study.arms, again.study.arms, strict=True):  # type: ignore[union-attr]
        assert (one.name, one.levels, one.left_out, one.under) == (
            other.name,
            other.levels,
            other.left_out,
            other.under,
        )
        assert [s.described.options for s in one.steps] == [s.described.options for s in other.steps]
    assert (again.study.decompose, again.study.worth) == (spec.study.decompose, spec.study.worth)  # type: ignore[union-attr]


def test_arms_that_differ_in_one_of_a_steps_seeds_are_two(study: Callable[..., Spec]) -> None:
    spec = study("arms: {a: {classifier.seed: {order: 1, init: 2}}, b: {classifier.seed: {order: 1, init: 3}}}")
    assert names(spec) == ["full", "a", "b"]
