"""Generated definitions. Keys are omitted at random, so that some fields are unmanaged."""

from hypothesis import strategies as st

from taskrouter_simulator.engine import events

ACTIVITIES = ("Offline", "Ready", "Lunch", "}%")
QUEUES = ("Sales", "Sales: 'EMEA'", "yes")
WORKERS = ("Ann", "Zoë", "12")
NAMES = st.sampled_from(("plain", "# no comment", "~", "é: 😀", "0x1f"))
URLS = st.sampled_from((None, "${api}/assignment_callback", "http://127.0.0.1:9/x#rc=2"))
EXPRESSIONS = st.sampled_from(
    ("level > 3", "skills HAS 'a' AND (b == 1 OR c != 2)", "1==1", "sid != '${worker:Ann}'")
)


def keys(required=None, **optional):
    """Return a strategy for objects whose optional keys may be absent."""
    return st.fixed_dictionaries(required or {}, optional=optional)


TARGET = keys(
    {"queue": st.sampled_from(QUEUES)},
    expression=st.sampled_from(("worker.level > task.level", "worker.sid != '${worker:Zoë}'")),
    priority=st.integers(0, 9),
    timeout=st.integers(1, 9),
    skip_if=st.just("workers.${activity:Ready} == 0"),
    order_by=st.just("worker.level DESC, worker.age"),
    known_worker_sid=st.just("task.agent"),
)
FILTER = keys(
    {"targets": st.lists(TARGET, min_size=1, max_size=2)},
    expression=st.sampled_from(("a == 1", "x IN ['y', \"z\"]")),
    filter_friendly_name=NAMES,
)
ROUTING = st.fixed_dictionaries({"filters": st.lists(FILTER, max_size=2), "default_filter": TARGET})
WORKFLOW = keys(
    {"configuration": st.fixed_dictionaries({"task_routing": ROUTING})},
    assignment_callback_url=URLS,
    fallback_assignment_callback_url=URLS,
    task_reservation_timeout=st.integers(1, 86_400),
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(("level", "skills", "a b", "nested")),
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | NAMES,
        lambda values: st.lists(values, max_size=2) | st.dictionaries(NAMES, values, max_size=2),
        max_leaves=4,
    ),
)
AVAILABILITY = {name: index == 1 for index, name in enumerate(ACTIVITIES)}


@st.composite
def definitions(draw):
    """Return the parsed content of a definition file.

    All Activities, TaskQueues and Workers are listed, because other resources refer to them.
    """
    activity = st.sampled_from(ACTIVITIES)
    value = draw(
        keys(
            {"friendly_name": st.sampled_from(("New", "yes"))},
            prioritize_queue_order=st.sampled_from(("FIFO", "LIFO")),
            default_activity=activity,
            timeout_activity=activity,
            event_callback_url=URLS,
            events_filter=st.none()
            | st.lists(st.sampled_from(sorted(events.TYPES)), unique=True, min_size=1, max_size=3),
            task_channels=st.just([])
            | keys(
                {"unique_name": st.sampled_from(("voice", "fax"))},
                friendly_name=NAMES,
                channel_optimized_routing=st.booleans(),
            ).map(lambda channel: [channel]),
        )
    )
    value["activities"] = [
        {"friendly_name": name, "available": AVAILABILITY[name]} for name in ACTIVITIES
    ]
    queue = keys(
        target_workers=EXPRESSIONS | st.just(""),
        max_reserved_workers=st.integers(1, 50),
        task_order=st.sampled_from(("FIFO", "LIFO")),
        reservation_activity=activity,
        assignment_activity=activity,
    )
    worker = keys(
        attributes=ATTRIBUTES,
        activity=activity,
        capacity=st.dictionaries(st.sampled_from(("voice", "chat")), st.integers(0, 50)),
    )
    for section, strategy, names in (
        ("task_queues", queue, QUEUES),
        ("workers", worker, WORKERS),
        ("workflows", WORKFLOW, draw(st.sampled_from(((), ("Main",), ("Main", "Other"))))),
    ):
        value[section] = [{"friendly_name": name, **draw(strategy)} for name in names]
    return value
