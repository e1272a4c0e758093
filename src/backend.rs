//! [`Backend`]: whatever performs system calls.

use crate::{Call, Errno};

/// Performs system calls: the real kernel, the model under OS threads, the model in the simulator,
/// or a wrapper around any of them.
pub trait Backend {
    /// Performs one system call, waiting if the call may wait. What it returns is the call's own
    /// return value; everything else comes back through the call's out-fields.
    fn call(&self, call: &mut Call<'_, '_>) -> Result<usize, Errno>;
}

impl<B: Backend + ?Sized> Backend for &B {
    fn call(&self, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        (**self).call(call)
    }
}

impl<B: Backend + ?Sized> Backend for std::sync::Arc<B> {
    fn call(&self, call: &mut Call<'_, '_>) -> Result<usize, Errno> {
        (**self).call(call)
    }
}
