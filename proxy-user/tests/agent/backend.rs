//! A backend on an address of its own: says its address, then echoes.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::{AtomicU8, Ordering::Relaxed},
};

use tokio::{
    io::{AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// Of every backend; below the ports that the kernel gives out.
pub const PORT: u16 = 18_443;

pub struct Backend(JoinHandle<()>);

/// Addresses that no other test has.
pub struct Subnet(u8);

impl Subnet {
    pub fn fresh() -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        Self(NEXT.fetch_add(1, Relaxed))
    }

    pub fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(127, 77, self.0, last)
    }

    pub async fn backend(&self, last: u8) -> Backend {
        let address = SocketAddr::from((self.address(last), PORT));
        let listener = TcpListener::bind(address).await.unwrap();
        Backend(tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(echo(stream, last));
            }
        }))
    }
}

impl Backend {
    /// Nothing listens any more when this returns.
    pub async fn stop(mut self) {
        self.0.abort();
        let _cancelled = (&mut self.0).await;
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Probes end in the middle, which is no failure here.
async fn echo(mut stream: TcpStream, last: u8) {
    let (mut read, mut write) = stream.split();
    if write.write_all(format!("{last}:").as_bytes()).await.is_ok() {
        let _broken = copy(&mut read, &mut write).await;
    }
}
