"""100DOH in miniature, in its detector's layout: boxes and sides come back, and nothing pretends to know joints."""

from pathlib import Path

import numpy as np
import pytest

from hmpfit.batch import dataset_jobs
from hmpfit.datasets.opening import open_dataset
from hmpfit.errors import InputError
from tests.dataset_fixtures.hands import write_picture

pytestmark = pytest.mark.usefixtures("own_cache")

THING = """<object><name>{name}</name>
<bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>
<contactstate>3</contactstate><handside>{side}</handside></object>"""


def write_annotation(root: Path, name: str, *things: tuple[str, tuple[int, int, int, int], str]) -> None:
    said = "".join(
        THING.format(name=kind, x0=box[0], y0=box[1], x1=box[2], y1=box[3], side=side) for kind, box, side in things
    )
    (root / "Annotations" / f"{name}.xml").write_text(f"<annotation><filename>{name}.jpg</filename>{said}</annotation>")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "VOCdevkit2007_handobj_100K" / "VOC2007"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    both = ("hand", (11, 21, 101, 121), "1"), ("targetobject", (50, 50, 90, 90), "None"), ("hand", (1, 1, 40, 60), "0")
    write_annotation(root, "diy_1", *both)
    write_annotation(root, "food_2", ("hand", (5, 5, 50, 60), "1"))
    write_annotation(root, "food_3", ("targetobject", (5, 5, 50, 60), "None"))
    write_annotation(root, "food_4", ("hand", (5, 5, 50, 60), "1"))
    (root / "Annotations" / "bad_5.xml").write_text("<annotation><object><name>hand</name></object></annotation>")
    (root / "Annotations" / "bad_6.xml").write_text('<!DOCTYPE a [<!ENTITY x "y">]><annotation/>')
    for name in ("diy_1", "food_2", "food_3", "bad_5", "bad_6"):
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


def test_another_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not 100DOH: 'ImageSets/Main/test\.txt' is missing"):
        open_dataset(f"100doh:{tmp_path}")
