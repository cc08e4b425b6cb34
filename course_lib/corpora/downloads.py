"""Where the files of a corpus are: in a folder of yours, or downloaded once into the course's cache."""

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from course_lib.errors import CourseError

TIMEOUT = (5, 20)  # seconds to connect, and between two pieces of a download
AGENT = "Mozilla/5.0 (transformer-workshop)"  # some hosts turn away a client without a browser name


def local_folder(data_dir: str | Path | None) -> Path | None:
    """The folder with corpora already downloaded: `data_dir`, else the environment's COURSE_DATA, else None.

    Raises CourseError where the folder named does not exist.
    """
    for named, by in ((data_dir, "--data-dir"), (os.environ.get("COURSE_DATA"), "COURSE_DATA")):
        if named:
            folder = Path(named).expanduser()
            if not folder.is_dir():
                raise CourseError(f"the data folder {folder} ({by}) does not exist: name another, or none")
            return folder
    return None


def cache_folder() -> Path:
    """Where downloads are kept: `data` in COURSE_HOME, else in ~/.transformer-workshop."""
    return Path(os.environ.get("COURSE_HOME") or "~/.transformer-workshop").expanduser() / "data"


def local_file(folder: Path, corpus: str, names: Sequence[str]) -> Path:
    """The first of `names` that exists in `folder/corpus`; CourseError says what is missing and where it belongs."""
    for name in names:
        if (folder / corpus / name).is_file():
            return folder / corpus / name
    raise CourseError(
        f"missing {' or '.join(names)} in {folder / corpus}: put it there, or name no data folder to download it"
    )


def check_sha256(path: Path, expected: str) -> None:
    """Raise CourseError where the file is not the one with this checksum."""
    try:
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CourseError(f"cannot read {path}: {error.strerror}") from error
    if actual != expected:
        raise CourseError(f"{path} is damaged: its SHA-256 is {actual}, expected {expected}; copy or download it again")


def download(
    corpus: str,
    name: str,
    urls: Sequence[str],
    check: Callable[[Path], object],
    sha256: str | None = None,
) -> Path:
    """The file `name` in the cache, downloaded from the first of `urls` that serves it, with a progress bar.

    Kept only if `check(path)` raises no CourseError, and if it has the checksum where one is known. Raises CourseError
    that says what each address answered, and what to do without a network.
    """
    path = cache_folder() / corpus / name
    if path.is_file():
        try:
            check(path)
            return path
        except CourseError:
            path.unlink()
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    failures = []
    for url in urls:
        downloader = pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT, headers={"User-Agent": AGENT})
        try:
            pooch.retrieve(url, sha256, fname=name, path=path.parent, downloader=downloader)
            check(path)
            return path
        except CourseError:
            path.unlink()
            failures.append((url, "not the file expected"))
        except requests.RequestException as error:
            failures.append((url, _reason(error)))
        except ValueError:  # how pooch says that the checksum is wrong
            failures.append((url, "wrong checksum"))
        except OSError as error:
            raise CourseError(
                f"cannot keep downloads in {path.parent} ({error.strerror or error}): set COURSE_HOME to another folder"
            ) from error
    reasons = ", ".join(f"{urlsplit(url).netloc}: {reason}" for url, reason in failures)
    raise CourseError(
        f"cannot download {name} of the corpus {corpus} ({reasons}): connect to the network and repeat, or put its "
        f"files in a folder DIR/{corpus} and give --data-dir DIR or COURSE_DATA; --corpus grammar needs no download"
    )


def _reason(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP status {response.status_code}"
    import requests

    return "no answer in time" if isinstance(error, requests.Timeout) else "no connection"
