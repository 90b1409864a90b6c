"""Kubernetes: a Deployment, for a server a Service and what it keeps, for either the Secret's name. Pure."""

import shlex
from typing import Any

from appliance.cli.generate import yaml_text
from appliance.cli.generate.containers import USER_ID, image
from appliance.cli.generate.plan import STATE, Plan, is_loopback
from appliance.config.options import ConfigError

FILES = "/etc/sluice"
STOP_SECONDS = 15  # beyond what the program gives to requests under way
LEAVE_SECONDS = 5  # for proxies to hear that a pod is going, before it stops to accept


def generate(plan: Plan) -> str:
    _check(plan)
    documents: list[Any] = []
    if _keeps(plan):
        documents.append(_claim(plan))
    documents.append(_deployment(plan))
    if plan.server:
        documents.append(_service(plan))
    return _comment(plan) + yaml_text.documents(*documents)


def _check(plan: Plan) -> None:
    if plan.state:
        raise ConfigError(f"--auto-tls-path {plan.state}: a pod keeps its state in a volume: leave this flag out")
    for upstream in plan.upstreams:
        if upstream.scheme == "unix":
            raise ConfigError(f"--upstream {upstream.label}: a pod sees no socket of another program: use its port")
    for listener in plan.listeners:
        if listener.host and is_loopback(listener.host):
            name = "--control-addr" if listener.name == "control" else "--data-addr"
            raise ConfigError(f"{name} {listener.host} cannot be reached from outside the pod: leave it out")
        if not listener.port:
            raise ConfigError("port 0 is any free port, to which no Service can lead: choose one")


def _comment(plan: Plan) -> str:
    secrets = " ".join(shlex.quote(f"--from-file={file.key}={file.path}") for file in plan.files if not file.directory)
    lines = [
        "The secret is not in this text. Once:",
        f"    kubectl create secret generic {plan.name} {secrets}",
    ]
    for file in plan.files:
        if file.directory:
            source = shlex.quote(f"--from-file={file.path}")
            lines.append(f"    kubectl create secret generic {plan.name}-{file.key} {source}")
    if plan.token_note:
        lines.append(plan.token_note)
    lines += [
        f"The image is made by `docker build --tag {image(plan)} .` in a checkout of Sluice: push it to where your",
        "cluster finds it, and write its whole name below.",
    ]
    for number, path in enumerate(_directories(plan), 1):
        lines.append(f"The claim {plan.name}-directory-{number} is for you to make: with what {path} is to have.")
    if any(is_loopback(upstream.host) for upstream in plan.upstreams if upstream.host):
        lines.append("An upstream at 127.0.0.1 is a container of this same pod: name a Service to reach another one.")
    if plan.server and _ranges_left_out(plan):
        lines.append("A Service leads to each port by itself: name those that clients may open with --allow-ports.")
    return "".join(f"# {line}\n" for line in lines)


def _labels(plan: Plan) -> dict[str, str]:
    return {"app.kubernetes.io/name": "sluice", "app.kubernetes.io/instance": plan.name}


def _metadata(plan: Plan, name: str = "") -> dict[str, Any]:
    return {"name": name or plan.name, "labels": {**_labels(plan), "app.kubernetes.io/component": plan.kind}}


def _keeps(plan: Plan) -> bool:
    """Whether it has an authority or certificates of its own, which must outlive the pod."""
    config = plan.config
    return plan.server and (
        (config.auto_tls and not config.tls_cert) or bool(getattr(config, "letsencrypt_domain", ()))
    )


def _claim(plan: Plan) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(plan, f"{plan.name}-state"),
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "16Mi"}}},
    }


def _deployment(plan: Plan) -> dict[str, Any]:
    # One at a time: a client is connected to one server, which alone can serve its visitors.
    strategy = "Recreate" if _keeps(plan) or not plan.server else "RollingUpdate"
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(plan),
        "spec": {
            "replicas": 1,
            "strategy": {"type": strategy},
            "selector": {"matchLabels": _labels(plan)},
            "template": {"metadata": {"labels": _labels(plan)}, "spec": _pod(plan)},
        },
    }


def _pod(plan: Plan) -> dict[str, Any]:
    security: dict[str, Any] = {
        "runAsNonRoot": True,
        "runAsUser": USER_ID,
        "runAsGroup": USER_ID,
        "fsGroup": USER_ID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if plan.privileged:
        security["sysctls"] = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]
    volumes = [name for name, _ in _volumes(plan)]
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": plan.grace_seconds + STOP_SECONDS + LEAVE_SECONDS,
        "securityContext": security,
        "containers": [_container(plan)],
        "volumes": volumes,
    }


def _container(plan: Plan) -> dict[str, Any]:
    place = {file.key: f"{FILES}/{'' if file.directory else 'files/'}{file.key}" for file in plan.files}
    container: dict[str, Any] = {
        "name": plan.kind,
        "image": image(plan),
        "args": [word.replace("$(", "$$(") for word in plan.words(place)],
        "env": [{"name": "STATE_DIRECTORY", "value": STATE}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "requests": {"cpu": "50m", "memory": "96Mi" if plan.server else "48Mi"},
            "limits": {"memory": "512Mi" if plan.server else "256Mi"},
        },
        "volumeMounts": [mount for _, mount in _volumes(plan)],
    }
    if plan.server:
        container["ports"] = [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in _ports(plan)]
        # What takes minutes is the first start on a slow volume; afterwards a dead one is noticed within one.
        container["startupProbe"] = {**_probe(plan, "/healthz"), "periodSeconds": 2, "failureThreshold": 60}
        container["livenessProbe"] = {**_probe(plan, "/healthz"), "periodSeconds": 20, "timeoutSeconds": 5}
        container["readinessProbe"] = {**_probe(plan, "/readyz"), "periodSeconds": 5, "timeoutSeconds": 3}
        container["lifecycle"] = {"preStop": {"exec": {"command": ["sleep", str(LEAVE_SECONDS)]}}}
    else:
        check = ["/opt/sluice/bin/healthcheck"]
        container["readinessProbe"] = {"exec": {"command": check}, "periodSeconds": 15, "timeoutSeconds": 5}
    return container


def _probe(plan: Plan, path: str) -> dict[str, Any]:
    """By HTTP; where only some addresses may connect, the cluster's own is not known here: by TCP then."""
    if plan.config.allow_ips:
        return {"tcpSocket": {"port": "control"}}
    return {"httpGet": {"path": path, "port": "control", "scheme": "HTTPS" if plan.control_tls else "HTTP"}}


def _volumes(plan: Plan) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Volumes of the pod, each with how the container mounts it."""
    found: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (
            {"name": "files", "secret": {"secretName": plan.name, "defaultMode": 0o440}},
            {"name": "files", "mountPath": f"{FILES}/files", "readOnly": True},
        ),
        (
            {"name": "state", **_state(plan)},
            {"name": "state", "mountPath": STATE},
        ),
    ]
    for file in plan.files:
        if file.directory:
            secret = {"secretName": f"{plan.name}-{file.key}", "defaultMode": 0o440}
            mount = {"name": file.key, "mountPath": f"{FILES}/{file.key}", "readOnly": True}
            found.append(({"name": file.key, "secret": secret}, mount))
    for number, path in enumerate(_directories(plan), 1):
        name = f"directory-{number}"
        claim = {"claimName": f"{plan.name}-{name}", "readOnly": True}
        found.append(
            ({"name": name, "persistentVolumeClaim": claim}, {"name": name, "mountPath": path, "readOnly": True})
        )
    return found


def _state(plan: Plan) -> dict[str, Any]:
    if _keeps(plan):
        return {"persistentVolumeClaim": {"claimName": f"{plan.name}-state"}}
    return {"emptyDir": {"sizeLimit": "16Mi"}}


def _directories(plan: Plan) -> list[str]:
    return list(dict.fromkeys(upstream.path for upstream in plan.upstreams if upstream.scheme == "directory"))


def _ranges_left_out(plan: Plan) -> bool:
    try:
        plan.visitors_ports()
    except ConfigError:
        return True
    return False


def _ports(plan: Plan) -> list[tuple[str, int]]:
    visitors = () if _ranges_left_out(plan) else plan.visitors_ports()
    return [(listener.name, listener.port) for listener in plan.listeners] + [
        (f"tcp-{port}", port) for port in visitors
    ]


def _service(plan: Plan) -> dict[str, Any]:
    """An Ingress leads to one whose control plane speaks no TLS of its own; else it is for the outside itself."""
    outside = plan.control_tls or getattr(plan.config, "secure", False) or bool(_ports(plan)[len(plan.listeners) :])
    ports = [
        {"name": name, "port": 80 if name == "http" and not outside else port, "targetPort": name, "protocol": "TCP"}
        for name, port in _ports(plan)
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(plan),
        "spec": {"type": "LoadBalancer" if outside else "ClusterIP", "selector": _labels(plan), "ports": ports},
    }
