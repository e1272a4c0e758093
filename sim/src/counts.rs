//! Hashes of what happened, and how often each call was made.

/// Slots of the table of [`Coverage`]: a power of two, far more than there are calls.
const SLOTS: usize = 256;

/// Takes one more word into a hash.
#[inline]
pub(crate) const fn mix(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
}

/// A number for a name, of its length and some of its bytes.
#[inline]
pub(crate) fn name_key(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let at = |index: usize| u64::from(bytes.get(index).copied().unwrap_or(0));
    let last = bytes.len().saturating_sub(1);
    (bytes.len() as u64) | (at(0) << 16) | (at(last / 2) << 24) | (at(last) << 32)
}

/// Counts calls by name, in a table with open addressing: a nanosecond or two each.
///
/// Names are found by their address. Where one name has several, its counts are added up at the
/// end, so that
/// addresses show nowhere.
#[derive(Clone, Debug)]
pub(crate) struct Coverage {
    slots: Box<[(&'static str, u64); SLOTS]>,
}

impl Default for Coverage {
    fn default() -> Self {
        Coverage { slots: Box::new([("", 0); SLOTS]) }
    }
}

impl Coverage {
    /// Counts one call.
    #[inline]
    pub(crate) fn count(&mut self, name: &'static str) {
        let start = (mix(0, name.as_ptr().addr() as u64) >> 56) as usize;
        for offset in 0..SLOTS {
            let slot = &mut self.slots[(start + offset) % SLOTS];
            if std::ptr::eq(slot.0, name) {
                slot.1 += 1;
                return;
            }
            if slot.0.is_empty() {
                *slot = (name, 1);
                return;
            }
        }
    }

    /// What was counted, by name; counting begins anew.
    pub(crate) fn take(&mut self) -> Vec<(&'static str, u64)> {
        let mut all: Vec<_> = self.slots.iter().filter(|slot| slot.1 > 0).copied().collect();
        self.slots.fill(("", 0));
        all.sort_unstable();
        all.dedup_by(|again, first| {
            let same = again.0 == first.0;
            first.1 += if same { again.1 } else { 0 };
            same
        });
        all
    }
}
