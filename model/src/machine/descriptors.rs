//! Descriptor tables: numbers that stand for files, the lowest free one given out first.
//!
//! Which numbers are taken is kept in a tree of bits ([`Numbers`]), so that finding the lowest free
//! number costs a few words whatever the size of the table. A number far above those in use takes
//! no room for the numbers in between.

use std::collections::BTreeMap;

use afunix::Errno;

use super::file::{FileId, Files};
use crate::sockets::SocketKey;

/// What a number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The open file description.
    pub file: FileId,
    /// The socket that the file is, if it is one: most calls want nothing else of it.
    pub socket: Option<SocketKey>,
    /// Whether exec closes it.
    pub cloexec: bool,
}

impl Descriptor {
    /// A descriptor of one of `files`.
    #[inline]
    pub(super) fn of(files: &Files, file: FileId, cloexec: bool) -> Self {
        Descriptor { file, socket: files[file].kind.socket(), cloexec }
    }
}

/// The descriptor table of one process.
#[derive(Clone, Debug, Default)]
pub struct Descriptors {
    slots: Vec<Option<Descriptor>>,
    /// Those beyond the slots.
    far: BTreeMap<i32, Descriptor>,
    end: i32,
    taken: Numbers,
}

/// How far above twice the numbers in use a number is kept apart.
const FAR: usize = 1024;

impl Descriptors {
    /// What `number` stands for; EBADF if nothing.
    #[inline]
    pub fn get(&self, number: i32) -> Result<Descriptor, Errno> {
        // A negative number becomes an index beyond every table.
        match self.slots.get(number as usize) {
            Some(slot) => slot.ok_or(Errno::BADF),
            None => self.far.get(&number).copied().ok_or(Errno::BADF),
        }
    }

    /// The socket that `number` stands for, unless it is a far one.
    #[inline(always)]
    pub(super) fn near_socket(&self, number: i32) -> Option<SocketKey> {
        self.slots.get(number as usize)?.as_ref()?.socket
    }

    /// Sets or clears close-on-exec; EBADF if the number is free.
    pub fn set_cloexec(&mut self, number: i32, cloexec: bool) -> Result<(), Errno> {
        let slot = match self.slots.get_mut(number as usize) {
            Some(slot) => slot.as_mut(),
            None => self.far.get_mut(&number),
        };
        slot.ok_or(Errno::BADF)?.cloexec = cloexec;
        Ok(())
    }

    /// The number that [`Descriptors::insert`] would give next; EMFILE if it is not below `limit`.
    #[inline]
    pub fn lowest_free(&self, least: i32, limit: u32) -> Result<i32, Errno> {
        let number = self.taken.lowest_clear(least.max(0) as usize);
        if number >= limit as usize || number > i32::MAX as usize {
            return Err(Errno::MFILE);
        }
        Ok(number as i32)
    }

    /// Gives the lowest free number from `least` on to `descriptor`; EMFILE if it is not below
    /// `limit`.
    #[inline]
    pub fn insert(&mut self, descriptor: Descriptor, least: i32, limit: u32) -> Result<i32, Errno> {
        let number = self.lowest_free(least, limit)?;
        self.put(number, descriptor);
        Ok(number)
    }

    /// Makes `number` stand for `descriptor`, and returns what it stood for.
    ///
    /// # Panics
    /// If `number` is negative: callers check it against the limit.
    #[inline]
    pub fn put(&mut self, number: i32, descriptor: Descriptor) -> Option<Descriptor> {
        let index = number as usize;
        if let Some(slot) = self.slots.get_mut(index) {
            // Whatever has a slot is below the end.
            self.taken.set(index);
            return slot.replace(descriptor);
        }
        self.put_beyond(number, descriptor)
    }

    fn put_beyond(&mut self, number: i32, descriptor: Descriptor) -> Option<Descriptor> {
        assert!(number >= 0, "a descriptor number is not negative");
        let index = number as usize;
        self.taken.set(index);
        self.end = self.end.max(number + 1);
        if index > 2 * self.slots.len() + FAR {
            return self.far.insert(number, descriptor);
        }
        self.reach(index);
        self.slots[index].replace(descriptor)
    }

    /// Frees `number`; EBADF if it is free.
    #[inline]
    pub fn remove(&mut self, number: i32) -> Result<Descriptor, Errno> {
        let found = match self.slots.get_mut(number as usize) {
            Some(slot) => slot.take(),
            None => self.far.remove(&number),
        };
        let descriptor = found.ok_or(Errno::BADF)?;
        self.taken.clear(number as usize);
        Ok(descriptor)
    }

    /// Makes slots up to `index`, for the far ones among them too.
    fn reach(&mut self, index: usize) {
        self.slots.resize(index + 1, None);
        let beyond = self.far.split_off(&(self.slots.len() as i32));
        for (number, descriptor) in std::mem::replace(&mut self.far, beyond) {
            self.slots[number as usize] = Some(descriptor);
        }
    }

    /// Sets the lowest free number aside, for a file that is still to come; EMFILE as for
    /// [`Descriptors::insert`]. Blocked accepts do so.
    pub fn reserve(&mut self, limit: u32) -> Result<i32, Errno> {
        let number = self.lowest_free(0, limit)?;
        self.taken.set(number as usize);
        Ok(number)
    }

    /// Frees a number that was set aside.
    pub fn unreserve(&mut self, number: i32) {
        if self.get(number).is_err() {
            self.taken.clear(number as usize);
        }
    }

    /// Whether a number is set aside.
    pub fn is_reserved(&self, number: i32) -> bool {
        self.get(number).is_err() && self.taken.contains(number as usize)
    }

    /// The same descriptors, with nothing set aside.
    pub fn without_reservations(&self) -> Descriptors {
        let mut copy = Descriptors::default();
        for (number, descriptor) in self.iter() {
            copy.put(number, descriptor);
        }
        copy
    }

    /// One more than the highest number that was ever in use.
    pub fn end(&self) -> i32 {
        self.end
    }

    /// Numbers in use, in order.
    pub fn iter(&self) -> impl Iterator<Item = (i32, Descriptor)> + '_ {
        let numbered = self.slots.iter().enumerate();
        let near = numbered.filter_map(|(number, slot)| Some((number as i32, (*slot)?)));
        near.chain(self.far.iter().map(|(number, descriptor)| (*number, *descriptor)))
    }
}

/// A set of numbers that finds the lowest one missing: level 0 has a bit per number, and a bit of
/// each higher level says that a whole word of the level below is full.
#[derive(Clone, Debug, Default)]
struct Numbers {
    levels: Vec<Vec<u64>>,
    /// No number below this one is missing.
    lowest: usize,
}

const WORD: usize = 64;

impl Numbers {
    #[inline]
    fn set(&mut self, number: usize) {
        if number == self.lowest {
            self.lowest += 1;
        }
        let word = self.levels.first_mut().and_then(|words| words.get_mut(number / WORD));
        if let Some(word) = word {
            *word |= 1 << (number % WORD);
            if *word != u64::MAX {
                return;
            }
        }
        self.set_in_levels(number);
    }

    fn set_in_levels(&mut self, number: usize) {
        let mut index = number;
        for level in 0.. {
            if level == self.levels.len() {
                self.levels.push(Vec::new());
            }
            let words = &mut self.levels[level];
            let at = index / WORD;
            if at >= words.len() {
                words.resize(at + 1, 0);
            }
            words[at] |= 1 << (index % WORD);
            if words[at] != u64::MAX {
                return;
            }
            index = at;
        }
    }

    #[inline]
    fn clear(&mut self, number: usize) {
        self.lowest = self.lowest.min(number);
        let mut index = number;
        for words in &mut self.levels {
            let Some(word) = words.get_mut(index / WORD) else { return };
            let was_full = *word == u64::MAX;
            *word &= !(1 << (index % WORD));
            if !was_full {
                return;
            }
            index /= WORD;
        }
    }

    #[inline]
    fn contains(&self, number: usize) -> bool {
        let word = self.levels.first().and_then(|words| words.get(number / WORD));
        word.is_some_and(|word| word & (1 << (number % WORD)) != 0)
    }

    #[inline]
    fn lowest_clear(&self, from: usize) -> usize {
        let from = from.max(self.lowest);
        if self.contains(from) { self.lowest_clear_at(0, from) } else { from }
    }

    /// The lowest clear bit of `level` from `from` on. A bit beyond the words is clear.
    fn lowest_clear_at(&self, level: usize, from: usize) -> usize {
        let Some(words) = self.levels.get(level) else { return from };
        let at = from / WORD;
        let Some(word) = words.get(at) else { return from };
        let clear = !word & (u64::MAX << (from % WORD));
        if clear != 0 {
            return at * WORD + clear.trailing_zeros() as usize;
        }
        // The rest of this word is full: the level above knows the next word that is not.
        let next = self.lowest_clear_at(level + 1, at + 1);
        match words.get(next) {
            Some(word) => next * WORD + word.trailing_ones() as usize,
            None => next * WORD,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_far_number_takes_no_room_and_is_met_by_the_near_ones() {
        let descriptor = |cloexec| Descriptor { file: FileId::default(), socket: None, cloexec };
        let mut table = Descriptors::default();
        assert_eq!(table.put(1 << 20, descriptor(false)), None);
        assert_eq!(table.put(3000, descriptor(true)), None);
        assert!(table.slots.is_empty());
        for number in 0..2000 {
            assert_eq!(table.insert(descriptor(false), 0, 1 << 21), Ok(number));
        }
        assert_eq!(table.put(3500, descriptor(false)), None);
        assert_eq!((table.far.len(), table.get(3000).map(|it| it.cloexec)), (1, Ok(true)));
        table.set_cloexec(1 << 20, true).expect("it is there");
        assert_eq!(table.iter().filter(|(_, it)| it.cloexec).count(), 2);
        assert_eq!(table.remove(1 << 20), Ok(descriptor(true)));
        assert_eq!((table.remove(1 << 20), table.end()), (Err(Errno::BADF), (1 << 20) + 1));
    }

    #[test]
    fn the_lowest_clear_number_is_found_in_tables_of_every_size() {
        let mut numbers = Numbers::default();
        let mut expected = BTreeSet::new();
        let mut state = 1u64;
        for round in 0..20_000u64 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let dense = round < 10_000;
            let number = if dense { numbers.lowest_clear(0) } else { (state >> 45) as usize };
            numbers.set(number);
            expected.insert(number);
            if state.is_multiple_of(3) {
                let gone = (state >> 33) as usize % (number + 1);
                numbers.clear(gone);
                expected.remove(&gone);
            }
            if round % 512 == 0 {
                let from = (state >> 50) as usize;
                let want = (from..).find(|number| !expected.contains(number));
                assert_eq!(Some(numbers.lowest_clear(from)), want, "round {round}, from {from}");
            }
        }
    }
}
