//! The memory of all snapshots, listings and outputs that are being made. One limit holds for all
//! users together. Users other than root get shares of it, so that nobody can take what root,
//! `ls` and short files need.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::allowance::Allowance;
use super::spare::Spare;
use crate::fs::errno::Error;

/// The spare buffer holds at most this part of the limit, and is not counted in it.
const SPARE_PART: usize = 4;

/// One user other than root gets this part of the limit.
const USER_PART: usize = 4;

/// Root alone gets this part of the limit.
const ROOT_PART: usize = 4;

/// A user who holds more than this is refused more when all users but root hold half of the limit.
/// The rest is for listings and short files.
const MAX_LIGHT_BYTES: usize = 64 << 10;
const HEAVY_USERS_PART: usize = 2;

/// A user by number, as the request names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::fs) struct User(pub(in crate::fs) u32);

impl User {
    pub(in crate::fs) const ROOT: User = User(0);
}

/// The memory of all open files and directories.
pub(in crate::fs) struct Memory {
    usage: Arc<Usage>,
    pub(super) spare: Arc<Spare>,
}

struct Usage {
    max_bytes: usize,
    /// Locked for an addition only.
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    all_bytes: usize,
    /// Of all users but root.
    users_bytes: usize,
    user_bytes: HashMap<User, usize>,
}

/// Bytes that are counted as used by a user until this is dropped.
pub(in crate::fs) struct Reserved {
    usage: Arc<Usage>,
    user: User,
    size_bytes: usize,
}

impl Memory {
    pub(super) fn new(max_bytes: usize) -> Memory {
        Memory {
            usage: Arc::new(Usage {
                max_bytes,
                used: Mutex::default(),
            }),
            spare: Arc::new(Spare::new(max_bytes / SPARE_PART)),
        }
    }

    /// A reservation of nothing, to be changed by [`Reserved::resize`].
    pub(in crate::fs) fn reserve_for(&self, user: User) -> Reserved {
        Reserved {
            usage: Arc::clone(&self.usage),
            user,
            size_bytes: 0,
        }
    }

    pub(in crate::fs) fn used_bytes(&self) -> usize {
        self.usage.used.lock().all_bytes
    }

    pub(in crate::fs) fn max_bytes(&self) -> usize {
        self.usage.max_bytes
    }

    /// An empty buffer for a large output: the spare one if the run may hold it.
    pub(in crate::fs) fn take_spare(&self, allowance: &mut Allowance<'_>) -> Vec<u8> {
        let buffer = self.spare.take();
        if allowance.hold(buffer.capacity()) {
            return buffer;
        }
        self.spare.put(buffer);
        Vec::new()
    }

    /// The output in a buffer of its size, if its buffer is much larger.
    pub(in crate::fs) fn shrink(&self, output: Vec<u8>) -> Vec<u8> {
        self.spare.shrink(output)
    }
}

impl Usage {
    /// Whether the user may hold `own_bytes` when all users but root hold `users_bytes`, and all
    /// together `all_bytes`.
    fn allows(&self, user: User, own_bytes: usize, users_bytes: usize, all_bytes: usize) -> bool {
        let max_bytes = self.max_bytes;
        if user == User::ROOT {
            return all_bytes <= max_bytes;
        }
        let max_users_bytes = if own_bytes > MAX_LIGHT_BYTES {
            max_bytes / HEAVY_USERS_PART
        } else {
            max_bytes - max_bytes / ROOT_PART
        };
        own_bytes <= max_bytes / USER_PART && users_bytes <= max_users_bytes
    }

    /// Changes what the user holds by one reservation. Only growth can be refused.
    fn change(&self, user: User, from_bytes: usize, to_bytes: usize) -> Result<(), Error> {
        let mut used = self.used.lock();
        let changed = |bytes: usize| bytes.saturating_sub(from_bytes).saturating_add(to_bytes);
        let own_bytes = changed(used.user_bytes.get(&user).copied().unwrap_or(0));
        let all_bytes = changed(used.all_bytes);
        let users_bytes = if user == User::ROOT {
            used.users_bytes
        } else {
            changed(used.users_bytes)
        };
        let grows = to_bytes > from_bytes;
        if grows && !self.allows(user, own_bytes, users_bytes, all_bytes) {
            return Err(Error::TooMuchOpen);
        }
        (used.all_bytes, used.users_bytes) = (all_bytes, users_bytes);
        if own_bytes == 0 {
            used.user_bytes.remove(&user);
        } else {
            used.user_bytes.insert(user, own_bytes);
        }
        Ok(())
    }
}

impl Reserved {
    /// Changes the number of bytes. Fails with [`Error::TooMuchOpen`], and changes nothing, when
    /// the user would hold more than allowed.
    pub(in crate::fs) fn resize(&mut self, size_bytes: usize) -> Result<(), Error> {
        self.usage.change(self.user, self.size_bytes, size_bytes)?;
        self.size_bytes = size_bytes;
        Ok(())
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        // Giving back is never refused.
        let _ = self.usage.change(self.user, self.size_bytes, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1 << 20;
    const USER: User = User(1000);

    fn hold(memory: &Memory, user: User, size_bytes: usize) -> Result<Reserved, Error> {
        let mut reserved = memory.reserve_for(user);
        reserved.resize(size_bytes)?;
        Ok(reserved)
    }

    #[test]
    fn the_limit_is_kept_and_dropped_bytes_are_given_back() {
        let memory = Memory::new(MAX);
        let first = hold(&memory, User::ROOT, MAX - 8).expect("room");
        let second = hold(&memory, User::ROOT, 9);
        assert!(matches!(second, Err(Error::TooMuchOpen)));
        drop(first);
        assert!(hold(&memory, User::ROOT, MAX).is_ok());
        assert_eq!(memory.used_bytes(), 0);
        assert!(memory.usage.used.lock().user_bytes.is_empty());
    }

    #[test]
    fn one_user_gets_a_quarter_and_may_always_give_back() {
        let memory = Memory::new(MAX);
        let mut held = hold(&memory, USER, MAX / 4).expect("room");
        assert!(held.resize(MAX / 4 + 1).is_err());
        assert_eq!(memory.used_bytes(), MAX / 4);
        held.resize(1).expect("less");
        assert_eq!(memory.used_bytes(), 1);
    }

    #[test]
    fn when_heavy_users_have_their_half_light_ones_and_root_go_on() {
        let memory = Memory::new(MAX);
        let held: Vec<_> = (1..=2)
            .map(|user| hold(&memory, User(user), MAX / 4))
            .collect();
        assert!(held.iter().all(Result::is_ok));
        assert!(hold(&memory, USER, MAX_LIGHT_BYTES + 1).is_err());
        let light: Vec<_> = (3..=6)
            .map(|user| hold(&memory, User(user), MAX_LIGHT_BYTES))
            .collect();
        assert!(light.iter().all(Result::is_ok));
        assert!(hold(&memory, USER, 1).is_err());
        assert!(hold(&memory, User::ROOT, MAX / 4).is_ok());
    }
}
