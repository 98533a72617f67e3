"""Each kind of mutation makes the expected changes, and only in code that tests must cover."""

import pytest

from tests.mutants.mutations import changes_program, mutations_of
from tests.mutants.project import THIS_PROJECT
from tests.mutants.sampling import EQUIVALENT, draw, key, read_equivalent


@pytest.fixture
def mutate(tmp_path):
    """A function that returns the mutants of source code, optionally only those of one kind."""

    def mutants(text, kind=None):
        (tmp_path / "code.py").write_text(text, encoding="utf-8")
        content = text.encode()
        return [
            mutation.apply(content).decode()
            for mutation in mutations_of(tmp_path, "code.py")
            if kind in (None, mutation.kind)
        ]

    return mutants


EXPECTED = {
    "comparison": {
        "x = a < b": ["x = a <= b"],
        "x = a >= b": ["x = a > b"],
        "x = (a) == (b)": ["x = (a) != (b)"],
        "x = a <= b < c": ["x = a < b < c", "x = a <= b <= c"],
        "x = a is b": ["x = a is not b"],
        "x = a is not b": ["x = a is b"],
        "x = a not in b": ["x = a in b"],
        "x = 'é' in b": ["x = 'é' not in b"],
    },
    "boolean": {
        "x = a and b": ["x = b", "x = a", "x = a or b"],
        "x = (a or b)": ["x = (b)", "x = (a)", "x = (a and b)"],
        "x = (a < b) and (c)": ["x = (c)", "x = (a < b)", "x = (a < b) or (c)"],
    },
    "unary": {"x = not a": ["x = a"], "x = -a": ["x = a"]},
    "arithmetic": {
        "x = a + b": ["x = a - b"],
        "x = a * (b - c)": ["x = a // (b - c)", "x = a * (b + c)"],
        "x = a // b": ["x = a * b"],
        "x += a": ["x -= a"],
        "x = a | b": ["x = b", "x = a"],
        "Alias = A | B": [],
        "x = 'a' + b": [],
    },
    "constant": {
        "x = 30": ["x = 0", "x = 29", "x = 31"],
        "x = 0": ["x = (-1)", "x = 1"],
        "x = 2.0": ["x = 0.0", "x = 1.0", "x = 3.0"],
        "x = True": ["x = False"],
        "x = f'{a + 1}'": ["x = f'{a + 0}'", "x = f'{a + 2}'"],
        "def f(a=5): pass": ["def f(a=0): pass", "def f(a=4): pass", "def f(a=6): pass"],
        "x = 'text'": [],
    },
    "condition": {
        "x = '#at <= :now'": ["x = '#at < :now'"],
        "x = 'attribute_not_exists(#a) OR #b = :b'": [
            "x = '#b = :b'",
            "x = 'attribute_exists(#a) OR #b = :b'",
            "x = 'attribute_not_exists(#a)'",
            "x = 'attribute_not_exists(#a) AND #b = :b'",
            "x = 'attribute_not_exists(#a) OR #b <> :b'",
        ],
        "x = f'{CLAIM} OR #id = :id'": [
            "x = f'#id = :id'",
            "x = f'{CLAIM}'",
            "x = f'{CLAIM} AND #id = :id'",
            "x = f'{CLAIM} OR #id <> :id'",
        ],
        "x = f'NOT #a IN ({b})'": ["x = f'#a IN ({b})'"],
        "x = '#a = if_not_exists(#a, :b) + :c'": [
            "x = '#a = :b + :c'",
            "x = '#a = if_not_exists(#a, :b) - :c'",
        ],
        "x = 'a = b or c < d'": [],
    },
    "statement": {
        "f(a)": ["pass"],
        "x.a = 1": ["pass"],
        "x[a] = 1": ["pass"],
        "x = 1": [],
        "x += 1": ["pass"],
        "def f():\n    return a": ["def f():\n    return None"],
        "def f():\n    return None": [],
        "def f():\n    return": ["def f():\n    pass"],
        "def f():\n    raise E": ["def f():\n    pass"],
        "for x in y:\n    continue": ["for x in y:\n    pass"],
        "async def f():\n    await g()": ["async def f():\n    pass"],
    },
    "element": {
        "x = {'a', 'b'}": ["x = {'a'}", "x = {'b'}"],
        "x = {'a'}": ["x = set()"],
        "x = ['a', 'b', 'c']": ["x = ['a', 'b']", "x = ['a', 'c']", "x = ['b', 'c']"],
        "x = [\n    (a),  # first\n    b,\n]": [
            "x = [\n    # first\n    b,\n]",
            "x = [\n    (a),  # first\n    \n]",
        ],
        "x = ('a', 'b')": ["x = ('a',)", "x = ('b',)"],
        "x = ('a',)": ["x = ()"],
        "x = {'a': 1, **b}": ["x = {'a': 1}", "x = {**b}"],
        "x = {'a': (1)}": ["x = {}"],
        "x, y = a, b": [],
        "x = a[b, c]": [],
        "def f():\n    return a, b": [],
    },
    "argument": {
        "f(a, b=c)": ["f(a)"],
        "f(b=c, d=(e))": ["f(b=c)", "f(d=(e))"],
        "f(**a)": [],
        "with suppress(A, B): pass": ["with suppress(A): pass", "with suppress(B): pass"],
        "with contextlib.suppress(A): pass": ["with contextlib.suppress(): pass"],
    },
    "handler": {
        "try: f()\nexcept A as e: g()": ["try: f()\nexcept () as e: g()"],
        "try: f()\nexcept (A, B): g()": ["try: f()\nexcept (): g()"],
    },
    "decision": {
        "if a: f()": ["if False: f()", "if True: f()"],
        "x = a if b else c": ["x = a if False else c", "x = a if True else c"],
        "while a: f()": ["while False: f()"],
        "x = [a for a in b if c]": ["x = [a for a in b if False]", "x = [a for a in b if True]"],
        "x = f'{a if b else c}'": ["x = f'{a if False else c}'", "x = f'{a if True else c}'"],
    },
    "function": {
        "x = min(a, b)": ["x = max(a, b)"],
        "x = any(a)": ["x = all(a)"],
        "x = a.min(b)": [],
    },
    "slice": {"x = a[b:c]": ["x = a[(b) + 1:c]", "x = a[b:(c) + 1]"]},
}


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [(kind, text, mutants) for kind, cases in EXPECTED.items() for text, mutants in cases.items()],
)
def test_each_kind_of_mutation_makes_the_expected_changes(mutate, kind, text, expected):
    assert sorted(mutate(text, kind)) == sorted(expected)


@pytest.mark.parametrize(
    "text",
    [
        '"""Return 1 if a < b."""',
        "x: Literal[1]",
        "def f(a: Literal[1]) -> Literal[2]:\n    '''Text.'''",
        "import a",
        "__all__ = ['a', 'b']",
        "Alias = A | B[C, D]",
        "x = cast('A | B', y)",
        "@dataclass(frozen=True)\nclass A:\n    b: int",
        "if TYPE_CHECKING:\n    f(1)",
        "if __name__ == '__main__':\n    main(1)",
        "x = f'The number must be at most {a + 1}.'",
    ],
)
def test_code_that_tests_need_not_cover_is_not_mutated(mutate, text):
    assert mutate(text) == []


def test_error_message_is_not_mutated_but_the_other_arguments_of_the_error_are(mutate):
    mutants = mutate("raise A(f'{a + 1}', 'b' if c else 'd', retry_after=0)", "constant")

    assert mutants == [
        "raise A(f'{a + 1}', 'b' if c else 'd', retry_after=(-1))",
        "raise A(f'{a + 1}', 'b' if c else 'd', retry_after=1)",
    ]


def test_mutation_is_shown_with_its_location_and_the_changed_line(tmp_path):
    (tmp_path / "code.py").write_text("class A:\n    def f(self):\n        return a < b\n")
    shown = [str(mutation) for mutation in mutations_of(tmp_path, "code.py")]

    assert "code.py:3 A.f [comparison]: return a < b → return a <= b" in shown
    assert "code.py:3 A.f [statement]: return a < b → return None" in shown


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [("x = 1", "x = 2", True), ("x = 1", "x = (1)", False), ("f(a)", "f(a", False)],
)
def test_change_is_a_mutant_only_if_it_compiles_and_changes_the_program(before, after, expected):
    assert changes_program(before.encode(), after.encode()) is expected


def test_same_seed_draws_the_same_sample():
    first, second, with_other_seed = (
        draw(THIS_PROJECT, "routes", seed=seed, count=20, equivalent={}).mutants
        for seed in (1, 1, 2)
    )

    assert len(first) == 20
    assert first == second != with_other_seed


def test_equivalent_mutant_is_counted_but_not_drawn():
    first = draw(THIS_PROJECT, "routes", seed=1, count=20, equivalent={}).mutants
    sample = draw(THIS_PROJECT, "routes", seed=1, count=20, equivalent={key(first[0]): "reason"})

    assert sample.mutants[:19] == first[1:]
    assert sample.equivalent == 1


def test_every_listed_equivalent_mutant_exists_and_has_a_reason():
    listed = read_equivalent(EQUIVALENT)
    existing = {
        key(mutation)
        for file in {file for file, *_ in listed}
        for mutation in mutations_of(THIS_PROJECT.root, file)
    }

    assert listed.keys() <= existing
    assert all(listed.values())
