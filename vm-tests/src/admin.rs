//! The agent's admin endpoint, reached from inside the proxy's own network.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use proxy_user::status::Status;

use crate::place::Inside;

const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct Admin {
    inside: Inside,
    address: SocketAddr,
    http: reqwest::Client,
}

impl Admin {
    pub(crate) fn new(inside: Inside, address: SocketAddr) -> anyhow::Result<Self> {
        // Nothing is kept open: the agent may be another one at the next request.
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(crate::pki::no_authority()?)
            .pool_max_idle_per_host(0)
            .timeout(DEADLINE)
            .no_proxy()
            .build()?;
        Ok(Self { inside, address, http })
    }

    pub async fn status(&self) -> anyhow::Result<Status> {
        let (code, body) = self.get("/status").await?;
        anyhow::ensure!(code == 200, "/status answered {code}: {body}");
        serde_json::from_str(&body).with_context(|| format!("reading /status: {body}"))
    }

    /// Status code and body.
    pub async fn get(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let request = self.http.get(format!("http://{}{path}", self.address));
        let answer = async move {
            let response = request.send().await?;
            Ok((response.status().as_u16(), response.text().await?))
        };
        self.inside.run(answer).await.with_context(|| format!("asking the agent for {path}"))
    }
}
