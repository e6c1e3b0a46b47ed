//! Stands in for libudev in the static executable.
//!
//! The static libhwloc asks udev for names of disks and such, which are not used here, and there is no static
//! libudev. These functions answer that nothing is known.
//!
//! Invariants: only linked into static executables; each returns null, which libhwloc takes for "not available".

use std::ffi::{c_char, c_void};
use std::ptr;

#[unsafe(no_mangle)]
extern "C" fn udev_new() -> *mut c_void {
    ptr::null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn udev_unref(_udev: *mut c_void) -> *mut c_void {
    ptr::null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn udev_device_new_from_subsystem_sysname(
    _udev: *mut c_void,
    _subsystem: *const c_char,
    _name: *const c_char,
) -> *mut c_void {
    ptr::null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn udev_device_unref(_device: *mut c_void) -> *mut c_void {
    ptr::null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn udev_device_get_property_value(_device: *mut c_void, _key: *const c_char) -> *const c_char {
    ptr::null()
}
