"""Laws of the numbers: SQL over the published tables, the manifest and the page say the same."""

import json
import re
from typing import Any

import duckdb
import pytest

from tests.core.report.test_explorer import unpacked
from weak2wise_core.dataset.reading import DatasetFolder
from weak2wise_core.report.numbers import three_digits


class Sql:
    """Questions to the tables of one dataset, by a program that is not ours."""

    def __init__(self, dataset: DatasetFolder) -> None:
        self._connection = duckdb.connect()
        for path in dataset.folder.glob("*.parquet"):
            self._connection.execute(f"create view {path.stem} as from '{path}'")

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """All rows of an answer."""
        return self._connection.execute(query).fetchall()

    def one(self, query: str) -> Any:
        """The one value of an answer."""
        return self.rows(query)[0][0]


@pytest.fixture(scope="module")
def sql(published: DatasetFolder) -> Sql:
    """The published tables."""
    return Sql(published)


@pytest.fixture(scope="module")
def stated(page: str) -> dict[str, Any]:
    """The numbers that the page embeds and shows."""
    found = re.search(r'<script type="application/json" id="numbers">(.*?)</script>', page)
    assert found is not None
    numbers: dict[str, Any] = json.loads(found.group(1))
    return numbers


def test_the_funnel_is_what_the_tables_hold(
    sql: Sql, stated: dict[str, Any], published: DatasetFolder
) -> None:
    """Rows in = trained on + solved + every reason to leave."""
    found = {(one["kind"], one["stage"], one["reason"]): one["rows"] for one in stated["funnel"]}
    counts = published.manifest["counts"]
    assert found.pop(("rows", "", "")) == counts["rows"] == sum(found.values())
    assert found.pop(("train", "", "")) == sql.one("select count(*) from train") == counts["train"]
    solved = sql.one("select count(*) from attempts where verdict = 'correct'")
    assert found.pop(("solved", "", "")) == solved == counts["solved"]
    left = sql.rows("select kind, stage, reason, count(*) from quarantine group by all")
    assert found == {(kind, stage, reason): count for kind, stage, reason, count in left}
    for (kind, stage, reason), count in found.items():
        assert published.manifest[kind][stage][reason] == count
    assert len(found) >= 4


def test_scores_are_what_the_tables_hold(
    sql: Sql, stated: dict[str, Any], published: DatasetFolder
) -> None:
    """Histograms, means, and how many have no score."""
    bins = "least(floor(score * 20)::int, 19)"
    for name, table in (("all", "scores"), ("golden", "golden")):
        rows = dict(sql.rows(f"select {bins}, count(*) from {table} where score >= 0 group by 1"))
        assert stated["scores"][name] == [rows.get(number, 0) for number in range(20)]
    assert stated["scores"]["scored"] == sql.one("select count(score) from scores")
    assert stated["scores"]["without_score"] == sql.one(
        "select count(*) from scores where score is null"
    )
    assert stated["scores"]["without_score"] > 0
    assert stated["scores"]["mean"] == pytest.approx(
        sql.one("select avg(score) from scores"), abs=1e-6
    )
    golden = pytest.approx(sql.one("select avg(score) from golden"), abs=1e-6)
    assert stated["scores"]["golden_mean"] == golden == published.manifest["golden"]["mean_score"]


def test_ranges_are_what_the_tables_hold(sql: Sql, stated: dict[str, Any]) -> None:
    """Best minus worst score of the questions with several scored traces."""
    ranges = (
        "(select max(score) - min(score) as r from scores where score is not null "
        "group by question_id having count(*) > 1)"
    )
    rows = dict(
        sql.rows(f"select least(floor(r * 20)::int, 19), count(*) from {ranges} group by 1")
    )
    assert stated["spread"]["histogram"] == [rows.get(number, 0) for number in range(20)]
    assert stated["spread"]["questions"] == sql.one(f"select count(*) from {ranges}")
    assert stated["spread"]["none"] == sql.one(f"select count(*) from {ranges} where r = 0")
    assert stated["spread"]["mean"] == pytest.approx(
        sql.one(f"select avg(r) from {ranges}"), abs=1e-6
    )


def test_verdicts_are_what_the_tables_hold(
    sql: Sql, stated: dict[str, Any], published: DatasetFolder
) -> None:
    """By mask level and without a hint; what was not asked is no verdict."""
    cells = (
        "(select unnest(outcomes) as verdict, unnest(asked) as asked, "
        "unnest(range(len(outcomes))) as level from outcomes)"
    )
    rows = sql.rows(f"select level, verdict, count(*) from {cells} where asked group by all")
    found = {(level, verdict): count for level, verdict, count in rows}
    for one in stated["levels"]:
        for verdict in ("correct", "incorrect", "unjudged"):
            assert one[verdict] == found.get((one["level"], verdict), 0)
        assert one["asked"] == sum(c for (level, _), c in found.items() if level == one["level"])
    asked = sql.one(f"select count(*) from {cells} where asked")
    assert stated["race"]["levels_asked"] == asked
    assert asked == published.manifest["counts"]["mask_levels_asked"]
    assert stated["race"]["levels"] == sql.one(f"select count(*) from {cells}") > asked
    alone = dict(sql.rows("select verdict, count(*) from attempts group by 1"))
    assert {name: stated["unaided"][name] for name in alone} == alone


def test_lengths_are_what_the_tables_hold(
    sql: Sql, stated: dict[str, Any], published: DatasetFolder
) -> None:
    """Before and after truncation: bins, mean, median, longest; and how traces ended."""
    width = stated["tokens"]["bin_width"]
    for name, column in (("before", "normal_tokens"), ("after", "golden_tokens")):
        found = stated["tokens"][name]
        rows = dict(sql.rows(f"select {column} // {width}, count(*) from golden group by 1"))
        assert {place: n for place, n in enumerate(found["histogram"]) if n} == rows
        assert len(found["histogram"]) <= 24
        mean, median, longest = sql.rows(
            f"select avg({column}), median({column}), max({column}) from golden"
        )[0]
        assert (found["median"], found["longest"]) == (median, longest)
        expected = published.manifest["golden"][f"mean_tokens_{name}"]
        assert found["mean"] == pytest.approx(mean, abs=1e-6) == expected
    by = dict(sql.rows("select truncation, count(*) from golden group by 1"))
    assert stated["truncation"]["by"] == by == published.manifest["golden"]["by_truncation"]
    assert stated["truncation"]["truncated"] == published.manifest["golden"]["truncated"]


def test_teachers_are_what_the_tables_hold(
    sql: Sql, stated: dict[str, Any], published: DatasetFolder
) -> None:
    """Traces, refusals, golden ones and lengths of every strong model."""
    assert len(stated["teachers"]) == 2
    for one in stated["teachers"]:
        own = f"where strong_model = '{one['name']}'"
        assert one["candidates"] == sql.one(f"select count(*) from candidates {own}")
        refused = sql.rows(
            f"select refusal, count(*) from candidates {own} and refusal is not null group by 1"
        )
        assert one["refused"] == dict(refused)
        assert one["refused"] == published.manifest["candidates_refused"][one["name"]]
        assert one["golden"] == sql.one(f"select count(*) from golden {own}")
        assert one["golden"] == published.manifest["golden"]["by_strong_model"][one["name"]]
        for name, table, column in (
            ("mean_score", "scores", "score"),
            ("mean_tokens", "scores", "normal_tokens"),
            ("mean_golden_tokens", "golden", "golden_tokens"),
        ):
            mean = sql.one(f"select avg({column}) from {table} {own}")
            assert one[name] == pytest.approx(mean, abs=1e-6)


def test_votes_are_what_the_tables_hold(sql: Sql, stated: dict[str, Any]) -> None:
    """Who judged, ballots, agreement, invalid votes; of asked levels only."""
    judged = {
        "filter_qa": "(select judged_by, votes from attempts)",
        "score_step_masks": "(select * from (select unnest(judged_by) as judged_by, "
        "unnest(votes) as votes, unnest(asked) as asked from outcomes) where asked)",
    }
    cast = held = 0
    for stage, rows in judged.items():
        found = stated["votes"][stage]
        assert found["judged"] == sql.one(f"select count(*) from {rows}")
        for who in ("rule", "model", "nobody"):
            count = sql.one(f"select count(*) from {rows} where judged_by = '{who}'")
            assert found[f"by_{who}"] == count
        ballots = f"(select votes from {rows} where len(votes) > 0)"
        sides = "len(list_distinct(list_filter(votes, lambda v: v <> 'unjudged')))"
        assert found["ballots"] == sql.one(f"select count(*) from {ballots}") > 0
        assert found["votes"] == sql.one(f"select sum(len(votes)) from {ballots}")
        assert found["unanimous"] == sql.one(f"select count(*) from {ballots} where {sides} = 1")
        assert found["split"] == sql.one(f"select count(*) from {ballots} where {sides} = 2")
        invalid = "len(list_filter(votes, lambda v: v = 'unjudged'))"
        assert found["invalid_votes"] == sql.one(f"select sum({invalid}) from {ballots}")
        cast, held = cast + found["votes"], held + found["ballots"]
    assert stated["race"]["votes_cast"] == cast
    assert stated["race"]["votes_saved"] == 3 * held - cast > 0


def test_cost_is_what_the_tables_hold(
    sql: Sql, stated: dict[str, Any], published: DatasetFolder
) -> None:
    """Calls, tokens and money by stage and model, and the ids that replies named."""
    tables = {
        "filter_qa": "attempts",
        "generate_candidates": "candidates",
        "score_step_masks": "outcomes",
        "truncate_golden": "golden",
    }
    assert stated["cost"] == published.manifest["cost"]
    names = ("calls", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens")
    for one in stated["cost"]:
        spent = f"(select unnest(spent) as s from {tables[one['stage']]})"
        sums = ", ".join(f"sum(s.{name})" for name in names)
        row = sql.rows(f"select {sums} from {spent} where s.model = '{one['model']}'")[0]
        assert tuple(one[name] for name in names) == row
        usd = (row[1] * 0.3 + row[3] * 0.4) / 1e6
        assert one["usd"] == pytest.approx(usd, abs=1e-6)
    union = " union all ".join(
        f"select unnest(spent) as s from {table}" for table in tables.values()
    )
    ids = sql.rows(f"select s.model, s.returned, sum(s.calls) from ({union}) group by all")
    assert stated["models"] == published.manifest["models"]
    assert {(m, r): n for m, of in stated["models"].items() for r, n in of.items()} == {
        (model, returned): calls for model, returned, calls in ids
    }


def test_audits_are_what_the_tables_hold(
    sql: Sql, stated: dict[str, Any], published: DatasetFolder
) -> None:
    """Findings, questions, and questions that are trained on, by audit."""
    assert stated["audits"] == published.manifest["audits"]
    for name, one in stated["audits"].items():
        row = sql.rows(
            "select count(*), count(distinct question_id), "
            "count(distinct question_id) filter (where trained_on) "
            f"from audits where audit = '{name}'"
        )[0]
        assert (one["found"], one["questions"], one["trained_on"]) == row
    for mark in ("answer_leak", "told_answer", "steps_disagree"):
        marked = sql.one(f"select count(*) from candidates where {mark}")
        assert stated["audits"][mark]["found"] == marked > 0


def test_measures_are_what_the_tables_hold(sql: Sql, page: str) -> None:
    """What selectors read in every candidate, to the last digit; undefined is not a number."""
    pieces = re.findall(r'<script type="[^"]*" id="piece-\d+">(.*?)</script>', page)
    details = [one for piece in pieces for one in unpacked(piece)]
    shown = {
        (detail["id"], one["model"], one["draw"], selector): value
        for detail in details
        for one in detail["candidates"]
        for selector, value in one.get("measures", {}).items()
    }
    rows = sql.rows("select question_id, strong_model, draw, selector, value from measures")
    assert shown == {tuple(key): value for *key, value in rows}
    assert len(rows) == 2 * sql.one("select count(*) from outcomes")
    assert 0 < sum(value is None for value in shown.values()) < len(shown)


def test_what_is_shown_is_what_is_embedded(page: str, stated: dict[str, Any]) -> None:
    """The tables of the page write the same numbers for people."""
    assert f"<dd>{three_digits(stated['scores']['golden_mean'])}</dd>" in page
    trained = stated["funnel"][-1]["rows"]
    assert f"<dt>trained on</dt><dd>{trained:,}</dd>" in page
    for one in stated["cost"]:
        assert f'<td class="n">{one["prompt_tokens"]:,}</td>' in page
    asked = stated["race"]
    assert f"{asked['levels_asked']:,} of {asked['levels']:,} mask levels" in page
