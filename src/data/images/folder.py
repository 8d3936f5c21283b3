"""Where a dataset's images lie: a folder that no path may leave, or an address that fsspec opens."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from src.config.datasets import DatasetConfig
from src.data.images.decode import RefusedImageError
from src.errors import ConfigError, DataError
from src.runs import content_hash


def open_images(cfg: DatasetConfig) -> "LocalImages | RemoteImages":
    """The images of ``dataset.images_dir``; raises ``ConfigError`` or ``DataError`` where it cannot be opened."""
    images_dir = str(cfg.images_dir)
    if "://" in images_dir:
        return RemoteImages(images_dir)
    if not Path(images_dir).is_dir():
        set_it = "set dataset.images_dir (null: no images)."
        raise DataError(f"{images_dir} should be the folder of the images, but is none; {set_it} {cfg.obtain}".rstrip())
    return LocalImages(Path(images_dir))


@dataclass(frozen=True)
class LocalImages:
    """A folder."""

    folder: Path

    def read(self, image_path: str) -> bytes:
        """A file's content; raises ``RefusedImageError`` where the path leaves the folder or leads nowhere."""
        try:
            return self.resolve(image_path).read_bytes()
        except OSError as error:
            raise RefusedImageError("file cannot be read") from error

    def resolve(self, image_path: str) -> Path:
        """Find an image by its path, from the folder or absolute; raises ``RefusedImageError`` as ``read``."""
        path = self.folder / _check(image_path)
        try:
            if not path.resolve().is_relative_to(self.folder.resolve()):
                raise RefusedImageError("path leaves images_dir")
            if not path.is_file():
                raise RefusedImageError("file is missing")
        except (OSError, RuntimeError, ValueError) as error:  # name too long, loop of links, no permission
            raise RefusedImageError("path cannot be followed") from error
        return path

    def fingerprint(self) -> str:
        """Hash of the names, sizes and times of all files; links to folders are not followed."""
        files = [Path(folder, name) for folder, _, names in os.walk(self.folder) for name in names]
        status = {path.relative_to(self.folder).as_posix(): path.lstat() for path in files}
        return content_hash(sorted((name, one.st_size, one.st_mtime_ns) for name, one in status.items()))


class RemoteImages:
    """An address such as s3://bucket/folder."""

    def __init__(self, address: str) -> None:
        try:
            import fsspec

            self._files, self._root = fsspec.core.url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise ConfigError(
                f"dataset.images_dir={address} cannot be opened ({error}); install what fsspec needs for it "
                "(pip install s3fs for s3://, gcsfs for gs://), or correct it."
            ) from error

    def read(self, image_path: str) -> bytes:
        """As ``LocalImages.read``."""
        path = _check(image_path)
        if path.is_absolute():
            raise RefusedImageError("path leaves images_dir")
        try:
            content: bytes = self._files.cat_file(f"{self._root.rstrip('/')}/{path}")
        except (FileNotFoundError, IsADirectoryError) as error:
            raise RefusedImageError("file is missing") from error
        except Exception as error:  # of the store's own kinds
            raise RefusedImageError("file cannot be read") from error
        return content

    def fingerprint(self) -> str:
        """Hash of the names, sizes and versions of all files."""
        try:
            found: dict[str, dict[str, Any]] = self._files.find(self._root, detail=True)
        except Exception as error:  # of the store's own kinds
            raise DataError(f"The images in {self._root} cannot be listed ({error}); check the address.") from error
        versions = ("ETag", "etag", "mtime", "LastModified", "updated", "created")
        return content_hash(
            [(name, one["size"], *(str(one[key]) for key in versions if key in one)) for name, one in found.items()]
        )


def _check(image_path: str) -> PurePosixPath:
    if image_path.startswith(("http://", "https://")):
        raise RefusedImageError("is a web address: download the images first")
    if "\0" in image_path:
        raise RefusedImageError("path holds a NUL character")
    path = PurePosixPath(image_path.replace("\\", "/"))
    if ".." in path.parts:
        raise RefusedImageError("path leaves images_dir")
    return path
