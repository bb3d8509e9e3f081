"""Finding the images that a person names."""

import io
import os
import shutil
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from iraas.client.sender import read_file
from iraas.client.sources import find_images
from iraas.core.jobs import ImageFile
from iraas.errors import BrokenImageError, NotAnImageError, UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in (
        "b.jpg", "a.PNG", "notes.txt", "README", ".hidden.jpg", "jpg",
        "sub/z.webp", "sub/deep/y.gif", ".git/x.jpg", "2023/c.jpeg", "empty/readme.md",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*paths: str, lists: list[io.StringIO] | None = None) -> list[str]:
    return [one.name for one in find_images(paths, lists or [])]


def test_a_folder_gives_the_images_in_it_and_below_in_the_order_of_their_names(
    folder: Path,
) -> None:
    assert names(str(folder)) == ["a.PNG", "b.jpg", "2023/c.jpeg", "sub/z.webp", "sub/deep/y.gif"]


def test_every_image_knows_where_it_is(folder: Path) -> None:
    for path in (str(folder), "sub", "b.jpg", "*.jpg"):
        for one in find_images([path]):
            assert Path(one.path).is_absolute()
            assert Path(one.path).is_file()


def test_a_file_is_taken_whatever_it_is_called(folder: Path) -> None:
    assert names("notes.txt", ".hidden.jpg") == ["notes.txt", ".hidden.jpg"]


def test_a_hidden_folder_is_searched_when_it_is_named(folder: Path) -> None:
    assert names(".git") == ["x.jpg"]


def test_a_folder_without_images_gives_none(folder: Path) -> None:
    assert names("empty") == []


def test_paths_come_in_the_order_in_which_they_were_typed(folder: Path) -> None:
    assert names("sub", "b.jpg", "./2023/") == [
        "sub/z.webp",
        "sub/deep/y.gif",
        "b.jpg",
        "./2023/c.jpeg",
    ]


def test_images_of_two_folders_have_different_names(folder: Path) -> None:
    (folder / "2023" / "z.webp").touch()
    for typed in (["sub", "2023"], ["[s2]*[b3]"], [f"{folder}/sub", f"{folder}/2023"]):
        found = names(*typed)
        assert len(set(found)) == len(found) == 4


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.jpg", {"b.jpg"}),
        ("?.*", {"b.jpg", "a.PNG"}),
        ("[ab].*", {"b.jpg", "a.PNG"}),
        ("**/*.gif", {"sub/deep/y.gif"}),
        ("su?", {"sub/z.webp", "sub/deep/y.gif"}),
        ("*/*.webp", {"sub/z.webp"}),
        ("notes.*", {"notes.txt"}),
    ],
)
def test_a_pattern_gives_what_it_matches(folder: Path, pattern: str, found: set[str]) -> None:
    assert set(names(pattern)) == found


def test_an_absolute_pattern_works_too(folder: Path) -> None:
    assert names(f"{folder}/*.jpg") == [f"{folder}/b.jpg"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder: Path) -> None:
    (folder / "a[b].jpg").touch()
    assert names("a[b].jpg") == ["a[b].jpg"]


@pytest.mark.parametrize("path", ["nowhere.jpg", "nowhere/", "nowhere/*.jpg", "[", "\x00", ""])
def test_a_missing_path_is_a_usage_error(folder: Path, path: str) -> None:
    with pytest.raises(UsageError) as caught:
        names(path)
    assert caught.value.remedy


def test_the_error_names_what_was_not_found(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.jpg does not exist"):
        names("nowhere.jpg")
    with pytest.raises(UsageError, match=r"\*\.tif matches nothing"):
        names("*.tif")


def test_a_list_has_a_path_on_each_line(folder: Path) -> None:
    lines = io.StringIO("b.jpg\n\nsub\r\nnotes.txt")
    assert names(lists=[lines]) == ["b.jpg", "sub/z.webp", "sub/deep/y.gif", "notes.txt"]


def test_a_missing_listed_file_does_not_refuse_the_rest(folder: Path) -> None:
    lines = io.StringIO("gone.jpg\nb.jpg\n*.jpg\n")
    assert names(lists=[lines]) == ["gone.jpg", "b.jpg", "*.jpg"]


def test_a_listed_path_that_no_file_can_have_is_kept_for_its_failure(folder: Path) -> None:
    lines = io.StringIO("a\x00b.jpg\n" + "x" * 5000 + "\n")
    assert [len(name) for name in names(lists=[lines])] == [7, 4096]


def test_a_link_to_a_file_is_followed_and_one_to_a_folder_is_not(folder: Path) -> None:
    (folder / "link.jpg").symlink_to(folder / "b.jpg")
    (folder / "sub" / "loop").symlink_to(folder)
    (folder / "elsewhere").symlink_to("/usr")
    found = names(".")
    assert "link.jpg" in found
    assert len(found) == 6


def test_a_link_to_a_folder_is_followed_when_it_is_named(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "sub")
    assert names("link") == ["z.webp", "deep/y.gif"]


def test_a_pattern_with_two_stars_ends_in_spite_of_a_loop(folder: Path) -> None:
    (folder / "sub" / "loop").symlink_to(folder / "sub")
    assert "sub/deep/y.gif" in names("**/*.gif")


def test_an_undecodable_name_can_be_printed_and_its_path_still_opens(folder: Path) -> None:
    raw = os.fsencode(folder) + b"/sub/caf\xe9.jpg"
    Path(os.fsdecode(raw)).write_bytes(b"here")
    (image,) = [one for one in find_images(["sub"]) if "caf" in one.name]
    assert image.name == "caf\ufffd.jpg"
    assert Path(image.path).read_bytes() == b"here"


def test_names_may_hold_anything_else(folder: Path) -> None:
    odd = ["new\nline.jpg", "\x1b[31mred.jpg", "[bold].jpg", "-rf.jpg", "猫 🐈.jpg", "$(id).jpg"]
    for name in odd:
        (folder / "sub" / name).touch()
    assert set(odd) < set(names("sub"))


def test_an_endless_list_is_a_stream(folder: Path) -> None:
    def lines() -> Iterator[str]:
        while True:
            yield "b.jpg\n"

    images = find_images([], [lines()])  # type: ignore[list-item]
    assert list(islice(images, 3)) == [ImageFile("b.jpg", str(folder / "b.jpg"))] * 3


def test_a_folder_that_vanishes_is_reported_and_the_others_are_searched(folder: Path) -> None:
    images = find_images(["."])
    assert next(images).name == "a.PNG"
    shutil.rmtree("2023")
    found = [one.name for one in images]
    assert found == ["b.jpg", "sub/z.webp", "sub/deep/y.gif", "2023"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_files_become_failures(folder: Path) -> None:
    (folder / "sub").chmod(0)
    try:
        assert "sub" in names(str(folder))
        assert names("sub/z.webp") == ["sub/z.webp"]
    finally:
        (folder / "sub").chmod(0o700)


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private folder of the user that must not be sent."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "private.jpg").write_bytes(b"private")
    return folder


def test_a_link_out_of_a_folder_is_skipped_and_named(folder: Path, outside: Path) -> None:
    (folder / "sub" / "link.jpg").symlink_to(outside / "private.jpg")
    (folder / "sub" / "more").symlink_to(outside)
    (folder / "sub" / "climbs.jpg").symlink_to("../../../../../../../../etc/hostname")
    (folder / "sub" / "inside.jpg").symlink_to("deep/y.gif")
    skipped: list[str] = []
    found = [one.name for one in find_images(["sub"], on_skipped=skipped.append)]
    assert found == ["inside.jpg", "z.webp", "deep/y.gif"]
    assert sorted(skipped) == ["climbs.jpg", "link.jpg", "more"]


@pytest.mark.parametrize("pattern", ["sub/**/*.jpg", "sub/*", "s*/*.jpg", "sub/more/*"])
def test_a_pattern_matches_nothing_outside_of_the_folder_that_it_names(
    folder: Path, outside: Path, pattern: str
) -> None:
    (folder / "sub" / "link.jpg").symlink_to(outside / "private.jpg")
    (folder / "sub" / "more").symlink_to(outside)
    skipped: list[str] = []
    found = [one.name for one in find_images([pattern], on_skipped=skipped.append)]
    is_named = pattern == "sub/more/*"
    assert ("sub/more/private.jpg" in found) == is_named
    assert "sub/link.jpg" not in found
    assert bool(skipped) != is_named
    followed = [one.name for one in find_images([pattern], follow_links=True)]
    assert any("private" in name or "link" in name for name in followed)


def test_a_folder_beside_with_the_same_beginning_is_outside(folder: Path) -> None:
    (folder / "sub-2").mkdir()
    (folder / "sub-2" / "private.jpg").touch()
    (folder / "sub" / "link.jpg").symlink_to(folder / "sub-2" / "private.jpg")
    assert "link.jpg" not in names("sub")


def test_a_link_out_of_a_folder_is_followed_if_that_was_asked_for(
    folder: Path, outside: Path
) -> None:
    (folder / "sub" / "link.jpg").symlink_to(outside / "private.jpg")
    (found,) = [one for one in find_images(["sub"], follow_links=True) if "link" in one.name]
    assert read_file(found.path, 100, folder=found.folder) == b"private"


def test_a_link_that_was_named_is_followed(folder: Path, outside: Path) -> None:
    (folder / "sub" / "link.jpg").symlink_to(outside / "private.jpg")
    (folder / "way").symlink_to(outside)
    for named in ("sub/link.jpg", "way"):
        (found,) = find_images([named])
        assert read_file(found.path, 100, folder=found.folder) == b"private"


@pytest.mark.parametrize("swapped", ["file", "folder"])
def test_a_file_replaced_by_a_link_is_not_read(folder: Path, outside: Path, swapped: str) -> None:
    (folder / "sub" / "deep" / "private.jpg").write_bytes(b"honest")
    (found,) = [one for one in find_images(["sub"]) if "private" in one.name]
    assert read_file(found.path, 100, folder=found.folder) == b"honest"
    if swapped == "file":
        Path(found.path).unlink()
        Path(found.path).symlink_to(outside / "private.jpg")
    else:
        shutil.rmtree(folder / "sub" / "deep")
        (folder / "sub" / "deep").symlink_to(outside)
    with pytest.raises(BrokenImageError, match="a link leads out of its folder"):
        read_file(found.path, 100, folder=found.folder)


def test_a_folder_below_a_link_is_read_as_before(folder: Path) -> None:
    (folder / "way").symlink_to(folder / "sub")
    for one in find_images(["way"]):
        assert read_file(one.path, 100, folder=one.folder) == b""


@pytest.mark.parametrize("kind", ["pipe", "link to a device"])
def test_an_endless_or_silent_file_is_a_failure_and_blocks_nothing(folder: Path, kind: str) -> None:
    path = folder / "empty" / "x.jpg"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    (found,) = find_images(["empty"], follow_links=True)
    with pytest.raises(NotAnImageError, match="it is not a regular file"):
        read_file(found.path, 100, folder=found.folder)
