//! Programs from bytes: what a fuzzer drives.
//!
//! The choices of the generator are taken from the bytes, so that a fuzzer that changes some of
//! them changes a part of the program.

use afunix_model::profile::Profile;
use rand_core::{RngCore, SeedableRng};
use rand_pcg::Pcg64;

use super::here::Here;
use super::{Both, Failure, Runner, compare, generate};

/// Both sides, kept from program to program.
pub struct Fuzzer {
    runner: Runner,
    programs: u64,
}

impl Fuzzer {
    /// Workers on the kernel, and what is told of it.
    ///
    /// # Errors
    /// If the workers cannot be started.
    pub fn new(profile: Profile) -> std::io::Result<Fuzzer> {
        let runner = Runner::new(Here::look(profile), 0)?;
        Ok(Fuzzer { runner, programs: 0 })
    }

    /// Makes a program, which runs it on the model; tells a panic or a broken invariant.
    pub fn on_model(&mut self, bytes: &[u8]) -> Option<String> {
        let (setting, mut choices) = (self.setting(b"fuzz-"), Choices::new(bytes));
        generate::program(&mut choices, &setting).1.broken
    }

    /// As [`Fuzzer::on_model`], then runs it on the kernel; tells the first difference.
    ///
    /// # Errors
    /// [`Failure::Unable`], if the kernel's side cannot be run.
    pub fn on_both(&mut self, bytes: &[u8]) -> Result<Option<String>, Failure> {
        self.programs += 1;
        let prefix = self.runner.kernel.fresh_prefix();
        let (program, model) = generate::program(&mut Choices::new(bytes), &self.setting(&prefix));
        let kernel = self.runner.kernel.run(&program, &model, &prefix)?;
        let found = compare::first_difference(&program, &Both { model, kernel });
        Ok(found.map(|found| format!("{}: {} (step {})", found.call, found.what, found.step)))
    }

    fn setting<'a>(&'a self, prefix: &'a [u8]) -> generate::Setting<'a> {
        let (here, user) = (&self.runner.here, self.runner.kernel.user);
        generate::Setting { here, prefix, user, number: self.programs }
    }
}

/// Numbers from bytes, and when those are used up, from a seed.
struct Choices<'a> {
    bytes: &'a [u8],
    then: Pcg64,
}

impl<'a> Choices<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Choices { bytes, then: Pcg64::seed_from_u64(bytes.len() as u64) }
    }
}

impl RngCore for Choices<'_> {
    /// Two bytes make a number: the generator asks for small ones.
    fn next_u32(&mut self) -> u32 {
        match self.bytes {
            [one, two, rest @ ..] => {
                self.bytes = rest;
                u32::from(*one) | u32::from(*two) << 8
            }
            _ => self.then.next_u32(),
        }
    }

    fn next_u64(&mut self) -> u64 {
        u64::from(self.next_u32()) << 32 | u64::from(self.next_u32())
    }

    fn fill_bytes(&mut self, to: &mut [u8]) {
        for byte in to {
            *byte = self.next_u32() as u8;
        }
    }
}
