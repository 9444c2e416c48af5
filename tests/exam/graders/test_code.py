import pytest

from ftlab.errors import FtlabError, SettingError
from ftlab.exam.graders import Code, pass_at_k
from ftlab.exam.graders.sandbox import _isolation

TESTS = "assert add(1, 2) == 3\nassert add(-1, 1) == 0"
RIGHT = "Here:\n```python\nimport math\ndef add(a, b):\n    return a + b\n```\nDone."


@pytest.mark.parametrize(
    ("answer", "points"),
    [
        (RIGHT, 1),
        ("def add(a, b): return a + b", 1),
        ("```\nx\n```\n```py\ndef add(a, b):\n    print('x' * 100000)\n    return a + b\n", 1),  # cut off after the end
        ("```python\ndef add(a, b):\n    return a - b\n```", 0),
        ("def add(a, b): return", 0),
        ("def add(a, b)", 0),
        ("", 0),
        ("raise SystemExit(0)", 0),
        ("import os\nos._exit(0)", 0),
        ("\x00\ud800", 0),
    ],
)
def test_programs(row, answer, points):
    assert Code().grade_row(answer, row(tests=TESTS)) == points


def test_columns_of_data_sets(row):
    assert Code().grade_row(RIGHT, row(test_list=TESTS.split("\n"))) == 1
    assert Code(tests="mine").grade_row(RIGHT, row(mine=TESTS, test="assert False")) == 1
    human_eval = row(test="def check(candidate):\n    assert candidate(1, 2) == 3", entry_point="add")
    assert [Code().grade_row(given, human_eval) for given in (RIGHT, RIGHT.replace("+", "-"))] == [1, 0]
    assert Code().grade(RIGHT, TESTS) == 1


def test_limits(row):
    asked = row(tests="assert True")
    assert Code(seconds=0.5).grade_row("while True: pass", asked) == 0
    assert Code(seconds=0.5).grade_row("import time\ntime.sleep(60)", asked) == 0
    assert [Code(megabytes=n).grade_row("x = bytearray(200 * 2**20)", asked) for n in (100, 600)] == [0, 1]
    assert Code(megabytes=64).grade_row("open('f', 'wb').truncate(100 * 2**20)", asked) == 0


def test_a_program_sees_neither_our_environment_nor_our_folder(row, monkeypatch):
    monkeypatch.setenv("MY_SECRET", "x")
    asked = row(tests="assert 'MY_SECRET' not in os.environ and os.listdir() == []")
    assert Code().grade_row("import os", asked) == 1


def test_no_network_and_no_process_left_behind(row, tmp_path):
    """A server of this machine is reached from here and not from the program."""
    import socket

    if not _isolation():
        pytest.skip("this system allows no new namespaces")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        program = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), timeout=5)"
        assert Code().grade_row(program, row(tests="assert True")) == 0
    mark = tmp_path / "mark"
    program = f"import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(0.5)\n    open({str(mark)!r}, 'w')"
    assert Code().grade_row(program, row(tests="assert True")) == 1
    import time

    time.sleep(1.5)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "no tests in the column tests; write Python asserts there"),
        ({"tests": []}, "no tests in the column tests"),
        ({"tests": "assert ("}, "the tests are no Python: "),
        ({"tests": "# none"}, "there are no tests, which every program passes; write asserts"),
    ],
)
def test_faults_of_a_row(row, columns, message):
    with pytest.raises(FtlabError, match=rf"^e\.jsonl:1: {message}"):
        Code().check([row(**columns)])


def test_settings():
    with pytest.raises(SettingError, match=r"^exam\.grader\.seconds: 0 is not above 0"):
        Code(seconds=0)
    with pytest.raises(SettingError, match=r"^exam\.grader\.megabytes: 1 is not 64 or more"):
        Code(megabytes=1)


def test_pass_at_k_by_hand():
    assert pass_at_k(4, 1, 1) == 1 / 4
    assert pass_at_k(4, 2, 2) == pytest.approx(1 - (2 / 4) * (1 / 3))
    assert [pass_at_k(5, right, 3) for right in (0, 3, 5)] == [0, 1, 1]
    for k in (0, 6):
        with pytest.raises(FtlabError, match=f"pass@{k} of 5 samples"):
            pass_at_k(5, 1, k)


def test_pass_at_k_is_unbiased():
    """Its mean over samples of n equals the chance that one of k fresh samples is right."""
    from math import comb

    n, k, p = 6, 3, 0.3
    mean = sum(comb(n, c) * p**c * (1 - p) ** (n - c) * pass_at_k(n, c, k) for c in range(n + 1))
    assert mean == pytest.approx(1 - (1 - p) ** k)


def test_a_system_without_namespaces_is_told_once(row, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "")
    _isolation.cache_clear()
    try:
        assert [Code().grade_row(RIGHT, row(tests=TESTS)) for _ in range(2)] == [1, 1]
    finally:
        _isolation.cache_clear()
    [said] = capsys.readouterr().err.splitlines()
    assert said.startswith("ftlab: warning: programs of the grader Code run with network: this system allows no new")
