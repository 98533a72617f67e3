"""The seed decides."""

from tests.chaos.plan import Fault, Link, Plan


def fates(seed, rate=0.3, count=300):
    plan = Plan(seed, rate)
    return [(plan.fate(number), plan.faults_of_task(number)) for number in range(count)]


def test_the_same_seed_means_the_same_fates():
    assert fates(7) == fates(7)


def test_another_seed_means_others():
    assert fates(7) != fates(8)


def test_about_as_many_faults_are_planned_as_asked_for():
    planned = sum(len(fate.faults) + bool(fate.trouble) for fate, _ in fates(1, 0.3, 2000))
    assert 500 < planned < 700


def test_every_decision_every_way_and_every_trouble_comes_up():
    drawn = [fate for fate, _ in fates(3, 1.0, 2000)]
    assert len({fate.decision for fate in drawn}) == 7
    assert len({fate.finish for fate in drawn}) == 3
    assert len({fate.trouble for fate in drawn} - {None}) == 5
    assert {fault.link for fate in drawn for fault in fate.faults} == set(Link)


def test_a_task_is_never_created_twice_by_the_network():
    """TaskRouter would make two of it, and nobody could be blamed."""
    faults = {fault for _, of_task in fates(3, 4.0, 2000) for fault in of_task}
    assert faults
    assert "twice" not in {fault.effect for fault in faults}


def test_a_fault_says_what_it_is():
    assert Fault(Link.REST, "cut", after=True).name == "TaskRouter's REST: cut after the effect"
    throttled = Fault(Link.DATABASE, "answer", answer=(400, "{}"))
    assert throttled.name == "DynamoDB: answer 400"
    late = Fault(Link.CALLBACKS, "late", seconds=3, only=("event",))
    assert late.name == "callbacks: event late 3 s"
