"""Settings are whole or refused, and every fault is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.core.errors import InvalidSettings
from quorate.settings import load_settings, process_environment

CONFIG = Path(__file__).parents[3] / "config"
CANARY = "hunter2-canary"


@pytest.fixture
def written(tmp_path):
    def write(text: str, name: str = "app.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def faults_of(*args, **kwargs) -> tuple[str, ...]:
    with pytest.raises(InvalidSettings) as refused:
        load_settings(*args, **kwargs)
    assert "nothing was started" in str(refused.value).lower()
    return refused.value.faults


def test_without_a_file_and_variables_there_are_the_defaults():
    settings = load_settings(environ={})

    assert settings.session.ttl_s == 15.0
    assert settings.queue.weights.high == 16
    assert settings.messaging.workers.queues == (
        "default",
        "high_priority",
        "low_priority",
    )
    assert settings.dynamic_config.redis_url.reveal() == "redis://localhost:6379"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "queue:\n  concurrency: 8\n"),
        ("a.yml", "queue: {concurrency: 8}"),
        ("a.toml", "[queue]\nconcurrency = 8\n"),
        ("a.json", '{"queue": {"concurrency": 8}}'),
        ("b.yaml", "queue.concurrency: 8"),
    ],
)
def test_a_file_of_every_format_is_read(written, name, text):
    settings = load_settings(written(text, name), environ={})

    assert settings.queue.concurrency == 8
    assert settings.queue.age_floor_s == 60.0


def test_the_sample_file_says_exactly_the_defaults():
    assert load_settings(CONFIG / "quorate.yaml", environ={}) == load_settings(
        environ={}
    )


def test_the_owners_file_is_accepted_as_it_stands_in_the_document():
    settings = load_settings(CONFIG / "optimized_config.yaml", environ={})

    assert settings.messaging.queue_type == "redis"
    assert settings.messaging.redis.url.reveal() == "redis://localhost:6379"
    assert settings.messaging.workers.count == 4
    assert settings.distributed_lock.default_timeout == 30.0
    assert settings.distributed_lock.auto_extend is True
    assert settings.health_check.global_.check_interval == 30.0
    assert settings.health_check.database.enabled is True
    assert settings.dynamic_config.environment == "development"
    assert settings.dynamic_config.max_versions == 10


SHORT = {
    "REDIS_URL": "redis://other:1",
    "QUEUE_TYPE": "rabbitmq",
    "HEALTH_CHECK_ENABLED": "false",
    "MESSAGE_WORKERS": "7",
    "ENVIRONMENT": "production",
    "LOG_LEVEL": "WARNING",
    "DATA_DIR": "/var/lib/x",
}


@pytest.mark.parametrize("file", [None, CONFIG / "optimized_config.yaml"])
def test_the_short_variables_override_with_and_without_a_file(file):
    settings = load_settings(file, environ=SHORT)

    assert settings.messaging.redis.url.reveal() == "redis://other:1"
    assert settings.distributed_lock.redis_url.reveal() == "redis://other:1"
    assert settings.dynamic_config.redis_url.reveal() == "redis://other:1"
    assert settings.messaging.queue_type == "rabbitmq"
    assert settings.health_check.global_.enabled is False
    assert settings.messaging.workers.count == 7
    assert settings.dynamic_config.environment == "production"
    assert settings.logging.level == "warning"
    assert settings.data_dir == "/var/lib/x"


def test_a_settings_own_variable_beats_its_short_name():
    environ = {
        "REDIS_URL": "redis://short",
        "QUORATE_MESSAGING__REDIS__URL": "redis://own",
    }

    settings = load_settings(environ=environ)

    assert settings.messaging.redis.url.reveal() == "redis://own"
    assert settings.dynamic_config.redis_url.reveal() == "redis://short"


def test_variables_reach_every_kind_of_setting():
    settings = load_settings(
        environ={
            "QUORATE_SESSION__TTL_S": "20",
            "QUORATE_NAMESPACE": "shop",
            "QUORATE_METRICS__ENABLED": "yes",
            "QUORATE_HEALTH_CHECK__GLOBAL__ENABLED": "off",
            "QUORATE_QUEUE__RETRIES__ATTEMPTS": "3",
            "QUORATE_MESSAGING__WORKERS__QUEUES": "a, b",
        }
    )

    assert settings.session.ttl_s == 20.0
    assert settings.namespace == "shop"
    assert settings.metrics.enabled is True
    assert settings.health_check.global_.enabled is False
    assert settings.queue.retries.attempts == 3
    assert settings.messaging.workers.queues == ("a", "b")


def test_an_empty_variable_counts_as_not_set():
    assert load_settings(environ={"MESSAGE_WORKERS": "", "QUORATE_NAMESPACE": ""})


def test_a_variable_of_the_application_is_left_alone():
    environ = {"QUORATE_DATABASE__URL": "x", "QUORATE_TEST_REDIS_URL": "y"}

    assert load_settings(environ=environ) == load_settings(environ={})


def test_what_the_command_tells_its_children_is_no_setting():
    told = ("QUORATE_LOCK", "QUORATE_FENCE", "QUORATE_URL", "QUORATE_LOCKS_URL")

    assert load_settings(environ=dict.fromkeys(told, "1")) == load_settings(environ={})


def test_config_path_names_the_file(written):
    path = written("queue: {concurrency: 9}")

    assert load_settings(environ={"CONFIG_PATH": str(path)}).queue.concurrency == 9


def test_the_process_environment_is_read_when_none_is_given(monkeypatch):
    monkeypatch.setenv("MESSAGE_WORKERS", "3")

    assert load_settings().messaging.workers.count == 3
    assert process_environment()["MESSAGE_WORKERS"] == "3"


def test_interpolated_text_gets_the_type_of_its_setting(written):
    path = written(
        "messaging:\n  workers:\n    count: ${WORKERS:-6}\n"
        'metrics:\n  enabled: "${METRICS:-true}"\n'
        "data_dir: ${DIR:-0123}\n"
    )

    settings = load_settings(path, environ={})

    assert settings.messaging.workers.count == 6
    assert settings.metrics.enabled is True
    assert settings.data_dir == "0123"


def test_all_faults_are_listed_at_once_with_where_and_what_was_meant(written):
    path = written(
        "session:\n  ttl_s: 0\n  ttl: 5\n"
        "queue:\n  concurency: 8\n  attempt_timeout_s: soon\n"
        "namespace: 5\n"
        "qeueu: {}\n"
        "registry: 5\n"
        "logging: {level: loud}\n"
        "data_dir: ${NOWHERE}\n"
        "metrics: {port: 99999, enabled: 1}\n"
    )

    faults = faults_of(path, environ={"MESSAGE_WORKERS": "many"})

    assert len(faults) == 12
    listing = "\n".join(faults)
    for part in (
        "session.ttl_s = 0 must be at least 0.5: A process that is silent",
        "(app.yaml line 2)",
        "session.ttl is not a setting. Did you mean session.ttl_s? (app.yaml line 3)",
        "queue.concurency is not a setting. Did you mean queue.concurrency?",
        "queue.attempt_timeout_s = 'soon' must be a number, not text.",
        "namespace = 5 must be text, not a whole number; put it in quotes.",
        "qeueu is not a setting. Did you mean queue?",
        "registry must be a section, not a whole number.",
        "logging.level = 'loud' must be one of debug, info, warning, error, off.",
        "data_dir cannot be filled: The variable NOWHERE is not set.",
        "metrics.port = 99999 must be at most 65535",
        "metrics.enabled = 1 must be true or false, not a whole number.",
        "messaging.workers.count = 'many' is not a whole number. "
        "(from MESSAGE_WORKERS)",
    ):
        assert part in listing


def test_the_count_of_faults_is_told(written):
    with pytest.raises(InvalidSettings, match=r"app\.yaml has 1 fault;"):
        load_settings(written("session: {ttl_s: x}"), environ={})


def test_a_setting_in_the_wrong_section_is_pointed_to_the_right_one(written):
    (fault,) = faults_of(written("queue: {max_stall_s: 5}"), environ={})

    assert "Did you mean session.max_stall_s?" in fault


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("session: {ttl_s: 4, renew_every_s: 3}", "at most half of session.ttl_s"),
        ("session: {max_stall_s: 3}", "must be at least session.ttl_s"),
        (
            "queue: {retries: {backoff_base_s: 9, backoff_cap_s: 8}}",
            "must not be above",
        ),
        ("locks: {max_hold_s: 0.05}", "must be 0 or at least 0.1"),
        ("namespace: a b", "letters, digits and hyphens"),
        ("messaging: {workers: {queues: []}}", "at least one queue"),
        ("messaging: {workers: {queues: [a, a]}}", "twice"),
        ("messaging: {workers: {queues: ['']}}", "cannot be used"),
        ("dynamic_config: {environment: a/b}", "slash"),
        ("messaging: {workers: {queues: a}}", "must be a list of texts, not text"),
        ("messaging: {workers: {queues: [1]}}", "must be text"),
        ("session: {ttl_s: }", "has no value"),
        ("session: {ttl_s: 1e999}", "cannot travel"),
        ("session: {ttl_s: true}", "must be a number, not true or false"),
    ],
)
def test_what_does_not_fit_is_refused(written, text, told):
    with pytest.raises(InvalidSettings) as refused:
        load_settings(written(text), environ={})

    assert told in str(refused.value)


def test_a_pair_is_not_judged_by_a_value_that_is_wrong_itself(written):
    path = written("session: {ttl_s: wrong, renew_every_s: 9}")

    assert len(faults_of(path, environ={})) == 1


def test_a_variable_that_is_nearly_a_section_is_a_fault():
    (fault,) = faults_of(environ={"QUORATE_SESION__TTL_S": "5"})

    assert "Did you mean QUORATE_SESSION__TTL_S?" in fault


def test_two_names_of_one_setting_must_agree():
    assert load_settings(environ={"ENVIRONMENT": "a", "APP_ENV": "a"})

    (fault,) = faults_of(environ={"ENVIRONMENT": "a", "APP_ENV": "b"})
    assert "ENVIRONMENT and APP_ENV" in fault


def test_a_secret_never_shows_in_a_fault_or_in_the_settings(written):
    path = written(
        f"dynamic_config: {{redis_url: ['{CANARY}']}}\n"
        f"messaging: {{redis: {{url: 'redis://:{CANARY}@h'}}}}\n"
    )

    with pytest.raises(InvalidSettings) as refused:
        load_settings(path, environ={})
    assert CANARY not in str(refused.value)

    settings = load_settings(environ={"REDIS_URL": f"redis://:{CANARY}@h"})
    assert CANARY not in repr(settings)


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.yaml", b"a: [", "not valid YAML"),
        ("a.toml", b"a = ", "not valid TOML"),
        ("a.json", b"{", "not valid JSON"),
        ("a.ini", b"", "format of a.ini is not known"),
        ("a.yaml", b"- a", "does not hold settings"),
        ("a.yaml", b"\xff", "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name, data, told):
    path = tmp_path / name
    path.write_bytes(data)

    with pytest.raises(InvalidSettings, match=told):
        load_settings(path, environ={})


def test_a_file_that_is_not_there_or_no_file_is_refused(tmp_path):
    with pytest.raises(InvalidSettings, match="No such file"):
        load_settings(tmp_path / "none.yaml", environ={})
    with pytest.raises(InvalidSettings, match="is not a file"):
        load_settings(tmp_path, environ={})
