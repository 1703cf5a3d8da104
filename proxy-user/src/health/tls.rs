//! The client's side of a handshake: what probes send, and which certificates pass.

mod any_certificate;

use std::{io, sync::Arc};

use anyhow::Context as _;
use rustls::{
    ClientConfig,
    client::{Resumption, WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::ServerName,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::{TlsConnector, client::TlsStream};

use self::any_certificate::AnyCertificate;
use crate::config::{HostName, Trust};

#[derive(Clone)]
pub struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// `protocols`: what ALPN (RFC 7301) offers, the best first.
    pub fn new(host: &HostName, trust: &Trust, protocols: &[&str]) -> anyhow::Result<Self> {
        let name = ServerName::try_from(host.as_str().to_owned())
            .with_context(|| format!("endpoint: {host}: is no name that TLS can ask for"))?;
        let provider = Arc::new(ring::default_provider());
        let verifier = verifier(trust, &provider).context("ca: cannot be used")?;
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        // A resumed session shows no certificate, and each probe is to see it.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Self { connector: Arc::new(config).into(), name })
    }

    pub async fn handshake(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await
    }

    /// A handshake, and a farewell.
    pub async fn greet(&self, stream: TcpStream) -> io::Result<()> {
        farewell(self.handshake(stream).await?).await;
        Ok(())
    }
}

/// Closes an open connection in all order: a reset here would be an error in the server's log.
async fn farewell(mut stream: TlsStream<TcpStream>) {
    let tcp = socket2::SockRef::from(stream.get_ref().0);
    // The verdict is in, and no farewell that fails changes it.
    tcp.set_linger(None).ok();
    stream.shutdown().await.ok();
}

fn verifier(
    trust: &Trust,
    provider: &Arc<CryptoProvider>,
) -> anyhow::Result<Arc<dyn ServerCertVerifier>> {
    match trust {
        Trust::Anybody => Ok(Arc::new(AnyCertificate::new(provider))),
        Trust::Authorities(authorities) => {
            let builder =
                WebPkiServerVerifier::builder_with_provider(authorities.roots(), provider.clone());
            Ok(builder.build()?)
        }
    }
}
