from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from fgic_data_readers import Cub200

from fgic_core import DataError, Part

FILES = {
    "images.txt": "1 005.Auklet/a.jpg\n4 002.Laysan_Albatross/b c.jpg\n9 005.Auklet/d.jpg\n",
    "classes.txt": "5 005.Auklet\n2 002.Laysan_Albatross\n",
    "image_class_labels.txt": "1 5\n4 2\n9 5\n",
    "train_test_split.txt": "1 1\n4 0\n9 0\n",
    "bounding_boxes.txt": "1 60.0 27.0 325.0 304.0\n4 1 2 3 4\n9 0 0 10 10\n",
}


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    folder = tmp_path / "CUB_200_2011"
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text)
    return folder


def add_parts(folder: Path, locations: str = "1 1 3.5 4.0 1\n1 2 0.0 0.0 0\n") -> None:
    (folder / "parts").mkdir()
    (folder / "parts" / "parts.txt").write_text("2 left eye\n1 beak\n")
    (folder / "parts" / "part_locs.txt").write_text(locations)


def test_the_real_subset_has_its_official_counts(real_data, read):
    reader = Cub200(root=real_data("CUB_200_2011"))
    samples = read(reader)
    assert Counter(s.split for s in samples) == {"train": 360, "test": 239}
    assert len(reader.classes()) == 20
    assert {s.label for s in samples} == set(range(20))
    assert all((reader.source() / s.path).is_file() for s in samples)
    folders = {(s.label, s.path.split("/")[1]) for s in samples}
    assert [folder[4:].replace("_", " ") for _, folder in sorted(folders)] == list(reader.classes())


def test_labels_are_positions_among_the_sorted_class_ids(birds, read):
    reader = Cub200(root=birds)
    assert reader.classes() == ["Laysan Albatross", "Auklet"]
    samples = read(reader)
    assert [(s.id, s.label, s.split) for s in samples] == [
        ("005.Auklet/a", 1, "train"),
        ("002.Laysan_Albatross/b c", 0, "test"),
        ("005.Auklet/d", 1, "test"),
    ]
    assert samples[0].path == "images/005.Auklet/a.jpg"
    assert samples[0].boxes[0].box.xyxy == (60, 27, 385, 331)


def test_the_folder_that_holds_the_data_set_is_as_good(birds, read):
    assert read(Cub200(root=birds.parent)) == read(Cub200(root=birds))


def test_lines_about_pictures_that_are_not_listed_do_not_matter(birds, read):
    with (birds / "bounding_boxes.txt").open("a") as file:
        file.write("\n77 1 1 5 5\n")
    assert len(read(Cub200(root=birds))) == 3


def test_parts_are_read_with_their_visibility(birds, read):
    add_parts(birds)
    reader = Cub200(root=birds)
    assert reader.part_names() == ["beak", "left eye"]
    samples = read(reader)
    assert samples[0].parts == (Part("beak", 3.5, 4.0, True), Part("left eye", 0.0, 0.0, False))
    assert samples[1].parts == ()


def test_a_data_set_without_parts_names_none(birds):
    assert Cub200(root=birds).part_names() == []


def test_the_notes_warn_of_the_overlap_with_imagenet(birds):
    assert "overlap with ImageNet" in Cub200(root=birds).notes()[0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("images.txt", "1 a.jpg\n\n2 a.jpg\n", "image 1 has no line"),
        ("images.txt", "1 a.jpg\n1 b.jpg\n", "images.txt:2: id 1 is listed twice"),
        ("images.txt", "1 a.jpg\n4 a.jpg\n", "images.txt:2: a.jpg is listed twice"),
        ("images.txt", "1 ../../etc/passwd\n", "images.txt:1: the picture's path '../../etc/passwd' leaves"),
        ("images.txt", "1 /etc/passwd\n", "images.txt:1: the picture's path '/etc/passwd' leaves"),
        ("images.txt", "1 C:\\a.jpg\n", "leaves the data set's folder"),
        ("images.txt", "one a.jpg\n", "images.txt:1: image_id should be a whole number and is 'one'"),
        ("images.txt", "1\n", "images.txt:1: '1' has 1 columns, not 2"),
        ("classes.txt", "5 a\n", "image_class_labels.txt:2: class 2 is not in"),
        ("image_class_labels.txt", "1 5\n4 two\n9 5\n", "image_class_labels.txt:2: class_id should be a whole number"),
        ("image_class_labels.txt", "1 5\n9 5\n", "images.txt:2: image 4 has no line in"),
        ("train_test_split.txt", "1 1\n4 2\n9 0\n", "train_test_split.txt:2: is_training_image should be 0 or 1"),
        ("train_test_split.txt", "1 1\n4 1\n9 1\n", "no picture is in the test split"),
        ("train_test_split.txt", "1 0\n4 0\n9 0\n", "no picture is in the train split"),
        (
            "bounding_boxes.txt",
            "1 1 1 5 5\n4 1 x 1 1\n9 1 1 1 1\n",
            "bounding_boxes.txt:2: y should be a number and is 'x'",
        ),
        ("bounding_boxes.txt", "1 1 1 0 5\n4 1 1 1 1\n9 1 1 1 1\n", "bounding_boxes.txt:1: the box is empty: 0 x 5"),
        ("bounding_boxes.txt", "1 1 1 5 5\n4 1 1 inf 1\n", "width should be a number and is 'inf'"),
    ],
)
def test_a_contradiction_names_file_and_line(birds, read, name, text, message):
    (birds / name).write_text(text)
    if "has no line" in message and name == "images.txt":
        (birds / "bounding_boxes.txt").write_text("")
    with pytest.raises(DataError) as caught:
        read(Cub200(root=birds))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "1 5\n4 5\n9 5\n",
            "txt:2: 002.Laysan_Albatross/b c.jpg has class 5 (005.Auklet), but its folder is class 2",
        ),
        ("1 2\n4 5\n9 2\n", "image_class_labels.txt:1: 005.Auklet/a.jpg has class 2"),
    ],
)
def test_a_picture_in_the_folder_of_another_class_is_refused(birds, read, text, message):
    (birds / "image_class_labels.txt").write_text(text)
    with pytest.raises(DataError) as caught:
        read(Cub200(root=birds))
    assert message in str(caught.value)
    assert "move the picture to the folder of its class" in str(caught.value)


def placed(birds: Path, *paths: str) -> Cub200:
    """The pictures of classes 5, 2 and 5 at these paths."""
    lines = [f"{number} {path}\n" for number, path in zip((1, 4, 9), paths, strict=True)]
    (birds / "images.txt").write_text("".join(lines))
    return Cub200(root=birds)


@pytest.mark.parametrize(
    "folders",
    [
        ("pics", "pics", "pics"),
        ("005.Auklet/train", "002.Laysan_Albatross/test", "005.Auklet/test"),
        ("train/005.Auklet", "002.laysan albatross", "auklet"),
        ("005", "002", "005"),
        ("017.Auklet", "133.Laysan_Albatross", "017.Auklet"),  # of a larger data set, renumbered
        ("one", "two", "six"),
        ("2011", "2011", "2012"),
    ],
)
def test_folders_that_say_no_other_class_are_read(birds, read, folders):
    samples = read(placed(birds, *(f"{folder}/{name}.jpg" for folder, name in zip(folders, "abc", strict=True))))
    assert [sample.label for sample in samples] == [1, 0, 1]


@pytest.mark.parametrize("folder", ["002.laysan_albatross", "Laysan Albatross", "002", "002.Other", "002/train"])
def test_a_folder_says_another_class_by_its_name_or_its_number(birds, read, folder):
    with pytest.raises(DataError, match=rf"{folder}/a.jpg has class 5 \(005.Auklet\), but its folder is class 2"):
        read(placed(birds, f"{folder}/a.jpg", "b.jpg", "c.jpg"))


def test_where_folders_hold_one_class_each_none_holds_two(birds, read):
    names = {1: "x/1.jpg", 2: "x/2.jpg", 3: "y/3.jpg", 4: "z/4.jpg", 5: "x/5.jpg"}
    (birds / "images.txt").write_text("".join(f"{number} {name}\n" for number, name in names.items()))
    (birds / "classes.txt").write_text("1 ant\n2 bee\n3 cow\n")
    (birds / "image_class_labels.txt").write_text("1 1\n2 1\n3 2\n4 3\n5 2\n")
    (birds / "train_test_split.txt").write_text("".join(f"{number} {number % 2}\n" for number in names))
    (birds / "bounding_boxes.txt").write_text("".join(f"{number} 1 1 3 3\n" for number in names))
    with pytest.raises(DataError, match=r"x/5\.jpg has class 2, but x/1\.jpg has class 1"):
        read(Cub200(root=birds))


def test_pictures_without_folders_say_no_class(birds, read):
    (birds / "images.txt").write_text("1 a.jpg\n4 b.jpg\n9 c.jpg\n")
    assert [sample.label for sample in read(Cub200(root=birds))] == [1, 0, 1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 3 0 0 1", "part_locs.txt:1: part 3 is not in"),
        ("1 1 0 0 yes", "visible should be 0 or 1"),
        ("1 1 0 0 1\n1 1 0 0 1", "part_locs.txt:2: part 1 of image 1 is listed twice"),
    ],
)
def test_a_wrong_part_names_file_and_line(birds, read, line, message):
    add_parts(birds, line + "\n")
    with pytest.raises(DataError) as caught:
        read(Cub200(root=birds))
    assert message in str(caught.value)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file_is_named_with_the_layout(birds, read, name):
    (birds / name).unlink()
    with pytest.raises(DataError) as caught:
        read(Cub200(root=birds))
    assert name in str(caught.value)
    assert "should hold images/" in str(caught.value)
