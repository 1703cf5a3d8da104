//! A backend on an address of its own: says its address, then echoes.

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};

use tokio::{
    io::{AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

pub struct Backend(JoinHandle<()>);

pub const fn address(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 77, 0, last)
}

/// The same on every backend's address.
pub fn free_port() -> u16 {
    StdListener::bind((address(1), 0)).unwrap().local_addr().unwrap().port()
}

impl Backend {
    pub async fn start(last: u8, port: u16) -> Self {
        let listener = TcpListener::bind(SocketAddr::from((address(last), port))).await.unwrap();
        Self(tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(echo(stream, last));
            }
        }))
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
