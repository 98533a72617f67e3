"""Generated definitions: after apply and after export, no changes remain."""

import pytest
from hypothesis import Phase, given, settings

from infra.workspace import export as exports
from taskrouter_simulator.definition.document import parse
from taskrouter_simulator.definition.reader import from_document, from_value
from tests.infra.workspace.generated import definitions
from tests.infra.workspace.live import API, workspace


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    with workspace(tmp_path_factory.mktemp("generated")) as running:
        yield running


def exported(live):
    state = exports.read_all(live.context, with_workers=True)
    text, notes = exports.export(state, api_url=API, with_workers=True)
    assert notes == []
    return from_document(parse(text.encode(), "exported.yaml"))


@settings(max_examples=15, deadline=None, phases=[Phase.generate])
@given(definitions(), definitions())
def test_no_changes_remain_after_apply_and_after_export(live, first, second):
    new = live.add_workspace()
    for value in (first, second):
        definition = from_value(value)
        new.apply(definition, prune=True)
        assert new.changes(definition, prune=True) == []
        copy = exported(new)
        assert new.changes(copy) == []
        assert new.plan(copy).unmanaged == ()
