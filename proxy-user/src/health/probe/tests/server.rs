//! A server on loopback that is as odd as it is told to be.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tempfile::NamedTempFile;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::sleep,
};
use tokio_rustls::TlsAcceptor;

/// As EKS calls the authority of each cluster.
const AUTHORITY: &str = "kubernetes";
/// Between the bytes of an answer that drips.
const DRIP: Duration = Duration::from_millis(50);

pub struct Server {
    pub address: SocketAddr,
    authority: Option<NamedTempFile>,
    requests: tokio::sync::Mutex<mpsc::Receiver<Request>>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
pub struct Request {
    pub server_name: Option<String>,
    pub head: String,
}

/// What follows a request.
#[derive(Clone, Debug)]
pub struct Answer {
    text: String,
    manner: Manner,
}

#[derive(Clone, Copy, Debug)]
enum Manner {
    /// And then the end.
    Once,
    Dripping,
    /// The text, and then bytes for as long as anybody reads.
    Endless,
    Never,
}

impl Answer {
    pub fn once(text: &str) -> Self {
        Self { text: text.into(), manner: Manner::Once }
    }

    pub fn status(code: u16) -> Self {
        Self::once(&format!("HTTP/1.1 {code} Whatever\r\ncontent-length: 2\r\n\r\nok"))
    }

    pub fn dripping(text: &str) -> Self {
        Self { manner: Manner::Dripping, ..Self::once(text) }
    }

    pub fn endless(text: &str) -> Self {
        Self { manner: Manner::Endless, ..Self::once(text) }
    }

    pub fn never() -> Self {
        Self { manner: Manner::Never, ..Self::once("") }
    }

    async fn send(&self, stream: &mut (impl tokio::io::AsyncWrite + Unpin)) -> std::io::Result<()> {
        match self.manner {
            Manner::Once => {
                stream.write_all(self.text.as_bytes()).await?;
                stream.shutdown().await
            }
            Manner::Dripping => {
                for byte in self.text.bytes() {
                    stream.write_all(&[byte]).await?;
                    stream.flush().await?;
                    sleep(DRIP).await;
                }
                Ok(())
            }
            Manner::Endless => {
                stream.write_all(self.text.as_bytes()).await?;
                loop {
                    stream.write_all(&[b'x'; 4_096]).await?;
                }
            }
            Manner::Never => std::future::pending().await,
        }
    }
}

impl Server {
    pub async fn tls(name: &str, answer: Answer) -> Self {
        Self::with_certificate(certificate(name), AUTHORITY, answer).await
    }

    pub async fn of_authority(authority: &str, name: &str) -> Self {
        Self::with_certificate(certificate(name), authority, Answer::status(200)).await
    }

    pub async fn expired(name: &str) -> Self {
        let mut params = certificate(name);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        Self::with_certificate(params, AUTHORITY, Answer::status(200)).await
    }

    /// Accepts, and says nothing ever.
    pub async fn silent() -> Self {
        Self::accepting(None, |stream, _| async move {
            let _open = stream;
            std::future::pending::<()>().await;
        })
        .await
    }

    /// Says this to whoever connects.
    pub async fn plain(text: &'static str) -> Self {
        Self::accepting(None, move |mut stream, _| async move {
            stream.write_all(text.as_bytes()).await.ok();
            std::future::pending::<()>().await;
        })
        .await
    }

    async fn with_certificate(params: CertificateParams, authority: &str, answer: Answer) -> Self {
        let (tls, authority) = issue(&params, authority);
        let acceptor = TlsAcceptor::from(tls);
        Self::accepting(Some(authority), move |stream, requests| {
            serve(acceptor.clone(), stream, answer.clone(), requests)
        })
        .await
    }

    async fn accepting<F: Future<Output = ()> + Send + 'static>(
        authority: Option<NamedTempFile>,
        serve: impl Fn(TcpStream, mpsc::Sender<Request>) -> F + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, requests) = mpsc::channel(16);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, sender.clone()));
            }
        });
        Self { address, authority, requests: requests.into(), task }
    }

    /// What its certificate comes from, in PEM.
    pub fn authority(&self) -> &NamedTempFile {
        self.authority.as_ref().expect("a server with TLS")
    }

    pub async fn request(&self) -> Request {
        self.requests.lock().await.recv().await.expect("the server is there")
    }

    /// Returns the address that nobody listens at any more.
    pub async fn close(self) -> SocketAddr {
        self.task.abort();
        self.task.await.expect_err("aborted");
        self.address
    }
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    answer: Answer,
    requests: mpsc::Sender<Request>,
) {
    // A client that finds the certificate wanting ends this.
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let server_name = stream.get_ref().1.server_name().map(str::to_owned);
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        match stream.read_line(&mut head).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    requests.try_send(Request { server_name, head }).ok();
    answer.send(&mut stream).await.ok();
}

fn certificate(name: &str) -> CertificateParams {
    CertificateParams::new([name.to_owned()]).unwrap()
}

/// From an authority of its own.
fn issue(params: &CertificateParams, name: &str) -> (Arc<ServerConfig>, NamedTempFile) {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), authority.pem()).unwrap();
    (Arc::new(config), file)
}
