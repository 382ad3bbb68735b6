"""100DOH in miniature, in its detector's layout: boxes and sides come back, and nothing pretends to know joints."""

from pathlib import Path

import numpy as np
import pytest

from hmpfit.batch import dataset_jobs
from hmpfit.datasets.opening import open_dataset
from hmpfit.errors import InputError
from tests.dataset_fixtures.hands import write_picture
from tests.dataset_fixtures.hundred_doh import write_annotation, write_hundred_doh

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = write_hundred_doh(tmp_path / "VOCdevkit2007_handobj_100K")
    write_annotation(root, "food_3", ("targetobject", (5, 5, 50, 60), "None"))
    write_annotation(root, "food_4", ("hand", (5, 5, 50, 60), "1"))
    (root / "Annotations" / "bad_5.xml").write_text("<annotation><object><name>hand</name></object></annotation>")
    (root / "Annotations" / "bad_6.xml").write_text('<!DOCTYPE a [<!ENTITY x "y">]><annotation/>')
    for name in ("food_3", "bad_5", "bad_6"):
        write_picture(root / "JPEGImages" / f"{name}.jpg", 160, 130)
    (root / "ImageSets" / "Main" / "test.txt").write_text("diy_1\nfood_2\nfood_3\nfood_4\nbad_5\nbad_6\nnone_7\n")
    return root.parent


def test_pictures_have_boxes_and_sides_and_no_joints(tree: Path, tmp_path: Path) -> None:
    dataset = open_dataset(f"100doh:{tree}")
    assert dataset.split == "test" and [one.name for one in dataset.sequences] == ["diy_1", "food_2"]
    first = dataset.sequences[0]
    assert first.sides == (True, False) and len(first.images) == 1
    np.testing.assert_array_equal(first.boxes_px[:, 0], [[10, 20, 100, 120], [0, 0, 39, 59]])
    assert first.image(0).shape == (130, 160, 3)
    with pytest.raises(InputError, match="no joints to compare 'diy_1' with"):
        first.truth()
    with pytest.raises(InputError, match="camera of 'diy_1' is not known"):
        _ = first.camera
    assert [(Path(path).name) for path, _ in dataset.broken] == [
        "food_3.jpg",
        "food_4.jpg",
        "bad_5.xml",
        "bad_6.xml",
        "none_7.xml",
    ]
    jobs = dataset_jobs(dataset, tmp_path / "out")
    assert [job.hands for job in jobs] == ["both", "right"] and all(job.intrinsics is None for job in jobs)


@pytest.mark.parametrize("encoding", ("utf-16", "utf-8-sig"))
def test_entities_are_refused_in_every_encoding(tree: Path, encoding: str) -> None:
    said = '<!DOCTYPE a [<!ENTITY x "1">]><annotation><object><name>hand</name></object></annotation>'
    (tree / "VOC2007" / "Annotations" / "food_2.xml").write_text(said, encoding=encoding)
    dataset = open_dataset(f"100doh:{tree}")
    why = {Path(path).name: reason for path, reason in dataset.broken}["food_2.xml"]
    assert ("declares entities" if encoding == "utf-8-sig" else "not UTF-8") in why


def test_another_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not 100DOH: 'ImageSets/Main/test\.txt' is missing"):
        open_dataset(f"100doh:{tmp_path}")
