"""A miniature 100DOH tree in its detector's layout: Pascal VOC annotations of hands, blank pictures, a list."""

from pathlib import Path

from tests.dataset_fixtures.hands import write_picture

THING = """<object><name>{name}</name>
<bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>
<contactstate>3</contactstate><handside>{side}</handside></object>"""


def write_annotation(root: Path, name: str, *things: tuple[str, tuple[int, int, int, int], str]) -> None:
    """Write one picture's annotation; a thing is its kind, its box (1-based pixels) and its side, "0" for left."""
    said = "".join(
        THING.format(name=kind, x0=box[0], y0=box[1], x1=box[2], y1=box[3], side=side) for kind, box, side in things
    )
    (root / "Annotations" / f"{name}.xml").write_text(f"<annotation><filename>{name}.jpg</filename>{said}</annotation>")


def write_hundred_doh(folder: Path) -> Path:
    """Write two pictures, one of two hands and one of a single hand, and return the folder VOC2007."""
    root = folder / "VOC2007"
    for name in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / name).mkdir(parents=True)
    both = ("hand", (11, 21, 101, 121), "1"), ("targetobject", (50, 50, 90, 90), "None"), ("hand", (1, 1, 40, 60), "0")
    write_annotation(root, "diy_1", *both)
    write_annotation(root, "food_2", ("hand", (5, 5, 50, 60), "1"))
    for name in ("diy_1", "food_2"):
        write_picture(root / "JPEGImages" / f"{name}.jpg", 160, 130)
    (root / "ImageSets" / "Main" / "test.txt").write_text("diy_1\nfood_2\n")
    return root
