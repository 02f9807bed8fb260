"""Laws of counting what several processes do."""

from tasks.progress import Progress


def done(stage: str, shard: str, questions: int, *, advance: bool) -> Progress:
    """A process that worked on one shard, or found it ready."""
    progress = Progress()
    progress.enter(stage, shard, questions)
    if advance:
        progress.advance(stage, shard)
    progress.finish(stage, shard, questions)
    return progress


def test_a_shard_that_two_processes_had_counts_once() -> None:
    """Questions came to a stage once, left it once, and were not ready before this build."""
    first = done("filter_qa", "0", 4, advance=True)
    second = done("filter_qa", "0", 4, advance=False)
    third = done("filter_qa", "1", 3, advance=False)
    whole = Progress()
    for _ in range(2):  # the same reports, read again
        whole.take([one.report() for one in (first, second, third)])
        assert whole.entered == {"filter_qa": 7}
        assert whole.left("filter_qa") == 7
        assert whole.cached == {"filter_qa": 3}
