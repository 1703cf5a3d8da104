//! Entry points only: each hook's program hands its packet to the core and turns what comes back
//! into the hook's verdict.

#![no_std]
#![no_main]

mod maps;

use aya_ebpf::{
    bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC, xdp_action},
    helpers::generated::bpf_redirect_neigh,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use aya_log_ebpf::debug;
use proxy_common::reason::{Outcome, Reason};
use proxy_ebpf::{
    forward::{Send, forward, forward_established},
    guard::{Leave, guard},
    packet::{tc::TcPacket, xdp::XdpPacket},
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

/// Sits at egress of the same interface, where connections are handed over.
#[classifier]
pub fn enigate_guard(context: TcContext) -> i32 {
    match guard(&mut TcPacket::new(&context), mark(&context), &Maps) {
        Leave::Granted => TC_ACT_UNSPEC,
        Leave::Refused => TC_ACT_SHOT,
    }
}

#[allow(unsafe_code, reason = "a word of the program's context")]
#[inline(always)]
fn mark(context: &TcContext) -> u32 {
    // SAFETY: the context is the program's own.
    unsafe { (*context.skb.skb).mark }
}

/// Sits in the driver, in front of the TC program, which takes what this one passes on: new
/// connections, errors and whatever has no way out are judged there, and counted.
#[xdp]
pub fn enigate_xdp(context: XdpContext) -> u32 {
    let mut packet = XdpPacket::new(&context);
    match forward_established(&mut packet, &Maps) {
        // Out again through the interface that it came in by.
        Ok(_same_interface) => xdp_action::XDP_TX,
        Err(Reason::NoExit) => {
            maps::count(Reason::NoExit);
            xdp_action::XDP_PASS
        }
        Err(reason) if reason.outcome() == Outcome::Pass => xdp_action::XDP_PASS,
        Err(reason) => {
            maps::count(reason);
            debug!(&context, "dropped: {}", reason.as_str());
            xdp_action::XDP_DROP
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
