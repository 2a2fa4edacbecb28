"""The suites fail where a component breaks its contract, and nowhere else."""

from __future__ import annotations

import pytest

#: The test that each component of `broken_components` fails; none of the sound ones.
READERS = {
    "SoundReader": None,
    "RepeatedIds": "test_ids_are_unique",
    "OnePictureTwice": "test_splits_are_known_and_share_no_picture",
    "LabelsFromOne": "test_labels_are_indices_into_unique_class_names",
    "OneNameTwice": "test_labels_are_indices_into_unique_class_names",
    "UnknownSplit": "test_splits_are_known_and_share_no_picture",
    "BoxOutside": "test_every_picture_is_there_and_holds_its_boxes",
    "WrongSize": "test_every_picture_is_there_and_holds_its_boxes",
    "OutOfTheFolder": "test_every_picture_is_there_and_holds_its_boxes",
    "NoSuchPicture": "test_every_picture_is_there_and_holds_its_boxes",
    "ClassesByListing": "test_the_order_in_which_folders_are_listed_does_not_matter",
    "SamplesByListing": "test_the_order_in_which_folders_are_listed_does_not_matter",
}
DETECTORS = {
    "SoundDetector": None,
    "LabelsWithoutClasses": "test_it_gives_boxes_scores_and_labels_of_agreeing_shapes",
    "LabelsBeyond": "test_it_gives_boxes_scores_and_labels_of_agreeing_shapes",
    "ShapesApart": "test_it_gives_boxes_scores_and_labels_of_agreeing_shapes",
    "ScoresBeyond": "test_it_gives_boxes_scores_and_labels_of_agreeing_shapes",
    "NotFinite": "test_it_gives_boxes_scores_and_labels_of_agreeing_shapes",
    "BoxesByBatch": "test_a_picture_gives_the_same_boxes_alone_and_in_a_batch",
    "ScoresByBatch": "test_a_picture_gives_the_same_boxes_alone_and_in_a_batch",
    "ForgetfulDetector": "test_what_is_saved_and_loaded_detects_the_same",
    "PicklingDetector": "test_what_is_saved_and_loaded_detects_the_same",
    "BlindDetector": "test_what_is_saved_and_loaded_detects_the_same",
    "RememberingDetector": "test_fit_gives_what_was_learned_and_leaves_the_recipe_as_it_was",
    "DetectorThatStartsAnew": "test_an_interrupted_training_finds_the_same_boxes",
    "DetectorThatLosesItsWay": "test_an_interrupted_training_finds_the_same_boxes",
}
GENERATORS = {
    "SoundGenerator": None,
    "SeedIgnored": "test_label_and_seed_decide_a_picture_alone_and_in_a_batch",
    "LabelIgnored": "test_label_and_seed_decide_a_picture_alone_and_in_a_batch",
    "PicturesByBatch": "test_label_and_seed_decide_a_picture_alone_and_in_a_batch",
    "BeyondTheRange": "test_it_gives_rgb_pictures_in_the_unit_range",
    "Doubles": "test_it_gives_rgb_pictures_in_the_unit_range",
    "WrongResolution": "test_it_gives_rgb_pictures_in_the_unit_range",
    "AnyLabel": "test_a_label_outside_the_classes_is_refused",
    "RememberingGenerator": "test_fit_gives_what_was_learned_and_leaves_the_recipe_as_it_was",
    "StrangeParents": "test_parents_are_samples_that_it_was_trained_on",
    "PicklingGenerator": "test_what_is_saved_and_loaded_samples_the_same",
    "ForgetfulGenerator": "test_what_is_saved_and_loaded_samples_the_same",
    "UnmeasuredAtFirst": "test_it_is_measured_before_and_after_every_epoch",
    "GeneratorThatStartsAnew": "test_an_interrupted_training_makes_the_same_pictures",
    "GeneratorThatLosesItsWay": "test_an_interrupted_training_makes_the_same_pictures",
}
CLASSIFIERS = {
    "SoundClassifier": None,
    "OtherInput": "test_the_network_maps_the_unit_range_to_one_logit_a_class",
    "OneLogitTooMany": "test_the_network_maps_the_unit_range_to_one_logit_a_class",
    "Probabilities": "test_the_network_maps_the_unit_range_to_one_logit_a_class",
    "LogitsByBatch": "test_a_picture_has_the_same_logits_alone_and_in_a_batch",
    "NoGradients": "test_gradients_reach_the_picture",
    "RemembersItself": "test_it_is_a_recipe_that_fit_and_load_leave_as_it_was",
    "OneNetworkForAll": "test_it_is_a_recipe_that_fit_and_load_leave_as_it_was",
    "ForgetfulClassifier": "test_what_is_saved_and_loaded_gives_the_same_logits",
    "PicklingClassifier": "test_what_is_saved_and_loaded_gives_the_same_logits",
    "ClassifierThatStartsAnew": "test_an_interrupted_training_ends_with_the_same_weights",
    "ClassifierThatLosesItsMomentum": "test_an_interrupted_training_ends_with_the_same_weights",
}
EXPECTED = {**READERS, **DETECTORS, **GENERATORS, **CLASSIFIERS}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_component_fails_where_it_breaks_its_contract(name: str, broken: dict[str, set[str]]) -> None:
    test = EXPECTED[name]
    assert broken[name] == ({test} if test else set())


def test_a_reader_at_random_fails_wherever_it_is_read_twice(broken: dict[str, set[str]]) -> None:
    assert broken["AtRandom"] == {
        "test_reading_twice_gives_the_same",
        "test_the_order_in_which_folders_are_listed_does_not_matter",
    }


def test_a_reader_without_samples_fails_every_test(broken: dict[str, set[str]]) -> None:
    assert broken["NoSamples"] == {
        "test_ids_are_unique",
        "test_labels_are_indices_into_unique_class_names",
        "test_splits_are_known_and_share_no_picture",
        "test_every_picture_is_there_and_holds_its_boxes",
        "test_the_order_in_which_folders_are_listed_does_not_matter",
        "test_reading_twice_gives_the_same",
    }


def test_every_broken_component_is_tried(broken: dict[str, set[str]]) -> None:
    assert set(broken) == {*EXPECTED, "AtRandom", "NoSamples"}
