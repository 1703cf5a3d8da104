//! The agent as a process on loopback, and what it says of itself.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
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

const BINARY: &str = env!("CARGO_BIN_EXE_enigate");
/// Below the ports that the kernel gives out.
const LISTEN: u16 = 18_444;
const ADMIN: u16 = 18_090;
pub const DEADLINE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

pub struct Agent {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    resolver: SocketAddr,
    /// Of its own: nobody finds what another test has saved.
    state: Arc<TempDir>,
    child: Child,
}

/// That no other agent of these tests has.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    Ipv4Addr::new(127, 78, 0, NEXT.fetch_add(1, Relaxed))
}

/// Descriptor 3 is what standard input was, as systemd would have it (sd_listen_fds(3)).
const ACTIVATED: &str = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"";

impl Agent {
    pub fn start(resolver: SocketAddr, flags: &[&str]) -> Self {
        let state = Arc::new(tempfile::tempdir().unwrap());
        Self::spawn(own_address(), resolver, state, flags, Command::new(BINARY), Stdio::null())
    }

    /// With the listening socket from outside.
    pub fn activated(resolver: SocketAddr, flags: &[&str]) -> Self {
        let (address, state) = (own_address(), Arc::new(tempfile::tempdir().unwrap()));
        let socket = std::net::TcpListener::bind((address, LISTEN)).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", ACTIVATED, BINARY]);
        let input = Stdio::from(OwnedFd::from(socket));
        Self::spawn(address, resolver, state, flags, command, input)
    }

    /// Another agent at the same place.
    pub fn successor(&self, flags: &[&str]) -> Self {
        let SocketAddr::V4(listen) = self.listen else { panic!("IPv4 is used here") };
        let (resolver, state) = (self.resolver, self.state.clone());
        Self::spawn(*listen.ip(), resolver, state, flags, Command::new(BINARY), Stdio::null())
    }

    fn spawn(
        address: Ipv4Addr,
        resolver: SocketAddr,
        state: Arc<TempDir>,
        flags: &[&str],
        mut command: Command,
        input: Stdio,
    ) -> Self {
        let [listen, admin] = [LISTEN, ADMIN].map(|port| SocketAddr::from((address, port)));
        let child = command
            .env_clear()
            // Flags beat the environment: a test may say otherwise.
            .env("ENIGATE_HEALTH_INTERVAL", "50ms")
            .env("ENIGATE_ABSENT_GRACE", "0s")
            .env("ENIGATE_DRAIN_ACCEPT", "0s")
            .args(["run", "--datapath=relay", "--fall=2"])
            .arg(format!("--endpoint=api.example:{PORT}"))
            .arg(format!("--resolver={resolver}"))
            .arg("--state-dir")
            .arg(state.path())
            .arg(format!("--listen={listen}"))
            .arg(format!("--admin={admin}"))
            .args(flags)
            .stdin(input)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { listen, admin, resolver, state, child }
    }

    /// A connection that has a backend.
    pub async fn hold(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.listen).await.unwrap();
        let mut greeting = [0; 2];
        timeout(DEADLINE, stream.read_exact(&mut greeting)).await.unwrap().unwrap();
        stream
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
        self.ask("GET", path, "").await
    }

    /// `more`: header lines.
    pub async fn ask(&self, method: &str, path: &str, more: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let request = format!("{method} {path} HTTP/1.0\r\nHost: 10.1.2.3\r\n{more}\r\n");
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
