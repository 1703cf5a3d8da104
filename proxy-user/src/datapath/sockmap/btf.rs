//! Where fields lie in this kernel's structures: the few parts of the BPF type format that this
//! takes (Documentation/bpf/btf.rst, include/uapi/linux/btf.h).

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};

const MAGIC: u32 = 0xeb9f;
const STRUCT: u32 = 4;
const TYPE: usize = 12;
/// `name_off`, `type` and `offset` of `struct btf_member`.
const MEMBER: usize = 12;

pub struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

impl<'a> Btf<'a> {
    /// In this host's byte order, as the kernel writes it.
    pub fn parse(bytes: &'a [u8]) -> anyhow::Result<Self> {
        ensure!(word(bytes, 0)? & 0xffff == MAGIC, "this is no BTF");
        let header = word(bytes, 4)?;
        let section = |at: usize| {
            let (offset, len) = (header + word(bytes, at)?, word(bytes, at + 4)?);
            bytes.get(offset as usize..(offset + len) as usize).context("BTF is cut short")
        };
        Ok(Self { types: section(8)?, strings: section(16)? })
    }

    /// Offsets in bytes of the direct members of the first structure of this name.
    pub fn members(&self, name: &str) -> anyhow::Result<BTreeMap<&'a str, u32>> {
        let mut at = 0;
        while at < self.types.len() {
            let info = word(self.types, at + 4)?;
            let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            if kind == STRUCT && self.string(word(self.types, at)?)? == name {
                let first = at + TYPE;
                return (0..count).map(|n| self.member(first + n * MEMBER, info >> 31)).collect();
            }
            at += TYPE + trailer(kind, count)?;
        }
        anyhow::bail!("the kernel's BTF has no struct {name}")
    }

    /// With the structure's flag, the upper byte of the offset is a bit field's width.
    fn member(&self, at: usize, flag: u32) -> anyhow::Result<(&'a str, u32)> {
        let bits = word(self.types, at + 8)?;
        let bits = if flag == 1 { bits & 0x00ff_ffff } else { bits };
        Ok((self.string(word(self.types, at)?)?, bits / 8))
    }

    fn string(&self, offset: u32) -> anyhow::Result<&'a str> {
        let rest =
            self.strings.get(offset as usize..).context("a name outside of BTF's strings")?;
        let end = rest.iter().position(|byte| *byte == 0).context("a name without an end")?;
        Ok(std::str::from_utf8(&rest[..end])?)
    }
}

/// How many bytes follow the common part of a type.
fn trailer(kind: u32, count: usize) -> anyhow::Result<usize> {
    Ok(match kind {
        // Pointer, forward, typedef, volatile, const, restrict, function, float, type tag.
        2 | 7..=12 | 16 | 18 => 0,
        // Integer, variable, declaration tag.
        1 | 14 | 17 => 4,
        // Array.
        3 => 12,
        // Structure, union, data section, enumeration of 64 bits.
        4 | 5 | 15 | 19 => 12 * count,
        // Enumeration, function prototype.
        6 | 13 => 8 * count,
        _ => anyhow::bail!("the kernel's BTF has types of kind {kind}, which are not known"),
    })
}

fn word(bytes: &[u8], at: usize) -> anyhow::Result<u32> {
    let word = bytes.get(at..at + 4).context("BTF is cut short")?;
    Ok(u32::from_ne_bytes(word.try_into()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An integer, then `struct pair { int first; int second; }`.
    fn sample() -> Vec<u8> {
        let types: [u32; 4 + 3 + 6] = [1, 1 << 24, 4, 32, 5, 4 << 24 | 2, 8, 10, 1, 0, 16, 1, 32];
        let strings = b"\0int\0pair\0first\0second\0";
        let header = [MAGIC | 1 << 16, 24, 0, 4 * types.len() as u32, 52, strings.len() as u32];
        let words = header.iter().chain(&types).flat_map(|word| word.to_ne_bytes());
        words.chain(*strings).collect()
    }

    #[test]
    fn members_are_found_by_name_with_their_offsets_in_bytes() {
        let bytes = sample();
        let members = Btf::parse(&bytes).unwrap().members("pair").unwrap();
        assert_eq!(members, BTreeMap::from([("first", 0), ("second", 4)]));
    }

    #[test]
    fn a_structure_that_is_not_there_and_bytes_that_are_none_are_errors() {
        let bytes = sample();
        let error = Btf::parse(&bytes).unwrap().members("triple").unwrap_err();
        assert_eq!(error.to_string(), "the kernel's BTF has no struct triple");
        assert!(Btf::parse(b"something else, and long enough").is_err());
        assert!(Btf::parse(&bytes[..40]).is_err());
    }
}
