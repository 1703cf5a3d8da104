//! The fields behind a header's addresses: one byte of type, two of length, the value. Unknown ones
//! are skipped.

use std::ops::Range;

use super::refused::Refused;
use crate::config::VpceId;

/// PP2_TYPE_CRC32C.
const CHECKSUM: u8 = 0x03;
const CHECKSUM_LENGTH: usize = 4;
/// PP2_TYPE_AWS; its value begins with a byte of a type of its own (Elastic Load Balancing user
/// guide, "Target groups for your Network Load Balancers").
const AWS: u8 = 0xea;
const AWS_VPCE: u8 = 0x01;

/// Those fields that mean something here.
pub struct Tlvs<'a> {
    header: &'a [u8],
    checksum: Option<Range<usize>>,
    vpce: Option<&'a [u8]>,
}

impl<'a> Tlvs<'a> {
    /// From `at` to the header's end. One that occurs twice, or is longer than the header, makes
    /// the header malformed.
    pub fn walk(header: &'a [u8], mut at: usize) -> Result<Self, Refused> {
        let mut tlvs = Self { header, checksum: None, vpce: None };
        while at != header.len() {
            let fields = header.get(at..).and_then(|rest| rest.first_chunk());
            let &[kind, high, low] = fields.ok_or(Refused::HeaderMalformed)?;
            let start = at + 3;
            at = start + usize::from(u16::from_be_bytes([high, low]));
            tlvs.take(kind, start..at)?;
        }
        Ok(tlvs)
    }

    fn take(&mut self, kind: u8, place: Range<usize>) -> Result<(), Refused> {
        let value = self.header.get(place.clone()).ok_or(Refused::HeaderMalformed)?;
        let is_second = match (kind, value) {
            (CHECKSUM, _) if value.len() == CHECKSUM_LENGTH => {
                self.checksum.replace(place).is_some()
            }
            (CHECKSUM, _) | (AWS, []) => return Err(Refused::HeaderMalformed),
            (AWS, [AWS_VPCE, id @ ..]) => self.vpce.replace(id).is_some(),
            _ => false,
        };
        if is_second { Err(Refused::HeaderMalformed) } else { Ok(()) }
    }

    /// The checksum, where there is one: over all of the header, its own value taken as zero.
    pub fn verify(&self) -> Result<(), Refused> {
        let Some(Range { start, end }) = self.checksum.clone() else { return Ok(()) };
        let before = crc32c::crc32c(&self.header[..start]);
        let sum = crc32c::crc32c_append(before, &[0; CHECKSUM_LENGTH]);
        let sum = crc32c::crc32c_append(sum, &self.header[end..]);
        if self.header[start..end] == sum.to_be_bytes() {
            Ok(())
        } else {
            Err(Refused::HeaderChecksum)
        }
    }

    /// An id of another form is no absent one: who is let in by it must not come in without it.
    pub fn vpce(&self) -> Result<Option<VpceId>, Refused> {
        let Some(id) = self.vpce else { return Ok(None) };
        let text = str::from_utf8(id).map_err(|_| Refused::VpceMalformed)?;
        text.parse().map(Some).map_err(|_| Refused::VpceMalformed)
    }
}
