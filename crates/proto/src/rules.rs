//! The `buf.validate` rules of the messages.

#![expect(unused_imports, clippy::expect_used, reason = "generated")]

use chrono::TimeDelta;

use crate::{gitpod, rollcall};

/// A duration of a message, for the rules in CEL: one that is too long becomes the longest.
pub(crate) fn duration_from_secs_nanos(seconds: i64, nanos: i32) -> TimeDelta {
    let longest = if seconds < 0 {
        TimeDelta::MIN
    } else {
        TimeDelta::MAX
    };
    TimeDelta::try_seconds(seconds)
        .and_then(|whole| whole.checked_add(&TimeDelta::nanoseconds(nanos.into())))
        .unwrap_or(longest)
}

mod v1 {
    use crate::gitpod::v1::*;
    include!(concat!(env!("OUT_DIR"), "/validate/gitpod.v1.mod.rs"));
}

mod rollcall_v1 {
    use crate::rollcall::v1::*;
    include!(concat!(env!("OUT_DIR"), "/validate/rollcall.v1.mod.rs"));
}
