"""A page to try a model, served to this machine alone; the server opens no file that a request names."""

import json
import logging
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestNeighbors

from src.artifacts import MANIFEST_FILE, VECTORS_FILE, ItemVectors
from src.classifiers.finished_run import DEVICE, FinishedRun
from src.config.stages import UseConfig
from src.data.folds import TRAIN
from src.data.images.decode import RefusedImageError, decode_image, fit
from src.data.images.store import ImageStore
from src.data.images.transforms import center_crop_boxes, crop_batch
from src.deployment.calibration import calibration_of
from src.deployment.cold_start import MAX_NEIGHBOURS, MAX_USERS, similar_vectors
from src.deployment.label_images import apply_network
from src.entry import compose_config
from src.errors import ArtifactError, ConfigError, UserError
from src.evaluation.report.examples import Thumbnails
from src.files import load_json
from src.recommenders.interactions import build_user_item
from src.recommenders.run import dataset_dir
from src.recommenders.states import fit_again, user_states

logger = logging.getLogger(__name__)

ADDRESS, MAX_BYTES, N_NEAREST = "127.0.0.1", 20_000_000, 6
N_USERS, N_KNOWN = 5, 3
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
        logger.info("Features of %d train images.", len(item_id))
        self._spaces = {"image": (item_id, self.run.represent(item_id, store, cfg.batch_size)[0])}
        if "vectors" in (inputs := self.run.definition["inputs"]):
            stored = ItemVectors.load(next(root.glob(f"recommender/*/{inputs['vectors']}")) / VECTORS_FILE)
            known = np.isin(stored.item_id, item_id)
            self._spaces["cf"] = stored.item_id[known], stored.vectors[known]
        self._users: LikelyUsers | str = "The CF model is being fitted for its users; send the image again in a while."
        self.fitting = Thread(target=self._fit_users, args=(item_id,), daemon=True)
        self.fitting.start()

    def answer(self, content: bytes) -> dict[str, Any]:
        """Labels and nearest train items of an image file; raises ``RefusedImageError``."""
        limits = self.run.image_limits
        pixels = np.array(fit(decode_image(content, limits)[0], limits))  # torch takes no read-only memory
        height, width = torch.tensor(pixels.shape[:2]).split(1)
        boxes = center_crop_boxes(height, width, self._crop)
        crop = crop_batch([pixels].__getitem__, np.arange(1), boxes, self._size)
        with self._lock:
            features, scores, cf = apply_network(self.run.network.to(DEVICE), crop)
        near = {"image": self._nearest("image", features), "cf": [] if cf is None else self._nearest("cf", cf)}
        said, users = self._likely(features, cf)
        labels = self._calibration.rank(self._calibration.probabilities(scores)[0], self._top_k)
        return near | {"labels": labels, "said": said, "users": users}

    def _fit_users(self, item_id: np.ndarray) -> None:
        """Fit users of train items, in the background; or keep a sentence on why there are none."""
        try:
            self._users = LikelyUsers(self.run, item_id)
        except UserError as error:
            self._users = str(error)

    def _likely(self, features: np.ndarray, cf: np.ndarray | None) -> tuple[str, list[list[dict[str, Any]]]]:
        """Who would like an image, by its predicted vector or that of similar train items, and a sentence on it."""
        if isinstance(users := self._users, str):
            return users, []
        known, (item_id, similar) = users.known, self._spaces["image"]
        if cf is not None and self.run.reconstructs_vectors:
            source, vector = "the predicted CF vector", cf[0, : known.vectors.shape[1]]
        else:
            row = pd.Index(known.item_id).get_indexer(item_id)
            k = min(MAX_NEIGHBOURS, len(item_id) // 10 + 1)
            source = "the mean CF vector of similar train images, since this method predicts none"
            vector = similar_vectors(similar[row >= 0], known.vectors[row[row >= 0]], features, k)[0]
        found = [self._shown(items) for items in users.best(vector)]
        said = (
            f"Of {len(users):,} users, these {len(found)} score it highest, by {source}. Each knows these train items."
        )
        return said, found

    def _nearest(self, space: str, query: np.ndarray) -> list[dict[str, Any]]:
        item_id, vectors = self._spaces[space]
        search = NearestNeighbors(n_neighbors=min(N_NEAREST, len(vectors)), metric="cosine").fit(vectors)
        found = item_id[search.kneighbors(query[:, : vectors.shape[1]], return_distance=False)[0]]  # without the bias
        return self._shown(found)

    def _shown(self, items: np.ndarray) -> list[dict[str, Any]]:
        pictures = ((str(item), self._thumbnails.source(item)) for item in items)
        return [{"item": item, "image": image, "labels": self._labels[item] or []} for item, image in pictures]


class LikelyUsers:
    """Users of a CF model, and the train items that each of them knows; what they are called is not kept.

    ``known`` are the model's item vectors.
    """

    def __init__(self, run: FinishedRun, item_id: np.ndarray) -> None:
        """Fit the CF model that ``run`` learned from again, or one of its fold; ``item_id`` are the train items.

        Raises ``ArtifactError`` or ``ConfigError``: there is none, or it cannot be fitted again as it was.
        """
        fold, root = run.fold, run.prepared_dir.parent
        named = run.definition["inputs"].get("vectors", "*")
        made = {path.parent: load_json(path) for path in sorted(root.glob(f"recommender/*/{named}/{MANIFEST_FILE}"))}
        learned_from = {path: about["definition"]["inputs"]["interactions"] for path, about in made.items()}
        found = [path for path in made if learned_from[path] == fold.interactions_digest]
        found = [path for path in found if (path / VECTORS_FILE).is_file()]
        if not found:
            raise ArtifactError(f"Train a CF model to see users: python main_train_recommender.py dataset={root.name}")
        directory = min(found, key=lambda path: path.parent.name != "vae")  # methods use the VAE's vectors by default
        called_with = made[directory]["config"]["called_with"]
        user_item = build_user_item(fold.train_interactions, fold.items["item_id"].to_numpy())
        model, self.known = fit_again(compose_config("train_recommender", called_with), user_item, directory)
        matrix = user_item.matrix.multiply(np.isin(user_item.item_id, item_id)).tocsr()
        matrix.eliminate_zeros()
        users = np.flatnonzero(np.diff(matrix.indptr) >= N_KNOWN)
        users = np.random.default_rng(0).permutation(users)[:MAX_USERS]
        self._states, self._items = user_states(model, self.known, users), matrix[users]

    def __len__(self) -> int:
        return len(self._states)

    def best(self, vector: np.ndarray) -> list[np.ndarray]:
        """Of the users who score a vector [f] highest, items nearest to it (cosine) that each knows; no set twice."""
        near = cosine_similarity(vector[None], self.known.vectors)[0]
        users = np.argsort(-self._states @ (vector - self.known.vectors.mean(axis=0)), kind="stable")[: 20 * N_USERS]
        items = (self._items[[user]].indices for user in users)
        nearest = (of_one[np.argsort(-near[of_one], kind="stable")[:N_KNOWN]] for of_one in items)
        return [self.known.item_id[list(places)] for places in dict.fromkeys(map(tuple, nearest))][:N_USERS]


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
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            if server.demo.fitting.is_alive():
                os._exit(130)  # with a message torch would abort: its thread outlives Python
            raise
    return {}
