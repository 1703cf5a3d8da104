//! TLS as between kubectl and an API server: version 1.3, and a whole handshake each time.

use std::{net::SocketAddr, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::TLS13,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use super::{
    Ask,
    stream::{Failure, connect, in_time},
};
use crate::{pki::Pki, plan::ENDPOINT};

/// A server that has made its certificate itself.
pub(crate) fn acceptor() -> anyhow::Result<TlsAcceptor> {
    Ok(Pki::for_name(ENDPOINT)?.server.into())
}

/// A session that is resumed would spare most of the handshake.
pub(crate) fn connector() -> anyhow::Result<TlsConnector> {
    let provider = Arc::new(ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config).into())
}

/// A handshake, one message and its echo, on a connection of its own.
pub(crate) async fn once(
    to: SocketAddr,
    connector: &TlsConnector,
    message: &mut [u8],
) -> Result<TlsStream<TcpStream>, Failure> {
    let stream = connect(to).await?;
    let name = ServerName::try_from(ENDPOINT).expect("a constant name");
    let mut stream = in_time("handshake", connector.connect(name, stream)).await?;
    let first = [&Ask::echo(message).encode(), &*message].concat();
    in_time("send", stream.write_all(&first)).await?;
    in_time("echo", stream.read_exact(message)).await?;
    Ok(stream)
}

/// Another process made the certificate; the signatures of the handshake are checked as ever.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
