from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from fgic_data_readers import StanfordDogs
from PIL import Image
from scipy.io import savemat

from fgic_core import Box, DataError, Size
from fgic_core.data.images import cut
from fgic_core.kinds.dataset.driver import run

XML = """<annotation>
  <size><width>{width}</width><height>{height}</height></size>
{objects}
</annotation>"""
OBJECT = """  <object><name>x</name>
    <bndbox><xmin>{0}</xmin><ymin>{1}</ymin>
    <xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>"""
CAIRN, PUG = "n02096177-cairn", "n02110958-black_pug"


def annotation(*boxes, width=40, height=30) -> str:
    return XML.format(width=width, height=height, objects="\n".join(OBJECT.format(*box) for box in boxes))


class Dogs:
    """A tiny data set in the layout of the original archive."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lists = {
            "train": [(f"{CAIRN}/a", 1), (f"{PUG}/b", 2)],
            "test": [(f"{CAIRN}/c", 1), (f"{PUG}/d", 2)],
        }
        self.xml = {name: annotation((4, 5, 13, 24)) for names in self.lists.values() for name, _ in names}

    def write(self) -> StanfordDogs:
        for name, text in self.xml.items():
            for folder in ("Images", "Annotation"):
                (self.root / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / "Annotation" / name).write_text(text)
            Image.new("RGB", (40, 30), "white").save(self.root / "Images" / f"{name}.jpg")
        (self.root / "lists").mkdir(exist_ok=True)
        for split, entries in self.lists.items():
            self.write_list(split, [f"{name}.jpg" for name, _ in entries], [label for _, label in entries])
        return StanfordDogs(root=self.root)

    def write_list(self, split: str, files: list[str], labels: list[float]) -> None:
        cells = [np.array([[f.rsplit(".", 1)[0]] for f in files], dtype=object), np.array([[f] for f in files], object)]
        content = {"file_list": cells[1], "annotation_list": cells[0], "labels": np.array(labels).reshape(-1, 1)}
        savemat(self.root / "lists" / f"{split}_list.mat", content)


@pytest.fixture
def dogs(tmp_path: Path) -> Dogs:
    return Dogs(tmp_path / "dogs")


def test_the_real_subset_has_its_official_counts_and_every_box_fits(real_data, read):
    reader = StanfordDogs(root=real_data("stanford_dogs"))
    samples = read(reader)
    assert Counter(s.split for s in samples) == {"train": 796, "test": 395}
    assert len(reader.classes()) == 20
    assert reader.classes()[0] == "Norfolk terrier"
    assert {s.label for s in samples} == set(range(20))
    assert len({s.id for s in samples}) == 1191
    for sample in samples:
        assert (reader.source() / sample.path).is_file()
        assert sample.size == Size(224, 224)
        assert [box.box.clip(sample.size) for box in sample.boxes] == [box.box for box in sample.boxes]


def test_real_labels_are_the_folders_of_their_pictures(real_data, read):
    reader = StanfordDogs(root=real_data("stanford_dogs"))
    folders = {(s.label, s.path.split("/")[1]) for s in read(reader)}
    names = [folder.partition("-")[2].replace("_", " ") for _, folder in sorted(folders)]
    assert names == list(reader.classes())


def test_classes_without_a_names_file_are_the_picture_folders_in_the_order_of_labels(dogs, read):
    reader = dogs.write()
    assert reader.classes() == ["cairn", "black pug"]
    assert [(s.id, s.label, s.split) for s in read(reader)] == [
        (f"{CAIRN}/a", 0, "train"),
        (f"{PUG}/b", 1, "train"),
        (f"{CAIRN}/c", 0, "test"),
        (f"{PUG}/d", 1, "test"),
    ]


def test_names_that_differ_by_their_wordnet_id_alone_keep_it(dogs):
    dogs.lists["train"][1] = ("n99999999-cairn/b", 2)
    dogs.lists["test"][1] = ("n99999999-cairn/d", 2)
    assert dogs.write().classes() == [CAIRN, "n99999999-cairn"]


def test_class_ids_of_the_names_file_need_not_be_contiguous(dogs, read):
    dogs.lists = {"train": [(f"{CAIRN}/a", 7), (f"{PUG}/b", 3)], "test": [(f"{CAIRN}/c", 7), (f"{PUG}/d", 3)]}
    reader = dogs.write()
    (dogs.root / "lists" / "classes.txt").write_text(f"7 {CAIRN}\n3 {PUG}\n")
    assert reader.classes() == ["black pug", "cairn"]
    assert [s.label for s in read(reader)] == [1, 0, 1, 0]


def test_corners_name_the_first_and_the_last_pixel_of_the_object(dogs, read):
    """A coloured rectangle of known pixels, cut by its box, is that rectangle and nothing else."""
    reader = dogs.write()
    path = dogs.root / "Images" / f"{CAIRN}/a.png"
    image = Image.new("RGB", (40, 30), "white")
    image.paste((200, 0, 0), (4, 5, 14, 25))  # columns 4 to 13, rows 5 to 24
    image.save(path)
    sample = read(reader)[0]
    assert cut(Image.open(path), sample.boxes[0].box).getcolors() == [(10 * 20, (200, 0, 0))]


def test_the_last_pixel_of_the_picture_is_its_border(dogs, read):
    dogs.xml[f"{CAIRN}/a"] = annotation((0, 0, 39, 29), (0, 0, 40, 30))
    sample = read(dogs.write())[0]
    assert [box.box for box in sample.boxes] == [Box(0, 0, 40, 30)] * 2


def test_corners_in_fractions_are_refused(dogs, ctx):
    dogs.xml = {name: annotation((0.1, 0.05, 0.95, 0.9)) for name in dogs.xml}
    with pytest.raises(DataError, match=r"they are fractions of the picture \(0 to 1\)"):
        run(dogs.write(), {}, ctx)


def test_every_object_gives_a_box_of_the_picture_class(dogs, read):
    dogs.xml[f"{PUG}/b"] = annotation((0, 0, 9, 9), (10, 10, 19, 19))
    sample = read(dogs.write())[1]
    assert [(box.box.xyxy, box.label) for box in sample.boxes] == [((0, 0, 10, 10), 1), ((10, 10, 20, 20), 1)]


def test_a_size_with_width_and_height_swapped_is_left_to_the_core_to_read(dogs, read):
    dogs.xml[f"{CAIRN}/a"] = annotation((20, 5, 38, 28), width=30, height=40)
    sample = read(dogs.write())[0]
    assert sample.size is None
    assert sample.boxes[0].box == Box(20, 5, 39, 29)


def test_the_notes_say_that_imagenet_weights_have_seen_the_pictures(dogs):
    assert "ImageNet training pictures" in dogs.write().notes()[0]


def failure(reader, read) -> str:
    with pytest.raises(DataError) as caught:
        read(reader)
    return str(caught.value)


def test_a_folder_without_lists_is_told_the_layout(tmp_path, read):
    text = failure(StanfordDogs(root=tmp_path), read)
    assert "train_list.mat: this list is missing" in text
    assert "Annotation/<class>/<picture>" in text


def test_a_list_that_is_no_matlab_file_is_named(dogs, read):
    reader = dogs.write()
    (dogs.root / "lists" / "test_list.mat").write_bytes(b"MATLAB 5.0 cut short")
    text = failure(reader, read)
    assert "test_list.mat: this is not a MATLAB list" in text


def test_a_list_of_annotations_that_is_shifted_against_the_pictures_is_refused(dogs, read):
    reader = dogs.write()
    names = [np.array([[name] for name in order], object) for order in ((f"{CAIRN}/a", f"{PUG}/b"),) * 2]
    content = {"file_list": names[0] + ".jpg", "annotation_list": names[1][::-1], "labels": np.array([[1.0], [2.0]])}
    savemat(dogs.root / "lists" / "train_list.mat", content)
    text = failure(reader, read)
    assert f"train_list.mat, entry 1: the picture is {CAIRN}/a.jpg, but its annotation {PUG}/b" in text


def test_a_list_without_its_variables_is_named(dogs, read):
    reader = dogs.write()
    savemat(dogs.root / "lists" / "train_list.mat", {"files": np.array([1])})
    assert "the list has no variable file_list" in failure(reader, read)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.lists["test"].clear(), "the test split is empty"),
        (
            lambda d: d.lists["test"].append((f"{CAIRN}/a", 1)),
            "test_list.mat, entry 3: n02096177-cairn/a.jpg is listed",
        ),
        (lambda d: d.lists["test"].append((f"{CAIRN}/e", 2)), "has label 2, but n02096177-cairn/a.jpg has label 1"),
        (lambda d: d.lists["test"].append((f"{CAIRN}/e", 1.5)), "the label should be a whole number and is '1.5'"),
        (
            lambda d: d.xml.update({f"{PUG}/d": annotation((1, 1, 3, 3)).replace(">x<", ">cairn<")}),
            "d:3: this object is a cairn, but the lists give n02110958-black_pug/d.jpg label 2",
        ),
        (lambda d: d.lists["test"].append(("../../etc/passwd", 1)), "leaves the data set's folder"),
        (lambda d: d.xml.update({f"{PUG}/d": "<annotation>\n<object>\n</annotation>"}), "d:3: this is not well-formed"),
        (lambda d: d.xml.update({f"{PUG}/d": annotation(("x", 0, 1, 1))}), "d:4: xmin should be a number and is 'x'"),
        (lambda d: d.xml.update({f"{PUG}/d": annotation(("nan", 0, 1, 1))}), "xmin should be a number and is 'nan'"),
        (lambda d: d.xml.update({f"{PUG}/d": annotation((9, 9, 3, 3))}), "d:4: the box ends before it starts"),
        (lambda d: d.xml.update({f"{PUG}/d": "<a><object><bndbox/></object></a>"}), "d:1: <bndbox> has no <xmin>"),
        (lambda d: d.xml.update({f"{PUG}/d": annotation(width="wide")}), "d:2: width should be a whole number"),
    ],
)
def test_a_contradiction_names_its_place(dogs, read, change, message):
    change(dogs)
    assert message in failure(dogs.write(), read)


def test_a_missing_annotation_is_named(dogs, read):
    reader = dogs.write()
    (dogs.root / "Annotation" / PUG / "d").unlink()
    assert f"{PUG}/d: the annotation is missing" in failure(reader, read)


def test_a_label_beyond_the_names_file_is_refused(dogs, read):
    reader = dogs.write()
    (dogs.root / "lists" / "classes.txt").write_text(f"1 {CAIRN}\n")
    assert "label 2 of n02110958-black_pug/b.jpg is no class of classes.txt" in failure(reader, read)


def test_names_that_are_shifted_against_the_labels_are_refused(dogs, read):
    reader = dogs.write()
    (dogs.root / "lists" / "classes.txt").write_text(f"1 {PUG}\n2 {CAIRN}\n")
    assert "shifted" in failure(reader, read)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_an_annotation_with_a_document_type_is_refused_before_anything_is_expanded(dogs, read, encoding):
    reader = dogs.write()
    laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">\n' for n in range(1, 20))
    bomb = f'<?xml version="1.0" encoding="{encoding}"?>\n<!DOCTYPE a [<!ENTITY a0 "ha">{laughs}]>\n<a>&a19;</a>'
    (dogs.root / "Annotation" / CAIRN / "a").write_bytes(bomb.encode(encoding))
    assert "a:2: this XML declares a document type" in failure(reader, read)
