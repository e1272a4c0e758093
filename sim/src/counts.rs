//! Hashes of what happened, and how often each call was made.

/// Slots of the table of [`Coverage`]: a power of two, far more than there are calls.
const SLOTS: usize = 256;

/// Takes one more word into a hash.
#[inline]
pub(crate) const fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
}

/// A number for a name: of its length, its first and its last bytes.
#[inline]
pub(crate) fn name_key(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let at = |index: usize| u64::from(bytes.get(index).copied().unwrap_or(0));
    let last = bytes.len().saturating_sub(1);
    (bytes.len() as u64)
        | (at(0) << 8)
        | (at(1) << 16)
        | (at(2) << 24)
        | (at(3) << 32)
        | (at(last) << 40)
        | (at(last.saturating_sub(1)) << 48)
}

/// Counts calls by name, in a table with open addressing: some nanoseconds each.
#[derive(Clone, Debug)]
pub(crate) struct Coverage {
    slots: Box<[(&'static str, u64)]>,
}

impl Default for Coverage {
    fn default() -> Self {
        Coverage { slots: vec![("", 0); SLOTS].into_boxed_slice() }
    }
}

impl Coverage {
    /// Counts one call.
    #[inline]
    pub(crate) fn count(&mut self, name: &'static str) {
        self.add(name, 1);
    }

    #[inline]
    fn add(&mut self, name: &'static str, times: u64) {
        let start = (mix(0, name_key(name)) >> 56) as usize;
        for offset in 0..SLOTS {
            let slot = &mut self.slots[(start + offset) % SLOTS];
            if slot.0 == name {
                slot.1 += times;
                return;
            }
            if slot.0.is_empty() {
                *slot = (name, times);
                return;
            }
        }
    }

    /// What was counted, by name; counting begins anew.
    pub(crate) fn take(&mut self) -> Vec<(&'static str, u64)> {
        let mut all: Vec<_> = self.slots.iter().filter(|slot| slot.1 > 0).copied().collect();
        self.slots.fill(("", 0));
        all.sort_unstable();
        all
    }
}
