#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_user_fuzz::{Wants, check};

fuzz_target!(|bytes: &[u8]| check(Wants { headers: true, name: false }, bytes));
