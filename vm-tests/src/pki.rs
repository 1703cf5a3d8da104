//! A certificate authority for one lab, and the API servers' certificate under it.

use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    version::TLS13,
};

pub(crate) struct Pki {
    /// What a kubeconfig's `certificate-authority` file holds.
    pub authority_pem: String,
    pub server: Arc<ServerConfig>,
    pub client: ClientConfig,
}

impl Pki {
    pub(crate) fn for_name(name: &str) -> anyhow::Result<Self> {
        let authority = authority().context("making the certificate authority")?;
        let key = KeyPair::generate()?;
        let leaf = leaf(name)?.signed_by(&key, &authority).context("signing the certificate")?;
        Ok(Self {
            authority_pem: authority.pem(),
            server: Arc::new(server(leaf.der().clone(), &key)?),
            client: client(authority.der().clone())?,
        })
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "enigate lab");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn leaf(name: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
    Ok(params)
}

fn server(leaf: CertificateDer<'static>, key: &KeyPair) -> anyhow::Result<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![leaf], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn client(authority: CertificateDer<'static>) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(authority)?;
    trusting(roots)
}

/// For clients that speak no TLS at all: they must not go looking for the host's certificates.
pub(crate) fn no_authority() -> anyhow::Result<ClientConfig> {
    trusting(RootCertStore::empty())
}

fn trusting(roots: RootCertStore) -> anyhow::Result<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
