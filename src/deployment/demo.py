"""A page to try a model, served to this machine alone; the server opens no file that a request names."""

import json
import logging
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors

from src.artifacts import VECTORS_FILE, ItemVectors
from src.classifiers.finished_run import FinishedRun
from src.classifiers.models.evaluation_batches import CentreCrops
from src.config.stages import UseConfig
from src.console import progress
from src.data.folds import TRAIN
from src.data.images.decode import RefusedImageError, decode_image, fit
from src.data.images.store import ImageStore
from src.data.images.transforms import center_crop_boxes, crop_batch
from src.deployment.calibration import calibration_of
from src.deployment.label_images import apply_network
from src.errors import ConfigError
from src.evaluation.report.examples import Thumbnails
from src.recommenders.run import dataset_dir

logger = logging.getLogger(__name__)

ADDRESS, MAX_BYTES, N_NEAREST = "127.0.0.1", 20_000_000, 6
INLINE = "'unsafe-inline'"
POLICY = f"default-src 'none'; img-src data: blob:; style-src {INLINE}; script-src {INLINE}; connect-src 'self'"


class Demo:
    """A run, and its train items by image feature and, where the network predicts it, by CF vector."""

    def __init__(self, cfg: UseConfig) -> None:
        """Open the run that ``cfg`` chooses, and compute the features of its train images."""
        root = dataset_dir(cfg)
        self.run = FinishedRun.choose(root, cfg.study, cfg.run)
        self._calibration, self._top_k, self._lock = calibration_of(self.run, cfg.batch_size), cfg.top_k, Lock()
        self._size, self._crop = (self.run.definition["settings"][name] for name in ("image_size", "eval_crop"))
        self._thumbnails, train = Thumbnails(root), self.run.fold.split(TRAIN)
        self._labels = dict(zip(train["item_id"], train["labels"], strict=True))
        item_id, store = train["item_id"].to_numpy(), ImageStore.open(self.run.fold.images_dir)
        batches = np.split(store.rows(item_id), range(cfg.batch_size, len(item_id), cfg.batch_size))
        crops = map(CentreCrops(store, self._size, self._crop), progress(batches, "features"))
        self._spaces = {"image": (item_id, np.concatenate([self._apply(images)[0] for images in crops]))}
        if "vectors" in (inputs := self.run.definition["inputs"]):
            stored = ItemVectors.load(next(root.glob(f"recommender/*/{inputs['vectors']}")) / VECTORS_FILE)
            known = np.isin(stored.item_id, item_id)
            self._spaces["cf"] = stored.item_id[known], stored.vectors[known]

    def answer(self, content: bytes) -> dict[str, Any]:
        """Labels and nearest train items of an image file; raises ``RefusedImageError``."""
        limits = self.run.image_limits
        pixels = np.array(fit(decode_image(content, limits)[0], limits))  # torch takes no read-only memory
        height, width = torch.tensor(pixels.shape[:2]).split(1)
        boxes = center_crop_boxes(height, width, self._crop)
        features, scores, cf = self._apply(crop_batch([pixels].__getitem__, np.arange(1), boxes, self._size))
        near = {"image": self._nearest("image", features), "cf": [] if cf is None else self._nearest("cf", cf)}
        return near | {"labels": self._calibration.rank(self._calibration.probabilities(scores)[0], self._top_k)}

    def _nearest(self, space: str, query: np.ndarray) -> list[dict[str, Any]]:
        item_id, vectors = self._spaces[space]
        search = NearestNeighbors(n_neighbors=min(N_NEAREST, len(vectors)), metric="cosine").fit(vectors)
        found = item_id[search.kneighbors(query[:, : vectors.shape[1]], return_distance=False)[0]]  # without the bias
        pictures = ((str(item), self._thumbnails.source(item)) for item in found)
        return [{"item": item, "image": image, "labels": self._labels[item] or []} for item, image in pictures]

    def _apply(self, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        with self._lock:
            return apply_network(self.run.network, images, torch.device("cpu"))


class Server(ThreadingHTTPServer):
    """Listens on this machine alone; raises ``ConfigError`` where the port is taken."""

    def __init__(self, cfg: UseConfig) -> None:
        try:
            super().__init__((ADDRESS, cfg.port), Handler)
        except OSError as error:
            raise ConfigError(f"port should be free, but {cfg.port} is not ({error}); give another.") from error
        self.demo = Demo(cfg)


class Handler(BaseHTTPRequestHandler):
    """``GET /`` is the page, and ``POST /label`` answers an image file with JSON; there is nothing else."""

    server: Server
    timeout = 60  # seconds without a byte

    def do_GET(self) -> None:
        """Send the page."""
        if self._is_for("/"):
            self._send(200, Path(__file__).with_suffix(".html").read_bytes(), "text/html; charset=utf-8")

    def do_POST(self) -> None:
        """Send the answer, or one sentence."""
        given = self.headers.get("Content-Length", "")
        length = int(given) if given.isdecimal() and len(given) < 16 else 0
        if not self._is_for("/label"):
            return
        if not 0 < length <= MAX_BYTES:
            for _ in range(min(length, 10 * MAX_BYTES) >> 16):  # a client reads no answer before it has sent all
                self.rfile.read(1 << 16)
            return self._say(413, f"The file should have at least one byte, and at most {MAX_BYTES // 10**6} MB.")
        try:
            self._send(200, json.dumps(self.server.demo.answer(self.rfile.read(length))).encode())
        except RefusedImageError as reason:
            self._say(422, f"The file cannot be used: {reason}.")

    def _is_for(self, path: str) -> bool:
        """Whether a request names ``path``, and this machine as its host, as no other site's page can."""
        is_known = self.path == path and self.headers.get("Host", "").split(":")[0] in (ADDRESS, "localhost")
        if not is_known:
            self._say(404, "There is only the page at /.")
        return is_known

    def _say(self, status: int, sentence: str) -> None:
        self.close_connection = True
        self._send(status, json.dumps({"error": sentence}).encode())

    def _send(self, status: int, content: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(content)), "Content-Security-Policy": POLICY}
        for header in headers.items():
            self.send_header(*header)
        self.end_headers()
        self.wfile.write(content)


def serve(cfg: UseConfig) -> dict[str, Any]:
    """Serve the page until Ctrl+C."""
    with Server(cfg) as server:
        logger.info("Open http://%s:%d in a browser; Ctrl+C ends it.", ADDRESS, server.server_port)
        server.serve_forever()
    return {}
