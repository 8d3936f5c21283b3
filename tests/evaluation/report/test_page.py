"""The HTML report: self-contained, escaped, complete, and usable in a browser."""

import html
import re
import shutil
import subprocess

import numpy as np
import pytest

from src.artifacts import PREPARED, Predictions
from src.config.datasets import DatasetConfig
from src.config.stages import EvaluateConfig
from src.data.folds import TRAIN, open_fold
from src.evaluation.evaluate import evaluate
from src.evaluation.report.examples import Picture, Suspect, differing_pictures, label_issues
from src.evaluation.report.page import PageSetting, save_page
from src.files import save_json
from tests.evaluation.synthetic import write_outputs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def evaluated(outputs_dir, dataset="toys", **changes):
    settings = {"n_resamples": 60, "n_permutations": 60, "outputs_dir": str(outputs_dir)} | changes
    evaluate(EvaluateConfig(dataset=DatasetConfig(name=dataset), **settings))


def addresses(page):
    return re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')> ]+)', page)


def page_of(setting, folder, **more):
    """A page that shows one setting."""
    nothing = {"figures": [], "curves": {"slug": []}, "labels_saved": [], "dots": []}
    save_page(folder / "report.html", "<title>", [{"name": "<i>", "settings": [setting]} | nothing | more])
    return (folder / "report.html").read_text()


def dom_of(page, profile, width=1280):
    """What the browser makes of a page."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    options += [f"--window-size={width},900", f"--user-data-dir={profile}", "--dump-dom"]
    return subprocess.run([CHROMIUM, *options, page.as_uri()], capture_output=True, text=True, timeout=120).stdout


def width_on_a_phone(page, folder):
    """How wide a page gets in 390 px; in a frame, since no window of the browser is so narrow."""
    outer = folder / "phone.html"
    measure = 'document.body.innerHTML = "<pre>" + frames[0].document.documentElement.scrollWidth + "</pre>"'
    frame = f'<iframe width=390 frameborder=0 srcdoc="{html.escape(page)}"></iframe>'
    outer.write_text(f"{frame}<script>onload = () => {{ {measure} }}</script>")
    return int(re.search("<pre>(.*)</pre>", dom_of(outer, folder / "phone"))[1])


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    write_outputs(folder / "toys", {"image_only": 0.0, "mtl_loss": 1.5, "sequential": 0.2}, ratios=(0.5, 1.0))
    evaluated(folder)
    return folder / "toys" / "evaluation" / "report.html"


def test_nothing_is_loaded_from_anywhere(report):
    page = report.read_text()
    assert len(addresses(page)) >= 4  # two figures over all settings, learning curves of both
    assert all(address.startswith("data:image/") for address in addresses(page))
    assert page.count('class="sortable ') == 4
    for text in ("image_only", "mtl_loss", "sequential", "label ratio 0.5", "How to read this table"):
        assert text in page


def test_figures_of_an_earlier_evaluation_are_not_shown(tmp_path):
    write_outputs(tmp_path / "toys", {"image_only": 0.0, "mtl_loss": 1.5})
    evaluated(tmp_path)
    page = tmp_path / "toys" / "evaluation" / "report.html"
    assert addresses(page.read_text())
    evaluated(tmp_path, figures=False)
    assert not addresses(page.read_text())


def test_names_are_escaped(tmp_path):
    row = {"header": ["method"], "below": [False], "rows": [["<script>alert(1)</script>"]]}
    picture = Picture("<img>", "data:image/png;base64,", ["'<script>alert(2)</script>\""], {})
    setting = PageSetting("a <b> & c", "slug", "<script>alert(3)", [row, row], ["1 < 2"], None, [("h", [picture])])
    page = page_of(setting, tmp_path)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "a &lt;b&gt; &amp; c" in page


@pytest.mark.slow
def test_a_page_over_all_datasets(tmp_path):
    for name in ("toys", "films"):
        write_outputs(tmp_path / name, {"image_only": 0.0, "mtl_loss": 1.5})
    evaluated(tmp_path, "all")
    page = (tmp_path / "evaluation" / "report.html").read_text()
    assert page.index("<h2>films</h2>") < page.index("<h2>toys</h2>")


@pytest.mark.slow
def test_statistics_pictures_and_neighbours_of_a_prepared_dataset(pipeline):
    pipeline.classify("image_only")
    pipeline.classify("mtl_uniform", "lr=0.0001")  # hardly trained, so that they differ
    pipeline.classify("label_issues")
    pipeline.run("predict_testset")
    pipeline.run("evaluate_methods")
    page = (pipeline.outputs_dir / "tiny" / "evaluation" / "report.html").read_text()
    assert "Avg. pos. labels" in page
    assert re.search(r"Test images that mtl_uniform ranks (better|worse) than image_only \(fold 0, seed 0\)", page)
    assert len(re.findall(r'class="picture query"', page)) == 6
    assert "Gain of each class" in page
    assert len(re.findall(r'class="picture"', page)) > 6 * 5
    assert all(address.startswith("data:image/") for address in addresses(page))
    suspects = re.search("<h2>Label issues</h2>.*?<h2>", page, flags=re.DOTALL)[0]
    shown = re.findall('alt="item (.*?)"', suspects)
    train = open_fold(pipeline.outputs_dir / "tiny" / PREPARED, 0).split(TRAIN)["item_id"]
    assert len(shown) == 12
    assert set(shown) <= set(train)
    pipeline.run("evaluate_methods")
    assert (pipeline.outputs_dir / "tiny" / "evaluation" / "report.html").read_text() == page
    if CHROMIUM is not None:
        assert width_on_a_phone(page, pipeline.outputs_dir) <= 390


class Everything:
    """Thumbnails of all items but one, whose pictures are their ids."""

    def __contains__(self, item_id):
        return item_id != "hidden"

    def source(self, item_id):
        return item_id


ISSUES = """item_id,labels,probability_of_error,source,improbable_labels,missing_labels
7,1994|cat,0.9731,both,1994,dog|<b>
hidden,cat,0.9,image,,
NA,cat,0.8,cf,,
b,,0.2,,,
"""


def test_suspects_by_hand(tmp_path):
    for run, planted in (("a-planted", 0.05), ("b", 0.0), ("c", 0.0), ("d-unfinished", 0.0)):
        directory = tmp_path / "classifier" / "label_issues" / run
        directory.mkdir(parents=True)
        (directory / "label_issues.csv").write_text(ISSUES if run == "b" else "damaged")
        save_json(directory / "metrics.json", {"n_items": 4, "n_suspects": 3})
        if run != "d-unfinished":
            save_json(directory / "manifest.json", {"definition": {"settings": {"planted_errors": planted}}})
    issues = label_issues(tmp_path, Everything())
    assert (issues["run"], issues["n_suspects"]) == ("classifier/label_issues/b", 3)
    first = Suspect(Picture("7", "7", ["1994", "cat"], {}), 0.9731, "image and interactions", ["1994"], ["dog", "<b>"])
    assert issues["suspects"] == [
        first,
        Suspect(Picture("NA", "NA", ["cat"], {}), 0.8, "interactions", [], []),
        Suspect(Picture("b", "b", [], {}), 0.2, "", [], []),
    ]
    row = {"header": ["method"], "below": [False], "rows": [["a"]]}
    page = page_of(PageSetting("t", "slug", "v", [row, row], []), tmp_path, issues=issues)
    assert "3 of 4 labelled train items" in page
    assert "<p>labels: <s>1994</s>, cat</p>" in page
    assert 'probably missing: <span class="right">dog, &lt;b&gt;</span>' in page
    assert "<p>wrong with probability 0.97, by image and interactions</p>" in page
    assert "<p>wrong with probability 0.20</p>" in page
    assert label_issues(tmp_path / "nothing", Everything()) == {}
    assert "Label issues" not in page_of(PageSetting("t", "slug", "v", [row, row], []), tmp_path, issues={})


def test_pictures_by_hand():
    item_id = np.array(["better", "equal", "hidden", "unlabelled", "worse"])
    targets = np.array([[1, 0], [1, 0], [1, 0], [0, 0], [0, 1]], np.uint8)
    first = np.array([[0.1, 0.9], [0.9, 0.1], [0.1, 0.9], [0.5, 0.5], [0.1, 0.9]])
    second = np.array([[0.9, 0.1], [0.8, 0.1], [0.9, 0.1], [0.5, 0.5], [0.9, 0.1]])
    test = Predictions(item_id, np.array(["cat", "dog"]), first, targets, item_id)
    better, worse = differing_pictures(test, {"first": first, "second": second}, Everything())
    assert [picture.item_id for picture in better] == ["better"]
    assert [picture.item_id for picture in worse] == ["worse"]
    assert better[0].labels == ["cat"]
    assert better[0].predicted["second"] == [("cat", 0.9, True), ("dog", 0.1, False)]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_tables_sort_by_click_in_a_browser(report, tmp_path):
    script = """<script>
const log = [], button = document.querySelectorAll("table.sortable")[0].querySelectorAll("button")[1];
const body = document.querySelector("table.sortable").tBodies[0];
const order = () => [...body.rows].map(row => row.cells[0].textContent.trim());
log.push(order().join()); button.click(); log.push(order().join()); button.click(); log.push(order().join());
log.push(button.parentElement.getAttribute("aria-sort"));
log.push(document.documentElement.scrollWidth <= innerWidth ? "fits" : "too wide");
document.body.innerHTML = "<pre>" + log.join("|") + "</pre>";
</script></html>"""
    page = tmp_path / "clicked.html"
    page.write_text(report.read_text().replace("</html>", script))
    for width in (1280, 500):
        answer = dom_of(page, tmp_path / str(width), width)
        given, falling, rising, state, fits = re.search("<pre>(.*)</pre>", answer)[1].split("|")
        assert given == "image_only,sequential,mtl_loss"
        assert falling.split(",")[0] == "mtl_loss"
        assert rising.split(",") == falling.split(",")[::-1]
        assert (state, fits) == ("ascending", "fits")


def test_the_verdict_and_one_figure_come_before_the_table(report):
    page = report.read_text()
    body = page[page.index("<h1>") :]
    verdict = re.search(r'<p class="verdict">(.*?)</p>', body)[1]
    assert re.match(r"With .*labels, mtl_loss reaches mAP 0\.\d{3} where image_only reaches 0\.\d{3}: \+", verdict)
    assert body.index('class="verdict"') < body.index('class="dots methods"') < body.index("<table")
    assert body.count('class="dots methods"') == 2  # one panel a label ratio
    gains = re.search(r'class="dots classes">(.*?)</figure>', body, flags=re.DOTALL)[1]
    shown = [float(one.replace("\u2212", "-")) for one in re.findall(r"<span>([+\u2212]?\d\.\d{3})</span>", gains)]
    assert len(shown) == 6
    assert shown == sorted(shown, reverse=True)


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_the_report_fits_a_laptop_and_a_phone(report, tmp_path):
    page = (
        report.read_text().replace("<details>", "<details open>").replace("mtl_loss", "mtl_loss (recommender=external)")
    )
    assert width_on_a_phone(page, tmp_path) <= 390
    script = "<script>document.body.innerHTML = `<pre>${document.documentElement.scrollWidth}</pre>`</script></html>"
    (tmp_path / "wide.html").write_text(page.replace("</html>", script))
    assert int(re.search("<pre>(.*)</pre>", dom_of(tmp_path / "wide.html", tmp_path / "wide"))[1]) <= 1280


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_pictures_are_filtered_by_label_in_place(tmp_path):
    row = {"header": ["method"], "below": [False], "rows": [["a"]]}
    pictures = [Picture(str(k), "data:,", labels, {}) for k, labels in enumerate([["cat"], ["cat", 'a "b"'], []])]
    setting = PageSetting("t", "slug", "v", [row, row], [], None, [("better", pictures[:2]), ("worse", pictures[2:])])
    page = page_of(setting, tmp_path)
    script = """<script>
const log = [], select = document.querySelector(".filter select");
for (const option of [...select.options].map(o => o.value)) {
  select.value = option; select.dispatchEvent(new Event("change"));
  log.push(option + "=" + [...document.querySelectorAll(".picture")].map(p => p.offsetParent ? 1 : 0).join(""));
}
document.body.innerHTML = "<pre>" + log.join("|") + "</pre>";
</script></html>"""
    clicked = tmp_path / "filtered.html"
    clicked.write_text(page.replace("<details>", "<details open>").replace("</html>", script))
    answer = re.search("<pre>(.*)</pre>", dom_of(clicked, tmp_path / "profile"))[1]
    assert answer == '=111|a "b"=010|cat=110'
