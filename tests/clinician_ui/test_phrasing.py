"""Sentences about jobs, figures and acts: what each must say, by hand-made cases."""

from dataclasses import replace
from math import nan
from pathlib import Path

import pytest

from clinician_ui import account_phrasing, case_phrasing, judging_phrasing, phrasing, run_phrasing, set_phrasing
from concepts.curation.case_review import CaseReview, Opinion, Step
from concepts.curation.proposing import Proposal
from concepts.judgement import Verdict
from concepts.statistics.estimate import Estimate
from pipeline.jobs.job import Job, JobState
from pipeline.results.result import Band
from pipeline.run.progress_file import RunProgress

JOB = Job(id="tiny-1", name="tiny", by="res", at="2026-01-02T03:04:05+00:00", key="k", changed="2026-01-02")
REVIEW = CaseReview(reviewer="rev", run="r", image_id="i", digest="0" * 64, step=Step.REVIEW, opinion=Opinion.AGREES)
RATIO = Estimate(1.25, 1.1, 1.4, 80)


def test_a_figure_has_an_interval_and_n_with_true_minus_signs():
    assert (
        phrasing.estimate(Estimate(-0.25, -0.5, 0.125, 30)) == "\N{MINUS SIGN}0.25 (\N{MINUS SIGN}0.50 to 0.12), n = 30"
    )
    assert phrasing.estimate(Estimate(nan, nan, nan, 7)) == "not assessable (n = 7)"


def test_numbers_agree_with_their_nouns():
    assert [phrasing.count(number, "image") for number in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
    assert phrasing.count(2, "entry", "entries") == "2 entries"
    assert phrasing.events_listed(1, 200) == "1 entry."
    assert "latest 200" in phrasing.events_listed(200, 200)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "queued"),
        ({"state": JobState.RUNNING}, "running"),
        ({"state": JobState.RUNNING, "stop_asked": True}, "stopping"),
        ({"state": JobState.RUNNING, "stop_asked": True, "is_abandoned": True}, "its worker is gone"),
        ({"state": JobState.FINISHED}, "done"),
    ],
)
def test_where_a_job_is(changes, state):
    assert run_phrasing.job_state(replace(JOB, **changes)) == state


def test_what_became_of_a_job():
    assert run_phrasing.job_facts(replace(JOB, attempts=1)) == "tiny-1; submitted by res, 2026-01-02 03:04 UTC"
    facts = run_phrasing.job_facts(replace(JOB, attempts=2, deaths=1))
    assert facts.endswith("UTC; attempt 2; 1 worker died on it")


def test_how_far_a_run_has_come():
    progress = RunProgress(stages=("plain", "whitened"), stage="whitened", seconds_left=90.0)
    assert run_phrasing.job_progress(progress, is_moving=True) == "Stage 2 of 2: whitened; 2 min left of this step"
    assert run_phrasing.job_progress(progress, is_moving=False) == "Stage 2 of 2: whitened"
    counted = replace(progress, title="training", steps=1000, total=4000, seconds_left=None)
    assert run_phrasing.job_progress(counted, is_moving=True) == "Stage 2 of 2: whitened; training, 1,000 of 4,000"
    assert run_phrasing.job_progress(RunProgress(), is_moving=True) == "Preparing"
    ending = replace(progress, seconds_left=0.0)
    assert run_phrasing.job_progress(ending, is_moving=True).endswith("; 1 s left of this step")


@pytest.mark.parametrize(
    ("seconds", "span"),
    [(0, "1 s"), (59.4, "59 s"), (60, "1 min"), (3569, "59 min"), (3600, "1 h 0 min"), (7260, "2 h 1 min")],
)
def test_a_time_span_is_for_people(seconds, span):
    assert run_phrasing.duration(seconds) == span


def test_a_command_can_be_typed_and_shows_no_address():
    assert run_phrasing.worker_command(Path("/my runs"), None) == "dermaxis worker --runs '/my runs'"
    command = run_phrasing.worker_command(Path("/runs"), "postgresql://someone:secret@db/jobs")
    assert command == "dermaxis worker --runs /runs --queue URL"


def test_a_review_in_one_line():
    names = {"nevus": "melanocytic nevus", "streaks": "Streaks"}
    assert case_phrasing.case_review(REVIEW, names) == "Review: agree."
    corrected = replace(REVIEW, corrections={"streaks": Verdict.ABSENT}, comment="blurred")
    assert case_phrasing.case_review(corrected, names) == "Review: agree; Streaks is absent; “blurred”."
    first = replace(REVIEW, step=Step.FIRST_READ, diagnosis="nevus", confidence=0.5, opinion=None)
    assert case_phrasing.case_review(first, names) == "First read: own diagnosis melanocytic nevus (50% sure)."
    assert "own diagnosis other." in case_phrasing.case_review(replace(REVIEW, diagnosis="other"), names)


def test_where_in_the_list_a_reviewer_is():
    assert case_phrasing.case_position(0, 3, 3, 1) == "Case 1 of 3; 1 reviewed by you."
    assert case_phrasing.case_position(1, 2, 3, 0) == "Case 2 of 2, filtered from 3; 0 reviewed by you."


def test_changes_of_probability_are_in_points():
    assert case_phrasing.change(0.5004, 0.5) == "0.0 points"
    assert case_phrasing.change(0.501, 0.5) == "+0.1 points"
    assert case_phrasing.change(0.25, 0.5) == "\N{MINUS SIGN}25.0 points"


def test_ratios_and_correlations_carry_their_intervals():
    assert case_phrasing.loss_ratio(RATIO) == "1.25 (1.10 to 1.40), n = 80"
    assert case_phrasing.loss_ratio(replace(RATIO, low=nan)) == "1.25, n = 80"
    assert case_phrasing.loss_ratio(replace(RATIO, value=nan)) == "not assessable"
    minus = "\N{MINUS SIGN}"
    assert case_phrasing.correlation(Estimate(-0.5, -0.75, 0.25, 9)) == f"{minus}0.50 ({minus}0.75 to +0.25), n = 9"
    assert case_phrasing.correlation(Estimate(nan, nan, nan, 9)) == "not assessable, n = 9"


@pytest.mark.parametrize(("low", "high", "verdict"), [(1.1, 1.05, "above chance"), (1.05, 1.05, ""), (1.0, 1.05, "")])
def test_a_ratio_is_above_chance_only_with_its_whole_interval(low, high, verdict):
    assert case_phrasing.against_null(replace(RATIO, low=low), Band(low=0.9, high=high)) == verdict


def test_a_ratio_without_an_interval_is_not_above_chance():
    assert case_phrasing.against_null(replace(RATIO, low=nan), Band(low=0.9, high=1.05)) == ""
    assert case_phrasing.against_null(RATIO, Band(low=nan, high=nan)) == ""


def test_what_came_of_naming_a_direction():
    proposal = Proposal(concept="ruler", candidates=4, elsewhere=1, is_new=True)
    assert case_phrasing.proposed(proposal, "derm") == (
        "ruler was added to derm. 4 images wait to be judged; 1 candidate not in the set."
    )
    old_word = Proposal(concept="ruler", candidates=1, elsewhere=0, is_new=False)
    assert case_phrasing.proposed(old_word, "derm") == "ruler was already in derm. 1 image waits to be judged."


def test_undo_counts_what_it_took_back():
    assert [judging_phrasing.undone(number) for number in (0, 1, 2)] == [
        "There is nothing left to undo.",
        "1 verdict was taken back.",
        "2 verdicts were taken back.",
    ]
    assert (judging_phrasing.aside(0), judging_phrasing.aside(2)) == ("", ", 2 for later")


def test_thin_concepts_are_flagged_below_forty():
    assert set_phrasing.thin(39) == ["39 positives, fewer than 40: thin"]
    assert set_phrasing.thin(40) == []


def test_roles_of_an_account_are_listed_in_order():
    assert account_phrasing.account_roles("ann", ["reviewer", "annotator"]) == (
        "ann now has the roles annotator, reviewer."
    )
    assert account_phrasing.account_roles("ann", []) == "ann now has no role."
    assert account_phrasing.account_disabled("ann", disabled=True).startswith("ann can no longer sign in")
    assert account_phrasing.account_disabled("ann", disabled=False) == "ann can sign in again."
