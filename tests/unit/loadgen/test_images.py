"""Images in memory and their expected labels."""

from pathlib import Path

import pytest

from iraas.client.sources import find_images
from iraas.core.jobs import ImageFile
from iraas.errors import UsageError
from iraas.loadgen.images import load_images, read_labels


def write(folder: Path, names: dict[str, bytes]) -> None:
    for name, data in names.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(data)


def test_images_are_named_without_their_folders_and_know_their_labels(tmp_path: Path) -> None:
    write(tmp_path, {"a/cat.jpg": b"1", "b/dog.jpg": b"22", "b/cow.jpg": b"333"})
    labels = {"cat.jpg": "tabby", "b/dog.jpg": "beagle"}

    loaded = load_images(find_images([str(tmp_path)]), labels)

    assert loaded.is_whole
    assert [(one.name, one.data, one.expected) for one in loaded.images] == [
        ("cat.jpg", b"1", "tabby"),
        ("cow.jpg", b"333", None),
        ("dog.jpg", b"22", "beagle"),
    ]


def test_images_beyond_the_bound_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, {"1.jpg": b"x" * 60, "2.jpg": b"x" * 40, "3.jpg": b"x"})

    loaded = load_images(find_images([str(tmp_path)]), max_total_bytes=100)

    assert [one.name for one in loaded.images] == ["1.jpg", "2.jpg"]
    assert not loaded.is_whole


def test_a_single_image_over_the_bound_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path, {"big.jpg": b"x" * 101})

    with pytest.raises(UsageError, match=r"big.jpg has more than 100 bytes"):
        load_images(find_images([str(tmp_path)]), max_total_bytes=100)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no images found"):
        load_images(find_images([str(tmp_path)]))


def test_a_file_that_is_gone_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.jpg is not a file"):
        load_images([ImageFile("gone.jpg", str(tmp_path / "gone.jpg"))])


def test_names_are_sent_without_what_would_need_quoting(tmp_path: Path) -> None:
    write(tmp_path, {"x.jpg": b"1"})

    loaded = load_images(
        [ImageFile('a/b"\r\nX-Evil: 1\\é.jpg', str(tmp_path / "x.jpg"))],
        {'b"\r\nX-Evil: 1\\é.jpg': "still found"},
    )

    assert loaded.images[0].name == "b___X-Evil: 1_é.jpg"
    assert loaded.images[0].expected == "still found"


def test_labels_are_read_from_the_columns_file_and_label(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(b'\xef\xbb\xbfindex,file,label\n1,a.jpg,"ram, male"\n2,b.jpg, hen \n')

    assert read_labels(path) == {"a.jpg": "ram, male", "b.jpg": "hen"}


@pytest.mark.parametrize("text", ["name,label\na.jpg,cat\n", "file\na.jpg\n", "file,label\n,cat\n"])
def test_labels_without_their_columns_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(text)

    with pytest.raises(UsageError, match="without file or label"):
        read_labels(path)


def test_labels_that_cannot_be_read_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.csv cannot be read"):
        read_labels(tmp_path / "gone.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"binary\.csv cannot be read"):
        read_labels(tmp_path / "binary.csv")
