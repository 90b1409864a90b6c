"""Manifests. `scripts/test-generated` holds them against the schemas of Kubernetes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from appliance.config.options import ConfigError
from tests.cli.generate.making import CLIENTS, COMMANDS, URL, printed


def manifests(*words: str) -> dict[str, dict[str, Any]]:
    """By kind."""
    found = list(yaml.safe_load_all(printed(*words, of="k8s_yaml")))
    assert len({document["kind"] for document in found}) == len(found)
    return {document["kind"]: document for document in found}


def pod(*words: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Its specification, and its container."""
    spec = manifests(*words)["Deployment"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    return spec, container


@pytest.mark.parametrize("command", COMMANDS)
def test_it_runs_without_rights(command: str) -> None:
    """As the "restricted" Pod Security Standard demands, and more."""
    spec, container = pod(*COMMANDS[command])
    assert spec["automountServiceAccountToken"] is False
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True and security["runAsUser"] == security["fsGroup"] == 65532
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert container["resources"]["limits"]["memory"] and container["resources"]["requests"]["cpu"]
    assert "readinessProbe" in container


@pytest.mark.parametrize("command", COMMANDS)
def test_its_parts_fit_together(command: str) -> None:
    found = manifests(*COMMANDS[command])
    deployment = found["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"].items() <= labels.items()
    spec, container = pod(*COMMANDS[command])
    volumes = {volume["name"] for volume in spec["volumes"]}
    assert volumes == {mount["name"] for mount in container["volumeMounts"]}
    assert ("Service" in found) == ("server" in command)
    if "server" in command:
        service = found["Service"]["spec"]
        assert service["selector"].items() <= labels.items()
        ports = {port["name"] for port in container["ports"]}
        assert {port["targetPort"] for port in service["ports"]} == ports >= {"control"}
        assert container["livenessProbe"]["httpGet"]["port"] == "control"
        (claim,) = [volume for volume in spec["volumes"] if "persistentVolumeClaim" in volume]
        assert claim["persistentVolumeClaim"]["claimName"] == found["PersistentVolumeClaim"]["metadata"]["name"]


def test_the_secret_is_named_and_mounted() -> None:
    spec, container = pod("http", "server", "--tls-cert", "/c.pem", "--tls-key", "/k.pem", "--data-cert-dir", "/certs")
    secrets = {v["name"]: v["secret"]["secretName"] for v in spec["volumes"] if "secret" in v}
    assert secrets == {"files": "sluice-server", "data-cert-dir-1": "sluice-server-data-cert-dir-1"}
    places = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    for key in ("token", "tls-cert", "tls-key"):
        assert any(word.endswith(f"={places['files']}/{key}") for word in container["args"])
    assert f"--data-cert-dir={places['data-cert-dir-1']}" in container["args"]
    comment = printed("http", "server", "--tls-cert", "/c.pem", "--tls-key", "/a b", of="k8s_yaml").partition("api")[0]
    assert "--from-file=token=/etc/sluice/token --from-file=tls-cert=/c.pem '--from-file=tls-key=/a b'" in comment


def test_behind_an_ingress() -> None:
    """It keeps nothing, and speaks plain HTTP to the cluster."""
    found = manifests("http", "server", "--auto-tls=false")
    assert "PersistentVolumeClaim" not in found
    assert found["Service"]["spec"]["type"] == "ClusterIP"
    assert [port["port"] for port in found["Service"]["spec"]["ports"]] == [80, 8123]
    assert found["Deployment"]["spec"]["strategy"] == {"type": "RollingUpdate"}
    _, container = pod("http", "server", "--auto-tls=false")
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "control", "scheme": "HTTP"}


def test_for_the_outside_itself() -> None:
    found = manifests("server", "--allow-ports", "22,2222")
    assert found["Service"]["spec"]["type"] == "LoadBalancer"
    names = [port["name"] for port in found["Service"]["spec"]["ports"]]
    assert names == ["http", "control", "tcp-22", "tcp-2222"]
    assert found["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    spec, container = pod("server", "--allow-ports", "22,2222")
    assert spec["securityContext"]["sysctls"] == [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
    assert container["readinessProbe"]["httpGet"]["scheme"] == "HTTPS"
    assert "name those that clients may open with --allow-ports" in printed("tcp", "server", of="k8s_yaml")


def test_probes_that_would_be_turned_away() -> None:
    _, container = pod("http", "server", "--allow-ips", "203.0.113.0/24")
    assert container["readinessProbe"]["tcpSocket"] == container["livenessProbe"]["tcpSocket"] == {"port": "control"}


def test_time_to_leave() -> None:
    spec, container = pod("http", "server", "--grace", "60s")
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] > 60 + pause


def test_what_kubernetes_would_replace() -> None:
    """$(NAME) in arguments."""
    _, container = pod("http", "client", *URL, "--upstream", "a=/srv/$(HOME)$x")
    assert container["args"][-1] == "--upstream=a=/srv/$$(HOME)$x"


def test_directories_are_claims() -> None:
    spec, container = pod("http", "client", *URL, "--upstream", "a=/srv/a,b=/srv/b?browse=true,c=/srv/a")
    claims = {
        v["name"]: v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if "persistentVolumeClaim" in v
    }
    assert claims == {"directory-1": "sluice-client-directory-1", "directory-2": "sluice-client-directory-2"}
    assert {"name": "directory-2", "mountPath": "/srv/b", "readOnly": True} in container["volumeMounts"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*CLIENTS["http"], "--upstream", "a=unix:/run/app.sock"], "--upstream"),
        (["http", "server", "--data-addr", "127.0.0.1"], "--data-addr"),
        (["http", "server", "--control-addr", "localhost"], "--control-addr"),
        (["http", "server", "--port", "0"], "port 0"),
        (["http", "server", "--auto-tls-path", "/srv/keys"], "--auto-tls-path /srv/keys"),
    ],
)
def test_what_cannot_be_in_a_pod(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        printed(*words, of="k8s_yaml")


def test_loopback_is_the_pod() -> None:
    assert "same pod" in printed("http", "client", *URL, "--upstream", "http://localhost:3000", of="k8s_yaml")
    assert "same pod" not in printed("http", "client", *URL, "--upstream", "http://web:3000", of="k8s_yaml")
