"""Plugins as really installed: a distribution's metadata and module in a folder on the path."""

import sys
import warnings

import pytest

from mmvos.plugins import _load_once, load_plugins


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs plugin ``name`` with that source; returns the list its source may append to."""
    monkeypatch.syspath_prepend(tmp_path)
    events = []
    monkeypatch.setattr(sys, 'mmvos_test_events', events, raising=False)
    modules = []
    _load_once.cache_clear()

    def make(name, source, entry=''):
        module = f'mmvos_test_{name}'
        modules.append(module)
        (tmp_path / f'{module}.py').write_text(source)
        info = tmp_path / f'{module}-1.0.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n')
        (info / 'entry_points.txt').write_text(f'[mmvos.plugins]\n{name} = {module}{entry}\n')
        return events

    yield make
    _load_once.cache_clear()
    for module in modules:
        sys.modules.pop(module, None)


def test_module_is_imported_once(install):
    events = install('good', 'import sys\nsys.mmvos_test_events.append("imported")\n')
    assert 'good' in load_plugins()
    assert load_plugins() == load_plugins()
    assert events == ['imported']


def test_function_is_called_once(install):
    source = 'import sys\ndef register():\n    sys.mmvos_test_events.append("called")\n'
    events = install('callee', source, ':register')
    assert 'callee' in load_plugins()
    load_plugins()
    assert events == ['called']


def test_caller_cannot_change_the_answer(install):
    install('kept', '')
    load_plugins().clear()
    assert 'kept' in load_plugins()


@pytest.mark.parametrize(
    ('source', 'entry', 'error'),
    [
        ('import no_such_package_of_mmvos', '', 'ModuleNotFoundError'),
        ('raise KeyError("Net is already registered")', '', 'KeyError.*already registered'),
        ('def f(:', '', 'SyntaxError'),
        ('raise SystemExit(3)', '', 'SystemExit: 3'),
        ('', ':missing', 'AttributeError'),
        ('def f():\n    raise RuntimeError("boom")', ':f', 'RuntimeError: boom'),
    ],
)
def test_broken_plugin_warns_once_and_stops_nothing(install, source, entry, error):
    install('a_broken', source, entry)
    install('b_good', '')
    match = rf"plugin 'a_broken' of mmvos_test_a_broken \(mmvos_test_a_broken{entry}\).*{error}"
    with pytest.warns(UserWarning, match=match) as caught:
        names = load_plugins()
    assert len([w for w in caught if 'a_broken' in str(w.message)]) == 1
    assert 'b_good' in names
    assert 'a_broken' not in names
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert load_plugins() == names


def test_interrupt_is_not_swallowed(install):
    install('stops', 'raise KeyboardInterrupt')
    with pytest.raises(KeyboardInterrupt):
        load_plugins()


def test_warning_points_at_the_caller(install):
    install('a_broken', 'raise ValueError("no")')
    with pytest.warns(UserWarning, match='a_broken') as caught:
        load_plugins()
    assert [w.filename for w in caught if 'a_broken' in str(w.message)] == [__file__]
