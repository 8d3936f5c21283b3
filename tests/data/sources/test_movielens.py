from dataclasses import replace

import pytest

from src.data.sources.movielens import raw_files
from src.errors import DataError
from tests.data.raw_formats import read_source, write_movielens
from tests.data.raw_samples import MOVIES_1M, MOVIES_10M, MOVIES_CSV, RATINGS_1M, RATINGS_10M, RATINGS_CSV


def labels_of(raw):
    return dict(zip(raw.items["item_id"], raw.items["labels"], strict=True))


def test_1m_is_latin1(tmp_path):
    raw = read_source(write_movielens(tmp_path, MOVIES_1M, RATINGS_1M, "dat", "latin-1"))
    assert labels_of(raw) == {
        "1": ["Animation", "Children's", "Comedy"],
        "73": ["Drama", "Musical"],
        "1193": ["Drama"],
        "7": ["Comedy"],
    }
    assert raw.items["image_paths"].tolist() == [["1.jpg"], ["73.jpg"], ["1193.jpg"], ["7.jpg"]]
    assert raw.interactions.values.tolist() == [["1", "1193"], ["1", "73"], ["2", "1193"]]
    assert raw.dropped == {"movies_that_cannot_be_read": 0, "ratings_that_cannot_be_read": 0}


def test_10m_has_half_stars_and_separators_in_titles(tmp_path):
    raw = read_source(write_movielens(tmp_path, MOVIES_10M, RATINGS_10M, "dat"))
    assert labels_of(raw) == {
        "122": ["Comedy", "Romance"],
        "185": ["Action", "Crime", "Thriller"],
        "8606": None,  # (no genres listed)
        "5": ["Drama", "IMAX"],
        "6": None,
    }
    assert raw.interactions.values.tolist() == [["1", "122"], ["1", "185"], ["2", "185"], ["2", "5"], ["2", "404"]]
    assert raw.dropped == {"movies_that_cannot_be_read": 1, "ratings_that_cannot_be_read": 1}


def test_csv_has_commas_and_quotes_in_titles(tmp_path):
    raw = read_source(write_movielens(tmp_path, MOVIES_CSV, RATINGS_CSV, "csv"))
    assert labels_of(raw) == {
        "1": ["Adventure", "Animation", "Children"],
        "11": ["Comedy", "Drama", "Romance"],
        "12": ["Comedy"],
        "33794": ["Action", "Crime", "IMAX"],
        "8606": None,
        "77": ["Drama"],
        "78": None,  # its line ends before the genres
    }
    assert raw.interactions.values.tolist() == [
        ["1", "1"],
        ["1", "11"],
        ["1", "12"],
        ["2", "33794"],
        ["2", "8606"],
        ["2", "404"],
    ]
    assert raw.dropped == {"movies_that_cannot_be_read": 0, "ratings_that_cannot_be_read": 2}


@pytest.mark.parametrize(
    ("movies", "ratings", "ending", "kept"),
    [
        (MOVIES_10M, RATINGS_10M, "dat", [["1", "122"], ["1", "185"], ["2", "404"]]),
        (MOVIES_CSV, RATINGS_CSV, "csv", [["1", "1"], ["2", "33794"], ["2", "404"]]),
    ],
)
def test_low_and_missing_ratings_are_no_interactions(movies, ratings, ending, kept, tmp_path):
    cfg = write_movielens(tmp_path, movies, ratings, ending)
    everything = len(read_source(cfg).interactions)
    raw = read_source(replace(cfg, min_rating=4.0))
    assert raw.interactions.values.tolist() == kept
    assert raw.dropped["ratings_below_min_rating"] == everything - 3


def test_a_release_is_found_where_its_archive_unpacks(tmp_path):
    write_movielens(tmp_path / "ml-10M100K", MOVIES_10M, RATINGS_10M, "dat")
    cfg = write_movielens(tmp_path / "other", MOVIES_CSV, RATINGS_CSV, "csv")
    cfg = replace(cfg, raw_dir=str(tmp_path))
    assert [path.relative_to(tmp_path).as_posix() for path in raw_files(cfg)] == [
        "ml-10M100K/movies.dat",
        "ml-10M100K/ratings.dat",
    ]
    assert "122" in labels_of(read_source(cfg))


@pytest.mark.parametrize(("first", "second"), [("ml-1m", "ml-20m"), ("ml-1m", "."), (".", ".")])
def test_two_releases_are_one_too_many(first, second, tmp_path):
    write_movielens(tmp_path / first, MOVIES_1M, RATINGS_1M, "dat")
    write_movielens(tmp_path / second, MOVIES_CSV, RATINGS_CSV, "csv")
    cfg = write_movielens(tmp_path / "x", MOVIES_CSV, RATINGS_CSV, "csv")
    with pytest.raises(DataError, match=r"should hold one release of MovieLens, but holds .*ratings\..*ratings\."):
        read_source(replace(cfg, raw_dir=str(tmp_path)))


def test_missing_files_say_where_to_get_them(tmp_path):
    cfg = write_movielens(tmp_path / "ml-1m", MOVIES_1M, RATINGS_1M, "dat")
    cfg = replace(cfg, raw_dir=str(tmp_path), obtain="See grouplens.org.")
    (tmp_path / "ml-1m" / "movies.dat").unlink()
    with pytest.raises(DataError, match=r"ml-1m/movies\.dat does not exist\. .* See grouplens\.org\."):
        read_source(cfg)
    (tmp_path / "ml-1m" / "ratings.dat").unlink()
    with pytest.raises(DataError, match=r"ratings\.csv does not exist\. .* See grouplens\.org\."):
        read_source(cfg)
    with pytest.raises(DataError, match=r"ratings\.csv does not exist"):
        read_source(replace(cfg, raw_dir=str(tmp_path / "nowhere")))


@pytest.mark.parametrize(
    ("ending", "ratings", "message"),
    [
        (
            "dat",
            "1::122::good::838985046\n",
            "column 'rating' should hold numbers, but 1 row\\(s\\) hold none, such as 'good'",
        ),
        ("dat", "", "it is empty"),
        ("csv", "userId,movieId,rating\n1,1,good\n", "but 1 row\\(s\\) hold none, such as 'good'"),
        ("csv", "userId,rating\n1,5\n", "should have the column\\(s\\) 'movieId', but has 'userId', 'rating'"),
    ],
)
def test_damaged_ratings(ending, ratings, message, tmp_path):
    cfg = write_movielens(tmp_path, MOVIES_CSV, ratings, ending)
    with pytest.raises(DataError, match=rf"ratings\.{ending}.*{message}"):
        read_source(cfg)


@pytest.mark.parametrize(
    ("movies", "message"),
    [
        ("movieId,title\n1,A\n", r"should have the column\(s\) 'genres', but has 'movieId', 'title'"),
        (
            "movieId,title,genres\n1,A, the first,Drama\n",
            r"line 2 has more than 3 cells; quotes should enclose one that holds ','",
        ),
        ("movieId,title,genres\n1,A,Drama\n2,A, the second,Drama\n", "line 3 has more than 3 cells"),
        ("", "it is empty"),
    ],
)
def test_damaged_movies(movies, message, tmp_path):
    with pytest.raises(DataError, match=message):
        read_source(write_movielens(tmp_path, movies, RATINGS_CSV, "csv"))


def test_movies_in_latin1_as_csv_are_read_and_it_is_said(tmp_path, caplog):
    movies = MOVIES_CSV.replace("Toy", "T\xf3y").replace("Adventure", "Avent\xfcre")
    raw = read_source(write_movielens(tmp_path, movies, RATINGS_CSV, "csv", "latin-1"))
    assert labels_of(raw)["1"] == ["Animation", "Avent\xfcre", "Children"]
    assert "movies.csv is not UTF-8 and was read as cp1252; dataset.encoding sets another" in caplog.text
