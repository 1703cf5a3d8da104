//! A DNS server of one name: as little as a resolver needs.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::{net::UdpSocket, task::JoinHandle};

const HEADER: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];
/// Points to the question's name, which follows the header.
const SAME_NAME: [u8; 2] = [0xc0, HEADER as u8];
const CLASS_IN: [u8; 2] = [0, 1];
const TTL: u32 = 1;

pub struct Dns {
    pub address: SocketAddr,
    pub questions: Arc<AtomicU64>,
    zone: Arc<Mutex<Option<Vec<Ipv4Addr>>>>,
    task: JoinHandle<()>,
}

impl Dns {
    pub async fn start(addresses: &[Ipv4Addr]) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(Some(addresses.to_vec())));
        let questions = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(serve(socket, zone.clone(), questions.clone()));
        Self { address, questions, zone, task }
    }

    /// `None` answers SERVFAIL.
    pub fn set(&self, addresses: Option<&[Ipv4Addr]>) {
        *self.zone.lock().unwrap() = addresses.map(<[_]>::to_vec);
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    socket: UdpSocket,
    zone: Arc<Mutex<Option<Vec<Ipv4Addr>>>>,
    questions: Arc<AtomicU64>,
) {
    let mut packet = [0; 1500];
    loop {
        let (length, client) = socket.recv_from(&mut packet).await.unwrap();
        questions.fetch_add(1, Relaxed);
        let reply = reply(&packet[..length], zone.lock().unwrap().as_deref());
        socket.send_to(&reply, client).await.unwrap();
    }
}

/// RFC 1035, section 4.1: header, question, answers.
fn reply(query: &[u8], zone: Option<&[Ipv4Addr]>) -> Vec<u8> {
    let question = question(query);
    let is_a = question[question.len() - 4..question.len() - 2] == TYPE_A;
    let answers = zone.filter(|_| is_a).unwrap_or_default();
    let code = if zone.is_some() { 0x80 } else { 0x82 };
    let mut reply = query[..2].to_vec();
    reply.extend([0x81, code, 0, 1, 0, answers.len() as u8, 0, 0, 0, 0]);
    reply.extend(question);
    for address in answers {
        reply.extend(SAME_NAME.into_iter().chain(TYPE_A).chain(CLASS_IN));
        reply.extend(TTL.to_be_bytes().into_iter().chain([0, 4]).chain(address.octets()));
    }
    reply
}

/// Name, type and class; what follows is EDNS.
fn question(query: &[u8]) -> &[u8] {
    let mut end = HEADER;
    while query[end] != 0 {
        end += usize::from(query[end]) + 1;
    }
    &query[HEADER..end + 5]
}
