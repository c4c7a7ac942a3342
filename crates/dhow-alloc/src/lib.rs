//! The allocator of the program, and how soon it gives memory back to the system.
//!
//! mimalloc keeps what was freed for a second, and then until somebody allocates: a program that was busy once and idles
//! from then on never gives it back. Of 1,000 deployments after their first sync that is 10 MiB of 70.

use std::ffi::c_int;

/// The allocator: `#[global_allocator] static ALLOCATOR: MiMalloc = MiMalloc;`.
pub use mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`: milliseconds until freed memory is given back; 0 is at once.
const PURGE_DELAY: c_int = 15;

/// Memory that was freed is given back at once from now on, unless the variable `MIMALLOC_PURGE_DELAY` says otherwise.
/// Call it first in `main`, while there is one thread.
#[expect(unsafe_code, reason = "there is no safe interface to the allocator's options")]
pub fn give_back_at_once() {
    // SAFETY: the option exists in the library that is linked (a test looks at its default), any value is valid for it,
    // and nobody else touches the options, which are not to be written by two threads at a time.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, 0) }
}

#[cfg(test)]
mod tests {
    use std::ffi::c_long;

    use super::*;

    /// What an option is, in milliseconds.
    #[expect(unsafe_code, reason = "as above")]
    fn delay() -> c_long {
        // SAFETY: it reads an option that exists.
        unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }
    }

    #[test]
    fn the_number_is_that_of_the_delay_and_it_is_set() {
        assert_eq!(delay(), 1000, "another version of mimalloc counts its options otherwise");
        give_back_at_once();
        assert_eq!(delay(), 0);
    }
}
