//! What `TCP_INFO` says of a socket.

use std::{io, os::fd::AsRawFd, time::Duration};

use nix::libc;

/// `struct tcp_info` of include/uapi/linux/tcp.h, up to the last field that counts here.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct TcpInfo {
    pub state: u8,
    before_options: [u8; 4],
    options: u8,
    /// The peer's window scale in the lower half, ours in the upper.
    scales: u8,
    after_scales: u8,
    timers: [u32; 2],
    snd_mss: u32,
    before_rtt: [u32; 12],
    /// Microseconds.
    rtt: u32,
    before_advmss: [u32; 3],
    advmss: u32,
    before_total_retrans: [u32; 3],
    total_retrans: u32,
    rates: [u64; 2],
    pub bytes_acked: u64,
}

/// `tcpi_options`.
const TIMESTAMPS: u8 = 1;
const SACK: u8 = 2;
const SCALES: u8 = 4;
/// Of each segment where timestamps are in use, padding and all (RFC 7323, appendix A).
const STAMPS_LEN: u32 = 12;

/// What the two ends of an open connection have agreed upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub has_timestamps: bool,
    pub has_sack: bool,
    /// The peer's and ours, in bits, where windows are scaled.
    pub scales: Option<(u8, u8)>,
    /// The largest segment that we have told the peer of, in bytes.
    pub told: u16,
    /// How long the handshake took, before anything else was sent; `None` where something was sent
    /// again, or nobody has measured it.
    pub handshake: Option<Duration>,
    /// The largest that we would send now, in bytes: what [`super::Repair::takes`] says, or less for a narrow
    /// path or a small window (`tcp_sync_mss` in net/ipv4/tcp_output.c).
    pub takes: u16,
}

impl TcpInfo {
    pub fn of(socket: &impl AsRawFd) -> io::Result<Self> {
        super::option(socket, libc::TCP_INFO, Self::default())
    }

    pub fn terms(&self) -> Terms {
        let has = |option| self.options & option != 0;
        let stamps = if has(TIMESTAMPS) { STAMPS_LEN } else { 0 };
        let small = |bytes: u32| u16::try_from(bytes).unwrap_or(u16::MAX);
        Terms {
            has_timestamps: has(TIMESTAMPS),
            has_sack: has(SACK),
            scales: has(SCALES).then_some((self.scales & 0xf, self.scales >> 4)),
            told: small(self.advmss),
            handshake: (self.total_retrans == 0 && self.rtt != 0)
                .then(|| Duration::from_micros(self.rtt.into())),
            takes: small(self.snd_mss + stamps),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        mem::offset_of,
        net::{TcpListener, TcpStream},
    };

    use super::*;

    #[test]
    fn fields_lie_where_the_kernel_puts_them() {
        let of_libc = [
            offset_of!(libc::tcp_info, tcpi_options),
            offset_of!(libc::tcp_info, tcpi_snd_mss),
            offset_of!(libc::tcp_info, tcpi_rtt),
            offset_of!(libc::tcp_info, tcpi_advmss),
            offset_of!(libc::tcp_info, tcpi_total_retrans),
        ];
        let ours = [
            offset_of!(TcpInfo, options),
            offset_of!(TcpInfo, snd_mss),
            offset_of!(TcpInfo, rtt),
            offset_of!(TcpInfo, advmss),
            offset_of!(TcpInfo, total_retrans),
        ];
        assert_eq!(ours, of_libc);
        assert_eq!(offset_of!(TcpInfo, bytes_acked), 120);
    }

    #[test]
    fn both_ends_agree_on_the_terms() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let [client, server] = [client, server].map(|end| TcpInfo::of(&end).unwrap().terms());
        assert_eq!(client.scales.map(|(theirs, ours)| (ours, theirs)), server.scales);
        assert_eq!(
            (client.has_sack, client.has_timestamps),
            (server.has_sack, server.has_timestamps)
        );
        assert!(client.told == server.told && client.takes <= server.told);
        assert!(client.handshake.is_some());
    }
}
