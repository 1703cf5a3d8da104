//! A packet as XDP sees it: a frame in the driver's memory, whole and with its checksums in place,
//! and nobody to find its way out but us.

#![allow(unsafe_code, reason = "the packet's pointers, and a helper that fills in a structure")]

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup as FibLookup},
    helpers::generated::bpf_fib_lookup,
    programs::XdpContext,
};
use proxy_common::{addr::Family, reason::Reason};

use super::{Exit, Header, Hop, Leaving, Packet, PatchError};
use crate::checksum::Change;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

pub struct XdpPacket<'a> {
    context: &'a XdpContext,
}

impl<'a> XdpPacket<'a> {
    #[inline(always)]
    pub const fn new(context: &'a XdpContext) -> Self {
        Self { context }
    }

    #[inline(always)]
    fn look_up(&self, params: &mut FibLookup) -> bool {
        let size = size_of::<FibLookup>() as i32;
        // SAFETY: the context is the program's own, and the structure is as long as is said.
        let found = unsafe { bpf_fib_lookup(self.context.ctx.cast(), params, size, 0) };
        found == i64::from(BPF_FIB_LKUP_RET_SUCCESS)
    }
}

impl Packet for XdpPacket<'_> {
    #[inline(always)]
    fn head<H: Header>(&mut self) -> Option<&mut H> {
        let data = self.context.data();
        if data + size_of::<H>() > self.context.data_end() {
            return None;
        }
        // SAFETY: inside the frame, which begins at an even address, and any bytes are a `Header`.
        Some(unsafe { &mut *(data as *mut H) })
    }

    #[inline(always)]
    fn frame_len(&self) -> u32 {
        self.context.data_end().wrapping_sub(self.context.data()) as u32
    }

    #[inline(always)]
    fn patch_checksum(
        &mut self,
        offset: usize,
        pseudo_header: Change,
        message: Change,
    ) -> Result<(), PatchError> {
        let at = self.context.data() + offset;
        if at + size_of::<u16>() > self.context.data_end() {
            return Err(PatchError);
        }
        // SAFETY: inside the frame, at an even offset of its even beginning.
        let check = unsafe { &mut *(at as *mut u16) };
        *check = pseudo_header.and(message).apply(*check);
        Ok(())
    }
}

impl Leaving for XdpPacket<'_> {
    /// A function of its own, since the structure takes an eighth of the stack wherever it is.
    #[inline(never)]
    fn find_exit(&mut self, exit: &Exit<'_>) -> Result<Hop, Reason> {
        // SAFETY: integers and unions of integers, for which zero is a value.
        let mut params: FibLookup = unsafe { MaybeUninit::zeroed().assume_init() };
        params.ifindex = exit.ifindex;
        params.__bindgen_anon_1.tot_len = exit.bytes as u16;
        match exit.family {
            Family::V4 => {
                params.family = AF_INET;
                params.__bindgen_anon_3.ipv4_src = exit.source.v4_word();
                params.__bindgen_anon_4.ipv4_dst = exit.destination.v4_word();
            }
            Family::V6 => {
                params.family = AF_INET6;
                params.__bindgen_anon_3.ipv6_src = exit.source.v6_words();
                params.__bindgen_anon_4.ipv6_dst = exit.destination.v6_words();
            }
        }
        if !self.look_up(&mut params) || params.ifindex != exit.ifindex {
            return Err(Reason::NoExit);
        }
        // SAFETY: the kernel has written the route's MTU here, where it has one to tell (5.13);
        // otherwise the packet's length is still there. It takes so much in either case.
        let largest = unsafe { params.__bindgen_anon_1.mtu_result };
        Ok(Hop { source: words(params.smac), destination: words(params.dmac), largest })
    }
}

const fn words(address: [u8; 6]) -> [u16; 3] {
    let [a, b, c, d, e, f] = address;
    [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]), u16::from_ne_bytes([e, f])]
}
