//! A packet as the TC hooks see it: an skb, whose payload may lie outside its linear part and
//! whose checksum may still be left to the network card.

#![allow(unsafe_code, reason = "the packet's pointers, and helpers that change the packet")]

use aya_ebpf::{
    bindings::BPF_F_PSEUDO_HDR,
    helpers::generated::{
        bpf_l4_csum_replace, bpf_skb_load_bytes, bpf_skb_pull_data, bpf_skb_store_bytes,
    },
    programs::TcContext,
};

use super::{Behind, Header, Packet, PatchError};
use crate::checksum::Change;

pub struct TcPacket<'a> {
    context: &'a TcContext,
}

impl<'a> TcPacket<'a> {
    #[inline(always)]
    pub const fn new(context: &'a TcContext) -> Self {
        Self { context }
    }

    /// Brings the first bytes into the linear part, where headers nearly always are.
    #[inline(always)]
    fn pull(&self, len: usize) {
        // A refusal shows as a frame that is too short.
        // SAFETY: the context is the program's own, and no reference into the packet lives on:
        // each ends with the exclusive borrow that it came from.
        unsafe { bpf_skb_pull_data(self.context.skb.skb, len as u32) };
    }

    #[inline(always)]
    fn replace(&mut self, offset: usize, change: Change, flags: u64) -> Result<(), PatchError> {
        let (skb, sum) = (self.context.skb.skb, u64::from(change.wsum()));
        // SAFETY: the context is the program's own; references into the packet ended with the
        // exclusive borrow that this one succeeds.
        let code = unsafe { bpf_l4_csum_replace(skb, offset as u32, 0, sum, flags) };
        if code == 0 { Ok(()) } else { Err(PatchError) }
    }
}

impl Packet for TcPacket<'_> {
    #[inline(always)]
    fn head<H: Header>(&mut self) -> Option<&mut H> {
        let len = size_of::<H>();
        if self.context.data() + len > self.context.data_end() && self.frame_len() >= len as u32 {
            self.pull(len);
        }
        let data = self.context.data();
        if data + len > self.context.data_end() {
            return None;
        }
        // SAFETY: inside the packet's linear part, whose frames begin at even addresses, and any
        // bytes are a `Header`. The borrow of `self` keeps helpers that move the packet away.
        Some(unsafe { &mut *(data as *mut H) })
    }

    #[inline(always)]
    fn frame_len(&self) -> u32 {
        self.context.len()
    }

    #[inline(always)]
    fn patch_checksum(
        &mut self,
        offset: usize,
        pseudo_header: Change,
        message: Change,
    ) -> Result<(), PatchError> {
        if pseudo_header != Change::NONE {
            self.replace(offset, pseudo_header, u64::from(BPF_F_PSEUDO_HDR))?;
        }
        self.replace(offset, message, 0)
    }
}

impl Behind for TcPacket<'_> {
    /// Wherever the payload lies. The verifier bounds no offset here: the kernel does.
    #[inline(always)]
    fn load<const N: usize>(&self, offset: u32) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        let (skb, len) = (self.context.skb.skb.cast(), size_of_val(&bytes) as u32);
        // SAFETY: the context is the program's own, and the buffer is as long as is said.
        let code = unsafe { bpf_skb_load_bytes(skb, offset, bytes.as_mut_ptr().cast(), len) };
        (code == 0).then_some(bytes)
    }

    /// Changed together with a checksum that covers it, a sum that the card made
    /// (`CHECKSUM_COMPLETE`) stays right.
    #[inline(always)]
    fn store<const N: usize>(&mut self, offset: u32, bytes: [u8; N]) -> Result<(), PatchError> {
        let (skb, len) = (self.context.skb.skb, size_of_val(&bytes) as u32);
        // SAFETY: the context is the program's own; references into the packet ended with the
        // exclusive borrow that this one succeeds, and the bytes are as many as is said.
        let code = unsafe { bpf_skb_store_bytes(skb, offset, bytes.as_ptr().cast(), len, 0) };
        if code == 0 { Ok(()) } else { Err(PatchError) }
    }
}
