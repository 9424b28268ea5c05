"""Which directories have to be watched for a file, links included."""

from __future__ import annotations

from quorate.config.sources.watching import FileWatch, directories_of


def test_of_a_plain_file_its_directory(tmp_path):
    (tmp_path / "app.yaml").touch()

    assert directories_of(tmp_path / "app.yaml") == {tmp_path}


def test_of_a_linked_file_the_directories_of_every_link_and_of_the_file(tmp_path):
    mount, old = tmp_path / "mount", tmp_path / "mount" / "..2026_1"
    old.mkdir(parents=True)
    (old / "app.yaml").touch()
    (mount / "..data").symlink_to("..2026_1")
    (mount / "app.yaml").symlink_to("..data/app.yaml")

    assert directories_of(mount / "app.yaml") == {mount, old}


def test_of_a_link_to_a_directory_above_both_places(tmp_path):
    (tmp_path / "real" / "conf").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")

    found = directories_of(tmp_path / "link" / "conf" / "app.yaml")

    assert found == {tmp_path, tmp_path / "real" / "conf"}


def test_of_a_missing_directory_the_nearest_one_there_is(tmp_path):
    assert directories_of(tmp_path / "a" / "b" / "app.yaml") == {tmp_path}


def test_links_in_a_circle_come_to_an_end(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    assert directories_of(tmp_path / "a") == {tmp_path}


def test_nobody_is_listening_after_the_block(tmp_path):
    watch = FileWatch()

    with watch.listening(tmp_path / "a", print), watch.listening(tmp_path / "a", repr):
        assert watch._marks()

    assert not watch._marks()
