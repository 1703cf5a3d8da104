//! The client behind the NLB's address: single requests over HTTP/2, and bare TCP.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustls::ClientConfig;
use tokio::{net::TcpStream, time::timeout};

use crate::{
    banter::{self, Banter, Banters},
    held::Held,
    load::{Load, Mix},
    place::Inside,
    plan::ENDPOINT,
    routes,
    talk::{self, Topic},
    transfer::Transfer,
};

const CONNECT: Duration = Duration::from_secs(5);
const REQUEST: Duration = Duration::from_secs(20);

/// Makes a new connection for each request, unless it is `kept()`.
#[derive(Clone, Debug)]
pub struct Client {
    inside: Inside,
    proxy: SocketAddr,
    /// Whom it asks for.
    name: String,
    tls: ClientConfig,
    http: reqwest::Client,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Address of the ENI that answered, and which of its connections carried it.
    pub eni: String,
    pub connection: u64,
    pub body: Vec<u8>,
    pub took: Duration,
}

impl Client {
    pub(crate) fn new(
        inside: Inside,
        proxy: SocketAddr,
        tls: ClientConfig,
    ) -> anyhow::Result<Self> {
        Self::asking(ENDPOINT, inside, proxy, tls)
    }

    fn asking(
        name: &str,
        inside: Inside,
        proxy: SocketAddr,
        tls: ClientConfig,
    ) -> anyhow::Result<Self> {
        let http = builder(name, proxy, tls.clone()).pool_max_idle_per_host(0).build()?;
        Ok(Self { inside, proxy, name: name.to_owned(), tls, http })
    }

    /// The same client, of another cluster.
    pub(crate) fn of(&self, name: &str, tls: ClientConfig) -> anyhow::Result<Self> {
        Self::asking(name, self.inside.clone(), self.proxy, tls)
    }

    /// The same client, asking for another name.
    pub fn for_name(&self, name: &str) -> anyhow::Result<Self> {
        self.of(name, self.tls.clone())
    }

    /// The same client, to another address of the proxy.
    pub(crate) fn to(&self, proxy: SocketAddr) -> anyhow::Result<Self> {
        Self::asking(&self.name, self.inside.clone(), proxy, self.tls.clone())
    }

    /// The same client with one connection, kept from the first request on.
    pub fn kept(&self) -> anyhow::Result<Self> {
        let http = builder(&self.name, self.proxy, self.tls.clone()).build()?;
        Ok(Self { http, ..self.clone() })
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Reply> {
        let request = self.http.get(self.url(path)).timeout(REQUEST);
        self.inside.run(async move { reply(request).await }).await
    }

    /// Its body can be read piece by piece, from anywhere.
    pub(crate) async fn open(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        self.http.get(self.url(path)).send().await?.error_for_status()
    }

    /// A bare TCP connection to the proxy.
    pub async fn connect(&self) -> anyhow::Result<TcpStream> {
        let proxy = self.proxy;
        let connected = async move { Ok(timeout(CONNECT, TcpStream::connect(proxy)).await) };
        let stream = self.inside.run(connected).await?;
        Ok(stream.with_context(|| format!("no answer from {proxy}"))??)
    }

    /// So many conversations at a time, all open before the first of them ends, and so many times.
    pub async fn talk(&self, times: usize, at_a_time: usize, topic: Topic) -> anyhow::Result<()> {
        let proxy = self.proxy;
        let all = async move {
            for _ in 0..times {
                talk::together(proxy, at_a_time, topic).await?;
            }
            Ok(())
        };
        self.inside.run(all).await
    }

    /// One connection for each of these, so many at a time; what is in them is said first.
    pub async fn banter(
        &self,
        openings: Vec<Vec<u8>>,
        at_a_time: usize,
        banter: Banter,
    ) -> anyhow::Result<Banters> {
        let proxy = self.proxy;
        self.inside
            .run(async move { Ok(banter::all(proxy, openings, at_a_time, banter).await) })
            .await
    }

    /// A bare TCP connection that has brought back its first echo.
    pub async fn hold(&self) -> anyhow::Result<Held> {
        Held::start(self.connect().await?).await
    }

    /// So many of them, one opened after the other.
    pub async fn hold_many(&self, count: u64) -> anyhow::Result<Vec<Held>> {
        let proxy = self.proxy;
        let all = async move {
            let mut all = Vec::new();
            for number in 0..count {
                let held = async { Held::start(TcpStream::connect(proxy).await?).await };
                let held = timeout(CONNECT, held).await;
                let within = || format!("connection {number}: not within {CONNECT:?}");
                all.push(held.with_context(within)??);
            }
            Ok(all)
        };
        self.inside.run(all).await
    }

    /// One connection after the other, each of which brings back an echo and is ended by the client.
    pub async fn short_connections(&self, count: u32) -> anyhow::Result<()> {
        let proxy = self.proxy;
        // All of it inside: a thread that waits for another is slow twenty thousand times.
        let all = async move {
            for number in 0..count {
                let short =
                    async { Held::start(TcpStream::connect(proxy).await?).await?.end().await };
                let ended = timeout(CONNECT, short).await;
                ended.with_context(|| format!("connection {number}: not within {CONNECT:?}"))??;
            }
            Ok(())
        };
        self.inside.run(all).await
    }

    /// A bare TCP connection that is kept busy, to an echo server.
    pub async fn transfer(&self) -> anyhow::Result<Transfer> {
        Transfer::start(&self.inside, self.connect().await?)
    }

    /// A connection that was held open is busy from now on.
    pub fn transfer_on(&self, held: Held) -> anyhow::Result<Transfer> {
        Transfer::start(&self.inside, held.into_stream())
    }

    pub fn load(&self, mix: Mix) -> anyhow::Result<Load> {
        Load::start(self, mix)
    }

    pub fn proxy(&self) -> SocketAddr {
        self.proxy
    }

    pub(crate) fn inside(&self) -> &Inside {
        &self.inside
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}:{}{path}", self.name, self.proxy.port())
    }
}

fn builder(name: &str, proxy: SocketAddr, tls: ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .resolve(name, proxy)
        .connect_timeout(CONNECT)
        .no_proxy()
}

async fn reply(request: reqwest::RequestBuilder) -> anyhow::Result<Reply> {
    let started = Instant::now();
    let response = request.send().await?;
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let eni = header(routes::ENI).context("an answer without x-eni")?.to_owned();
    let connection = header(routes::CONNECTION)
        .and_then(|number| number.parse().ok())
        .context("an answer without x-connection")?;
    let status = response.status().as_u16();
    let body = response.bytes().await?.to_vec();
    Ok(Reply { status, eni, connection, body, took: started.elapsed() })
}
