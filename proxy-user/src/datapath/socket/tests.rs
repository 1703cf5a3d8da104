use std::{
    io::Write as _,
    net::{Ipv4Addr, TcpStream as Client},
    thread,
};

use super::*;

const LEGS: Legs =
    Legs { keepalive: Duration::from_secs(77), user_timeout: Duration::from_secs(88) };

fn anywhere() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

/// Waits for a connection, which listening sockets of workers do not.
fn accept(listener: &TcpListener) -> Socket {
    listener.set_nonblocking(false).unwrap();
    listener.accept().unwrap().0.into()
}

#[test]
fn what_is_accepted_has_every_option_of_the_listening_socket() {
    let listener = listen(anywhere(), LEGS, Room::Relayed, 1).unwrap().remove(0);
    let _client = Client::connect(listener.local_addr().unwrap()).unwrap();
    let accepted = accept(&listener);
    assert!(accepted.tcp_nodelay().unwrap());
    assert!(accepted.keepalive().unwrap());
    assert_eq!(accepted.tcp_keepalive_time().unwrap(), LEGS.keepalive);
    assert_eq!(accepted.tcp_user_timeout().unwrap(), Some(LEGS.user_timeout));
    assert_eq!(accepted.linger().unwrap(), Some(Duration::ZERO));
    let listening = SockRef::from(&listener);
    assert_eq!(accepted.recv_buffer_size().unwrap(), listening.recv_buffer_size().unwrap());
    assert_eq!(accepted.send_buffer_size().unwrap(), listening.send_buffer_size().unwrap());
    assert!(accepted.recv_buffer_size().unwrap() <= 2 * RECEIVE);
    assert!(accepted.send_buffer_size().unwrap() <= 2 * SEND);
}

/// What is promised with the first packet cannot be taken back.
#[test]
fn connections_that_may_be_handed_over_promise_little_from_the_first_on() {
    let room = |socket: &TcpListener| SockRef::from(socket).recv_buffer_size().unwrap();
    let [relayed, handed_over] =
        [Room::Relayed, Room::HandedOver].map(|it| listen(anywhere(), LEGS, it, 1).unwrap());
    assert!(room(&handed_over[0]) <= 2 * PROMISE && PROMISE < RECEIVE);
    let sending = |socket: &TcpListener| SockRef::from(socket).send_buffer_size().unwrap();
    assert_eq!(sending(&handed_over[0]), sending(&relayed[0]));
    bound_queues(&handed_over[0]).unwrap();
    assert_eq!(room(&handed_over[0]), room(&relayed[0]), "it is not handed over after all");
}

/// What the socket keeps room for once its peer has sent much, as fast as it can.
fn room_after_bulk(accepted: Socket, mut client: Client) -> usize {
    let sending = thread::spawn(move || client.write_all(&vec![7; 32 << 20]));
    let mut accepted = Client::from(accepted);
    let got = io::copy(&mut accepted, &mut io::sink()).unwrap();
    sending.join().unwrap().unwrap();
    assert_eq!(got, 32 << 20);
    SockRef::from(&accepted).recv_buffer_size().unwrap()
}

#[test]
fn queues_that_are_held_keep_their_size_whatever_comes() {
    let listener = listen(anywhere(), LEGS, Room::HandedOver, 1).unwrap().remove(0);
    let [free, held] = [false, true].map(|is_held| {
        let client = Client::connect(listener.local_addr().unwrap()).unwrap();
        let accepted = accept(&listener);
        if is_held {
            tcp::hold_queues(&accepted, tcp::Held::Both).unwrap();
        }
        room_after_bulk(accepted, client)
    });
    assert_eq!(held, SockRef::from(&listener).recv_buffer_size().unwrap());
    assert!(free > held, "the kernel lets others grow: {free}");
}

/// Else what it takes once its queue has grown could not be said.
#[test]
fn connections_that_may_be_handed_over_scale_their_windows_for_all_the_room_of_the_host() {
    let [relayed, handed_over] = [Room::Relayed, Room::HandedOver].map(|room| {
        let listener = listen(anywhere(), LEGS, room, 1).unwrap().remove(0);
        let _client = Client::connect(listener.local_addr().unwrap()).unwrap();
        let terms = tcp::TcpInfo::of(&accept(&listener)).unwrap().terms();
        terms.scales.expect("scaled windows").1
    });
    assert!(handed_over >= relayed && handed_over > 0, "{handed_over}, relayed {relayed}");
}

#[test]
fn connections_are_spread_over_all_sockets_of_an_address() {
    let sockets = listen(anywhere(), LEGS, Room::Relayed, 2).unwrap();
    let address = sockets[0].local_addr().unwrap();
    let _clients: Vec<_> = (0..64).map(|_| Client::connect(address).unwrap()).collect();
    assert_eq!(sockets.len(), 2);
    for socket in &sockets {
        assert_eq!(socket.local_addr().unwrap(), address);
        socket.accept().expect("one of 64 connections");
    }
}

#[test]
fn an_address_that_is_shared_among_workers_is_not_shared_with_anyone_else() {
    let sockets = listen(anywhere(), LEGS, Room::Relayed, 2).unwrap();
    let address = sockets[0].local_addr().unwrap();
    let refused = listen(address, LEGS, Room::Relayed, 2).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
}
