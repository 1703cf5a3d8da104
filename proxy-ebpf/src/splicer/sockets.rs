//! The kernel's sockets and the maps that name them, private behind what the program asks.

#![allow(unsafe_code, reason = "maps and sockets are pointers into the kernel")]

use core::{ffi::c_void, ptr::NonNull};

use aya_ebpf::{
    EbpfContext as _, Global,
    btf_maps::{HashMap, SockHash},
    helpers::generated::{
        bpf_get_socket_cookie, bpf_map_lookup_elem, bpf_sk_release, bpf_skc_to_tcp_sock,
    },
    macros::btf_map,
    programs::SkBuffContext,
};
use proxy_common::splice::{Cookie, Ledger, Splice};
use proxy_ebpf::splice::{Arrival, Destination};

/// Replaced by twice the agent's `--table-size`.
const SOCKETS: usize = 2 * 131_072;
const BPF_F_NO_PREALLOC: usize = 1;
/// The most that `bpf_skb_adjust_room` takes at once (net/core/filter.c).
const LARGEST_CUT: u32 = 0xfff;
/// Together more than any skb holds that did not come in jumbograms.
const CUTS: u32 = 18;

/// Where the fields lie in this kernel's `struct tcp_sock`, which begins with its `struct sock`.
/// The agent reads them from the kernel's BTF and sets them before it loads the program: so they
/// are constants to the verifier, which knows the fields' types.
#[unsafe(no_mangle)]
static WRITE_SEQ: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static COPIED_SEQ: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static WMEM_QUEUED: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static SNDBUF: Global<u32> = Global::new(0);
/// See [`proxy_common::splice::weakness`].
#[unsafe(no_mangle)]
static WEAKNESS: Global<u32> = Global::new(0);

/// By the cookie of the source: the other socket.
#[btf_map]
static OTHERS: SockHash<Cookie, SOCKETS> = SockHash::new();
#[btf_map]
static SPLICES: HashMap<Cookie, Splice, SOCKETS, BPF_F_NO_PREALLOC> = HashMap::new();
#[btf_map]
static LEDGERS: HashMap<Cookie, Ledger, SOCKETS, BPF_F_NO_PREALLOC> = HashMap::new();

#[inline(always)]
pub fn weakness() -> u32 {
    WEAKNESS.load()
}

#[inline(always)]
pub fn cookie(context: &SkBuffContext) -> Cookie {
    // SAFETY: the context is the program's own.
    unsafe { bpf_get_socket_cookie(context.as_ptr()) }
}

#[inline(always)]
pub fn splice<'a>(cookie: Cookie) -> Option<&'a mut Splice> {
    // SAFETY: the entry outlives the program's run, which is inside an RCU section, and the lock
    // of its socket keeps other runs out; the agent only reads.
    SPLICES.get_ptr_mut(cookie).map(|splice| unsafe { &mut *splice })
}

/// A copy: the agent may write while the program runs, one aligned word at a time.
#[inline(always)]
pub fn ledger(cookie: Cookie) -> Option<Ledger> {
    // SAFETY: the entry outlives the program's run, and any bytes are a `Ledger`.
    LEDGERS.get_ptr(cookie).map(|ledger| unsafe { ledger.read_volatile() })
}

#[inline(always)]
pub fn arrival(context: &SkBuffContext) -> Arrival {
    // `struct tcp_skb_cb` begins with `seq`, and the context's `cb` shows the first words of it.
    let sequence = context.cb()[0];
    Arrival { sequence, len: context.len(), expected: expected(context).unwrap_or(sequence) }
}

/// Of a segment that begins with its TCP header, whose length is in words of four bytes in the upper
/// half of a byte (RFC 9293, section 3.1).
#[inline(always)]
pub fn has_payload(context: &SkBuffContext) -> bool {
    const DATA_OFFSET: usize = 12;
    context.load::<u8>(DATA_OFFSET).is_ok_and(|byte| context.len() > u32::from(byte >> 4) * 4)
}

#[inline(always)]
fn expected(context: &SkBuffContext) -> Option<u32> {
    // SAFETY: the context is the program's own.
    let source = NonNull::new(unsafe { (*context.skb.skb).__bindgen_anon_2.sk })?;
    let source = TcpSock::of(source.cast())?;
    Some(source.word(&COPIED_SEQ))
}

#[inline(always)]
pub fn destination(cookie: Cookie) -> Option<Destination> {
    let (map, key) = ((&raw const OTHERS).cast_mut().cast(), &raw const cookie);
    // SAFETY: the map's key is a cookie.
    let socket = NonNull::new(unsafe { bpf_map_lookup_elem(map, key.cast()) })?;
    let destination = TcpSock::of(socket).map(|sock| Destination {
        write_seq: sock.word(&WRITE_SEQ),
        queued: sock.word(&WMEM_QUEUED),
        buffer: sock.word(&SNDBUF),
    });
    // SAFETY: the lookup took a reference, and nothing uses the socket from here on.
    unsafe { bpf_sk_release(socket.as_ptr()) };
    destination
}

/// `false` if not all of it could be cut off.
#[inline(always)]
pub fn trim(context: &SkBuffContext, bytes: u32) -> bool {
    if bytes == 0 {
        return true;
    }
    let mut left = bytes;
    for _ in 0..CUTS {
        let cut = if left > LARGEST_CUT { LARGEST_CUT } else { left };
        if context.skb.adjust_room(-(cut as i32), 0, 0).is_err() {
            return false;
        }
        left -= cut;
        if left == 0 {
            return true;
        }
    }
    false
}

#[inline(always)]
pub fn redirect(context: &SkBuffContext, cookie: Cookie) -> bool {
    OTHERS.redirect_skb(context, cookie, 0) != 0
}

/// The kernel's own, to be read only.
#[derive(Clone, Copy)]
struct TcpSock(NonNull<u8>);

impl TcpSock {
    #[inline(always)]
    fn of(socket: NonNull<c_void>) -> Option<Self> {
        // SAFETY: the verifier knows it for a socket.
        NonNull::new(unsafe { bpf_skc_to_tcp_sock(socket.as_ptr()) }.cast()).map(Self)
    }

    #[inline(always)]
    fn word(self, offset: &Global<u32>) -> u32 {
        // SAFETY: the verifier checks that a field of four bytes lies there.
        unsafe { self.0.as_ptr().add(offset.load() as usize).cast::<u32>().read_volatile() }
    }
}
