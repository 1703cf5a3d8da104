//! The agent as a process on loopback, and what it says of itself.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use proxy_user::{
    client,
    status::{BackendState, Status},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::backend::PORT;

/// Below the ports that the kernel gives out.
const LISTEN: u16 = 18_444;
const ADMIN: u16 = 18_090;
pub const DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

pub struct Agent {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    /// Of its own: nobody finds what another test has saved.
    _state: TempDir,
    child: Child,
}

/// That no other agent of these tests has.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    Ipv4Addr::new(127, 78, 0, NEXT.fetch_add(1, Relaxed))
}

impl Agent {
    pub fn start(resolver: SocketAddr, flags: &[&str]) -> Self {
        let address = own_address();
        let state = tempfile::tempdir().unwrap();
        let [listen, admin] = [LISTEN, ADMIN].map(|port| SocketAddr::from((address, port)));
        let child = Command::new(env!("CARGO_BIN_EXE_enigate"))
            .env_clear()
            // Flags beat the environment: a test may say otherwise.
            .env("ENIGATE_HEALTH_INTERVAL", "50ms")
            .env("ENIGATE_ABSENT_GRACE", "0s")
            .args(["run", "--datapath=relay", "--fall=2"])
            .arg(format!("--endpoint=api.example:{PORT}"))
            .arg(format!("--resolver={resolver}"))
            .arg("--state-dir")
            .arg(state.path())
            .arg(format!("--listen={listen}"))
            .arg(format!("--admin={admin}"))
            .args(flags)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { listen, admin, _state: state, child }
    }

    /// Waits until the status is as wanted, and returns it.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let status = client::status(self.admin).await;
            match status {
                Ok(status) if wanted(&status) => return status,
                _ if Instant::now() > deadline => panic!("never {what}: {status:#?}"),
                _ => sleep(POLL).await,
            }
        }
    }

    pub async fn until_live(&self, lasts: &[u8]) -> Status {
        self.until("the right backends live", |status| live(status) == lasts).await
    }

    /// Sends and ends; all that comes back.
    pub async fn request(&self, text: &str) -> io::Result<String> {
        let exchange = async {
            let mut stream = TcpStream::connect(self.listen).await?;
            stream.write_all(text.as_bytes()).await?;
            stream.shutdown().await?;
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.map(|_| reply)
        };
        timeout(DEADLINE, exchange).await.expect("no reply and no end")
    }

    /// Status line and body of an admin path.
    pub async fn admin(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nHost: 10.1.2.3\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(id), signal).unwrap();
    }

    pub async fn ended(mut self) -> ExitStatus {
        timeout(DEADLINE, self.child.wait()).await.expect("the agent goes on").unwrap()
    }
}

/// The last number of each live backend's address.
fn live(status: &Status) -> Vec<u8> {
    let live = status.backends().filter(|backend| backend.state == BackendState::Live);
    live.filter_map(|backend| match backend.address {
        SocketAddr::V4(v4) => Some(v4.ip().octets()[3]),
        SocketAddr::V6(_) => None,
    })
    .collect()
}
