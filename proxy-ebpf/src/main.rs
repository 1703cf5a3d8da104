//! Entry points only: each hook's program hands its packet to the core and turns what comes back
//! into the hook's verdict.

#![no_std]
#![no_main]

mod maps;

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC},
    helpers::generated::bpf_redirect_neigh,
    macros::classifier,
    programs::TcContext,
};
use aya_log_ebpf::debug;
use proxy_common::reason::{Outcome, Reason};
use proxy_ebpf::{
    forward::{Send, forward},
    packet::tc::TcPacket,
};

use crate::maps::Maps;

/// Sits at ingress, as a TCX link or a clsact filter in direct-action mode.
#[classifier]
pub fn enigate_tc(context: TcContext) -> i32 {
    match forward(&mut TcPacket::new(&context), &Maps) {
        Ok(send) => redirect(send),
        Err(reason) => refuse(&context, reason),
    }
}

#[allow(unsafe_code, reason = "a kernel helper")]
fn redirect(send: Send) -> i32 {
    // SAFETY: without parameters the helper resolves route and neighbour from the packet itself.
    (unsafe { bpf_redirect_neigh(send.ifindex, core::ptr::null_mut(), 0, 0) }) as i32
}

/// `TC_ACT_UNSPEC` goes on to the next program, if there is one, and then to the stack.
#[inline(always)]
fn refuse(context: &TcContext, reason: Reason) -> i32 {
    maps::count(reason);
    match reason.outcome() {
        Outcome::Pass => TC_ACT_UNSPEC,
        Outcome::Drop => {
            debug!(context, "dropped: {}", reason.as_str());
            TC_ACT_SHOT
        }
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // No path of the programs panics; the verifier would refuse this loop if one did.
    loop {}
}

/// bpf_redirect_neigh and others are for programs under a GPL-compatible licence.
#[allow(unsafe_code, reason = "the kernel reads the licence from this section")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
