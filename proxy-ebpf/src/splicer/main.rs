//! The program of `--datapath sockmap`, in an object of its own: the packet path's maps are not
//! made for it, nor its maps for the packet path.

#![no_std]
#![no_main]

mod sockets;

use aya_ebpf::{
    bindings::sk_action::{SK_DROP, SK_PASS},
    macros::{socket_filter, stream_verdict},
    programs::SkBuffContext,
};
use proxy_common::splice::{Fault, Splice};
use proxy_ebpf::splice::{Judgement, Verdict, fail, judge, may_receive};

const KEEP: i64 = u32::MAX as i64;
const LOSE: i64 = 0;

/// Runs for each skb that a socket of the map has received, under that socket's lock.
#[stream_verdict]
pub fn enigate_splice(context: SkBuffContext) -> u32 {
    let cookie = sockets::cookie(&context);
    // The agent makes both entries before it puts a socket into the map.
    let (Some(splice), Some(ledger)) = (sockets::splice(cookie), sockets::ledger(cookie)) else {
        return SK_PASS;
    };
    let arrival = sockets::arrival(&context);
    let destination = sockets::destination(cookie);
    let judged = judge(splice, ledger, arrival, destination, sockets::weakness());
    apply(&context, cookie, splice, judged)
}

/// Runs for each segment that comes to a socket of the map, before TCP looks at it: so many bytes
/// of it are kept, of none it is as if it had been lost on the way.
#[socket_filter]
pub fn enigate_hold(context: SkBuffContext) -> i64 {
    let cookie = sockets::cookie(&context);
    let (Some(splice), Some(ledger)) = (sockets::splice(cookie), sockets::ledger(cookie)) else {
        return KEEP;
    };
    if may_receive(splice, ledger, sockets::weakness()) || !sockets::has_payload(&context) {
        return KEEP;
    }
    LOSE
}

/// What cannot be done is a fault, and goes to user space, which looks for faults before it
/// believes a byte.
#[inline(always)]
fn apply(context: &SkBuffContext, cookie: u64, splice: &mut Splice, judged: Judgement) -> u32 {
    if !sockets::trim(context, judged.trim) {
        fail(splice, Fault::Trim);
        return SK_PASS;
    }
    match judged.verdict {
        Verdict::Drop => SK_DROP,
        Verdict::Pass => SK_PASS,
        Verdict::Redirect => {
            if !sockets::redirect(context, cookie) {
                fail(splice, Fault::Lost);
            }
            SK_PASS
        }
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // No path of the program panics; the verifier would refuse this loop if one did.
    loop {}
}

/// Fields of the kernel's own sockets are for programs under a GPL-compatible licence.
#[allow(unsafe_code, reason = "the kernel reads the licence from this section")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
