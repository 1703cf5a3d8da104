//! What one end says: an announcement, and then a part of the pattern that everybody knows.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::tcp::{ReadHalf, WriteHalf},
    sync::watch,
    time::sleep,
};

use super::{Banter, Broken};
use crate::transfer::expected;

/// So many parts at most.
const PARTS: u32 = 12;
const BUFFER: usize = 64 * 1024;

#[derive(Clone, Copy, Debug)]
pub(super) struct Speech {
    /// Bytes, without the announcement.
    pub length: u32,
    /// Where in the pattern it begins: what belongs to another connection is seen.
    start: u32,
    /// The other may end its side before this one has.
    lets_end: bool,
    longest_pause: Duration,
}

impl Speech {
    /// Bytes of the announcement.
    pub const HEADER: usize = 12;

    pub fn throw(banter: Banter, lets_end: bool, dice: &mut fastrand::Rng) -> Self {
        Self {
            length: f64::from(banter.most).powf(dice.f64()) as u32,
            start: dice.u32(..),
            lets_end,
            longest_pause: banter.pause,
        }
    }

    /// None in two of three cases.
    pub fn pause(&self, dice: &mut fastrand::Rng) -> Duration {
        let part = if dice.u8(..3) == 0 { dice.f64() } else { 0.0 };
        self.longest_pause.mul_f64(part)
    }

    /// `opening` comes first, and whatever follows may be in one packet with it.
    pub async fn say(
        &self,
        writer: &mut WriteHalf<'_>,
        opening: &[u8],
        dice: &mut fastrand::Rng,
    ) -> io::Result<()> {
        let front = [opening, &self.header()].concat();
        let (one, other) = front.split_at(dice.usize(..=front.len()));
        writer.write_all(one).await?;
        sleep(self.pause(dice)).await;
        writer.write_all(other).await?;
        let part = self.length.div_ceil(dice.u32(1..=PARTS)).max(1);
        let mut said = 0;
        while said < self.length {
            let now = expected(self.place(said), part.min(self.length - said) as usize);
            writer.write_all(now).await?;
            said += now.len() as u32;
            sleep(self.pause(dice)).await;
        }
        Ok(())
    }

    fn place(&self, said: u32) -> u64 {
        u64::from(self.start) + u64::from(said)
    }

    fn header(&self) -> [u8; Self::HEADER] {
        let mut header = [0; Self::HEADER];
        let words = [self.length, self.start, u32::from(self.lets_end)];
        for (place, word) in header.chunks_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        header
    }

    fn announced(header: [u8; Self::HEADER]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = header;
        Self {
            length: u32::from_be_bytes([a, b, c, d]),
            start: u32::from_be_bytes([e, f, g, h]),
            lets_end: u32::from_be_bytes([i, j, k, l]) == 1,
            longest_pause: Duration::ZERO,
        }
    }
}

/// All that the other end says, as announced. How many bytes; `let_end` is told when ours may end.
pub(super) async fn hear(
    reader: &mut ReadHalf<'_>,
    let_end: &watch::Sender<bool>,
) -> Result<u64, Broken> {
    let mut header = [0; Speech::HEADER];
    reader.read_exact(&mut header).await.map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Broken::CutShort { heard: 0, announced: 0 },
        kind => Broken::Error(kind),
    })?;
    let speech = Speech::announced(header);
    if speech.lets_end {
        let_end.send_replace(true);
    }
    let announced = u64::from(speech.length);
    let mut buffer = vec![0; BUFFER];
    let mut heard = 0;
    loop {
        let count = reader.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        is_right(&speech, heard, &buffer[..count])?;
        heard += count as u64;
    }
    let_end.send_replace(true);
    if heard == announced { Ok(heard) } else { Err(Broken::CutShort { heard, announced }) }
}

fn is_right(speech: &Speech, after: u64, mut bytes: &[u8]) -> Result<(), Broken> {
    if after + bytes.len() as u64 > u64::from(speech.length) {
        return Err(Broken::Wrong { after: u64::from(speech.length) });
    }
    let mut place = u64::from(speech.start) + after;
    while !bytes.is_empty() {
        let wanted = expected(place, bytes.len());
        if bytes[..wanted.len()] != *wanted {
            return Err(Broken::Wrong { after });
        }
        place += wanted.len() as u64;
        bytes = &bytes[wanted.len()..];
    }
    Ok(())
}
