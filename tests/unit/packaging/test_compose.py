"""docker-compose.yml is valid, keeps to loopback and has no password of its own.

`compose_spec.json` is the Compose Specification's schema as docker-compose 1.29.2
(Apache-2.0) ships it.
"""

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads(Path(__file__).with_name("compose_spec.json").read_text())
SERVERS = {"redis", "consul", "rabbitmq", "postgres", "prometheus", "grafana"}
SECRET = re.compile(r"PASS|TOKEN|SECRET|AUTH", re.IGNORECASE)
VARIABLE = re.compile(r"\$\{(\w+)([^}]*)\}")


@pytest.fixture
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def published(service: dict[str, Any]) -> list[str]:
    return service.get("ports", [])


def mounts(service: dict[str, Any]) -> list[list[str]]:
    return [mount.split(":") for mount in service.get("volumes", [])]


def faults(compose: dict[str, Any]) -> list[str]:
    found = jsonschema.Draft7Validator(SCHEMA).iter_errors(compose)
    return [f"{error.json_path}: {error.message[:200]}" for error in found]


def test_it_is_valid_by_the_schema_of_the_compose_specification(compose):
    assert faults(compose) == []


@pytest.mark.parametrize(
    ("service", "name", "value"),
    [
        ("redis", "port", ["6379"]),
        ("redis", "image", 7),
        ("consul", "healthcheck", {"command": "true"}),
        ("postgres", "restart", True),
    ],
)
def test_the_schema_refuses_what_compose_would(compose, service, name, value):
    broken = copy.deepcopy(compose)
    broken["services"][service][name] = value

    assert f"$.services.{service}" in faults(broken)[0]


def test_it_has_every_server_with_a_health_check_and_a_pinned_image(compose):
    services = compose["services"]

    assert services.keys() >= SERVERS
    for name, service in services.items():
        assert service["healthcheck"]["test"], name
        assert re.search(r":v?\d+\.?\d*", service["image"]), name


def test_every_port_is_published_on_loopback_only(compose):
    for name, service in compose["services"].items():
        for port in published(service):
            assert port.startswith("127.0.0.1:"), f"{name}: {port}"


def test_no_two_services_publish_the_same_port(compose):
    ports = [
        port.split(":")[1]
        for service in compose["services"].values()
        for port in published(service)
    ]

    assert sorted(ports) == sorted(set(ports))


def test_every_secret_must_be_given(compose):
    for name, service in compose["services"].items():
        for variable, value in service.get("environment", {}).items():
            found = VARIABLE.findall(value)
            assert found or not SECRET.search(variable), f"{name}: {variable}"
            for secret, rest in found:
                assert rest.startswith(":?"), f"{name}: {secret} may be left out"


def test_the_comment_on_top_makes_every_variable_that_is_asked_for():
    text = (ROOT / "docker-compose.yml").read_text()
    recipe = text.partition("for name in ")[2].partition("; do")[0]

    made = {f"QUORATE_{word}" for word in recipe.split() if word.isupper()}

    asked = {name for name, _ in VARIABLE.findall(text)}
    assert made == asked


def test_secrets_that_were_made_are_not_committed():
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_every_volume_is_declared_and_every_mounted_path_is_there(compose):
    for name, service in compose["services"].items():
        for source, *_ in mounts(service):
            if source.startswith("."):
                assert (ROOT / source).exists(), f"{name}: {source}"
            else:
                assert source in compose["volumes"], f"{name}: {source}"


def test_prometheus_and_grafana_ask_services_that_are_there(compose):
    prometheus = yaml.safe_load((ROOT / "config/prometheus/prometheus.yml").read_text())
    grafana = yaml.safe_load(
        (ROOT / "config/grafana/provisioning/datasources/prometheus.yml").read_text()
    )

    asked = [
        target.partition(":")[0]
        for job in prometheus["scrape_configs"]
        for static in job.get("static_configs", [])
        for target in static["targets"]
    ]
    asked += [
        source["url"].removeprefix("http://").partition(":")[0]
        for source in grafana["datasources"]
    ]
    assert set(asked) <= {"localhost", *compose["services"]}
