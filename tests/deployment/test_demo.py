"""The page to try a model: over HTTP, and in a browser."""

import base64
import http.client
import io
import json
import re
import shutil
import subprocess
import threading
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import sparse

from src.artifacts import ItemVectors
from src.classifiers.finished_run import FinishedRun
from src.data.folds import TRAIN
from src.data.images.store import ImageStore
from src.deployment import demo
from src.deployment.calibration import calibration_of
from src.deployment.demo import MAX_BYTES, Handler, LikelyUsers, Server
from src.errors import ArtifactError, ConfigError
from src.recommenders.interactions import build_user_item

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def server(trained):
    with Server(trained.config("use_model", "demo=true", "port=0", "top_k=3")) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        running.demo.fitting.join()
        yield running
        running.shutdown()


def ask(server, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return response.status, response.read(), response.headers


def picture(trained):
    """A train image's file and id."""
    run = FinishedRun.choose(trained.outputs_dir / "tiny", "main", None)
    item = run.fold.split(TRAIN).iloc[5]
    return next(trained.raw_dir.rglob(item["image_paths"][0])), item["item_id"], run


def test_an_upload_gets_labels_and_its_neighbours(trained, server):
    path, item, run = picture(trained)
    status, body, _ = ask(server, "POST", "/label", path.read_bytes())
    answer = json.loads(body)
    assert status == 200
    metrics = trained.run("use_model", f"images={list_of(path, trained)}", "top_k=3", "features=true")
    (line,) = (Path(metrics["results"]) / "labels.jsonl").read_text().splitlines()
    expected = json.loads(line)["labels"]
    assert [entry["label"] for entry in answer["labels"]] == [entry["label"] for entry in expected]
    calibration = calibration_of(run, 8)
    thresholds = dict(zip(calibration.labels.tolist(), calibration.thresholds.tolist(), strict=True))
    for entry, other in zip(answer["labels"], expected, strict=True):
        assert entry["probability"] == pytest.approx(other["probability"], abs=1e-5)
        assert entry["threshold"] == thresholds[entry["label"]]
        assert entry["given"] == (entry["probability"] >= entry["threshold"])
    assert answer["image"][0]["item"] == item  # a train image is its own nearest one
    train = set(run.fold.split(TRAIN)["item_id"])
    for space in ("image", "cf"):
        found = [entry["item"] for entry in answer[space]]
        assert len(set(found)) == 6
        assert set(found) <= train
        assert all(entry["image"].startswith("data:image/jpeg") for entry in answer[space])
    assert answer["cf"][0]["item"] == nearest_cf(trained, run, Path(metrics["results"]), train)


def test_the_users_who_score_it_highest_come_with_items_that_they_know(trained, server):
    path, _, run = picture(trained)
    answer = json.loads(ask(server, "POST", "/label", path.read_bytes())[1])
    fold, likely = run.fold, server.demo._users
    matrix = build_user_item(fold.train_interactions, fold.items["item_id"].to_numpy())
    known = [set(matrix.item_id[row.indices]) for row in matrix.matrix]
    for items in answer["users"]:
        assert len(items) == 3
        assert any({entry["item"] for entry in items} <= of_one for of_one in known)
        assert all(entry["image"].startswith("data:image/jpeg") for entry in items)
    n_users = sum(len(of_one) > 2 for of_one in known)
    said = f"Of {n_users} users, these 5 score it highest, by the predicted CF vector. Each knows these train items."
    assert answer["said"] == said
    # A user's state scores an item's own vector higher where the user knows the item.
    users = np.argsort(-likely._states @ (likely.known.vectors - likely.known.vectors.mean(axis=0)).T, axis=0)[:5]
    scored = np.mean([likely._items[users[:, column], column].mean() for column in range(users.shape[1])])
    assert scored > 2 * (likely._items > 0).mean()
    expected = likely.best(vector_of(run, path))
    assert [[entry["item"] for entry in items] for items in answer["users"]] == [list(items) for items in expected]
    assert "user0" not in json.dumps(answer)


def test_users_are_ranked_by_state_and_their_items_by_nearness():
    likely = LikelyUsers.__new__(LikelyUsers)
    likely.known = ItemVectors(
        np.array(list("abcd")), np.array([[2.0, 0], [1, 1], [0, 2], [-3, -3]]), *np.zeros((2, 4))
    )
    likely._states = np.array([[0.0, 1], [1, 0], [3, 0], [-1, 0]])
    likely._items = sparse.csr_matrix([[1, 1, 1, 1], [1, 1, 1, 0], [0, 1, 1, 1], [1, 0, 1, 1]])
    found = likely.best(np.array([5.0, 0]))  # the first user has the same three items as the second
    assert [items.tolist() for items in found] == [list("bcd"), list("abc"), list("acd")]


def vector_of(run, path):
    """The CF vector that a run predicts for an image file."""
    item = next(row.item_id for row in run.fold.split(TRAIN).itertuples() if row.image_paths[0] == path.name)
    return run.represent(np.array([item]), ImageStore.open(run.fold.images_dir), 8)[1][0]


def list_of(path, trained):
    listed = trained.outputs_dir / "one.txt"
    listed.write_text(f"{path}\n")
    return listed


def nearest_cf(trained, run, results, train):
    predicted = pd.read_parquet(results / "features.parquet")["cf_vector"][0]
    stored = ItemVectors.load(next((trained.outputs_dir / "tiny").glob("recommender/vae/*/item_vectors.npz")))
    known = np.isin(stored.item_id, list(train))
    vectors = stored.vectors[known] / np.linalg.norm(stored.vectors[known], axis=1, keepdims=True)
    return stored.item_id[known][np.argmax(vectors @ predicted)]


@pytest.mark.parametrize("content", [b"GIF89a nothing", b"\xff\xd8\xff\xe0 no picture", b"<svg onload=alert(1)>"])
def test_a_broken_file_is_one_sentence_and_the_next_upload_works(trained, server, content):
    status, body, _ = ask(server, "POST", "/label", content)
    assert status == 422
    assert re.fullmatch(r"The file cannot be used: [a-z ]+\.", json.loads(body)["error"])
    assert ask(server, "POST", "/label", picture(trained)[0].read_bytes())[0] == 200


def test_a_file_of_50_mb_is_refused(server):
    status, body, _ = ask(server, "POST", "/label", bytes(50_000_000))
    assert (status, json.loads(body)["error"]) == (413, "The file should have at least one byte, and at most 20 MB.")
    assert MAX_BYTES == 20_000_000


@pytest.mark.parametrize("length", ["", "0", "-5", "many", "99999999999999999999"])
def test_a_lie_about_the_length_is_refused(server, length):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    connection.putrequest("POST", "/label")
    connection.putheader("Content-Length", length)
    connection.endheaders()
    connection.sock.shutdown(1)
    assert connection.getresponse().status == 413


@pytest.mark.parametrize(
    "path", ["/../../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/demo.html", "//etc/passwd", "/label", "/?x=/etc"]
)
def test_no_file_is_served(server, path):
    status, body, _ = ask(server, "GET", path)
    assert (status, json.loads(body)["error"]) == (404, "There is only the page at /.")


def test_only_this_machine_is_answered_under_its_own_name(server):
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server, "GET", "/", Host="evil.example")[0] == 404
    assert ask(server, "POST", "/label", b"x", Host="evil.example:80")[0] == 404
    status, page, headers = ask(server, "GET", "/")
    assert status == 200
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert not re.findall(r'(?:src|href)="', page.decode())  # nothing is loaded from elsewhere


def test_a_method_without_cf_head_has_neighbours_by_image_alone(pipeline):
    pipeline.classify("image_only")
    with Server(pipeline.config("use_model", "demo=true", "port=0")) as running:
        running.demo.fitting.join()
        stream = io.BytesIO()
        Image.new("RGB", (40, 40), "red").save(stream, "PNG")
        answer = running.demo.answer(stream.getvalue())
        assert answer["cf"] == []
        assert len(answer["image"]) == 6
        assert len(answer["users"]) == 5
        assert "the mean CF vector of similar train images, since this method predicts none" in answer["said"]
        with pytest.raises(ConfigError, match=r"port should be free, but \d+ is not .*give another"):
            Server(pipeline.config("use_model", "demo=true", f"port={running.server_address[1]}"))


def test_features_stored_before_are_those_of_an_upload(pipeline):
    pipeline.classify("mtl_uniform", "features=frozen", "alpha=0.2")
    path, item, _ = picture(pipeline)
    for _ in range(2):  # the second start finds the calibration of the first
        opened = demo.Demo(pipeline.config("use_model", "demo=true"))
        opened.fitting.join()
        assert opened.answer(path.read_bytes())["image"][0]["item"] == item


def test_the_page_is_there_before_the_cf_model_is_fitted(trained, monkeypatch):
    may_end = threading.Event()
    monkeypatch.setattr(demo, "LikelyUsers", lambda *_: may_end.wait())
    with Server(trained.config("use_model", "demo=true", "port=0")) as running:
        answer = running.demo.answer(picture(trained)[0].read_bytes())
        assert answer["users"] == []
        assert answer["said"].startswith("The CF model is being fitted")
        assert len(answer["cf"]) == 6

        def failing(*_):
            raise ConfigError("there is no model to fit")

        monkeypatch.setattr(demo, "LikelyUsers", failing)
        running.demo._fit_users(np.array([]))
        assert running.demo.answer(picture(trained)[0].read_bytes())["said"] == "there is no model to fit"
        may_end.set()


def test_without_a_cf_model_or_with_another_than_before_the_page_says_so(trained, tmp_path):
    of_run = trained.at(tmp_path / "outputs")
    shutil.copytree(trained.outputs_dir, of_run.outputs_dir)
    run = FinishedRun.choose(of_run.outputs_dir / "tiny", "main", None)
    train = run.fold.split(TRAIN)["item_id"].to_numpy()
    (vectors,) = (of_run.outputs_dir / "tiny").glob("recommender/vae/*/item_vectors.npz")
    stored = ItemVectors.load(vectors)
    replace(stored, vectors=stored.vectors + 1).save(vectors)
    with pytest.raises(ArtifactError, match=r"Fitted again, .* has other vectors than before"):
        LikelyUsers(run, train)
    shutil.rmtree(vectors.parent)
    with pytest.raises(ArtifactError, match=r"Train a CF model to see users: .*dataset=tiny"):
        LikelyUsers(run, train)


def test_one_thing_is_asked_for(trained):
    with pytest.raises(ConfigError, match=r"Give one of images=.*, export=onnx, or demo=true"):
        trained.run("use_model", "demo=true", "export=onnx")


SCRIPT = """<script>
const found = [], bytes = Uint8Array.from(atob("%s"), one => one.charCodeAt(0));
async function choose(...content) {
  const held = new DataTransfer();
  held.items.add(new File(content, "a.png"));
  $("input").files = held.files;
  $("input").dispatchEvent(new Event("change"));
  while (message.textContent.startsWith("Working")) await new Promise(done => setTimeout(done, 20));
  const counts = [".label", "#cf img", "#image img", "#users img"].map(name => document.querySelectorAll(name).length);
  found.push([message.textContent, $("main").hidden, ...counts, document.documentElement.scrollWidth <= innerWidth]);
}
(async () => {
  await choose(bytes);
  await choose("nothing");
  await choose(new Uint8Array(5e7));
  await choose(bytes);
  document.body.innerHTML = "<pre>" + JSON.stringify(found) + "</pre>";
})();
</script></html>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_uploads_in_a_browser(trained, server, tmp_path):
    class Scripted(Handler):
        def do_GET(self):
            page = Path(demo.__file__).with_suffix(".html").read_text()
            script = SCRIPT % base64.b64encode(picture(trained)[0].read_bytes()).decode()
            self._send(200, page.replace("</html>", script).encode(), "text/html; charset=utf-8")

    with ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as scripted:
        scripted.demo = server.demo
        threading.Thread(target=scripted.serve_forever, daemon=True).start()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--virtual-time-budget=60000"]
        options += ["--window-size=500,900", f"--user-data-dir={tmp_path}", "--dump-dom"]
        address = f"http://127.0.0.1:{scripted.server_address[1]}/"
        answer = subprocess.run([CHROMIUM, *options, address], capture_output=True, text=True, timeout=300).stdout
        scripted.shutdown()
    good, broken, large, again = json.loads(re.search("<pre>(.*)</pre>", answer)[1])
    assert good == again == ["", False, 3, 6, 6, 15, True]
    assert broken[:2] == ["The file cannot be used: file is not an image of a known format.", True]
    assert large[:2] == ["The file should have at least one byte, and at most 20 MB.", True]
