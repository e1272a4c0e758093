//! Atomics.

use std::fmt;
use std::sync::atomic::{self, Ordering};

use super::{Access, Arbiter, Tried};
use crate::Host;

/// Does an operation, as a step where the host wants that.
fn step<A: Arbiter, R>(
    arbiter: &Option<A>,
    what: &'static str,
    mut act: impl FnMut() -> (Access, R),
) -> R {
    let Some(arbiter) = arbiter else { return act().1 };
    let done = arbiter.step(what, None, || {
        let (access, result) = act();
        Tried::Done(access, result)
    });
    done.unwrap_or_else(|| unreachable!("an operation on an atomic never waits"))
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[doc = concat!("As [`std::sync::atomic::", stringify!($name), "`].")]
        pub struct $name<H: Host> {
            arbiter: Option<H::Arbiter>,
            value: atomic::$name,
        }

        impl<H: Host> $name<H> {
            /// With this value, for the threads of the calling process.
            pub fn new(host: &H, value: $value) -> Self {
                $name { arbiter: host.arbiter(), value: atomic::$name::new(value) }
            }

            /// Its value.
            pub fn load(&self, order: Ordering) -> $value {
                step(&self.arbiter, "load", || (Access::Read, self.value.load(order)))
            }

            /// Sets its value.
            pub fn store(&self, value: $value, order: Ordering) {
                step(&self.arbiter, "store", || (Access::Write, self.value.store(value, order)))
            }

            /// Sets its value; returns what it was.
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                step(&self.arbiter, "swap", || (Access::Write, self.value.swap(value, order)))
            }

            /// Sets its value to `new` if it is `current`; returns what it was, as an error if it
            /// was another.
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                step(&self.arbiter, "compare_exchange", || {
                    let done = self.value.compare_exchange(current, new, success, failure);
                    (if done.is_ok() { Access::Write } else { Access::Read }, done)
                })
            }

            /// Its value, when nobody else has it any more.
            pub fn into_inner(self) -> $value {
                self.value.into_inner()
            }

            /// Its value, for the only one who has it.
            pub fn get_mut(&mut self) -> &mut $value {
                self.value.get_mut()
            }
        }

        impl<H: Host> fmt::Debug for $name<H> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.value.fmt(f)
            }
        }
    };
    ($name:ident, $value:ty, $($operation:ident)*) => {
        atomic!($name, $value);

        impl<H: Host> $name<H> {
            $(
                #[doc = concat!("As `", stringify!($operation), "` of std's; returns what it was.")]
                pub fn $operation(&self, value: $value, order: Ordering) -> $value {
                    step(&self.arbiter, stringify!($operation), || {
                        (Access::Write, self.value.$operation(value, order))
                    })
                }
            )*
        }
    };
}

atomic!(AtomicBool, bool, fetch_and fetch_or fetch_xor);
atomic!(AtomicU32, u32, fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min);
atomic!(AtomicI32, i32, fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min);
atomic!(AtomicU64, u64, fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min);
atomic!(AtomicI64, i64, fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min);
atomic!(AtomicUsize, usize, fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min);
atomic!(AtomicIsize, isize, fetch_add fetch_sub fetch_and fetch_or fetch_xor fetch_max fetch_min);
