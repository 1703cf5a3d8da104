//! What the API servers have to say: a pod list of a usual size, and watch events about it.

use std::sync::LazyLock;

use hyper::body::Bytes;
use serde_json::{Value, json};

const PODS: usize = 300;

/// Some 300 kB, made once for all servers.
pub(crate) fn list() -> Bytes {
    static LIST: LazyLock<Bytes> = LazyLock::new(|| {
        let items: Vec<_> = (0..PODS).map(pod).collect();
        let list = json!({
            "kind": "PodList",
            "apiVersion": "v1",
            "metadata": { "resourceVersion": "1000" },
            "items": items,
        });
        list.to_string().into()
    });
    LIST.clone()
}

/// One line of a watch.
pub(crate) fn watch_event(number: usize) -> Bytes {
    let event = json!({ "type": "MODIFIED", "object": pod(number % PODS) });
    format!("{event}\n").into()
}

pub(crate) fn version() -> Bytes {
    json!({
        "major": "1",
        "minor": "34",
        "gitVersion": "v1.34.2-eks-lab",
        "gitCommit": "0000000000000000000000000000000000000000",
        "gitTreeState": "clean",
        "buildDate": "2025-11-11T00:00:00Z",
        "goVersion": "go1.24.6",
        "compiler": "gc",
        "platform": "linux/amd64",
    })
    .to_string()
    .into()
}

fn pod(number: usize) -> Value {
    let name = format!("web-{number:04}");
    json!({
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": format!("00000000-0000-4000-8000-{number:012}"),
            "resourceVersion": (1000 + number).to_string(),
            "creationTimestamp": "2025-11-11T00:00:00Z",
            "labels": { "app": "web", "pod-template-hash": "5d5d9c7f6b", "tier": "frontend" },
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d5d9c7f6b",
                "uid": "00000000-0000-4000-9000-000000000001", "controller": true,
            }],
        },
        "spec": {
            "containers": [{
                "name": "web",
                "image": "registry.example/web:1.2.3",
                "ports": [{ "containerPort": 8080, "protocol": "TCP" }],
                "resources": { "limits": { "cpu": "500m", "memory": "256Mi" } },
            }],
            "nodeName": format!("ip-10-0-30-{}.us-west-2.compute.internal", number % 250),
            "restartPolicy": "Always",
        },
        "status": {
            "phase": "Running",
            "podIP": format!("10.0.{}.{}", 40 + number / 250, number % 250),
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_as_large_as_a_real_one() {
        let size = list().len();
        assert!((200_000..400_000).contains(&size), "{size} bytes");
    }

    #[test]
    fn a_watch_event_is_one_line_of_json() {
        let event = watch_event(7);
        let line = event.strip_suffix(b"\n").expect("ends with a newline");
        let event: Value = serde_json::from_slice(line).expect("JSON");
        assert_eq!(event["object"]["metadata"]["name"], "web-0007");
    }
}
