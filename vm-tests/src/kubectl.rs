//! kubectl, in the client's namespace, with a kubeconfig for the lab.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use serde_json::json;
use tokio::{process::Command, time::timeout};

use crate::{client::Client, plan::ENDPOINT, tool::on_path};

const DEADLINE: Duration = Duration::from_secs(20);

/// A kubeconfig: the endpoint by its name, reached at the proxy's address. JSON is YAML too.
pub(crate) fn write_config(path: &Path, client: &Client, authority: &Path) -> anyhow::Result<()> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "lab",
        "clusters": [{ "name": "lab", "cluster": {
            "server": format!("https://{}", client.proxy()),
            "tls-server-name": ENDPOINT,
            "certificate-authority": authority,
        } }],
        // Without a credential kubectl would ask for a password.
        "users": [{ "name": "nobody", "user": { "token": "none" } }],
        "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": "nobody" } }],
    });
    fs::write(path, config.to_string()).with_context(|| format!("writing {}", path.display()))
}

/// `None` where there is no kubectl on the PATH.
pub(crate) async fn run(
    client: &Client,
    config: PathBuf,
    arguments: &[&str],
) -> anyhow::Result<Option<Output>> {
    let Some(kubectl) = on_path("kubectl") else { return Ok(None) };
    let mut command = Command::new(kubectl);
    command.arg("--kubeconfig").arg(config).args(arguments);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = async move {
        let output = timeout(DEADLINE, command.output()).await;
        Ok(output.with_context(|| format!("kubectl did not end within {DEADLINE:?}"))??)
    };
    client.inside().run(output).await.map(Some)
}
