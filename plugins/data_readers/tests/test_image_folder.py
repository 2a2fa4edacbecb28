from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from fgic_data_readers import ImageFolder
from PIL import Image
from pydantic import ValidationError

from fgic_core import DataError, Dataset
from fgic_core.data import formats
from fgic_core.kinds.dataset.driver import run


@pytest.fixture
def folder(tmp_path: Path, picture) -> Path:
    root = tmp_path / "pictures"
    for split in ("train", "test"):
        for name in ("owl", "crow", "Albatross"):
            for number in range(3):
                picture(root / split / name / f"{number}.jpg")
    return root


@pytest.fixture
def flat(tmp_path: Path, picture) -> Path:
    root = tmp_path / "flat"
    for name, count in (("owl", 60), ("crow", 40), ("rare", 2)):
        for number in range(count):
            (root / name).mkdir(parents=True, exist_ok=True)
            (root / name / f"{number}.jpg").touch()
    return root


def table(samples) -> dict[str, tuple[int, str]]:
    return {s.path: (s.label, s.split) for s in samples}


def test_split_folders_hold_class_folders(folder, read):
    reader = ImageFolder(root=folder)
    assert reader.classes() == ["Albatross", "crow", "owl"]
    samples = read(reader)
    assert Counter((s.split, s.label) for s in samples) == {(s, n): 3 for s in ("train", "test") for n in range(3)}
    assert table(samples)["test/owl/0.jpg"] == (2, "test")


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_the_validation_folder_has_several_names(folder, read, picture, name):
    picture(folder / name / "crow" / "9.jpg")
    assert table(read(ImageFolder(root=folder)))[f"{name}/crow/9.jpg"] == (1, "val")


def test_the_order_in_which_folders_are_listed_does_not_matter(folder, read, shuffled_listing):
    before = read(ImageFolder(root=folder))
    shuffled_listing()
    reader = ImageFolder(root=folder)
    assert read(reader) == before
    assert reader.classes() == ["Albatross", "crow", "owl"]


def test_a_class_of_one_split_alone_stands_where_its_name_does(folder, read, picture):
    picture(folder / "train" / "bunting" / "0.jpg")
    assert ImageFolder(root=folder).classes() == ["Albatross", "bunting", "crow", "owl"]
    assert table(read(ImageFolder(root=folder)))["test/owl/0.jpg"] == (3, "test")


def test_class_names_give_the_order(folder, read):
    reader = ImageFolder(root=folder, class_names=["owl", "Albatross", "crow"])
    assert reader.classes() == ["owl", "Albatross", "crow"]
    assert table(read(reader))["train/crow/0.jpg"] == (2, "train")


def test_hidden_files_and_other_files_are_passed_over_and_suffixes_count_in_any_case(folder, read, picture):
    picture(folder / "train" / "owl" / "sub" / "deep" / "X.PNG")
    for name in (".hidden.jpg", "._0.jpg", "notes.txt", "Thumbs.db"):
        (folder / "train" / "owl" / name).touch()
    (folder / "train" / ".cache").mkdir()
    names = {s.path for s in read(ImageFolder(root=folder)) if s.path.startswith("train/owl")}
    assert names == {"train/owl/0.jpg", "train/owl/1.jpg", "train/owl/2.jpg", "train/owl/sub/deep/X.PNG"}


def test_files_that_may_be_pictures_are_counted_named_and_explained(folder, ctx, picture):
    for name in ("5.jfif", "6.JPE"):
        picture(folder / "train" / "owl" / "9.jpg").rename(folder / "train" / "owl" / name)
    for name in ("a.CR2", "b.cr2", "clip.mp4", "notes.txt", "Thumbs.db"):
        (folder / "train" / "crow" / name).write_bytes(b"x")
    run(ImageFolder(root=folder), {}, ctx)
    dataset = Dataset.open(ctx.folder)
    assert {"train/owl/5.jfif", "train/owl/6.JPE"} <= set(dataset.ids)
    assert [path for path, _ in dataset.header.skipped] == [f"train/crow/{n}" for n in ("a.CR2", "b.cr2", "clip.mp4")]
    said = next(warning for warning in ctx.warnings if "left out" in warning)
    assert said.startswith("3 files that may be pictures were left out: 2 .cr2 (train/crow/a.CR2, train/crow/b.cr2): a")
    assert "1 .mp4 (train/crow/clip.mp4): no picture that can be read: convert it" in said
    assert next(metric.value for metric in ctx.metrics if metric.name == "skipped") == 3


@pytest.mark.parametrize("verify", ["full", "header", "none"])
def test_heif_pictures_are_read_or_it_is_said_what_to_install(folder, ctx, monkeypatch, verify):
    pillow_heif = pytest.importorskip("pillow_heif", reason="HEIF pictures need pillow-heif: pip install 'fgic[heif]'")
    pillow_heif.from_pillow(Image.new("RGB", (32, 32), "red")).save(folder / "train" / "owl" / "7.HEIC")
    monkeypatch.setattr(formats, "has_heif", lambda: False)
    run(ImageFolder(root=folder, verify=verify), {}, ctx)
    dataset = Dataset.open(ctx.folder)
    assert "train/owl/7.HEIC" not in dataset.ids
    assert dataset.header.skipped == (("train/owl/7.HEIC", formats.HEIF_NEEDED),)
    said = '1 .heic (train/owl/7.HEIC): HEIF, which needs pillow-heif: pip install "fgic[heif]"'
    assert any(said in warning for warning in ctx.warnings)
    monkeypatch.undo()
    assert "train/owl/7.HEIC" in [sample.id for sample in ImageFolder(root=folder).samples(ctx)]


@pytest.mark.parametrize("place", ["train/owl/loop.png", "train/loop.png", "loop.png"])
def test_a_link_to_itself_is_one_message(folder, read, place):
    (folder / place).symlink_to(Path(place).name)
    with pytest.raises(DataError, match="this link leads nowhere") as caught:
        read(ImageFolder(root=folder))
    assert str(folder / place) in str(caught.value)


def test_a_link_to_nothing_is_a_picture_that_is_missing_and_not_one_that_never_was(folder, read):
    (folder / "train" / "owl" / "gone.png").symlink_to("nowhere.png")
    assert "train/owl/gone.png" in [sample.path for sample in read(ImageFolder(root=folder))]


def test_two_pictures_that_differ_by_suffix_have_different_ids(folder, read, picture):
    picture(folder / "train" / "owl" / "0.png")
    samples = read(ImageFolder(root=folder))
    assert len({s.id for s in samples}) == len(samples)


def test_test_fraction_cuts_that_share_of_each_class(flat, read):
    counts = Counter((s.label, s.split) for s in read(ImageFolder(root=flat, test_fraction=0.3)))
    assert 10 <= counts[1, "test"] <= 26  # 18 wanted of 60
    assert 5 <= counts[0, "test"] <= 19  # 12 wanted of 40
    assert (counts[2, "train"], counts[2, "test"]) == (1, 1)


def test_adding_pictures_moves_no_other_between_the_splits(flat, read):
    before = table(read(ImageFolder(root=flat, test_fraction=0.3)))
    for number in range(200, 260):
        (flat / "crow" / f"{number}.jpg").touch()
    (flat / "wren").mkdir()
    (flat / "wren" / "0.jpg").touch()
    after = table(read(ImageFolder(root=flat, test_fraction=0.3)))
    assert {path: split for path, (_, split) in before.items()} == {path: after[path][1] for path in before}


def test_test_fraction_does_not_depend_on_the_listing(flat, read, shuffled_listing):
    before = read(ImageFolder(root=flat, test_fraction=0.3))
    shuffled_listing()
    assert read(ImageFolder(root=flat, test_fraction=0.3)) == before


def test_test_fraction_cuts_the_train_folder_where_there_is_no_test_folder(folder, read):
    (folder / "test").rename(folder / "val")
    splits = Counter(s.split for s in read(ImageFolder(root=folder, test_fraction=0.4)))
    assert splits["val"] == 9
    assert splits["train"] + splits["test"] == 9
    assert splits["test"] >= 3


def test_an_empty_class_is_reported(folder, ctx, picture):
    (folder / "train" / "wren").mkdir()
    run(ImageFolder(root=folder, verify="header"), {}, ctx)
    assert any("wren" in warning and "no train sample" in warning for warning in ctx.warnings)


def test_folders_and_pictures_outside_the_layout_are_reported(folder, ctx, read, picture):
    picture(folder / "train" / "loose.jpg")
    picture(folder / "extra" / "owl" / "0.jpg")
    assert len(read(ImageFolder(root=folder))) == 18
    assert any("extra" in warning for warning in ctx.warnings)
    assert any("1 pictures lie in train/ itself" in warning for warning in ctx.warnings)


def failure(reader: ImageFolder, read) -> str:
    with pytest.raises(DataError) as caught:
        read(reader)
    return str(caught.value)


def test_class_folders_without_a_fraction_are_told_the_layout(flat, read):
    text = failure(ImageFolder(root=flat), read)
    assert "no split folders and no test_fraction" in text
    assert "train/<class>/" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "train").rename(root / "training"), "there is test/ but no train/"),
        (lambda root: (root / "test").rename(root / "val"), "there is no test folder"),
        (lambda root: [(root / name).mkdir() for name in ("val", "valid")], "are both the val split"),
        (lambda root: [p.unlink() for p in root.glob("test/*/*")], "no picture is in the test split"),
    ],
)
def test_a_layout_with_a_split_missing_is_refused(folder, read, change, message):
    change(folder)
    assert message in failure(ImageFolder(root=folder), read)


def test_a_test_folder_and_a_fraction_contradict_each_other(folder, read):
    assert "and test_fraction too" in failure(ImageFolder(root=folder, test_fraction=0.2), read)


def test_an_empty_folder_is_told_the_layout(tmp_path, read):
    (tmp_path / "empty").mkdir()
    assert "there are no class folders" in failure(ImageFolder(root=tmp_path / "empty", test_fraction=0.2), read)


def test_class_names_that_do_not_match_the_folders_are_refused(folder, read):
    text = failure(ImageFolder(root=folder, class_names=["owl", "crow", "Albatros"]), read)
    assert "'Albatros', but no folder" in text
    assert "There is Albatross" in text
    assert "'owl' is not in class_names" in failure(ImageFolder(root=folder, class_names=["crow", "Albatross"]), read)


@pytest.mark.parametrize("is_folder", [True, False])
def test_a_link_out_of_the_folder_is_refused(folder, read, picture, tmp_path, is_folder):
    target = picture(tmp_path / "elsewhere" / "secret.jpg")
    (folder / "train" / "owl" / "link.jpg").symlink_to(target.parent if is_folder else target)
    assert "leads out of the data set's folder" in failure(ImageFolder(root=folder), read)


@pytest.mark.parametrize(
    "options", [{"test_fraction": 0}, {"test_fraction": 1}, {"class_names": []}, {"class_names": ["a", "a"]}, {"x": 1}]
)
def test_illegal_options_are_refused(folder, options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        ImageFolder(root=folder, **options)
